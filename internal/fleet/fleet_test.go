package fleet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestScaling(t *testing.T) {
	w := newWorld(t)
	w.create(hostedModel("m", 1, 3)) // 10 calls a server, warm-up 30 s, cooldown 60 s
	w.run(time.Second)
	servers := func(want int) {
		t.Helper()
		if m := w.is("m", InService); len(m.Replicas) != want {
			t.Errorf("%v after the start: %d servers, want %d", w.now, len(m.Replicas), want)
		}
	}
	servers(1)
	w.running["m"] = 25
	w.run(20 * time.Second)
	servers(1) // the first one is still warming up
	w.run(15 * time.Second)
	servers(3)
	w.running["m"] = 1000
	w.run(time.Minute)
	servers(3)
	w.running["m"] = 20
	w.run(2 * time.Minute)
	servers(2) // 20 calls need two, so no further
	w.running["m"] = 0
	w.run(30 * time.Second)
	servers(2)
	w.running["m"] = 15
	w.run(5 * time.Second)
	w.running["m"] = 0
	w.run(50 * time.Second)
	servers(2) // the load came back: it must have been low for the whole cooldown
	w.run(20 * time.Second)
	servers(1)
	w.run(10 * time.Minute)
	servers(1)
}

// TestScaling_host: where the host scales by itself, neither load nor time makes the fleet ask for another number; starts, stops and changed
// limits do.
func TestScaling_host(t *testing.T) {
	w := newWorld(t)
	w.farm.scaled["m"] = 1
	f := func(what string, asked, servers int64) {
		t.Helper()
		w.run(5 * time.Minute)
		m := w.is("m", InService)
		if got := w.farm.ensured["m"].Replicas; got != asked || int64(len(w.farm.ready("m"))) != servers || int64(len(m.Replicas)) != servers || m.Scaled != servers || m.Reason != "" {
			t.Errorf("%s: the host was asked for %d and has %d servers; the model has %d of %d (%s); want %d and %d", what, got, len(w.farm.ready("m")), len(m.Replicas), m.Scaled, m.Reason, asked, servers)
		}
	}
	w.create(hostedModel("m", 1, 5))
	f("made", 1, 1)
	w.farm.scaled["m"] = 3
	f("the host wants more", 1, 3)
	w.running["m"] = 1000
	f("many calls", 1, 3)
	w.farm.scaled["m"] = 2
	f("the host wants fewer", 1, 2)
	least := int64(4)
	w.update("m", Update{Scaling: &ScalingUpdate{Min: &least}})
	f("other limits", 4, 4)
	w.running["m"] = 0
	w.farm.scaled["m"] = 5
	f("the host wants more again", 4, 5)
	w.start()
	f("another life of the gateway", 4, 5)
	on := false
	w.update("m", Update{Enabled: &on})
	w.run(5 * time.Minute)
	if m := w.is("m", Stopped); len(w.farm.ready("m")) != 0 || m.Scaled != 0 {
		t.Errorf("stopped: %d servers, %d wanted", len(w.farm.ready("m")), m.Scaled)
	}
	on = true
	w.update("m", Update{Enabled: &on})
	f("started", 4, 4)
}

func TestUpdate_capacity(t *testing.T) {
	w := newWorld(t)
	w.create(hostedModel("m", 1, 4))
	w.run(time.Second)
	n := func(i int64) *int64 { return &i }
	w.update("m", Update{Scaling: &ScalingUpdate{Desired: n(3)}})
	w.is("m", Updating)
	w.run(5 * time.Second)
	if m := w.is("m", InService); len(m.Replicas) != 3 {
		t.Errorf("%d servers, want 3", len(m.Replicas))
	}
	w.run(5 * time.Minute) // a wish is not for ever
	if m := w.is("m", InService); len(m.Replicas) != 1 {
		t.Errorf("%d servers after the cooldown, want 1", len(m.Replicas))
	}
	// More servers that do not come leave the others as they are.
	w.farm.slow = time.Hour
	w.update("m", Update{Scaling: &ScalingUpdate{Min: n(2)}})
	w.run(31 * time.Minute)
	if m := w.is("m", InService); len(m.Replicas) != 1 || !strings.Contains(m.Reason, "1 of 2 servers ready") {
		t.Errorf("%v %q", m.Replicas, m.Reason)
	}
	w.run(time.Hour)
	if m := w.is("m", InService); len(m.Replicas) != 2 || m.Reason != "" {
		t.Errorf("%v %q", m.Replicas, m.Reason)
	}
}

// TestUpdate_rolls: the old servers serve until the new ones do; a change that does not come up is Failed.
func TestUpdate_rolls(t *testing.T) {
	w := newWorld(t)
	w.create(hostedModel("m", 2, 2))
	w.run(time.Second)
	old := w.model("m").Replicas
	w.farm.slow = time.Minute
	w.update("m", Update{Container: &ContainerUpdate{Environment: map[string]string{"A": "1"}}})
	w.run(30 * time.Second)
	if m := w.is("m", Updating); !slices.Equal(m.Replicas, old) {
		t.Errorf("while it rolls: %v, want %v", m.Replicas, old)
	}
	w.run(time.Minute)
	if m := w.is("m", InService); len(m.Replicas) != 2 || slices.Contains(m.Replicas, old[0]) || m.Observed != 2 {
		t.Errorf("after: %v, was %v", m.Replicas, old)
	}
	w.farm.slow = 2 * time.Hour
	w.update("m", Update{Container: &ContainerUpdate{Environment: map[string]string{"A": "2"}}})
	w.run(31 * time.Minute)
	if m := w.is("m", Failed); !strings.Contains(m.Reason, "not up after 30m") || len(m.Replicas) != 0 {
		t.Errorf("%q %v", m.Reason, m.Replicas)
	}
}

func TestFailures(t *testing.T) {
	w := newWorld(t)
	w.farm.broken["a"] = "executable file not found"
	w.create(hostedModel("a", 1, 1))
	w.run(time.Second)
	if m := w.is("a", Failed); m.Reason != "executable file not found" {
		t.Errorf("%q", m.Reason)
	}
	w.farm.slow = 3 * time.Hour
	w.create(hostedModel("b", 1, 1))
	w.run(91 * time.Minute)
	if m := w.is("b", Failed); !strings.Contains(m.Reason, "0 of 1 servers ready") || len(w.farm.models["b"].servers) != 0 {
		t.Errorf("%q %v", m.Reason, w.farm.models["b"].servers)
	}
	// Healthy, but the first call fails: it is not routed to, and says why.
	w.farm.slow, w.probe = 0, errors.New("500 out of memory")
	w.create(hostedModel("c", 1, 1))
	w.run(time.Minute)
	if m := w.is("c", Creating); !strings.Contains(m.Reason, "500 out of memory") || len(m.Replicas) != 0 {
		t.Errorf("%q %v", m.Reason, m.Replicas)
	}
	w.probe = nil
	w.run(time.Second)
	w.is("c", InService)
	// A server that is lost comes back; one that can't is stopped with the reason, and may be started.
	w.farm.crash("c", 0)
	w.run(5 * time.Second)
	if m := w.is("c", InService); len(m.Replicas) != 1 {
		t.Errorf("after a crash: %v", m.Replicas)
	}
	w.farm.broken["c"] = "GPU fell off the bus"
	w.run(5 * time.Second)
	if m := w.is("c", Stopped); m.Reason != "GPU fell off the bus" || len(m.Replicas) != 0 {
		t.Errorf("%q %v", m.Reason, m.Replicas)
	}
	clear(w.farm.broken)
	yes := true
	w.update("c", Update{Enabled: &yes})
	w.run(5 * time.Second)
	w.is("c", InService)
	// A start that is not up in time goes back to Stopped.
	no := false
	w.update("c", Update{Enabled: &no})
	w.run(5 * time.Second)
	w.farm.slow = time.Hour
	w.update("c", Update{Enabled: &yes})
	w.run(31 * time.Minute)
	if m := w.is("c", Stopped); m.Enabled || !strings.Contains(m.Reason, "after 30m") {
		t.Errorf("%q", m.Reason)
	}
	w.probe = errors.New("no such model")
	w.create(Definition{ModelID: "x", ModelName: "bedrock/x", Type: "textgen"})
	w.run(time.Second)
	if m := w.is("x", Failed); !strings.Contains(m.Reason, "no such model") {
		t.Errorf("%q", m.Reason)
	}
}

// TestDrain: a model that stops takes no calls, and its servers go when the last one ended, or at the deadline.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	w.create(hostedModel("m", 1, 1))
	w.run(time.Second)
	no, yes := false, true
	w.running["m"] = 1
	w.update("m", Update{Enabled: &no})
	w.run(time.Minute)
	if m := w.is("m", Stopping); len(m.Replicas) != 0 || len(w.farm.ready("m")) != 1 {
		t.Errorf("while calls run: routed to %v, running %v", m.Replicas, w.farm.ready("m"))
	}
	w.running["m"] = 0
	w.run(2 * time.Second)
	w.is("m", Stopped)
	w.update("m", Update{Enabled: &yes})
	w.run(2 * time.Second)
	w.running["m"] = 1
	w.update("m", Update{Enabled: &no})
	w.run(3 * time.Minute)
	w.is("m", Stopped)
	// Nothing runs, as far as is known: a replica that has not taken it in yet may still begin a call.
	for _, unknown := range []struct {
		behind  bool
		unheard error
	}{{behind: true}, {unheard: errors.New("the database does not answer")}} {
		w.running["m"], w.behind, w.unheard = 0, false, nil
		w.update("m", Update{Enabled: &yes})
		w.run(2 * time.Second)
		w.is("m", InService)
		w.behind, w.unheard = unknown.behind, unknown.unheard
		w.update("m", Update{Enabled: &no})
		w.run(time.Minute)
		if w.is("m", Stopping); len(w.farm.ready("m")) != 1 {
			t.Errorf("%+v: its servers are gone before all replicas were heard of", unknown)
		}
		w.run(3 * time.Minute)
		w.is("m", Stopped)
	}
}

// TestScaling_unknown: where the load of all replicas is not known, the number of servers stays.
func TestScaling_unknown(t *testing.T) {
	w := newWorld(t)
	w.create(hostedModel("m", 1, 3))
	w.running["m"] = 25
	w.run(time.Minute)
	w.running["m"], w.unheard = 0, errors.New("the database does not answer")
	w.run(10 * time.Minute)
	if m := w.is("m", InService); len(m.Replicas) != 3 {
		t.Errorf("%d servers, want 3", len(m.Replicas))
	}
}

// TestDelete_external: a model without servers of ours is gone at once, whatever runs: its calls need nothing that goes.
func TestDelete_external(t *testing.T) {
	w := newWorld(t)
	w.create(Definition{ModelID: "e", ModelName: "demo/demo", Type: "textgen"})
	w.run(time.Second)
	w.is("e", InService)
	w.running["e"], w.behind = 1, true
	if _, err := w.f.Delete(t.Context(), "e"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Model(t.Context(), "e"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after the delete: %v", err)
	}
}

// TestDelete: it is bounded, may be asked for again, and leaves nothing.
func TestDelete(t *testing.T) {
	w := newWorld(t)
	w.create(hostedModel("m", 1, 1))
	w.run(time.Second)
	w.farm.down = true
	if _, err := w.f.Delete(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	w.is("m", Deleting)
	w.run(40 * time.Minute)
	if m := w.is("m", Failed); !strings.Contains(m.Reason, errHost.Error()) {
		t.Errorf("%q", m.Reason)
	}
	w.farm.down = false
	if _, err := w.f.Delete(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	w.run(time.Minute)
	if _, err := w.store.Model(t.Context(), "m"); !errors.Is(err, ErrNotFound) || len(w.farm.models) != 0 {
		t.Errorf("%v, left: %v", err, w.farm.models)
	}
	if _, err := w.f.Delete(t.Context(), "m"); !errors.Is(err, ErrNotFound) {
		t.Errorf("once more: %v", err)
	}
	// While it is made.
	w.farm.slow, w.farm.linger = time.Hour, 5*time.Second
	w.create(hostedModel("m", 1, 1))
	w.run(time.Second)
	if _, err := w.f.Delete(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	w.run(time.Minute)
	if _, err := w.store.Model(t.Context(), "m"); !errors.Is(err, ErrNotFound) || len(w.farm.models) != 0 {
		t.Errorf("%v, left: %v", err, w.farm.models)
	}
	// External: gone when the call returns.
	w.create(Definition{ModelID: "x", ModelName: "bedrock/x", Type: "textgen"})
	w.run(time.Second)
	if _, err := w.f.Delete(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Model(t.Context(), "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an external model: %v", err)
	}
}

func TestWake(t *testing.T) {
	w := newWorld(t)
	d := hostedModel("m", 1, 1)
	d.WakeOnRequest = true
	w.create(d)
	w.create(hostedModel("deep", 1, 1))
	w.run(time.Second)
	no := false
	w.update("m", Update{Enabled: &no})
	w.update("deep", Update{Enabled: &no})
	w.run(5 * time.Second)
	f := func(id string, want bool) {
		t.Helper()
		if got, err := w.f.Wake(t.Context(), id); got != want || err != nil {
			t.Errorf("wake %s: %v %v, want %v", id, got, err, want)
		}
	}
	f("deep", false)
	for range 50 {
		f("m", true)
	}
	w.run(5 * time.Second)
	w.is("m", InService)
	w.is("deep", Stopped)
	starts := 0
	for _, e := range w.store.events["m"] {
		if e.To == Starting {
			starts++
		}
	}
	if starts != 1 {
		t.Errorf("%d starts for 50 calls", starts)
	}
	if _, err := w.f.Wake(t.Context(), "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("wake an unknown model: %v", err)
	}
}

// TestReplicas: what another replica is asked for is noticed at once by the one that leads.
func TestReplicas(t *testing.T) {
	w := newWorld(t)
	w.create(hostedModel("m", 1, 1))
	w.run(time.Second)
	leader := w.f
	w.start()
	other := w.f
	w.f = leader
	yes, no := true, false
	if _, err := other.Update(t.Context(), "m", Update{Enabled: &no}); err != nil {
		t.Fatal(err)
	}
	w.run(2 * time.Second)
	w.is("m", Stopped)
	w.run(pollMoving)
	if _, err := other.Update(t.Context(), "m", Update{Enabled: &yes}); err != nil {
		t.Fatal(err)
	}
	w.run(pollMoving)
	w.is("m", InService)
}

func TestOrphans(t *testing.T) {
	w := newWorld(t)
	w.create(hostedModel("m", 1, 1))
	w.run(time.Second)
	w.farm.models["stray"] = &plot{}
	w.f.findOrphans(t.Context())
	if got := w.f.Orphans(); len(got) != 1 || got[0] != (Orphan{"farm", "stray"}) {
		t.Errorf("%v", got)
	}
	delete(w.farm.models, "stray")
	w.f.findOrphans(t.Context())
	if got := w.f.Orphans(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// stuck is a host that does not answer about one model until it is let go.
type stuck struct {
	*farm
	about string
	let   chan struct{}
}

func (h *stuck) Ensure(ctx context.Context, s Spec) (Observed, error) {
	if s.ModelID == h.about {
		<-h.let
	}
	return h.farm.Ensure(ctx, s)
}

// TestRun_slow: a host that hangs on one model keeps no other waiting, and the loop ends when it is told to.
func TestRun_slow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.farm.now = time.Now
		h := &stuck{farm: w.farm, about: "slow", let: make(chan struct{})}
		w.f.o.Hosts["farm"], w.f.o.Now = h, time.Now
		w.create(hostedModel("slow", 1, 1))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.f.Run(ctx); close(ended) }()
		synctest.Wait()
		w.create(hostedModel("quick", 1, 1))
		synctest.Wait()
		w.is("slow", Creating)
		w.is("quick", InService)
		close(h.let)
		synctest.Wait()
		w.is("slow", InService)
		stop()
		<-ended
	})
}
