package egress

import (
	"io"
	"net"
	"net/http"
	"sync"
)

// SetBody gives a request a body that is wholly in memory, in one part or in several: the form that Do sends fastest, together with the
// head and without copying, and can send again if a kept connection turns out dead. The parts must not change until the call has ended: Do
// failed, or the answer's body was closed. From then on they are the caller's again, whatever the upstream had read of them by then.
func SetBody(req *http.Request, parts ...[]byte) {
	req.ContentLength = 0
	for _, part := range parts {
		req.ContentLength += int64(len(part))
	}
	if req.ContentLength == 0 {
		req.Body, req.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
		return
	}
	first := &struct {
		memory
		lent
	}{lent: lent{parts: parts, size: req.ContentLength}}
	first.memory.lent = &first.lent
	req.Body = &first.memory
	req.GetBody = func() (io.ReadCloser, error) { return &memory{lent: &first.lent}, nil }
}

// lent are the bytes of a body until the call is over. net/http may read a request's body after its answer has come and gone, when the
// bytes are already another call's: it finds nothing here then.
type lent struct {
	mu    sync.Mutex
	parts [][]byte
	size  int64
}

// memory reads a body in memory from its beginning.
type memory struct {
	lent *lent
	part int // being read
	at   int // in that part
}

func (m *memory) Read(p []byte) (int, error) {
	m.lent.mu.Lock()
	defer m.lent.mu.Unlock()
	if m.lent.parts == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	for m.part < len(m.lent.parts) {
		if n := copy(p, m.lent.parts[m.part][m.at:]); n > 0 || len(p) == 0 {
			m.at += n
			return n, nil
		}
		m.part, m.at = m.part+1, 0
	}
	return 0, io.EOF
}

func (m *memory) Close() error { return nil }

// behind gives a head and the parts behind it, for a writer that does not change them.
func (m *memory) behind(head []byte) net.Buffers {
	all := m.all()
	return append(append(make(net.Buffers, 0, 1+len(all)), head), all...)
}

// all gives the parts, and ends reading: for a writer that is done with them before the call is over.
func (m *memory) all() [][]byte {
	m.part = len(m.lent.parts)
	return m.lent.parts
}

// again goes back to the beginning.
func (m *memory) again() { m.part, m.at = 0, 0 }

// whole gives a body in memory of which nothing has been read and that has the announced size, else nil.
func whole(body io.Reader, size int64) *memory {
	m, ok := body.(*memory)
	if !ok || m.part > 0 || m.at > 0 || m.lent.size != size {
		return nil
	}
	return m
}

// giveBack ends the use of a request's body in memory.
func giveBack(body io.ReadCloser) {
	if m, ok := body.(*memory); ok {
		m.lent.mu.Lock()
		m.lent.parts = nil
		m.lent.mu.Unlock()
	}
}
