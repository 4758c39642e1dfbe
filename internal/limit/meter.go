package limit

import (
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// minute is the length of a rate window in milliseconds.
const minute = 60_000

// meter is everything that is counted for one subject. mu guards all but the first three fields. Who locks several meters does so in the
// order of their ids.
type meter struct {
	id      uint64
	subject account.Subject
	born    int64 // Unix ms; calls that began earlier settle no money here, since what they charge comes with SQL's total

	mu       sync.Mutex
	requests rate
	tokens   rate
	parallel int64
	money    money
}

// rate is a count within a window.
type rate struct {
	used  int64
	held  int64 // reserved by calls in flight that began in this window
	start int64 // Unix ms; 0: no window is open
}

// roll closes a window that has ended.
func (r *rate) roll(now int64) {
	if r.start != 0 && now-r.start >= minute {
		*r = rate{}
	}
}

// open starts a window if none is.
func (r *rate) open(now int64) {
	if r.start == 0 {
		r.start = now
	}
}

// end is when the running window, or one opened now, ends.
func (r *rate) end(now int64) int64 {
	if r.start == 0 {
		return now + minute
	}
	return r.start + minute
}

// money is what a subject spends. total + local is what it ever spent; total is what SQL says, of all replicas; local was settled here and
// is not in total yet.
type money struct {
	total  llm.Nanos
	local  llm.Nanos
	held   llm.Nanos
	calls  int64 // reservations in flight
	purses []purse
}

// purse is the window of one budget of a subject. Bounds name purses by index, so they are only ever added.
type purse struct {
	window  string // Rule.Window
	base    llm.Nanos
	resetAt int64 // Unix ms; 0: never
	period  account.Period
	rolled  bool // began a window by itself that SQL has not confirmed
	// Told of a crossing in this window.
	toldSoft, toldMax bool
}

// purse finds or adds the purse of a window, and gives its index.
func (m *money) purse(window string) int {
	for i := range m.purses {
		if m.purses[i].window == window {
			return i
		}
	}
	m.purses = append(m.purses, purse{window: window})
	return len(m.purses) - 1
}

// spent is what counts against the budget of p, reservations aside.
func (m *money) spent(p *purse) llm.Nanos { return m.total + m.local - p.base }

// roll begins a new window where one has ended.
func (m *money) roll(p *purse, now int64, zone *time.Location) {
	if p.resetAt == 0 || now < p.resetAt {
		return
	}
	p.base = m.total + m.local
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
func (m *money) take(p *purse, s *account.Spend, now int64) {
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
