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
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
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

// unmarshalUpstream reads what an upstream sent: it is not ours to police, only to understand.
func unmarshalUpstream(data []byte, v any) error {
	if !utf8.Valid(data) {
		data = []byte(strings.ToValidUTF8(string(data), "\uFFFD"))
	}
	return json.Unmarshal(data, v, jsontext.AllowDuplicateNames(true))
}

// badField turns an error of the JSON decoder into one that names the field, as base.messages.2.role.
func badField(err error, base string) *llm.Error {
	e := &llm.Error{Kind: llm.ErrInvalid, Param: base, Cause: err}
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic):
		e.Param = joinPath(base, pointerPath(string(semantic.JSONPointer)))
		e.Message = "the value has the wrong type"
		if want := jsonWord(semantic); want != "" {
			e.Message = "Input should be " + want
		}
	case errors.As(err, &syntactic):
		e.Param = joinPath(base, pointerPath(string(syntactic.JSONPointer)))
		e.Message = "the body is not valid JSON: " + syntactic.Err.Error()
	default:
		e.Message = "the value can't be read"
	}
	return e
}

// jsonWord says what JSON type the field wants.
func jsonWord(e *json.SemanticError) string {
	if e.GoType == nil {
		return ""
	}
	switch e.GoType.Kind().String() {
	case "string":
		return "a valid string"
	case "bool":
		return "a valid boolean"
	case "int64":
		return "a valid integer"
	case "float64":
		return "a valid number"
	case "slice":
		return "a valid list"
	case "struct", "map":
		return "a valid object"
	case "ptr":
		inner := *e
		inner.GoType = e.GoType.Elem()
		return jsonWord(&inner)
	}
	return ""
}

func pointerPath(pointer string) string {
	var tokens []string
	for token := range jsontext.Pointer(pointer).Tokens() {
		tokens = append(tokens, token)
	}
	return strings.Join(tokens, ".")
}

func joinPath(base, path string) string {
	switch {
	case base == "":
		return path
	case path == "":
		return base
	}
	return base + "." + path
}

func at(base string, i int) string { return base + "." + strconv.Itoa(i) }

// writer appends JSON. Its methods put the commas: a value or key follows one unless an opening or a colon stands before it.
type writer struct {
	b    []byte
	from int // where the value begins
}

func (w *writer) sep() {
	if n := len(w.b); n > w.from {
		if c := w.b[n-1]; c == '{' || c == '[' || c == ':' {
			return
		}
		w.b = append(w.b, ',')
	}
}

func (w *writer) object(name string) { w.name(name); w.b = append(w.b, '{') }
func (w *writer) array(name string)  { w.name(name); w.b = append(w.b, '[') }
func (w *writer) end(c byte)         { w.b = append(w.b, c) }

// name begins a member; with an empty name an array's element.
func (w *writer) name(name string) {
	w.sep()
	if name != "" {
		w.b = append(w.b, '"')
		w.b = append(w.b, name...)
		w.b = append(w.b, '"', ':')
	}
}

func (w *writer) str(name, v string)       { w.name(name); w.b = appendString(w.b, v) }
func (w *writer) int(name string, v int64) { w.name(name); w.b = strconv.AppendInt(w.b, v, 10) }
func (w *writer) bool(name string, v bool) { w.name(name); w.b = strconv.AppendBool(w.b, v) }
func (w *writer) null(name string)         { w.name(name); w.b = append(w.b, "null"...) }
func (w *writer) strOrNull(name, v string) {
	if v == "" {
		w.null(name)
	} else {
		w.str(name, v)
	}
}
func (w *writer) float(name string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	w.name(name)
	w.b = jsontext.AppendFloat(w.b, v, 64)
}

// raw writes a value on one line; null where there is none.
func (w *writer) raw(name string, v llm.Raw) {
	if len(v) == 0 {
		w.null(name)
		return
	}
	w.name(name)
	start := len(w.b)
	w.b = append(w.b, v...)
	for _, c := range v {
		if c == '\n' || c == '\r' {
			line := llm.Raw(w.b[start:]).Clone()
			if line.Compact(jsontext.AllowDuplicateNames(true)) == nil {
				w.b = append(w.b[:start], line...)
			}
			return
		}
	}
}

// extra writes members in the order of their names, so that equal requests have equal bytes and an upstream's prompt cache holds.
// A name that skip knows is left to its own writer.
func (w *writer) extra(m map[string]llm.Raw, skip func(string) bool) {
	if len(m) == 0 {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if skip != nil && skip(k) {
			continue
		}
		w.sep()
		w.b = appendString(w.b, k)
		w.b = append(w.b, ':')
		w.raw("", m[k])
	}
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become the replacement character, which is what the ignored error
// would have told.
func appendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// appendBytes is appendString without the copy.
func appendBytes(dst, s []byte) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
