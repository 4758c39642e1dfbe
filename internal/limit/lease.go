package limit

import (
	"context"
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/account"
)

// lease is this replica's share of a counter that replicas share. Guarded by its meter's mu.
//
// Where the server answered last, used + held + share is never more than it was told or gave: what a call takes from the share it holds, and
// what it does not use comes back. So the server's sum over all replicas is never less than the truth.
type lease struct {
	share  int64 // may be used without asking; negative: calls cost more than they estimated
	limit  int64 // that the share was given under
	left   int64 // what nobody held then
	epoch  uint64
	tight  bool  // little is left: nothing idle is kept
	active bool  // used since it was last told
	demand int64 // what calls that wait for a share need
	flight *flight
}

// flight is one exchange with the server about one counter. There is one at a time for each; done is closed when it has ended.
type flight struct {
	done chan struct{}
	m    *meter
	d    dim
	need int64 // 0: only telling
	sent int64 // Unix ms
	key  string
	args []string

	// Set before done is closed.
	err        error
	denied     bool
	idle       bool // somebody else has a share that lies idle
	used, held int64
}

// use takes n from the share and gives what is left of the limit, as far as is known. A nil lease is a counter that nobody shares.
func (s *lease) use(n int64) int64 {
	s.share -= n
	s.active = true
	return max(0, s.left+s.share)
}

// back gives to the share what a call held and did not use.
func (s *lease) back(n int64) {
	if s != nil {
		s.share += n
	}
}

// tight says that the meter has an idle share of something that is nearly used up. It is locked.
func (m *meter) tight() bool {
	for d := range dims {
		if s := m.counts[d].lease; s != nil && s.tight && s.share > 0 {
			return true
		}
	}
	return false
}

// want is a counter of which a call needs more than the share.
type want struct {
	e           *entry
	d           dim
	need, limit int64
}

// short lists what the leased shares of a call are short of, nil if it may go. The meters are locked.
func (l *Limiter) short(r *Reservation, now int64) []want {
	var wants []want
	epoch := l.shared.epoch.Load()
	for i := range r.holds {
		e := r.holds[i].e
		for d := range dims {
			limit := e.limit(d, &r.need, l, now)
			if limit == None {
				continue
			}
			c := &e.m.counts[d]
			if c.lease == nil {
				c.lease = &lease{}
			}
			s, need := c.lease, max(1, r.need.amount(d))
			ended := d.windowed() && now >= c.end
			if s.epoch != epoch || s.limit != limit || ended || s.share < need {
				wants = append(wants, want{e, d, need, limit})
			}
		}
	}
	return wants
}

// reserveShared reserves out of leased shares, and asks for more where they are short.
func (l *Limiter) reserveShared(ctx context.Context, r *Reservation) *Refusal {
	s := l.shared
	var wants []want
	var began time.Time // of waiting, by the real clock
	for {
		now := l.now().UnixMilli()
		r.lock()
		for i := range wants {
			w := &wants[i]
			w.e.m.counts[w.d].lease.demand -= w.need
		}
		gone := s.gone.Load()
		if gone {
			wants = nil
		} else if wants = l.short(r, now); wants == nil {
			l.take(r, now, true)
		}
		for i := range wants {
			w := &wants[i]
			w.e.m.counts[w.d].lease.demand += w.need
		}
		r.unlock()
		switch {
		case gone:
			return l.reserveBy(r, s.Gone)
		case wants == nil:
			return nil
		case began.IsZero():
			began = time.Now()
		case time.Since(began) > s.patience:
			// The server is there, so others may hold all that is left: nobody takes a part of it unasked.
			l.undemand(wants)
			if s.Gone == Open {
				return l.reserveBy(r, Open)
			}
			return l.reserveBy(r, Closed)
		}
		refusal, wait := l.lease(ctx, wants, now)
		if refusal != nil && wait && time.Since(began) < s.recall {
			// What is left lies idle in another replica's share, and comes back at its next word.
			timer := time.NewTimer(recallPause)
			select {
			case <-timer.C:
				continue
			case <-ctx.Done():
				timer.Stop()
			}
		}
		if refusal != nil || ctx.Err() != nil {
			l.undemand(wants)
			r.drop()
			if refusal == nil {
				refusal = &Refusal{What: Unreachable, RetryAfter: time.Second}
			}
			return refusal
		}
	}
}

// undemand takes back what a call that gives up was waiting for, and lets go of what it was given.
func (l *Limiter) undemand(wants []want) {
	for i := range wants {
		w := &wants[i]
		m := w.e.m
		m.mu.Lock()
		m.counts[w.d].lease.demand -= w.need
		l.shared.touch(m, m.tight())
		m.mu.Unlock()
	}
}

// lease asks for what is wanted, all in one exchange, unless somebody is asking already. It gives the refusal of what there is no more of, and
// whether waiting may help.
func (l *Limiter) lease(ctx context.Context, wants []want, now int64) (refusal *Refusal, wait bool) {
	own := make([]*flight, 0, len(wants))
	flights := make([]*flight, len(wants))
	for i := range wants {
		w := &wants[i]
		m := w.e.m
		m.mu.Lock()
		c := &m.counts[w.d]
		if c.lease.flight == nil {
			// What is kept goes back into the pot with the question: nobody takes from it until the answer is here.
			c.lease.share = 0
			c.lease.limit = w.limit
			f := l.shared.fly(m, w.d, now, w.need, w.limit, max(0, c.lease.demand-w.need))
			own = append(own, f)
		}
		flights[i] = c.lease.flight
		m.mu.Unlock()
	}
	l.shared.exchange(own)
	wait = true
	for i, f := range flights {
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, false
		}
		if f.denied {
			w := &wants[i]
			w.e.m.mu.Lock()
			refusal = worse(refusal, l.refuse(w.e, w.d, w.limit, f.used, f.held, now))
			w.e.m.mu.Unlock()
			wait = wait && f.idle
		}
	}
	return refusal, wait
}

// fly prepares an exchange about a counter that has none under way. The meter is locked.
func (s *shared) fly(m *meter, d dim, now, need, limit, waiting int64) *flight {
	c := &m.counts[d]
	f := &flight{done: make(chan struct{}), m: m, d: d, need: need, sent: now, key: s.key(m.subject, d)}
	c.lease.flight = f
	c.lease.active = false
	kind, total := "r", "0"
	switch d {
	case dParallel:
		kind = "p"
	case dMoney:
		kind, total = "b", strconv.FormatInt(int64(m.total), 10)
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	f.args = []string{kind, s.replica, number(s.dead.Milliseconds()), number(s.limbo.Milliseconds()), number(c.used), number(c.held),
		number(max(0, c.lease.share)), number(c.start), number(limit), number(need), number(waiting), number(64 * need), total, "", s.booksOf(d)}
	return f
}

// land takes the server's answer.
func (s *shared) land(f *flight, answer []int64, err error) {
	m := f.m
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.counts[f.d]
	le := c.lease
	le.flight = nil
	defer close(f.done)
	if err != nil {
		f.err = err
		le.share = 0
		s.touch(m, false) // the server may have given something all the same
		return
	}
	given, window, age, idle, left := answer[0], answer[1], answer[2], answer[5], answer[7]
	f.used, f.held, f.idle = answer[3], answer[4], idle > 0
	f.denied = f.need > 0 && given == 0
	if f.d.windowed() {
		c.follow(window, age, f)
	}
	le.share += given
	le.tight = answer[6] == 1
	if f.need > 0 {
		le.left = left
		le.epoch = s.epoch.Load()
	}
	m.told = f.sent
	if le.tight && le.share > 0 && le.demand == 0 {
		s.touch(m, true)
	}
}

// follow takes over the window that the server told. An older beginning than ours is the same window, counted elsewhere before.
func (c *counter) follow(window, age int64, f *flight) {
	if window == 0 {
		c.used, c.held, c.start, c.end = 0, 0, 0, 0
		c.gen++
		c.lease.share = 0
		return
	}
	if window > c.start {
		c.used, c.held = 0, 0
		c.gen++
		c.lease.share = 0
	}
	c.start, c.end = window, f.sent+minute-age
}

// key is where a counter stands on the server, as the package comment tells.
func (s *shared) key(of account.Subject, d dim) string {
	name := s.prefix + ":{" + string(of.Kind) + ":" + of.ID
	if of.Model != "" {
		name += ":" + of.Model
	}
	return name + "}:" + string(whats[d])
}
