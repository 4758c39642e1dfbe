package wire

import "bytes"

// FindValue gives the place of the value of a top-level member of a JSON object, without looking at what follows it; -1, -1 if there is
// none. It trusts the body to be JSON (an answer that is being passed on), never reads outside it, and allocates nothing.
func FindValue(body []byte, name string) (start, end int) {
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			stop := stringEnd(body, i)
			if stop < 0 {
				return -1, -1
			}
			if depth == 1 && string(body[i+1:stop-1]) == name {
				if at := afterColon(body, stop); at >= 0 {
					if to := valueEnd(body, at); to >= 0 {
						return at, to
					}
					return -1, -1
				}
			}
			i = stop - 1
		}
	}
	return -1, -1
}

// FindString is FindValue for a member that is a string; the place includes the quotes.
func FindString(body []byte, name string) (start, end int) {
	start, end = FindValue(body, name)
	if start < 0 || body[start] != '"' {
		return -1, -1
	}
	return start, end
}

// stringEnd gives the place after the string that starts at body[i], or -1.
func stringEnd(body []byte, i int) int {
	for i++; i < len(body); {
		q := bytes.IndexByte(body[i:], '"')
		if q < 0 {
			return -1
		}
		q += i
		slashes := 0
		for k := q - 1; k >= i && body[k] == '\\'; k-- {
			slashes++
		}
		if slashes%2 == 0 {
			return q + 1
		}
		i = q + 1
	}
	return -1
}

// afterColon gives the place of the value after a member's name, or -1 if no colon follows: the string was a value itself.
func afterColon(body []byte, i int) int {
	for i < len(body) && isSpace(body[i]) {
		i++
	}
	if i >= len(body) || body[i] != ':' {
		return -1
	}
	for i++; i < len(body) && isSpace(body[i]); i++ {
	}
	if i >= len(body) {
		return -1
	}
	return i
}

// valueEnd gives the place after the value that starts at body[i], or -1.
func valueEnd(body []byte, i int) int {
	depth := 0
	for i < len(body) {
		switch body[i] {
		case '"':
			if i = stringEnd(body, i); i < 0 {
				return -1
			}
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of a number or word, at the end of its object
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return -1
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }
