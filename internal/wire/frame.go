package wire

import (
	"errors"
	"io"
)

// Frame is one framed piece of a stream. Its bytes belong to the reader and are valid until the next call of Next.
type Frame struct {
	// Type is from the event line, or from :event-type or :exception-type; empty if there is none.
	Type string
	// Data is the payload; of a server-sent event its data lines joined by line feeds.
	Data []byte
	// Raw is the frame as it came, for passing it on. The Raws of a stream, put together, are the stream.
	Raw []byte
	// Exception says that the frame is an AWS exception or error, not an event.
	Exception bool
}

// FrameReader reads a stream frame by frame. Not safe for concurrent use.
type FrameReader interface {
	// Next gives the next frame, io.EOF at a clean end and io.ErrUnexpectedEOF if the stream ends inside a frame. Errors stay.
	Next() (Frame, error)
	// Buffered tells whether Next will answer without reading, so that a writer flushes only when the upstream has nothing more
	// to give. It does not touch the current frame.
	Buffered() bool
}

// ErrFrameTooLarge says that a frame exceeds the reader's limit.
var ErrFrameTooLarge = errors.New("stream frame exceeds the size limit")

const (
	defaultMaxFrame = 16 << 20
	// A stream of small frames holds firstBuffer, and steadyBuffer once the upstream was faster than we; what a large frame made
	// of the buffer is given back after calmFrames small ones.
	firstBuffer  = 4 << 10
	steadyBuffer = 8 << 10
	calmFrames   = 32
)

// window is a buffer over a reader that holds the current frame in one piece: buf[start:end] is unread, the frame being sought begins at
// start. The frame given out last lies before start and is overwritten by fill only.
type window struct {
	r          io.Reader
	buf        []byte
	start, end int
	max        int
	calm       int
	busy       bool // the last read filled the buffer
	err        error
}

func (w *window) reset(r io.Reader) {
	buf := w.buf
	if len(buf) > steadyBuffer {
		buf = nil
	}
	*w = window{r: r, buf: buf, max: w.max}
}

func (w *window) unread() []byte { return w.buf[w.start:w.end] }

// take gives out the first n unread bytes.
func (w *window) take(n int) []byte {
	b := w.buf[w.start : w.start+n : w.start+n]
	w.start += n
	if n > steadyBuffer/2 {
		w.calm = 0
	} else if w.calm < calmFrames {
		w.calm++
	}
	return b
}

// fill reads once, at least one byte. The bytes before start are lost.
func (w *window) fill() error {
	if w.err != nil {
		return w.err
	}
	if w.end-w.start >= w.max {
		w.err = ErrFrameTooLarge
		return w.err
	}
	w.room()
	for range 100 {
		n, err := w.r.Read(w.buf[w.end:])
		w.end += n
		w.busy = w.end == len(w.buf)
		w.err = err
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	w.err = io.ErrNoProgress
	return w.err
}

// room makes space behind end.
func (w *window) room() {
	n := w.end - w.start
	size := len(w.buf)
	switch {
	case size == 0:
		size = firstBuffer
	case n == 0 && size > steadyBuffer && w.calm == calmFrames:
		size = steadyBuffer
	case w.busy && size < steadyBuffer:
		size = steadyBuffer
	case n > size/2 && w.end == size:
		size *= 2
	}
	switch {
	case size != len(w.buf):
		buf := make([]byte, size)
		copy(buf, w.unread())
		w.buf = buf
	case n == 0 || w.end == size:
		copy(w.buf, w.unread())
	default:
		return
	}
	w.start, w.end = 0, n
}
