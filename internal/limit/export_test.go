package limit

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/account"
)

// What tests of several replicas see of one, who can't be in this package: the servers they start know it.

// Gone says that the shared server counts as gone.
func (l *Limiter) Gone() bool { return l.shared.gone.Load() }

// Die ends the replica without a word to the others.
func (l *Limiter) Die() { l.shared.close(false) }

// Name is the replica's.
func (l *Limiter) Name() string { return l.shared.replica }

// SetPatience is how long a call tries to get its share.
func (l *Limiter) SetPatience(d time.Duration) { l.shared.patience = d }

// Pause makes the server answer nobody for a while.
func (l *Limiter) Pause(t *testing.T, d time.Duration) {
	t.Helper()
	c := *l.shared.client.Load()
	if err := c.Do(t.Context(), c.B().Arbitrary("CLIENT", "PAUSE", strconv.FormatInt(d.Milliseconds(), 10), "ALL").Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

// Stall makes questions about a subject's money bring nothing.
func (l *Limiter) Stall(s account.Subject) {
	f := &flight{done: make(chan struct{})}
	close(f.done)
	m := l.find(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[dMoney].lease = &lease{flight: f}
}

// Silent is how long ago the server heard last of what the replica has of a subject's money, as another asks it.
func (l *Limiter) Silent(t *testing.T, by *Limiter, s account.Subject) time.Duration {
	t.Helper()
	c := *by.shared.client.Load()
	text, err := c.Do(t.Context(), c.B().Hget().Key(by.shared.key(s, dMoney)).Field("r:"+l.shared.replica).Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	now, err := c.Do(t.Context(), c.B().Time().Build()).AsIntSlice()
	if err != nil {
		t.Fatal(err)
	}
	var used, held, idle, seen int64
	if _, err := fmt.Sscan(text, &used, &held, &idle, &seen); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now[0]*1000+now[1]/1000-seen) * time.Millisecond
}

// SetReplicas is the number that Options.Shared.Replicas tells from now on.
func (l *Limiter) SetReplicas(n int) { l.shared.Replicas = func() int { return n } }

// SQLTotal is what the server has as SQL's total of a subject.
func (l *Limiter) SQLTotal(t *testing.T, s account.Subject) (string, error) {
	t.Helper()
	c := *l.shared.client.Load()
	return c.Do(t.Context(), c.B().Hget().Key(l.shared.key(s, dMoney)).Field("q").Build()).ToString()
}

// Outstanding is how many replicas the server has down with something of a subject's money.
func (l *Limiter) Outstanding(t *testing.T, s account.Subject) int {
	t.Helper()
	c := *l.shared.client.Load()
	all, err := c.Do(t.Context(), c.B().Hgetall().Key(l.shared.key(s, dMoney)).Build()).AsStrMap()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for field := range all {
		if strings.HasPrefix(field, "r:") {
			n++
		}
	}
	return n
}

// MinutePasses makes the token window of a subject a minute older, on the server and at its replicas; false: not now, ask again.
func MinutePasses(t *testing.T, s account.Subject, replicas ...*Limiter) bool {
	t.Helper()
	for _, l := range replicas {
		m := l.find(s)
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.counts[dTokens].lease.flight != nil {
			return false
		}
	}
	c := *replicas[0].shared.client.Load()
	key := replicas[0].shared.key(s, dTokens)
	if err := c.Do(t.Context(), c.B().Hincrby().Key(key).Field("w").Increment(-minute).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	for _, l := range replicas {
		c := &l.find(s).counts[dTokens]
		c.start -= minute
		c.end -= minute
	}
	return true
}
