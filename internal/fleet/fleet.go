package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// Options are what a Fleet needs. Store, Hosts, Probe, Changed, Running, Now and Log are required.
type Options struct {
	Store       Store
	Hosts       map[string]Host // by name: process, ecs, kube
	DefaultHost string
	// Probe makes a first small call to a model at an address (empty: where its definition says) and tells why it failed.
	Probe func(ctx context.Context, m *Model, url string) error
	// ProbeExternal asks for a probe before an external model is InService.
	ProbeExternal bool
	// Changed is called after each change, and returns when this replica routes by it.
	Changed func(ctx context.Context)
	// Running is how many calls of a model are in flight here.
	Running func(modelID string) int64
	// Lead reports whether this replica holds the lease of the fleet, prolonging it.
	Lead func(ctx context.Context) bool
	// Health is the path that tells that a server of a model is up.
	Health func(d *Definition) string
	Now    func() time.Time
	Log    *slog.Logger

	Deadlines Deadlines
}

// Deadlines bound the phases of a model's life; zero values are the contract's (lisa.md A.2.2, A.2.3).
type Deadlines struct {
	Create time.Duration // to the first answer; 0: 90 minutes
	Start  time.Duration // 0: 30 minutes
	Update time.Duration // 0: 30 minutes
	Drain  time.Duration // for calls in flight before the servers go; 0: 2 minutes
	Delete time.Duration // 0: 30 minutes
}

func (d *Deadlines) fill() {
	for _, one := range []struct {
		to *time.Duration
		by time.Duration
	}{{&d.Create, 90 * time.Minute}, {&d.Start, 30 * time.Minute}, {&d.Update, 30 * time.Minute}, {&d.Drain, 2 * time.Minute}, {&d.Delete, 30 * time.Minute}} {
		if *one.to == 0 {
			*one.to = one.by
		}
	}
}

// How often what is looked at: a model on its way, one that is settled, and all of them for what nobody told us of.
const (
	pollMoving  = 500 * time.Millisecond
	pollSettled = 5 * time.Second
	maxBackoff  = 30 * time.Second
)

// Fleet brings models to the state they should be in. Its methods are safe for concurrent use; Run it in one goroutine.
type Fleet struct {
	o Options

	mu    sync.Mutex
	wakes map[string]bool // models to look at now
	wake  chan struct{}
	after map[string]time.Time // when to look at a model again
	scale map[string]*scaling

	failures map[string]int // in a row
}

// New makes a Fleet; nothing happens before Run.
func New(o Options) *Fleet {
	o.Deadlines.fill()
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Fleet{o: o, wakes: map[string]bool{}, wake: make(chan struct{}, 1), after: map[string]time.Time{}, scale: map[string]*scaling{}, failures: map[string]int{}}
}

// Look asks for a model to be looked at now.
func (f *Fleet) Look(id string) {
	f.mu.Lock()
	f.wakes[id] = true
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run reconciles until ctx ends. Servers are left as they are: another life, or another replica, goes on from there.
func (f *Fleet) Run(ctx context.Context) {
	tick := time.NewTicker(pollMoving)
	defer tick.Stop()
	for {
		if f.o.Lead(ctx) {
			f.round(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-f.wake:
		}
	}
}

// round reconciles every model whose time has come.
func (f *Fleet) round(ctx context.Context) {
	models, err := f.o.Store.Models(ctx)
	if err != nil {
		f.o.Log.Error("the fleet can't be read", "error", err)
		return
	}
	f.mu.Lock()
	woken := f.wakes
	f.wakes = map[string]bool{}
	f.mu.Unlock()
	there := map[string]bool{}
	var running sync.WaitGroup
	for i := range models {
		m := &models[i]
		there[m.ModelID] = true
		now := f.o.Now()
		if !woken[m.ModelID] && now.Before(f.next(m.ModelID)) {
			continue
		}
		running.Go(func() {
			defer func() {
				if fault := recover(); fault != nil { // one model's fault must not end the gateway
					f.o.Log.Error("reconciling a model panicked", "model", m.ModelID, "fault", fault, "stack", string(debug.Stack()))
				}
			}()
			wait, err := f.Reconcile(ctx, m)
			if err != nil && ctx.Err() == nil && !errors.Is(err, ErrConflict) {
				f.o.Log.Warn("a model of the fleet is not where it should be yet", "model", m.ModelID, "status", m.Status, "error", err)
			}
			f.mu.Lock()
			f.after[m.ModelID] = f.o.Now().Add(wait)
			f.mu.Unlock()
		})
	}
	running.Wait()
	f.mu.Lock()
	for id := range f.after {
		if !there[id] {
			delete(f.after, id)
			delete(f.scale, id)
		}
	}
	f.mu.Unlock()
}

func (f *Fleet) next(id string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.after[id]
}

// host is where a model's servers are.
func (f *Fleet) host(m *Model) (Host, error) {
	name := m.Host
	if name == "" {
		name = f.o.DefaultHost
	}
	h := f.o.Hosts[name]
	if h == nil {
		return nil, fmt.Errorf("host %q is not configured (fleet.host)", name)
	}
	return h, nil
}

// set moves a model to a status, or notes why it stays, and stores it.
func (f *Fleet) set(ctx context.Context, m *Model, to Status, reason string) error {
	now := f.o.Now().UnixMilli()
	var events []Event
	if m.Status != to {
		events = append(events, Event{ModelID: m.ModelID, At: now, From: m.Status, To: to, Reason: reason})
		m.Phase, m.PhaseAt = "", now
	}
	m.Status, m.Reason, m.Updated = to, reason, now
	if err := f.o.Store.Put(ctx, m, events...); err != nil {
		return err
	}
	f.o.Changed(ctx)
	return nil
}

// Models lists what there is.
func (f *Fleet) Models(ctx context.Context) ([]Model, error) { return f.o.Store.Models(ctx) }

// Model is one; ErrNotFound.
func (f *Fleet) Model(ctx context.Context, id string) (*Model, error) {
	return f.o.Store.Model(ctx, id)
}

// Events are the last transitions of a model, newest first.
func (f *Fleet) Events(ctx context.Context, id string, limit int) ([]Event, error) {
	return f.o.Store.Events(ctx, id, limit)
}

// Logs are the last lines that a model's servers wrote.
func (f *Fleet) Logs(ctx context.Context, m *Model, lines int) ([]string, error) {
	if !m.Hosted() {
		return nil, nil
	}
	h, err := f.host(m)
	if err != nil {
		return nil, err
	}
	return h.Logs(ctx, m.ModelID, lines)
}
