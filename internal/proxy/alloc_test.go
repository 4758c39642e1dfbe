package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/egress"
	"github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/provider"
	"github.com/weir-gateway/weir/internal/proxy"
	"github.com/weir-gateway/weir/internal/route"
	"github.com/weir-gateway/weir/internal/usage"
)

const (
	answerBody = `{"id":"chatcmpl-1","object":"chat.completion","created":1763700000,"model":"gpt-4o-2024-11-20","choices":[{"index":0,` +
		`"message":{"role":"assistant","content":"Hello there."},"finish_reason":"stop"}],"usage":{"prompt_tokens":500,"completion_tokens":3,"total_tokens":503}}`
	answerHead = "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nX-Request-Id: req_1\r\nContent-Type: "
)

// chunked is a streamed answer of n content chunks, each event in an HTTP chunk of its own.
func chunked(n int) string {
	var b strings.Builder
	b.WriteString(answerHead + "text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	event := func(data string) { fmt.Fprintf(&b, "%x\r\ndata: %s\n\n\r\n", len(data)+8, data) }
	delta := `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763700000,"model":"gpt-4o-2024-11-20","choices":[{"index":0,"delta":{%s},"finish_reason":%s}]}`
	event(fmt.Sprintf(delta, `"role":"assistant","content":""`, "null"))
	for i := range n {
		event(fmt.Sprintf(delta, `"content":"word `+strconv.Itoa(i)+`"`, "null"))
	}
	event(fmt.Sprintf(delta, "", `"stop"`))
	event(`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763700000,"model":"gpt-4o-2024-11-20","choices":[],"usage":{"prompt_tokens":500,"completion_tokens":3,"total_tokens":503}}`)
	event("[DONE]")
	return b.String() + "0\r\n\r\n"
}

// upstream answers every request on loopback with the same bytes, and allocates nothing for it.
func upstream(tb testing.TB, answer string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReaderSize(c, 64<<10)
				for {
					size := 0
					for {
						line, err := r.ReadSlice('\n')
						if err != nil {
							return
						}
						if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
							size, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
						}
						if len(line) == 2 {
							break
						}
					}
					if _, err := r.Discard(size); err != nil {
						return
					}
					if _, err := io.WriteString(c, answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	tb.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String()
}

// client is the client's side of a call without a socket.
type client struct {
	header http.Header
	status int
	n      int
}

func (c *client) Header() http.Header         { return c.header }
func (c *client) WriteHeader(status int)      { c.status = status }
func (c *client) Write(b []byte) (int, error) { c.n += len(b); return len(b), nil }
func (c *client) Flush()                      {}

// gateway is a proxy with one deployment, a real journal and real metrics: what a call goes through behind the HTTP server.
func gateway(tb testing.TB, upstream string) *proxy.Proxy {
	factory := provider.Factory{Env: func(string) string { return "" }, Now: time.Now}
	u, err := factory.New(config.Params{Model: "openai/gpt-4o", APIBase: upstream + "/v1", APIKey: "sk-up"}, config.ModelInfo{ID: "d"})
	if err != nil {
		tb.Fatal(err)
	}
	price, _ := usage.NewPrices().Deployment("openai", "gpt-4o", "", nil)
	t := egress.Timeouts{FirstByte: 10 * time.Minute, Idle: time.Minute}
	d := route.NewDeployment(route.Deployment{ID: "d", Group: "gpt-4o", Upstream: u, Price: price, Priced: true, Timeouts: t, Stream: t, Weight: 1})
	journal, err := usage.OpenJournal(usage.JournalOptions{Dir: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	out := egress.New(egress.Options{})
	tb.Cleanup(func() {
		out.Close()
		if err := journal.Close(); err != nil {
			tb.Error(err)
		}
	})
	return proxy.New(proxy.Options{Egress: out, Journal: journal, Limits: limit.New(limit.Options{}), Metrics: proxy.NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Version: "test"}, &proxy.Snapshot{
		Auth: auth.NewDirectory(auth.Options{Own: []account.Key{{Hash: auth.Hash("sk-client"), Alias: "client", UserID: "u", TeamID: "t"}}},
			auth.Rows{}),
		Routes:   route.NewTable([]*route.Deployment{d}, nil, nil),
		Settings: proxy.Settings{MaxBody: 1 << 20, MaxReply: 1 << 20, MaxDepth: 128, MaxFrame: 1 << 20},
	})
}

// caller makes one call at a time with as little as it can.
func caller(tb testing.TB, p *proxy.Proxy, stream bool, size int) func() {
	head := fmt.Sprintf(`{"model":"gpt-4o","stream":%v,"messages":[{"role":"user","content":"`, stream)
	body := head + strings.Repeat("x", size-len(head)-4) + `"}]}`
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, "http://weir/v1/chat/completions", nil)
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk-client")
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(body))
	src := strings.NewReader(body)
	r.Body = io.NopCloser(src)
	w := &client{header: http.Header{}}
	return func() {
		src.Reset(body)
		clear(w.header)
		w.status, w.n = 0, 0
		p.Serve(w, r)
		if w.status != http.StatusOK || w.n == 0 {
			tb.Fatalf("status %d, %d bytes", w.status, w.n)
		}
	}
}

// TestAllocations holds a ceiling on what a call allocates from the HTTP server's handler to the upstream's socket and back, the record in
// the journal included. Who raises it should know why.
func TestAllocations(t *testing.T) {
	f := func(name string, ceiling float64, call func()) {
		ceiling *= raceSlack
		t.Helper()
		for range 100 { // fill the pools
			call()
		}
		if n := testing.AllocsPerRun(300, call); n > ceiling {
			t.Errorf("%s: %.0f allocations, ceiling %.0f", name, n, ceiling)
		} else {
			t.Logf("%s: %.0f allocations, ceiling %.0f", name, n, ceiling)
		}
	}
	whole := gateway(t, upstream(t, answerHead+"application/json\r\nContent-Length: "+strconv.Itoa(len(answerBody))+"\r\n\r\n"+answerBody))
	f("a spliced call of 2 KB", 37, caller(t, whole, false, 2<<10))
	f("a spliced call of 200 KB", 43, caller(t, whole, false, 200<<10))
	short, long := gateway(t, upstream(t, chunked(1))), gateway(t, upstream(t, chunked(401)))
	f("a spliced stream of one chunk", 44, caller(t, short, true, 2<<10))
	// 400 chunks more must cost next to nothing: what remains is how they fall into reads.
	f("a spliced stream of 401 chunks", 45, caller(t, long, true, 2<<10))
}

// BenchmarkCall is one call behind the HTTP server, on its own.
func BenchmarkCall(b *testing.B) {
	run := func(name, answer string, stream bool, size int) {
		b.Run(name, func(b *testing.B) {
			call := caller(b, gateway(b, upstream(b, answer)), stream, size)
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
	whole := answerHead + "application/json\r\nContent-Length: " + strconv.Itoa(len(answerBody)) + "\r\n\r\n" + answerBody
	run("2KB", whole, false, 2<<10)
	run("200KB", whole, false, 200<<10)
	run("stream", chunked(100), true, 2<<10)
}
