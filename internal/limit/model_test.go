package limit

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// plain is the plainest possible accounting of a few subjects, beside a Limiter that is to agree with it.
type plain struct {
	c     *clock
	l     *Limiter
	b     *Bound
	rules []Rule
	sums  []sums
	calls []openCall
	owed  []owed // records that SQL does not have yet
	named int    // calls that were given a name
}

type sums struct {
	requests, tokens, held, parallel, spent, reserved, booked int64
	requestsFrom, tokensFrom                                  int64 // beginnings of the windows, 0: none
}

type openCall struct {
	r    *Reservation
	need Need
}

type owed struct {
	cost  llm.Nanos
	start int64
	model string
	call  string
	rest  int64 // held beyond the cost, of subjects with a budget, because SQL knows the call as open
}

func newPlain(t *rapid.T) *plain {
	p := &plain{c: newClock()}
	p.l = New(Options{Now: p.c.now})
	for _, s := range []account.Subject{key("k"), {Kind: account.OfTeam, ID: "t"}, {Kind: account.OfKey, ID: "k", Model: "m"}} {
		r := Unlimited(s)
		r.RPM, r.TPM = rapid.Int64Range(-1, 5).Draw(t, "rpm"), rapid.Int64Range(-1, 50).Draw(t, "tpm")
		r.Parallel = rapid.Int64Range(-1, 4).Draw(t, "parallel")
		if n := llm.Nanos(rapid.Int64Range(-1, 100).Draw(t, "budget")); n >= 0 {
			r.Budget = &n
		}
		p.rules = append(p.rules, r)
	}
	p.sums = make([]sums, len(p.rules))
	p.b = p.l.Bind(p.rules)
	return p
}

// of calls f with every subject that a call of a model is of, its windows rolled.
func (p *plain) of(model string, f func(r *Rule, s *sums)) {
	now := p.c.ms.Load()
	for i := range p.rules {
		r, s := &p.rules[i], &p.sums[i]
		if s.requestsFrom != 0 && now-s.requestsFrom >= minute {
			s.requests, s.requestsFrom = 0, 0
		}
		if s.tokensFrom != 0 && now-s.tokensFrom >= minute {
			s.tokens, s.held, s.tokensFrom = 0, 0, 0
		}
		if r.Subject.Model == "" || r.Subject.Model == model {
			f(r, s)
		}
	}
}

func (p *plain) reserve(t *rapid.T) {
	need := Need{Tokens: rapid.Int64Range(0, 30).Draw(t, "tokens"), Cost: llm.Nanos(rapid.Int64Range(0, 60).Draw(t, "cost")),
		Model: rapid.SampledFrom([]string{"m", "other"}).Draw(t, "model"), Start: p.c.ms.Load()}
	want := true
	p.of(need.Model, func(r *Rule, s *sums) {
		if r.RPM >= 0 && s.requests >= r.RPM || r.TPM >= 0 && s.tokens+s.held >= r.TPM || r.Parallel >= 0 && s.parallel >= r.Parallel ||
			r.Budget != nil && s.spent+s.reserved >= int64(*r.Budget) {
			want = false
		}
	})
	call := openCall{&Reservation{}, need}
	if f := p.l.Reserve(t.Context(), call.r, need, p.b); (f == nil) != want {
		t.Fatalf("refused by %+v, want admitted: %v", f, want)
	}
	if !want {
		return
	}
	p.calls = append(p.calls, call)
	p.of(need.Model, func(r *Rule, s *sums) {
		if r.RPM >= 0 {
			s.requests++
			if s.requestsFrom == 0 {
				s.requestsFrom = need.Start
			}
		}
		if r.TPM >= 0 {
			s.held += need.Tokens
			if s.tokensFrom == 0 {
				s.tokensFrom = need.Start
			}
		}
		s.parallel++
		s.reserved += int64(need.Cost)
	})
}

func (p *plain) settle(t *rapid.T) {
	if len(p.calls) == 0 {
		return
	}
	n := rapid.IntRange(0, len(p.calls)-1).Draw(t, "which")
	call := p.calls[n]
	p.calls = append(p.calls[:n], p.calls[n+1:]...)
	used, cost := rapid.Int64Range(0, 40).Draw(t, "used"), llm.Nanos(rapid.Int64Range(0, 70).Draw(t, "cost"))
	o := owed{cost: cost, start: call.need.Start, model: call.need.Model}
	if rapid.Bool().Draw(t, "reported") {
		p.named++
		o.call = fmt.Sprint("call", p.named)
		call.r.Reported(o.call)
	}
	early := rapid.Bool().Draw(t, "its record is in before it settles")
	if early {
		p.owed = append(p.owed, o)
		p.drain(t)
	} else if o.call != "" {
		o.rest = max(0, int64(call.need.Cost-cost))
	}
	call.r.Settle(used, cost)
	p.of(call.need.Model, func(r *Rule, s *sums) {
		// The window that the call was in is running if it began no later than the call.
		if r.TPM >= 0 && s.tokensFrom != 0 && s.tokensFrom <= call.need.Start {
			s.held -= call.need.Tokens
			s.tokens += used
		}
		s.parallel--
		s.reserved -= int64(call.need.Cost)
		s.spent += int64(cost)
		if r.Budget != nil {
			s.reserved += o.rest
		}
	})
	if !early {
		p.owed = append(p.owed, o)
	}
}

func (p *plain) drain(*rapid.T) {
	var charges []Charge
	for _, o := range p.owed {
		p.of(o.model, func(r *Rule, s *sums) {
			s.booked += int64(o.cost)
			charges = append(charges, Charge{Subject: r.Subject, Cost: o.cost, Start: o.start, Call: o.call})
			if r.Budget != nil {
				s.reserved -= o.rest
			}
		})
	}
	var rows []account.Spend
	for i := range p.rules {
		rows = append(rows, account.Spend{Subject: p.rules[i].Subject, Total: llm.Nanos(p.sums[i].booked)})
	}
	p.l.Drained(rows, charges)
	p.owed = nil
}

func (p *plain) agree(t *rapid.T) {
	for i := range p.rules {
		s := &p.sums[i]
		st, _ := p.l.State(p.rules[i].Subject)
		if int64(st.Spent) != s.spent || int64(st.Reserved) != s.reserved || st.Parallel != s.parallel || int64(st.Total) != s.booked {
			t.Fatalf("%v: %+v; want %+v", p.rules[i].Subject, st, s)
		}
	}
}

// TestReserve_model holds any sequence of calls, drains and passing time against the plain accounting.
func TestReserve_model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPlain(t)
		t.Repeat(map[string]func(*rapid.T){
			"reserve": p.reserve,
			"settle":  p.settle,
			"drain":   p.drain,
			"wait":    func(t *rapid.T) { p.c.add(time.Duration(rapid.IntRange(1, 45).Draw(t, "seconds")) * time.Second) },
			"":        p.agree,
		})
	})
}
