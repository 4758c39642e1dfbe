package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// shelf is a Store in memory. It keeps text, as SQL does, so that nothing is shared with who reads it.
type shelf struct {
	mu     sync.Mutex
	rows   map[string]string
	vers   map[string]int64
	events map[string][]Event
	// fail, if set, is asked before each change; what it returns is the answer, and nothing happens.
	fail func() error
	// noted is told of every event that is stored.
	noted func(Event)
}

func newShelf() *shelf {
	return &shelf{rows: map[string]string{}, vers: map[string]int64{}, events: map[string][]Event{}, noted: func(Event) {}, fail: func() error { return nil }}
}

func (s *shelf) read(id string) *Model {
	var m Model
	if err := json.Unmarshal([]byte(s.rows[id]), &m); err != nil {
		panic(err)
	}
	m.Version = s.vers[id]
	return &m
}

func (s *shelf) write(m *Model, events []Event) {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	m.Version++
	s.rows[m.ModelID], s.vers[m.ModelID] = string(b), m.Version
	for _, e := range events {
		s.events[m.ModelID] = append(s.events[m.ModelID], e)
		s.noted(e)
	}
}

func (s *shelf) Models(context.Context) ([]Model, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Model
	for id := range s.rows {
		out = append(out, *s.read(id))
	}
	slices.SortFunc(out, func(a, b Model) int { return map[bool]int{true: -1, false: 1}[a.ModelID < b.ModelID] })
	return out, nil
}

func (s *shelf) Model(_ context.Context, id string) (*Model, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[id] == "" {
		return nil, ErrNotFound
	}
	return s.read(id), nil
}

func (s *shelf) Create(_ context.Context, m *Model, events ...Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[m.ModelID] != "" {
		return ErrExists
	}
	if err := s.fail(); err != nil {
		return err
	}
	s.write(m, events)
	return nil
}

func (s *shelf) Put(_ context.Context, m *Model, events ...Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[m.ModelID] == "" || s.vers[m.ModelID] != m.Version {
		return ErrConflict
	}
	if err := s.fail(); err != nil {
		return err
	}
	s.write(m, events)
	return nil
}

func (s *shelf) Remove(_ context.Context, m *Model) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vers[m.ModelID] != m.Version {
		return ErrConflict
	}
	if err := s.fail(); err != nil {
		return err
	}
	delete(s.rows, m.ModelID)
	delete(s.vers, m.ModelID)
	delete(s.events, m.ModelID)
	return nil
}

func (s *shelf) Events(_ context.Context, id string, limit int) ([]Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.events[id])
	slices.Reverse(out)
	return out[:min(limit, len(out))], nil
}

var errHost = errors.New("the host does not answer")

// farm is a Host in memory: servers take time to come up and to go, crash, and the host itself fails.
type farm struct {
	mu      sync.Mutex
	now     func() time.Time
	models  map[string]*plot
	down    bool          // every call fails
	slow    time.Duration // until a server is ready
	linger  time.Duration // until a stopped server is gone
	broken  map[string]string
	made    int
	ensured map[string]Spec
	scaled  map[string]int64 // how many servers the farm itself wants of a model; absent: it leaves the number to the fleet
	// between is called between two changes of an Ensure, where a gateway may die.
	between func()
}

// plot is what the farm has of one model.
type plot struct{ servers []*plant }

type plant struct {
	id         string
	generation int64
	ready      time.Time
	gone       time.Time // zero: it stays
}

func newFarm(now func() time.Time) *farm {
	return &farm{now: now, models: map[string]*plot{}, broken: map[string]string{}, ensured: map[string]Spec{}, scaled: map[string]int64{}, between: func() {}}
}

// tidy takes away what is gone.
func (h *farm) tidy(p *plot) {
	now := h.now()
	p.servers = slices.DeleteFunc(p.servers, func(s *plant) bool { return !s.gone.IsZero() && !now.Before(s.gone) })
}

func (h *farm) stop(s *plant) {
	if s.gone.IsZero() {
		s.gone = h.now().Add(h.linger)
	}
}

func (h *farm) up(s *plant) bool { return s.gone.IsZero() && !h.now().Before(s.ready) }

func (h *farm) Ensure(_ context.Context, spec Spec) (Observed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.ensured[spec.ModelID].Replicas
	h.ensured[spec.ModelID] = spec
	if h.down {
		return Observed{}, errHost
	}
	if n, ok := h.scaled[spec.ModelID]; ok && spec.Replicas > 0 {
		if spec.Replicas == before {
			spec.Replicas = n
		}
		h.scaled[spec.ModelID] = spec.Replicas
	}
	p := h.models[spec.ModelID]
	if p == nil {
		p = &plot{}
		h.models[spec.ModelID] = p
	}
	h.tidy(p)
	out := Observed{Generation: spec.Generation}
	if _, ok := h.scaled[spec.ModelID]; ok {
		out.Scaled = spec.Replicas
	}
	if spec.Replicas > 0 {
		out.Failure = h.broken[spec.ModelID]
	}
	var current, old []*plant
	ready := 0
	for _, s := range p.servers {
		switch {
		case !s.gone.IsZero():
		case s.generation == spec.Generation:
			current = append(current, s)
			if h.up(s) {
				ready++
			}
		default:
			old = append(old, s)
		}
	}
	if out.Failure != "" {
		for _, s := range p.servers {
			h.stop(s)
		}
	} else {
		for range int(spec.Replicas) - len(current) {
			h.made++
			p.servers = append(p.servers, &plant{id: fmt.Sprintf("%s-%d", spec.ModelID, h.made), generation: spec.Generation, ready: h.now().Add(h.slow)})
			h.between()
		}
		for i := int(spec.Replicas); i < len(current); i++ {
			h.stop(current[i])
			h.between()
		}
		if ready >= int(spec.Replicas) {
			for _, s := range old {
				h.stop(s)
			}
		}
	}
	h.tidy(p)
	for _, s := range p.servers {
		out.Servers = append(out.Servers, Server{ID: s.id, URL: s.id, Ready: h.up(s), Generation: s.generation})
	}
	return out, nil
}

func (h *farm) Delete(_ context.Context, id string) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return false, errHost
	}
	p := h.models[id]
	if p == nil {
		return true, nil
	}
	for _, s := range p.servers {
		h.stop(s)
	}
	if h.tidy(p); len(p.servers) > 0 {
		return false, nil
	}
	delete(h.models, id)
	return true, nil
}

func (h *farm) List(context.Context) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return nil, errHost
	}
	var out []string
	for id := range h.models {
		out = append(out, id)
	}
	return out, nil
}

func (h *farm) Logs(_ context.Context, id string, _ int) ([]string, error) { return []string{id}, nil }

// ready are the addresses of a model's servers that answer.
func (h *farm) ready(id string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	if p := h.models[id]; p != nil {
		h.tidy(p)
		for _, s := range p.servers {
			if h.up(s) {
				out = append(out, s.id)
			}
		}
	}
	slices.Sort(out)
	return out
}

// crash takes a server away without a word.
func (h *farm) crash(id string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.models[id]; p != nil && len(p.servers) > 0 {
		n %= len(p.servers)
		p.servers = slices.Delete(p.servers, n, n+1)
	}
}

// world is a fleet with everything around it, moved by hand.
type world struct {
	t       testing.TB
	f       *Fleet
	store   *shelf
	farm    *farm
	now     time.Time
	running map[string]int64
	behind  bool  // a replica routes by what was stored before
	unheard error // of other replicas
	probe   error
	probed  sync.Map // model and address of every server that answered a first call; models are looked at side by side
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, store: newShelf(), now: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), running: map[string]int64{}}
	w.farm = newFarm(func() time.Time { return w.now })
	w.start()
	return w
}

// start begins a life of the gateway: what the fleet knew and did not store is lost.
func (w *world) start() {
	w.f = New(Options{Store: w.store, Hosts: map[string]Host{"farm": w.farm}, DefaultHost: "farm", ProbeExternal: true,
		Probe: func(_ context.Context, m *Model, url string) error {
			if w.probe == nil {
				w.probed.Store(m.ModelID+" "+url, true)
			}
			return w.probe
		},
		Changed: func(context.Context) {}, Running: func(_ context.Context, m *Model) (int64, bool, error) {
			return w.running[m.ModelID], !w.behind, w.unheard
		}, Lead: func(context.Context) bool { return true },
		Health: func(*Definition) string { return "/health" }, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)})
}

// hostedModel is a definition with limits.
func hostedModel(id string, least, most int64) Definition {
	container, instance := "vllm", "g5.xlarge"
	return Definition{ModelID: id, ModelName: id, Type: "textgen", Container: &container, InstanceType: &instance, LoadBalancer: &LoadBalancer{},
		ContainerConfig: &ContainerConfig{Environment: map[string]string{}},
		AutoScaling:     &AutoScaling{MinCapacity: least, MaxCapacity: most, Cooldown: 60, DefaultInstanceWarmup: 30, Metric: Metric{TargetValue: 10}}}
}

func (w *world) create(d Definition) {
	w.t.Helper()
	if _, err := w.f.Create(w.t.Context(), d, ""); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(id string, u Update) {
	w.t.Helper()
	if _, err := w.f.Update(w.t.Context(), id, u); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) model(id string) *Model {
	w.t.Helper()
	m, err := w.store.Model(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// round looks at every model once and waits for it.
func (w *world) round() {
	w.f.round(context.Background())
	w.f.looking.Wait()
}

// run lets time go by, half a second at a time.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(pollMoving) {
		w.round()
	}
}

// is holds a model to a status.
func (w *world) is(id string, want Status) *Model {
	w.t.Helper()
	m := w.model(id)
	if m.Status != want {
		w.t.Fatalf("%s is %s (%s), want %s", id, m.Status, m.Reason, want)
	}
	return m
}
