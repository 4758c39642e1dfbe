package limit

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// None is the value of a Rule's RPM, TPM or Parallel that limits nothing.
const None int64 = -1

// Rule is what bounds one subject. A subject whose rule limits nothing is still counted, so that its spend is known.
//
// Several budgets of one subject are several rules that differ in Window; the rates may stand in any of them, the lowest holds. A rule whose
// Subject has a Model applies to calls of that model alone.
type Rule struct {
	Subject account.Subject
	// Alias and Name are for messages: the alias of the account, and of a key its masked form (sk-...abcd).
	Alias, Name string

	RPM, TPM, Parallel int64 // per minute, per minute, at once; None (-1) or lower: no limit, 0: nothing is admitted

	Budget *llm.Nanos // nil: none; 0: nothing is admitted
	Soft   *llm.Nanos // passing it tells Options.Crossed
	Window string     // tells several budgets of one subject apart: account.Spend.Window
	// Period is how long a budget's window lasts, for the next reset; zero: for ever, unless SQL's row has a reset.
	Period account.Period
	// Increase is added to Budget until IncreaseUntil (Unix ms).
	Increase      llm.Nanos
	IncreaseUntil int64
}

// Unlimited is a rule that only counts.
func Unlimited(s account.Subject) Rule {
	return Rule{Subject: s, RPM: None, TPM: None, Parallel: None}
}

// Bound is a set of rules with their counters found, for Reserve. It is immutable and may be shared; a changed rule needs a new Bound, which
// counts on where the old one was.
type Bound struct {
	all    []entry // rules of no model, by id of their meter
	models map[string][]entry
}

// entry is the rules of one subject.
type entry struct {
	m           *meter
	limits      [dims]int64 // None: no limit; of money only whether there is one, since it moves: see ceiling
	budgets     []budget
	alias, name string
	names       *headers
}

type budget struct {
	purse         int
	max, soft     llm.Nanos
	unlimited     bool // there is no max
	hasSoft       bool
	increase      llm.Nanos
	increaseUntil int64
}

// limit is the budget at a time, temporary increase included.
func (b *budget) limit(now int64) llm.Nanos {
	if now < b.increaseUntil {
		return b.max + b.increase
	}
	return b.max
}

// ceiling is what the subject may ever have spent for all its budgets to hold, and the budget that is the first to be reached. Windows that
// have ended are begun anew. The meter is locked; limits[dMoney] is not None.
func (e *entry) ceiling(now int64, zone *time.Location) (ever llm.Nanos, first *budget) {
	for i := range e.budgets {
		b := &e.budgets[i]
		p := &e.m.purses[b.purse]
		e.m.roll(p, now, zone)
		if b.unlimited {
			continue
		}
		if n := p.base + b.limit(now); first == nil || n < ever {
			ever, first = n, b
		}
	}
	return ever, first
}

// limit is what a dim's count, money ever spent among them, has to stay below: None if there is no limit. The meter is locked.
func (e *entry) limit(d dim, need *Need, l *Limiter, now int64) int64 {
	if d != dMoney || e.limits[d] == None {
		return e.limits[d]
	}
	if need.Free {
		return None
	}
	ever, _ := e.ceiling(now, l.zone)
	return max(0, int64(ever))
}

// Bind finds the counters of rules, once, when a snapshot is built. The rules are not kept. Not for the hot path.
func (l *Limiter) Bind(rules []Rule) *Bound { return l.bind(rules, true) }

// bind is Bind; pin: the counters are kept for good.
func (l *Limiter) bind(rules []Rule, pin bool) *Bound {
	b := &Bound{}
	var strangers []account.Subject
	for i := range rules {
		r := &rules[i]
		m, made := l.meter(r.Subject)
		if made && l.seed != nil && r.Subject.Kind == account.OfCustomer {
			strangers = append(strangers, r.Subject)
		}
		into := &b.all
		var list []entry
		if r.Subject.Model != "" {
			if b.models == nil {
				b.models = map[string][]entry{}
			}
			list = b.models[r.Subject.Model]
			into = &list
		}
		at := slices.IndexFunc(*into, func(e entry) bool { return e.m == m })
		if at < 0 {
			*into = append(*into, entry{m: m, limits: [dims]int64{None, None, None, None}, alias: r.Alias, name: r.Name,
				names: l.headers(scope(r.Subject))})
			at = len(*into) - 1
		}
		l.merge(&(*into)[at], r, pin)
		if r.Subject.Model != "" {
			b.models[r.Subject.Model] = list
		}
	}
	byID := func(a, b entry) int { return cmp.Compare(a.m.id, b.m.id) }
	slices.SortFunc(b.all, byID)
	for _, list := range b.models {
		slices.SortFunc(list, byID)
	}
	l.meet(strangers)
	return b
}

// meet reads what subjects have spent that nobody has asked about before.
func (l *Limiter) meet(strangers []account.Subject) {
	if len(strangers) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// Should SQL not answer, their totals come with the first record of theirs that it takes.
	if rows, err := l.seed(ctx, strangers); err == nil {
		l.Load(rows)
	}
}

// merge adds a rule to the entry of its subject.
func (l *Limiter) merge(e *entry, r *Rule, pin bool) {
	for d, n := range [...]int64{r.RPM, r.TPM, r.Parallel} {
		e.limits[d] = lower(e.limits[d], n)
	}
	now := l.now().UnixMilli()
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	e.m.bind(l.started, now)
	e.m.pinned = e.m.pinned || pin
	if r.Budget == nil && r.Soft == nil && r.Window != "" {
		return
	}
	i := e.m.purse(r.Window)
	p := &e.m.purses[i]
	if p.period != r.Period {
		p.period = r.Period
		if r.Period.N == 0 {
			p.resetAt = 0
		}
	}
	if p.resetAt == 0 {
		p.resetAt = nextReset(p.period, now, l.zone)
	}
	if r.Budget == nil && r.Soft == nil {
		return
	}
	bu := budget{purse: i, increase: r.Increase, increaseUntil: r.IncreaseUntil, unlimited: r.Budget == nil, hasSoft: r.Soft != nil}
	if r.Budget != nil {
		bu.max = *r.Budget
		e.limits[dMoney] = 0
	}
	if r.Soft != nil {
		bu.soft = *r.Soft
	}
	e.budgets = append(e.budgets, bu)
}

// lower is the stricter of two limits.
func lower(a, b int64) int64 {
	switch {
	case a < 0:
		return max(b, None)
	case b < 0:
		return a
	}
	return min(a, b)
}
