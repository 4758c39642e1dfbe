package egress

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/http1"
)

func FuzzParseHead(f *testing.F) {
	f.Add([]byte(hi))
	f.Add([]byte("HTTP/1.0 404\nTransfer-Encoding: chunked\nConnection: keep-alive\n\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\nX: \x80\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		end := http1.HeadEnd(b, 0)
		for i := range b { // as it comes, byte by byte
			if e := http1.HeadEnd(b[:i+1], i); e >= 0 {
				if e != end {
					t.Fatalf("%q: head ends at %d or %d", b, end, e)
				}
				break
			}
		}
		if end < 0 {
			return
		}
		var resp http.Response
		fr, err := parseHead(b[:end], &resp)
		if err != nil || resp.StatusCode < 200 {
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b[:end])), &http.Request{Method: http.MethodPost})
		if err != nil {
			t.Fatalf("%q: accepted, net/http says %v", b, err)
		}
		want.Body.Close()
		if want.StatusCode != resp.StatusCode || !want.Close && fr.close && !fr.chunked {
			t.Fatalf("%q: %+v, net/http %+v", b, fr, want)
		}
		for k, v := range resp.Header {
			if k != "Connection" && k != "Trailer" && k != "Pragma" && k != "Cache-Control" && !cmp.Equal(v, want.Header[k]) {
				t.Fatalf("%q: %s is %q, net/http %q", b, k, v, want.Header[k])
			}
		}
	})
}

func FuzzChunks(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"), uint8(3))
	f.Add([]byte("5;x\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\nz"), uint8(9))
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		var l lean
		run := func(r io.Reader) (string, error) {
			x := &call{l: &l, req: &http.Request{Method: "GET"}, ctx: t.Context()}
			x.c = &conn{socket: fuzzConn{r: r}, buf: make([]byte, connBuffer)}
			x.resp.StatusCode = 200
			x.begin(framing{length: -1, chunked: true, close: true})
			got, err := io.ReadAll(x.resp.Body)
			return string(got), err
		}
		whole, err := run(bytes.NewReader(b))
		cut, cutErr := run(&pieces{b, int(n) + 1})
		if whole != cut || (err == nil) != (cutErr == nil) {
			t.Fatalf("%q: %q %v, in pieces %q %v", b, whole, err, cut, cutErr)
		}
	})
}

// pieces reads n bytes at a time.
type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.n)], p.b)
	p.b = p.b[n:]
	return n, nil
}

// fuzzConn is a connection that can only be read and closed.
type fuzzConn struct {
	socket
	r io.Reader
}

func (c fuzzConn) Read(p []byte) (int, error)    { return c.r.Read(p) }
func (fuzzConn) Close() error                    { return nil }
func (fuzzConn) SetReadDeadline(time.Time) error { return nil }
