package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bothKinds runs a test over plain HTTP/1.1 and over TLS with HTTP/2, against the same handler.
func bothKinds(t *testing.T, h http.HandlerFunc, test func(t *testing.T, c *Client, url string)) {
	t.Run("http", func(t *testing.T) {
		srv := httptest.NewServer(h)
		defer srv.Close()
		c := New(Options{})
		defer c.Close()
		test(t, c, srv.URL)
	})
	t.Run("https", func(t *testing.T) {
		srv := httptest.NewUnstartedServer(h)
		srv.EnableHTTP2 = true
		srv.StartTLS()
		defer srv.Close()
		c := New(Options{TLS: &tls.Config{RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}})
		defer c.Close()
		test(t, c, srv.URL)
	})
}

func post(t *testing.T, ctx context.Context, url string, body []byte) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	SetBody(req, body)
	return req
}

func TestDo_echo(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Path", r.URL.RequestURI())
		w.Header().Set("X-Key", r.Header.Get("X-Key"))
		w.WriteHeader(http.StatusTeapot)
		w.Write(b)
	}
	bothKinds(t, echo, func(t *testing.T, c *Client, url string) {
		for _, size := range []int{0, 10, 4 << 10, 100 << 10, 3 << 20} {
			body := bytes.Repeat([]byte("0123456789"), size/10)
			req := post(t, t.Context(), url+"/a%2Fb/c?d=e", body)
			req.Header.Set("X-Key", "k")
			resp, err := c.Do(req, Timeouts{Connect: time.Minute, FirstByte: time.Minute, Idle: time.Minute, Total: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes came back as %d, %v", len(body), len(got), err)
			}
			resp.Body.Close()
			if resp.StatusCode != 418 || resp.Header.Get("X-Path") != "/a%2Fb/c?d=e" || resp.Header.Get("X-Key") != "k" {
				t.Errorf("status %d, header %v", resp.StatusCode, resp.Header)
			}
		}
	})
}

func TestDo_timeouts(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // a server notices that its client left only when it has read the body
		if r.URL.Path == "/slow-head" {
			<-r.Context().Done()
			return
		}
		w.Write([]byte("begin"))
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	bothKinds(t, handler, func(t *testing.T, c *Client, url string) {
		f := func(path string, tm Timeouts, phase, text string) {
			t.Helper()
			resp, err := c.Do(post(t, t.Context(), url+path, []byte("x")), tm)
			if err == nil {
				var b []byte
				b, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(b) != "begin" {
					t.Errorf("%s: read %q before the timeout", path, b)
				}
			}
			var te *TimeoutError
			if !errors.As(err, &te) || te.Phase != phase || te.After != 30*time.Millisecond || !te.Timeout() || !strings.Contains(te.Error(), text) {
				t.Errorf("%s %+v: %v", path, tm, err)
			}
		}
		const d, long = 30 * time.Millisecond, time.Minute
		f("/slow-head", Timeouts{FirstByte: d, Idle: long, Total: long}, PhaseFirstByte, "did not begin to answer within 30ms")
		f("/slow-head", Timeouts{FirstByte: long, Idle: d, Total: d}, PhaseTotal, "not finished within 30ms")
		f("/stalls", Timeouts{FirstByte: long, Idle: d}, PhaseIdle, "stopped sending in the middle of its answer for 30ms")
		f("/stalls", Timeouts{Idle: long, Total: d}, PhaseTotal, "not finished")
	})
}

func TestDo_cancel(t *testing.T) {
	gone, reached := make(chan struct{}, 1), make(chan struct{}, 1)
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stalls" {
			w.Write([]byte("begin"))
			http.NewResponseController(w).Flush()
		} else {
			reached <- struct{}{}
		}
		<-r.Context().Done()
		gone <- struct{}{}
	}
	bothKinds(t, handler, func(t *testing.T, c *Client, url string) {
		why := errors.New("client left")
		for _, path := range []string{"/slow-head", "/stalls"} {
			ctx, cancel := context.WithCancelCause(t.Context())
			if path == "/slow-head" {
				go func() {
					<-reached
					cancel(why)
				}()
			}
			resp, err := c.Do(post(t, ctx, url+path, nil), Timeouts{})
			if err == nil {
				if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
					t.Fatal(err)
				}
				cancel(why) // nobody reads while this happens
				<-gone
				_, err = resp.Body.Read(make([]byte, 5))
				resp.Body.Close()
			} else {
				<-gone
			}
			if !errors.Is(err, why) {
				t.Errorf("%s: %v", path, err)
			}
			cancel(nil)
		}
	})
}

func TestLocal(t *testing.T) {
	gone := make(chan struct{})
	next := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/whole", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Host", r.Host)
		w.WriteHeader(http.StatusAccepted)
		w.Write(append(b, '!'))
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			w.Write([]byte("tick"))
			w.(http.Flusher).Flush()
			<-next
		}
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("begin"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		if _, err := w.Write(make([]byte, 1<<20)); err == nil {
			t.Error("wrote to a reader that is gone")
		}
		gone <- struct{}{}
	})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("oh") })
	mux.HandleFunc("/late-panic", func(w http.ResponseWriter, _ *http.Request) {
		w.Write(make([]byte, 5000))
		panic("oh")
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c := New(Options{Local: map[string]http.Handler{"demo.weir.internal": mux}})
	defer c.Close()
	do := func(ctx context.Context, path string, tm Timeouts) (*http.Response, error) {
		return c.Do(post(t, ctx, "http://demo.weir.internal"+path, []byte("hey")), tm)
	}
	resp, err := do(t.Context(), "/whole", Timeouts{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if string(b) != "hey!" || err != nil || resp.StatusCode != 202 || resp.ContentLength != 4 || resp.Header.Get("X-Host") != "demo.weir.internal" {
		t.Errorf("whole: %q, %v, %+v", b, err, resp)
	}
	resp.Body.Close()

	if resp, err = do(t.Context(), "/stream", Timeouts{}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	for range 3 {
		n, err := resp.Body.Read(buf)
		if string(buf[:n]) != "tick" || err != nil {
			t.Errorf("stream: %q, %v", buf[:n], err)
		}
		next <- struct{}{}
	}
	if n, err := resp.Body.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("stream end: %d, %v", n, err)
	}
	resp.Body.Close()

	if resp, err = do(t.Context(), "/endless", Timeouts{}); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	<-gone
	ctx, cancel := context.WithCancel(t.Context())
	if resp, err = do(ctx, "/endless", Timeouts{}); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-gone
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	resp.Body.Close()

	if _, err = do(t.Context(), "/panic", Timeouts{}); !errors.Is(err, errLocal) {
		t.Errorf("panic: %v", err)
	}
	if resp, err = do(t.Context(), "/late-panic", Timeouts{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, errLocal) {
		t.Errorf("late panic: %v", err)
	}
	resp.Body.Close()
	var te *TimeoutError
	if _, err = do(t.Context(), "/silent", Timeouts{Total: 10 * time.Millisecond}); !errors.As(err, &te) {
		t.Errorf("silent: %v", err)
	}
}
