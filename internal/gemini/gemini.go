// Package gemini is Google's generateContent dialect, both halves: the Gemini API (AI Studio) and Vertex AI; streamGenerateContent,
// countTokens, embedContent and batchEmbedContents with it.
//
// It is on the hot path (Tap for spliced answers, the decoders and encoders when a call is translated) and imports only llm and wire;
// proxy and provider may import it. All exported values are stateless and safe for concurrent use.
package gemini

import (
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

type dialect struct{}

// Generate is generateContent and streamGenerateContent, both halves. Upstream it asks nothing of the path: whether to stream is the
// URL's business, as is the model.
var Generate dialect

var (
	_ llm.Spoken = Generate
	_ llm.Served = Generate
)

// invented begins the ids that the decoder gives to calls which came without one. They are meaningful to clients of other dialects
// and are left out again on the way back to Gemini.
const invented = "call_gemini_"

// skipSignature is what Google documents for function calls that no Gemini model made: Gemini 3 refuses unsigned ones.
const skipSignature = "skip_thought_signature_validator"

// readOptions are for clients' bodies: any spelling that Google takes (camelCase, snake_case), and no duplicate names.
var readOptions = json.JoinOptions(json.MatchCaseInsensitiveNames(true))

// upstreamOptions are for answers, which are read as leniently as can be.
var upstreamOptions = json.JoinOptions(json.MatchCaseInsensitiveNames(true), wire.Loose)

var writeOptions = json.JoinOptions(json.Deterministic(true), wire.Loose)

// generation is the major and minor version in a model's name times ten: 25 for gemini-2.5-pro, 30 for gemini-3-pro-preview. The
// moving aliases (gemini-flash-latest) count as 30, and 0 means not a numbered Gemini (gemma, a tuned model's id).
func generation(model string) int {
	name := strings.ToLower(model[strings.LastIndexByte(model, '/')+1:])
	rest, ok := strings.CutPrefix(name, "gemini-")
	if !ok {
		return 0
	}
	if strings.HasSuffix(rest, "-latest") && (rest[0] < '0' || rest[0] > '9') {
		return 30
	}
	major, minor, seen := 0, 0, false
	for i := 0; i < len(rest) && i < 4; i++ {
		switch c := rest[i]; {
		case c >= '0' && c <= '9' && !seen:
			major = major*10 + int(c-'0')
		case c >= '0' && c <= '9':
			return major*10 + int(c-'0')
		case c == '.' && !seen:
			seen = true
		default:
			return major*10 + minor
		}
	}
	return major*10 + minor
}

// onVertex tells the two provinces apart by the provider's name (vertex_ai, vertex_ai_beta, vertex).
func onVertex(t *llm.Target) bool { return strings.HasPrefix(t.Provider, "vertex") }

// camel gives a member's canonical spelling: function_call -> functionCall.
func camel(s string) string {
	if !strings.Contains(s, "_") {
		return s
	}
	var b strings.Builder
	up := false
	for i := range len(s) {
		c := s[i]
		if c == '_' {
			up = b.Len() > 0
			continue
		}
		if up && c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		up = false
		b.WriteByte(c)
	}
	return b.String()
}

// snake is camel's inverse, for native tools' type names: googleSearch -> google_search.
func snake(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			b.WriteByte(c + 'a' - 'A')
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// appendJSON appends v; what can't be written (a Raw that isn't JSON) is an error.
func appendJSON(dst []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v, writeOptions)
	if err != nil {
		return dst, err
	}
	return append(dst, b...), nil
}
