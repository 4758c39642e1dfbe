package replicas

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/test/gwtest"
)

// budgetKilled: a thousand callers at once, on a budget that pays for a hundred calls, over three replicas of which one is killed. The
// budget is overspent by less than a call, what the dead one had in flight is charged and marked, and all the rest can be spent, to the end.
func budgetKilled(t *testing.T, pg *gwtest.Postgres, redis *gwtest.Redis) {
	up := newUpstream(t, 20*time.Millisecond)
	w := newWorld(t, pg, redis, up.URL, "")
	one, two := w.gateway(t), w.gateway(t)
	dir := t.TempDir()
	third := w.child(t, dir)
	key := newKey(t, one, `"max_budget":5.5`)
	const budget = 100 * helloCost

	// Some are under way on the third for long enough to be known of.
	const held = 10
	var wg sync.WaitGroup
	knows(t, two, key)
	knows(t, third.Gateway, key)
	for range held {
		wg.Go(func() { call(t, third.URL, key, strings.Replace(hello, "how", "wait", 1)) })
	}
	within(t, 10*time.Second, "calls in flight are published", func() bool { return w.number(t, `SELECT COUNT(*) FROM open_calls`) >= held })

	var served, refused, unanswered, other atomic.Int64
	half := make(chan struct{})
	urls := []string{one.URL, two.URL, third.URL}
	for i := range 1000 {
		wg.Go(func() {
			switch s, _ := call(t, urls[i%3], key, hello); s {
			case http.StatusOK:
				if served.Add(1) == 40 {
					close(half)
				}
			case http.StatusUnprocessableEntity:
				refused.Add(1)
			case 0:
				unanswered.Add(1)
			default:
				other.Add(1)
				t.Errorf("status %d", s)
			}
		})
	}
	behind := w.watch(t, key)
	<-half
	third.kill(t)
	killed := time.Now()
	wg.Wait()
	t.Logf("%d served, %d refused, %d without an answer; the replica was killed with %d in flight", served.Load(), refused.Load(), unanswered.Load(), held)

	// The others find it dead: their clocks say that it has been silent for long.
	w.shift.Store(int64(time.Minute))
	within(t, 10*time.Second, "the calls of the dead replica are charged", func() bool {
		return w.number(t, `SELECT COUNT(*) FROM records WHERE lost`) >= held && w.number(t, `SELECT COUNT(*) FROM replicas`) == 2
	})
	lost := w.number(t, `SELECT CAST(SUM(cost) AS BIGINT) FROM records WHERE lost`)
	if n := w.number(t, `SELECT COUNT(*) FROM records WHERE lost AND cost <= $1`, helloCost); n != 0 {
		t.Errorf("%d lost calls are charged at less than their estimate", n)
	}

	// All that is left can be spent, one by one, and not more; what the dead one held, when it has been silent for 5 s.
	more, last := int64(0), time.Now()
	for i := 0; time.Since(last) < 10*time.Second; i++ {
		s, _ := call(t, urls[i%2], key, hello)
		if s == http.StatusOK {
			more, last = more+1, time.Now()
		} else if s != http.StatusUnprocessableEntity {
			t.Fatalf("status %d", s)
		}
		if spent := w.spent(t, key); spent >= budget {
			break
		}
	}
	within(t, 5*time.Second, "the last record", func() bool { return w.number(t, `SELECT COUNT(*) FROM open_calls`) == 0 })
	<-time.After(600 * time.Millisecond)
	spent := w.spent(t, key)
	if spent < budget || spent >= budget+helloAtMost {
		t.Errorf("%d spent of %d", spent, budget)
	}
	for _, url := range urls[:2] {
		if s, _ := call(t, url, key, hello); s != http.StatusUnprocessableEntity {
			t.Errorf("with all spent: %d", s)
		}
	}
	w.balanced(t, one, key)
	t.Logf("%d more served; spent %.3f of %.3f, of it %.3f for lost calls", more, float64(spent)/1e9, budget/1e9, float64(lost)/1e9)

	// Should its disk come back after all, what it had not told yet is in, once: it was behind by less than a second, or than replicas that live
	// where the machine gives them no time. What it had told as open was charged, and is now charged at its cost.
	lag := max(time.Second, behind())
	known := w.paid(t, key)
	third = w.child(t, dir)
	third.stop(t)
	w.balanced(t, one, key)
	untold := int64(0)
	for id, ended := range w.paid(t, key) {
		if _, ok := known[id]; ok {
			continue
		}
		untold++
		if age := killed.Sub(ended); age > lag {
			t.Errorf("a record came that nobody knew of %v after it ended; the lag is %v", age, lag)
		}
	}
	if after := w.spent(t, key); after > spent+untold*helloCost {
		t.Errorf("%d spent with what the disk brought, %d without, for %d calls that nobody knew of", after, spent, untold)
	}
	calls := w.number(t, `SELECT COUNT(*) FROM records WHERE status = 200 AND NOT lost`)
	if reached := int64(len(up.Requests())) - held; calls > reached || calls < served.Load()+more {
		t.Errorf("%d records; %d calls reached the provider, %d were answered", calls, reached, served.Load()+more)
	}
	t.Logf("the dead replica's disk brought %d records of which nobody knew; the lag was %v", untold, lag)
}
