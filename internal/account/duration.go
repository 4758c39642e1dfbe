package account

import (
	"fmt"
	"strconv"
	"time"
)

// Period is a parsed budget or key duration: 30s, 30m, 30h, 30d, 2w, 1mo.
type Period struct {
	N    int
	Unit string // s, m, h, d, w, mo
}

// ParsePeriod reads a duration as LiteLLM writes it (contract litellm.md 3.8).
func ParsePeriod(s string) (Period, error) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, err := strconv.Atoi(s[:i])
	unit := s[i:]
	switch unit {
	case "s", "m", "h", "d", "w", "mo":
	default:
		err = strconv.ErrSyntax
	}
	if err != nil || n <= 0 || n > 1_000_000 {
		return Period{}, fmt.Errorf("%q is not a duration: write a number and s, m, h, d, w or mo, as in 30s, 30m, 30h, 30d, 1mo", s)
	}
	return Period{n, unit}, nil
}

// After is the moment one period later: how long a key lives.
func (p Period) After(t time.Time) time.Time {
	switch p.Unit {
	case "s":
		return t.Add(time.Duration(p.N) * time.Second)
	case "m":
		return t.Add(time.Duration(p.N) * time.Minute)
	case "h":
		return t.Add(time.Duration(p.N) * time.Hour)
	case "d":
		return t.AddDate(0, 0, p.N)
	case "w":
		return t.AddDate(0, 0, 7*p.N)
	}
	return t.AddDate(0, p.N, 0)
}

// NextReset is when a budget window that runs at t ends. Whole days, weeks and months end on the calendar of t's location: 1d at midnight,
// 7d on Monday, 30d and 1mo on the first of the month; shorter ones are aligned to the clock where they divide it, else counted from t.
func (p Period) NextReset(t time.Time) time.Time {
	y, m, d := t.Date()
	midnight := time.Date(y, m, d, 0, 0, 0, 0, t.Location())
	switch p.Unit {
	case "mo":
		return time.Date(y, m+time.Month(p.N), 1, 0, 0, 0, 0, t.Location())
	case "w":
		return nextMonday(midnight).AddDate(0, 0, 7*(p.N-1))
	case "d":
		switch p.N {
		case 7:
			return nextMonday(midnight)
		case 30:
			return time.Date(y, m+1, 1, 0, 0, 0, 0, t.Location())
		}
		return midnight.AddDate(0, 0, p.N)
	}
	step := p.After(t).Sub(t)
	if 24*time.Hour%step != 0 {
		return t.Add(step)
	}
	if step == 24*time.Hour {
		return midnight.AddDate(0, 0, 1)
	}
	return t.Add(step - t.Sub(midnight)%step)
}

func nextMonday(midnight time.Time) time.Time {
	days := (8 - int(midnight.Weekday())) % 7
	if days == 0 {
		days = 7
	}
	return midnight.AddDate(0, 0, days)
}
