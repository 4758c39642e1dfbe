// Package gwtest starts a whole gateway, and the upstreams it calls, inside one test: real sockets, real SQLite, the same app.New and Run
// as the program. Only tests import it.
package gwtest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/host/hosttest"
)

// MasterKey is the administrator's key of every gateway started here.
const MasterKey = "sk-master"

// Gateway is one running Weir.
type Gateway struct {
	URL     string
	DataDir string
	App     *app.App
	// Log holds what the gateway logged.
	Log *Buffer

	config string
	stop   context.CancelFunc
	done   chan error
}

// Start runs a gateway with a configuration (YAML; empty: none) until the test ends, and ends the model servers it leaves. It fails the test
// if the gateway does not start or does not stop cleanly.
func Start(t testing.TB, yaml string) *Gateway {
	t.Helper()
	return StartIn(t, t.TempDir(), yaml, app.Options{})
}

// StartIn is Start with a data directory and further options.
func StartIn(t testing.TB, dir, yaml string, o app.Options) *Gateway {
	t.Helper()
	g := &Gateway{DataDir: dir, Log: &Buffer{}, done: make(chan error, 1)}
	hosttest.EndProcesses(t, dir)
	if yaml != "" {
		g.config = filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(g.config, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.ConfigPath, o.Host, o.Port, o.DataDir = g.config, "127.0.0.1", 0, dir
	o.Version = "test"
	if o.AdminListen == "" {
		o.AdminListen = "127.0.0.1:0"
	}
	o.Log = slog.New(slog.NewTextHandler(g.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.MasterKey == "" {
		o.MasterKey = MasterKey
	}
	if o.Env == nil {
		o.Env = func(string) string { return "" }
	}
	if o.ShutdownTimeout == 0 {
		o.ShutdownTimeout = 5 * time.Second
	}
	a, _, err := app.New(t.Context(), o)
	if err != nil {
		t.Fatalf("start the gateway: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	g.App, g.URL, g.stop = a, a.URL(), stop
	go func() { g.done <- a.Run(ctx) }()
	t.Cleanup(func() {
		g.Stop(t)
		if t.Failed() && os.Getenv("GWTEST_LOG") != "" {
			t.Log(g.Log.String())
		}
	})
	return g
}

// Stop ends the gateway as SIGTERM would, and waits for it. A second call does nothing.
func (g *Gateway) Stop(t testing.TB) {
	t.Helper()
	g.stop()
	if g.done == nil {
		return
	}
	if err := <-g.done; err != nil {
		t.Errorf("the gateway ended with: %v", err)
	}
	g.done = nil
}

// WriteConfig replaces the configuration file; the caller reloads.
func (g *Gateway) WriteConfig(t testing.TB, yaml string) {
	t.Helper()
	if err := os.WriteFile(g.config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Post sends a JSON body with the master key and gives the whole answer.
func (g *Gateway) Post(t testing.TB, path, body string, headers ...string) *Answer {
	t.Helper()
	return g.Do(t, http.MethodPost, path, body, headers...)
}

// Get asks with the master key.
func (g *Gateway) Get(t testing.TB, path string, headers ...string) *Answer {
	t.Helper()
	return g.Do(t, http.MethodGet, path, "", headers...)
}

// Answer is a whole HTTP answer.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do makes a request with the master key unless a header says otherwise; headers come in pairs, and an empty value removes one.
func (g *Gateway) Do(t testing.TB, method, path, body string, headers ...string) *Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+MasterKey)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read the answer: %v", method, path, err)
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: b}
}

// Buffer is a bytes.Buffer that may be written and read at once.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is everything written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
