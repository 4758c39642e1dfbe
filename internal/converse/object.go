package converse

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

// unmarshalUpstream reads what an upstream sent: it is not ours to police, only to understand.
func unmarshalUpstream(data []byte, v any) error {
	if !utf8.Valid(data) {
		data = []byte(strings.ToValidUTF8(string(data), "\uFFFD"))
	}
	return json.Unmarshal(data, v, jsontext.AllowDuplicateNames(true))
}

// badField turns an error of the JSON decoder into one that names the field, as messages.2.role.
func badField(err error, base string) *llm.Error {
	e := &llm.Error{Kind: llm.ErrInvalid, Param: base, Cause: err}
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic):
		e.Param = joinPath(base, pointerPath(semantic.JSONPointer))
		e.Message = "the value has the wrong type"
		if semantic.GoType != nil {
			if want := typeWords[strings.TrimLeft(semantic.GoType.Kind().String(), "*")]; want != "" {
				e.Message = "the value must be " + want
			}
		}
	case errors.As(err, &syntactic):
		e.Param = joinPath(base, pointerPath(syntactic.JSONPointer))
		e.Message = "the body is not valid JSON: " + syntactic.Err.Error()
	default:
		e.Message = "the value can't be read"
	}
	return e
}

var typeWords = map[string]string{
	"string": "a string", "bool": "a boolean", "int64": "an integer", "float64": "a number", "slice": "a list", "struct": "an object",
	"map": "an object",
}

func pointerPath(pointer jsontext.Pointer) string {
	return strings.Join(slices.Collect(pointer.Tokens()), ".")
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

// compact is raw without its white space, as a string of its own.
func compact(raw llm.Raw) string {
	v := raw.Clone()
	if v.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return string(raw)
	}
	return string(v)
}

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

// name begins a member of a name that needs no escapes; with an empty name an array's element.
func (w *writer) name(name string) {
	w.sep()
	if name != "" {
		w.b = append(w.b, '"')
		w.b = append(w.b, name...)
		w.b = append(w.b, '"', ':')
	}
}

func (w *writer) object(name string)       { w.name(name); w.b = append(w.b, '{') }
func (w *writer) array(name string)        { w.name(name); w.b = append(w.b, '[') }
func (w *writer) end(c byte)               { w.b = append(w.b, c) }
func (w *writer) str(name, v string)       { w.name(name); w.b = appendString(w.b, v) }
func (w *writer) int(name string, v int64) { w.name(name); w.b = strconv.AppendInt(w.b, v, 10) }
func (w *writer) bool(name string, v bool) { w.name(name); w.b = strconv.AppendBool(w.b, v) }

func (w *writer) float(name string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	w.name(name)
	w.b = jsontext.AppendFloat(w.b, v, 64)
}

// raw writes a value as it is; null where there is none.
func (w *writer) raw(name string, v llm.Raw) {
	w.name(name)
	if len(v) == 0 {
		w.b = append(w.b, "null"...)
		return
	}
	w.b = append(w.b, v...)
}

// member writes a member of any name.
func (w *writer) member(name string, v llm.Raw) {
	w.sep()
	w.b = append(appendString(w.b, name), ':')
	w.raw("", v)
}

// extra writes members in the order of their names, so that equal requests have equal bytes and an upstream's prompt cache holds.
// A name that skip knows is left to its own writer.
func (w *writer) extra(m map[string]llm.Raw, skip ...string) {
	if len(m) == 0 {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(skip, k) {
			w.member(k, m[k])
		}
	}
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become the replacement character, which is what the ignored error
// would have told.
func appendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
