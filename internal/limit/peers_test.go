package limit_test

import (
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	. "github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/test/gwtest"
)

// TestPeers: replicas that have nothing but SQL in common divide what is left of a budget, and are told whose spend to read again.
func TestPeers(t *testing.T) {
	now := time.UnixMilli(1763730000000)
	peers := 3
	l := New(Options{Now: func() time.Time { return now }, Peers: func() int { return peers }})
	r := Unlimited(key("k"))
	r.Budget, r.Parallel = dollars(90), 100
	b := l.Bind([]Rule{r, Unlimited(key("free"))})
	held := make([]Reservation, 100)
	admit := func(want int) {
		t.Helper()
		n := 0
		for ; n < len(held) && l.Reserve(t.Context(), &held[n], Need{Cost: 1e9, Start: now.UnixMilli()}, b) == nil; n++ {
			continue
		}
		for i := range n {
			held[i].Settle(0, 0)
		}
		if n != want {
			t.Errorf("%d calls at once, want %d", n, want)
		}
	}
	lately := func(want int) {
		t.Helper()
		if got := l.Lately(time.Minute); len(got) != want || want > 0 && got[0] != key("k") {
			t.Errorf("%v, want %d", got, want)
		}
	}
	lately(0)
	admit(30)
	lately(1)
	l.Load([]account.Spend{{Subject: key("k"), Total: 60e9}}) // spent by others
	admit(10)
	l.Load([]account.Spend{{Subject: key("k"), Total: 90e9 - 1}})
	admit(1) // as long as anything is left, somebody is served
	l.Load([]account.Spend{{Subject: key("k"), Total: 90e9}})
	admit(0)
	lately(1)
	now = now.Add(time.Minute + time.Millisecond)
	lately(0)
	peers = 0 // not counted yet
	r.Budget = dollars(91)
	b = l.Bind([]Rule{r})
	admit(1)
	lately(1)
}

// TestShared_closed: what a dead replica held is charged until SQL says that its books are closed, and is then exactly what SQL's total has.
func TestShared_closed(t *testing.T) {
	server := gwtest.StartRedis(t)
	k := key("k")
	b := &books{total: map[account.Subject]llm.Nanos{}}
	dial, err := Dial(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	start := func(name string) *Limiter {
		l := New(Options{Seed: b.seed, Shared: &Shared{Dial: dial, Replica: name, Timeout: 10 * time.Second, Dead: 2 * time.Second, Limbo: 2 * time.Second}})
		t.Cleanup(l.Close)
		return l
	}
	r := Unlimited(k)
	r.Budget = dollars(10)
	one, two, again := start("j-1-first"), start("j-2-x"), start("j-1-second")
	reserve := func(l *Limiter, cost llm.Nanos) *Refusal {
		return l.Reserve(t.Context(), new(Reservation), Need{Cost: cost, Start: time.Now().UnixMilli()}, l.Bind([]Rule{r}))
	}
	for _, l := range []*Limiter{two, again} {
		l.Listed([]string{"j-1-first", "j-2-x", "j-1-second"})
	}
	if f := reserve(one, 9e9); f != nil {
		t.Fatal(f)
	}
	one.Die()
	if f := reserve(again, 3e9); f != nil { // the last of it
		t.Fatal(f)
	}
	refused := func(what string) {
		t.Helper()
		if f := reserve(two, 3e9); f == nil || f.What != Budget {
			t.Fatalf("%s: %+v", what, f)
		}
	}
	eventually(t, "all that was not closed would be forgotten", func() bool {
		refused("while it is listed")
		return one.Silent(t, two, k) > 5*time.Second
	})
	// Its call is charged in SQL at 4, which nobody has told two yet, nor can it find out.
	two.Listed([]string{"j-2-x", "j-1-second"})
	b.mu.Lock()
	b.total[k], b.away = 4e9, true
	b.mu.Unlock()
	eventually(t, "SQL is asked for the total", func() bool {
		refused("while SQL is away")
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.failed > 0
	})
	b.mu.Lock()
	b.away = false
	b.mu.Unlock()
	eventually(t, "the share of the dead is free", func() bool { return reserve(two, 3e9) == nil })
	refused("with 4 of 10 spent and 6 reserved")
}

// TestShared_listed: a replica that was cut off from SQL, and given up there, keeps its share while it lives, and when it is listed again.
func TestShared_listed(t *testing.T) {
	server := gwtest.StartRedis(t)
	k := key("k")
	b := &books{total: map[account.Subject]llm.Nanos{}}
	one, two := replica(t, server, b, Local), replica(t, server, b, Local)
	r := Unlimited(k)
	r.Budget = dollars(10)
	bounds := each([]*Limiter{one, two}, r)
	if f := one.Reserve(t.Context(), new(Reservation), Need{Cost: 10e9}, bounds[0]); f != nil {
		t.Fatal(f)
	}
	refused := func(what string) {
		t.Helper()
		if f := two.Reserve(t.Context(), new(Reservation), Need{Cost: 1}, bounds[1]); f == nil || f.What != Budget {
			t.Fatalf("%s: %+v", what, f)
		}
	}
	two.Listed([]string{one.Name()})
	two.Listed(nil)
	refused("it lives")
	two.Listed([]string{one.Name()})
	one.Die()
	eventually(t, "it is dead", func() bool {
		refused("it is listed again")
		return one.Silent(t, two, k) > 4*time.Second
	})
	two.Listed(nil)
	eventually(t, "its share is free", func() bool {
		return two.Reserve(t.Context(), new(Reservation), Need{Cost: 1}, bounds[1]) == nil
	})
}

// TestShared_slow: a call that gets no share of a server that answers is not served beside it.
func TestShared_slow(t *testing.T) {
	server := gwtest.StartRedis(t)
	b := &books{total: map[account.Subject]llm.Nanos{}}
	local, open := replica(t, server, b, Local), replica(t, server, b, Open)
	r := Unlimited(key("k"))
	r.Budget = dollars(100)
	bounds := each([]*Limiter{local, open}, r)
	for i, want := range []What{Unreachable, ""} {
		l := []*Limiter{local, open}[i]
		l.SetPatience(-1)
		l.Stall(key("k"))
		var got What
		if f := l.Reserve(t.Context(), new(Reservation), Need{Cost: 1e9}, bounds[i]); f != nil {
			got = f.What
		}
		if got != want {
			t.Errorf("%v: refused by %q, want %q", []Policy{Local, Open}[i], got, want)
		}
	}
}

// TestShared_late: a server that takes its time is not one that is gone: nobody helps himself to what others hold.
func TestShared_late(t *testing.T) {
	server := gwtest.StartRedis(t)
	dial, err := Dial(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	b := &books{total: map[account.Subject]llm.Nanos{}}
	start := func(name string) *Limiter {
		l := New(Options{Seed: b.seed, Shared: &Shared{Dial: dial, Replica: name}})
		t.Cleanup(l.Close)
		return l
	}
	one, two := start("one"), start("two")
	r := Unlimited(key("k"))
	r.Budget = dollars(10)
	bounds := each([]*Limiter{one, two}, r)
	if f := one.Reserve(t.Context(), new(Reservation), Need{Cost: 10e9}, bounds[0]); f != nil {
		t.Fatal(f)
	}
	one.Pause(t, time.Second)
	if f := two.Reserve(t.Context(), new(Reservation), Need{Cost: 1}, bounds[1]); f == nil || f.What != Budget {
		t.Errorf("refused by %+v", f)
	}
	if one.Gone() || two.Gone() {
		t.Error("the server counts as gone")
	}
}
