package egress

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
)

// late keeps the request's body and answers at once, as net/http does when an upstream answers before it has read.
type late struct{ body io.Reader }

func (l *late) RoundTrip(req *http.Request) (*http.Response, error) {
	l.body = req.Body
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

// TestSetBody_givenBack holds that a transport which still reads when the call is over finds nothing of the caller's next call.
func TestSetBody_givenBack(t *testing.T) {
	b := []byte("first call")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/", nil)
	if err != nil {
		t.Fatal(err)
	}
	SetBody(req, b)
	again, err := req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	rt := &late{}
	resp, err := watched(rt, req, Timeouts{})
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 5)
	if n, err := rt.body.Read(part); err != nil || string(part[:n]) != "first" {
		t.Fatalf("during the call: %q, %v", part[:n], err)
	}
	resp.Body.Close()
	copy(b, "other call")
	for _, r := range []io.Reader{rt.body, again} {
		if got, err := io.ReadAll(r); !errors.Is(err, http.ErrBodyReadAfterClose) || bytes.Contains(got, []byte("call")) {
			t.Errorf("after the call: %q, %v", got, err)
		}
	}
}
