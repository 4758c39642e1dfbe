package gwtest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Upstream is a scripted provider: a handler that remembers what it was sent.
type Upstream struct {
	URL string

	mu   sync.Mutex
	seen []Seen
}

// Seen is one request as it arrived.
type Seen struct {
	Method, Path, Query string
	Header              http.Header
	Body                []byte
}

// NewUpstream serves the handler until the test ends. The handler reads the body from its request as usual.
func NewUpstream(t testing.TB, h http.HandlerFunc) *Upstream {
	t.Helper()
	u := &Upstream{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		u.mu.Lock()
		u.seen = append(u.seen, Seen{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Clone(), body})
		u.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		h(w, r)
	}))
	t.Cleanup(s.Close)
	u.URL = s.URL
	return u
}

// Requests are all so far, oldest first.
func (u *Upstream) Requests() []Seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]Seen(nil), u.seen...)
}

// Last is the newest request; it fails the test if there is none.
func (u *Upstream) Last(t testing.TB) Seen {
	t.Helper()
	all := u.Requests()
	if len(all) == 0 {
		t.Fatal("the upstream was not called")
	}
	return all[len(all)-1]
}

// JSON answers every request with a body.
func JSON(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// SSE answers every request with a stream of server-sent events, as they stand in body.
func SSE(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, body)
	}
}
