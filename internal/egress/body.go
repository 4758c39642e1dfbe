package egress

import (
	"io"
	"net/http"
)

// SetBody gives a request a body that is wholly in memory: the form that Do sends fastest, together with the head and without copying,
// and can send again if a kept connection turns out dead. b must not change until the call has ended.
func SetBody(req *http.Request, b []byte) {
	req.ContentLength = int64(len(b))
	if len(b) == 0 {
		req.Body, req.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
		return
	}
	req.Body = &memory{b: b}
	req.GetBody = func() (io.ReadCloser, error) { return &memory{b: b}, nil }
}

// memory is a body in memory.
type memory struct {
	b  []byte
	at int
}

func (m *memory) Read(p []byte) (int, error) {
	if m.at == len(m.b) {
		return 0, io.EOF
	}
	n := copy(p, m.b[m.at:])
	m.at += n
	return n, nil
}

func (m *memory) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(m.b[m.at:])
	m.at += n
	return int64(n), err
}

func (m *memory) Close() error { return nil }
