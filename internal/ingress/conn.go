package ingress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/http1"
)

const (
	readBuffer = 4 << 10
	maxHead    = 64 << 10 // larger ones are net/http's to refuse
	// maxDiscard is how much of a body that nobody read is read to keep the connection.
	maxDiscard = 256 << 10
	// linger is how long a client that still sends has time to read our answer before the connection is cut.
	linger = 500 * time.Millisecond
)

// conn is one client's connection. Its goroutine owns it; mu guards what others may touch.
type conn struct {
	patient
	s      *Server
	remote string
	buf    []byte // buf[r:w] is read and not yet used
	r, w   int
	readBy time.Time   // the deadline of reads, as last set
	header http.Header // of answers, one after the other

	mu     sync.Mutex
	busy   bool               // a request has begun to arrive and is not yet answered
	gone   bool               // the client has closed its side
	cancel context.CancelFunc // of the call that is being served

	watched uint64 // its number at the watcher
}

// buffers are read buffers of connections, and what answers are written from.
type buffers struct{ sync.Pool }

func (p *buffers) get() *[]byte {
	if b, ok := p.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, readBuffer)
	return &b
}

func (p *buffers) put(b *[]byte) {
	if cap(*b) <= 8*readBuffer {
		*b = (*b)[:0]
		p.Put(b)
	}
}

func (c *conn) serve() {
	defer c.s.forget(c)
	if err := c.s.watch.add(c); err != nil {
		c.s.logf("http: watch a connection: %v", err)
		_ = c.Close()
		return
	}
	c.remote = c.RemoteAddr().String()
	c.buf, c.header = make([]byte, readBuffer), http.Header{}
	for {
		head, err := c.readHead()
		if err != nil && err != errUnusual {
			_ = c.Close()
			return
		}
		var req *http.Request
		var body *requestBody
		if err == nil {
			req, body = c.parse(head)
		}
		if req == nil {
			c.s.watch.remove(c)
			c.s.hand(c)
			return
		}
		c.r += len(head)
		if !c.call(req, body) {
			return
		}
	}
}

// errUnusual is what net/http shall see to.
var errUnusual = errors.New("not a request for the lean server")

// readHead waits for the next request and gives its head, blank line included: a part of the buffer.
func (c *conn) readHead() ([]byte, error) {
	searched, begun := 0, false
	for {
		b := c.buf[c.r:c.w]
		if len(b) > 0 && (b[0] < 'A' || b[0] > 'Z') {
			return nil, errUnusual
		}
		if end := http1.HeadEnd(b, searched); end >= 0 {
			return b[:end], nil
		}
		if !c.room() {
			return nil, errUnusual
		}
		searched = len(b)
		if err := c.armHead(len(b) > 0, begun); err != nil {
			return nil, err
		}
		begun = len(b) > 0
		n, err := c.Read(c.buf[c.w:])
		c.w += n
		if n == 0 && err != nil {
			return nil, err
		}
		if len(b) == 0 && !c.begins() {
			return nil, http.ErrServerClosed
		}
	}
}

// room makes space behind w, growing the buffer up to maxHead; false if there is no more.
func (c *conn) room() bool {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
		if len(c.buf) > readBuffer {
			c.buf = make([]byte, readBuffer)
		}
	case c.w < len(c.buf):
	case c.r > 0:
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	case len(c.buf) >= maxHead:
		return false
	default:
		bigger := make([]byte, 2*len(c.buf))
		c.w = copy(bigger, c.buf)
		c.buf = bigger
	}
	return true
}

// arm bounds the next read. A deadline that is at most a sixteenth too early is left as it is: moving it costs more than looking at the
// clock.
func (c *conn) arm(d time.Duration) error {
	var by time.Time
	if d > 0 {
		by = time.Now().Add(d)
		if early := by.Sub(c.readBy); early >= 0 && early < d/16 {
			return nil
		}
	} else if c.readBy.IsZero() {
		return nil
	}
	c.readBy = by
	return c.SetReadDeadline(by)
}

// armHead bounds the wait for a request, and then that for the rest of its head, however slowly it trickles in.
func (c *conn) armHead(begins, begun bool) error {
	switch {
	case begun:
		return nil
	case begins:
		return c.arm(c.s.std.ReadHeaderTimeout)
	}
	return c.arm(c.s.std.IdleTimeout)
}

// begins notes that a request is coming in; false if the connection was closed as an idle one in that moment.
func (c *conn) begins() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = true
	return !c.s.closing.Load()
}

// closeIdle closes the connection if no request is on it.
func (c *conn) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.busy {
		_ = c.Close()
	}
}

// left is told when the client has closed its side: the call that is being served is cancelled.
func (c *conn) left() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	if c.cancel != nil {
		c.cancel()
	}
}

// parse makes a request of a head, or gives nil if net/http shall look at it.
func (c *conn) parse(head []byte) (*http.Request, *requestBody) {
	if bytes.Count(head, []byte("\n")) != bytes.Count(head, []byte("\r\n")) {
		return nil, nil
	}
	line, fields, _ := strings.Cut(string(head), "\r\n")
	method, line, _ := strings.Cut(line, " ")
	target, proto, _ := strings.Cut(line, " ")
	if method != http.MethodPost && method != http.MethodGet || proto != "HTTP/1.1" || !plainTarget(target) {
		return nil, nil
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, nil
	}
	h, err := http1.Fields(fields)
	if err != nil || len(h["Host"]) != 1 || !plainHost(h["Host"][0]) {
		return nil, nil
	}
	for _, k := range [...]string{"Transfer-Encoding", "Expect", "Upgrade", "Trailer"} {
		if _, ok := h[k]; ok {
			return nil, nil
		}
	}
	body := &requestBody{c: c}
	if v := h["Content-Length"]; v != nil {
		if body.left, err = http1.ContentLength(v); err != nil || len(v) > 1 || method != http.MethodPost && body.left > 0 {
			return nil, nil
		}
	}
	final := false
	if v := h["Connection"]; v != nil {
		final = strings.EqualFold(v[0], "close")
		if len(v) > 1 || !final && !strings.EqualFold(v[0], "keep-alive") {
			return nil, nil
		}
	}
	req := &http.Request{Method: method, URL: u, Proto: proto, ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: http.NoBody, ContentLength: body.left,
		Host: h["Host"][0], RemoteAddr: c.remote, RequestURI: target, Close: final}
	delete(h, "Host")
	if body.left > 0 {
		req.Body = body
	}
	return req, body
}

// plainTarget tells whether a request's target is a path of printable ASCII, which is all that the lean server looks at.
func plainTarget(s string) bool {
	if s == "" || s[0] != '/' || strings.HasPrefix(s, "//") {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func plainHost(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', strings.IndexByte(".-:[]_", b) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// call serves one request and tells whether another may follow; otherwise the connection is closed.
func (c *conn) call(req *http.Request, body *requestBody) (more bool) {
	ctx, cancel := context.WithCancel(c.s.base)
	defer cancel()
	c.mu.Lock()
	c.cancel = cancel
	if c.gone && c.r == c.w {
		cancel()
	}
	c.mu.Unlock()
	w := &response{c: c, body: body, header: c.header, length: -1, last: req.Close}
	if c.handle(w, req.WithContext(ctx)) {
		more = w.finish()
	}
	w.release()
	clear(c.header)
	c.mu.Lock()
	c.cancel, c.busy = nil, c.r < c.w
	c.mu.Unlock()
	if more && c.s.closing.Load() {
		more = false
	}
	if !more {
		c.part(body)
	}
	return more
}

// handle runs the handler; a panic of it is an error in the log and the end of the connection.
func (c *conn) handle(w *response, req *http.Request) (ok bool) {
	defer func() {
		if ok {
			return
		}
		if e := recover(); e != nil && e != http.ErrAbortHandler {
			c.s.logf("http: panic serving %v: %v\n%s", c.remote, e, debug.Stack())
		}
		w.abort()
	}()
	c.s.handler.ServeHTTP(w, req)
	return true
}

// part closes the connection. A client that is still sending could lose our answer to the reset that closing would cause: it gets a moment.
func (c *conn) part(body *requestBody) {
	defer func() { _ = c.Close() }()
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if body.left == 0 || !ok || half.CloseWrite() != nil || c.SetReadDeadline(time.Now().Add(linger)) != nil {
		return
	}
	for n := 0; n < 16*maxDiscard; {
		m, err := c.Read(c.buf)
		if n += m; err != nil {
			return
		}
	}
}

// requestBody is the body of a request, left bytes of which are still to be read.
type requestBody struct {
	c    *conn
	left int64
}

// Read gives io.EOF with the last bytes.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), b.left)]
	if len(p) == 0 {
		return 0, nil
	}
	c := b.c
	n := copy(p, c.buf[c.r:c.w])
	c.r += n
	var err error
	if n == 0 {
		n, err = c.readBody(p)
	}
	if b.left -= int64(n); b.left == 0 {
		return n, io.EOF
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close implements io.Closer; what is left is read or cut when the call is over.
func (b *requestBody) Close() error { return nil }

// readBody reads into p, or through the buffer if that is larger.
func (c *conn) readBody(p []byte) (int, error) {
	if err := c.arm(c.s.std.IdleTimeout); err != nil {
		return 0, err
	}
	if len(p) >= readBuffer {
		return c.Read(p)
	}
	c.r, c.w = 0, 0
	n, err := c.Read(c.buf)
	c.w = n
	n = copy(p, c.buf[:n])
	c.r = n
	return n, err
}

// discard reads over what the handler left of the body; false if that is not worth it, or failed.
func (b *requestBody) discard() bool {
	if b.left > maxDiscard {
		return false
	}
	_, err := io.Copy(io.Discard, b)
	return err == nil
}
