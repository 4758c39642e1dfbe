package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/usage"
)

// shared is the database of a few replicas, in memory.
type shared struct {
	mu       sync.Mutex
	replicas map[string]Replica
	open     map[string]map[string]bool
	holder   string
	until    int64
	expired  map[string]int
	down     bool
}

var errDown = errors.New("the database is down")

func (s *shared) with(do func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errDown
	}
	do()
	return nil
}

func (s *shared) Heartbeat(_ context.Context, r Replica) error {
	return s.with(func() { s.replicas[r.ID] = r })
}

func (s *shared) Replicas(context.Context) (out []Replica, err error) {
	return out, s.with(func() {
		for _, r := range s.replicas {
			out = append(out, r)
		}
	})
}

func (s *shared) PutOpenCalls(_ context.Context, replica string, calls []usage.Record) error {
	return s.with(func() {
		if s.open[replica] == nil {
			s.open[replica] = map[string]bool{}
		}
		for _, c := range calls {
			s.open[replica][c.ID] = true
		}
	})
}

func (s *shared) ExpireReplica(_ context.Context, id string, _ int64) (n int, err error) {
	return n, s.with(func() {
		n = len(s.open[id])
		s.expired[id] += n
		delete(s.open, id)
		delete(s.replicas, id)
	})
}

func (s *shared) TryLease(_ context.Context, _, holder string, now, until int64) (ok bool, err error) {
	return ok, s.with(func() {
		if ok = s.holder == holder || s.until <= now; ok {
			s.holder, s.until = holder, until
		}
	})
}

func (s *shared) Release(_ context.Context, _, holder string) error {
	return s.with(func() {
		if s.holder == holder {
			s.until = 0
		}
	})
}

func (s *shared) lost(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expired[id]
}

// TestMember is a life of three replicas, by the clock of a synctest bubble: the sleeps take no time.
func TestMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &shared{replicas: map[string]Replica{}, open: map[string]map[string]bool{}, expired: map[string]int{}}
		log := slog.New(slog.NewTextHandler(io.Discard, nil))
		var books [3]atomic.Int64
		var open [3]usage.Open
		var stop [3]context.CancelFunc
		var counted atomic.Int64
		var running sync.WaitGroup
		for i := range 3 {
			m := Join(Options{Self: Replica{ID: fmt.Sprint("r", i)}, Store: db, Open: &open[i], Now: time.Now, Log: log,
				Books: func(context.Context) error { books[i].Add(1); return nil }, Replicas: func(n int) { counted.Store(int64(n)) }})
			var ctx context.Context
			ctx, stop[i] = context.WithCancel(t.Context())
			running.Go(func() { m.Run(ctx) })
		}
		short, long := usage.OpenCall{Record: usage.Record{ID: "short"}}, usage.OpenCall{Record: usage.Record{ID: "long"}}
		open[1].Begin(&short, time.Now())
		open[1].Begin(&long, time.Now())
		time.Sleep(10 * time.Millisecond)
		open[1].End(&short)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if counted.Load() != 3 || len(db.open["r1"]) != 1 || !db.open["r1"]["long"] {
			t.Errorf("%d replicas, open %v; want 3 and the long call of r1", counted.Load(), db.open)
		}
		if keepers := min(1, books[0].Load()) + min(1, books[1].Load()) + min(1, books[2].Load()); keepers != 1 {
			t.Errorf("%d replicas keep the books; want one", keepers)
		}
		// r1 dies without a word: its heartbeats stop and its open call stays behind.
		db.mu.Lock()
		db.open["dead"], db.replicas["dead"] = db.open["r1"], Replica{ID: "dead", Seen: time.Now().UnixMilli()}
		delete(db.open, "r1")
		db.mu.Unlock()
		time.Sleep(expireAfter - beatEvery)
		if db.lost("dead") != 0 {
			t.Error("a replica was given up before its time")
		}
		time.Sleep(2*beatEvery + pollEvery)
		synctest.Wait()
		if db.lost("dead") != 1 || counted.Load() != 3 {
			t.Errorf("%d calls of the dead replica charged, %d alive; want 1 and 3", db.lost("dead"), counted.Load())
		}
		// The database goes away and comes back: everyone goes on. What could not be told is not kept for later.
		db.mu.Lock()
		db.down = true
		db.mu.Unlock()
		first, second := usage.OpenCall{Record: usage.Record{ID: "first"}}, usage.OpenCall{Record: usage.Record{ID: "second"}}
		open[1].Begin(&first, time.Now())
		time.Sleep(time.Second)
		open[1].Begin(&second, time.Now())
		time.Sleep(time.Minute)
		if open[1].End(&second) {
			t.Error("a call was reported while the database took none")
		}
		db.mu.Lock()
		db.down = false
		db.mu.Unlock()
		time.Sleep(3 * beatEvery)
		synctest.Wait()
		if counted.Load() != 3 {
			t.Errorf("%d alive after the database came back; want 3", counted.Load())
		}
		for i := range 3 {
			if n := db.lost(fmt.Sprint("r", i)); n != 0 {
				t.Errorf("r%d was given up because the database was away: %d", i, n)
			}
		}
		if !db.open["r1"]["first"] || db.open["r1"]["second"] || !open[1].End(&first) {
			t.Errorf("open: %v; want the one that was reported before", db.open)
		}
		for i := range stop {
			stop[i]()
		}
		running.Wait()
		if db.until != 0 {
			t.Error("the lease of the books was not released")
		}
	})
}

// TestMember_state: what can't wait is told with the next poll, the rest with the next heartbeat, and nothing is lost while the database is
// away.
func TestMember_state(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &shared{replicas: map[string]Replica{}, open: map[string]map[string]bool{}, expired: map[string]int{}}
		var mu sync.Mutex
		text, urgent := "", false
		set := func(s string, now, down bool) {
			mu.Lock()
			defer mu.Unlock()
			db.mu.Lock()
			defer db.mu.Unlock()
			text, urgent, db.down = s, now, down
		}
		m := Join(Options{Self: Replica{ID: "r"}, Store: db, Now: time.Now, Log: slog.New(slog.DiscardHandler), State: func() (string, bool) {
			mu.Lock()
			defer mu.Unlock()
			now := urgent
			urgent = false
			return text, now
		}})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { m.Run(ctx) })
		f := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			db.mu.Lock()
			defer db.mu.Unlock()
			if got := db.replicas["r"].State; got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		f(beatEvery+time.Millisecond, "") // from here on polls and heartbeats are a millisecond ago
		set("one", true, false)
		f(pollEvery, "one")
		set("two", false, false)
		f(pollEvery, "one")
		f(beatEvery, "two")
		set("three", true, true)
		f(pollEvery, "two")
		set("three", false, false)
		f(pollEvery, "three")
		stop()
		running.Wait()
	})
}

// TestMember_Recover: a start charges what earlier ones on its journal left open, nobody else's, and is on the list before it does anything.
func TestMember_Recover(t *testing.T) {
	db := &shared{replicas: map[string]Replica{}, open: map[string]map[string]bool{}, expired: map[string]int{}}
	for _, r := range []Replica{{ID: "j1-old", Journal: "j1"}, {ID: "j2-x", Journal: "j2"}} {
		db.replicas[r.ID], db.open[r.ID] = r, map[string]bool{"call": true}
	}
	m := Join(Options{Self: Replica{ID: "j1-new", Journal: "j1"}, Store: db, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	db.down = true
	if err := m.Recover(t.Context()); !errors.Is(err, errDown) {
		t.Errorf("%v", err)
	}
	db.down = false
	if err := m.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, old := db.replicas["j1-old"]
	_, other := db.replicas["j2-x"]
	_, self := db.replicas["j1-new"]
	if db.expired["j1-old"] != 1 || db.expired["j2-x"] != 0 || old || !other || !self {
		t.Errorf("charged %v, listed %v", db.expired, db.replicas)
	}
}
