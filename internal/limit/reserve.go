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
	call    string // where it was reported: its id
	settled bool
	quota   Quota // the argument of Quotas' function
}

// noCopy lets vet find copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// hold is what a call holds of one subject.
type hold struct {
	e    *entry
	gen  uint32        // of the token window reserved in
	left [dMoney]int64 // of each limit after this call took its part; -1 where there is none
}

// amount is what the call needs of a dim.
func (n *Need) amount(d dim) int64 {
	switch d {
	case dTokens:
		return n.Tokens
	case dMoney:
		return int64(n.Cost)
	}
	return 1
}

// Reserve holds one request, one parallel call, need.Tokens and need.Cost on every rule that applies, or nothing at all: then it says which
// limit refused. r must be a zero or settled Reservation.
//
// A request counts from here on, whatever becomes of it. ctx bounds the wait for other replicas, where limits are shared; without them
// Reserve never waits.
func (l *Limiter) Reserve(ctx context.Context, r *Reservation, need Need, bounds ...*Bound) *Refusal {
	r.gather(l, need, bounds)
	if l.shared != nil {
		return l.reserveShared(ctx, r)
	}
	return l.reserveAs(r, 1)
}

// reserveAs reserves as one of n replicas who know nothing of each other: each may use an nth of what is left. With n = 1 that is all of it;
// with n = 0 nothing is refused, and everything counted. Where SQL has other replicas (Options.Peers), 1 means the only one but for money.
func (l *Limiter) reserveAs(r *Reservation, n int64) *Refusal {
	now := l.now().UnixMilli()
	r.lock()
	refusal := l.check(r, n, now)
	if refusal == nil {
		l.take(r, now, false)
	}
	r.unlock()
	if refusal != nil {
		r.drop()
	}
	return refusal
}

func (r *Reservation) lock() {
	for i := range r.holds {
		r.holds[i].e.m.mu.Lock()
	}
}

func (r *Reservation) unlock() {
	for i := range r.holds {
		r.holds[i].e.m.mu.Unlock()
	}
}

// gather lists the entries that apply, each subject once, in the order of locking.
func (r *Reservation) gather(l *Limiter, need Need, bounds []*Bound) {
	r.l, r.need, r.call, r.settled = l, need, "", true
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

// check gives the refusal of the limit that is to be named, nil if all admit the call, n as in reserveAs. The meters are locked.
func (l *Limiter) check(r *Reservation, n, now int64) *Refusal {
	var worst *Refusal
	for i := range r.holds {
		e := r.holds[i].e
		for d := range dims {
			c := &e.m.counts[d]
			if d.windowed() {
				c.roll(now)
			}
			limit := e.limit(d, &r.need, l, now)
			if limit == None || n == 0 {
				continue
			}
			var base int64
			part := n
			if d == dMoney {
				base = int64(e.m.total)
				if n == 1 && l.peers != nil {
					part = max(1, int64(l.peers()))
				}
			}
			if (c.used+c.held)*part >= limit-base {
				worst = worse(worst, l.refuse(e, d, limit, base+c.used, c.held, now))
			}
		}
	}
	return worst
}

// take reserves on every subject, whose meters are locked; leased says that it comes out of the leased shares.
func (l *Limiter) take(r *Reservation, now int64, leased bool) {
	r.settled = false
	for i := range r.holds {
		h := &r.holds[i]
		m := h.e.m
		for d := range dims {
			limited := h.e.limits[d] != None
			if !limited && d.windowed() {
				h.left[d] = None
				continue
			}
			c := &m.counts[d]
			n := r.need.amount(d)
			switch d {
			case dRequests:
				c.open(now)
				c.used += n
			case dTokens:
				c.open(now)
				c.held += n
				h.gen = c.gen
			default:
				c.held += n
			}
			var shared int64
			if leased && c.lease != nil {
				shared = c.lease.use(n)
			}
			if d == dMoney {
				continue
			}
			switch {
			case !limited:
				h.left[d] = None
			case leased:
				h.left[d] = shared
			default:
				h.left[d] = max(0, h.e.limits[d]-c.used-c.held)
			}
		}
		m.calls++
		if l.peers != nil && len(h.e.budgets) > 0 {
			l.lately.note(m, now)
		}
		if l.shared != nil {
			l.shared.touch(m, false)
		}
	}
}

// Reported notes, before the call's record is written and settled, that SQL has the call as open, at its worst case: that is what it is
// charged should this replica not come back. So what of it the call does not use stays held, of budgets, until Drained brings its record.
func (r *Reservation) Reported(call string) {
	if r.settled || r.l == nil {
		return
	}
	r.call = call
	for i := range r.holds {
		if h := &r.holds[i]; h.e.limits[dMoney] != None {
			m := h.e.m
			m.mu.Lock()
			if m.reported == nil {
				m.reported = map[string]llm.Nanos{}
			}
			m.reported[call] = 0
			m.mu.Unlock()
		}
	}
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
		r.l.give(h, r, tokens, cost, now)
		h.e.m.mu.Unlock()
	}
}

// give settles one subject, whose meter is locked.
func (l *Limiter) give(h *hold, r *Reservation, tokens int64, cost llm.Nanos, now int64) {
	e, m := h.e, h.e.m
	m.calls--
	m.counts[dParallel].held--
	if e.limits[dTokens] != None {
		c := &m.counts[dTokens]
		if l.shared == nil {
			c.roll(now)
		}
		if c.gen == h.gen {
			c.held -= r.need.Tokens
			c.used += tokens
			c.lease.back(r.need.Tokens - tokens)
		}
	}
	c := &m.counts[dMoney]
	if !m.settles(r.need.Start) {
		cost = 0
	}
	rest := r.need.Cost - cost
	if _, waits := m.reported[r.call]; waits && rest > 0 {
		m.reported[r.call], rest = rest, 0
	}
	c.held -= int64(cost + rest)
	c.used += int64(cost)
	c.lease.back(int64(rest))
	m.counts[dParallel].lease.back(1)
	for i := range e.budgets {
		b := &e.budgets[i]
		p := &m.purses[b.purse]
		m.roll(p, now, l.zone)
		l.cross(e, b, p, now)
	}
	if l.shared != nil {
		l.shared.touch(m, m.tight())
	}
}

// cross tells of a budget that was reached, once in its window. The meter is locked.
func (l *Limiter) cross(e *entry, b *budget, p *purse, now int64) {
	if l.crossed == nil {
		return
	}
	spent := e.m.spent(p)
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
			return m.spent(&m.purses[m.purse("")]), true
		}
	}
	return 0, false
}
