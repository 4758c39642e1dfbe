package egress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// scripted is an upstream that plays one script for each connection, the last one again and again.
type scripted struct {
	net.Listener
	wg    sync.WaitGroup
	mu    sync.Mutex
	conns int
}

func script(t *testing.T, plays ...func(c net.Conn, r *bufio.Reader)) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{Listener: l}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			play := plays[min(s.conns, len(plays)-1)]
			s.conns++
			s.mu.Unlock()
			s.wg.Go(func() {
				defer c.Close()
				play(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.wg.Wait()
	})
	return s
}

func (s *scripted) url() string { return "http://" + s.Addr().String() }

func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// request reads one request with its body, and gives its body.
func request(r *bufio.Reader) (string, error) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(req.Body)
	return string(b), err
}

// replies answers every request on a connection with the bytes, or with end closes after the first.
func replies(reply string, end bool) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		for {
			if _, err := request(r); err != nil {
				return
			}
			io.WriteString(c, reply)
			if end {
				return
			}
		}
	}
}

func (p *pool) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, l := range p.idle {
		n += len(l)
	}
	return n
}

type outcome struct {
	Status  int
	Header  http.Header
	Trailer http.Header
	Length  int64
	Body    string
	Failed  bool
}

func outcomeOf(resp *http.Response, err error) (outcome, error) {
	if err != nil {
		return outcome{Failed: true}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(iotest.OneByteReader(resp.Body))
	return outcome{resp.StatusCode, resp.Header, resp.Trailer, resp.ContentLength, string(b), err != nil}, err
}

func TestLean_replies(t *testing.T) {
	const (
		kept   = 1 << iota // the connection is used again
		closed             // the upstream closes behind its reply
		head               // the request is a HEAD
		own                // net/http does otherwise
	)
	f := func(reply string, flags int, status int, body, message string) {
		t.Helper()
		s := script(t, replies(reply, flags&closed != 0))
		c := New(Options{})
		defer c.Close()
		method := http.MethodPost
		if flags&head != 0 {
			method = http.MethodHead
		}
		newRequest := func() *http.Request {
			req := post(t, t.Context(), s.url()+"/p", []byte("hello"))
			if req.Method = method; method == http.MethodHead {
				SetBody(req, nil)
			}
			return req
		}
		got, err := outcomeOf(c.Do(newRequest(), Timeouts{Total: 10 * time.Second}))
		if message != "" {
			if err == nil || !strings.Contains(err.Error(), message) {
				t.Errorf("%.200q: error %v, want %q", reply, err, message)
			}
		} else if err != nil {
			t.Errorf("%.200q: %v", reply, err)
		}
		if got.Status != status || got.Body != body {
			t.Errorf("%.200q: %d %q", reply, got.Status, got.Body)
		}
		if n := c.lean.pool.count(); n != flags&kept {
			t.Errorf("%.200q: %d connections kept", reply, n)
		}
		if flags&own != 0 {
			return
		}
		std := &http.Transport{DisableCompression: true}
		defer std.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // it must not wait for what never comes
		defer cancel()
		want, _ := outcomeOf(std.RoundTrip(newRequest().WithContext(ctx)))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.200q differs from net/http: %s", reply, diff)
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	// Lengths.
	f(ok+"Content-Length: 5\r\nX-A: b\r\nx-a:  c \r\n\r\nhello", kept, 200, "hello", "")
	f(ok+"Content-Length: 0\r\n\r\n", kept, 200, "", "")
	f(ok+"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", kept, 200, "hello", "")
	f(ok+"Content-Length: 5\r\n\r\nhel", closed, 200, "hel", "unexpected EOF")
	f(ok+"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 0, 0, "", "differing content lengths")
	f(ok+"Content-Length: +5\r\n\r\nhello", 0, 0, "", "content length")
	f(ok+"Content-Length: -5\r\n\r\nhello", 0, 0, "", "content length")
	f(ok+"Content-Length: 99999999999999999999\r\n\r\nhello", 0, 0, "", "content length")
	f(ok+"Content-Length: 5, 5\r\n\r\nhello", 0, 0, "", "content length")
	f(ok+"Content-Length: 3\r\n\r\nhello", 0, 200, "hel", "")
	f(ok+"\r\nuntil the end", closed, 200, "until the end", "")
	f(ok+"\r\n"+strings.Repeat("long ", 10000), closed, 200, strings.Repeat("long ", 10000), "")
	f(ok+"Content-Length: 50000\r\n\r\n"+strings.Repeat("long ", 10000), kept, 200, strings.Repeat("long ", 10000), "")
	// Chunks.
	const chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
	f(chunked+"5\r\nhello\r\n6;ext=\"1\"\r\n world\r\n0\r\n\r\n", kept, 200, "hello world", "")
	f(chunked+"A \r\n0123456789\r\n000\r\n\r\n", kept, 200, "0123456789", "")
	f(chunked+"c350\r\n"+strings.Repeat("long ", 10000)+"\r\n0\r\n\r\n", kept, 200, strings.Repeat("long ", 10000), "")
	f(chunked+strings.Repeat("1\r\nx\r\n", 9000)+"0\r\n\r\n", kept|own, 200, strings.Repeat("x", 9000), "")         // net/http counts the overhead
	f(ok+"Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n1\r\na\r\n0\r\nX-T: v\r\n\r\n", kept|own, 200, "a", "") // Trailer header stays
	f(chunked+"5\r\nhello\r\n", closed, 200, "hello", "unexpected EOF")
	f(chunked+"5\r\nhello\r\n0\r\n", closed, 200, "hello", "unexpected EOF")
	f(chunked+"5\r\nhel", closed, 200, "hel", "unexpected EOF")
	f(chunked+"5\r\nhello", closed, 200, "hello", "unexpected EOF")
	f(chunked+"5", closed, 200, "", "unexpected EOF")
	f(chunked+"3\r\nhello\r\n0\r\n\r\n", 0, 200, "hel", "longer than its size")
	f(chunked+"x\r\n", 0, 200, "", "chunk size")
	f(chunked+"\r\n", 0, 200, "", "chunk size")
	f(chunked+"-1\r\n", 0, 200, "", "chunk size")
	f(chunked+"fffffffffffffffff\r\n", 0, 200, "", "chunk size")
	f(chunked+"5\nhello\r\n0\r\n\r\n", 0, 200, "", "chunk size")
	f(chunked+"5;a\nhello\r\n0\r\n\r\n", 0, 200, "", "bare line feed")
	f(chunked+"5;"+strings.Repeat("a", 5000)+"\r\nhello\r\n0\r\n\r\n", 0, 200, "", "chunk extension")
	f(ok+"Transfer-Encoding: Chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 0, 200, "hello", "")
	f(ok+"Transfer-Encoding: gzip, chunked\r\n\r\n", 0, 0, "", "transfer encoding")
	f(ok+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 0, "", "transfer encoding")
	f(ok+"Transfer-Encoding: \x0bchunked\r\n\r\n", 0, 0, "", "control character")
	f("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nas it is", closed, 200, "as it is", "")
	// Answers without a body.
	f("HTTP/1.1 204 No Content\r\n\r\n", kept, 204, "", "")
	f("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", kept, 304, "", "")
	f(ok+"Content-Length: 5\r\n\r\n", kept|head, 200, "", "")
	f("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi", own, 204, "", "")
	// Interim answers.
	f("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"+ok+"Content-Length: 2\r\n\r\nhi", kept, 200, "hi", "")
	f("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", own, 0, "", "switches protocols")
	f(strings.Repeat("HTTP/1.1 102 Wait\r\n\r\n", 20)+ok+"Content-Length: 0\r\n\r\n", own, 0, "", "interim")
	// Keeping the connection.
	f(ok+"Connection: close\r\nContent-Length: 2\r\n\r\nhi", 0, 200, "hi", "")
	f(ok+"Connection: x, Close\r\nContent-Length: 2\r\n\r\nhi", 0, 200, "hi", "")
	f("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 0, 200, "hi", "")
	f("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi", kept, 200, "hi", "")
	// Heads.
	f("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", kept, 200, "hi", "")
	f("HTTP/1.1 599 Own Word\nContent-Length: 2\n\nhi", kept, 599, "hi", "")
	f(ok+"X: "+strings.Repeat("y", 10000)+"\r\nContent-Length: 2\r\n\r\nhi", kept, 200, "hi", "")
	f(ok+"X: "+strings.Repeat("y", 70000)+"\r\nContent-Length: 2\r\n\r\nhi", own, 0, "", "head is larger")
	f(ok+"X: a\r\n folded\r\nContent-Length: 2\r\n\r\nhi", own, 0, "", "folded")
	f(ok+"X : a\r\n\r\n", own, 0, "", "header line")
	f(ok+": a\r\n\r\n", 0, 0, "", "header line")
	f(ok+"no colon\r\n\r\n", 0, 0, "", "header line")
	f(ok+"X: a\r \r\n\r\n", 0, 0, "", "control character")
	f(ok+"X: a\x00b\r\n\r\n", 0, 0, "", "control character")
	f(ok+"X: a\rContent-Length: 2\r\n\r\nhi", own, 0, "", "control character")
	f("HTTP/2.0 200 OK\r\n\r\n", own, 0, "", "status line")
	f("HTTP/1.1 20 OK\r\n\r\n", 0, 0, "", "status line")
	f("HTTP/1.1 099 OK\r\n\r\n", own, 0, "", "status line")
	f("HTTP/1.1\r\n\r\n", 0, 0, "", "status line")
	f("SSH-2.0-OpenSSH_9.2\r\n", closed, 0, "", "it begins with")
	f("", closed, 0, "", "unexpected EOF")
	f("HTTP/1.1 200 OK\r\nContent-Le", closed, 0, "", "unexpected EOF")
}

func TestLean_requestBytes(t *testing.T) {
	sent := make(chan string, 1)
	s := script(t, func(c net.Conn, r *bufio.Reader) {
		b := make([]byte, 64<<10)
		n, err := r.Read(b)
		if err != nil {
			return // a request that is refused before a byte of it goes out
		}
		sent <- string(b[:n])
		io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	})
	c := New(Options{})
	defer c.Close()
	f := func(change func(*http.Request), want string) {
		t.Helper()
		req := post(t, t.Context(), s.url()+"/a b?c=%20#frag", []byte("body"))
		change(req)
		resp, err := c.Do(req, Timeouts{})
		if !strings.HasPrefix(want, "POST") && !strings.HasPrefix(want, "GET") {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want %q", err, want)
			}
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
		if diff := cmp.Diff(strings.ReplaceAll(want, "HOST", s.Addr().String()), <-sent); diff != "" {
			t.Error(diff)
		}
	}
	f(func(*http.Request) {}, "POST /a%20b?c=%20 HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\n\r\nbody")
	f(func(r *http.Request) { r.Host = "other"; r.Header.Set("X-K", " v ") }, "POST /a%20b?c=%20 HTTP/1.1\r\nHost: other\r\nX-K: v\r\nContent-Length: 4\r\n\r\nbody")
	f(func(r *http.Request) { r.Header["Content-Length"] = []string{"9"} }, "POST /a%20b?c=%20 HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\n\r\nbody")
	f(func(r *http.Request) { SetBody(r, nil) }, "POST /a%20b?c=%20 HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\n\r\n")
	f(func(r *http.Request) { r.Method = ""; SetBody(r, nil); r.URL.Path = "" }, "GET /?c=%20 HTTP/1.1\r\nHost: HOST\r\n\r\n")
	f(func(r *http.Request) { r.Close = true }, "POST /a%20b?c=%20 HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody")
	f(func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("body")) }, "POST /a%20b?c=%20 HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\n\r\nbody")
	f(func(r *http.Request) { r.URL.User = nil; r.Header.Set("X", "secret\r\nY: z") }, `invalid value of header "X"`)
	f(func(r *http.Request) { r.Header["X\r\nY"] = []string{"secret"} }, "invalid header name")
	f(func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX:" }, "invalid method")
	f(func(r *http.Request) { r.URL.RawQuery = "a b\r\nX: y" }, "space or a control character")
	f(func(r *http.Request) { r.Host = "a\r\nX: y" }, "no valid host")
	f(func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("bod")) }, "read request body: unexpected EOF")
	f(func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("body!")) }, "longer than its content length")
	f(func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(errors.New("torn"))) }, "torn")
}

const hi = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

func read(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

func TestLean_reuse(t *testing.T) {
	f := func(name string, conns int, first, second func(net.Conn, *bufio.Reader)) {
		t.Helper()
		s := script(t, first, second)
		c := New(Options{})
		defer c.Close()
		for i := range 2 {
			for _, body := range [][]byte{[]byte("x"), bytes.Repeat([]byte("x"), 40<<10)} {
				resp, err := c.Do(post(t, t.Context(), s.url(), body), Timeouts{FirstByte: time.Minute, Idle: time.Minute})
				if got := read(t, resp, err); got != "hi" {
					t.Errorf("%s, call %d: %q", name, i, got)
				}
			}
		}
		if n := s.count(); n != conns {
			t.Errorf("%s: %d connections, want %d", name, n, conns)
		}
	}
	always := replies(hi, false)
	f("kept", 1, always, always)
	f("closed while idle", 2, replies(hi, true), always)
	f("closed on the second request", 2, func(c net.Conn, r *bufio.Reader) {
		request(r)
		io.WriteString(c, hi)
		request(r)
	}, always)
	f("reset on the second request", 2, func(c net.Conn, r *bufio.Reader) {
		request(r)
		io.WriteString(c, hi)
		r.Peek(1)
		c.(*net.TCPConn).SetLinger(0)
	}, always)
	f("sends what nobody asked for", 2, func(c net.Conn, r *bufio.Reader) {
		request(r)
		io.WriteString(c, hi+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		r.Peek(1)
	}, always)

	// Once a byte of the answer is here nothing is sent again.
	s := script(t, func(c net.Conn, r *bufio.Reader) {
		request(r)
		io.WriteString(c, hi)
		request(r)
		io.WriteString(c, "HTTP")
	}, always)
	c := New(Options{})
	defer c.Close()
	read2 := func(req *http.Request) error {
		resp, err := c.Do(req, Timeouts{})
		if err == nil {
			read(t, resp, err)
		}
		return err
	}
	if err := read2(post(t, t.Context(), s.url(), []byte("x"))); err != nil {
		t.Error(err)
	}
	if err := read2(post(t, t.Context(), s.url(), []byte("x"))); !errors.Is(err, io.ErrUnexpectedEOF) || s.count() != 1 {
		t.Errorf("%v, %d connections", err, s.count())
	}
}

func TestLean_idleConnections(t *testing.T) {
	gone := make(chan struct{}, 10)
	s := script(t, func(c net.Conn, r *bufio.Reader) {
		replies(hi, false)(c, r)
		gone <- struct{}{}
	})
	c := New(Options{IdleTimeout: 20 * time.Millisecond, MaxIdlePerHost: 2})
	defer c.Close()
	var open []*http.Response
	for range 3 {
		resp, err := c.Do(post(t, t.Context(), s.url(), nil), Timeouts{})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
	}
	for _, r := range open {
		read(t, r, nil)
	}
	for range 3 {
		<-gone // one at once, two by the timer
	}
	if n := c.lean.pool.count(); n != 0 {
		t.Errorf("%d connections left", n)
	}
	resp, err := c.Do(post(t, t.Context(), s.url(), nil), Timeouts{})
	read(t, resp, err)
	c.CloseIdle()
	<-gone
}

func TestLean_earlyReply(t *testing.T) {
	early := "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
	s := script(t, func(c net.Conn, r *bufio.Reader) {
		r.Peek(1)
		io.WriteString(c, early)
		<-t.Context().Done() // reads no more, keeps the connection
	})
	c := New(Options{})
	defer c.Close()
	big := bytes.Repeat([]byte("x"), 32<<20)
	for _, body := range []func(*http.Request){
		func(r *http.Request) { SetBody(r, big) },
		func(r *http.Request) { r.Body = io.NopCloser(bytes.NewReader(big)); r.ContentLength = int64(len(big)) },
	} {
		req := post(t, t.Context(), s.url(), nil)
		body(req)
		resp, err := c.Do(req, Timeouts{Total: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, resp, err); got != "no" || resp.StatusCode != 413 {
			t.Errorf("%d %q", resp.StatusCode, got)
		}
		if c.lean.pool.count() != 0 {
			t.Error("a connection with half a request on it was kept")
		}
	}
	torn := errors.New("torn")
	req := post(t, t.Context(), script(t, func(_ net.Conn, r *bufio.Reader) { request(r) }).url(), nil)
	req.Body, req.ContentLength = io.NopCloser(io.MultiReader(bytes.NewReader(big[:1<<20]), iotest.ErrReader(torn))), 2<<20
	if _, err := c.Do(req, Timeouts{}); !errors.Is(err, torn) {
		t.Errorf("torn body: %v", err)
	}
}

func TestLean_close(t *testing.T) {
	gone := make(chan struct{}, 1)
	s := script(t, func(c net.Conn, r *bufio.Reader) {
		request(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
		request(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
		r.ReadByte()
		gone <- struct{}{}
	})
	c := New(Options{})
	defer c.Close()
	call := func() *http.Response {
		resp, err := c.Do(post(t, t.Context(), s.url(), nil), Timeouts{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	// What is left is here already: the connection is kept.
	call().Body.Close()
	if c.lean.pool.count() != 1 {
		t.Error("connection not kept")
	}
	// It is not: closed at once, also under a reader.
	resp := call()
	failed := make(chan error)
	go func() {
		_, err := io.ReadAll(resp.Body)
		failed <- err
	}()
	resp.Body.Close()
	<-gone
	if err := <-failed; err != http.ErrBodyReadAfterClose {
		t.Errorf("reader got %v", err)
	}
	if s.count() != 1 {
		t.Errorf("%d connections", s.count())
	}
}

func TestLean_connect(t *testing.T) {
	// A listener whose backlog nobody empties can't be relied on to stall, so the dialer's own seam is used.
	c := New(Options{})
	defer c.Close()
	c.lean.dialer.ControlContext = nil
	c.lean.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	f := func(tm Timeouts, phase string) {
		t.Helper()
		_, err := c.Do(post(t, t.Context(), "http://slow.test./", nil), tm)
		var te *TimeoutError
		if !errors.As(err, &te) || te.Phase != phase {
			t.Errorf("%+v: %v", tm, err)
		}
	}
	f(Timeouts{Connect: 20 * time.Millisecond, Total: time.Minute}, PhaseConnect)
	f(Timeouts{Connect: time.Minute, Total: 20 * time.Millisecond}, PhaseTotal)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Do(post(t, ctx, "http://slow.test./", nil), Timeouts{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	if _, err := c.Do(post(t, t.Context(), "http://"+address, nil), Timeouts{}); err == nil || !strings.Contains(err.Error(), "connect to "+address) {
		t.Errorf("refused: %v", err)
	}
}

func TestLean_deadlinesDoNotOutliveTheirCall(t *testing.T) {
	s := script(t, replies(hi, false))
	c := New(Options{})
	defer c.Close()
	do := func(tm Timeouts) {
		t.Helper()
		resp, err := c.Do(post(t, t.Context(), s.url(), []byte("x")), tm)
		if got := read(t, resp, err); got != "hi" {
			t.Errorf("%q", got)
		}
	}
	const d = 30 * time.Millisecond
	for _, tm := range []Timeouts{{FirstByte: d}, {Idle: d, FirstByte: d}, {Total: d}} {
		do(tm)
		timer := time.NewTimer(d)
		<-timer.C
		do(Timeouts{})
		do(Timeouts{Idle: time.Minute})
	}
	if s.count() != 1 {
		t.Errorf("%d connections", s.count())
	}
}
