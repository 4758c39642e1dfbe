package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// Invalid is a well-formed request that breaks a rule: the field and the contract's sentence.
type Invalid struct{ Field, Message string }

func (e *Invalid) Error() string { return e.Message }

// State is a request that the model's state does not allow.
type State struct{ Message string }

func (e *State) Error() string { return e.Message }

func invalid(field, format string, args ...any) error {
	return &Invalid{field, fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) error { return &State{fmt.Sprintf(format, args...)} }

// embeddingStreams is what a request that asks for both is told.
const embeddingStreams = "Embedding model cannot be set with streaming enabled."

// markedForDeletion is the value of an environment variable that takes it out (contract lisa.md A.2.4).
const markedForDeletion = "LISA_MARKED_FOR_DELETION"

// Update is what a request changes of a model; nil leaves it (contract lisa.md A.1.2, UpdateModel).
type Update struct {
	Scaling     *ScalingUpdate
	Container   *ContainerUpdate
	Enabled     *bool
	Type        *string
	Description *string
	Streaming   *bool
	Groups      *[]string
	Features    *[]Feature
	// Guardrails, if not nil, are all there are from now on.
	Guardrails map[string]Guardrail

	WakeOnRequest *bool
	Schedule      *Schedule
	NoSchedule    bool
}

// ScalingUpdate is autoScalingInstanceConfig.
type ScalingUpdate struct {
	Min, Max, Desired, Cooldown, Warmup *int64
}

// ContainerUpdate is containerConfig.
type ContainerUpdate struct {
	Environment        map[string]string
	SharedMemorySize   *int64
	HealthCommand      any
	HealthInterval     *int64
	HealthTimeout      *int64
	HealthStartPeriod  *int64
	HealthRetries      *int64
	EnvironmentPresent bool
}

// Create adds a model; ErrExists. apiKey is sealed already.
func (f *Fleet) Create(ctx context.Context, d Definition, apiKey string) (*Model, error) {
	now := f.o.Now().UnixMilli()
	m := &Model{Definition: d, Status: Creating, Enabled: true, Generation: 1, APIKey: apiKey, Created: now, Updated: now, PhaseAt: now}
	if m.Hosted() {
		if _, err := f.host(m); err != nil {
			return nil, invalid("host", "%v", err)
		}
		m.Desired = f.floor(m)
		if f.scheduled(m) == scheduleOff {
			// As the original, it is made outside its window with nothing running (contract lisa.md A.1.5).
			m.Status, m.Enabled, m.Desired = Stopped, false, 0
			m.Reason, m.ScheduleState.LastAction = "outside of its schedule", "STOP"
		}
	}
	if m.AutoScaling != nil && m.AutoScaling.Scheduling != nil {
		m.ScheduleState.Updated = now
	}
	made := Event{ModelID: m.ModelID, At: now, To: m.Status, Reason: m.Reason}
	if err := f.tell(ctx, func() error { return f.o.Store.Create(ctx, m, made) }); err != nil {
		return nil, err
	}
	f.Look(m.ModelID)
	return m, nil
}

// Delete asks for a model to be gone. An external model is gone when it returns; the servers of a hosted one follow. Asking again is no error.
func (f *Fleet) Delete(ctx context.Context, id string) (*Model, error) {
	_, m, err := f.change(ctx, id, func(m *Model) error {
		m.Delete = true
		if m.Status != Deleting {
			m.Status, m.Reason = Deleting, ""
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !m.Hosted() {
		for {
			if _, err := f.Reconcile(ctx, m); err != nil && !errors.Is(err, ErrConflict) {
				return m, nil // the loop goes on from here
			}
			next, err := f.o.Store.Model(ctx, id)
			if errors.Is(err, ErrNotFound) {
				return m, nil
			}
			if err != nil {
				return m, err
			}
			m = next
		}
	}
	f.Look(id)
	return m, nil
}

// change edits a model and stores it; a change by another in between is tried again, so that the rules hold for what is stored.
// It gives the model as it was and as it is. edit must not change what the model points to: it puts changed copies in place.
func (f *Fleet) change(ctx context.Context, id string, edit func(*Model) error) (before, after *Model, err error) {
	for {
		m, err := f.o.Store.Model(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		old, was := *m, m.Status
		now := f.o.Now().UnixMilli()
		m.Updated = now
		if err := edit(m); err != nil {
			return nil, nil, err
		}
		var events []Event
		if m.Status != was {
			m.Phase, m.PhaseAt = "", now
			events = append(events, Event{ModelID: id, At: now, From: was, To: m.Status, Reason: m.Reason})
		}
		err = f.tell(ctx, func() error { return f.o.Store.Put(ctx, m, events...) })
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		f.Look(id)
		return &old, m, nil
	}
}

// Update changes a model by the contract's rules, in their order (lisa.md A.2.4). It returns the model as it was before, as LISA answers;
// the servers follow. Of two requests at once on one model, one wins and the other meets the state that the first left.
func (f *Fleet) Update(ctx context.Context, id string, u Update) (*Model, error) {
	before, _, err := f.change(ctx, id, func(m *Model) error { return u.apply(m) })
	return before, err
}

// SetContextWindow notes how many tokens a model takes, in whatever state it is. It returns the model as it is now.
func (f *Fleet) SetContextWindow(ctx context.Context, id string, tokens int64) (*Model, error) {
	_, after, err := f.change(ctx, id, func(m *Model) error {
		m.ContextWindow = &tokens
		return nil
	})
	return after, err
}

func (u *Update) apply(m *Model) error {
	if m.Status != InService && m.Status != Stopped || m.Delete {
		return conflict("Model cannot be updated when it is not in the 'InService' or 'Stopped' states")
	}
	if u.Enabled != nil {
		if err := u.power(m); err != nil {
			return err
		}
	}
	if u.Scaling != nil {
		if m.AutoScaling == nil {
			return conflict("Cannot update AutoScaling Config for model not hosted in LISA infrastructure.")
		}
		if err := u.Scaling.apply(m); err != nil {
			return err
		}
	}
	if u.Container != nil {
		if !m.Hosted() {
			return conflict("Cannot update Container Config for model not hosted in LISA infrastructure.")
		}
		u.Container.apply(m)
		m.Generation++
		if m.Status == InService && u.Enabled == nil {
			m.Status = Updating
		}
	}
	return u.describe(m)
}

// power starts or stops.
func (u *Update) power(m *Model) error {
	switch {
	case u.Scaling != nil:
		return conflict("Start or Stop operations and AutoScaling changes must happen in separate requests.")
	case *u.Enabled && m.Status != Stopped:
		return conflict("Model cannot be enabled when it is not in the 'Stopped' state.")
	case !*u.Enabled && m.Status != InService:
		return conflict("Model cannot be stopped when it is not in the 'InService' state.")
	case !m.Hosted():
		return conflict("Cannot start or stop a model that is not hosted in LISA infrastructure.")
	}
	m.Enabled = *u.Enabled
	m.Reason, m.ScheduleState.LastAction, m.ScheduleState.Held = "", "", m.Updated
	if m.Enabled {
		a := m.AutoScaling
		m.Desired = a.MinCapacity
		if a.DesiredCapacity != nil {
			m.Desired = min(max(*a.DesiredCapacity, a.MinCapacity), a.MaxCapacity)
		}
		m.Status = Starting
		return nil
	}
	m.Status = Stopping
	return nil
}

// apply changes the limits of a model's servers: now, if it runs, else at its next start. What is not in the request counts as it is stored.
func (s *ScalingUpdate) apply(m *Model) error {
	a := *m.AutoScaling
	least, most := a.MinCapacity, a.MaxCapacity
	if s.Min != nil {
		least = *s.Min
	}
	if s.Max != nil {
		most = *s.Max
	}
	if least > most {
		switch {
		case s.Min != nil && s.Max != nil:
			return invalid("autoScalingInstanceConfig.minCapacity", "minCapacity must be less than or equal to the maxCapacity.")
		case s.Min != nil:
			return conflict("Min capacity cannot exceed ASG max of %d.", most)
		}
		return conflict("Max capacity cannot be less than ASG min of %d.", least)
	}
	if s.Desired != nil {
		switch {
		case *s.Desired > most && s.Max == nil:
			return conflict("Desired capacity cannot exceed ASG max of %d.", most)
		case *s.Desired > most:
			return invalid("autoScalingInstanceConfig.desiredCapacity", "Desired capacity must be less than or equal to max capacity.")
		case *s.Desired < least && s.Min == nil:
			return conflict("Desired capacity cannot be less than ASG min of %d.", least)
		case *s.Desired < least:
			return invalid("autoScalingInstanceConfig.desiredCapacity", "Desired capacity must be greater than or equal to minimum capacity.")
		}
	}
	a.MinCapacity, a.MaxCapacity = least, most
	if s.Cooldown != nil {
		a.Cooldown = *s.Cooldown
	}
	if s.Warmup != nil {
		a.DefaultInstanceWarmup = *s.Warmup
	}
	running := m.Status == InService
	if s.Desired != nil {
		a.DesiredCapacity = s.Desired
	} else if d := a.DesiredCapacity; d != nil {
		n := min(max(*d, least), most)
		a.DesiredCapacity = &n
	}
	m.AutoScaling = &a
	if running {
		if s.Desired != nil {
			m.Desired = *s.Desired
		}
		m.Desired = min(max(m.Desired, least), most)
		m.Status = Updating
	}
	return nil
}

func (c *ContainerUpdate) apply(m *Model) {
	n := *m.ContainerConfig
	n.Environment = maps.Clone(n.Environment)
	if n.Environment == nil {
		n.Environment = map[string]string{}
	}
	for name, value := range c.Environment {
		if value == markedForDeletion {
			delete(n.Environment, name)
		} else {
			n.Environment[name] = value
		}
	}
	if c.SharedMemorySize != nil {
		n.SharedMemorySize = *c.SharedMemorySize
	}
	if c.HealthCommand != nil {
		n.HealthCheck.Command = c.HealthCommand
	}
	for _, one := range []struct{ to, from *int64 }{{&n.HealthCheck.Interval, c.HealthInterval}, {&n.HealthCheck.Timeout, c.HealthTimeout},
		{&n.HealthCheck.StartPeriod, c.HealthStartPeriod}, {&n.HealthCheck.Retries, c.HealthRetries}} {
		if one.from != nil {
			*one.to = *one.from
		}
	}
	m.ContainerConfig = &n
}

// describe changes what is said of a model. That an embedding model does not stream is asked of the model as it will be: whoever makes one
// of a streaming model without a word about streaming gets it switched off.
func (u *Update) describe(m *Model) error {
	if u.Type != nil {
		m.Type = *u.Type
		if m.Type == "embedding" && u.Streaming == nil {
			m.Streaming = false
		}
	}
	if u.Streaming != nil {
		m.Streaming = *u.Streaming
	}
	if m.Type == "embedding" && m.Streaming {
		return invalid("streaming", embeddingStreams)
	}
	if u.Description != nil {
		m.Description = u.Description
	}
	if u.Groups != nil {
		m.Groups = *u.Groups
	}
	if u.Features != nil {
		m.Features = *u.Features
	}
	if u.Guardrails != nil {
		m.Guardrails = u.Guardrails
	}
	if u.WakeOnRequest != nil {
		m.WakeOnRequest = *u.WakeOnRequest
	}
	return u.reschedule(m)
}

func (u *Update) reschedule(m *Model) error {
	if u.Schedule == nil && !u.NoSchedule {
		return nil
	}
	if m.AutoScaling == nil {
		return conflict("Cannot set a schedule for a model that is not hosted in LISA infrastructure.")
	}
	a := *m.AutoScaling
	a.Scheduling = u.Schedule
	m.AutoScaling = &a
	m.ScheduleState = ScheduleState{Updated: m.Updated}
	return nil
}

// Wake starts a stopped model that is marked for it, for a call that wants it. It reports whether the model is on its way or there.
func (f *Fleet) Wake(ctx context.Context, id string) (bool, error) {
	m, err := f.o.Store.Model(ctx, id)
	if err != nil {
		return false, err
	}
	if m.Status != Stopped {
		return m.Status == Starting || m.Status == InService || m.Status == Creating || m.Status == Updating || m.Status == Stopping && m.WakeOnRequest, nil
	}
	if !m.WakeOnRequest || !m.Hosted() {
		return false, nil
	}
	yes := true
	if _, err := f.Update(ctx, id, Update{Enabled: &yes}); err != nil {
		var state *State
		if errors.As(err, &state) {
			return true, nil // another call was faster
		}
		return false, err
	}
	return true, nil
}
