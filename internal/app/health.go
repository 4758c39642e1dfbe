package app

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/proxy"
	"github.com/weir-gateway/weir/internal/route"
)

func alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`"I'm alive!"`))
}

// ready says whether calls can be served: the database is asked, but a gateway that lost it goes on from its snapshot, so only a journal
// that can't be written, or a shutdown, make it unready.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	status, code, db := "healthy", http.StatusOK, "connected"
	if err := a.store.Ping(ctx); err != nil {
		db = "Not connected"
	}
	if err := a.journal.Healthy(); err != nil {
		status, code = "unhealthy: the journal can't be written", http.StatusServiceUnavailable
	}
	select {
	case <-a.closing:
		status, code = "shutting down", http.StatusServiceUnavailable
	default:
	}
	answer(w, code, map[string]any{"status": status, "db": db, "litellm_version": a.o.Version, "weir_version": a.o.Version})
}

// probeTimeout bounds the health probe of one deployment (LiteLLM's health_check_timeout).
const probeTimeout = 60 * time.Second

// health calls every deployment (or those of ?model= or ?model_id=) once, and says which answered. Administrators only: it costs money.
func (a *App) health(w http.ResponseWriter, r *http.Request) {
	if !a.requireAdmin(w, r) {
		return
	}
	model, id := r.URL.Query().Get("model"), r.URL.Query().Get("model_id")
	var chosen []*route.Deployment
	all := a.proxy.Snapshot().Routes.Deployments()
	for _, d := range all {
		if d.ID == "demo" && d.Upstream.Base == "http://"+DemoHost && len(all) > 1 && model == "" && id == "" {
			continue // there is nothing to probe in it
		}
		if (model == "" || d.Group == model) && (id == "" || d.ID == id) && !d.Wildcard() {
			chosen = append(chosen, d)
		}
	}
	type result struct {
		Model   string `json:"model"`
		APIBase string `json:"api_base,omitempty"`
		ID      string `json:"model_id"`
		Error   string `json:"error,omitempty"`
		Status  int    `json:"exception_status,omitzero"`
	}
	results := make([]result, len(chosen))
	var group sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i, d := range chosen {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
			defer cancel()
			results[i] = result{Model: d.Params.Model, APIBase: d.Upstream.Base, ID: d.ID}
			if err := a.proxy.Probe(ctx, d); err != nil {
				results[i].Error, results[i].Status = string(err.Kind)+": "+err.Message, err.HTTPStatus()
			}
		})
	}
	group.Wait()
	healthy, unhealthy := []result{}, []result{}
	for _, res := range results {
		if res.Error == "" {
			healthy = append(healthy, res)
		} else {
			unhealthy = append(unhealthy, res)
		}
	}
	code := http.StatusOK
	if len(healthy) == 0 {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, map[string]any{"healthy_endpoints": healthy, "unhealthy_endpoints": unhealthy,
		"healthy_count": len(healthy), "unhealthy_count": len(unhealthy)})
}

// requireAdmin answers with an error and false unless an administrator calls.
func (a *App) requireAdmin(w http.ResponseWriter, r *http.Request) bool {
	p, err := a.proxy.Identify(r)
	if err == nil && !p.Admin {
		err = &llm.Error{Kind: llm.ErrPermission, Type: "auth_error", Message: "Only proxy admin can call this route: " + r.URL.Path}
	}
	if err != nil {
		proxy.WriteError(w, err)
		return false
	}
	return true
}

func answer(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		proxy.WriteError(w, llm.AsError(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(b)
}
