package wire

import (
	"errors"
	"io"
)

// ArrayReader reads a JSON array element by element: what Gemini streams when it is not asked for server-sent events. It finds where
// elements end and leaves their validity to whoever decodes them. A body that is one object (an error) is delivered as one frame.
type ArrayReader struct {
	w       window
	state   arrayState
	at      int // bytes of the current element looked at; also those before it
	from    int // where the element begins, after what separates it from the last
	depth   int
	inText  bool
	escaped bool
	have    int
}

type arrayState uint8

const (
	arrayStart arrayState = iota // nothing but white space yet
	arrayFirst                   // after the opening bracket
	arrayComma                   // after an element
	arrayNext                    // after a comma
	arrayValue                   // inside an element
	arrayAlone                   // inside an object that is not in an array
	arrayDone
)

// ErrArray says that a stream is not a JSON array of objects.
var ErrArray = errors.New("stream is not a JSON array of objects")

// NewArrayReader reads from r. An element of more than maxFrame bytes gives ErrFrameTooLarge; 0 means 16 MiB.
func NewArrayReader(r io.Reader, maxFrame int) *ArrayReader {
	if maxFrame <= 0 {
		maxFrame = defaultMaxFrame
	}
	return &ArrayReader{w: window{r: r, max: maxFrame}}
}

// Reset makes the reader start again on r with what memory it has, up to 8 KiB. A nil r lets go of the old one.
func (a *ArrayReader) Reset(r io.Reader) {
	a.w.reset(r)
	*a = ArrayReader{w: a.w}
}

// Next implements FrameReader. The Raw of an element has the bracket or comma before it; the last bracket is in none.
func (a *ArrayReader) Next() (Frame, error) {
	for {
		ok, err := a.parse()
		if err != nil {
			a.w.err = err
			return Frame{}, err
		}
		if ok {
			break
		}
		if err := a.w.fill(); err == io.EOF && a.state != arrayDone {
			a.w.err = io.ErrUnexpectedEOF
			return Frame{}, a.w.err
		} else if err != nil {
			return Frame{}, err
		}
	}
	raw := a.w.take(a.have)
	f := Frame{Data: raw[a.from:], Raw: raw}
	a.at, a.from, a.have = 0, 0, 0
	return f, nil
}

// Buffered implements FrameReader.
func (a *ArrayReader) Buffered() bool {
	ok, err := a.parse()
	return ok || err != nil || a.w.err != nil
}

// parse goes on with the buffered bytes and tells whether they hold a whole element.
func (a *ArrayReader) parse() (bool, error) {
	b := a.w.unread()
	for a.have == 0 && a.at < len(b) {
		c := b[a.at]
		a.at++
		if a.state == arrayValue || a.state == arrayAlone {
			a.inside(c)
			continue
		}
		if c == ' ' || c == '\n' || c == '\r' || c == '\t' {
			continue
		}
		if !a.between(c) {
			a.at-- // the error is found again by the next call
			return false, ErrArray
		}
	}
	return a.have > 0, nil
}

// between takes a byte outside of any element.
func (a *ArrayReader) between(c byte) bool {
	switch {
	case a.state == arrayStart && c == '[':
		a.state = arrayFirst
	case (a.state == arrayFirst || a.state == arrayNext || a.state == arrayStart) && c == '{':
		a.from, a.depth = a.at-1, 1
		if a.state == arrayStart {
			a.state = arrayAlone
		} else {
			a.state = arrayValue
		}
	case a.state == arrayComma && c == ',':
		a.state = arrayNext
	case (a.state == arrayFirst || a.state == arrayComma) && c == ']':
		a.state = arrayDone
	default:
		return false
	}
	return true
}

// inside takes a byte of an element.
func (a *ArrayReader) inside(c byte) {
	switch {
	case a.escaped:
		a.escaped = false
	case a.inText:
		a.escaped = c == '\\'
		a.inText = c != '"'
	case c == '"':
		a.inText = true
	case c == '{' || c == '[':
		a.depth++
	case c == '}' || c == ']':
		if a.depth--; a.depth == 0 {
			a.have = a.at
			if a.state == arrayAlone {
				a.state = arrayDone
			} else {
				a.state = arrayComma
			}
		}
	}
}
