package egress

import (
	"io"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/http1"
)

const maxChunkLine = 4 << 10

// begin makes the answer ready to be handed out.
func (x *call) begin(f framing) {
	x.f, x.left, x.first = f, f.length, true
	r := &x.resp
	r.Request = x.req
	r.ContentLength = f.length
	none := r.StatusCode == http.StatusNoContent || r.StatusCode == http.StatusNotModified
	if none {
		r.ContentLength = 0
	}
	none = none || x.req.Method == http.MethodHead || f.length == 0
	if !none && !f.chunked && f.length < 0 {
		x.f.close = true
	}
	r.Close = x.f.close
	if none {
		r.Body = http.NoBody
		x.finish(true)
		return
	}
	if f.chunked {
		x.left = 0
	}
	r.Body = (*leanBody)(x)
}

// leanBody is the body of a call's answer. A Close while another goroutine reads makes that read fail.
type leanBody call

// Read gives io.EOF only at the true end of the body, together with the last bytes where that is known.
func (b *leanBody) Read(p []byte) (int, error) {
	x := (*call)(b)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.closed:
		return 0, http.ErrBodyReadAfterClose
	case x.err != nil:
		return 0, x.err
	case x.aborted.Load():
		x.err = x.reason(nil, PhaseIdle)
		x.finish(false)
		return 0, x.err
	case len(p) == 0:
		return 0, nil
	}
	n, err := x.read(p)
	if err != nil {
		x.err = err
		x.finish(err == io.EOF)
	}
	return n, err
}

// Close ends the call. The connection survives if the rest of the body has arrived already.
func (b *leanBody) Close() error {
	x := (*call)(b)
	if !x.mu.TryLock() {
		x.abort()
		x.mu.Lock()
	}
	defer x.mu.Unlock()
	x.closed = true
	if x.err == nil {
		x.finish(x.skip())
	}
	return nil
}

// skip passes over what is buffered and tells whether that was all the rest.
func (x *call) skip() bool {
	c := x.c
	for {
		n := int(min(int64(c.w-c.r), x.left))
		if x.left < 0 {
			return false
		}
		c.r += n
		x.left -= int64(n)
		if x.left > 0 {
			return false
		}
		if !x.f.chunked {
			return true
		}
		if more, err := x.nextChunk(false); !more {
			return err == io.EOF
		}
	}
}

func (x *call) read(p []byte) (int, error) {
	if x.f.chunked {
		return x.readChunks(p)
	}
	if x.left > 0 && int64(len(p)) > x.left {
		p = p[:x.left]
	}
	n, err := x.some(p, true)
	if x.left < 0 { // until the connection closes
		return n, err
	}
	x.left -= int64(n)
	switch {
	case x.left == 0:
		return n, io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// some gives buffered bytes, or else reads once: into p if it is large, otherwise through the buffer.
func (x *call) some(p []byte, direct bool) (int, error) {
	c := x.c
	if c.r == c.w {
		if direct && len(p) >= connBuffer {
			return x.receive(p)
		}
		if err := x.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.r:c.w])
	c.r += n
	return n, nil
}

// more reads once into the buffer.
func (x *call) more() error {
	c := x.c
	if !c.room() {
		return http1.Malformed("chunk framing larger than %d bytes", maxHead)
	}
	n, err := x.receive(c.buf[c.w:])
	c.w += n
	return err
}

// receive reads from the connection under the idle timeout. An end is io.EOF, whatever it means; an error comes without bytes.
func (x *call) receive(p []byte) (int, error) {
	if err := x.arm(x.t.Idle); err != nil {
		return 0, x.reason(err, PhaseIdle)
	}
	for {
		n, err := x.c.Read(p)
		if n > 0 {
			return n, nil
		}
		if err == io.EOF && !x.aborted.Load() {
			return 0, err
		}
		if err != nil {
			return 0, x.reason(err, PhaseIdle)
		}
	}
}

// readChunks fills p with what is there: it waits only for the first byte.
func (x *call) readChunks(p []byte) (int, error) {
	total := 0
	for {
		if x.left == 0 {
			more, err := x.nextChunk(total == 0)
			if err != nil || !more {
				return total, err
			}
		}
		if total == len(p) || total > 0 && x.c.r == x.c.w {
			return total, nil
		}
		q := p[total:]
		if int64(len(q)) > x.left {
			q = q[:x.left]
		}
		n, err := x.some(q, x.left >= connBuffer)
		total += n
		x.left -= int64(n)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return total, err
		}
	}
}

// nextChunk reads the framing up to the next chunk's data. io.EOF says that the body ended well; without wait, more is false if the
// framing is not all here.
func (x *call) nextChunk(wait bool) (more bool, err error) {
	c := x.c
	for {
		b := c.buf[c.r:c.w]
		if x.last {
			n, err := x.trailer(b)
			if n > 0 || err != nil {
				c.r += n
				return false, err
			}
		} else {
			n, size, err := chunkLine(b, x.first)
			if err != nil {
				return false, err
			}
			if n > 0 {
				c.r += n
				x.first, x.left, x.last = false, size, size == 0
				if size > 0 {
					return true, nil
				}
				continue
			}
		}
		if !wait {
			return false, nil
		}
		if err := x.more(); err == io.EOF {
			return false, io.ErrUnexpectedEOF
		} else if err != nil {
			return false, err
		}
	}
}

// trailer reads what follows the last chunk: n is its length with io.EOF, or 0 if it is not all here.
func (x *call) trailer(b []byte) (n int, err error) {
	if len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		return 2, io.EOF
	}
	if len(b) > 0 && b[0] == '\n' {
		return 0, http1.Malformed("trailer")
	}
	end := http1.HeadEnd(b, 0)
	if end < 0 {
		return 0, nil
	}
	if x.resp.Trailer, err = http1.Fields(string(b[:end])); err != nil {
		return 0, err
	}
	return end, io.EOF
}

// chunkLine reads the end of the last chunk, unless it is the first, and the line with the size of the next; n is 0 if they are not
// all here.
func chunkLine(b []byte, first bool) (n int, size int64, err error) {
	if !first {
		if len(b) > 0 && b[0] != '\r' || len(b) > 1 && b[1] != '\n' {
			return 0, 0, http1.Malformed("chunk longer than its size")
		}
		n = min(2, len(b))
	}
	digits := 0
	for i := n; i < len(b); i++ {
		c := b[i]
		d := strings.IndexByte("0123456789abcdef", c)
		if c >= 'A' && c <= 'F' {
			d = int(c-'A') + 10
		}
		if d >= 0 {
			if digits++; digits > 15 {
				return 0, 0, http1.Malformed("chunk size")
			}
			size = size<<4 | int64(d)
			continue
		}
		if digits == 0 || c != '\r' && c != ';' && c != ' ' && c != '\t' {
			return 0, 0, http1.Malformed("chunk size")
		}
		return lineAfter(b, i, size)
	}
	return 0, 0, nil
}

// lineAfter passes over an extension, which nobody uses.
func lineAfter(b []byte, i int, size int64) (int, int64, error) {
	from := i
	for ; i < len(b); i++ {
		switch b[i] {
		case '\n':
			return 0, 0, http1.Malformed("chunk line ends in a bare line feed")
		case '\r':
			if i+1 == len(b) {
				return 0, 0, nil
			}
			if b[i+1] != '\n' {
				return 0, 0, http1.Malformed("chunk line")
			}
			return i + 2, size, nil
		}
		if i-from > maxChunkLine {
			return 0, 0, http1.Malformed("chunk extension")
		}
	}
	return 0, 0, nil
}
