package limit

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// TestCached: any number of strangers costs no more memory than the cache has room for, and none of them spends a budget twice.
func TestCached(t *testing.T) {
	c := newClock()
	total := map[account.Subject]int64{}
	sql := error(nil)
	l := New(Options{Now: c.now, Cache: 10, Seed: func(_ context.Context, subjects []account.Subject) (rows []account.Spend, err error) {
		for _, s := range subjects {
			rows = append(rows, account.Spend{Subject: s, Total: llm.Nanos(total[s])})
		}
		return rows, sql
	}})
	call := func(id string) *Refusal {
		s := account.Subject{Kind: account.OfCustomer, ID: id}
		start := c.ms.Load()
		b := l.Cached(s, l, func() []Rule {
			r := Unlimited(s)
			r.Budget, r.RPM = dollars(2), 100
			return []Rule{r}
		})
		var res Reservation
		f := l.Reserve(t.Context(), &res, Need{Cost: 1e9, Start: start}, b)
		if f == nil {
			res.Settle(0, 1e9)
			total[s] += 1e9
			l.Drained([]account.Spend{{Subject: s, Total: llm.Nanos(total[s])}}, []Charge{{Subject: s, Cost: 1e9, Start: start}})
		}
		return f
	}
	for round, want := range []bool{true, true, false} {
		for i := range 100 {
			if f := call(fmt.Sprint(i)); (f == nil) != want {
				t.Fatalf("round %d, customer %d: %+v", round, i, f)
			}
			c.add(time.Minute)
		}
		if n := len(l.meters); n > 11 {
			t.Errorf("%d meters kept", n)
		}
	}
	sql = errors.New("down")
	if f := call("new"); f != nil {
		t.Errorf("without SQL: %+v", f)
	}
	// Those in use are spared.
	for i := range 30 {
		call(fmt.Sprint("busy", i))
	}
	if n := len(l.meters); n < 30 {
		t.Errorf("%d meters kept of 30 whose minute is running", n)
	}
	s := account.Subject{Kind: account.OfCustomer, ID: "hot"}
	rules := func() []Rule { return []Rule{Unlimited(s)} }
	l.Cached(s, l, rules)
	if n := testing.AllocsPerRun(100, func() { l.Cached(s, l, rules) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
