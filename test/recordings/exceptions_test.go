package recordings

import (
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// exception is a recording that a dialect can't hold, with the reason. docs/dialects.md argues each.
type exception struct {
	name   string // of the exchange, or how it begins
	in     []llm.Dialect
	reason string
}

var exceptions = []exception{
	{"vercel-ai/anthropic/spliced-message-start.chunks.txt", nil,
		"hand-made: a second message_start takes back what was streamed, which no other dialect can say; what came first has reached the client"},
	{"vercel-ai/openai/responses/openai-shell-container.1.chunks.txt", nil,
		"shortened by hand: its deltas say less than its final text, and a stream is made of the deltas"},
}

// excepted gives the reason why an exchange need not survive in a client dialect.
func excepted(x *exchange, in llm.Dialect) (reason string, ok bool) {
	for _, e := range exceptions {
		if strings.HasPrefix(x.Name, e.name) && (e.in == nil || slices.Contains(e.in, in)) {
			return e.reason, true
		}
	}
	return "", false
}
