package egress

import (
	"io"
	"net/http"
	"sync"
)

// SetBody gives a request a body that is wholly in memory: the form that Do sends fastest, together with the head and without copying,
// and can send again if a kept connection turns out dead. b must not change until the call has ended: Do failed, or the answer's body was
// closed. From then on it is the caller's again, whatever the upstream had read of it by then.
func SetBody(req *http.Request, b []byte) {
	req.ContentLength = int64(len(b))
	if len(b) == 0 {
		req.Body, req.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
		return
	}
	first := &struct {
		memory
		lent
	}{lent: lent{b: b}}
	first.memory.lent = &first.lent
	req.Body = &first.memory
	req.GetBody = func() (io.ReadCloser, error) { return &memory{lent: &first.lent}, nil }
}

// lent are the bytes of a body until the call is over. net/http may read a request's body after its answer has come and gone, when the
// bytes are already another call's: it finds nothing here then.
type lent struct {
	mu sync.Mutex
	b  []byte
}

// memory reads a body in memory from its beginning.
type memory struct {
	lent *lent
	at   int
}

func (m *memory) Read(p []byte) (int, error) {
	m.lent.mu.Lock()
	defer m.lent.mu.Unlock()
	if m.lent.b == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	if m.at == len(m.lent.b) {
		return 0, io.EOF
	}
	n := copy(p, m.lent.b[m.at:])
	m.at += n
	return n, nil
}

func (m *memory) Close() error { return nil }

// rest is what has not been read, and the end of reading: for a writer that is done with it before the call is over.
func (m *memory) rest() []byte {
	b := m.lent.b[m.at:]
	m.at = len(m.lent.b)
	return b
}

// whole gives a body in memory of which nothing has been read and that has the announced size, else nil.
func whole(body io.Reader, size int64) *memory {
	m, ok := body.(*memory)
	if !ok || m.at > 0 || int64(len(m.lent.b)) != size {
		return nil
	}
	return m
}

// giveBack ends the use of a request's body in memory.
func giveBack(body io.ReadCloser) {
	if m, ok := body.(*memory); ok {
		m.lent.mu.Lock()
		m.lent.b = nil
		m.lent.mu.Unlock()
	}
}
