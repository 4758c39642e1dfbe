package egress

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

var errWriting = errors.New("the request is still being written")

// send writes the request. Of a large body in memory it writes what the kernel takes at once, which is often all; the rest, and any other
// large body, is left to a goroutine, whose end written reports: the upstream may want to be read before it reads on.
func (x *call) send() error {
	hp, _ := x.l.heads.Get().(*[]byte)
	if hp == nil {
		hp = new([]byte)
	}
	give := func(b []byte) {
		if cap(b) <= 2*joinBody {
			*hp = b[:0]
			x.l.heads.Put(hp)
		}
	}
	b, err := appendHead((*hp)[:0], x.req)
	if err != nil {
		give(b)
		return err
	}
	body, size := x.body, x.req.ContentLength
	if body == nil || body == http.NoBody {
		body, size = nil, 0
	}
	if size <= directBody {
		b, err = x.sendNow(b, body, size)
		give(b)
		return err
	}
	if m := whole(body, size); m != nil {
		rest, err := x.c.TryWrite(m.behind(b))
		if err != nil || len(rest) == 0 {
			give(b)
			return err
		}
		return x.sendLater(body, func() error {
			defer give(b)
			_, err := rest.WriteTo(x.c.socket)
			return err
		})
	}
	return x.sendLater(body, func() error {
		defer give(b)
		return x.sendLarge(b, body, size)
	})
}

// sendLater leaves writing to a goroutine.
func (x *call) sendLater(body io.ReadCloser, send func() error) error {
	x.writing = make(chan error, 1)
	go func() {
		defer body.Close()
		err := send()
		x.writing <- err
		if _, ok := errors.AsType[*bodyError](err); ok {
			x.cut()
		}
	}()
	return nil
}

// sendNow writes head and body in one go.
func (x *call) sendNow(b []byte, body io.Reader, size int64) ([]byte, error) {
	if m := whole(body, size); m != nil && size > joinBody {
		parts := m.behind(b)
		_, err := parts.WriteTo(x.c.socket)
		return b, err
	} else if m != nil {
		for _, part := range m.all() {
			b = append(b, part...)
		}
	} else if body != nil {
		from := len(b)
		b = append(b, make([]byte, size)...)
		if _, err := io.ReadFull(body, b[from:]); err != nil {
			return b, &bodyError{err}
		}
		if err := atEnd(body); err != nil {
			return b, err
		}
	}
	_, err := x.c.Write(b)
	return b, err
}

// sendLarge writes while the caller reads.
func (x *call) sendLarge(b []byte, body io.Reader, size int64) error {
	if _, err := x.c.Write(b); err != nil {
		return err
	}
	src := &counted{r: body}
	n, err := io.Copy(x.c.socket, io.LimitReader(src, size))
	if err == nil && n < size {
		src.err = io.ErrUnexpectedEOF
	} else if err == nil {
		src.err = atEnd(body)
	}
	if src.err != nil {
		return &bodyError{src.err}
	}
	return err
}

// cut closes the connection, if it is still ours, because the request can't be finished or must not go on.
func (x *call) cut() {
	x.own.Lock()
	defer x.own.Unlock()
	if !x.released {
		x.c.Close()
	}
}

// closeBody closes the request's body, unless a goroutine still reads it and will.
func (x *call) closeBody() {
	if x.body != nil && x.writing == nil {
		x.body.Close()
	}
}

// counted remembers an error of the body, which io.Copy mixes with those of the connection.
type counted struct {
	r   io.Reader
	err error
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// bodyError is an error of the request's own body.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return fmt.Sprintf("read request body: %v", e.err) }
func (e *bodyError) Unwrap() error { return e.err }

func atEnd(body io.Reader) error {
	var one [1]byte
	if n, err := io.ReadFull(body, one[:]); n > 0 {
		return &bodyError{errors.New("it is longer than its content length")}
	} else if err != io.EOF {
		return &bodyError{err}
	}
	return nil
}

// written is the writing goroutine's error. Without wait it is errWriting if that is not done; with wait the connection must be closed
// already or broken, and a body in memory is then free to be used again.
func (x *call) written(wait bool) error {
	if x.writing == nil {
		return nil
	}
	if wait {
		if _, ok := x.body.(*memory); ok {
			x.cut()
			err := <-x.writing
			x.writing <- err
			return err
		}
	}
	select {
	case err := <-x.writing:
		x.writing <- err
		return err
	default:
		return errWriting
	}
}

// rewind makes the body ready to be sent again.
func (x *call) rewind() bool {
	if x.body == nil || x.body == http.NoBody {
		return true
	}
	if m, ok := x.body.(*memory); ok {
		m.again()
		return true
	}
	if x.req.GetBody == nil || x.writing != nil {
		return false
	}
	body, err := x.req.GetBody()
	if err != nil {
		return false
	}
	x.body.Close()
	x.body = body
	return true
}
