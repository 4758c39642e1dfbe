package limit

import (
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// minute is the length of a rate window in milliseconds.
const minute = 60_000

// dim is one of the things that are counted of every subject.
type dim int

const (
	dRequests dim = iota
	dTokens
	dParallel
	dMoney // in nano-dollars
	dims
)

// whats are the dims' names in refusals and headers.
var whats = [dims]What{Requests, Tokens, Parallel, Budget}

// windowed says that a dim counts in windows of a minute.
func (d dim) windowed() bool { return d <= dTokens }

// meter is everything that is counted for one subject. mu guards all but the first two fields. Who locks several meters does so in the
// order of their ids.
type meter struct {
	id      uint64
	subject account.Subject

	mu sync.Mutex
	// Calls that began before this time (Unix ms) settle no money here: what they charge comes with SQL's total alone. 0: no rule has bound the
	// subject yet, so no call settles.
	born   int64
	missed bool // SQL has told of calls that did not settle here
	pinned bool // bound by a snapshot, so kept for good
	counts [dims]counter
	total  llm.Nanos // what SQL says was ever spent, by all replicas; counts[dMoney].used comes on top
	calls  int64     // reservations in flight
	// reported are calls, by id, that SQL has at their worst case until it has their record, and what of that is held here beyond what they cost.
	reported map[string]llm.Nanos
	purses   []purse
	lately   int64 // when it was last reserved on, Unix ms; 0: it is not on the list of those, see Lately

	// Of shared limits: on a list of meters to be told to the others, and when it was told (Unix ms).
	dirty, urgent bool
	told          int64
}

// counter counts one dim, or as much of it as happens here where it is shared.
type counter struct {
	used int64 // within the window; of money: settled, and not in total yet
	held int64 // reserved by calls in flight that began in this window
	// The window, of windowed dims: its number here, and its beginning and end in Unix ms, 0 where none is open.
	gen        uint32
	start, end int64
	lease      *lease // nil: not shared
}

// roll closes a window that has ended.
func (c *counter) roll(now int64) {
	if c.end != 0 && now >= c.end {
		c.used, c.held, c.start, c.end = 0, 0, 0, 0
		c.gen++
	}
}

// open starts a window if none is.
func (c *counter) open(now int64) {
	if c.end == 0 {
		c.start, c.end = now, now+minute
	}
}

// purse is the window of one budget of a subject. Bounds name purses by index, so they are only ever added.
type purse struct {
	window  string    // Rule.Window
	base    llm.Nanos // what was ever spent when the window began
	resetAt int64     // Unix ms; 0: never
	period  account.Period
	rolled  bool // began a window by itself that SQL has not confirmed
	// Told of a crossing in this window.
	toldSoft, toldMax bool
}

// bind notes that calls settle here from now on. Principals are made during their first call, so where nothing was missed it is all calls of
// this process.
func (m *meter) bind(started, now int64) {
	switch {
	case m.born != 0:
	case m.missed:
		m.born = now
	default:
		m.born = started
	}
}

// counts says whether a call that began at a time settles its money here.
func (m *meter) settles(start int64) bool { return m.born != 0 && start >= m.born }

// purse finds or adds the purse of a window, and gives its index.
func (m *meter) purse(window string) int {
	for i := range m.purses {
		if m.purses[i].window == window {
			return i
		}
	}
	m.purses = append(m.purses, purse{window: window})
	return len(m.purses) - 1
}

// ever is what was ever spent, as far as it is known here.
func (m *meter) ever() llm.Nanos { return m.total + llm.Nanos(m.counts[dMoney].used) }

// spent is what counts against the budget of p, reservations aside.
func (m *meter) spent(p *purse) llm.Nanos { return m.ever() - p.base }

// roll begins a new budget window where one has ended.
func (m *meter) roll(p *purse, now int64, zone *time.Location) {
	if p.resetAt == 0 || now < p.resetAt {
		return
	}
	p.base = m.ever()
	p.resetAt = nextReset(p.period, now, zone)
	p.rolled = true
	p.toldSoft, p.toldMax = false, false
}

func nextReset(p account.Period, now int64, zone *time.Location) int64 {
	if p.N == 0 {
		return 0
	}
	return p.NextReset(time.UnixMilli(now).In(zone)).UnixMilli()
}

// take believes a row of SQL, of the window that p is.
//
// SQL may not have begun the window yet that has begun here; then what we set stands until it has.
func (m *meter) take(p *purse, s *account.Spend, now int64) {
	m.total = max(m.total, s.Total)
	behind := p.rolled && (s.ResetAt == 0 || s.ResetAt <= now)
	if behind {
		p.base = max(p.base, s.Base)
		return
	}
	if s.ResetAt != p.resetAt || s.Base != p.base {
		p.toldSoft, p.toldMax = false, false
	}
	p.base = s.Base
	if s.ResetAt != 0 || p.period.N == 0 {
		p.resetAt = s.ResetAt
	}
	p.rolled = false
}
