package wire

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// NextItem gives the place of the first element of a JSON array that begins at or after from; -1, -1 if there is none. Begin with 1, go on
// with the end of the last one. Like FindValue it trusts the array to be JSON, never reads outside it, and allocates nothing.
func NextItem(array []byte, from int) (start, end int) {
	for from < len(array) && (isSpace(array[from]) || array[from] == ',') {
		from++
	}
	if from <= 0 || from >= len(array) || array[from] == ']' {
		return -1, -1
	}
	if end = valueEnd(array, from); end <= from {
		return -1, -1
	}
	return from, end
}

// ItemBefore gives the place of the last element of a JSON array that ends at or before a place, found from the end, so that it costs what
// that element is long, however many there are before it; -1, -1 if there is none. Begin with len(array)-1, go on with the start of the last
// one. Otherwise it is as NextItem.
func ItemBefore(array []byte, before int) (start, end int) {
	i := min(before, len(array)) - 1
	for i > 0 && (isSpace(array[i]) || array[i] == ',') {
		i--
	}
	if i <= 0 {
		return -1, -1
	}
	if start = valueStart(array, i); start <= 0 || start > i {
		return -1, -1
	}
	return start, i + 1
}

// valueStart gives the place where the value begins whose last byte is b[i], or -1.
func valueStart(b []byte, i int) int {
	depth := 0
	for i >= 0 {
		switch b[i] {
		case '"':
			if i = stringStart(b, i); i < 0 || depth == 0 {
				return i
			}
		case '}', ']':
			depth++
		case '{', '[':
			switch depth--; depth {
			case 0:
				return i
			case -1:
				return i + 1 // it opens the array, and what begins behind it is a number or a word
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i + 1
			}
		}
		i--
	}
	return -1
}

// stringStart gives the place of the quote that opens the string that b[i] closes, or -1. A quote inside a string stands behind a backslash,
// the one that opens it never does.
func stringStart(b []byte, i int) int {
	for {
		i = lastQuote(b[:i])
		if i <= 0 || b[i-1] != '\\' {
			return i
		}
	}
}

// lastQuote is bytes.LastIndexByte for a quote, many bytes at a time: blocks without one are passed over as fast as IndexByte is.
func lastQuote(b []byte) int {
	const low, block = 0x7f7f7f7f7f7f7f7f, 256
	for len(b) >= block && bytes.IndexByte(b[len(b)-block:], '"') < 0 {
		b = b[:len(b)-block]
	}
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b[len(b)-8:]) ^ '"'*ones
		if m := ^((x&low + low) | x | low); m != 0 {
			return len(b) - 1 - bits.LeadingZeros64(m)>>3
		}
		b = b[:len(b)-8]
	}
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == '"' {
			return i
		}
	}
	return -1
}
