package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-gateway/weir/internal/http1"
	"github.com/weir-gateway/weir/internal/sock"
)

// lean is an HTTP/1.1 client for plain connections. A call runs on its caller's goroutine: no goroutine reads or writes in the
// background, except for a request body so large that an upstream may answer before it has read it.
type lean struct {
	dialer *net.Dialer
	pool   pool
	heads  sync.Pool // *[]byte, to write requests from
}

const (
	// Bodies up to joinBody are copied behind the head. Those up to directBody fit into the buffers of any kernel, so that writing them
	// cannot wait for an upstream which waits for us to read.
	joinBody   = 16 << 10
	directBody = 48 << 10
	maxInterim = 8
)

// serves tells whether the lean client can make a call; net/http makes all others.
func (l *lean) serves(req *http.Request) bool {
	if req.URL.Scheme != "http" || req.Method == http.MethodConnect || len(req.TransferEncoding) > 0 || req.Trailer != nil {
		return false
	}
	if req.Body != nil && req.Body != http.NoBody && req.ContentLength <= 0 {
		return false
	}
	for _, k := range [...]string{"Expect", "Upgrade", "Te"} {
		if _, ok := req.Header[k]; ok {
			return false
		}
	}
	host := req.URL.Host
	for i := range len(host) { // zones and international names are left to net/http
		if c := host[i]; c <= ' ' || c >= 0x7f || c == '%' {
			return false
		}
	}
	return host != "" && req.URL.Opaque == ""
}

func (l *lean) do(req *http.Request, t Timeouts) (*http.Response, error) {
	x := &call{l: l, req: req, body: req.Body, ctx: req.Context(), t: t}
	defer func() { x.closeBody() }()
	if t.Total > 0 {
		x.end = time.Now().Add(t.Total)
	}
	if err := x.ctx.Err(); err != nil {
		return nil, context.Cause(x.ctx)
	}
	x.c = l.pool.get(req.URL.Host)
	reused := x.c != nil
	for {
		if x.c == nil {
			c, err := x.dial()
			if err != nil {
				return nil, err
			}
			x.c = c
		}
		err := x.exchange()
		if err == nil {
			return &x.resp, nil
		}
		// The connection may have been closed just when we wrote. If not a byte came back and the body can be said again, it is.
		if !reused || x.answered || !broken(err) || !x.rewind() {
			return nil, err
		}
		reused = false
		x = &call{l: l, req: req, body: x.body, ctx: x.ctx, t: t, end: x.end}
	}
}

// broken tells an error of the connection from a timeout, a cancellation and an error of the body.
func broken(err error) bool {
	if _, ok := errors.AsType[*bodyError](err); ok {
		return false
	}
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNABORTED)
}

// dial makes a connection within the time for it.
func (x *call) dial() (*conn, error) {
	ctx, limit, phase := x.ctx, x.t.Connect, PhaseConnect
	if !x.end.IsZero() {
		if left := time.Until(x.end); limit == 0 || left < limit {
			limit, phase = max(left, 1), PhaseTotal
		}
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	host := x.req.URL.Host
	address := host
	if x.req.URL.Port() == "" {
		address = net.JoinHostPort(x.req.URL.Hostname(), "80")
	}
	nc, err := x.l.dialer.DialContext(ctx, "tcp", address)
	switch {
	case err == nil:
	case x.ctx.Err() != nil:
		return nil, context.Cause(x.ctx)
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return nil, x.timeout(phase)
	default:
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return &conn{socket: sock.New(nc.(*net.TCPConn)), host: host, buf: x.l.pool.buffers.get()}, nil // what is dialled as tcp is one
}

func (x *call) timeout(phase string) error {
	d := x.t.Total
	switch phase {
	case PhaseConnect:
		d = x.t.Connect
	case PhaseFirstByte:
		d = x.t.FirstByte
	case PhaseIdle:
		d = x.t.Idle
	}
	return &TimeoutError{phase, d}
}

// exchange sends the request and reads the answer's head. On an error the connection is gone.
func (x *call) exchange() error {
	if x.ctx.Done() != nil {
		x.stop = context.AfterFunc(x.ctx, x.abort)
	}
	err := x.arm(x.t.FirstByte)
	if err == nil {
		err = x.send()
	}
	sent := err
	var f framing
	// An upstream that refuses a request may answer and close while we still write: its answer counts, our error does not.
	if err == nil || broken(err) {
		f, err = x.head()
	}
	if err != nil {
		err = x.reason(err, PhaseFirstByte)
		if sent == nil {
			sent = x.written(true)
		}
		if sent != nil && sent != errWriting && broken(err) {
			err = sent
		}
		x.finish(false)
		return err
	}
	x.unsent = sent != nil
	x.begin(f)
	return nil
}

// arm sets a deadline d from now, but not behind that of the whole call; 0 is none of its own. A deadline that stands so near before
// the new one that nobody would notice is left alone.
func (x *call) arm(d time.Duration) error {
	var t time.Time
	if d > 0 {
		t = time.Now().Add(d)
	}
	if !x.end.IsZero() && (d == 0 || x.end.Before(t)) {
		t = x.end
	}
	if t.IsZero() && x.c.deadline.IsZero() {
		return nil
	}
	if later := t.Sub(x.c.deadline); x.armed && (later == 0 || later > 0 && later < d/16) {
		return nil
	}
	x.armed = true
	x.c.deadline = t
	return x.c.SetDeadline(t)
}

// reason is what an error of the connection means.
func (x *call) reason(err error, phase string) error {
	var ne net.Error
	switch {
	case x.aborted.Load():
		if x.ctx.Err() != nil {
			return context.Cause(x.ctx)
		}
		return http.ErrBodyReadAfterClose
	case errors.Is(err, net.ErrClosed): // by the goroutine that writes
		if w := x.written(false); w != nil {
			return w
		}
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	case errors.As(err, &ne) && ne.Timeout():
		if !x.end.IsZero() && !time.Now().Before(x.end) {
			phase = PhaseTotal
		}
		return x.timeout(phase)
	}
	return err
}

// head reads the answer's head, past any interim ones.
func (x *call) head() (framing, error) {
	c := x.c
	searched, interim := 0, 0
	for {
		b := c.buf[c.r:c.w]
		if len(b) >= 5 && string(b[:5]) != "HTTP/" {
			return framing{}, http1.Malformed("it begins with %.20q", b)
		}
		if end := http1.HeadEnd(b, searched); end >= 0 {
			f, err := parseHead(b[:end], &x.resp)
			c.r += end
			searched = 0
			switch {
			case err != nil:
				return f, err
			case x.resp.StatusCode == http.StatusSwitchingProtocols:
				return f, http1.Malformed("it switches protocols")
			case x.resp.StatusCode >= 200:
				return f, nil
			}
			if interim++; interim > maxInterim {
				return f, http1.Malformed("more than %d interim answers", maxInterim)
			}
			continue
		}
		searched = len(b)
		if !c.room() {
			return framing{}, http1.Malformed("its head is larger than %d bytes", maxHead)
		}
		n, err := c.Read(c.buf[c.w:])
		c.w += n
		x.answered = x.answered || n > 0
		if n == 0 && err != nil {
			return framing{}, err
		}
	}
}

// basicAuth moves a user name and password from the URL to the header, as net/http's Client does.
func basicAuth(req *http.Request) *http.Request {
	if req.URL.User == nil || req.Header.Get("Authorization") != "" {
		return req
	}
	req = req.Clone(req.Context())
	if req.Header == nil {
		req.Header = http.Header{}
	}
	password, _ := req.URL.User.Password()
	req.SetBasicAuth(req.URL.User.Username(), password)
	return req
}

// call is one exchange on a connection, and the answer's body.
type call struct {
	l    *lean
	c    *conn
	req  *http.Request
	body io.ReadCloser // of the request
	ctx  context.Context
	t    Timeouts
	end  time.Time // of the whole call, zero: never
	resp http.Response
	stop func() bool

	answered bool // a byte came back
	armed    bool // a deadline of this call is set
	unsent   bool // the request did not go out whole
	writing  chan error

	// own guards the connection's fate against those who cancel: it may be closed only while it is ours.
	own      sync.Mutex
	released bool
	aborted  atomic.Bool

	mu     sync.Mutex // of the fields below, and of reading
	f      framing
	left   int64 // of the body or, in chunks, of the chunk
	first  bool  // no chunk has been read
	last   bool  // the last chunk has been read, trailers have not
	closed bool
	err    error
}

// abort closes the connection under whoever reads or writes.
func (x *call) abort() {
	x.own.Lock()
	defer x.own.Unlock()
	if !x.released {
		x.aborted.Store(true)
		x.c.Close()
	}
}

// finish lets go of the connection: back to the pool if the exchange was whole, otherwise closed.
func (x *call) finish(whole bool) {
	x.own.Lock()
	if x.released {
		x.own.Unlock()
		return
	}
	x.released = true
	whole = whole && !x.aborted.Load()
	x.own.Unlock()
	if x.stop != nil {
		x.stop()
	}
	c := x.c
	if whole && !x.f.close && !x.unsent && c.r == c.w && x.written(false) == nil && !closes(x.req) {
		x.l.pool.put(c)
		return
	}
	c.Close()
	if x.written(true) == errWriting {
		x.body.Close()
	}
	x.l.pool.drop(c)
}

func closes(req *http.Request) bool {
	if req.Close {
		return true
	}
	for _, v := range req.Header["Connection"] {
		if http1.HasToken(v, "close") {
			return true
		}
	}
	return false
}
