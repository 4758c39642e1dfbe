package fleet

import "time"

// scaling remembers what a model's load was and when its number of servers last changed.
type scaling struct {
	changed time.Time
	lowFrom time.Time // since when fewer servers would do; zero: they would not
}

// floor is how many servers a model starts with: what was asked for within its limits, else the least.
func (f *Fleet) floor(m *Model) int64 {
	a := m.AutoScaling
	if a == nil {
		return 0
	}
	if a.DesiredCapacity != nil {
		return min(max(*a.DesiredCapacity, a.MinCapacity), a.MaxCapacity)
	}
	return a.MinCapacity
}

// started begins to watch a model's load.
func (f *Fleet) started(m *Model) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scale[m.ModelID] = &scaling{changed: f.o.Now()}
}

// wanted is how many servers a model with so many calls in flight should have now: enough that each has no more of them than the target, within
// its limits. More come after the warm-up of those that came last, fewer one at a time after the cooldown.
func (f *Fleet) wanted(m *Model, calls int64) int64 {
	a := m.AutoScaling
	now, n := f.o.Now(), min(max(m.Desired, a.MinCapacity), a.MaxCapacity)
	if a.Metric.TargetValue <= 0 {
		return n
	}
	need := min(max((calls+a.Metric.TargetValue-1)/a.Metric.TargetValue, a.MinCapacity), a.MaxCapacity)
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.scale[m.ModelID]
	if s == nil {
		s = &scaling{changed: now}
		f.scale[m.ModelID] = s
	}
	if n != m.Desired {
		s.changed = now
		return n
	}
	switch {
	case need > n:
		s.lowFrom = time.Time{}
		if now.Sub(s.changed) >= time.Duration(a.DefaultInstanceWarmup)*time.Second {
			s.changed = now
			return need
		}
	case need < n:
		if s.lowFrom.IsZero() {
			s.lowFrom = now
		}
		cooldown := time.Duration(a.Cooldown) * time.Second
		if now.Sub(s.lowFrom) >= cooldown && now.Sub(s.changed) >= cooldown {
			s.changed, s.lowFrom = now, now
			return n - 1
		}
	default:
		s.lowFrom = time.Time{}
	}
	return n
}
