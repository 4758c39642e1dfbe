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
//
// # Several replicas
//
// With Options.Shared the counters stand in Redis 7 or newer or Valkey, and replicas lease shares of them: a call is served out of the share
// that its replica holds; where that is short, one round trip asks for what is needed and, while there is plenty, for more beforehand (at most
// a fourth of what is left, divided by the replicas). Where little is left shares are exactly what calls need, and what lies idle elsewhere is
// waited for (up to 0.6 s) rather than refused. So across replicas, too, n+1 is refused, parallel calls never overshoot, and
//
//	spent + reserved + leased <= max - 1 nano-dollar + E
//
// with E as above: ONE call's estimate for all replicas together, not for each. What a call gives back is open to other replicas some
// milliseconds later, and at the latest after 0.2 s.
//
// # A replica that dies
//
// One that falls silent (Shared.Dead) loses its share: its parallel calls are over, what it may have spent stays charged until its window ends
// or, of money, until SQL has it: SQL must no longer list the replica (Listed), which says that its open calls are charged there at their
// estimates, and its total must have been read since. A call that SQL has as open holds its estimate until SQL has its record, not only until it
// settles (Reservation.Reported), so no charge comes that was not reserved before. Therefore, whenever whichever replica dies,
//
//	what SQL has + reserved + leased, by the dead as well <= max - 1 nano-dollar + E
//
// What the dead one had not told SQL is nowhere until its disk comes back, and may have been spent again by then: calls younger than 0.2 s, which
// are not reported yet, and calls that were shorter and ended after its last save, 0.25 s before; each plus the time the database takes, so what
// ended less than a second before it died, where the database keeps up. That is the lag by which a budget can be undercounted, and at most what
// the dead one had leased.
//
// # A server that is gone
//
// While the server breaks or refuses connections, or answers nothing for Shared.Timeout, Shared.Gone is the policy. Under Local the overspend is
// below one estimate for each of n replicas, plus what any of them had used beyond an nth of what was left when SQL was last told. A server that
// is slow is waited for; a call that got no share of it in 10 s is refused (but under Open). Afterwards every replica tells what it used, within
// 0.2 s, and the totals come from SQL (Options.Seed): everything told is absolute, so nothing drifts. A server that comes back without its data
// has forgotten the shares of the dead.
//
// # Without a server
//
// Without Shared, replicas that share an SQL database (Options.Peers) count requests, tokens and parallel calls each for itself. Of a budget
// each of n lets its calls use an nth of what is left by what SQL knows, and is told several times a second what the others have spent (Lately,
// Load). So n replicas cannot overspend a budget by more than what the others have in flight and not in SQL, and together, however many calls
// come at once, by less than one estimate each plus (n-1)/n of what was left when those began.
//
// Keys, with K = <prefix>:{<kind>:<id>[:<model>]} as in weir:{api_key:<hash>:gpt-4o}, are the hashes K:requests, K:tokens,
// K:max_parallel_requests and K:budget (fields: see lease.lua), and the sorted set <prefix>:replicas. All expire by themselves.
package limit

import (
	"context"
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
	// Seed reads what subjects have spent from SQL: of customers when they first call, so that not all of them need to be in memory, and of anybody
	// whom Redis does not know. nil: what Load and Drained told is all.
	Seed func(ctx context.Context, subjects []account.Subject) ([]account.Spend, error)
	// Peers tells how many replicas there are on the SQL database that Load's rows are from; nil: this is the only one.
	Peers func() int
	// Cache is how many subjects Cached keeps; 0: 10,000.
	Cache int
	// Shared makes limits and budgets common to several replicas; nil: what is counted here is all there is.
	Shared *Shared
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
	started int64 // Unix ms
	seed    func(ctx context.Context, subjects []account.Subject) ([]account.Spend, error)
	tasks   sync.WaitGroup
	cache   cache
	shared  *shared // nil: memory only
	peers   func() int
	lately  lately

	// meters holds every account that a rule or a spend row ever named. The hot path does not come here: bounds point at their meters.
	mu     sync.RWMutex
	meters map[account.Subject]*meter
	names  map[string]*headers // by scope
	lastID atomic.Uint64
}

// New makes a Limiter. With Options.Shared it tries to connect once before it returns, and goes on trying until Close.
func New(o Options) *Limiter {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	l := &Limiter{now: o.Now, zone: o.Zone, crossed: o.Crossed, started: o.Now().UnixMilli(), seed: o.Seed, peers: o.Peers, meters: map[account.Subject]*meter{}, names: map[string]*headers{}}
	l.cache.size = o.Cache
	if o.Cache == 0 {
		l.cache.size = 10_000
	}
	if o.Shared != nil {
		l.shared = newShared(l, o.Shared)
	}
	return l
}

// Close gives leased shares back and waits for the callbacks that are running. Calls that end later still settle, unseen by other replicas.
func (l *Limiter) Close() {
	if l.shared != nil {
		l.shared.close(true)
	}
	l.tasks.Wait()
}

// meter finds or makes the meter of a subject.
func (l *Limiter) meter(s account.Subject) (m *meter, made bool) {
	if m := l.find(s); m != nil {
		return m, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.meters[s]; m != nil {
		return m, false
	}
	m = &meter{id: l.lastID.Add(1), subject: s}
	l.meters[s] = m
	return m, true
}

// find gives the meter of a subject, nil if nobody ever named it.
func (l *Limiter) find(s account.Subject) *meter {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.meters[s]
}
