package wire

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Unmarshal reads what an upstream sent: it is not ours to police, only to understand. Names may be given twice, and bytes that are not
// UTF-8 become the replacement character, in raw values too.
func Unmarshal(data []byte, v any) error {
	if !utf8.Valid(data) {
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	}
	return json.Unmarshal(data, v, Loose)
}

// Loose are Unmarshal's options. They let through an escape that is half of a pair, too: some servers cut a character in two between the
// deltas of a stream.
var Loose = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// FieldPath writes a place in a JSON document as OpenAI and Google name fields, messages[2].content, behind the path of the document.
func FieldPath(path string, p jsontext.Pointer) string {
	b := []byte(path)
	for token := range p.Tokens() {
		if token != "" && strings.Trim(token, "0123456789") == "" {
			b = append(append(append(b, '['), token...), ']')
			continue
		}
		if len(b) > 0 {
			b = append(b, '.')
		}
		b = append(b, token...)
	}
	return string(b)
}

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become the replacement character.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // which is what the error would tell
	return dst
}

// Writer appends JSON to Buf, without reflection. Its methods put the commas: a name or an element follows one unless an opening bracket or
// a colon stands before it. Names need no escapes, but for Member's and Extra's; an empty name writes an element of an array, or the whole
// value. The zero value is ready; NewWriter goes on behind bytes that are there.
type Writer struct {
	Buf  []byte
	from int // where the value begins
}

// NewWriter writes a value behind dst.
func NewWriter(dst []byte) Writer { return Writer{dst, len(dst)} }

func (w *Writer) sep() {
	if n := len(w.Buf); n > w.from {
		if c := w.Buf[n-1]; c == '{' || c == '[' || c == ':' {
			return
		}
		w.Buf = append(w.Buf, ',')
	}
}

// Name begins a member whose value the caller appends.
func (w *Writer) Name(name string) {
	w.sep()
	if name != "" {
		w.Buf = append(w.Buf, '"')
		w.Buf = append(w.Buf, name...)
		w.Buf = append(w.Buf, '"', ':')
	}
}

// Object opens an object, Array an array; End closes either.
func (w *Writer) Object(name string) { w.Name(name); w.Buf = append(w.Buf, '{') }

// Array opens an array, see Object.
func (w *Writer) Array(name string) { w.Name(name); w.Buf = append(w.Buf, '[') }

// End closes what is open, with as many brackets as are given.
func (w *Writer) End(brackets string) { w.Buf = append(w.Buf, brackets...) }

// Str writes a string.
func (w *Writer) Str(name, v string) { w.Name(name); w.Buf = AppendString(w.Buf, v) }

// Bytes writes a string that is held as bytes.
func (w *Writer) Bytes(name string, v []byte) { w.Name(name); w.Buf = AppendString(w.Buf, v) }

// Int writes a whole number.
func (w *Writer) Int(name string, v int64) { w.Name(name); w.Buf = strconv.AppendInt(w.Buf, v, 10) }

// Bool writes true or false.
func (w *Writer) Bool(name string, v bool) { w.Name(name); w.Buf = strconv.AppendBool(w.Buf, v) }

// Null writes null.
func (w *Writer) Null(name string) { w.Name(name); w.Buf = append(w.Buf, "null"...) }

// Float writes a number, and nothing where JSON has none for it.
func (w *Writer) Float(name string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	w.Name(name)
	w.Buf = jsontext.AppendFloat(w.Buf, v, 64)
}

// Raw writes a value that is JSON already, on one line, as server-sent events need it; null where there is none.
func (w *Writer) Raw(name string, v jsontext.Value) {
	if len(v) == 0 {
		w.Null(name)
		return
	}
	w.Name(name)
	if bytes.IndexByte(v, '\n') >= 0 || bytes.IndexByte(v, '\r') >= 0 {
		line := v.Clone()
		if line.Compact(Loose) == nil {
			v = line
		}
	}
	w.Buf = append(w.Buf, v...)
}

// Member is Raw for any name.
func (w *Writer) Member(name string, v jsontext.Value) {
	w.sep()
	w.Buf = append(AppendString(w.Buf, name), ':')
	w.Raw("", v)
}

// Extra writes members in the order of their names, so that equal requests have equal bytes and an upstream's prompt cache holds. Those named
// in skip are left to their own writers.
func (w *Writer) Extra(m map[string]jsontext.Value, skip ...string) {
	if len(m) == 0 {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(skip, k) {
			w.Member(k, m[k])
		}
	}
}
