package gateway

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/mock"
	"github.com/weir-gateway/weir/test/gwtest"
)

// TestGoroutineLeak holds that calls of every kind, those that clients leave and those that upstreams spoil among them, leave nothing
// running: neither while the gateway goes on nor when it has stopped.
func TestGoroutineLeak(t *testing.T) {
	before := goleak.IgnoreCurrent()
	up := httptest.NewServer(mock.New(mock.Options{}, nil))
	yaml := strings.Replace(config(up.URL), "model_list:", "weir: {timeouts: {first_byte: 0.3, idle: 0.3}}\nmodel_list:", 1)
	g := gwtest.StartIn(t, t.TempDir(), yaml, app.Options{})
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	var group sync.WaitGroup
	// call asks and reads what comes; with leave, it goes away in the middle.
	call := func(in, model string, stream bool, leave time.Duration) {
		group.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if leave > 0 {
				defer time.AfterFunc(leave, cancel).Stop()
			}
			path, body := ask(in, model, stream)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+path, strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+gwtest.MasterKey)
			resp, err := client.Do(req)
			if err != nil {
				return // as it should be, for those that leave
			}
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body) // a spoilt answer may end anyhow
		})
	}
	for _, in := range dialects {
		for _, stream := range []bool{false, true} {
			for _, out := range dialects {
				call(in, "m-"+out, stream, 0)
			}
			call(in, "demo", stream, 0)
			for _, fault := range []string{"500", "429", "reset", "hang", "stall", "cut", "malformed", "unterminated", "error"} {
				call(in, "passthrough/x?text=one two three four&fault="+fault, stream, 0)
			}
			call(in, "passthrough/x?chunks=50&pace=20ms", stream, 50*time.Millisecond)
			call(in, "passthrough/x?latency=5s", stream, 50*time.Millisecond)
			call(in, "claude-style/x?fault=hang", stream, 50*time.Millisecond)
		}
	}
	group.Wait()
	transport.CloseIdleConnections()
	g.Stop(t)
	up.CloseClientConnections()
	up.Close()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
