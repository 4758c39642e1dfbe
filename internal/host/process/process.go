// Package process runs model servers as child processes of this machine: the host for a laptop, a workstation or a single GPU server. A
// server outlives the gateway that started it and is adopted by the next one. It imports fleet alone; app wires it.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weir-gateway/weir/internal/fleet"
)

// Profile is how the servers of an inferenceContainer are started. {port}, {model}, {modelId} and {dir} are filled in.
type Profile struct {
	Command []string
	Health  string // path that answers 200 when a server is ready; empty: /health
}

// Profiles are the built-in ones, by inferenceContainer. {model} is the modelName of the definition: a repository, a path, a tag.
func Profiles() map[string]Profile {
	return map[string]Profile{
		"vllm":     {Command: []string{"vllm", "serve", "{model}", "--served-model-name", "{modelId}", "--host", "127.0.0.1", "--port", "{port}"}, Health: "/health"},
		"tgi":      {Command: []string{"text-generation-launcher", "--model-id", "{model}", "--hostname", "127.0.0.1", "--port", "{port}"}, Health: "/health"},
		"tei":      {Command: []string{"text-embeddings-router", "--model-id", "{model}", "--hostname", "127.0.0.1", "--port", "{port}"}, Health: "/health"},
		"llamacpp": {Command: []string{"llama-server", "--model", "{model}", "--alias", "{modelId}", "--host", "127.0.0.1", "--port", "{port}"}, Health: "/health"},
		"ollama":   {Command: []string{"sh", "-c", "OLLAMA_HOST=127.0.0.1:{port} exec ollama serve"}, Health: "/api/version"},
	}
}

// Options are what the host needs; all but Log, Linger and Drain are required.
type Options struct {
	Dir      string // where the servers' state and logs are kept
	Profiles map[string]Profile
	// Healthy asks an address and reports whether it answers 200.
	Healthy func(ctx context.Context, url string) bool
	Now     func() time.Time
	Log     *slog.Logger
	// A server that goes while others of its model stay still gets calls until all gateways know, which takes Linger. Then it is told to end, and
	// has Drain to finish those it has, at least ten seconds.
	Linger, Drain time.Duration
}

// Host is a fleet.Host. Safe for concurrent use.
type Host struct {
	o Options

	mu     sync.Mutex
	models map[string]*model
}

// model is what runs of one model.
type model struct {
	mu      sync.Mutex
	servers []*server
	failure string // why the servers of the generation will not come up
	failed  int64  // that generation
	deaths  int    // of servers that had been ready, in a row
	again   time.Time
}

const (
	termGrace  = 10 * time.Second // from SIGTERM to SIGKILL
	probeTime  = 2 * time.Second
	maxRestart = 30 * time.Second
)

// New makes the host and adopts the servers that an earlier life left.
func New(o Options) (*Host, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	h := &Host{o: o, models: map[string]*model{}}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("process host: %w", err)
	}
	dirs, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("process host: %w", err)
	}
	for _, d := range dirs {
		id, ok := modelOf(d.Name())
		if !ok || !d.IsDir() {
			continue
		}
		m := h.model(id)
		if m.servers, err = adopt(filepath.Join(o.Dir, d.Name())); err != nil {
			return nil, fmt.Errorf("process host: adopt the servers of %s: %w", id, err)
		}
		for _, s := range m.servers {
			o.Log.Info("a model server of an earlier start is adopted", "model", id, "server", s.ID, "pid", s.PID, "port", s.Port)
		}
	}
	return h, nil
}

func (h *Host) model(id string) *model {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.models[id]
	if m == nil {
		m = &model{}
		h.models[id] = m
	}
	return m
}

// hold gives a model, locked. One that was deleted while it was waited for is made again.
func (h *Host) hold(id string) *model {
	for {
		m := h.model(id)
		m.mu.Lock()
		h.mu.Lock()
		same := h.models[id] == m
		h.mu.Unlock()
		if same {
			return m
		}
		m.mu.Unlock()
	}
}

// dir is where a model's state and logs are.
func (h *Host) dir(id string) string { return filepath.Join(h.o.Dir, dirName(id)) }

// Ensure starts and stops servers until there are as many of the spec's generation as it wants. Old ones go when the new ones answer.
func (h *Host) Ensure(ctx context.Context, spec fleet.Spec) (fleet.Observed, error) {
	m := h.hold(spec.ModelID)
	defer m.mu.Unlock()
	if m.failed != spec.Generation || spec.Replicas == 0 {
		m.failure, m.failed = "", spec.Generation
	}
	h.bury(m, spec)
	h.probe(ctx, m, spec)
	if err := ctx.Err(); err != nil {
		return fleet.Observed{}, err // what the probes found means nothing
	}
	var current, old []*server
	ready := 0
	for _, s := range m.servers {
		switch {
		case !s.stopping.IsZero():
			if spec.Replicas == 0 {
				h.hurry(s)
			}
			h.press(s)
		case s.Generation == spec.Generation:
			current = append(current, s)
			if s.Ready {
				ready++
			}
		default:
			old = append(old, s)
		}
	}
	if m.failure != "" {
		h.stop(current, false) // what runs of an earlier generation goes on: whether it shall is for the fleet to say
	} else {
		for range int(spec.Replicas) - len(current) {
			if h.o.Now().Before(m.again) {
				break
			}
			if err := h.start(m, spec); err != nil {
				if ready == 0 {
					m.failure = err.Error()
					break
				}
				h.o.Log.Warn("another model server could not be started", "model", spec.ModelID, "error", err)
				m.later(h.o.Now())
				break
			}
		}
		if extra := len(current) - int(spec.Replicas); extra > 0 {
			slices.SortFunc(current, func(a, b *server) int { // those that do not answer first, then the youngest
				if a.Ready != b.Ready {
					if b.Ready {
						return -1
					}
					return 1
				}
				return b.Started.Compare(a.Started)
			})
			h.stop(current[:extra], spec.Replicas > 0)
		}
		if ready >= int(spec.Replicas) {
			h.stop(old, spec.Replicas > 0)
		}
	}
	return m.observed(spec.Generation), nil
}

// observed is what the fleet is told.
func (m *model) observed(generation int64) fleet.Observed {
	out := fleet.Observed{Generation: generation, Failure: m.failure}
	for _, s := range m.servers {
		out.Servers = append(out.Servers, fleet.Server{ID: s.ID, URL: s.url(), Ready: s.Ready && s.stopping.IsZero(), Generation: s.Generation, Started: s.Started})
	}
	return out
}

// bury takes dead servers out. One that died without ever having been ready makes the model fail with its last words, unless another one of
// its kind serves: then the machine has no room for more, which is no reason to take that one away. What may come up is started again, later
// each time.
func (h *Host) bury(m *model, spec fleet.Spec) {
	served := slices.ContainsFunc(m.servers, func(s *server) bool {
		return s.Generation == spec.Generation && s.WasReady && s.stopping.IsZero() && s.alive()
	})
	m.servers = slices.DeleteFunc(m.servers, func(s *server) bool {
		if s.alive() {
			return false
		}
		defer s.forget()
		if !s.stopping.IsZero() {
			return true
		}
		h.o.Log.Warn("a model server ended", "model", spec.ModelID, "server", s.ID, "pid", s.PID, "was_ready", s.WasReady)
		if s.WasReady || served {
			m.later(h.o.Now())
		} else if s.Generation == spec.Generation {
			m.failure = "the server ended before it was ready" + lastWords(s.log)
		}
		return true
	})
}

// later puts the next start off, further each time.
func (m *model) later(now time.Time) {
	m.deaths++
	m.again = now.Add(min(time.Second<<min(m.deaths-1, 10), maxRestart))
}

// probe asks every server whether it is ready.
func (h *Host) probe(ctx context.Context, m *model, spec fleet.Spec) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	var asked sync.WaitGroup
	for _, s := range m.servers {
		if !s.stopping.IsZero() {
			continue
		}
		asked.Go(func() { s.Ready = h.o.Healthy(ctx, s.url()+spec.Health) })
	}
	asked.Wait()
	for _, s := range m.servers {
		if s.Ready && !s.WasReady {
			s.WasReady = true
			m.deaths = 0
			s.save()
		}
	}
}

// stop begins to end servers. leaving says that others of their model stay, so that they may have calls, and get some more.
func (h *Host) stop(servers []*server, leaving bool) {
	for _, s := range servers {
		s.stopping, s.leaving = h.o.Now(), leaving && s.Ready
		s.Ready = false
		h.press(s)
	}
}

// hurry makes a server that leaves one that has no calls to wait for, since nothing of its model stays.
func (h *Host) hurry(s *server) {
	if s.leaving {
		s.stopping, s.leaving = h.o.Now(), false
	}
}

// press asks a server to end when it is time, and makes it after a while. The whole session goes: servers have workers.
func (h *Host) press(s *server) {
	since, grace := h.o.Now().Sub(s.stopping), termGrace
	if s.leaving {
		since, grace = since-h.o.Linger, max(grace, h.o.Drain)
	}
	if s.killed || since < 0 {
		return
	}
	sig := syscall.SIGTERM
	if since > grace {
		sig, s.killed = syscall.SIGKILL, true
	}
	_ = syscall.Kill(-s.PID, sig)
}

// start starts one more server.
func (h *Host) start(m *model, spec fleet.Spec) error {
	name := ""
	if spec.Container != nil {
		name = *spec.Container
	}
	p, ok := h.o.Profiles[name]
	if !ok || len(p.Command) == 0 {
		return fmt.Errorf("no profile for inferenceContainer %q (fleet.process.profiles)", name)
	}
	s, err := launch(h.dir(spec.ModelID), p, spec, h.o.Now())
	if err != nil {
		return err
	}
	m.servers = append(m.servers, s)
	h.o.Log.Info("a model server is started", "model", spec.ModelID, "server", s.ID, "pid", s.PID, "port", s.Port)
	return nil
}

// Health is the path that a profile's servers answer when they are ready.
func (h *Host) Health(container string) string {
	if p := h.o.Profiles[container]; p.Health != "" {
		return p.Health
	}
	return "/health"
}

// Knows reports whether there is a profile for an inferenceContainer.
func (h *Host) Knows(container string) bool {
	_, ok := h.o.Profiles[container]
	return ok
}

// Delete stops all servers of a model and, once they are gone, removes their state and logs.
func (h *Host) Delete(_ context.Context, id string) (bool, error) {
	m := h.hold(id)
	defer m.mu.Unlock()
	m.servers = slices.DeleteFunc(m.servers, func(s *server) bool { return !s.alive() })
	for _, s := range m.servers {
		if s.stopping.IsZero() {
			s.stopping = h.o.Now()
		}
		h.hurry(s)
		h.press(s)
	}
	if len(m.servers) > 0 {
		return false, nil
	}
	if err := os.RemoveAll(h.dir(id)); err != nil {
		return false, fmt.Errorf("process host: %w", err)
	}
	h.mu.Lock()
	delete(h.models, id)
	h.mu.Unlock()
	return true, nil
}

// List names the models that anything is kept of.
func (h *Host) List(context.Context) ([]string, error) {
	dirs, err := os.ReadDir(h.o.Dir)
	if err != nil {
		return nil, fmt.Errorf("process host: %w", err)
	}
	var out []string
	for _, d := range dirs {
		if id, ok := modelOf(d.Name()); ok {
			out = append(out, id)
		}
	}
	return out, nil
}

// Logs are the last lines that a model's servers wrote.
func (h *Host) Logs(_ context.Context, id string, lines int) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(h.dir(id), "*.log"))
	if err != nil {
		return nil, fmt.Errorf("process host: %w", err)
	}
	slices.Sort(files) // their names begin with the time
	var out []string
	for _, f := range files {
		out = append(out, tail(f, lines)...)
	}
	return out[max(0, len(out)-lines):], nil
}

// lastWords are the end of a log, for a reason.
func lastWords(file string) string {
	lines := tail(file, 5)
	if len(lines) == 0 {
		return ", without a word"
	}
	return ": " + strings.Join(lines, " | ")
}

var errNoPort = errors.New("no port is free")
