package limit

import (
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// Charge is the cost of one record to one of the subjects that it is charged to.
type Charge struct {
	Subject account.Subject
	Cost    llm.Nanos
	Start   int64  // when the call began, Unix ms: the record's, and its Need.Start
	Call    string // the record's id: see Reservation.Reported
}

// Load takes what SQL says was spent: at the start all of it, later whatever was read anew. Totals only ever grow; a base or a reset time that
// SQL changed (a window that ended, an administrator's reset) holds from here on.
//
// What is settled here and not in SQL yet is kept apart, so nothing counts twice, provided that: Load and Drained are called by one goroutine,
// or under one lock, which also holds while the rows are read and while records are saved. A row read before records were saved, and given
// after Drained, is harmless.
func (l *Limiter) Load(spends []account.Spend) {
	now := l.now().UnixMilli()
	for i := range spends {
		m := l.find(spends[i].Subject)
		if m == nil {
			if l.seed != nil && spends[i].Kind == account.OfCustomer {
				continue // read when it first calls
			}
			m, _ = l.meter(spends[i].Subject)
		}
		m.mu.Lock()
		p := m.purse(spends[i].Window)
		m.take(&m.purses[p], &spends[i], now)
		l.share(m)
		m.mu.Unlock()
	}
}

// Drained moves what SQL now has from settled-here to spent: totals are the rows that saving a batch of records gave, charges what the records
// of that batch cost, a Charge for each record and each subject of it.
//
// The contract that makes it exact: call it after each save that succeeded, in the order of the saves, before anything else is loaded or
// saved (see Load). Charges list every record of the batch, also those that SQL knew already (a repeated save); records of another process
// may be among them. A record's cost and start must be those that its call gave to Settle and Reserve, and each subject it is charged to must
// have been among the call's bounds, unless no rule binds it in any call: whether a subject is bound must not depend on who else calls with it.
// A subject that is first bound while its calls are in flight may be undercounted by what those cost, until a moment in which it has no calls.
func (l *Limiter) Drained(totals []account.Spend, charges []Charge) {
	now := l.now().UnixMilli()
	settled := map[*meter]llm.Nanos{}
	for i := range charges {
		c := &charges[i]
		m := l.find(c.Subject)
		if m == nil {
			continue
		}
		m.mu.Lock()
		if m.settles(c.Start) {
			settled[m] += c.Cost
		} else if c.Start >= l.started {
			m.missed = true
		}
		m.recorded(c.Call)
		m.mu.Unlock()
	}
	for i := range totals {
		m := l.find(totals[i].Subject)
		if m == nil {
			continue
		}
		m.mu.Lock()
		m.drain(settled[m])
		p := m.purse(totals[i].Window)
		m.take(&m.purses[p], &totals[i], now)
		l.share(m)
		m.mu.Unlock()
		delete(settled, m)
	}
	for m, cost := range settled {
		m.mu.Lock()
		m.drain(cost)
		l.share(m)
		m.mu.Unlock()
	}
}

// share tells other replicas soon what is known of a subject's money, if anybody shares it. The meter is locked.
func (l *Limiter) share(m *meter) {
	if le := m.counts[dMoney].lease; le != nil {
		l.shared.touch(m, le.tight)
	}
}

// drain takes off what SQL's total has from now on.
func (m *meter) drain(cost llm.Nanos) {
	c := &m.counts[dMoney]
	c.used -= int64(cost)
	// A record may be saved before its call has settled, but nothing is owed once all have: a charge that never was ours ends here.
	if c.used < 0 && m.calls == 0 {
		c.used = 0
	}
}

// recorded gives back what was held of a call beyond its cost until SQL has its record.
func (m *meter) recorded(call string) {
	rest, ok := m.reported[call]
	if !ok {
		return
	}
	delete(m.reported, call)
	c := &m.counts[dMoney]
	c.held -= int64(rest)
	c.lease.back(int64(rest))
}

// lately lists the meters with a budget that calls were reserved on, for those who ask what other replicas spent of it.
type lately struct {
	mu   sync.Mutex
	list []*meter
}

// note puts a meter on the list. It is locked.
func (n *lately) note(m *meter, now int64) {
	if m.lately == 0 {
		n.mu.Lock()
		n.list = append(n.list, m)
		n.mu.Unlock()
	}
	m.lately = now
}

// Lately gives the subjects with a budget that calls were reserved on within the time given: those of which this replica has to know what
// others spend (see Options.Peers), several times a second, by Load.
func (l *Limiter) Lately(within time.Duration) []account.Subject {
	since := l.now().Add(-within).UnixMilli()
	n := &l.lately
	n.mu.Lock()
	list := n.list
	n.list = nil
	n.mu.Unlock()
	keep := list[:0]
	out := make([]account.Subject, 0, len(list))
	for _, m := range list {
		m.mu.Lock()
		if m.lately < since {
			m.lately = 0
		} else {
			keep = append(keep, m)
			out = append(out, m.subject)
		}
		m.mu.Unlock()
	}
	n.mu.Lock()
	n.list = append(keep, n.list...)
	n.mu.Unlock()
	return out
}

// State is what a subject's counters say.
type State struct {
	Total    llm.Nanos // ever spent, as SQL says
	Local    llm.Nanos // settled here and not in SQL yet
	Spent    llm.Nanos // in the main window, Local included
	Reserved llm.Nanos // by calls in flight here, and by those reported whose record SQL does not have yet
	ResetAt  int64     // end of the main window, Unix ms; 0: never
	Parallel int64     // calls in flight here
}

// State tells where a subject stands; ok is false if nobody ever named it. Not for the hot path.
func (l *Limiter) State(s account.Subject) (st State, ok bool) {
	m := l.find(s)
	if m == nil {
		return State{}, false
	}
	now := l.now().UnixMilli()
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &m.purses[m.purse("")]
	m.roll(p, now, l.zone)
	c := &m.counts
	return State{Total: m.total, Local: llm.Nanos(c[dMoney].used), Spent: m.spent(p), Reserved: llm.Nanos(c[dMoney].held), ResetAt: p.resetAt,
		Parallel: c[dParallel].held}, true
}
