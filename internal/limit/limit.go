// Package limit holds the rates, parallel calls and budgets of accounts: a call reserves its worst case on every limit that applies before
// it goes out (Reserve, all or nothing) and settles to the truth when it ends (Settle), whatever the end.
//
// It is on the hot path: proxy calls it once before and once after each call; auth binds the rules of its principals (Bind); whoever drains
// the journal to SQL tells it what SQL knows (Load, Drained). It knows no SQL and no HTTP. Neither Reserve nor Settle allocates for a caller
// of up to 16 rules, and no lock is common to all accounts: each account has its own, taken in one fixed order.
//
// # Who is admitted
//
// One rule for all: a call is admitted where used + reserved < limit, for requests, tokens, parallel calls and money alike. So a limit of n
// requests admits exactly n in a window, n parallel calls are never n+1, a limit of 0 admits nobody, and the last affordable call is never
// refused because its estimate, a worst case, is larger than what is left. Reservations return what they did not use when they settle.
//
// # By how much a budget can be overspent
//
// At every moment spent + reserved <= max - 1 nano-dollar + E, where E is the largest single estimate: the call that took the last of the
// budget. Estimates being worst cases, the overspend is therefore less than the estimate of one call, however many come at once. Where calls
// cost more than they estimated, their excess (truth minus estimate, summed over the calls in flight when the budget ran out) comes on
// top. Tokens per minute behave the same way, within one window.
//
// # Windows
//
// Requests and tokens count in windows of 60 seconds that the first admitted request opens. Tokens reserved in a window that has ended by
// the time the call settles are charged to no later one. A budget's window ends at the reset time that SQL told, or that the rule's period
// gives; the counter then starts anew by itself, and SQL follows. Calls in flight then are charged to the new window, as their records are.
package limit

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// Options are the parts a Limiter needs; the zero value counts in memory, by the real clock.
type Options struct {
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Zone is where budget windows follow the calendar; nil: UTC.
	Zone *time.Location
	// Crossed is told, once per budget window, that a soft budget or a budget was reached. It runs in a goroutine of its own.
	Crossed func(Crossing)
}

// Crossing says that what an account spent has reached a budget.
type Crossing struct {
	Subject account.Subject
	Alias   string
	Window  string // Rule.Window of the budget
	Soft    bool   // the soft budget, which refuses nobody; otherwise the budget itself
	Limit   llm.Nanos
	Spent   llm.Nanos
	ResetAt int64 // end of the window, Unix ms; 0: it never ends
}

// Limiter counts. Its methods may be called by any number of goroutines at once, except where they say otherwise.
type Limiter struct {
	now     func() time.Time
	zone    *time.Location
	crossed func(Crossing)
	tasks   sync.WaitGroup

	// meters holds every account that a rule or a spend row ever named. The hot path does not come here: bounds point at their meters.
	mu     sync.RWMutex
	meters map[account.Subject]*meter
	names  map[string]*headers // by scope
	lastID atomic.Uint64
}

// New makes a Limiter that counts in memory.
func New(o Options) *Limiter {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	return &Limiter{now: o.Now, zone: o.Zone, crossed: o.Crossed, meters: map[account.Subject]*meter{},
		names: map[string]*headers{}}
}

// Close waits for the callbacks that are running.
func (l *Limiter) Close() { l.tasks.Wait() }

// meter finds or makes the meter of a subject.
func (l *Limiter) meter(s account.Subject) *meter {
	if m := l.find(s); m != nil {
		return m
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.meters[s]; m != nil {
		return m
	}
	m := &meter{id: l.lastID.Add(1), subject: s, born: l.now().UnixMilli()}
	l.meters[s] = m
	return m
}

// find gives the meter of a subject, nil if nobody ever named it.
func (l *Limiter) find(s account.Subject) *meter {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.meters[s]
}
