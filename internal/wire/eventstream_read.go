package wire

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// EventStreamReader reads AWS's event stream (application/vnd.amazon.eventstream). Both checksums of every message are verified.
type EventStreamReader struct {
	w     window
	total int // length of the message at w.start, 0: not known yet
	names []string
	body  []byte // made for an error that has no payload
}

// Errors of a stream that is not one of messages.
var (
	ErrChecksum = errors.New("event stream checksum mismatch")
	ErrMessage  = errors.New("malformed event stream message")
)

const (
	preludeLen = 12
	minMessage = preludeLen + 4
)

// NewEventStreamReader reads from r. A message of more than maxFrame bytes gives ErrFrameTooLarge; 0 means 16 MiB.
func NewEventStreamReader(r io.Reader, maxFrame int) *EventStreamReader {
	if maxFrame <= 0 {
		maxFrame = defaultMaxFrame
	}
	return &EventStreamReader{w: window{r: r, max: maxFrame}}
}

// Reset makes the reader start again on r with what memory it has, up to 8 KiB. A nil r lets go of the old one.
func (e *EventStreamReader) Reset(r io.Reader) {
	e.w.reset(r)
	*e = EventStreamReader{w: e.w, names: e.names}
}

// Next implements FrameReader. A message of type error (not modelled by the service) is an Exception too: its Type is the
// :error-code, and its Data, if it brought no payload, an object with the :error-message as "message".
func (e *EventStreamReader) Next() (Frame, error) {
	for {
		ok, err := e.parse()
		if err != nil {
			e.w.err = err
			return Frame{}, err
		}
		if ok {
			break
		}
		if err := e.w.fill(); err == io.EOF && e.w.start < e.w.end {
			e.w.err = io.ErrUnexpectedEOF
			return Frame{}, e.w.err
		} else if err != nil {
			return Frame{}, err
		}
	}
	raw := e.w.take(e.total)
	e.total = 0
	f, err := e.frame(raw)
	if err != nil {
		e.w.start, e.w.err = e.w.end, err
	}
	return f, err
}

// Buffered implements FrameReader.
func (e *EventStreamReader) Buffered() bool {
	ok, err := e.parse()
	return ok || err != nil || e.w.err != nil
}

// parse tells whether the buffer holds a whole message; an error says that what comes is none.
func (e *EventStreamReader) parse() (bool, error) {
	b := e.w.unread()
	if e.total == 0 {
		if len(b) < preludeLen {
			return false, nil
		}
		if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) {
			return false, ErrChecksum
		}
		total, headers := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		switch {
		case total < minMessage || headers > total-minMessage:
			return false, ErrMessage
		case int64(total) > int64(e.w.max):
			return false, ErrFrameTooLarge
		}
		e.total = int(total)
	}
	return len(b) >= e.total, nil
}

func (e *EventStreamReader) frame(raw []byte) (Frame, error) {
	body, sum := raw[:len(raw)-4], raw[len(raw)-4:]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(sum) {
		return Frame{}, ErrChecksum
	}
	n := preludeLen + int(binary.BigEndian.Uint32(raw[4:]))
	h, ok := readHeaders(body[preludeLen:n])
	if !ok {
		return Frame{}, ErrMessage
	}
	f := Frame{Data: body[n:len(body):len(body)], Raw: raw}
	switch string(h.messageType) {
	case "exception":
		f.Exception, f.Type = true, e.name(h.exceptionType)
	case "error":
		f.Exception, f.Type = true, e.name(h.errorCode)
		if len(f.Data) == 0 {
			f.Data = e.errorBody(h.errorMessage)
		}
	default:
		f.Type = e.name(h.eventType)
	}
	return f, nil
}

func (e *EventStreamReader) errorBody(message []byte) []byte {
	e.body = append(e.body[:0], `{"message":`...)
	out, err := jsontext.AppendQuote(e.body, message)
	if err != nil { // invalid UTF-8, already replaced in out
		e.body = append(out, '}')
		return e.body
	}
	e.body = append(out, '}')
	return e.body
}

func (e *EventStreamReader) name(b []byte) string {
	if known := eventName(b); known != "" || len(b) == 0 {
		return known
	}
	if i := slices.IndexFunc(e.names, func(n string) bool { return n == string(b) }); i >= 0 {
		return e.names[i]
	}
	n := string(b)
	if len(e.names) < maxNames {
		e.names = append(e.names, n)
	}
	return n
}

// headers are the ones that matter, as they stand in the message.
type headers struct {
	messageType, eventType, exceptionType, errorCode, errorMessage []byte
}

// readHeaders goes through a message's headers; ok is false if they do not add up.
func readHeaders(b []byte) (h headers, ok bool) {
	for len(b) > 0 {
		n := 1 + int(b[0])
		if len(b) <= n || n == 1 {
			return h, false
		}
		name, kind := b[1:n], b[n]
		b = b[n+1:]
		size := 0
		switch kind {
		case 0, 1: // true, false
		case 2: // byte
			size = 1
		case 3: // short
			size = 2
		case 4: // integer
			size = 4
		case 5, 8: // long, timestamp
			size = 8
		case 9: // uuid
			size = 16
		case 6, 7: // bytes, string
			if len(b) < 2 {
				return h, false
			}
			size = int(binary.BigEndian.Uint16(b))
			b = b[2:]
		default:
			return h, false
		}
		if len(b) < size {
			return h, false
		}
		if kind == 7 {
			h.note(name, b[:size])
		}
		b = b[size:]
	}
	return h, true
}

func (h *headers) note(name, value []byte) {
	switch string(name) {
	case ":message-type":
		h.messageType = value
	case ":event-type":
		h.eventType = value
	case ":exception-type":
		h.exceptionType = value
	case ":error-code":
		h.errorCode = value
	case ":error-message":
		h.errorMessage = value
	}
}
