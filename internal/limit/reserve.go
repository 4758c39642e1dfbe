package limit

import (
	"context"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// Need is the worst case of a call.
type Need struct {
	Tokens int64     // of input and output
	Cost   llm.Nanos // what they cost
	Model  string    // public name, as the record of the call has it: selects the rules of a model
	Start  int64     // when the call began, Unix ms, as the record of the call has it
	// Free is a call of a model that costs nothing: budgets do not refuse it.
	Free bool
}

// inline is how many subjects a Reservation holds without allocating.
const inline = 16

// Reservation is what a call holds. It is meant to be a field of the call's own state: the zero value is ready, Reserve fills it, Settle ends
// it, and then it may be used again. It must not be copied while it holds something, nor used by several goroutines at once.
type Reservation struct {
	_       noCopy
	l       *Limiter
	holds   []hold // on first, where they fit
	first   [inline]hold
	need    Need
	settled bool
}

// noCopy lets vet find copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// hold is what a call holds of one subject, and what was left of each limit after it: -1 where there is none.
type hold struct {
	e                          *entry
	window                     int64 // start of the token window reserved in
	requests, tokens, parallel int64
}

// Reserve holds one request, one parallel call, need.Tokens and need.Cost on every rule that applies, or nothing at all: then it says which
// limit refused. r must be a zero or settled Reservation.
//
// A request counts from here on, whatever becomes of it. ctx bounds the wait for other replicas, where limits are shared; without them
// Reserve never waits.
func (l *Limiter) Reserve(ctx context.Context, r *Reservation, need Need, bounds ...*Bound) *Refusal {
	r.gather(l, need, bounds)
	now := l.now().UnixMilli()
	for i := range r.holds {
		r.holds[i].e.m.mu.Lock()
	}
	refusal := l.check(r, now)
	if refusal == nil {
		for i := range r.holds {
			r.holds[i].take(&r.need, now)
		}
	}
	for i := range r.holds {
		r.holds[i].e.m.mu.Unlock()
	}
	if refusal != nil {
		r.drop()
		return refusal
	}
	r.settled = false
	return nil
}

// gather lists the entries that apply, each subject once, in the order of locking.
func (r *Reservation) gather(l *Limiter, need Need, bounds []*Bound) {
	r.l, r.need, r.settled = l, need, true
	hs := r.first[:0]
	for _, b := range bounds {
		if b == nil {
			continue
		}
		for i := range b.all {
			hs = insert(hs, &b.all[i])
		}
		if b.models != nil && need.Model != "" {
			of := b.models[need.Model]
			for i := range of {
				hs = insert(hs, &of[i])
			}
		}
	}
	r.holds = hs
}

// insert keeps hs sorted by the meters' ids. Entries come nearly sorted, so this is short.
func insert(hs []hold, e *entry) []hold {
	at := len(hs)
	for at > 0 && hs[at-1].e.m.id >= e.m.id {
		if at--; hs[at].e.m == e.m {
			return hs
		}
	}
	hs = append(hs, hold{})
	copy(hs[at+1:], hs[at:])
	hs[at] = hold{e: e}
	return hs
}

// drop forgets what was gathered.
func (r *Reservation) drop() {
	clear(r.holds)
	r.holds = nil
	r.settled = true
}

// check gives the refusal of the limit that is to be named, nil if all admit the call. Its meters are locked.
func (l *Limiter) check(r *Reservation, now int64) *Refusal {
	var worst *Refusal
	for i := range r.holds {
		e := r.holds[i].e
		m := e.m
		m.requests.roll(now)
		m.tokens.roll(now)
		if e.rpm >= 0 && m.requests.used >= e.rpm {
			worst = worse(worst, e.refuse(Requests, e.rpm, m.requests.used, m.requests.end(now), now))
		}
		if e.tpm >= 0 && m.tokens.used+m.tokens.held >= e.tpm {
			worst = worse(worst, e.refuse(Tokens, e.tpm, m.tokens.used+m.tokens.held, m.tokens.end(now), now))
		}
		if e.parallel >= 0 && m.parallel >= e.parallel {
			worst = worse(worst, e.refuse(Parallel, e.parallel, m.parallel, 0, now))
		}
		for j := range e.budgets {
			b := &e.budgets[j]
			p := &m.money.purses[b.purse]
			m.money.roll(p, now, l.zone)
			if limit := b.limit(now); !b.unlimited && !r.need.Free && m.money.spent(p)+m.money.held >= limit {
				worst = worse(worst, e.refuseBudget(p, limit, m.money.spent(p), m.money.held, now))
			}
		}
	}
	return worst
}

// take reserves on one subject, whose meter is locked.
func (h *hold) take(need *Need, now int64) {
	e, m := h.e, h.e.m
	h.requests, h.tokens, h.parallel = None, None, None
	if e.rpm >= 0 {
		m.requests.open(now)
		m.requests.used++
		h.requests = e.rpm - m.requests.used
	}
	if e.tpm >= 0 {
		m.tokens.open(now)
		m.tokens.held += need.Tokens
		h.window = m.tokens.start
		h.tokens = max(0, e.tpm-m.tokens.used-m.tokens.held)
	}
	m.parallel++
	if e.parallel >= 0 {
		h.parallel = e.parallel - m.parallel
	}
	m.money.held += need.Cost
	m.money.calls++
}

// Settle ends the reservation with what the call really used: tokens of input and output, and the cost that its record has. A call that
// never reached a provider settles with zeros. Settling again does nothing.
func (r *Reservation) Settle(tokens int64, cost llm.Nanos) {
	if r.settled || r.l == nil {
		return
	}
	r.settled = true
	now := r.l.now().UnixMilli()
	for i := range r.holds {
		h := &r.holds[i]
		h.e.m.mu.Lock()
		h.give(r, tokens, cost, now)
		h.e.m.mu.Unlock()
	}
}

// give settles one subject, whose meter is locked.
func (h *hold) give(r *Reservation, tokens int64, cost llm.Nanos, now int64) {
	e, m := h.e, h.e.m
	m.parallel--
	if h.window != 0 {
		if m.tokens.roll(now); m.tokens.start == h.window {
			m.tokens.held -= r.need.Tokens
			m.tokens.used += tokens
		}
	}
	m.money.held -= r.need.Cost
	m.money.calls--
	if r.need.Start >= m.born {
		m.money.local += cost
	}
	for i := range e.budgets {
		b := &e.budgets[i]
		p := &m.money.purses[b.purse]
		m.money.roll(p, now, r.l.zone)
		r.l.cross(e, b, p, now)
	}
}

// cross tells of a budget that was reached, once in its window. The meter is locked.
func (l *Limiter) cross(e *entry, b *budget, p *purse, now int64) {
	if l.crossed == nil {
		return
	}
	spent := e.m.money.spent(p)
	tell := func(soft bool, limit llm.Nanos) {
		c := Crossing{Subject: e.m.subject, Alias: e.alias, Window: p.window, Soft: soft, Limit: limit, Spent: spent, ResetAt: p.resetAt}
		l.tasks.Go(func() { l.crossed(c) })
	}
	if b.hasSoft && !p.toldSoft && spent >= b.soft {
		p.toldSoft = true
		tell(true, b.soft)
	}
	if limit := b.limit(now); !b.unlimited && !p.toldMax && spent >= limit {
		p.toldMax = true
		tell(false, limit)
	}
}

// Spent is what the account of a kind has spent in its main window, this call included once it settled: the first such account that the
// reservation holds, models aside; ok is false if there is none.
func (r *Reservation) Spent(kind account.Kind) (spent llm.Nanos, ok bool) {
	for i := range r.holds {
		if m := r.holds[i].e.m; m.subject.Kind == kind && m.subject.Model == "" {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.money.spent(&m.money.purses[m.money.purse("")]), true
		}
	}
	return 0, false
}
