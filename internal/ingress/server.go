// Package ingress is the lean HTTP/1.1 server of the user door: calls over plain connections, one after the other, with bodies of known
// length. Whatever else comes (HTTP/2, HTTP/1.0, chunked bodies, upgrades, expectations, anything that is not well formed) is handed to
// net/http's server, connection and all, before a byte of it is answered: there is one place that knows the unusual.
//
// It is on the hot path. A call costs one goroutine, no timer and three system calls: one that finds nothing to read, one that reads, one
// that writes. That the client has left is told by the kernel, once for all connections (watch_linux.go); systems without that way get
// net/http alone. Only app imports the package.
package ingress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/sock"
)

// Server serves one listener. Make it with New.
type Server struct {
	std          *http.Server
	handler      http.Handler
	writeTimeout time.Duration
	base         context.Context
	rest         *queue // connections for std
	date         atomic.Pointer[date]
	buffers      buffers

	mu       sync.Mutex
	listener net.Listener
	watch    *watcher
	conns    map[*conn]struct{}
	closing  atomic.Bool
	drained  chan struct{} // closed when the last connection has gone, once closing
}

// New makes a server that answers as std would, with its handler, its timeouts and its log, and leaves to std what it does not serve itself.
// A client that accepts no byte for writeTimeout, of either server, is cut: the write fails with os.ErrDeadlineExceeded. 0: never.
func New(std *http.Server, writeTimeout time.Duration) *Server {
	h := std.Handler
	if writeTimeout > 0 {
		std.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor < 2 {
				h.ServeHTTP(w, r)
				return
			}
			p := &patientStream{ResponseWriter: w, rc: http.NewResponseController(w), limit: writeTimeout}
			h.ServeHTTP(p, r)
			p.arm() // for what is written when the handler is done
		})
	}
	return &Server{
		std: std, handler: h, writeTimeout: writeTimeout, conns: map[*conn]struct{}{}, drained: make(chan struct{}),
		base: context.WithValue(context.Background(), http.ServerContextKey, std),
	}
}

// ServeTLS serves connections with TLS, all of them by net/http, as http.Server does it.
func (s *Server) ServeTLS(l net.Listener) error {
	return s.std.ServeTLS(patientListener{l, s.writeTimeout}, "", "")
}

// Serve accepts connections until Shutdown or Close, and then gives http.ErrServerClosed. Call it once.
func (s *Server) Serve(l net.Listener) error {
	w, err := newWatcher()
	if errors.Is(err, errors.ErrUnsupported) {
		return s.std.Serve(patientListener{l, s.writeTimeout})
	} else if err != nil {
		return err
	}
	s.mu.Lock()
	if s.closing.Load() {
		s.mu.Unlock()
		w.close()
		return http.ErrServerClosed
	}
	s.listener, s.watch = l, w
	s.rest = &queue{addr: l.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})}
	s.mu.Unlock()
	ended := make(chan error, 1)
	go func() { ended <- s.std.Serve(s.rest) }()
	err = s.accept(l)
	if s.closing.Load() {
		return http.ErrServerClosed
	}
	_ = s.rest.Close() // never fails
	<-ended
	return err
}

func (s *Server) accept(l net.Listener) error {
	const shortest, longest = 5 * time.Millisecond, time.Second
	wait := shortest
	for {
		nc, err := l.Accept()
		if err == nil {
			wait = shortest
			s.begin(nc)
			continue
		}
		var ne net.Error
		//lint:ignore SA1019 as net/http does: "too many open files" passes
		if s.closing.Load() || !errors.As(err, &ne) || !ne.Temporary() {
			return err
		}
		s.logf("http: Accept error: %v; retrying in %v", err, wait)
		time.Sleep(wait)
		wait = min(2*wait, longest)
	}
}

// begin serves a new connection.
func (s *Server) begin(nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		nc = sock.New(tcp)
	}
	c := &conn{s: s, patient: patient{Conn: nc, limit: s.writeTimeout}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		_ = nc.Close()
		return
	}
	s.conns[c] = struct{}{}
	go c.serve()
}

// forget takes a connection off the books.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch.remove(c)
	delete(s.conns, c)
	s.checkDrained()
}

// checkDrained tells Shutdown that the last connection has gone. s.mu is held.
func (s *Server) checkDrained() {
	if !s.closing.Load() || len(s.conns) > 0 {
		return
	}
	select {
	case <-s.drained:
	default:
		close(s.drained)
		s.watch.close()
	}
}

// hand gives a connection to net/http, with what was read of it.
func (s *Server) hand(c *conn) {
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		_ = c.Close()
		return
	}
	read := c.buf[c.r:c.w]
	c.buf = nil
	select {
	case s.rest.conns <- &begun{Conn: &c.patient, read: read}:
	case <-s.rest.closed:
		_ = c.Close()
	}
}

// Shutdown stops accepting, closes idle connections and waits until the others have answered; ctx bounds that.
func (s *Server) Shutdown(ctx context.Context) error {
	served := s.stop(func(c *conn) { c.closeIdle() })
	if err := s.std.Shutdown(ctx); err != nil || !served {
		return err
	}
	select {
	case <-s.drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes everything at once.
func (s *Server) Close() error {
	s.stop(func(c *conn) { _ = c.Close() })
	return s.std.Close()
}

// stop ends accepting and does what is to be done with each connection. It reports whether any were accepted here at all.
func (s *Server) stop(each func(*conn)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing.Store(true)
	if s.listener == nil {
		return false
	}
	_ = s.listener.Close() // a second time does no harm
	for c := range s.conns {
		each(c)
	}
	s.checkDrained()
	return true
}

func (s *Server) logf(format string, args ...any) {
	if s.std.ErrorLog != nil {
		s.std.ErrorLog.Printf(format, args...)
	}
}

// date is the value of the Date field for a second.
type date struct {
	second int64
	text   string
}

func (s *Server) dateText() string {
	now := time.Now()
	d := s.date.Load()
	if d == nil || d.second != now.Unix() {
		d = &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
		s.date.Store(d)
	}
	return d.text
}

// queue is the listener that net/http accepts from.
type queue struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

func (q *queue) Addr() net.Addr { return q.addr }

func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// begun is a connection of which something has been read.
type begun struct {
	net.Conn
	read []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.read) > 0 {
		n := copy(p, b.read)
		b.read = b.read[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}
