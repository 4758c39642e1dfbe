package wire

import (
	"bytes"
	"fmt"
)

// Limits bounds what Scan accepts.
type Limits struct {
	// MaxDepth is how deep objects and arrays may nest, the top-level object being 1. 0 means 128; more than 10000 counts as 10000.
	MaxDepth int
}

const (
	defaultDepth = 128
	hardDepth    = 10000
)

// Doc is a scanned body: where each top-level field's bytes stand. Scan may be called again on the same Doc, which then allocates
// nothing for ordinary bodies. It refers to the body given to Scan; not safe for concurrent use while Scan runs.
type Doc struct {
	Body   []byte
	Fields []Field
	s      scanner
}

// Field is one top-level member. Its value is Body[Start:End]; Body[NameStart:NameEnd] is its name as written, quotes included.
type Field struct {
	// Name is unescaped. It points into the body or into the Doc and is valid until the next Scan.
	Name               []byte
	NameStart, NameEnd int
	Start, End         int
}

// SyntaxError says where and why a body was refused. Line and Column count from 1, Column in bytes.
type SyntaxError struct {
	Offset, Line, Column int
	Message              string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at line %d column %d: %s", e.Line, e.Column, e.Message)
}

// Scan reads one JSON object and fills d. The whole body is validated in one pass, as strictly as jsontext does it: duplicate names at
// any depth, bad UTF-8, lone surrogates and anything behind the object are refused. So are names at the top level that differ only in
// case from one that the gateway acts on ("Model"), since an upstream that folds case would then act on another value than we did.
// The error is a *SyntaxError; d's fields are then meaningless.
func Scan(d *Doc, body []byte, lim Limits) error {
	d.Body = body
	d.Fields = d.Fields[:0]
	s := &d.s
	s.b, s.names, s.buf = body, s.names[:0], s.buf[:0]
	s.max = lim.MaxDepth
	if s.max <= 0 {
		s.max = defaultDepth
	}
	s.max = min(s.max, hardDepth)
	i := s.space(0)
	switch {
	case i == len(body):
		i = s.fail(i, "the body is empty")
	case body[i] != '{':
		i = s.fail(i, "the body is not a JSON object")
	default:
		i = s.object(i, 1, d)
	}
	if i >= 0 {
		if i = s.space(i); i < len(body) {
			i = s.fail(i, "unexpected data after the object")
		}
	}
	s.b = nil
	if i < 0 {
		return syntaxError(body, s.failed, s.message)
	}
	return nil
}

// Reset lets go of the body, and of the memory that an unusual one made the Doc grow to.
func (d *Doc) Reset() {
	const usual = 64
	if cap(d.Fields) > usual || cap(d.s.names) > usual || cap(d.s.buf) > usual*16 {
		*d = Doc{}
		return
	}
	clear(d.Fields[:cap(d.Fields)]) // their names point into the body
	d.Body, d.Fields = nil, d.Fields[:0]
}

func syntaxError(body []byte, offset int, message string) *SyntaxError {
	before := body[:offset]
	return &SyntaxError{
		Offset:  offset,
		Line:    bytes.Count(before, []byte{'\n'}) + 1,
		Column:  offset - bytes.LastIndexByte(before, '\n'),
		Message: message,
	}
}

func (d *Doc) field(name string) *Field {
	for i := range d.Fields {
		if string(d.Fields[i].Name) == name {
			return &d.Fields[i]
		}
	}
	return nil
}

// Get is the raw value of a top-level field, a part of the body.
func (d *Doc) Get(name string) (value []byte, ok bool) {
	f := d.field(name)
	if f == nil {
		return nil, false
	}
	return d.Body[f.Start:f.End], true
}

// Str is a top-level field that is a JSON string, unescaped; ok is false if it is absent or something else.
func (d *Doc) Str(name string) (s string, ok bool) {
	v, ok := d.Get(name)
	if !ok || v[0] != '"' {
		return "", false
	}
	v = v[1 : len(v)-1]
	if bytes.IndexByte(v, '\\') < 0 {
		return string(v), true
	}
	return string(unescape(make([]byte, 0, len(v)), v)), true
}

// Bool is a top-level field that is true or false; ok is false if it is absent or something else.
func (d *Doc) Bool(name string) (v, ok bool) {
	raw, _ := d.Get(name)
	return string(raw) == "true", string(raw) == "true" || string(raw) == "false"
}

// foldedKnown are the top-level names that the gateway itself acts on, in any dialect.
var foldedKnown = [...]string{
	"model", "stream", "messages", "input", "system", "tools", "metadata", "user", "session_id", "stream_options",
}

// caseVariant gives the known name that differs from this one in case only, or "".
func caseVariant(name []byte) string {
	// Unicode folds U+017F to s and U+212A to k, as encoding/json does; the longest known name has 14 letters, four of which fold so.
	if len(name) < 4 || len(name) > 32 {
		return ""
	}
	for _, k := range foldedKnown {
		// The cheap test first: every byte of a known name folds to ASCII letters unless it is one of those two runes.
		if len(k) == len(name) && string(name) == k {
			return ""
		}
	}
	for _, k := range foldedKnown {
		if len(name) >= len(k) && equalFold(name, k) {
			return k
		}
	}
	return ""
}

// equalFold is bytes.EqualFold against a string, rejecting on the first letter before any call.
func equalFold(name []byte, k string) bool {
	c := name[0]
	if c < 0x80 && c|0x20 != k[0] {
		return false
	}
	return bytes.EqualFold(name, []byte(k))
}
