package ingress

import (
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/http1"
)

const (
	// gather is how much of a body of unknown length may wait for its end, so that it can go out with its length.
	gather = 4 << 10
	// full is how much may wait to be written at all; pieces of direct bytes and more are not copied but written beside what waits.
	full   = 16 << 10
	direct = 8 << 10
)

// response is the answer to one request. It writes what net/http's would: a declared length as it is, a short body that ends unflushed with
// its length, everything else in chunks. What waits goes out when it is much, when it is flushed, and at the end.
type response struct {
	c      *conn
	body   *requestBody
	header http.Header
	out    *[]byte // what waits; nil while nothing does, so that a slow stream holds no buffer while it waits
	raw    *[]byte // of a body whose framing is open

	status  int
	length  int64 // declared; -1: not
	written int64
	open    bool // the head lacks its framing and its end
	chunked bool
	bare    bool // a status without a body
	last    bool // the connection ends with this answer
	err     error
}

// Header implements http.ResponseWriter. Changes after the head was written have no effect; trailers are not supported.
func (r *response) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter. Interim answers are not sent.
func (r *response) WriteHeader(status int) {
	if r.status != 0 || status < 200 {
		return
	}
	r.status = status
	r.bare = status == http.StatusNoContent || status == http.StatusNotModified
	r.last = r.last || r.body.left > maxDiscard || r.c.s.closing.Load()
	if v := r.header["Content-Length"]; len(v) > 0 {
		n, err := http1.ContentLength(v)
		if err != nil || r.bare {
			delete(r.header, "Content-Length")
		} else {
			r.length = n
		}
	}
	b := r.waiting()
	*b = append(*b, "HTTP/1.1 "...)
	*b = strconv.AppendInt(*b, int64(status), 10)
	*b = append(*b, ' ')
	*b = append(*b, http.StatusText(status)...)
	*b = append(*b, "\r\n"...)
	for k, vs := range r.header {
		*b = r.appendField(*b, k, vs)
	}
	if r.header["Date"] == nil {
		*b = append(*b, "Date: "...)
		*b = append(*b, r.c.s.dateText()...)
		*b = append(*b, "\r\n"...)
	}
	if r.last {
		*b = append(*b, "Connection: close\r\n"...)
	}
	if r.open = !r.bare && (r.length < 0 || r.header["Content-Type"] == nil); !r.open {
		*b = append(*b, "\r\n"...)
	}
}

// appendField appends a header field. How the answer is framed is not the handler's to say.
func (r *response) appendField(b []byte, name string, values []string) []byte {
	switch name {
	case "Transfer-Encoding", "Trailer":
		return b
	case "Connection":
		r.last = r.last || len(values) > 0 && http1.HasToken(values[0], "close")
		return b
	}
	if !http1.ValidName(name) {
		return b
	}
	for _, v := range values {
		b = append(b, name...)
		b = append(b, ": "...)
		if !http1.ValidValue(v) {
			v = strings.Map(plainRune, v)
		}
		b = append(b, v...)
		b = append(b, "\r\n"...)
	}
	return b
}

// plainRune puts a space in the place of a control character, which could begin another field.
func plainRune(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f {
		return ' '
	}
	return r
}

// Write implements http.ResponseWriter.
func (r *response) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	switch {
	case r.err != nil:
		return 0, r.err
	case r.bare:
		return 0, http.ErrBodyNotAllowed
	case len(p) == 0:
		return 0, nil
	}
	if r.written += int64(len(p)); r.length >= 0 && r.written > r.length {
		return 0, http.ErrContentLength
	}
	if r.open && r.length < 0 && r.written <= gather {
		if r.raw == nil {
			r.raw = r.c.s.buffers.get()
		}
		*r.raw = append(*r.raw, p...)
		return len(p), nil
	}
	if r.open {
		r.frame(true, p)
	}
	r.put(p)
	return len(p), r.err
}

// frame completes the head: for a body of declared length; else, unless more is to come, with the length of what has been written; else for
// chunks. next is the piece that comes behind what has been written.
func (r *response) frame(more bool, next []byte) {
	r.open, r.chunked = false, more && r.length < 0
	var raw []byte
	if r.raw != nil {
		raw = *r.raw
	}
	b := r.waiting()
	if r.header["Content-Type"] == nil && len(raw)+len(next) > 0 {
		first := append(raw[:len(raw):len(raw)], next[:min(len(next), gather)]...)
		*b = append(*b, "Content-Type: "+http.DetectContentType(first)+"\r\n"...)
	}
	if r.length >= 0 {
		*b = append(*b, "\r\n"...)
	} else if r.chunked {
		*b = append(*b, "Transfer-Encoding: chunked\r\n\r\n"...)
	} else {
		*b = append(*b, "Content-Length: "...)
		*b = strconv.AppendInt(*b, int64(len(raw)), 10)
		*b = append(*b, "\r\n\r\n"...)
	}
	if len(raw) > 0 {
		r.put(raw)
	}
	if r.raw != nil {
		r.c.s.buffers.put(r.raw)
		r.raw = nil
	}
}

// put adds a piece of the body, as a chunk where that is the framing.
func (r *response) put(p []byte) {
	b := r.waiting()
	if r.chunked {
		*b = strconv.AppendInt(*b, int64(len(p)), 16)
		*b = append(*b, "\r\n"...)
	}
	if len(p) >= direct {
		r.push(p)
		b = r.waiting()
	} else {
		*b = append(*b, p...)
	}
	if r.chunked {
		*b = append(*b, "\r\n"...)
	}
	if len(*b) >= full {
		r.push(nil)
	}
}

// waiting is where what is to be written is appended.
func (r *response) waiting() *[]byte {
	if r.out == nil {
		r.out = r.c.s.buffers.get()
	}
	return r.out
}

// push writes what waits, and p behind it.
func (r *response) push(p []byte) {
	if r.out != nil && r.err == nil {
		if len(p) > 0 {
			r.err = r.c.writeParts(net.Buffers{*r.out, p})
		} else if len(*r.out) > 0 {
			_, r.err = r.c.Write(*r.out)
		}
		if r.err != nil {
			r.c.left()
		}
	}
	if r.out != nil {
		r.c.s.buffers.put(r.out)
		r.out = nil
	}
}

// FlushError sends what has been written; http.ResponseController calls it.
func (r *response) FlushError() error {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if r.open {
		r.frame(true, nil)
	}
	r.push(nil)
	return r.err
}

// Flush implements http.Flusher.
func (r *response) Flush() { _ = r.FlushError() } // the next write says it again

// finish ends the answer and tells whether the connection can serve another request.
func (r *response) finish() bool {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if r.open {
		r.frame(false, nil)
	}
	if r.chunked {
		b := r.waiting()
		*b = append(*b, "0\r\n\r\n"...)
	}
	r.push(nil)
	whole := r.length < 0 || r.written == r.length
	return r.err == nil && whole && !r.last && r.body.discard()
}

// abort ends the answer where it is: the client sees that it is cut.
func (r *response) abort() {
	if r.status != 0 && !r.open {
		r.push(nil)
	}
}

// release gives back what the answer holds.
func (r *response) release() {
	for _, b := range []*[]byte{r.out, r.raw} {
		if b != nil {
			r.c.s.buffers.put(b)
		}
	}
	r.out, r.raw = nil, nil
}
