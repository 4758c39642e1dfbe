package limit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	. "github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/test/gwtest"
)

// books stand for SQL: what was ever spent, and which records are on their way there.
type books struct {
	mu    sync.Mutex
	total map[account.Subject]llm.Nanos
	base  llm.Nanos

	away   bool // it can't be read
	failed int  // how often somebody tried
}

func (b *books) seed(_ context.Context, subjects []account.Subject) ([]account.Spend, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		b.failed++
		return nil, errors.New("the database is away")
	}
	var rows []account.Spend
	for _, s := range subjects {
		rows = append(rows, account.Spend{Subject: s, Total: b.total[s], Base: b.base})
	}
	return rows, nil
}

// save books costs and tells a limiter.
func (b *books) save(l *Limiter, charges ...Charge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var rows []account.Spend
	for _, c := range charges {
		b.total[c.Subject] += c.Cost
		rows = append(rows, account.Spend{Subject: c.Subject, Total: b.total[c.Subject], Base: b.base})
	}
	l.Drained(rows, charges)
}

var replicaID atomic.Int64

// replica makes a limiter that shares its limits.
func replica(t testing.TB, server *gwtest.Redis, b *books, gone Policy) *Limiter {
	t.Helper()
	dial, err := Dial(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	o := &Shared{Dial: dial, Replica: fmt.Sprintf("r%d", replicaID.Add(1)), Gone: gone, Timeout: 10 * time.Second, Dead: 2 * time.Second,
		Limbo: time.Second}
	all := Options{Shared: o}
	if b != nil {
		all.Seed = b.seed
	}
	l := New(all)
	t.Cleanup(l.Close)
	return l
}

// eventually waits for what a goroutine elsewhere brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	every := time.NewTicker(5 * time.Millisecond)
	defer every.Stop()
	for !ok() {
		select {
		case <-every.C:
		case <-limit.C:
			t.Fatalf("never: %s", what)
		}
	}
}

// each gives every replica a Bound of one rule.
func each(replicas []*Limiter, r Rule) []*Bound {
	var out []*Bound
	for _, l := range replicas {
		out = append(out, l.Bind([]Rule{r}))
	}
	return out
}

func key(id string) account.Subject { return account.Subject{Kind: account.OfKey, ID: id} }
func dollars(n float64) *llm.Nanos  { v := llm.Nanos(n * 1e9); return &v }

func three(t testing.TB, server *gwtest.Redis, b *books, gone Policy) []*Limiter {
	return []*Limiter{replica(t, server, b, gone), replica(t, server, b, gone), replica(t, server, b, gone)}
}

func TestShared_requests(t *testing.T) {
	server := gwtest.StartRedis(t)
	replicas := three(t, server, nil, Local)
	for _, n := range []int64{0, 1, 5, 100, 1000} {
		r := Unlimited(key(fmt.Sprint("k", n)))
		r.RPM = n
		bounds := each(replicas, r)
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for i, l := range replicas {
			for range 20 {
				wg.Go(func() {
					var res Reservation
					for range max(3, n/20) {
						if f := l.Reserve(t.Context(), &res, Need{}, bounds[i]); f == nil {
							admitted.Add(1)
							res.Settle(0, 0)
						} else if f.Remaining() != 0 || f.What != Requests {
							t.Errorf("refused by %+v", f)
						}
					}
				})
			}
		}
		wg.Wait()
		if admitted.Load() != n {
			t.Errorf("%d of %d requests admitted", admitted.Load(), n)
		}
	}
}

// TestShared_idle: what lies idle in one replica's share is no reason to refuse at another.
func TestShared_idle(t *testing.T) {
	server := gwtest.StartRedis(t)
	replicas := three(t, server, nil, Local)
	r := Unlimited(key("k"))
	r.RPM = 100
	bounds := each(replicas, r)
	var res Reservation
	for i, calls := range []int{1, 1, 98} {
		for n := range calls {
			if f := replicas[i].Reserve(t.Context(), &res, Need{}, bounds[i]); f != nil {
				t.Fatalf("call %d at replica %d: %+v", n, i, f)
			}
			if n == 0 && i == 0 {
				res.Quotas(func(q *Quota) {
					if q.Remaining != 99 || q.RemainingHeader != "X-Ratelimit-Api_key-Remaining-Requests" {
						t.Errorf("told %+v", q)
					}
				})
			}
			res.Settle(0, 0)
		}
	}
	for i, l := range replicas {
		if l.Reserve(t.Context(), &res, Need{}, bounds[i]) == nil {
			t.Errorf("replica %d admitted one too many", i)
		}
	}
}

func TestShared_window(t *testing.T) {
	server := gwtest.StartRedis(t)
	a, b := replica(t, server, nil, Local), replica(t, server, nil, Local)
	r := Unlimited(key("k"))
	r.TPM = 100
	bounds := each([]*Limiter{a, b}, r)
	var first, res Reservation
	if f := a.Reserve(t.Context(), &first, Need{Tokens: 60}, bounds[0]); f != nil {
		t.Fatal(f)
	}
	if f := b.Reserve(t.Context(), &res, Need{Tokens: 90}, bounds[1]); f != nil {
		t.Fatal(f)
	}
	res.Settle(100, 0)
	if f := b.Reserve(t.Context(), &res, Need{Tokens: 1}, bounds[1]); f == nil || f.RetryAfter > time.Minute || f.RetryAfter < 50*time.Second {
		t.Fatalf("refused by %+v", f)
	}
	// A minute passes for the server, and for the replicas.
	eventually(t, "quiet", func() bool { return MinutePasses(t, key("k"), a, b) })
	for range 100 {
		if f := b.Reserve(t.Context(), &res, Need{Tokens: 1}, bounds[1]); f != nil {
			t.Fatalf("a new window refused: %+v", f)
		}
		res.Settle(1, 0)
	}
	first.Settle(1000, 0) // reserved in the old one
	if a.Reserve(t.Context(), &res, Need{Tokens: 1}, bounds[0]) == nil || b.Reserve(t.Context(), &res, Need{Tokens: 1}, bounds[1]) == nil {
		t.Error("admitted beyond the limit")
	}
}

func TestShared_parallel(t *testing.T) {
	server := gwtest.StartRedis(t)
	replicas := three(t, server, nil, Local)
	r := Unlimited(key("k"))
	r.Parallel = 7
	bounds := each(replicas, r)
	var now, most, admitted atomic.Int64
	var wg sync.WaitGroup
	for i, l := range replicas {
		for range 10 {
			wg.Go(func() {
				var res Reservation
				for range 10 {
					if l.Reserve(t.Context(), &res, Need{}, bounds[i]) != nil {
						continue
					}
					admitted.Add(1)
					n := now.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					now.Add(-1)
					res.Settle(0, 0)
				}
			})
		}
	}
	wg.Wait()
	if most.Load() > 7 || admitted.Load() < 10 {
		t.Errorf("%d at once, %d admitted", most.Load(), admitted.Load())
	}
	for i, l := range replicas {
		var held [7]Reservation
		for n := range held {
			// What the replica before has just given up is here a moment later.
			eventually(t, "a parallel call", func() bool { return l.Reserve(t.Context(), &held[n], Need{}, bounds[i]) == nil })
		}
		var res Reservation
		for j := range replicas {
			if replicas[j].Reserve(t.Context(), &res, Need{}, bounds[j]) == nil {
				t.Error("an eighth at once")
			}
		}
		for n := range held {
			held[n].Settle(0, 0)
		}
	}
}

// TestShared_budget: three replicas on one budget that pays for a hundred calls; one of them dies half-way.
func TestShared_budget(t *testing.T) {
	server := gwtest.StartRedis(t)
	k := key("k")
	b := &books{total: map[account.Subject]llm.Nanos{k: 50e9}, base: 50e9} // spent before, in another window
	replicas := three(t, server, b, Closed)                                // so that the dead one admits nobody
	r := Unlimited(k)
	r.Budget = dollars(100)
	for _, l := range replicas {
		l.Load([]account.Spend{{Subject: k, Total: 50e9, Base: 50e9}})
	}
	bounds := each(replicas, r)
	const estimate, truth = 3e9, 1e9
	var admitted atomic.Int64
	var wg sync.WaitGroup
	half := make(chan struct{})
	var once sync.Once
	for i, l := range replicas {
		for n := range 333 {
			wg.Go(func() {
				if i == 0 && n > 100 {
					<-half // these find their replica dead: cut off from the others
					return
				}
				var res Reservation
				start := time.Now().UnixMilli()
				if l.Reserve(t.Context(), &res, Need{Cost: estimate, Start: start}, bounds[i]) != nil {
					return
				}
				if admitted.Add(1) == 50 {
					once.Do(func() { close(half) })
				}
				res.Settle(0, truth)
				if rand.IntN(2) == 0 {
					b.save(l, Charge{Subject: k, Cost: truth, Start: start})
				} else {
					wg.Go(func() { b.save(l, Charge{Subject: k, Cost: truth, Start: start}) })
				}
			})
		}
	}
	wg.Go(func() { <-half; replicas[0].Die() })
	for i := range replicas { // should fewer than 50 have been admitted at once
		eventually(t, "calls of the replica", func() bool { return admitted.Load() >= 20 || i > 0 })
	}
	once.Do(func() { close(half) })
	wg.Wait()
	spent := func() llm.Nanos {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.total[k] - 50e9
	}
	if got := spent(); got != llm.Nanos(admitted.Load())*truth || got > 100e9-1+estimate {
		t.Errorf("%d admitted, %d spent", admitted.Load(), got)
	}
	// What the dead one held comes back, and then the rest can be spent to the last.
	live := replicas[1:]
	for i := 0; spent() < 100e9; i++ {
		l := live[i%2]
		var res Reservation
		start := time.Now().UnixMilli()
		eventually(t, "the rest of the budget", func() bool {
			return l.Reserve(t.Context(), &res, Need{Cost: estimate, Start: start}, bounds[1+i%2]) == nil
		})
		res.Settle(0, truth)
		b.save(l, Charge{Subject: k, Cost: truth, Start: start})
	}
	var res Reservation
	for i, l := range live {
		if f := l.Reserve(t.Context(), &res, Need{Cost: estimate}, bounds[1+i]); f == nil || f.What != Budget || f.Limit != 100e9 {
			t.Errorf("replica %d after the end: %+v", 1+i, f)
		}
	}
	if got := spent(); got > 100e9-1+estimate {
		t.Errorf("%d spent at last", got)
	}
}

// TestShared_gone: the server is killed, calls are served by policy, it comes back empty, and what was used meanwhile counts.
func TestShared_gone(t *testing.T) {
	server := gwtest.StartRedis(t)
	k := key("k")
	b := &books{total: map[account.Subject]llm.Nanos{k: 10e9}}
	replicas := three(t, server, b, Local)
	open, closed := replica(t, server, b, Open), replica(t, server, b, Closed)
	all := append([]*Limiter{open, closed}, replicas...)
	r := Unlimited(k)
	r.RPM, r.Budget = 60, dollars(100)
	for _, l := range all {
		l.Load([]account.Spend{{Subject: k, Total: 10e9}})
		l.SetReplicas(3)
	}
	bounds := each(all, r)
	var res Reservation
	call := func(i int) *Refusal {
		start := time.Now().UnixMilli()
		f := all[i].Reserve(t.Context(), &res, Need{Cost: 1e9, Start: start}, bounds[i])
		res.Settle(0, 1e9)
		return f
	}
	for i := range all {
		if f := call(i); f != nil {
			t.Fatalf("replica %d: %+v", i, f)
		}
	}
	server.Kill()
	for i := range all {
		eventually(t, "the loss noticed", func() bool { return all[i].Gone() })
	}
	if f := call(1); f == nil || f.Err().HTTPStatus() != 503 {
		t.Errorf("closed: %+v", f)
	}
	for range 80 {
		if f := call(0); f != nil {
			t.Errorf("open: %+v", f)
		}
	}
	for i := range replicas {
		n := 1
		for call(2+i) == nil {
			n++
		}
		if n != 20 {
			t.Errorf("replica %d used %d of its 20", i, n)
		}
	}
	server.Start(t)
	for i := range all {
		eventually(t, "the server noticed", func() bool { return !all[i].Gone() })
	}
	// 81 + 1 + 60 requests were made in this window; nobody may make another.
	for i := range all {
		if f := call(i); f == nil || f.What != Budget && f.What != Requests {
			t.Errorf("replica %d after the return: %+v", i, f)
		}
	}
	text, err := open.SQLTotal(t, k)
	if err != nil || text != "10000000000" {
		t.Errorf("seeded with %q, %v", text, err)
	}
}

// TestShared_books: the server is killed and started empty while three replicas spend; in the end they all agree with the books.
func TestShared_books(t *testing.T) {
	server := gwtest.StartRedis(t)
	k := key("k")
	b := &books{total: map[account.Subject]llm.Nanos{}}
	replicas := three(t, server, b, Local)
	r := Unlimited(k)
	r.Budget, r.Parallel = dollars(1000), 1000
	for _, l := range replicas {
		l.SetReplicas(3)
	}
	bounds := each(replicas, r)
	var wg sync.WaitGroup
	var admitted atomic.Int64
	stop := make(chan struct{})
	for i, l := range replicas {
		for range 4 {
			wg.Go(func() {
				var res Reservation
				for {
					select {
					case <-stop:
						return
					default:
					}
					start := time.Now().UnixMilli()
					if l.Reserve(t.Context(), &res, Need{Cost: 3e6, Start: start}, bounds[i]) != nil {
						continue
					}
					admitted.Add(1)
					res.Settle(0, 1e6)
					b.save(l, Charge{Subject: k, Cost: 1e6, Start: start})
				}
			})
		}
	}
	more := func(n int64) {
		t.Helper()
		from := admitted.Load()
		eventually(t, "more calls", func() bool { return admitted.Load() >= from+n })
	}
	more(200)
	for range 2 {
		server.Kill()
		more(200)
		server.Start(t)
		for _, l := range replicas {
			eventually(t, "the server noticed", func() bool { return !l.Gone() })
		}
		more(200)
	}
	close(stop)
	wg.Wait()
	want := llm.Nanos(admitted.Load()) * 1e6
	if b.total[k] != want {
		t.Errorf("%d booked, %d spent", b.total[k], want)
	}
	text := fmt.Sprint(int64(want))
	eventually(t, "the server agrees with the books", func() bool {
		got, err := replicas[0].SQLTotal(t, k)
		return err == nil && got == text && replicas[0].Outstanding(t, k) == 0
	})
	for i, l := range replicas {
		s, _ := l.State(k)
		if s.Local != 0 || s.Reserved != 0 || s.Parallel != 0 {
			t.Errorf("replica %d is left with %+v", i, s)
		}
	}
}

func TestShared_seed(t *testing.T) {
	server := gwtest.StartRedis(t)
	k := key("k")
	b := &books{total: map[account.Subject]llm.Nanos{k: 99e9}}
	l := replica(t, server, b, Local) // knows nothing of it yet
	r := Unlimited(k)
	r.Budget = dollars(100)
	bound := l.Bind([]Rule{r})
	var res Reservation
	need := Need{Cost: 1e9, Start: time.Now().UnixMilli()}
	if f := l.Reserve(t.Context(), &res, need, bound); f != nil {
		t.Fatal(f)
	}
	res.Settle(0, 1e9)
	if f := l.Reserve(t.Context(), &res, need, bound); f == nil || f.Used != 100e9 {
		t.Errorf("beyond the budget: %+v", f)
	}
}

// TestShared_lowered: a limit that is lowered holds at once, shares of the old one notwithstanding.
func TestShared_lowered(t *testing.T) {
	server := gwtest.StartRedis(t)
	l := replica(t, server, nil, Local)
	r := Unlimited(key("k"))
	r.RPM = 1000
	bound := l.Bind([]Rule{r})
	var res Reservation
	for range 5 {
		if f := l.Reserve(t.Context(), &res, Need{}, bound); f != nil {
			t.Fatal(f)
		}
		res.Settle(0, 0)
	}
	r.RPM = 6
	bound = l.Bind([]Rule{r})
	n := 0
	for l.Reserve(t.Context(), &res, Need{}, bound) == nil {
		n++
		res.Settle(0, 0)
	}
	if n != 1 {
		t.Errorf("%d more", n)
	}
}

func TestDial(t *testing.T) {
	if _, err := Dial("redis://user:secret@host:port:nonsense/x"); err == nil {
		t.Error("nonsense was understood")
	}
}

func BenchmarkShared(b *testing.B) {
	l := replica(b, gwtest.StartRedis(b), nil, Local)
	r := Unlimited(key("k"))
	r.RPM, r.TPM, r.Parallel, r.Budget = 1e12, 1e12, 1e6, dollars(1e6)
	bound := l.Bind([]Rule{r})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var res Reservation
		need := Need{Tokens: 10, Cost: 10, Start: time.Now().UnixMilli()}
		for pb.Next() {
			if f := l.Reserve(b.Context(), &res, need, bound); f != nil {
				b.Errorf("%+v", f)
			}
			res.Settle(5, 5)
		}
	})
}
