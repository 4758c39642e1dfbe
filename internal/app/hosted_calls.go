package app

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/cluster"
	"github.com/weir-gateway/weir/internal/fleet"
)

// hostedCalls counts the calls in flight of the fleet's models: here, across reloads, and by what other replicas tell. Safe for concurrent
// use.
type hostedCalls struct {
	a      *App
	models sync.Map // id -> *atomic.Int64
	told   map[string]inFlight
}

// inFlight is what a replica tells of a model.
type inFlight struct {
	Version int64 `json:"version"` // the model's that its calls are routed by
	Calls   int64 `json:"calls"`
}

// here is where this replica counts a model's calls.
func (h *hostedCalls) here(id string) *atomic.Int64 {
	n, ok := h.models.Load(id)
	if !ok {
		n, _ = h.models.LoadOrStore(id, new(atomic.Int64))
	}
	return n.(*atomic.Int64)
}

// now is what this replica has in flight. The versions are read before the calls are counted: a call that goes by an older version has been
// counted by then, and is until it ends.
func (h *hostedCalls) now() map[string]inFlight {
	h.a.accounts.mu.Lock() // held from reading the models until they are routed by
	defer h.a.accounts.mu.Unlock()
	out := make(map[string]inFlight, len(h.a.accounts.fleet))
	for i := range h.a.accounts.fleet {
		m := &h.a.accounts.fleet[i]
		out[m.ModelID] = inFlight{m.Version, h.here(m.ModelID).Load()}
	}
	return out
}

// state is what the others are told. What can't wait is that a version is routed by, and a model's first call and its last. Only one goroutine
// may call it.
func (h *hostedCalls) state() (text string, urgent bool) {
	now := h.now()
	urgent = len(now) != len(h.told)
	for id, n := range now {
		before := h.told[id]
		urgent = urgent || n.Version != before.Version || (n.Calls > 0) != (before.Calls > 0)
	}
	h.told = now
	b, err := json.Marshal(now, json.Deterministic(true))
	if err != nil {
		panic(err) // numbers under text
	}
	return string(b), urgent
}

// everywhere is how many calls of a model are in flight on all replicas, and whether each of these routes by what is stored of it.
func (h *hostedCalls) everywhere(ctx context.Context, m *fleet.Model) (calls int64, settled bool, err error) {
	own := h.now()[m.ModelID]
	calls, settled = own.Calls, own.Version >= m.Version
	if h.a.open == nil {
		return calls, settled, nil // there are no others
	}
	replicas, err := h.a.store.Replicas(ctx)
	if err != nil {
		return 0, false, err
	}
	at := h.a.o.Now().UnixMilli()
	for _, r := range replicas {
		if r.ID == h.a.id || !cluster.Alive(r.Seen, at) {
			continue
		}
		var told map[string]inFlight
		if r.State != "" {
			if err := json.Unmarshal([]byte(r.State), &told); err != nil {
				return 0, false, fmt.Errorf("what replica %s has in flight: %w", r.ID, err)
			}
		}
		calls += told[m.ModelID].Calls
		settled = settled && told[m.ModelID].Version >= m.Version
	}
	return calls, settled, nil
}
