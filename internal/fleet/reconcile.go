package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Reconcile brings one model a step nearer to what it should be, and says when to look again. It is level-based: what it does depends only
// on what is stored and on what the host shows, so it may be called at any time, after a crash at any point.
func (f *Fleet) Reconcile(ctx context.Context, m *Model) (time.Duration, error) {
	if m.Delete && m.Status != Deleting {
		return 0, f.set(ctx, m, Deleting, "")
	}
	var err error
	wait := pollMoving
	switch m.Status {
	case Creating, Starting:
		wait, err = f.raise(ctx, m)
	case Updating:
		wait, err = f.update(ctx, m)
	case Stopping:
		wait, err = f.stop(ctx, m)
	case Deleting:
		wait, err = f.remove(ctx, m)
	case InService:
		wait, err = f.keep(ctx, m)
	case Stopped, Failed:
		wait, err = f.rest(ctx, m)
	}
	if err != nil && !errors.Is(err, ErrConflict) {
		wait = f.backoff(m.ModelID)
	}
	if err == nil {
		f.calm(m.ModelID)
	}
	return wait, err
}

// backoff is how long to wait after one more failure in a row.
func (f *Fleet) backoff(id string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures[id]++
	return min(pollMoving<<min(f.failures[id], 10), maxBackoff)
}

func (f *Fleet) calm(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.failures, id)
}

// late reports whether the phase has lasted longer than it may.
func (f *Fleet) late(m *Model, deadline time.Duration) bool {
	since := m.PhaseAt
	if since == 0 {
		since = m.Created
	}
	return f.o.Now().UnixMilli()-since > deadline.Milliseconds()
}

// raise makes a model's servers exist and routes to them once they answer.
func (f *Fleet) raise(ctx context.Context, m *Model) (time.Duration, error) {
	deadline := f.o.Deadlines.Create
	if m.Status == Starting {
		deadline = f.o.Deadlines.Start
	}
	if !m.Hosted() {
		if f.o.ProbeExternal {
			if err := f.o.Probe(ctx, m, ""); err != nil {
				return pollSettled, f.set(ctx, m, Failed, "the first call failed: "+err.Error())
			}
		}
		m.Observed = m.Generation
		return pollSettled, f.set(ctx, m, InService, "")
	}
	seen, err := f.ensure(ctx, m)
	if err != nil {
		if f.late(m, deadline) {
			return 0, f.giveUp(ctx, m, fmt.Sprintf("not up after %v: %v", deadline, err))
		}
		return 0, err
	}
	if seen.Failure != "" {
		return 0, f.giveUp(ctx, m, seen.Failure)
	}
	ready := readyServers(seen, m.Generation)
	if int64(len(ready)) >= m.Size() {
		err := f.o.Probe(ctx, m, ready[0])
		if err == nil {
			m.Replicas, m.Observed = ready, m.Generation
			st := &m.ScheduleState
			st.FailedAt, st.Failure, st.Tries = 0, "", 0
			f.started(m)
			return pollSettled, f.set(ctx, m, InService, "")
		}
		if f.late(m, deadline) {
			return 0, f.giveUp(ctx, m, fmt.Sprintf("healthy, but no answer after %v: %v", deadline, err))
		}
		return pollMoving, f.note(ctx, m, "healthy; the first call failed: "+err.Error())
	}
	if f.late(m, deadline) {
		return 0, f.giveUp(ctx, m, fmt.Sprintf("%d of %d servers ready after %v", len(ready), m.Size(), deadline))
	}
	return pollMoving, f.note(ctx, m, fmt.Sprintf("%d of %d servers ready", len(ready), m.Size()))
}

// giveUp ends an attempt: a new model is Failed, one that was started goes back to Stopped (contract lisa.md A.2.4). Its servers go either way.
func (f *Fleet) giveUp(ctx context.Context, m *Model, why string) error {
	to := Failed
	if m.Status == Starting {
		to, m.Enabled = Stopped, false
		f.startFailed(m, why)
	}
	m.Replicas, m.Desired = nil, 0
	if err := f.set(ctx, m, to, why); err != nil {
		return err
	}
	_, err := f.ensure(ctx, m)
	return err
}

// note keeps the reason of a model that is on its way up to date, without a transition.
func (f *Fleet) note(ctx context.Context, m *Model, reason string) error {
	if m.Reason == reason {
		return nil
	}
	return f.set(ctx, m, m.Status, reason)
}

// ensure asks the host for as many servers as are desired.
func (f *Fleet) ensure(ctx context.Context, m *Model) (Observed, error) {
	h, err := f.host(m)
	if err != nil {
		return Observed{}, err
	}
	seen, err := h.Ensure(ctx, Spec{Definition: m.Definition, Generation: m.Generation, Replicas: m.Desired, Health: f.o.Health(&m.Definition)})
	if err == nil {
		m.Scaled = seen.Scaled
	}
	return seen, err
}

// readyServers are the addresses of servers that answer, of one generation.
func readyServers(seen Observed, generation int64) []string {
	var out []string
	for _, s := range seen.Servers {
		if s.Ready && s.Generation == generation {
			out = append(out, s.URL)
		}
	}
	slices.Sort(out)
	return out
}

// update rolls a change of the container out and goes back to where the model was.
func (f *Fleet) update(ctx context.Context, m *Model) (time.Duration, error) {
	if !m.Enabled || !m.Hosted() {
		m.Observed = m.Generation
		back := Stopped
		if m.Enabled {
			back = InService
		}
		return pollSettled, f.set(ctx, m, back, "")
	}
	seen, err := f.ensure(ctx, m)
	if err == nil && seen.Failure != "" {
		m.Replicas, m.Desired = nil, 0
		return 0, f.set(ctx, m, Failed, seen.Failure)
	}
	ready := readyServers(seen, m.Generation)
	if err == nil && int64(len(ready)) >= m.Size() {
		m.Replicas, m.Observed = ready, m.Generation
		return pollSettled, f.set(ctx, m, InService, "")
	}
	if late := f.late(m, f.o.Deadlines.Update); late && m.Observed == m.Generation && err == nil && len(ready) > 0 {
		// The servers that are there serve as before; there are only not as many as wanted.
		m.Replicas = ready
		return pollSettled, f.set(ctx, m, InService, fmt.Sprintf("%d of %d servers ready after %v", len(ready), m.Size(), f.o.Deadlines.Update))
	} else if late {
		m.Replicas, m.Desired = nil, 0
		return 0, f.set(ctx, m, Failed, fmt.Sprintf("the update was not up after %v", f.o.Deadlines.Update))
	}
	if err != nil {
		return 0, err
	}
	if any := readyAny(seen); !slices.Equal(any, m.Replicas) {
		m.Replicas = any
		return pollMoving, f.set(ctx, m, Updating, m.Reason)
	}
	return pollMoving, f.note(ctx, m, fmt.Sprintf("%d of %d servers updated", len(ready), m.Size()))
}

// readyAny are the addresses of servers that answer, old or new.
func readyAny(seen Observed) []string {
	var out []string
	for _, s := range seen.Servers {
		if s.Ready {
			out = append(out, s.URL)
		}
	}
	slices.Sort(out)
	return out
}

// The phases of going down.
const (
	phaseDrain = "drain"
	phaseDown  = "down"
)

// down takes a model out of routing, lets its calls finish on all replicas, and takes its servers away. done is true when they are gone. The
// calls of an external model need nothing that goes.
func (f *Fleet) down(ctx context.Context, m *Model) (done bool, err error) {
	if m.Phase == "" {
		m.Phase, m.PhaseAt, m.Replicas = phaseDrain, f.o.Now().UnixMilli(), nil
		return false, f.set(ctx, m, m.Status, m.Reason)
	}
	if m.Phase == phaseDrain {
		if m.Hosted() && !f.late(m, f.o.Deadlines.Drain) {
			if calls, settled, err := f.o.Running(ctx, m); calls > 0 || !settled || err != nil {
				return false, err
			}
		}
		m.Phase, m.PhaseAt, m.Desired = phaseDown, f.o.Now().UnixMilli(), 0
		if err := f.set(ctx, m, m.Status, m.Reason); err != nil {
			return false, err
		}
	}
	if !m.Hosted() {
		return true, nil
	}
	seen, err := f.ensure(ctx, m)
	return err == nil && len(seen.Servers) == 0, err
}

func (f *Fleet) stop(ctx context.Context, m *Model) (time.Duration, error) {
	done, err := f.down(ctx, m)
	if err != nil || !done {
		return pollMoving / 5, err
	}
	return pollSettled, f.set(ctx, m, Stopped, m.Reason)
}

// remove takes everything away, bounded: past the deadline the model is Failed with what is left, and may be deleted again.
func (f *Fleet) remove(ctx context.Context, m *Model) (time.Duration, error) {
	done, err := f.down(ctx, m)
	if err == nil && done && m.Hosted() {
		var h Host
		if h, err = f.host(m); err == nil {
			done, err = h.Delete(ctx, m.ModelID)
		}
	}
	if err == nil && done {
		return 0, f.tell(ctx, func() error { return f.o.Store.Remove(ctx, m) })
	}
	if m.Phase == phaseDown && f.late(m, f.o.Deadlines.Delete) {
		m.Delete = false
		why := fmt.Sprintf("not deleted after %v", f.o.Deadlines.Delete)
		if err != nil {
			why += ": " + err.Error()
		}
		return pollSettled, f.set(ctx, m, Failed, why)
	}
	return pollMoving / 5, err
}

// keep looks after a model that serves: its servers, their number, its schedule.
func (f *Fleet) keep(ctx context.Context, m *Model) (time.Duration, error) {
	if !m.Enabled {
		return 0, f.set(ctx, m, Stopping, m.Reason)
	}
	if !m.Hosted() {
		return maxBackoff, nil
	}
	if f.scheduled(m) == scheduleOff {
		m.Enabled = false
		m.ScheduleState.LastAction = "STOP"
		return 0, f.set(ctx, m, Stopping, "stopped by its schedule")
	}
	if m.Scaled == 0 { // else it is the host's to follow the load
		calls, _, err := f.o.Running(ctx, m)
		if err != nil {
			return 0, err
		}
		if n := f.wanted(m, calls); n != m.Desired {
			m.Desired = n
			if err := f.set(ctx, m, InService, m.Reason); err != nil {
				return 0, err
			}
		}
	}
	scaled := m.Scaled
	seen, err := f.ensure(ctx, m)
	if err != nil {
		return 0, err
	}
	ready := readyServers(seen, m.Generation)
	if seen.Failure != "" && len(ready) == 0 {
		// It worked once, so it may again: it is stopped, and can be started.
		m.Enabled, m.ScheduleState.Held = false, f.o.Now().UnixMilli()
		return 0, f.set(ctx, m, Stopping, seen.Failure)
	}
	reason := seen.Failure
	if reason == "" && int64(len(ready)) < m.Size() {
		reason = fmt.Sprintf("%d of %d servers ready", len(ready), m.Size())
	}
	if !slices.Equal(ready, m.Replicas) || reason != m.Reason || m.Scaled != scaled {
		m.Replicas = ready
		return pollMoving, f.set(ctx, m, InService, reason)
	}
	if int64(len(ready)) != m.Size() {
		return pollMoving, nil
	}
	return pollSettled / 5, nil
}

// rest looks after a model that does not serve: whether it should, and that nothing of it runs.
func (f *Fleet) rest(ctx context.Context, m *Model) (time.Duration, error) {
	if m.Status == Stopped && m.Hosted() && !m.Enabled && f.scheduled(m) == scheduleOn {
		m.Enabled = true
		st := &m.ScheduleState
		if st.LastAction = "START"; st.Held != 0 {
			st.Held, st.Tries = 0, 0
		}
	}
	if m.Status == Stopped && m.Enabled {
		m.Desired = f.floor(m)
		return 0, f.set(ctx, m, Starting, "")
	}
	if !m.Hosted() {
		return maxBackoff, nil
	}
	seen, err := f.ensure(ctx, m) // Desired is 0
	if err != nil {
		return 0, err
	}
	if len(seen.Servers) > 0 {
		return pollMoving, nil
	}
	return pollSettled, nil
}
