package wire

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
)

// scanner is the state of one Scan. Its methods take the index of a value's first byte and return the index behind its last, or -1
// after fail. Names of all open objects lie on one stack, so that finding duplicates allocates nothing once it has grown.
type scanner struct {
	b       []byte
	max     int
	names   []name
	buf     []byte // unescaped names
	escaped bool   // the last string had an escape
	failed  int
	message string
}

// name is a member name of an open object: b[start:end], or buf[start:end] if it had escapes.
type name struct {
	hash       uint64
	at         int // of its quote in the body
	start, end int
	inBuf      bool
}

func (s *scanner) fail(offset int, message string) int {
	s.failed, s.message = min(offset, len(s.b)), message
	return -1
}

func (s *scanner) space(i int) int {
	for i < len(s.b) {
		if c := s.b[i]; c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			break
		}
		i++
	}
	return i
}

// at is the byte at i, or 0, which no grammar rule accepts, at the end.
func (s *scanner) at(i int) byte {
	if i < len(s.b) {
		return s.b[i]
	}
	return 0
}

func (s *scanner) value(i, depth int) int {
	switch c := s.at(i); {
	case c == '"':
		return s.str(i)
	case c == '{':
		return s.object(i, depth, nil)
	case c == '[':
		return s.array(i, depth)
	case c == '-' || c >= '0' && c <= '9':
		return s.number(i)
	case c == 't':
		return s.literal(i, "true")
	case c == 'f':
		return s.literal(i, "false")
	case c == 'n':
		return s.literal(i, "null")
	}
	return s.unexpected(i, "a value")
}

func (s *scanner) unexpected(i int, wanted string) int {
	if i >= len(s.b) {
		return s.fail(i, "unexpected end, expected "+wanted)
	}
	return s.fail(i, "unexpected "+strconv.QuoteRuneToASCII(rune(s.b[i]))+", expected "+wanted)
}

func (s *scanner) literal(i int, word string) int {
	if len(s.b)-i < len(word) || string(s.b[i:i+len(word)]) != word {
		return s.fail(i, "invalid literal, expected "+word)
	}
	return i + len(word)
}

func (s *scanner) number(i int) int {
	if s.b[i] == '-' {
		i++
	}
	switch c := s.at(i); {
	case c == '0':
		i++
	case c >= '1' && c <= '9':
		i = s.digits(i)
	default:
		return s.unexpected(i, "a digit")
	}
	if s.at(i) == '.' {
		j := s.digits(i + 1)
		if j == i+1 {
			return s.unexpected(j, "a digit")
		}
		i = j
	}
	if s.at(i)|0x20 == 'e' {
		i++
		if c := s.at(i); c == '+' || c == '-' {
			i++
		}
		j := s.digits(i)
		if j == i {
			return s.unexpected(j, "a digit")
		}
		i = j
	}
	return i
}

func (s *scanner) digits(i int) int {
	for i < len(s.b) && s.b[i]-'0' <= 9 {
		i++
	}
	return i
}

func (s *scanner) array(i, depth int) int {
	if depth > s.max {
		return s.fail(i, "nested deeper than "+strconv.Itoa(s.max)+" levels")
	}
	i = s.space(i + 1)
	if s.at(i) == ']' {
		return i + 1
	}
	for {
		if i = s.value(i, depth+1); i < 0 {
			return i
		}
		i = s.space(i)
		switch s.at(i) {
		case ',':
			i = s.space(i + 1)
		case ']':
			return i + 1
		default:
			return s.unexpected(i, "',' or ']'")
		}
	}
}

// object skips an object; with d, the top-level one, it also notes the fields.
func (s *scanner) object(i, depth int, d *Doc) int {
	if depth > s.max {
		return s.fail(i, "nested deeper than "+strconv.Itoa(s.max)+" levels")
	}
	names, buf := len(s.names), len(s.buf)
	i = s.space(i + 1)
	if s.at(i) == '}' {
		return i + 1
	}
	for {
		if s.at(i) != '"' {
			return s.unexpected(i, "a quoted name")
		}
		start := i
		if i = s.str(i); i < 0 {
			return i
		}
		s.push(start, i)
		end := i
		if i = s.space(i); s.at(i) != ':' {
			return s.unexpected(i, "':'")
		}
		i = s.space(i + 1)
		from := i
		if i = s.value(i, depth+1); i < 0 {
			return i
		}
		if d != nil {
			n := s.bytes(&s.names[len(s.names)-1])
			if k := caseVariant(n); k != "" {
				return s.fail(start, strconv.QuoteToASCII(string(n))+" must be written "+strconv.Quote(k))
			}
			d.Fields = append(d.Fields, Field{Name: n, NameStart: start, NameEnd: end, Start: from, End: i})
		}
		i = s.space(i)
		switch s.at(i) {
		case ',':
			i = s.space(i + 1)
		case '}':
			if !s.unique(s.names[names:]) {
				return -1
			}
			s.names, s.buf = s.names[:names], s.buf[:buf]
			return i + 1
		default:
			return s.unexpected(i, "',' or '}'")
		}
	}
}

// push notes the name whose quotes stand at start and before end.
func (s *scanner) push(start, end int) {
	n := name{at: start, start: start + 1, end: end - 1}
	if s.escaped {
		from := len(s.buf)
		s.buf = unescape(s.buf, s.b[n.start:n.end])
		n = name{at: start, start: from, end: len(s.buf), inBuf: true}
	}
	n.hash = hashName(s.bytes(&n))
	s.names = append(s.names, n)
}

func (s *scanner) bytes(n *name) []byte {
	if n.inBuf {
		return s.buf[n.start:n.end:n.end]
	}
	return s.b[n.start:n.end:n.end]
}

// hashName tells most names apart; equal hashes are always settled by the bytes.
func hashName(b []byte) uint64 {
	n := uint64(len(b))
	switch {
	case n >= 8:
		return bits.RotateLeft64(binary.LittleEndian.Uint64(b), 23) ^ binary.LittleEndian.Uint64(b[n-8:]) ^ n<<56
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<24 ^ n<<56
	case n > 0:
		return uint64(b[0]) | uint64(b[n/2])<<8 | uint64(b[n-1])<<16 | n<<56
	}
	return 0
}

// pairwise is the number of names up to which comparing each with each beats sorting.
const pairwise = 12

// unique checks the names of one object. Many names are sorted, by hash and then by bytes, so that no choice of names makes it slow.
func (s *scanner) unique(names []name) bool {
	if len(names) <= pairwise {
		for i := range names {
			for j := range i {
				if names[i].hash == names[j].hash && bytes.Equal(s.bytes(&names[i]), s.bytes(&names[j])) {
					return s.duplicate(&names[i], &names[j])
				}
			}
		}
		return true
	}
	slices.SortFunc(names, func(a, b name) int {
		if c := cmp.Compare(a.hash, b.hash); c != 0 {
			return c
		}
		return bytes.Compare(s.bytes(&a), s.bytes(&b))
	})
	for i := 1; i < len(names); i++ {
		if names[i].hash == names[i-1].hash && bytes.Equal(s.bytes(&names[i]), s.bytes(&names[i-1])) {
			return s.duplicate(&names[i], &names[i-1])
		}
	}
	return true
}

func (s *scanner) duplicate(a, b *name) bool {
	s.fail(max(a.at, b.at), "duplicate name "+strconv.QuoteToASCII(string(s.bytes(a))))
	return false
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks, by the high bit of each byte, the bytes of w that end a run of plain string bytes: quote, backslash, control. Only
// the lowest mark is exact, and only that one is used. Flipping bit 1 puts the quote right behind the controls and the space out of the
// way, so that one comparison finds both.
func special(w uint64) uint64 {
	quote := (w ^ 2*ones) - '!'*ones
	escape := (w ^ '\\'*ones) - ones
	return (quote | escape) &^ w & highs
}

// str skips a string and sets s.escaped. Many bytes a step; UTF-8 is checked only if a byte above ASCII was met.
func (s *scanner) str(i int) int {
	b := s.b
	i++
	start := i
	s.escaped = false
	var seen uint64
	for {
		if len(b)-i >= 64 {
			n, high := plain(b[i:])
			i += n
			if high {
				seen = highs
			}
		}
		for len(b)-i >= 8 {
			w := binary.LittleEndian.Uint64(b[i:])
			seen |= w
			if m := special(w); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return s.fail(i, "unexpected end inside a string")
		}
		switch c := b[i]; {
		case c == '"':
			if seen&highs != 0 && !utf8.Valid(b[start:i]) {
				return s.fail(start+invalidAt(b[start:i]), "invalid UTF-8")
			}
			return i + 1
		case c == '\\':
			s.escaped = true
			if i = s.escape(i); i < 0 {
				return i
			}
		case c < ' ':
			return s.fail(i, "control character inside a string")
		default: // only in the last seven bytes of the body
			seen |= uint64(c)
			i++
		}
	}
}

func invalidAt(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// escape skips one escape; a surrogate takes its pair along.
func (s *scanner) escape(i int) int {
	switch s.at(i + 1) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		r := hex4(s.b, i+2)
		switch {
		case r < 0:
			return s.fail(i, "invalid \\u escape")
		case r < 0xd800 || r > 0xdfff:
			return i + 6
		case r < 0xdc00 && s.at(i+6) == '\\' && s.at(i+7) == 'u':
			if low := hex4(s.b, i+8); low >= 0xdc00 && low <= 0xdfff {
				return i + 12
			}
		}
		return s.fail(i, "lone surrogate in a \\u escape")
	}
	return s.fail(i, "invalid escape")
}

// hex4 reads four hexadecimal digits at i, or gives -1.
func hex4(b []byte, i int) rune {
	if len(b)-i < 4 {
		return -1
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// unescape appends the text of a valid string's inside.
func unescape(dst, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:i]...)
		c := b[i+1]
		b = b[i+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(b, 0)
			b = b[4:]
			if r >= 0xd800 && r <= 0xdfff {
				r = (r-0xd800)<<10 | (hex4(b, 2) - 0xdc00) + 0x10000
				b = b[6:]
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
}
