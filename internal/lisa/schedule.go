package lisa

import (
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/fleet"
)

// readSchedule reads a schedule (contract lisa.md A.1.5).
func (o object) readSchedule() *fleet.Schedule {
	had := len(o.missing) + len(o.broken)
	s := &fleet.Schedule{Type: value(o.choice("scheduleType", true, "DAILY", "RECURRING")), Timezone: value(o.text("timezone", false))}
	if s.Timezone == "" {
		s.Timezone = "UTC"
	}
	if h, ok := o.child("recurringSchedule", false); ok && s.Type == "RECURRING" {
		s.Recurring = h.hours()
	}
	if days, ok := o.child("dailySchedule", false); ok && s.Type == "DAILY" {
		s.Daily = map[string]*fleet.Hours{}
		for day := range days.members {
			if h, ok := days.child(day, false); ok {
				s.Daily[day] = h.hours()
			}
		}
	}
	if len(o.missing)+len(o.broken) == had {
		if field, err := s.Validate(); err != nil {
			o.breaks(o.at+field, err.Error())
		}
	}
	return s
}

func (o object) hours() *fleet.Hours {
	return &fleet.Hours{Start: value(o.text("startTime", true)), Stop: value(o.text("stopTime", true))}
}

// action is what a schedule does next.
type action struct {
	Action string `json:"action"`
	At     string `json:"scheduledTime"`
}

// next is what the schedule of a model does next; nil if it has none.
func (a *API) next(m *fleet.Model) *action {
	s := scheduleOf(m)
	if s == nil {
		return nil
	}
	what, when, ok := s.Next(a.Now())
	if !ok {
		return nil
	}
	return &action{what, when.UTC().Format(time.RFC3339)}
}

func scheduleOf(m *fleet.Model) *fleet.Schedule {
	if m.AutoScaling == nil {
		return nil
	}
	return m.AutoScaling.Scheduling
}

// changed is the answer to a change of a schedule.
type changed struct {
	Message string `json:"message"`
	ModelID string `json:"modelId"`
	Enabled bool   `json:"scheduleEnabled"`
}

func (a *API) setSchedule(c *call) (any, error) {
	o, err := readBody(c.r)
	if err != nil {
		return nil, err
	}
	s := o.readSchedule()
	if err := o.err(); err != nil {
		return nil, err
	}
	if _, err := a.Fleet.Update(c.r.Context(), c.id, fleet.Update{Schedule: s}); err != nil {
		return nil, named(err, c.id)
	}
	a.audit(c, "a schedule of a model is set")
	return changed{"Schedule updated successfully", c.id, true}, nil
}

func (a *API) dropSchedule(c *call) (any, error) {
	if _, err := a.Fleet.Update(c.r.Context(), c.id, fleet.Update{NoSchedule: true}); err != nil {
		return nil, named(err, c.id)
	}
	a.audit(c, "a schedule of a model is taken away")
	return changed{"Schedule deleted successfully", c.id, false}, nil
}

func (a *API) schedule(c *call) (any, error) {
	m, err := a.visible(c)
	if err != nil {
		return nil, err
	}
	return struct {
		ModelID    string          `json:"modelId"`
		Scheduling *fleet.Schedule `json:"scheduling"`
		Next       *action         `json:"nextScheduledAction"`
	}{m.ModelID, scheduleOf(m), a.next(m)}, nil
}

// scheduleFailure is the last start or stop of a schedule that came to nothing.
type scheduleFailure struct {
	At    string `json:"timestamp"`
	Error string `json:"error"`
	Tries int64  `json:"retryCount"`
}

// scheduleStatus is the answer about a schedule.
type scheduleStatus struct {
	ModelID     string           `json:"modelId"`
	Enabled     bool             `json:"scheduleEnabled"`
	Configured  bool             `json:"scheduleConfigured"`
	Failed      bool             `json:"lastScheduleFailed"`
	Status      string           `json:"scheduleStatus"` // DISABLED, FAILED, ACTIVE
	Type        *string          `json:"scheduleType"`
	Timezone    string           `json:"timezone"`
	Next        *action          `json:"nextScheduledAction"`
	LastUpdate  *string          `json:"lastScheduleUpdate"`
	LastFailure *scheduleFailure `json:"lastScheduleFailure"`
}

func (a *API) scheduleStatus(c *call) (any, error) {
	m, err := a.visible(c)
	if err != nil {
		return nil, err
	}
	out := scheduleStatus{ModelID: m.ModelID, Status: "DISABLED", Timezone: "UTC", Next: a.next(m), LastUpdate: moment(m.ScheduleState.Updated)}
	if s := scheduleOf(m); s != nil {
		out.Enabled, out.Configured, out.Status, out.Type, out.Timezone = true, true, "ACTIVE", &s.Type, s.Timezone
	}
	if st := m.ScheduleState; st.FailedAt != 0 {
		out.Failed = out.Enabled
		out.LastFailure = &scheduleFailure{*moment(st.FailedAt), st.Failure, st.Tries}
		if out.Enabled {
			out.Status = "FAILED"
		}
	}
	return out, nil
}

// moment writes Unix milliseconds; nil: never.
func moment(ms int64) *string {
	if ms == 0 {
		return nil
	}
	s := time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return &s
}

// sees reports whether a caller may know of a model: everyone if it is for no group in particular.
func (a *API) sees(c *call, m *fleet.Model) bool {
	if c.p.Admin || len(m.Groups) == 0 {
		return true
	}
	mine := a.Groups(c.p)
	return slices.ContainsFunc(m.Groups, func(g string) bool { return slices.Contains(mine, strings.TrimSpace(g)) })
}
