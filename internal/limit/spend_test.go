package limit

import (
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

func TestDrained(t *testing.T) {
	c := newClock()
	l := New(Options{Now: c.now})
	k := key("k")
	l.Load([]account.Spend{{Subject: k, Total: 100, Base: 40}})
	r := Unlimited(k)
	r.Budget = dollars(1)
	b := l.Bind([]Rule{r})
	want := func(total, local, spent llm.Nanos) {
		t.Helper()
		s, _ := l.State(k)
		if s.Total != total || s.Local != local || s.Spent != spent {
			t.Errorf("total %d local %d spent %d, want %d %d %d", s.Total, s.Local, s.Spent, total, local, spent)
		}
	}
	want(100, 0, 60)
	var first, second Reservation
	start := c.ms.Load()
	l.Reserve(t.Context(), &first, c.need(50), b)
	l.Reserve(t.Context(), &second, c.need(50), b)
	first.Settle(0, 10)
	want(100, 10, 70)
	// Another replica spent 7 meanwhile. A record of a process before this one is drained as well.
	l.Drained([]account.Spend{{Subject: k, Total: 120, Base: 40}}, []Charge{{Subject: k, Cost: 10, Start: start}, {Subject: k, Cost: 3, Start: start - 5000}})
	want(120, 0, 80)
	// A stale row changes nothing, and a record may be drained before its call settles.
	l.Load([]account.Spend{{Subject: k, Total: 100, Base: 40}})
	want(120, 0, 80)
	l.Drained([]account.Spend{{Subject: k, Total: 125, Base: 40}}, []Charge{{Subject: k, Cost: 5, Start: start}})
	want(125, -5, 80)
	second.Settle(0, 5)
	want(125, 0, 85)
	// A call that began before its counter was made is charged by SQL's total alone.
	late := account.Subject{Kind: account.OfTag, ID: "new"}
	c.add(time.Second)
	lb := l.Bind([]Rule{Unlimited(late)})
	l.Reserve(t.Context(), &first, Need{Cost: 9, Start: start}, lb)
	first.Settle(0, 9)
	l.Drained([]account.Spend{{Subject: late, Total: 9}}, []Charge{{Subject: late, Cost: 9, Start: start}})
	if s, _ := l.State(late); s.Total != 9 || s.Local != 0 {
		t.Errorf("charged twice or never: %+v", s)
	}
}

// TestReserve_reported: a call that SQL knows as open holds its worst case until SQL has its record, and no longer.
func TestReserve_reported(t *testing.T) {
	c := newClock()
	l := New(Options{Now: c.now})
	k := key("k")
	r := Unlimited(k)
	r.Budget = dollars(10)
	b := l.Bind([]Rule{r, Unlimited(key("free"))})
	want := func(spent, reserved llm.Nanos) {
		t.Helper()
		if s, _ := l.State(k); s.Spent != spent || s.Reserved != reserved {
			t.Errorf("spent %d, reserved %d; want %d and %d", s.Spent, s.Reserved, spent, reserved)
		}
	}
	var long, dear, early, other Reservation
	for _, res := range []*Reservation{&long, &dear, &early} {
		if f := l.Reserve(t.Context(), res, c.need(3e9), b); f != nil {
			t.Fatal(f)
		}
	}
	long.Reported("long")
	long.Settle(0, 1e9)
	want(1e9, 8e9)
	dear.Reported("dear")
	dear.Settle(0, 4e9) // more than it estimated
	want(5e9, 5e9)
	if f := l.Reserve(t.Context(), &other, c.need(1), b); f == nil {
		t.Error("what the long call may yet be charged was given away")
	}
	early.Reported("early")
	drained := func(total llm.Nanos, calls ...Charge) {
		for i := range calls {
			calls[i].Subject, calls[i].Start = k, c.ms.Load()
		}
		l.Drained([]account.Spend{{Subject: k, Total: total}}, calls)
	}
	drained(2e9, Charge{Call: "early", Cost: 2e9})
	early.Settle(0, 2e9)
	want(7e9, 2e9)
	drained(7e9, Charge{Call: "long", Cost: 1e9}, Charge{Call: "dear", Cost: 4e9})
	want(7e9, 0)
	if f := l.Reserve(t.Context(), &other, c.need(1), b); f != nil {
		t.Error(f)
	}
}

func TestLoad_windows(t *testing.T) {
	c := newClock()
	l := New(Options{Now: c.now})
	k := key("k")
	now := c.ms.Load()
	r := Unlimited(k)
	r.Budget, r.Period = dollars(1), account.Period{N: 1, Unit: "h"}
	l.Bind([]Rule{r})
	l.Load([]account.Spend{{Subject: k, Total: 100, Base: 40, ResetAt: now + 1000}})
	state := func(spent llm.Nanos, reset int64) {
		t.Helper()
		if s, _ := l.State(k); s.Spent != spent || s.ResetAt != reset {
			t.Errorf("spent %d until %d, want %d until %d", s.Spent, s.ResetAt-now, spent, reset-now)
		}
	}
	state(60, now+1000)
	c.add(time.Second)
	next := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC).UnixMilli()
	state(0, next) // by itself
	l.Load([]account.Spend{{Subject: k, Total: 110, Base: 40, ResetAt: now + 1000}})
	state(10, next) // SQL has not begun the window yet
	l.Load([]account.Spend{{Subject: k, Total: 111, Base: 105, ResetAt: next}})
	state(6, next) // now it has, and it is SQL that knows
	l.Load([]account.Spend{{Subject: k, Total: 111, Base: 111, ResetAt: next}})
	state(0, next) // an administrator's reset
}
