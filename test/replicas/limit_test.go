package replicas

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/test/gwtest"
)

// rates: across replicas, of any number of calls at once exactly as many are served as the limit says, and one more is refused with what
// a client needs.
func rates(t *testing.T, pg *gwtest.Postgres, redis *gwtest.Redis) {
	up := newUpstream(t, 0)
	w := newWorld(t, pg, redis, up.URL, "")
	replicas := []*gwtest.Gateway{w.gateway(t), w.gateway(t), w.gateway(t)}
	for _, limit := range []int64{0, 1, 10, 50} {
		key := newKey(t, replicas[0], `"rpm_limit":`+strconv.FormatInt(limit, 10))
		for _, g := range replicas {
			knows(t, g, key)
		}
		var served, refused atomic.Int64
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				s, h := call(t, replicas[i%3].URL, key, hello)
				switch {
				case s == http.StatusOK:
					served.Add(1)
				case s == http.StatusTooManyRequests:
					refused.Add(1)
					wait, err := strconv.Atoi(h.Get("Retry-After"))
					if err != nil || wait < 0 || wait > 60 || h.Get("Rate_limit_type") != "requests" {
						t.Errorf("headers of a refusal: %v", h)
					}
				default:
					t.Errorf("status %d", s)
				}
			})
		}
		wg.Wait()
		if served.Load() != limit || refused.Load() != 100-limit {
			t.Errorf("%d calls were served of %d allowed, %d refused", served.Load(), limit, refused.Load())
		}
	}
}

// window: the minute of a limit ends, and the next begins with nothing used.
func window(t *testing.T, pg *gwtest.Postgres, _ *gwtest.Redis) {
	up := newUpstream(t, 0)
	w := newWorld(t, pg, nil, up.URL, "")
	g := w.gateway(t)
	key := newKey(t, g, `"rpm_limit":3,"max_budget":0.11,"budget_duration":"1h"`) // the budget pays for two calls an hour
	f := func(after time.Duration, want ...int) {
		t.Helper()
		w.shift.Add(int64(after))
		for i, want := range want {
			if s, _ := call(t, g.URL, key, hello); s != want {
				t.Errorf("after %v, call %d: %d, want %d", after, i+1, s, want)
			}
		}
	}
	now := time.Now()
	f(now.Truncate(time.Hour).Add(time.Hour+time.Second).Sub(now), 200, 200, 422) // windows of hours begin with the hour
	f(58*time.Minute, 422)
	f(2*time.Minute, 200, 200, 422, 422)
	if a := g.Post(t, "/key/update", `{"key":"`+key+`","max_budget":null}`); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	f(2*time.Minute, 200, 200, 200, 429)
	f(50*time.Second, 429)
	f(11*time.Second, 200, 200, 200, 429)
}

// parallel: the provider never sees more calls of a key at once than its limit, over all replicas, and none is refused for good.
func parallel(t *testing.T, pg *gwtest.Postgres, redis *gwtest.Redis) {
	up := newUpstream(t, 30*time.Millisecond)
	w := newWorld(t, pg, redis, up.URL, "")
	replicas := []*gwtest.Gateway{w.gateway(t), w.gateway(t)}
	key := newKey(t, replicas[0], `"max_parallel_requests":5`)
	knows(t, replicas[1], key)
	var served, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for n := 0; n < 5; {
				switch s, h := call(t, replicas[(i+n)%2].URL, key, hello); s {
				case http.StatusOK:
					served.Add(1)
					n++
				case http.StatusTooManyRequests:
					refused.Add(1)
					if !strings.Contains(h.Get("Rate_limit_type"), "parallel") {
						t.Errorf("headers of a refusal: %v", h)
						return
					}
				default:
					t.Errorf("status %d", s)
					return
				}
			}
		})
	}
	wg.Wait()
	up.mu.Lock()
	most := up.most
	up.mu.Unlock()
	if most > 5 || most < 2 || served.Load() != 100 {
		t.Errorf("at most %d calls at once; %d served in the end", most, served.Load())
	}
	t.Logf("at most %d at once; %d served, %d refusals on the way", most, served.Load(), refused.Load())
}
