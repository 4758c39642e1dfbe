package wire

import (
	"bytes"
	"unicode/utf8"
)

// TextLength measures the rest of a JSON string: the length of its text up to the closing quote, unescaped, in bytes of UTF-8, and where
// that quote stands, -1 if nowhere. It allocates nothing.
func TextLength(b []byte) (n int64, end int) {
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '"':
			return n, i
		case b[i] == '\\' && i+5 < len(b) && b[i+1] == 'u':
			n += escapedLength(hex4(b, i+2))
			i += 5
		case b[i] == '\\':
			n++
			i++
		default:
			n++
		}
	}
	return n, -1
}

// escapedLength is how many bytes of UTF-8 a \u escape stands for.
func escapedLength(r rune) int64 {
	if r >= 0xd800 && r < 0xe000 {
		return 2 // half of a pair, which is four bytes
	}
	return int64(max(1, utf8.RuneLen(r)))
}

// TextIn is the TextLength of the first of the members that stands in data, at whatever depth, and is a string; 0 if none does. The names
// are given as they are written, with quotes and colon: `"text":`. A quote inside a string is escaped, so that no text looks like a name.
func TextIn(data []byte, names ...string) int64 {
	for _, name := range names {
		i := bytes.Index(data, []byte(name))
		if i < 0 {
			continue
		}
		if v := bytes.TrimLeft(data[i+len(name):], " "); len(v) > 0 && v[0] == '"' {
			n, _ := TextLength(v[1:])
			return n
		}
	}
	return 0
}
