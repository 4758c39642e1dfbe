package ingress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/http1"
)

// serve runs a server with a handler until the test ends.
func serve(t *testing.T, std *http.Server, writeTimeout time.Duration, h http.HandlerFunc) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	std.Handler = h
	std.Protocols = new(http.Protocols)
	std.Protocols.SetHTTP1(true)
	std.Protocols.SetUnencryptedHTTP2(true)
	if std.ErrorLog == nil {
		std.ErrorLog = log.New(io.Discard, "", 0)
	}
	s := New(std, writeTimeout)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// scripted answers in ways that its path names.
func scripted(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	switch r.URL.Path {
	case "/echo":
		b, err := io.ReadAll(r.Body)
		h.Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "%s %s %s %q %d %q %v", r.Method, r.Host, r.URL.RawQuery, r.Header, r.ContentLength, b, err)
	case "/length":
		h.Set("Content-Length", "5")
		h.Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "hello")
	case "/short":
		h.Set("Content-Length", "50")
		_, _ = io.WriteString(w, "hello")
	case "/long":
		h.Set("Content-Length", "5")
		if _, err := io.WriteString(w, "hello and more"); !errors.Is(err, http.ErrContentLength) {
			panic(err)
		}
		_, _ = io.WriteString(w, "hello")
	case "/large":
		_, _ = w.Write(bytes.Repeat([]byte("large "), 20_000))
	case "/largelength":
		h.Set("Content-Length", "120000")
		_, _ = w.Write(bytes.Repeat([]byte("large "), 20_000))
	case "/stream":
		for i := range 3 {
			fmt.Fprintf(w, "chunk %d\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				panic(err)
			}
		}
	case "/none":
		w.WriteHeader(http.StatusNoContent)
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrBodyNotAllowed) {
			panic(err)
		}
	case "/refused":
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "no")
	case "/close":
		h.Set("Connection", "close")
		_, _ = io.WriteString(w, "bye")
	case "/split":
		h.Set("X-A", "1\r\nX-Evil: 2")
		h["Bad name"] = []string{"x"}
		_, _ = io.WriteString(w, "<html>")
	case "/panic":
		panic("as asked")
	case "/abort":
		panic(http.ErrAbortHandler)
	case "/late":
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK)
		h.Set("X-Late", "1")
	}
}

// answers makes a connection say something and reads what comes back, as text, until it ends or n answers are read.
func answers(t *testing.T, addr, say string, n int) []string {
	t.Helper()
	c := dial(t, addr)
	if _, err := io.WriteString(c, say); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	var out []string
	for len(out) < n {
		resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
		if err != nil {
			return append(out, "end")
		}
		body, err := io.ReadAll(resp.Body)
		for _, name := range []string{"Date", "X-Content-Type-Options"} {
			resp.Header.Del(name)
		}
		if err == nil && !bytes.HasPrefix([]byte(resp.Status), []byte("1")) && len(resp.TransferEncoding) == 0 {
			resp.Header.Del("Content-Length") // who writes one where nobody asked for it is not compared
		}
		out = append(out, fmt.Sprintf("%s %v %v close=%v %q %v", resp.Status, resp.TransferEncoding, resp.Header, resp.Close, body, err))
	}
	return out
}

// TestServer holds that the lean server answers as net/http's does, to what it serves itself and to what it hands over.
func TestServer(t *testing.T) {
	_, lean := serve(t, &http.Server{}, time.Minute, scripted)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	std := &http.Server{Handler: http.HandlerFunc(scripted), ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = std.Serve(l) }()
	t.Cleanup(func() { std.Close() })
	f := func(n int, say ...string) {
		t.Helper()
		want := answers(t, l.Addr().String(), strings.Join(say, ""), n)
		got := answers(t, lean, strings.Join(say, ""), n)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.200q (-net/http +lean)\n%s", say, diff)
		}
	}
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }
	post := func(path, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	}
	large := strings.Repeat("0123456789", 20_000)
	f(1, get("/echo?a=b"))
	f(2, post("/echo", "one"), post("/echo", "two"))
	f(2, post("/echo", large), post("/echo", ""))
	f(2, "POST /echo HTTP/1.1\r\nHost: x\r\nX-A:  1 \r\nx-a: 2\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", get("/length"))
	f(2, "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nhi", get("/length"))
	f(4, get("/length"), get("/large"), get("/largelength"), get("/stream"))
	f(3, get("/short"), get("/length"))
	f(3, get("/long"), get("/none"), get("/late"))
	f(2, get("/close"), get("/length"))
	f(2, get("/split"), get("/length"))
	f(2, get("/panic"), get("/length"))
	f(2, get("/abort"), get("/length"))
	f(2, post("/refused", "unread"), get("/length"))
	f(2, post("/refused", large), get("/length"))
	f(1, "POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nunread")
	// What net/http serves.
	f(2, "HEAD /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	f(2, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", get("/length"))
	f(3, get("/length"), "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", get("/length"))
	f(2, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi")
	f(2, "GET /echo HTTP/1.0\r\n\r\n")
	f(2, "GET /echo HTTP/1.1\nHost: x\n\n", get("/length"))
	f(1, "\r\n"+get("/echo"))
	// What net/http refuses.
	f(2, "GET /echo HTTP/1.1\r\n\r\n", get("/length"))
	f(2, "GET /echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", get("/length"))
	f(2, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhix", get("/length"))
	f(2, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nhi", get("/length"))
	f(1, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f(2, "GET /echo HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n")
	f(2, "GET /ec ho HTTP/1.1\r\nHost: x\r\n\r\n")
	f(2, "GET /echo HTTP/1.1\r\nHost: x\r\nX: "+large+"\r\n\r\n", get("/length"))
	f(1, "\x16\x03\x01 "+large[:60]+"\r\n\r\n")
}

// TestServer_http2 holds that HTTP/2 with prior knowledge works on the same port.
func TestServer_http2(t *testing.T) {
	_, addr := serve(t, &http.Server{}, time.Minute, scripted)
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Post("http://"+addr+"/echo", "text/plain", strings.NewReader("two"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.ProtoMajor != 2 || !bytes.Contains(b, []byte(`"two"`)) {
		t.Errorf("%s %s, %v", resp.Proto, b, err)
	}
}

// TestServer_clientLeaves holds that a client's end cancels its call, in the first call of a connection and in later ones, and only then.
func TestServer_clientLeaves(t *testing.T) {
	reached, freed := make(chan struct{}), make(chan error)
	_, addr := serve(t, &http.Server{}, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/wait" {
			scripted(w, r)
			if r.Context().Err() != nil {
				t.Error("a call whose client stays was cancelled")
			}
			return
		}
		close(reached)
		select {
		case <-r.Context().Done():
			freed <- nil
		case <-time.After(10 * time.Second):
			freed <- errors.New("not cancelled")
		}
	})
	for before := range 3 {
		reached = make(chan struct{})
		c := dial(t, addr)
		r := bufio.NewReader(c)
		for range before {
			fmt.Fprint(c, "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprint(c, "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
		<-reached
		c.Close()
		if err := <-freed; err != nil {
			t.Errorf("after %d calls: %v", before, err)
		}
	}
}

// TestServer_clientAcceptsNothing holds that a client that stops reading is cut, and that one that reads slowly is not.
func TestServer_clientAcceptsNothing(t *testing.T) {
	const size, limit = 16 << 20, 500 * time.Millisecond
	ended := map[string]chan [2]error{}
	_, addr := serve(t, &http.Server{}, limit, func(w http.ResponseWriter, r *http.Request) {
		var err error
		if strings.HasPrefix(r.URL.Path, "/whole") {
			_, err = w.Write(make([]byte, size))
		} else {
			some := make([]byte, 1000)
			for n := 0; n < size && err == nil; n += len(some) {
				if _, err = w.Write(some); err == nil {
					err = http.NewResponseController(w).Flush()
				}
			}
		}
		ended[r.URL.Path] <- [2]error{err, r.Context().Err()}
	})
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	say := func(t *testing.T, text string) io.Reader {
		c := dial(t, addr)
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		return c
	}
	servers := map[string]func(t *testing.T, path string) io.Reader{
		"lean": func(t *testing.T, path string) io.Reader {
			return say(t, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		},
		"std": func(t *testing.T, path string) io.Reader { return say(t, "GET "+path+" HTTP/1.0\r\n\r\n") },
		"http2": func(t *testing.T, path string) io.Reader {
			resp, err := (&http.Client{Transport: tr}).Get("http://" + addr + path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { resp.Body.Close() })
			return resp.Body
		},
	}
	for how, begin := range servers {
		for _, path := range []string{"/whole/" + how, "/stream/" + how} {
			over := make(chan [2]error, 1)
			ended[path] = over
			t.Run(path, func(t *testing.T) {
				t.Parallel() // all wait, none works: and none begins before the map is whole
				begin(t, path)
				if e := <-over; !errors.Is(e[0], os.ErrDeadlineExceeded) && how == "lean" || e[0] == nil || e[1] == nil && how != "http2" {
					t.Errorf("unread: write %v, context %v", e[0], e[1])
				}
				// The whole takes longer than the limit, but something is read all the time.
				r := begin(t, path)
				tick := time.NewTicker(limit / 20)
				defer tick.Stop()
				buf := make([]byte, size/50)
				for range 40 {
					<-tick.C
					if _, err := io.ReadFull(r, buf); err != nil {
						t.Fatalf("read slowly: %v", err)
					}
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					t.Errorf("read slowly: %v", err)
				}
				if e := <-over; e[0] != nil {
					t.Errorf("read slowly: %v", e[0])
				}
			})
		}
	}
}

// TestServer_deadlines holds that silent connections and heads that trickle in are given up.
func TestServer_deadlines(t *testing.T) {
	_, addr := serve(t, &http.Server{IdleTimeout: 50 * time.Millisecond, ReadHeaderTimeout: 50 * time.Millisecond}, time.Minute, scripted)
	for _, say := range []string{"", "POST /echo HTTP/1.1\r\nHo", "GET /length HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c := dial(t, addr)
		if _, err := io.WriteString(c, say); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("%q: %v", say, err)
		}
	}
	c := dial(t, addr)
	if _, err := io.WriteString(c, "GET /length HTTP/1.1\r\nX: "); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		<-tick.C
		if _, err := io.WriteString(c, "x"); err != nil {
			return
		}
	}
	t.Error("a head may trickle in for ever")
}

// TestServer_shutdown holds that what runs is finished, what is idle is closed and what comes is refused.
func TestServer_shutdown(t *testing.T) {
	reached, release := make(chan struct{}, 2), make(chan struct{})
	s, addr := serve(t, &http.Server{}, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			reached <- struct{}{}
			<-release
		}
		_, _ = io.WriteString(w, "done")
	})
	idle, busy, other := dial(t, addr), dial(t, addr), dial(t, addr)
	fmt.Fprint(idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(idle), nil); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(busy, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	fmt.Fprint(other, "POST /wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	<-reached
	<-reached
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(short); !errors.Is(err, context.Canceled) {
		t.Errorf("with calls running and no time: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(t.Context()) }()
	if _, err := io.Copy(io.Discard, idle); err != nil {
		t.Errorf("idle: %v", err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("a new connection was accepted")
	}
	close(release)
	for _, c := range []net.Conn{busy, other} {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); string(b) != "done" || err != nil || !resp.Close {
			t.Errorf("%q, %v, close %v", b, err, resp.Close)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// FuzzParse holds that what the lean server takes for a request is what net/http takes it for.
func FuzzParse(f *testing.F) {
	f.Add([]byte("POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: x:80\r\nContent-Length: 5\r\nauthorization: Bearer x\r\nConnection: close\r\n\r\n"))
	f.Add([]byte("GET /a%2Fb HTTP/1.1\r\nHost: [::1]\r\nX-A: 1\r\nx-a:  2 \r\n\r\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		end := http1.HeadEnd(head, 0)
		if end < 0 {
			return
		}
		got, body := (&conn{}).parse(head[:end])
		if got == nil {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head[:end])))
		if err != nil {
			t.Fatalf("%q: taken, net/http says %v", head, err)
		}
		for _, name := range []string{"Pragma", "Cache-Control"} { // one is translated to the other there
			want.Header.Del(name)
			got.Header.Del(name)
		}
		if got.Method != want.Method || got.RequestURI != want.RequestURI || *got.URL != *want.URL || got.Host != want.Host || got.Close != want.Close ||
			got.ContentLength != want.ContentLength || body.left != want.ContentLength || !cmp.Equal(got.Header, want.Header) {
			t.Fatalf("%q:\n got %+v\nwant %+v", head, got, want)
		}
	})
}
