package ingress

import (
	"errors"
	"net"
	"net/http"
	"os"
	"time"
)

// patient is a connection whose writes fail with os.ErrDeadlineExceeded once the other side has accepted no byte for the limit; 0: never.
// The deadline is only moved when a sixteenth of the limit has passed, since moving it costs more than looking at the clock. One goroutine
// writes at a time.
type patient struct {
	net.Conn
	limit time.Duration
	by    time.Time // the deadline as last set
}

func (p *patient) arm() error {
	if p.limit <= 0 {
		return nil
	}
	by := time.Now().Add(p.limit)
	if by.Sub(p.by) < p.limit/16 {
		return nil
	}
	p.by = by
	return p.SetWriteDeadline(by)
}

// goesOn tells whether a write that failed is to be tried again: it ran out of time, but something was accepted meanwhile.
func goesOn(n int64, err error) bool { return n > 0 && errors.Is(err, os.ErrDeadlineExceeded) }

func (p *patient) Write(b []byte) (int, error) {
	total := 0
	for {
		if err := p.arm(); err != nil {
			return total, err
		}
		n, err := p.Conn.Write(b[total:])
		total += n
		if !goesOn(int64(n), err) {
			return total, err
		}
	}
}

// writeParts writes several buffers in one go.
func (p *patient) writeParts(parts net.Buffers) error {
	for {
		if err := p.arm(); err != nil {
			return err
		}
		if n, err := parts.WriteTo(p.Conn); !goesOn(n, err) {
			return err
		}
	}
}

// patientListener makes the connections that it accepts patient ones.
type patientListener struct {
	net.Listener
	limit time.Duration
}

func (l patientListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &patient{Conn: c, limit: l.limit}, nil
}

// patientStream does for a stream of HTTP/2 what patient does for a connection: a client that opens no window accepts nothing, though its
// connection is alive. There a deadline cuts the stream also while nobody writes, so that it is set for each piece and taken back.
type patientStream struct {
	http.ResponseWriter
	rc    *http.ResponseController
	limit time.Duration
}

// piece is how much is written under one deadline.
const piece = 64 << 10

func (p *patientStream) arm()    { _ = p.rc.SetWriteDeadline(time.Now().Add(p.limit)) } // net/http's HTTP/2 has deadlines
func (p *patientStream) disarm() { _ = p.rc.SetWriteDeadline(time.Time{}) }

func (p *patientStream) Write(b []byte) (int, error) {
	defer p.disarm()
	for total := 0; ; {
		next := b[total:min(total+piece, len(b))]
		p.arm()
		n, err := p.ResponseWriter.Write(next)
		if total += n; err != nil || total == len(b) {
			return total, err
		}
	}
}

// FlushError is what http.ResponseController calls.
func (p *patientStream) FlushError() error {
	defer p.disarm()
	p.arm()
	return p.rc.Flush()
}

// Unwrap gives http.ResponseController the rest.
func (p *patientStream) Unwrap() http.ResponseWriter { return p.ResponseWriter }
