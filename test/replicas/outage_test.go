package replicas

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/test/gwtest"
)

// load calls from some clients at once until it is ended, and counts how it went.
type load struct {
	served, refused, other atomic.Int64
	stop                   chan struct{}
	wg                     sync.WaitGroup
}

func startLoad(t *testing.T, key string, clients int, replicas ...*gwtest.Gateway) *load {
	l := &load{stop: make(chan struct{})}
	for i := range clients {
		l.wg.Go(func() {
			pause := time.NewTicker(10 * time.Millisecond)
			defer pause.Stop()
			for n := i; ; n++ {
				select {
				case <-l.stop:
					return
				case <-pause.C:
				}
				switch s, _ := call(t, replicas[n%len(replicas)].URL, key, hello); s {
				case http.StatusOK:
					l.served.Add(1)
				case http.StatusUnprocessableEntity, http.StatusTooManyRequests:
					if l.refused.Add(1) == 1 {
						t.Logf("refused with %d after %d calls", s, l.served.Load())
					}
				default:
					if l.other.Add(1) == 1 {
						t.Logf("status %d", s)
					}
				}
			}
		})
	}
	return l
}

func (l *load) end() {
	close(l.stop)
	l.wg.Wait()
}

// more waits until so many more calls were served.
func (l *load) more(t *testing.T, n int64, what string) {
	t.Helper()
	from := l.served.Load()
	within(t, 20*time.Second, what, func() bool { return l.served.Load() >= from+n })
}

// outagePostgres: with PostgreSQL stopped under load calls are served as before, and when it is back the books have each of them, once.
func outagePostgres(t *testing.T, pg *gwtest.Postgres, redis *gwtest.Redis) {
	up := newUpstream(t, 0)
	w := newWorld(t, pg, redis, up.URL, "")
	one, two := w.gateway(t), w.gateway(t)
	key, poor := newKey(t, one, `"max_budget":1000000`), newKey(t, one, `"max_budget":0.55`) // the poor one has ten calls, the other no end of them
	knows(t, two, key)
	knows(t, two, poor)
	l := startLoad(t, key, 8, one, two)
	l.more(t, 100, "calls before")
	pg.Stop()
	l.more(t, 300, "calls without PostgreSQL")
	served := int64(0)
	for i := range 30 { // budgets hold meanwhile
		if s, _ := call(t, []string{one.URL, two.URL}[i%2], poor, hello); s == http.StatusOK {
			served++
		} else if s != http.StatusUnprocessableEntity {
			t.Errorf("status %d", s)
		}
	}
	if served != 10 {
		t.Errorf("without PostgreSQL %d calls were served on a budget for 10", served)
	}
	pg.Start(t)
	l.more(t, 100, "calls afterwards")
	l.end()
	if l.refused.Load() != 0 || l.other.Load() != 0 {
		t.Errorf("%d refused, %d failed", l.refused.Load(), l.other.Load())
	}
	w.settled(t, key, l.served.Load())
	if spent := w.spent(t, key); spent != l.served.Load()*helloCost || w.spent(t, poor) != 10*helloCost {
		t.Errorf("%d spent by %d calls, %d by the poor", spent, l.served.Load(), w.spent(t, poor))
	}
	w.balanced(t, two, key)
	// And changes are followed again.
	if a := one.Post(t, "/key/block", `{"key":"`+key+`"}`); a.Status != http.StatusOK {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	within(t, time.Second, "the key is blocked on the other", func() bool { s, _ := call(t, two.URL, key, hello); return s == http.StatusUnauthorized })
	t.Logf("%d calls, none refused, each recorded once", l.served.Load())
}

// outageRedis: with Redis gone calls are served by the policy, and when it is back, empty, what was spent meanwhile counts.
func outageRedis(t *testing.T, pg *gwtest.Postgres, redis *gwtest.Redis) {
	up := newUpstream(t, 0)
	for _, policy := range []string{"local", "open", "closed"} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t, pg, redis, up.URL, "weir: {redis_gone: "+policy+"}\n")
			one, two := w.gateway(t), w.gateway(t)
			free, key := newKey(t, one, ``), newKey(t, one, `"max_budget":2.2`) // pays for 40
			knows(t, two, key)
			knows(t, two, free)
			urls := []string{one.URL, two.URL}
			l := startLoad(t, free, 2, one, two)
			try := func(calls int, key string) (served, refused, unavailable int64) {
				for i := range calls {
					switch s, _ := call(t, urls[i%2], key, hello); s {
					case http.StatusOK:
						served++
					case http.StatusUnprocessableEntity:
						refused++
					case http.StatusServiceUnavailable:
						unavailable++
					default:
						t.Errorf("status %d", s)
					}
				}
				return served, refused, unavailable
			}
			before, _, _ := try(10, key)
			redis.Kill()
			var during, refused, unavailable int64
			for range 30 {
				a, b, c := try(2, key)
				during, refused, unavailable = during+a, refused+b, unavailable+c
				<-time.After(50 * time.Millisecond)
			}
			switch policy {
			case "local": // each of two serves its half of what is left by what SQL knows: less than what the other did in the last second
				if unavailable != 0 || during < 28 || before+during > 50 || refused == 0 {
					t.Errorf("%d served, %d refused, %d unavailable", during, refused, unavailable)
				}
			case "open":
				if during != 60 {
					t.Errorf("%d served, %d refused, %d unavailable", during, refused, unavailable)
				}
			case "closed": // but for what was leased before anybody noticed
				if unavailable < 40 || refused != 0 {
					t.Errorf("%d served, %d refused, %d unavailable", during, refused, unavailable)
				}
			}
			l.more(t, 20, "calls without a limit")
			redis.Start(t)
			within(t, 5*time.Second, "limits are shared again", func() bool {
				return strings.Contains(one.Log.String(), "shared through redis again") && strings.Contains(two.Log.String(), "shared through redis again")
			})
			after := int64(0)
			for last := time.Now(); time.Since(last) < 1500*time.Millisecond; {
				if served, _, _ := try(2, key); served > 0 {
					after, last = after+served, time.Now()
				}
			}
			if sum := before + during + after; policy == "open" && after > 1 || policy != "open" && (sum < 40 || sum > 50) || policy == "closed" && sum > 42 {
				t.Errorf("%d before, %d meanwhile, %d afterwards were served on a budget for 40", before, during, after)
			}
			l.end()
			if policy != "closed" && l.refused.Load()+l.other.Load() != 0 {
				t.Errorf("%d refused, %d failed of those without a limit", l.refused.Load(), l.other.Load())
			}
			within(t, 5*time.Second, "all is booked", func() bool {
				return w.spent(t, key) >= (before+during+after)*helloCost && w.spent(t, free) >= l.served.Load()*helloCost
			})
			w.balanced(t, one, key)
			w.balanced(t, two, free)
			t.Logf("%s: %d before, %d meanwhile, %d afterwards, on a budget for 40", policy, before, during, after)
		})
	}
}

// once: what was answered while PostgreSQL was away is recorded once, though the replica is killed, started again, and its disk a second time
// from a copy.
func once(t *testing.T, pg *gwtest.Postgres, _ *gwtest.Redis) {
	up := newUpstream(t, 0)
	w := newWorld(t, pg, nil, up.URL, "")
	dir, copied := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	c := w.child(t, dir)
	key := newKey(t, c.Gateway, `"max_budget":100`)
	ask := func(c *child, n int) {
		t.Helper()
		for range n {
			if s, _ := call(t, c.URL, key, hello); s != http.StatusOK {
				t.Fatalf("status %d\n%s", s, c.log.String())
			}
		}
	}
	ask(c, 10)
	w.settled(t, key, 10)
	pg.Stop()
	ask(c, 20)
	c.kill(t)
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	pg.Start(t)
	for i, d := range []string{dir, copied, dir} {
		c = w.child(t, d)
		ask(c, 1)
		c.stop(t)
		w.settled(t, key, int64(31+i))
	}
	for range 3 { // at any moment between journal and SQL
		c = w.child(t, dir)
		ask(c, 15)
		c.kill(t)
	}
	c = w.child(t, dir)
	w.settled(t, key, 33+45)
	w.balanced(t, c.Gateway, key)
	if spent := w.spent(t, key); spent != 78*helloCost {
		t.Errorf("%d spent", spent)
	}
	if n := w.number(t, `SELECT COUNT(*) FROM records WHERE lost`); n != 0 {
		t.Errorf("%d calls that ended are charged as lost", n)
	}
	c.stop(t)
}
