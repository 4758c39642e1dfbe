package egress

import (
	"net"
	"sync"
	"time"
)

const (
	connBuffer = 4 << 10
	maxHead    = 64 << 10
	// cheap is how many bytes are moved to the front before each read: the end of a chunk, mostly.
	cheap = 64
)

// buffers are the read buffers of connections in use; an idle connection has none.
type buffers struct{ sync.Pool }

func (p *buffers) get() []byte {
	if b, ok := p.Get().(*[connBuffer]byte); ok {
		return b[:]
	}
	return make([]byte, connBuffer)
}

func (p *buffers) put(b []byte) {
	if len(b) == connBuffer {
		p.Put((*[connBuffer]byte)(b))
	}
}

// socket is what a connection goes over: a *sock.Conn.
type socket interface {
	net.Conn
	TryWrite(parts net.Buffers) (rest net.Buffers, err error)
	Silent() bool
}

// conn is one connection of the lean client. Whoever took it from the pool owns it.
type conn struct {
	socket
	host     string
	buf      []byte // buf[r:w] is read and not yet used
	r, w     int
	deadline time.Time // as last set
	since    time.Time // idle since
}

// room makes space behind w, growing the buffer up to maxHead; false if there is no more.
func (c *conn) room() bool {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
	case c.r > 0 && (c.w == len(c.buf) || c.w-c.r < cheap):
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	case c.w < len(c.buf):
	case len(c.buf) >= maxHead:
		return false
	default:
		bigger := make([]byte, 2*len(c.buf))
		c.w = copy(bigger, c.buf[c.r:c.w])
		c.r, c.buf = 0, bigger
	}
	return true
}

// pool keeps idle connections, by host, the one used last on top. Old ones are closed by a timer that runs only while there are any.
type pool struct {
	max     int
	timeout time.Duration
	buffers buffers

	mu     sync.Mutex
	idle   map[string][]*conn
	timer  *time.Timer
	closed bool
}

// get takes a connection that is still open and silent, or gives nil.
func (p *pool) get(host string) *conn {
	for {
		p.mu.Lock()
		list := p.idle[host]
		if len(list) == 0 {
			p.mu.Unlock()
			return nil
		}
		c := list[len(list)-1]
		list[len(list)-1] = nil
		p.idle[host] = list[:len(list)-1]
		p.mu.Unlock()
		// An upstream that closed is found before the request is written, and one that sends what nobody asked for can't pass it off as an answer.
		if c.Silent() {
			c.buf = p.buffers.get()
			return c
		}
		c.Close()
	}
}

// put gives a connection back.
func (p *pool) put(c *conn) {
	p.drop(c)
	c.since = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle[c.host]) >= p.max {
		c.Close()
		return
	}
	if p.idle == nil {
		p.idle = map[string][]*conn{}
	}
	p.idle[c.host] = append(p.idle[c.host], c)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.timeout, p.sweep)
	}
}

// drop takes a connection's buffer away.
func (p *pool) drop(c *conn) {
	p.buffers.put(c.buf)
	c.buf, c.r, c.w = nil, 0, 0
}

// sweep closes what has been idle too long, and comes back for the rest.
func (p *pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := time.Now().Add(-p.timeout)
	var next time.Time
	for host, list := range p.idle {
		n := 0
		for n < len(list) && !list[n].since.After(old) {
			list[n].Close()
			n++
		}
		if n == len(list) {
			delete(p.idle, host)
			continue
		}
		if n > 0 {
			p.idle[host] = append([]*conn(nil), list[n:]...)
		}
		if s := list[n].since; next.IsZero() || s.Before(next) {
			next = s
		}
	}
	p.timer = nil
	if !next.IsZero() && !p.closed {
		p.timer = time.AfterFunc(max(next.Sub(old), time.Millisecond), p.sweep)
	}
}

// closeIdle closes all idle connections; with final, no more are kept.
func (p *pool) closeIdle(final bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.idle {
		for _, c := range list {
			c.Close()
		}
	}
	p.idle = nil
	p.closed = p.closed || final
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}
