package openai

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// Responses is OpenAI's Responses API, create and stream, without stored state: what a request asks to be remembered or looked up
// stays visible in the decoded request, and Stateful names it, so that the gateway can refuse it where no upstream keeps it.
var Responses responses

type responses struct{}

var (
	_ llm.Spoken = Responses
	_ llm.Served = Responses
)

// ContentType of a whole answer or a stream.
func (responses) ContentType(stream bool) string {
	if stream {
		return "text/event-stream; charset=utf-8"
	}
	return "application/json"
}

// DecodeError reads a non-2xx answer.
func (responses) DecodeError(status int, header http.Header, body []byte) *llm.Error {
	return decodeError(status, header, body)
}

// EncodeError appends the error envelope that the whole OpenAI family shares.
func (responses) EncodeError(dst []byte, _ http.Header, e *llm.Error) []byte {
	return appendError(dst, e)
}

// EncodeStreamError appends an error event. Its sequence number is 0, for the numbers of a spliced stream are not counted; no official
// client looks at it.
func (responses) EncodeStreamError(dst []byte, e *llm.Error) []byte {
	return respAppendErrorEvent(dst, e, 0)
}

// Stateful tells what in a decoded request needs a Responses upstream that stores conversations, as the error to answer with when the
// target is none; nil if the request carries all it needs.
func (responses) Stateful(req *llm.Request) *llm.Error {
	for _, name := range []string{"previous_response_id", "conversation", "prompt"} {
		if _, ok := req.Extra[name]; ok {
			return llm.Invalid(name, "'%s' refers to state that the upstream of this model does not keep: send the whole conversation in 'input' instead", name)
		}
	}
	if _, ok := req.Extra["background"]; ok {
		return llm.Invalid("background", "background responses are not supported by the upstream of this model: leave 'background' out and stream instead")
	}
	for i := range req.Messages {
		for j := range req.Messages[i].Parts {
			if p := &req.Messages[i].Parts[j]; p.Kind == llm.KindNative && respTypeOf(p.Raw) == "item_reference" {
				return llm.Invalid("input", "'input' holds an item_reference (%s), but the upstream of this model stores no items: send the item itself (with store: false the official clients do)",
					respMember(p.Raw, "id"))
			}
		}
	}
	return nil
}

// Foreign signatures travel to the client and back inside encrypted_content, so that a turn survives on an upstream of another dialect.
// The text is respSealed, the dialect, what the signature is of, and the signature, separated by dots.
const respSealed = "weir1."

// What a sealed signature is of.
const (
	respOfReasoning = "t" // the reasoning item it stands in
	respOfRedacted  = "r" // it is a redacted part's data
	respOfNext      = "n" // the part after the item
	respOfPrevious  = "p" // the part before the item
)

// Sealed says that a request's body holds signatures of other dialects that the gateway gave out earlier: it must be decoded and encoded
// for a Responses upstream, not spliced, for that would refuse what it never issued.
func (responses) Sealed(body []byte) bool { return bytes.Contains(body, []byte(`"`+respSealed)) }

func respSeal(by llm.Dialect, of, signature string) string {
	if by == llm.Responses {
		return signature
	}
	return respSealed + string(by) + "." + of + "." + signature
}

// respUnseal takes encrypted_content apart; OpenAI's own comes back as a reasoning item's signature.
func respUnseal(s string) (by llm.Dialect, of, signature string) {
	rest, ok := strings.CutPrefix(s, respSealed)
	if !ok {
		return llm.Responses, respOfReasoning, s
	}
	dialect, rest, ok1 := strings.Cut(rest, ".")
	of, signature, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 {
		return llm.Responses, respOfReasoning, s
	}
	switch of {
	case respOfReasoning, respOfRedacted, respOfNext, respOfPrevious:
		return llm.Dialect(dialect), of, signature
	}
	return llm.Responses, respOfReasoning, s
}

// respTypeOf is the type member of a JSON object, or "".
func respTypeOf(raw []byte) string { return respMember(raw, "type") }

// respMember is a string member of a JSON object's top level, or "".
func respMember(raw []byte, name string) string {
	var m map[string]jsontext.Value
	if respUnmarshal(raw, &m, "") != nil {
		return ""
	}
	return llm.StringOf(m[name])
}

// respKey appends a member's name and what must stand before it. dst ends inside an object.
func respKey(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

func respKeyString(dst []byte, name, value string) []byte {
	return wire.AppendString(respKey(dst, name), value)
}

// respKeyText is respKeyString that leaves an empty value out.
func respKeyText(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return wire.AppendString(respKey(dst, name), value)
}

func respKeyInt(dst []byte, name string, n int64) []byte {
	return strconv.AppendInt(respKey(dst, name), n, 10)
}

// respKeyRaw appends a member whose value is JSON already, on one line, as an event stream needs it.
func respKeyRaw(dst []byte, name string, v jsontext.Value) []byte {
	return respAppendRaw(respKey(dst, name), v)
}

// respElem appends the comma before an element. dst ends inside an array.
func respElem(dst []byte) []byte {
	if dst[len(dst)-1] != '[' {
		dst = append(dst, ',')
	}
	return dst
}

func respAppendRaw(dst []byte, v jsontext.Value) []byte {
	if len(v) == 0 {
		return append(dst, "null"...)
	}
	for _, c := range v {
		if c == '\n' || c == '\r' {
			one := v.Clone()
			if one.Compact(wire.Loose) == nil {
				return append(dst, one...)
			}
			return append(dst, "null"...)
		}
	}
	return append(dst, v...)
}

func respAppendFloat(dst []byte, f float64) []byte { return strconv.AppendFloat(dst, f, 'g', -1, 64) }
