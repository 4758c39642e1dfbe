package limit

import (
	"container/list"
	"sync"

	"github.com/weir-gateway/weir/internal/account"
)

// cache keeps the bounds of the subjects that called last.
type cache struct {
	size int

	mu      sync.Mutex
	subject map[account.Subject]*list.Element // of *cached
	recent  list.List                         // the last used in front
}

type cached struct {
	subject account.Subject
	of      any
	bound   *Bound
}

// Cached gives the Bound of a subject that no snapshot has, such as a customer without a row who has the limits of all such customers. rules
// are asked for at first use, and when of, a comparable value that stands for what they are made of, is another than before. Of the subjects
// the last used are kept (Options.Cache), with their counters; those of others are dropped once nothing is counted in them that SQL does not
// know. Its hot path takes one lock and allocates nothing.
func (l *Limiter) Cached(s account.Subject, of any, rules func() []Rule) *Bound {
	c := &l.cache
	c.mu.Lock()
	if e := c.subject[s]; e != nil && e.Value.(*cached).of == of {
		c.recent.MoveToFront(e)
		b := e.Value.(*cached).bound
		c.mu.Unlock()
		return b
	}
	c.mu.Unlock()
	b := l.bind(rules(), false) // may ask SQL: not under the lock
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.subject[s]; e != nil {
		*e.Value.(*cached) = cached{s, of, b}
		c.recent.MoveToFront(e)
		return b
	}
	if c.subject == nil {
		c.subject = map[account.Subject]*list.Element{}
	}
	c.subject[s] = c.recent.PushFront(&cached{s, of, b})
	l.evict()
	return b
}

// evict drops the subjects that were used longest ago. One in use is spared for now. The cache is locked.
func (l *Limiter) evict() {
	const tries = 4
	c := &l.cache
	for range tries {
		if c.recent.Len() <= c.size {
			return
		}
		e := c.recent.Back()
		if l.drop(e.Value.(*cached).bound) {
			delete(c.subject, e.Value.(*cached).subject)
			c.recent.Remove(e)
		} else {
			c.recent.MoveToFront(e)
		}
	}
}

// drop forgets the meters of a bound, or gives false if one has something in it.
func (l *Limiter) drop(b *Bound) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now().UnixMilli()
	all := func(f func(*meter) bool) bool {
		for _, entries := range b.models {
			for i := range entries {
				if !f(entries[i].m) {
					return false
				}
			}
		}
		for i := range b.all {
			if !f(b.all[i].m) {
				return false
			}
		}
		return true
	}
	if !all(func(m *meter) bool { return m.idle(now) }) {
		return false
	}
	return all(func(m *meter) bool {
		if !m.pinned {
			delete(l.meters, m.subject)
		}
		return true
	})
}

// idle says that nothing is counted here that would be lost with the meter.
func (m *meter) idle(now int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls != 0 || m.counts[dMoney].used != 0 || len(m.reported) != 0 {
		return false
	}
	for d := range dims {
		c := &m.counts[d]
		if c.lease != nil && (c.lease.share != 0 || c.lease.flight != nil) || d.windowed() && now < c.end {
			return false
		}
	}
	return true
}
