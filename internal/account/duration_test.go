package account

import (
	"testing"
	"time"
)

func TestNextReset(t *testing.T) {
	f := func(at, period, want string) {
		t.Helper()
		from, err := time.Parse(time.DateTime, at)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParsePeriod(period)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.NextReset(from).Format(time.DateTime); got != want {
			t.Errorf("%s of %s ends at %s, want %s", period, at, got, want)
		}
	}
	f("2026-11-21 13:14:15", "30s", "2026-11-21 13:14:30")
	f("2026-11-21 13:14:15", "30m", "2026-11-21 13:30:00")
	f("2026-11-21 13:14:15", "24h", "2026-11-22 00:00:00")
	f("2026-11-21 13:14:15", "30h", "2026-11-22 19:14:15")
	f("2026-11-21 13:14:15", "1d", "2026-11-22 00:00:00")
	f("2026-11-21 13:14:15", "7d", "2026-11-23 00:00:00") // a Saturday
	f("2026-11-23 00:00:00", "7d", "2026-11-30 00:00:00") // a Monday
	f("2026-11-22 09:00:00", "1w", "2026-11-23 00:00:00")
	f("2026-11-21 13:14:15", "30d", "2026-12-01 00:00:00")
	f("2026-11-21 13:14:15", "1mo", "2026-12-01 00:00:00")
	f("2026-12-31 23:59:59", "1mo", "2027-01-01 00:00:00")
}

func FuzzParsePeriod(f *testing.F) {
	for _, s := range []string{"30s", "1mo", "", "-1d", "99999999999999999999d", "1y"} {
		f.Add(s)
	}
	now := time.Unix(1763730000, 0)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePeriod(s)
		if err == nil && !p.NextReset(now).After(now) {
			t.Errorf("%q ends before it begins", s)
		}
	})
}
