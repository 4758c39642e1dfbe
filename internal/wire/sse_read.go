package wire

import (
	"bytes"
	"io"
)

// SSEReader reads server-sent events. Lines may end in LF, CR LF or CR. Unlike a browser it delivers a last event that no blank line
// follows, since several providers leave that out. Comments, and blocks without data, become part of the next frame's Raw.
type SSEReader struct {
	// KeepAlives makes a block of nothing but comments a frame of its own, with nil Data, so that it can be passed on in time.
	KeepAlives bool

	w window
	// Of the block that begins at w.start; all offsets count from there.
	line      int // where the current line begins
	seen      int // how much of it is known to hold no line end
	data      span
	dataLines int
	event     span
	comment   bool
	have      int  // length of a whole frame found, 0: none yet
	skipLF    bool // the last line ended in a CR at the end of the buffer: a line feed that follows belongs to it
	notFirst  bool // the first line, which may carry a byte order mark, is past
	joined    []byte
	names     []string
}

type span struct{ from, to int }

// maxNames bounds the event names that a reader remembers, maxComments the bytes of comments that wait for the next frame.
const (
	maxNames    = 16
	maxComments = 4 << 10
)

// NewSSEReader reads from r. A frame of more than maxFrame bytes gives ErrFrameTooLarge; 0 means 16 MiB.
func NewSSEReader(r io.Reader, maxFrame int) *SSEReader {
	s := &SSEReader{w: window{r: r}}
	s.Limit(maxFrame)
	return s
}

// Limit sets the largest frame, in bytes; 0 means 16 MiB.
func (s *SSEReader) Limit(maxFrame int) {
	if maxFrame <= 0 {
		maxFrame = defaultMaxFrame
	}
	s.w.max = maxFrame
}

// Reset makes the reader start again on r with what memory it has, up to 8 KiB. A nil r lets go of the old one.
func (s *SSEReader) Reset(r io.Reader) {
	s.w.reset(r)
	joined := s.joined[:0]
	if cap(joined) > steadyBuffer {
		joined = nil
	}
	*s = SSEReader{KeepAlives: s.KeepAlives, w: s.w, joined: joined, names: s.names}
}

// Next implements FrameReader.
func (s *SSEReader) Next() (Frame, error) {
	for !s.parse() {
		if err := s.w.fill(); err == io.EOF {
			return s.last()
		} else if err != nil {
			return Frame{}, err
		}
	}
	return s.frame(), nil
}

// Buffered implements FrameReader.
func (s *SSEReader) Buffered() bool { return s.parse() || s.w.err != nil }

// frame gives out the frame that parse found.
func (s *SSEReader) frame() Frame {
	raw := s.w.take(s.have)
	f := Frame{Raw: raw, Type: s.name(raw[s.event.from:s.event.to])}
	switch {
	case s.dataLines == 1:
		f.Data = raw[s.data.from:s.data.to:s.data.to]
	case s.dataLines > 1:
		s.joined = joinData(s.joined[:0], raw)
		f.Data = s.joined
	}
	s.restart()
	return f
}

func (s *SSEReader) restart() {
	s.line, s.seen, s.have, s.dataLines, s.comment = 0, 0, 0, 0, false
	s.event, s.data = span{}, span{}
}

// parse goes on with the buffered bytes and tells whether they hold a whole frame.
func (s *SSEReader) parse() bool {
	b := s.w.unread()
	for s.have == 0 {
		if s.skipLF {
			if s.line == len(b) {
				return false
			}
			if b[s.line] == '\n' {
				s.line++
			}
			s.skipLF = false
		}
		end, next := lineEnd(b, s.line+s.seen)
		if end < 0 {
			s.seen = len(b) - s.line
			return false
		}
		s.skipLF = b[end] == '\r' && next == len(b) && next == end+1
		from := s.line
		s.line, s.seen = next, 0
		if !s.notFirst {
			s.notFirst = true
			from += bom(b[from:end])
		}
		if from < end {
			s.field(b, from, end)
			continue
		}
		switch {
		case s.dataLines > 0 || s.comment && s.KeepAlives:
			s.have = next
		case next > maxComments:
			s.w.start += next
			b = s.w.unread()
			s.restart()
		default:
			s.event = span{}
		}
	}
	return true
}

// lineEnd finds the first line end at or after i: its place, or -1, and where the next line begins.
func lineEnd(b []byte, i int) (end, next int) {
	end = bytes.IndexByte(b[i:], '\n')
	rest := b[i:]
	if end >= 0 {
		rest = rest[:end]
	}
	if cr := bytes.IndexByte(rest, '\r'); cr >= 0 {
		if cr+1 == end {
			return i + cr, i + cr + 2
		}
		return i + cr, i + cr + 1
	}
	if end < 0 {
		return -1, -1
	}
	return i + end, i + end + 1
}

func bom(line []byte) int {
	if bytes.HasPrefix(line, []byte("\xef\xbb\xbf")) {
		return 3
	}
	return 0
}

// field takes note of one line that is not blank.
func (s *SSEReader) field(b []byte, from, end int) {
	line := b[from:end]
	if line[0] == ':' {
		s.comment = true
		return
	}
	if v, ok := value(line, "data"); ok {
		if s.dataLines == 0 {
			s.data = span{from + v, end}
		}
		s.dataLines++
	} else if v, ok := value(line, "event"); ok {
		s.event = span{from + v, end}
	}
}

// value tells whether a line is the named field, and where in the line its value begins.
func value(line []byte, name string) (int, bool) {
	n := len(name)
	if len(line) < n || string(line[:n]) != name {
		return 0, false
	}
	switch {
	case len(line) == n:
		return n, true
	case line[n] != ':':
		return 0, false
	case len(line) > n+1 && line[n+1] == ' ':
		return n + 2, true
	}
	return n + 1, true
}

// joinData appends the data lines of a frame, joined by line feeds.
func joinData(dst, raw []byte) []byte {
	first := true
	for i := 0; i < len(raw); {
		end, next := lineEnd(raw, i)
		if end < 0 {
			end, next = len(raw), len(raw)
		}
		line := raw[i:end]
		if first {
			line = line[bom(line):]
		}
		if v, ok := value(line, "data"); ok {
			if !first {
				dst = append(dst, '\n')
			}
			first = false
			dst = append(dst, line[v:]...)
		}
		i = next
	}
	return dst
}

// last is called at the end of the stream, with no whole frame left.
func (s *SSEReader) last() (Frame, error) {
	b := s.w.unread()
	cut := false
	if s.line < len(b) {
		from := s.line
		if !s.notFirst {
			from += bom(b[from:])
		}
		if _, isData := value(b[from:], "data"); isData && len(b)-from > len("data") {
			s.field(b, from, len(b))
		} else {
			cut = from < len(b) && b[from] != ':'
		}
		s.line, s.seen = len(b), 0
	}
	switch {
	case s.dataLines > 0 && !cut:
		s.have = len(b)
		return s.frame(), nil
	case cut || s.event != span{}:
		s.w.err = io.ErrUnexpectedEOF
	}
	return Frame{}, s.w.err
}

// name gives an event name as a string, without an allocation for the providers' own names and those seen before.
func (s *SSEReader) name(b []byte) string {
	if known := eventName(b); known != "" || len(b) == 0 {
		return known
	}
	for _, n := range s.names {
		if n == string(b) {
			return n
		}
	}
	n := string(b)
	if len(s.names) < maxNames {
		s.names = append(s.names, n)
	}
	return n
}
