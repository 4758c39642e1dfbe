// Package openai speaks and serves OpenAI's wire languages: chat completions (Chat), legacy text completions (Completions), embeddings
// (Embeddings) and, in the responses_ files, the Responses API.
//
// Most providers call themselves compatible with chat completions and each is so in its own way; what they add or bend is read here, in
// one place, so that nobody else needs to know. Every value of this package is stateless and safe for concurrent use; only decoders,
// encoders and taps of a single stream hold state. It is on the hot path: stream encoders append without reflection, and taps decode
// only the frames that carry usage, an end or an error. It imports llm and wire alone and is imported by provider and proxy.
package openai

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// Chat is the chat completions dialect, both halves.
var Chat chat

type chat struct{}

var (
	_ llm.Spoken = Chat
	_ llm.Served = Chat
)

// DecodeError implements llm.Spoken.
func (chat) DecodeError(status int, header http.Header, body []byte) *llm.Error {
	return decodeError(status, header, body)
}

// EncodeError implements llm.Served.
func (chat) EncodeError(dst []byte, _ http.Header, e *llm.Error) []byte { return appendError(dst, e) }

// EncodeStreamError implements llm.Served: one data frame, after which the stream just ends.
func (chat) EncodeStreamError(dst []byte, e *llm.Error) []byte {
	return wire.AppendSSE(dst, "", appendStreamError(nil, e))
}

// ContentType implements llm.Served.
func (chat) ContentType(stream bool) string { return contentType(stream) }

func contentType(stream bool) string {
	if stream {
		return "text/event-stream"
	}
	return "application/json"
}
