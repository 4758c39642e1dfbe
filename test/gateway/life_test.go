package gateway

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/mock"
	"github.com/weir-gateway/weir/test/gwtest"
)

// TestDisconnectFreesUpstream holds that a client that leaves frees the upstream within 100 ms, streamed or not.
func TestDisconnectFreesUpstream(t *testing.T) {
	for _, stream := range []bool{false, true} {
		for _, model := range []string{"m-openai", "m-anthropic"} {
			gone, reached := make(chan time.Time, 1), make(chan struct{})
			up := gwtest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if stream {
					w.Header().Set("Content-Type", "text/event-stream")
					if model == "m-openai" {
						_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"a\"}}]}\n\n")
					} else {
						_, _ = io.WriteString(w, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"up\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n")
					}
					_ = http.NewResponseController(w).Flush()
				}
				close(reached)
				<-r.Context().Done()
				gone <- time.Now()
			})
			g := gwtest.Start(t, config(up.URL))
			path, body := ask("openai", model, stream)
			ctx, leave := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+gwtest.MasterKey)
			done := make(chan struct{})
			go func() {
				defer close(done)
				if resp, err := http.DefaultClient.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}()
			<-reached
			left := time.Now()
			leave()
			select {
			case at := <-gone:
				if d := at.Sub(left); d > 100*time.Millisecond {
					t.Errorf("%s stream %v: the upstream was freed after %v", model, stream, d)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("%s stream %v: the upstream was never freed", model, stream)
			}
			<-done
			g.Stop(t)
		}
	}
}

// TestStreamIsLive holds that events are passed on as they come, not at the end.
func TestStreamIsLive(t *testing.T) {
	next := make(chan struct{})
	up := gwtest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, s := range []string{"one", "two"} {
			_, _ = io.WriteString(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\""+s+"\"}}]}\n\n")
			_ = http.NewResponseController(w).Flush()
			<-next
		}
		_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	})
	g := gwtest.Start(t, config(up.URL))
	for _, in := range []string{"openai", "anthropic", "responses"} {
		path, body := ask(in, "m-openai", true)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+gwtest.MasterKey)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		for _, want := range []string{"one", "two"} {
			found := false
			for !found && lines.Scan() {
				found = bytes.Contains(lines.Bytes(), []byte(want))
			}
			if !found {
				t.Fatalf("%s: %q never came", in, want)
			}
			next <- struct{}{}
		}
		for lines.Scan() {
		}
		resp.Body.Close()
	}
}

// TestTimeouts holds that each stage has its own limit and its own text.
func TestTimeouts(t *testing.T) {
	url := mockServer(t, mock.Options{})
	yaml := strings.Replace(config(url), "model_list:", "weir: {timeouts: {first_byte: 0.2, idle: 0.2}}\nmodel_list:", 1)
	g := gwtest.Start(t, yaml)
	path, body := ask("openai", "passthrough/x?fault=hang", false)
	if a := g.Post(t, path, body); a.Status != http.StatusRequestTimeout || !bytes.Contains(a.Body, []byte("did not begin to answer")) {
		t.Errorf("hang: %d %s", a.Status, a.Body)
	}
	path, body = ask("openai", "passthrough/x?fault=stall&text=one two three four", true)
	if a := g.Post(t, path, body); !bytes.Contains(a.Body, []byte("stopped sending")) || bytes.Contains(a.Body, []byte("[DONE]")) {
		t.Errorf("stall: %d %s", a.Status, a.Body)
	}
}

// TestReload holds that a good file is swapped in, a bad one changes nothing, and a running stream is not cut.
func TestReload(t *testing.T) {
	url := mockServer(t, mock.Options{})
	g := gwtest.Start(t, config(url))
	path, body := ask("openai", "passthrough/x?pace=20ms&chunks=20", true)
	streamed := make(chan *gwtest.Answer, 1)
	go func() { streamed <- g.Post(t, path, body) }()
	g.WriteConfig(t, strings.ReplaceAll(config(url), "m-openai", "renamed"))
	g.App.Reload("test")
	_, ask1 := ask("openai", "renamed", false)
	if a := g.Post(t, path, ask1); a.Status != http.StatusOK {
		t.Errorf("the new name: %d %s", a.Status, a.Body)
	}
	g.WriteConfig(t, "model_list: [oops")
	g.App.Reload("test")
	if a := g.Post(t, path, ask1); a.Status != http.StatusOK {
		t.Errorf("after a bad file: %d %s", a.Status, a.Body)
	}
	if !strings.Contains(g.Log.String(), "not reloaded") {
		t.Error("the log does not say why the bad file was refused")
	}
	if a := <-streamed; !bytes.Contains(a.Body, []byte("[DONE]")) {
		t.Errorf("the running stream was cut: %s", a.Body)
	}
}

// TestModels lists what a key may call.
func TestModels(t *testing.T) {
	yaml := config(mockServer(t, mock.Options{})) + `
weir:
  keys:
  - {key: sk-limited-key-1, key_alias: limited, models: [m-openai]}
  - {key: sk-blocked-key-1, blocked: true}
`
	g := gwtest.Start(t, yaml)
	for _, path := range []string{"/v1/models", "/models", "/v2/serve/models"} {
		if a := g.Get(t, path); a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte(`"id":"m-gemini"`)) || !bytes.Contains(a.Body, []byte(`"object":"list"`)) {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	limited := g.Get(t, "/v1/models", "Authorization", "Bearer sk-limited-key-1")
	if bytes.Contains(limited.Body, []byte("m-gemini")) || !bytes.Contains(limited.Body, []byte("m-openai")) {
		t.Errorf("a limited key's list: %s", limited.Body)
	}
	path, body := ask("openai", "m-gemini", false)
	if a := g.Post(t, path, body, "Authorization", "Bearer sk-limited-key-1"); a.Status != http.StatusForbidden {
		t.Errorf("a model outside the list: %d %s", a.Status, a.Body)
	}
	if a := g.Post(t, path, body, "Authorization", "Bearer sk-blocked-key-1"); a.Status != http.StatusUnauthorized {
		t.Errorf("a blocked key: %d %s", a.Status, a.Body)
	}
}

// TestHealth holds the three health routes and the metrics.
func TestHealth(t *testing.T) {
	g := gwtest.Start(t, config(mockServer(t, mock.Options{})))
	if a := g.Get(t, "/health/liveliness", "Authorization", ""); string(a.Body) != `"I'm alive!"` {
		t.Errorf("liveliness: %s", a.Body)
	}
	if a := g.Get(t, "/health/readiness", "Authorization", ""); a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte(`"db":"connected"`)) {
		t.Errorf("readiness: %d %s", a.Status, a.Body)
	}
	if a := g.Get(t, "/health", "Authorization", ""); a.Status != http.StatusUnauthorized {
		t.Errorf("health without a key: %d", a.Status)
	}
	if a := g.Get(t, "/health"); a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte(`"unhealthy_count":0`)) {
		t.Errorf("health: %d %s", a.Status, a.Body)
	}
	path, body := ask("openai", "m-openai", false)
	g.Post(t, path, body)
	if a := g.Get(t, "/metrics", "Authorization", ""); !bytes.Contains(a.Body, []byte(`weir_requests_total{dialect="openai",model="m-openai"`)) {
		t.Errorf("metrics lack the call: %.2000s", a.Body)
	}
}

// TestLockOfTheDead: what a killed Weir was starting may hold its lock for a moment more; the next start waits for that.
func TestLockOfTheDead(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(200*time.Millisecond, func() { _ = f.Close() })
	gwtest.StartIn(t, dir, "", app.Options{})
}
