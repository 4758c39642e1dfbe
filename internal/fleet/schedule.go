package fleet

import (
	"fmt"
	"strings"
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
		return "timezone", fmt.Errorf("Invalid timezone: %s", s.Timezone) //nolint:staticcheck // the contract's sentence
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
			return "dailySchedule", fmt.Errorf("At least one day must have a schedule configured") //nolint:staticcheck // as LISA says it
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

var errWindow = fmt.Errorf("Stop time must be at least 2 hours after start time") //nolint:staticcheck // the contract's sentence

func weekday(name string) int {
	for i, d := range weekdays {
		if d == strings.ToLower(name) {
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

// window is when the window that begins on t's day opens and closes; ok is false if none begins that day.
func (s *Schedule) window(t time.Time) (open, shut time.Time, ok bool) {
	h := s.hours(t.Weekday())
	if h == nil {
		return open, shut, false
	}
	startHour, startMinute, err := clock(h.Start)
	stopHour, stopMinute, err2 := clock(h.Stop)
	if err != nil || err2 != nil {
		return open, shut, false
	}
	y, month, d := t.Date()
	open = time.Date(y, month, d, startHour, startMinute, 0, 0, t.Location())
	shut = time.Date(y, month, d, stopHour, stopMinute, 0, 0, t.Location())
	if !shut.After(open) {
		shut = time.Date(y, month, d+1, stopHour, stopMinute, 0, 0, t.Location())
	}
	return open, shut, true
}

// On reports whether the model should run at a moment. A window may have begun the day before.
func (s *Schedule) On(at time.Time) bool {
	zone, err := time.LoadLocation(s.zoneName())
	if err != nil {
		return true
	}
	t := at.In(zone)
	for _, day := range []time.Time{t, t.AddDate(0, 0, -1)} {
		if open, shut, ok := s.window(day); ok && !t.Before(open) && t.Before(shut) {
			return true
		}
	}
	return false
}

// Next is what the schedule does next and when; ok is false if it never does anything.
func (s *Schedule) Next(at time.Time) (action string, when time.Time, ok bool) {
	zone, err := time.LoadLocation(s.zoneName())
	if err != nil {
		return "", when, false
	}
	t := at.In(zone)
	for i := -1; i <= 8; i++ {
		open, shut, begins := s.window(t.AddDate(0, 0, i))
		if !begins {
			continue
		}
		if open.After(t) && (!ok || open.Before(when)) && !s.On(open.Add(-time.Second)) {
			action, when, ok = "START", open, true
		}
		if shut.After(t) && (!ok || shut.Before(when)) && !s.On(shut) {
			action, when, ok = "STOP", shut, true
		}
	}
	return action, when, ok
}

// scheduled is what a model's schedule says of now.
func (f *Fleet) scheduled(m *Model) int {
	if m.AutoScaling == nil || m.AutoScaling.Scheduling == nil {
		return scheduleNone
	}
	if m.AutoScaling.Scheduling.On(f.o.Now()) {
		return scheduleOn
	}
	return scheduleOff
}
