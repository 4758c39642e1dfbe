// Package http1 is the grammar of HTTP/1.x heads, as strict as safety asks for: what the lean client (egress) and the lean server (ingress)
// both read. It is on the hot path, imports nothing of ours, and only those two import it.
package http1

import (
	"bytes"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// Error says that what was read is not HTTP/1.x, or not safely so.
type Error struct{ Message string }

func (e *Error) Error() string { return "malformed HTTP: " + e.Message }

// Malformed makes an *Error.
func Malformed(format string, args ...any) error {
	return &Error{fmt.Sprintf(format, args...)}
}

// field characters, by RFC 9110: what a name may consist of, and what a value may not.
const (
	nameChar = 1 << iota
	badValue
)

var charClass = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0 && c != 0:
			t[c] = nameChar
		case c < ' ' && c != '\t', c == 0x7f:
			t[c] = badValue
		}
	}
	return t
}()

// ValidName tells whether s may be the name of a header field.
func ValidName(s string) bool {
	for i := range len(s) {
		if charClass[s[i]]&nameChar == 0 {
			return false
		}
	}
	return s != ""
}

// ValidValue tells whether s holds no control character.
func ValidValue(s string) bool {
	for i := range len(s) {
		if charClass[s[i]]&badValue != 0 {
			return false
		}
	}
	return true
}

// HeadEnd finds the blank line that ends a head: the index behind it, or -1. from is how far an earlier search got.
func HeadEnd(b []byte, from int) int {
	for i := max(from-3, 0); ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return -1
		}
		i += n + 1
		if i < len(b) && b[i] == '\n' {
			return i + 1
		}
		if i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n' {
			return i + 2
		}
	}
}

// Fields reads header or trailer fields up to the blank line. The header's strings are parts of text.
func Fields(text string) (http.Header, error) {
	n := strings.Count(text, "\n") - 1
	h := make(http.Header, n)
	values := make([]string, 0, n)
	for {
		line, rest, ok := strings.Cut(text, "\n")
		if !ok {
			return nil, Malformed("header without an end")
		}
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			return h, nil
		}
		text = rest
		if line[0] == ' ' || line[0] == '\t' {
			return nil, Malformed("folded header line")
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !ValidName(name) {
			return nil, Malformed("header line %.60q", line)
		}
		if value = strings.Trim(value, " \t"); !ValidValue(value) {
			return nil, Malformed("control character in header %.60q", name)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if vs := h[name]; vs != nil {
			h[name] = append(vs, value)
			continue
		}
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
}

// ContentLength is the length that a message's Content-Length fields agree on.
func ContentLength(values []string) (int64, error) {
	for _, v := range values[1:] {
		if v != values[0] {
			return 0, Malformed("differing content lengths")
		}
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil {
		return 0, Malformed("content length %.60q", values[0])
	}
	return int64(n), nil
}

// HasToken tells whether a comma-separated list has the word, in any case.
func HasToken(list, word string) bool {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ",")
		if strings.EqualFold(textproto.TrimString(item), word) {
			return true
		}
	}
	return false
}
