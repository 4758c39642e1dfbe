package fleet

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func at(t *testing.T, zone, text string) time.Time {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	out, err := time.ParseInLocation("2006-01-02 15:04", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func every(zone, start, stop string) *Schedule {
	return &Schedule{Type: "RECURRING", Timezone: zone, Recurring: &Hours{start, stop}}
}

func TestSchedule_on(t *testing.T) {
	f := func(s *Schedule, zone, moment string, want bool) {
		t.Helper()
		if got := s.On(at(t, zone, moment)); got != want {
			t.Errorf("on at %s %s: %v, want %v", moment, zone, got, want)
		}
	}
	day := every("UTC", "8:00", "18:00")
	f(day, "UTC", "2026-03-02 07:59", false)
	f(day, "UTC", "2026-03-02 08:00", true)
	f(day, "UTC", "2026-03-02 17:59", true)
	f(day, "UTC", "2026-03-02 18:00", false)
	f(every("America/New_York", "8:00", "18:00"), "UTC", "2026-03-02 13:30", true)
	f(every("America/New_York", "8:00", "18:00"), "UTC", "2026-03-02 12:30", false)
	// W: windows over midnight.
	night := every("UTC", "22:00", "06:00")
	f(night, "UTC", "2026-03-02 21:59", false)
	f(night, "UTC", "2026-03-02 23:00", true)
	f(night, "UTC", "2026-03-03 05:59", true)
	f(night, "UTC", "2026-03-03 06:00", false)
	friday := &Schedule{Type: "DAILY", Timezone: "UTC", Daily: map[string]*Hours{"friday": {"22:00", "06:00"}, "monday": nil}}
	f(friday, "UTC", "2026-03-06 23:00", true)  // Friday
	f(friday, "UTC", "2026-03-07 05:00", true)  // Saturday morning belongs to Friday's window
	f(friday, "UTC", "2026-03-06 05:00", false) // Friday morning does not
	f(friday, "UTC", "2026-03-02 23:00", false)
	// Summer time: on 2026-03-29 in Berlin 02:00 is 03:00, on 2026-10-25 03:00 is 02:00.
	f(every("Europe/Berlin", "01:00", "05:00"), "UTC", "2026-03-29 02:59", true)
	f(every("Europe/Berlin", "01:00", "05:00"), "UTC", "2026-03-29 03:00", false)
	f(every("Europe/Berlin", "22:00", "02:30"), "UTC", "2026-10-25 00:00", true)
	f(every("Europe/Berlin", "22:00", "04:00"), "UTC", "2026-10-25 02:59", true)
	f(every("Europe/Berlin", "22:00", "04:00"), "UTC", "2026-10-25 03:00", false)
	// Beirut has no midnight on 2026-03-29.
	f(every("Asia/Beirut", "00:00", "03:00"), "UTC", "2026-03-28 22:30", true)
	f(every("Asia/Beirut", "23:00", "02:00"), "UTC", "2026-03-28 21:30", true)
	f(every("Asia/Beirut", "23:00", "02:00"), "UTC", "2026-03-28 23:30", false)
	always := every("UTC", "08:00", "08:00")
	f(always, "UTC", "2026-03-02 07:59", true)
	f(always, "UTC", "2026-03-02 08:00", true)
}

func TestSchedule_next(t *testing.T) {
	f := func(s *Schedule, moment, action, when string) {
		t.Helper()
		got, next, ok := s.Next(at(t, "UTC", moment))
		if action == "" {
			if ok {
				t.Errorf("after %s: %s %s, want nothing", moment, got, next)
			}
			return
		}
		if !ok || got != action || !next.Equal(at(t, "UTC", when)) {
			t.Errorf("after %s: %s %s, want %s %s", moment, got, next.UTC(), action, when)
		}
	}
	f(every("UTC", "8:00", "18:00"), "2026-03-02 07:00", "START", "2026-03-02 08:00")
	f(every("UTC", "8:00", "18:00"), "2026-03-02 08:00", "STOP", "2026-03-02 18:00")
	f(every("UTC", "8:00", "18:00"), "2026-03-02 18:00", "START", "2026-03-03 08:00")
	f(every("UTC", "22:00", "06:00"), "2026-03-02 23:00", "STOP", "2026-03-03 06:00")
	f(every("UTC", "22:00", "06:00"), "2026-03-03 05:00", "STOP", "2026-03-03 06:00")
	f(every("Europe/Berlin", "8:00", "18:00"), "2026-03-28 20:00", "START", "2026-03-29 06:00")
	f(every("UTC", "8:00", "8:00"), "2026-03-02 07:00", "", "")
	week := &Schedule{Type: "DAILY", Timezone: "UTC", Daily: map[string]*Hours{"monday": {"08:00", "18:00"}}}
	f(week, "2026-03-02 18:00", "START", "2026-03-09 08:00")
	// A window that goes on in the next: nothing happens between them.
	joined := &Schedule{Type: "DAILY", Timezone: "UTC", Daily: map[string]*Hours{"monday": {"08:00", "08:00"}, "tuesday": {"08:00", "18:00"}}}
	f(joined, "2026-03-02 09:00", "STOP", "2026-03-03 18:00")
}

func TestSchedule_validate(t *testing.T) {
	f := func(s *Schedule, field string) {
		t.Helper()
		if got, err := s.Validate(); got != field || (err == nil) != (field == "") {
			t.Errorf("%+v: %q %v, want %q", s, got, err, field)
		}
	}
	f(every("", "8:00", "18:00"), "")
	f(every("UTC", "22:00", "00:00"), "")
	f(every("UTC", "23:00", "00:59"), "recurringSchedule")
	f(every("UTC", "8", "18:00"), "recurringSchedule")
	f(every("UTC", "8:00", "25:00"), "recurringSchedule")
	f(every("Nowhere/At_all", "8:00", "18:00"), "timezone")
	f(&Schedule{Type: "RECURRING"}, "recurringSchedule")
	f(&Schedule{Type: "WEEKLY"}, "scheduleType")
	f(&Schedule{Type: "DAILY"}, "dailySchedule")
	f(&Schedule{Type: "DAILY", Daily: map[string]*Hours{"Monday": {"8:00", "18:00"}}}, "dailySchedule")
	f(&Schedule{Type: "DAILY", Daily: map[string]*Hours{"monday": {"8:00", "9:00"}}}, "dailySchedule.monday")
}

// TestSchedule_model lets days go by over a model with a schedule.
func TestSchedule_model(t *testing.T) {
	w := newWorld(t) // Monday, noon
	d := hostedModel("m", 1, 2)
	d.AutoScaling.Scheduling = every("UTC", "14:00", "18:00")
	w.create(d)
	w.run(time.Minute)
	w.is("m", Stopped)
	if len(w.farm.ready("m")) != 0 {
		t.Error("servers run before the window")
	}
	w.now = at(t, "UTC", "2026-03-02 14:00")
	w.run(time.Minute)
	w.is("m", InService)
	w.now = at(t, "UTC", "2026-03-02 18:00")
	w.run(time.Minute)
	if m := w.is("m", Stopped); m.Reason != "stopped by its schedule" || len(m.Replicas) != 0 {
		t.Errorf("%s %v", m.Reason, m.Replicas)
	}
	// An administrator starts it outside the window: it stays until the schedule next stops it.
	yes, no := true, false
	w.update("m", Update{Enabled: &yes})
	w.run(time.Minute)
	w.is("m", InService)
	w.now = at(t, "UTC", "2026-03-03 17:59")
	w.run(20 * time.Second)
	w.is("m", InService)
	w.now = at(t, "UTC", "2026-03-03 18:00")
	w.run(time.Minute)
	w.is("m", Stopped)
	// And one who stops it within the window has his way until the next one.
	w.now = at(t, "UTC", "2026-03-04 14:00")
	w.run(time.Minute)
	w.is("m", InService)
	w.update("m", Update{Enabled: &no})
	w.run(time.Minute)
	w.is("m", Stopped)
	w.now = at(t, "UTC", "2026-03-05 13:59")
	w.run(time.Minute)
	w.is("m", Stopped)
	w.now = at(t, "UTC", "2026-03-05 14:00")
	w.run(time.Minute)
	w.is("m", InService)
	// A schedule that is set counts at once; without one, nothing happens any more.
	w.update("m", Update{Schedule: every("UTC", "20:00", "22:00")})
	w.run(time.Minute)
	w.is("m", Stopped)
	w.update("m", Update{NoSchedule: true})
	w.now = at(t, "UTC", "2026-03-05 21:00")
	w.run(time.Minute)
	w.is("m", Stopped)
}

// TestSchedule_fails: a start that comes to nothing is tried again, then waits for the next window, and is to be seen.
func TestSchedule_fails(t *testing.T) {
	w := newWorld(t)
	d := hostedModel("m", 1, 2)
	d.AutoScaling.Scheduling = every("UTC", "14:00", "18:00")
	w.create(d)
	w.farm.broken["m"] = "no GPU"
	w.now = at(t, "UTC", "2026-03-02 14:00")
	w.run(5 * time.Minute)
	if m := w.is("m", Stopped); m.ScheduleState.Tries != maxTries || m.ScheduleState.Failure != "no GPU" || m.Reason != "no GPU" {
		t.Errorf("%q %+v", m.Reason, m.ScheduleState)
	}
	clear(w.farm.broken)
	w.run(5 * time.Minute)
	w.is("m", Stopped)
	w.now = at(t, "UTC", "2026-03-03 14:00")
	w.run(time.Minute)
	if m := w.is("m", InService); m.ScheduleState.FailedAt != 0 || m.ScheduleState.Tries != 0 {
		t.Errorf("%+v", m.ScheduleState)
	}
}

// TestSchedule_property holds that what comes next is when the state next changes, across changes of the clocks too.
func TestSchedule_property(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	hours := func() *Hours {
		start, stop := r.IntN(24*60), r.IntN(24*60)
		return &Hours{fmt.Sprintf("%d:%02d", start/60, start%60), fmt.Sprintf("%02d:%02d", stop/60, stop%60)}
	}
	for n := range 1000 {
		s := &Schedule{Type: "RECURRING", Timezone: []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Beirut", "Australia/Lord_Howe", "Asia/Kathmandu"}[r.IntN(6)], Recurring: hours()}
		if r.IntN(2) == 0 {
			s.Type, s.Recurring, s.Daily = "DAILY", nil, map[string]*Hours{}
			for _, day := range weekdays {
				if r.IntN(2) == 0 {
					s.Daily[day] = hours()
				}
			}
		}
		if _, err := s.Validate(); err != nil {
			continue
		}
		// Half of them about when the clocks change.
		from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.IntN(365*24*60)) * time.Minute)
		if r.IntN(2) == 0 {
			from = at(t, "UTC", []string{"2026-03-28 12:00", "2026-10-24 12:00", "2026-03-07 20:00", "2026-10-31 20:00", "2026-04-04 05:00", "2026-10-03 05:00"}[r.IntN(6)]).
				Add(time.Duration(r.IntN(24*60)) * time.Minute)
		}
		action, when, ok := s.Next(from)
		if !ok {
			continue // it runs always
		}
		if s.On(when) != (action == "START") || s.On(when.Add(-time.Minute)) == s.On(when) {
			t.Fatalf("%d: %+v %v %v at %s: %s %s, but on is %v before and %v then", n, s, s.Recurring, s.Daily, from, action, when, s.On(when.Add(-time.Minute)), s.On(when))
		}
		for at := from; at.Before(when); at = at.Add(29 * time.Minute) {
			if s.On(at) != s.On(from) {
				t.Fatalf("%d: %+v %v from %s: next is %s %s, but it changed before %s", n, s, s.Recurring, from, action, when, at)
			}
		}
		if last, ok := s.last(when); !ok || !last.Equal(when) {
			t.Fatalf("%d: %+v: the last change at %s is %s", n, s, when, last)
		}
	}
}
