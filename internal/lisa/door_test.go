package lisa

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// memory is a host whose servers are ready at once.
type memory struct {
	mu      sync.Mutex
	servers map[string]fleet.Spec
	failure string
}

func (h *memory) Ensure(_ context.Context, s fleet.Spec) (fleet.Observed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.servers[s.ModelID] = s
	if h.failure != "" {
		return fleet.Observed{Failure: h.failure}, nil
	}
	out := fleet.Observed{Generation: s.Generation}
	for i := range s.Replicas {
		out.Servers = append(out.Servers, fleet.Server{URL: fmt.Sprintf("http://127.0.0.1:%d", 9000+i), Ready: true, Generation: s.Generation})
	}
	return out, nil
}

func (h *memory) Delete(_ context.Context, id string) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.servers, id)
	return true, nil
}

func (h *memory) List(context.Context) ([]string, error) { return nil, nil }

func (h *memory) Logs(_ context.Context, id string, lines int) ([]string, error) {
	return []string{"one of " + id, fmt.Sprint(lines)}, nil
}

// door is the API before a fleet whose reconciler only moves when the test says so.
type door struct {
	t       *testing.T
	url     string
	store   *store.Store
	fleet   *fleet.Fleet
	host    *memory
	file    string // the database
	running int64
	now     time.Time
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{t: t, host: &memory{servers: map[string]fleet.Spec{}}, file: filepath.Join(t.TempDir(), "weir.db"),
		now: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)} // a Monday
	st, err := store.Open(t.Context(), d.file, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	d.store = st
	now := func() time.Time { return d.now }
	d.fleet = fleet.New(fleet.Options{Store: st.Fleet(), Hosts: map[string]fleet.Host{"process": d.host, "kube": d.host}, DefaultHost: "process",
		Probe:   func(context.Context, *fleet.Model, string) error { return nil },
		Changed: func(context.Context) {}, Running: func(context.Context, *fleet.Model) (int64, bool, error) { return d.running, true, nil },
		Lead: func(context.Context) bool { return true }, Health: func(*fleet.Definition) string { return "/health" }, Now: now})
	people := map[string]*auth.Principal{"admin": {UserID: "admin", Admin: true}, "tea": {UserID: "tea"}, "coffee": {UserID: "coffee"}}
	identify := func(r *http.Request) (*auth.Principal, *llm.Error) {
		if p := people[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]; p != nil {
			return p, nil
		}
		return nil, llm.Errorf(llm.ErrAuth, "no such key")
	}
	api := New(Options{Fleet: d.fleet, Now: now, Version: "1.2.3", Log: slog.New(slog.DiscardHandler), Identify: identify,
		Seal:   func(s string) string { return "sealed:" + fmt.Sprint(len(s)) },
		Groups: func(p *auth.Principal) []string { return []string{p.UserID + "-lovers"} }})
	mux := http.NewServeMux()
	metrics := NewMetrics(MetricsOptions{Store: st, Identify: identify, Log: slog.New(slog.DiscardHandler)})
	for _, prefix := range []string{"", "/api"} {
		api.Register(mux, prefix)
		metrics.Register(mux, prefix)
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	d.url = srv.URL
	return d
}

// answered is what came back.
type answered struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// as calls as somebody, nobody if that is empty, and holds the answer to openapi.json.
func (d *door) as(who, method, path, body string) answered {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+who)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	out := answered{status: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &out.body) // not every answer is an object
	if err := theContract(d.t).check(method, path, out); err != nil {
		d.t.Errorf("%s %s: %d is not as described: %v: %s", method, path, out.status, err, text)
	}
	return out
}

func (d *door) do(method, path, body string) answered {
	d.t.Helper()
	return d.as("admin", method, path, body)
}

// ok calls and wants a 200.
func (d *door) ok(method, path, body string) answered {
	d.t.Helper()
	a := d.do(method, path, body)
	if a.status != http.StatusOK {
		d.t.Fatalf("%s %s: %d %s", method, path, a.status, a.text)
	}
	return a
}

// settle lets the reconciler go on until nothing is under way.
func (d *door) settle() {
	d.t.Helper()
	for range 100 {
		models, err := d.fleet.Models(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		moving := false
		for i := range models {
			if !models[i].Status.Settled() {
				moving = true
				if _, err := d.fleet.Reconcile(d.t.Context(), &models[i]); err != nil {
					d.t.Fatalf("reconcile %s: %v", models[i].ModelID, err)
				}
			}
		}
		if !moving {
			return
		}
	}
	d.t.Fatal("the fleet does not come to rest")
}

// model is the model as answered.
func (d *door) model(id string) map[string]any {
	d.t.Helper()
	return d.ok("GET", "/models/"+id, "").body["model"].(map[string]any)
}

// hosted is the seed's payload with another id, and with more fields.
func hosted(id string, more ...string) string {
	return `{"modelId":"` + id + `","modelName":"mistralai/Mistral-7B-Instruct-v0.2","modelType":"textgen","inferenceContainer":"vllm",
"instanceType":"g5.xlarge","streaming":true,
"containerConfig":{"image":{"baseImage":"vllm/vllm-openai:v0.5.0","type":"asset"},"sharedMemorySize":2048,
 "environment":{"MAX_CONCURRENT_REQUESTS":"128","MAX_INPUT_LENGTH":"1024","MAX_TOTAL_TOKENS":"2048"},
 "healthCheckConfig":{"command":["CMD-SHELL","exit 0"],"interval":10,"startPeriod":30,"timeout":5,"retries":3}},
"autoScalingConfig":{"minCapacity":1,"maxCapacity":3,"cooldown":420,"defaultInstanceWarmup":180,
 "metricConfig":{"albMetricName":"RequestCountPerTarget","targetValue":30,"duration":60,"estimatedInstanceWarmup":330}},
"loadBalancerConfig":{"healthCheckConfig":{"path":"/health","interval":60,"timeout":30,"healthyThresholdCount":2,"unhealthyThresholdCount":10}}` +
		strings.Join(more, "") + `}`
}

const external = `{"modelId":"titan-express-v1","modelName":"bedrock/amazon.titan-text-express-v1","modelType":"textgen","streaming":true}`
