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
	// Running is how many calls of a model are in flight, on all replicas. settled reports whether each of them routes by what is stored of the
	// model: there will be no further calls that go by what was before.
	Running func(ctx context.Context, m *Model) (calls int64, settled bool, err error)
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
	seen  map[string]int64     // the versions that were looked at last
	scale map[string]*scaling

	failures map[string]int // in a row

	// telling is held for reading from a change until this replica routes by it: who reads a state through the fleet can act on it.
	telling sync.RWMutex

	busy    map[string]bool // models that are being looked at
	looking sync.WaitGroup
	orphans []Orphan
}

// New makes a Fleet; nothing happens before Run.
func New(o Options) *Fleet {
	o.Deadlines.fill()
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Fleet{o: o, wakes: map[string]bool{}, wake: make(chan struct{}, 1), after: map[string]time.Time{}, scale: map[string]*scaling{}, failures: map[string]int{},
		busy: map[string]bool{}, seen: map[string]int64{}}
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
	defer f.looking.Wait()
	var counted time.Time
	for {
		if f.o.Lead(ctx) {
			f.round(ctx)
			if now := f.o.Now(); now.Sub(counted) >= countOrphans {
				counted = now
				f.looking.Go(func() { f.findOrphans(ctx) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-f.wake:
		}
	}
}

// round looks at every model whose time has come. It does not wait for them: a host that is slow about one model keeps no other waiting.
func (f *Fleet) round(ctx context.Context) {
	models, err := f.o.Store.Models(ctx)
	if err != nil {
		f.o.Log.Error("the fleet can't be read", "error", err)
		return
	}
	there := map[string]bool{}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.o.Now()
	for i := range models {
		id := models[i].ModelID
		there[id] = true
		changed := f.seen[id] != models[i].Version // by another replica, maybe
		if f.busy[id] || !changed && !f.wakes[id] && now.Before(f.after[id]) {
			continue // a wish to look at a busy one stays
		}
		f.busy[id] = true
		delete(f.wakes, id)
		f.looking.Go(func() { f.look(ctx, id) })
	}
	for id := range f.after {
		if !there[id] && !f.busy[id] {
			delete(f.after, id)
			delete(f.scale, id)
			delete(f.failures, id)
			delete(f.seen, id)
		}
	}
	for id := range f.wakes {
		if !there[id] {
			delete(f.wakes, id)
		}
	}
}

// look reconciles one model. It is read here, when nobody else of this fleet is at it, so that what is done fits what is stored.
func (f *Fleet) look(ctx context.Context, id string) {
	wait, version, err := pollMoving, int64(0), error(nil)
	func() {
		defer func() {
			if fault := recover(); fault != nil { // one model's fault must not end the gateway
				f.o.Log.Error("reconciling a model panicked", "model", id, "fault", fault, "stack", string(debug.Stack()))
				wait = maxBackoff
			}
		}()
		var m *Model
		if m, err = f.o.Store.Model(ctx, id); err == nil {
			wait, err = f.Reconcile(ctx, m)
			version = m.Version
		}
	}()
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
		f.o.Log.Warn("a model of the fleet is not where it should be yet", "model", id, "error", err)
	}
	f.mu.Lock()
	f.after[id] = f.o.Now().Add(wait)
	if version != 0 {
		f.seen[id] = version
	}
	delete(f.busy, id)
	again := f.wakes[id] || wait == 0
	f.mu.Unlock()
	if again {
		f.Look(id)
	}
}

// host is where a model's servers are.
func (f *Fleet) host(m *Model) (Host, error) {
	name := f.hostName(m)
	h := f.o.Hosts[name]
	if h == nil {
		return nil, fmt.Errorf("host %q is not configured (fleet.host)", name)
	}
	return h, nil
}

func (f *Fleet) hostName(m *Model) string {
	if m.Host != "" {
		return m.Host
	}
	return f.o.DefaultHost
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
	if m.Desired == 0 {
		m.Scaled = 0
	}
	return f.tell(ctx, func() error { return f.o.Store.Put(ctx, m, events...) })
}

// tell makes a change of the store and returns when this replica routes by it.
func (f *Fleet) tell(ctx context.Context, change func() error) error {
	f.telling.RLock()
	defer f.telling.RUnlock()
	if err := change(); err != nil {
		return err
	}
	f.o.Changed(ctx)
	return nil
}

// told waits until this replica routes by all that the store showed a moment ago.
func (f *Fleet) told() {
	f.telling.Lock()
	//lint:ignore SA2001 that nobody holds it is all that is wanted
	f.telling.Unlock()
}

// Models lists what there is. What they show is in force on this replica.
func (f *Fleet) Models(ctx context.Context) ([]Model, error) {
	defer f.told()
	return f.o.Store.Models(ctx)
}

// Model is one; ErrNotFound. What it shows is in force on this replica.
func (f *Fleet) Model(ctx context.Context, id string) (*Model, error) {
	defer f.told()
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
