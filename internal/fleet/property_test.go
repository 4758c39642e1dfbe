package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// transitions are the legal ones (contract lisa.md A.2.1); what was made outside its schedule begins Stopped.
var transitions = map[Status][]Status{
	"":        {Creating, Stopped},
	Creating:  {InService, Failed, Deleting},
	InService: {Updating, Stopping, Deleting},
	Updating:  {InService, Failed, Deleting},
	Stopping:  {Stopped, Deleting},
	Stopped:   {Starting, Deleting},
	Starting:  {InService, Stopped, Deleting},
	Failed:    {Deleting},
	Deleting:  {Failed},
}

// death is what a gateway that is killed panics with.
type death struct{}

// chaos is a world in which anything may happen.
type chaos struct {
	*world
	r    *rand.Rand
	ids  []string
	last map[string]Status
	step int
	did  string
	// looked is whether the last look came to its end.
	looked bool
}

// maybe reports true once in n.
func (c *chaos) maybe(n int) bool { return c.r.IntN(n) == 0 }

func (c *chaos) fatalf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("step %d (%s): %s", c.step, c.did, fmt.Sprintf(format, args...))
}

// TestLife_property sends random requests to a fleet whose host fails, is slow and loses servers, and whose gateway dies at any point: no
// transition is illegal, no model is routed to that is not healthy, nothing is left behind, and it always comes to rest.
func TestLife_property(t *testing.T) {
	seeds := 3
	if s := os.Getenv("FLEET_SEEDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		seeds = n
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			c := &chaos{world: newWorld(t), r: rand.New(rand.NewPCG(seed, 5)), ids: []string{"a", "b", "c", "d/e"}, last: map[string]Status{}}
			c.store.noted = func(e Event) {
				if c.last[e.ModelID] != e.From {
					c.fatalf("%s goes from %s, but was %s", e.ModelID, e.From, c.last[e.ModelID])
				}
				if !slices.Contains(transitions[e.From], e.To) {
					c.fatalf("%s went from %q to %s: %s", e.ModelID, e.From, e.To, e.Reason)
				}
				c.last[e.ModelID] = e.To
			}
			c.store.fail = func() error {
				switch {
				case c.maybe(400):
					return errors.New("the database does not answer")
				case c.maybe(400):
					panic(death{})
				}
				return nil
			}
			c.farm.between = func() {
				if c.maybe(100) {
					panic(death{})
				}
			}
			for c.step = range 10_000 {
				c.looked = false
				c.live(c.act)
				c.check()
				if c.step%500 == 499 {
					c.rest()
				}
			}
			c.rest()
		})
	}
}

// live does something, and begins a new life if the gateway dies of it. A death leaves locks as they are: what it held is made anew.
func (c *chaos) live(what func(context.Context)) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case death:
			c.store.mu.TryLock()
			c.store.mu.Unlock()
			c.farm.mu.TryLock()
			c.farm.mu.Unlock()
			c.start()
		default:
			panic(e)
		}
	}()
	what(context.Background())
}

// look reconciles one model as the loop does, but here, so that a death is ours to see.
func (c *chaos) look(ctx context.Context, id string) {
	m, err := c.store.Model(ctx, id)
	if err != nil {
		return
	}
	version := m.Version
	wait, err := c.f.Reconcile(ctx, m)
	if c.looked = err == nil; err == nil && wait == 0 && m.Version == version && c.store.rows[id] != "" {
		c.fatalf("%s is to be looked at again at once, for nothing", id)
	}
}

func (c *chaos) act(ctx context.Context) {
	id := c.ids[c.r.IntN(len(c.ids))]
	c.did = "time"
	c.now = c.now.Add(time.Duration(c.r.IntN(3000)) * time.Millisecond)
	switch n := c.r.IntN(100); {
	case n < 55:
		c.did = "look at " + id
		c.look(ctx, id)
	case n < 62:
		c.did = "create " + id
		d := hostedModel(id, 1+c.r.Int64N(2), 2+c.r.Int64N(3))
		if c.maybe(4) {
			d = Definition{ModelID: id, ModelName: "bedrock/x", Type: "textgen"}
		} else {
			d.WakeOnRequest = c.maybe(2)
			if c.maybe(4) {
				d.AutoScaling.Scheduling = c.schedule()
			}
		}
		if _, err := c.f.Create(ctx, d, ""); err == nil && c.model(id).Delete {
			c.fatalf("made and deleted")
		}
	case n < 78:
		u := c.change()
		c.did = fmt.Sprintf("update %s %+v", id, u)
		if _, err := c.f.Update(ctx, id, u); err == nil && c.last[id] == Failed {
			c.fatalf("a failed model took an update")
		}
	case n < 81:
		c.did = "delete " + id
		if _, err := c.f.Delete(ctx, id); errors.Is(err, ErrNotFound) && c.last[id] != "" && c.store.rows[id] != "" {
			c.fatalf("not found, but there")
		}
	case n < 84:
		c.did = "wake " + id
		_, _ = c.f.Wake(ctx, id) // what it says is for who calls; what it does is checked
	case n < 90:
		c.did = "trouble"
		c.trouble(id)
	case n < 93:
		c.did = "load"
		c.running[id] = c.r.Int64N(60)
	case n < 96:
		c.did = "a long time"
		c.now = c.now.Add(time.Duration(c.r.IntN(120)) * time.Minute)
	default:
		c.did = "restart"
		c.start()
	}
	if c.store.rows[id] == "" {
		delete(c.last, id)
	}
}

func (c *chaos) schedule() *Schedule {
	h := c.r.IntN(24)
	return &Schedule{Type: "RECURRING", Timezone: "Europe/Berlin", Recurring: &Hours{Start: fmt.Sprintf("%d:00", h), Stop: fmt.Sprintf("%d:30", (h+2+c.r.IntN(20))%24)}}
}

// change is a random update, sensible or not.
func (c *chaos) change() Update {
	var u Update
	number := func() *int64 {
		if c.maybe(2) {
			return nil
		}
		n := 1 + c.r.Int64N(5)
		return &n
	}
	yes := c.maybe(2)
	switch c.r.IntN(6) {
	case 0, 1:
		u.Enabled = &yes
	case 2:
		u.Scaling = &ScalingUpdate{Min: number(), Max: number(), Desired: number()}
	case 3:
		u.Container = &ContainerUpdate{Environment: map[string]string{"n": fmt.Sprint(c.step)}}
		if c.maybe(3) {
			u.Enabled = &yes
		}
	case 4:
		u.Streaming, u.WakeOnRequest = &yes, &yes
	case 5:
		if u.NoSchedule = c.maybe(2); !u.NoSchedule {
			u.Schedule = c.schedule()
		}
	}
	return u
}

func (c *chaos) trouble(id string) {
	switch c.r.IntN(7) {
	case 0:
		c.farm.down = !c.farm.down
	case 1:
		c.farm.slow = time.Duration(c.r.IntN(40)) * time.Minute
	case 2:
		c.farm.slow, c.farm.linger = 0, time.Duration(c.r.IntN(20))*time.Second
	case 3:
		c.farm.broken[id] = "out of memory"
	case 4:
		clear(c.farm.broken)
	case 5:
		c.farm.crash(id, c.r.IntN(5))
	case 6:
		c.probe = nil
		if c.maybe(2) {
			c.probe = errors.New("500")
		}
	}
}

// routable is what the gateway routes by.
func routable(m *Model) bool {
	return (m.Status == InService || m.Status == Updating && m.Enabled) && !m.Delete
}

// check holds what must be true at any moment.
func (c *chaos) check() {
	for id := range c.store.rows {
		m := c.model(id)
		if !routable(m) && m.Status != Creating && m.Status != Starting && m.Phase != "" && len(m.Replicas) > 0 {
			c.fatalf("%s is %s %s and has addresses %v", id, m.Status, m.Phase, m.Replicas)
		}
		if (m.Status == Stopped || m.Status == Failed) && len(m.Replicas) > 0 {
			c.fatalf("%s is %s and has addresses %v", id, m.Status, m.Replicas)
		}
		if a := m.AutoScaling; a != nil && (a.MinCapacity > a.MaxCapacity || m.Status == InService && (m.Desired < 1 || m.Desired > 5)) {
			c.fatalf("%s: limits %d to %d, desired %d", id, a.MinCapacity, a.MaxCapacity, m.Desired)
		}
		if !m.Hosted() || m.Status != InService {
			continue
		}
		if c.looked && c.did == "look at "+id {
			// What is routed to is what answered a moment ago.
			up := c.farm.ready(id)
			for _, at := range m.Replicas {
				if !slices.Contains(up, at) {
					c.fatalf("%s is routed to at %s; what answers is %v", id, at, up)
				}
			}
		}
		if events := c.store.events[id]; len(events) > 1 && (events[len(events)-1].From == Creating || events[len(events)-1].From == Starting) {
			answered := false
			for at := range c.probed.Range {
				answered = answered || strings.HasPrefix(at.(string), id+" ")
			}
			if !answered {
				c.fatalf("%s is in service and never answered a first call", id)
			}
		}
	}
}

// rest heals everything, lets time go by, and holds what must then be true.
func (c *chaos) rest() {
	c.did = "rest"
	c.farm.down, c.farm.slow, c.farm.linger, c.probe = false, 3*time.Second, 2*time.Second, nil
	clear(c.farm.broken)
	clear(c.running)
	for _, p := range c.farm.models {
		for _, one := range p.servers {
			one.ready = c.now
		}
	}
	fail, between := c.store.fail, c.farm.between
	c.store.fail, c.farm.between = func() error { return nil }, func() {}
	c.start()
	for range 300 {
		for _, id := range c.ids {
			c.look(context.Background(), id)
		}
		c.now = c.now.Add(pollMoving)
	}
	for id := range c.store.rows {
		m := c.model(id)
		up := int64(len(c.farm.ready(id)))
		switch {
		case !m.Status.Settled():
			c.fatalf("%s is still %s (%s), desired %d, %d up", id, m.Status, m.Reason, m.Desired, up)
		case !m.Hosted():
		case m.Status == InService && (up != m.Desired || int64(len(m.Replicas)) != up || m.Observed != m.Generation || up < m.AutoScaling.MinCapacity || up > m.AutoScaling.MaxCapacity):
			c.fatalf("%s: %d up, %d desired, %d routed to, generation %d of %d", id, up, m.Desired, len(m.Replicas), m.Observed, m.Generation)
		case m.Status != InService && c.farm.models[id] != nil && len(c.farm.models[id].servers) > 0:
			c.fatalf("%s is %s and %d servers run", id, m.Status, len(c.farm.models[id].servers))
		}
	}
	for id := range c.farm.models {
		if c.store.rows[id] == "" {
			c.fatalf("the host holds %s, which is not in the fleet", id)
		}
	}
	for _, id := range c.ids {
		if c.store.rows[id] == "" {
			delete(c.last, id)
		}
	}
	c.store.fail, c.farm.between = fail, between
}
