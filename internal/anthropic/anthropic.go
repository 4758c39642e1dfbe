// Package anthropic speaks and serves Anthropic's Messages API, with count_tokens. The same bodies travel on Bedrock's InvokeModel and
// Vertex's rawPredict, whose few differences (no model in the body, anthropic_version in it) are the providers' to splice.
//
// It is on the hot path: stream encoders append without reflection, and taps decode only the frames that carry usage, an end or an
// error. Everything exported is a stateless value or function, safe for concurrent use; decoders, encoders and taps of a single stream
// hold that stream's state and are not. It imports llm and wire alone and is imported by provider and proxy.
//
// Where the conversation says more than Messages can:
//   - System and developer messages of other dialects are hoisted into the one system text, wherever they stood: they keep their
//     authority and lose their place. A system message that an Anthropic client itself put between the turns stays there.
//   - Reasoning goes upstream only with a signature from Anthropic or Bedrock; otherwise it is left out without a word, since no
//     provider takes another's.
//   - To clients, reasoning signed by another provider is sent with the signer's name in the signature ("gemini#..."), so that it
//     finds its way back through a client that only knows one opaque string.
package anthropic

import (
	"strconv"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// Messages is the dialect, both halves: llm.Spoken and llm.Served.
var Messages messages

type messages struct{}

var (
	_ llm.Spoken = Messages
	_ llm.Served = Messages
)

// ContentType is JSON for whole answers and server-sent events for streams.
func (messages) ContentType(stream bool) string {
	if stream {
		return "text/event-stream; charset=utf-8"
	}
	return "application/json"
}

// badField names the field that the JSON decoder could not read.
func badField(err error, base string) *llm.Error {
	return llm.BadField(err, base, func(jsonType string) string { return "Input should be a valid " + jsonType })
}

func at(base string, i int) string { return base + "." + strconv.Itoa(i) }

// writer writes what requests and answers share.
type writer struct{ wire.Writer }

func newWriter(dst []byte) writer { return writer{wire.NewWriter(dst)} }

func (w *writer) strOrNull(name, v string) {
	if v == "" {
		w.Null(name)
	} else {
		w.Str(name, v)
	}
}
