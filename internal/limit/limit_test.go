package limit

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// clock is a time that tests move.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(time.Date(2026, 11, 21, 13, 14, 15, 0, time.UTC).UnixMilli())
	return c
}

func (c *clock) now() time.Time        { return time.UnixMilli(c.ms.Load()) }
func (c *clock) add(d time.Duration)   { c.ms.Add(d.Milliseconds()) }
func key(id string) account.Subject    { return account.Subject{Kind: account.OfKey, ID: id} }
func dollars(n float64) *llm.Nanos     { v := llm.Nanos(n * 1e9); return &v }
func (c *clock) need(n llm.Nanos) Need { return Need{Cost: n, Start: c.ms.Load()} }

func TestReserve_requests(t *testing.T) {
	c := newClock()
	l := New(Options{Now: c.now})
	r := Unlimited(key("k"))
	r.RPM = 3
	b := l.Bind([]Rule{r})
	admit := func(want bool) {
		t.Helper()
		var res Reservation
		refused := l.Reserve(t.Context(), &res, Need{}, b)
		if (refused == nil) != want {
			t.Fatalf("refused: %+v, want admitted: %v", refused, want)
		}
		res.Settle(0, 0)
	}
	admit(true)
	c.add(30 * time.Second)
	admit(true)
	admit(true)
	admit(false)
	c.add(29*time.Second + 999*time.Millisecond)
	admit(false)
	c.add(time.Millisecond) // a minute after the first
	admit(true)
}

func TestReserve_tokens(t *testing.T) {
	c := newClock()
	l := New(Options{Now: c.now})
	r := Unlimited(key("k"))
	r.TPM = 100
	b := l.Bind([]Rule{r})
	var first, second, third Reservation
	reserve := func(r *Reservation, n int64, want bool) {
		t.Helper()
		if f := l.Reserve(t.Context(), r, Need{Tokens: n}, b); (f == nil) != want {
			t.Fatalf("refused: %+v, want admitted: %v", f, want)
		}
	}
	reserve(&first, 60, true)
	reserve(&second, 60, true) // 60 < 100: the one that takes the last
	reserve(&third, 1, false)
	first.Settle(10, 0)
	reserve(&third, 1, true) // 70 < 100
	second.Settle(200, 0)
	third.Settle(1, 0)
	reserve(&first, 1, false) // the over-use stands in its window
	c.add(time.Minute)
	reserve(&first, 50, true)
	c.add(time.Minute)
	reserve(&second, 99, true)
	first.Settle(1000, 0) // of a window that is gone
	reserve(&third, 1, true)
	second.Settle(0, 0)
	third.Settle(0, 0)
}

func TestReserve_parallel(t *testing.T) {
	l := New(Options{})
	r := Unlimited(key("k"))
	r.Parallel = 7
	b := l.Bind([]Rule{r})
	var now, most, admitted atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			var res Reservation
			for range 200 {
				if l.Reserve(t.Context(), &res, Need{}, b) != nil {
					continue
				}
				admitted.Add(1)
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				now.Add(-1)
				res.Settle(0, 0)
				res.Settle(0, 0) // settling twice gives nothing back twice
			}
		})
	}
	wg.Wait()
	if most.Load() > 7 || admitted.Load() == 0 {
		t.Errorf("%d at once, %d admitted", most.Load(), admitted.Load())
	}
	if s, _ := l.State(key("k")); s.Parallel != 0 {
		t.Errorf("%d parallel calls leaked", s.Parallel)
	}
}

// TestReserve_budgetBound is the package comment's bound: a thousand at once on a budget that pays for a hundred.
func TestReserve_budgetBound(t *testing.T) {
	c := newClock()
	l := New(Options{Now: c.now})
	r := Unlimited(key("k"))
	r.Budget = dollars(100)
	b := l.Bind([]Rule{r})
	const estimate, truth = 3 * 1e9, 1e9
	var admitted atomic.Int64
	run := func(calls int) (ok int64) {
		admitted.Store(0)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				<-start
				var res Reservation
				if l.Reserve(t.Context(), &res, c.need(estimate), b) == nil {
					admitted.Add(1)
					s, _ := l.State(key("k"))
					if s.Spent+s.Reserved > 100e9-1+estimate {
						t.Errorf("spent %d and reserved %d", s.Spent, s.Reserved)
					}
					res.Settle(0, truth)
				}
			})
		}
		close(start)
		wg.Wait()
		return admitted.Load()
	}
	ok := run(1000)
	s, _ := l.State(key("k"))
	if s.Spent != llm.Nanos(ok)*truth || s.Reserved != 0 || s.Spent > 100e9-1+estimate {
		t.Errorf("%d calls spent %d, %d reserved", ok, s.Spent, s.Reserved)
	}
	// With everything returned, nobody is refused until the budget is spent, and then everybody is.
	for s.Spent < 100e9 {
		if run(1) != 1 {
			t.Fatalf("refused falsely at %d", s.Spent)
		}
		s, _ = l.State(key("k"))
	}
	if run(10) != 0 {
		t.Errorf("admitted beyond the budget")
	}
}

func TestReserve_allOrNothing(t *testing.T) {
	c := newClock()
	l := New(Options{Now: c.now})
	k, team := Unlimited(key("k")), Unlimited(account.Subject{Kind: account.OfTeam, ID: "t"})
	k.RPM, k.TPM, k.Parallel, k.Budget = 10, 10, 10, dollars(1)
	team.Parallel = 1
	b, other := l.Bind([]Rule{team, k}), l.Bind([]Rule{team})
	var held, res Reservation
	if f := l.Reserve(t.Context(), &held, Need{}, other); f != nil {
		t.Fatal(f)
	}
	f := l.Reserve(t.Context(), &res, Need{Tokens: 5, Cost: 5}, b)
	if f == nil || f.Subject != team.Subject || f.What != Parallel {
		t.Fatalf("refused by %+v", f)
	}
	m := l.find(key("k"))
	if m.counts != [dims]counter{} {
		t.Errorf("the key was left with %+v", m)
	}
	res.Settle(1000, 1000)
	if m.counts[dMoney].used != 0 {
		t.Error("a refused call was charged")
	}
	held.Settle(0, 0)
}

func TestReserve_models(t *testing.T) {
	l := New(Options{})
	k, m := Unlimited(key("k")), Unlimited(account.Subject{Kind: account.OfKey, ID: "k", Model: "gpt"})
	m.RPM = 0
	b := l.Bind([]Rule{k, m})
	var res Reservation
	if f := l.Reserve(t.Context(), &res, Need{Model: "other"}, b, b, nil); f != nil {
		t.Errorf("another model: %+v", f)
	}
	if n := len(res.holds); n != 1 {
		t.Errorf("%d subjects held", n)
	}
	res.Settle(0, 0)
	if f := l.Reserve(t.Context(), &res, Need{Model: "gpt"}, b); f == nil {
		t.Error("a model of no requests was admitted")
	}
}

func TestReserve_budgetWindow(t *testing.T) {
	c := newClock()
	told := make(chan Crossing, 10)
	l := New(Options{Now: c.now, Crossed: func(c Crossing) { told <- c }})
	day, hour := Unlimited(key("k")), Unlimited(key("k"))
	day.Budget, day.Period = dollars(3), account.Period{N: 1, Unit: "d"}
	day.Soft = dollars(1.5)
	hour.Budget, hour.Period, hour.Window = dollars(1), account.Period{N: 1, Unit: "h"}, "1h"
	b := l.Bind([]Rule{day, hour})
	spend := func(window string, ok bool) {
		t.Helper()
		var res Reservation
		f := l.Reserve(t.Context(), &res, c.need(1e9), b)
		if (f == nil) != ok || f != nil && f.Window != window {
			t.Fatalf("refused: %+v", f)
		}
		res.Settle(0, 1e9)
	}
	spend("", true)
	spend("1h", false)
	c.add(time.Hour)
	spend("", true)
	c.add(time.Hour)
	spend("", true)
	c.add(time.Hour)
	spend("", false)     // the day's three are spent
	c.add(8 * time.Hour) // past midnight
	spend("", true)
	l.Close()
	close(told)
	count := map[string]int{}
	for x := range told {
		count[fmt.Sprintf("%v %q", x.Soft, x.Window)]++
	}
	if diff := cmp.Diff(map[string]int{`true ""`: 1, `false ""`: 1, `false "1h"`: 4}, count); diff != "" {
		t.Error(diff)
	}
}

func TestReserve_temporaryIncrease(t *testing.T) {
	c := newClock()
	l := New(Options{Now: c.now})
	r := Unlimited(key("k"))
	r.Budget, r.Increase, r.IncreaseUntil = dollars(0), 5, c.ms.Load()+1000
	b := l.Bind([]Rule{r})
	var res Reservation
	if f := l.Reserve(t.Context(), &res, c.need(1), b); f != nil {
		t.Errorf("within the increase: %+v", f)
	}
	res.Settle(0, 1)
	c.add(time.Second)
	if f := l.Reserve(t.Context(), &res, c.need(1), b); f == nil {
		t.Error("the increase did not end")
	}
	if f := l.Reserve(t.Context(), &res, Need{Free: true}, b); f != nil {
		t.Errorf("a free call: %+v", f)
	}
	res.Settle(0, 0)
}

// TestReserve_allocations: nothing is allocated for a caller of up to 16 rules.
func TestReserve_allocations(t *testing.T) {
	l, bounds := full()
	var res Reservation
	now := time.Now().UnixMilli()
	got := testing.AllocsPerRun(1000, func() {
		if f := l.Reserve(t.Context(), &res, Need{Tokens: 10, Cost: 10, Model: "gpt", Start: now}, bounds...); f != nil {
			t.Fatalf("%+v", f.Err())
		}
		res.Settle(5, 5)
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
	if len(res.holds) != 16 {
		t.Errorf("%d subjects", len(res.holds))
	}
	headers := 0
	res.Quotas(func(*Quota) { headers++ })
	if headers != 3*16 {
		t.Errorf("%d limits told", headers)
	}
}

// full is a caller with every kind of rule.
func full() (*Limiter, []*Bound) {
	l := New(Options{})
	var bounds []*Bound
	var rules []Rule
	for i, k := range []account.Kind{account.OfKey, account.OfUser, account.OfTeam, account.OfMember, account.OfOrg, account.OfCustomer, account.OfTag,
		account.OfGateway} {
		for _, model := range []string{"", "gpt"} {
			rules = append(rules, Rule{Subject: account.Subject{Kind: k, ID: "x", Model: model}, RPM: 1e12, TPM: 1e12, Parallel: 1e12,
				Budget: dollars(1e9), Period: account.Period{N: 1, Unit: "mo"}})
		}
		if i >= 4 {
			bounds = append(bounds, l.Bind(rules))
			rules = nil
		}
	}
	return l, bounds
}

func BenchmarkReserve(b *testing.B) {
	l, bounds := full()
	f := func(name string, bounds []*Bound) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				var res Reservation
				need := Need{Tokens: 10, Cost: 10, Model: "gpt", Start: time.Now().UnixMilli()}
				for pb.Next() {
					if l.Reserve(b.Context(), &res, need, bounds...) != nil {
						b.Error("refused")
					}
					res.Settle(5, 5)
				}
			})
		})
	}
	f("16_subjects", bounds)
	f("2_subjects", bounds[1:2])
}

// TestLost: the server is gone when it breaks off, or answers nobody in the time that an exchange has.
func TestLost(t *testing.T) {
	began := time.Now()
	f := func(answered time.Time, err error, want bool) {
		t.Helper()
		s := &shared{Shared: Shared{Log: slog.New(slog.DiscardHandler)}}
		s.answered.Store(answered.UnixNano())
		if s.lost(began, fmt.Errorf("exchange: %w", err)); s.gone.Load() != want {
			t.Errorf("%v, with an answer %v later: gone %v", err, answered.Sub(began), !want)
		}
	}
	f(began.Add(-time.Second), context.DeadlineExceeded, true)
	f(began.Add(time.Second), context.DeadlineExceeded, false)
	f(began.Add(time.Second), io.EOF, true)
}
