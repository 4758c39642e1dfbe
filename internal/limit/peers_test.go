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

// TestShared_closed: what a dead replica held is not charged twice once SQL has closed its books.
func TestShared_closed(t *testing.T) {
	server := gwtest.StartRedis(t)
	k := key("k")
	b := &books{total: map[account.Subject]llm.Nanos{}}
	dial, err := Dial(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	start := func(name string) *Limiter {
		l := New(Options{Seed: b.seed, Shared: &Shared{Dial: dial, Replica: name, Timeout: 10 * time.Second, Dead: 4 * time.Second, Limbo: time.Hour}})
		t.Cleanup(l.Close)
		return l
	}
	r := Unlimited(k)
	r.Budget = dollars(10)
	one, two, again := start("j-1-first"), start("j-2-x"), start("j-1-second")
	reserve := func(l *Limiter, cost llm.Nanos) *Refusal {
		return l.Reserve(t.Context(), new(Reservation), Need{Cost: cost, Start: time.Now().UnixMilli()}, l.Bind([]Rule{r}))
	}
	if f := reserve(one, 9e9); f != nil {
		t.Fatal(f)
	}
	one.Die()
	two.Closed("j-1")
	<-time.After(500 * time.Millisecond)    // how long ago it was is told; what the telling takes on a busy machine must not reach to what follows
	if f := reserve(again, 3e9); f != nil { // later than that: it counts
		t.Fatal(f)
	}
	eventually(t, "the share of the dead is free", func() bool { return reserve(two, 3e9) == nil })
	if f := reserve(two, 3e9); f != nil {
		t.Errorf("with 6 of 10 reserved: %+v", f)
	}
	if f := reserve(two, 3e9); f != nil {
		t.Errorf("with 9 of 10 reserved: %+v", f)
	}
	if f := reserve(two, 3e9); f == nil || f.What != Budget {
		t.Errorf("with 12 of 10 reserved: %+v", f)
	}
}
