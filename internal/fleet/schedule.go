package fleet

import (
	"errors"
	"fmt"
	"time"
)

// What a schedule says of a moment.
const (
	scheduleNone = iota // there is none
	scheduleOn
	scheduleOff
)

// weekdays are the keys of a daily schedule, in time.Weekday's order.
var weekdays = [...]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// clock reads H:MM or HH:MM.
func clock(s string) (hour, minute int, err error) {
	if t, err := time.Parse("15:04", s); err == nil {
		return t.Hour(), t.Minute(), nil
	}
	return 0, 0, fmt.Errorf("%q is not a time: write HH:MM, 24 hours", s)
}

// minWindow is how long a window must be at least.
const minWindow = 2 * time.Hour

// Validate says what is wrong with a schedule: the field and the sentence of the contract (lisa.md A.1.5); nil: nothing.
func (s *Schedule) Validate() (field string, err error) {
	if _, err := time.LoadLocation(s.zoneName()); err != nil {
		return "timezone", fmt.Errorf("Invalid timezone: %s", s.Timezone)
	}
	check := func(h *Hours) error {
		startHour, startMinute, err := clock(h.Start)
		if err != nil {
			return err
		}
		stopHour, stopMinute, err := clock(h.Stop)
		if err != nil {
			return err
		}
		length := time.Duration(stopHour-startHour)*time.Hour + time.Duration(stopMinute-startMinute)*time.Minute
		if length <= 0 {
			length += 24 * time.Hour // until the next day
		}
		if length < minWindow {
			return errWindow
		}
		return nil
	}
	switch s.Type {
	case "DAILY":
		days := 0
		for name, h := range s.Daily {
			if weekday(name) < 0 {
				return "dailySchedule", fmt.Errorf("%q is not a day: monday to sunday", name)
			}
			if h == nil {
				continue
			}
			days++
			if err := check(h); err != nil {
				return "dailySchedule." + name, err
			}
		}
		if days == 0 {
			//lint:ignore ST1005 as LISA says it
			return "dailySchedule", fmt.Errorf("At least one day must have a schedule configured")
		}
	case "RECURRING":
		if s.Recurring == nil {
			return "recurringSchedule", fmt.Errorf("recurringSchedule is required for the RECURRING schedule type")
		}
		if err := check(s.Recurring); err != nil {
			return "recurringSchedule", err
		}
	default:
		return "scheduleType", fmt.Errorf("scheduleType must be DAILY or RECURRING")
	}
	return "", nil
}

//lint:ignore ST1005 the contract's sentence
var errWindow = errors.New("Stop time must be at least 2 hours after start time")

func weekday(name string) int {
	for i, d := range weekdays {
		if d == name {
			return i
		}
	}
	return -1
}

func (s *Schedule) zoneName() string {
	if s.Timezone == "" {
		return "UTC"
	}
	return s.Timezone
}

// hours is the window that begins on a day, nil if none does.
func (s *Schedule) hours(day time.Weekday) *Hours {
	if s.Type == "RECURRING" {
		return s.Recurring
	}
	for name, h := range s.Daily {
		if weekday(name) == int(day) {
			return h
		}
	}
	return nil
}

// window is when the window that begins on a day opens and closes; ok is false if none begins that day. day is any time on it.
func (s *Schedule) window(day time.Time) (open, shut time.Time, ok bool) {
	h := s.hours(day.Weekday())
	if h == nil {
		return open, shut, false
	}
	startHour, startMinute, err := clock(h.Start)
	stopHour, stopMinute, err2 := clock(h.Stop)
	if err != nil || err2 != nil {
		return open, shut, false
	}
	y, month, d := day.Date()
	open = time.Date(y, month, d, startHour, startMinute, 0, 0, day.Location())
	if stopHour*60+stopMinute <= startHour*60+startMinute {
		d++ // by the clock on the wall: what the hour that summer time takes away leaves of it does not count
	}
	return open, time.Date(y, month, d, stopHour, stopMinute, 0, 0, day.Location()), true
}

// day is noon of the day that is n days after t's: a time that every day has, whatever the clocks do at midnight.
func day(t time.Time, n int) time.Time {
	y, month, d := t.Date()
	return time.Date(y, month, d+n, 12, 0, 0, 0, t.Location())
}

// On reports whether the model should run at a moment. A window may have begun the day before.
func (s *Schedule) On(at time.Time) bool {
	zone, err := time.LoadLocation(s.zoneName())
	if err != nil {
		return true
	}
	return s.on(at.In(zone))
}

// on is On for a time in the schedule's zone.
func (s *Schedule) on(t time.Time) bool {
	for n := -1; n <= 0; n++ {
		if open, shut, ok := s.window(day(t, n)); ok && !t.Before(open) && t.Before(shut) {
			return true
		}
	}
	return false
}

// edge is a moment at which a schedule starts or stops a model.
type edge struct {
	action string // START or STOP
	at     time.Time
}

// edges are those of the days around a moment, in no order. Where one window goes on in the next there is none.
func (s *Schedule) edges(at time.Time, from, to int) []edge {
	zone, err := time.LoadLocation(s.zoneName())
	if err != nil {
		return nil
	}
	var out []edge
	for n := from; n <= to; n++ {
		open, shut, ok := s.window(day(at.In(zone), n))
		if !ok || !open.Before(shut) {
			continue
		}
		if !s.on(open.Add(-time.Second)) {
			out = append(out, edge{"START", open})
		}
		if !s.on(shut) {
			out = append(out, edge{"STOP", shut})
		}
	}
	return out
}

// Next is what the schedule does next and when; ok is false if it never does anything.
func (s *Schedule) Next(at time.Time) (action string, when time.Time, ok bool) {
	for _, e := range s.edges(at, -1, 8) {
		if e.at.After(at) && (!ok || e.at.Before(when)) {
			action, when, ok = e.action, e.at, true
		}
	}
	return action, when, ok
}

// last is when the schedule last started or stopped anything.
func (s *Schedule) last(at time.Time) (when time.Time, ok bool) {
	for _, e := range s.edges(at, -9, 0) {
		if !e.at.After(at) && (!ok || e.at.After(when)) {
			when, ok = e.at, true
		}
	}
	return when, ok
}

// scheduled is what a model's schedule says of now. Until the schedule next starts or stops something, an administrator's word counts more.
func (f *Fleet) scheduled(m *Model) int {
	if m.AutoScaling == nil || m.AutoScaling.Scheduling == nil {
		return scheduleNone
	}
	s, now := m.AutoScaling.Scheduling, f.o.Now()
	if held := m.ScheduleState.Held; held != 0 {
		if when, ok := s.last(now); !ok || when.UnixMilli() <= held {
			return scheduleNone
		}
	}
	if s.On(now) {
		return scheduleOn
	}
	return scheduleOff
}

// maxTries is how often a start by the schedule is tried before the schedule waits for its next window.
const maxTries = 3

// startFailed notes that a model that its schedule started did not come up.
func (f *Fleet) startFailed(m *Model, why string) {
	if f.scheduled(m) != scheduleOn {
		return
	}
	st := &m.ScheduleState
	st.FailedAt, st.Failure = f.o.Now().UnixMilli(), why
	if st.Tries++; st.Tries >= maxTries {
		st.Held = st.FailedAt
	}
}
