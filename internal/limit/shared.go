package limit

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/weir-gateway/weir/internal/account"
)

// Policy is what holds while the server that replicas share is gone.
type Policy string

// Policies.
const (
	// Local lets each of n replicas use an nth of what is left of each limit, by what SQL and itself know. Across all replicas a limit of
	// requests or parallel calls is then overshot by less than n; for budgets see the package comment.
	Local Policy = "local"
	// Open refuses nobody, and counts.
	Open Policy = "open"
	// Closed refuses everybody who has any limit, with 503.
	Closed Policy = "closed"
)

// Shared makes limits and budgets hold across replicas, through Redis 7 or newer or Valkey.
type Shared struct {
	// Dial connects; see Dial. It is called until it succeeds, then no more.
	Dial func() (rueidis.Client, error)
	// Replica names this process among the others, without spaces; it must never be used by another process, or again after a restart. It is the
	// name that SQL lists it by (Limiter.Listed).
	Replica string
	// Prefix begins every key; "": weir.
	Prefix string
	// Gone is the policy while the server is unreachable; "": Local.
	Gone Policy
	// Replicas tells how many replicas there are, for Local, when the server is not there to tell; nil: as many as it told last.
	Replicas func() int
	Log      *slog.Logger // nil: none

	// Timeout is how long the server may answer nothing at all before it counts as gone; 0: 5 s. One that refuses connections or breaks them counts
	// as gone at once. It must not be so short that a busy machine is taken for a server that is gone: this replica would help itself to a part
	// of what others may hold.
	Timeout time.Duration
	// Dead is the silence after which a replica is taken for dead; 0: 5 s.
	Dead time.Duration
	// Limbo is how long the share of a dead replica that SQL never listed stays charged to budgets, since it may have spent all of it unseen. That
	// of one that SQL lists does for as long as it is listed. 0: a minute.
	Limbo time.Duration
}

// closedFor is how long it is remembered that a replica's books were closed; its counters on the server have expired by then.
const closedFor = 12 * time.Minute

// Listed tells which replicas SQL lists, by name: those that run, and the dead whose open calls are not charged yet. The share of a replica
// counts against budgets for as long as it is listed. One that no longer is has been charged in SQL: when it is silent as well, and SQL's totals
// were read since, what is still on the server of its money counts no more.
func (l *Limiter) Listed(replicas []string) {
	s := l.shared
	if s == nil {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.listed {
		s.closed[name] = now
	}
	clear(s.listed)
	for _, name := range replicas {
		s.listed[name] = true
		delete(s.closed, name) // it had only been cut off from SQL
	}
	var books strings.Builder
	for name := range s.listed {
		books.WriteString(name + " open ")
	}
	for name, at := range s.closed {
		if now.Sub(at) > closedFor {
			delete(s.closed, name)
			continue
		}
		books.WriteString(name + " closed ")
	}
	s.books = books.String()
}

// booksOf is what the script is told of the replicas' books.
func (s *shared) booksOf(d dim) string {
	if d != dMoney {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.books
}

const (
	tick        = 200 * time.Millisecond // how often idle shares go back
	beat        = time.Second            // how often a replica says that it lives
	recallPause = 20 * time.Millisecond
	batch       = 256 // exchanges in one go
)

//go:embed lease.lua
var script string

// shared is the state of an Options.Shared.
type shared struct {
	Shared
	l        *Limiter
	replica  string
	prefix   string
	dead     time.Duration
	limbo    time.Duration
	timeout  time.Duration
	patience time.Duration // how long a call tries to get its share of a server that answers
	recall   time.Duration // how long a call waits for shares that lie idle elsewhere
	sha      string

	client   atomic.Pointer[rueidis.Client]
	gone     atomic.Bool
	epoch    atomic.Uint64 // grows when the server goes: shares of an older epoch are void
	replicas atomic.Int64
	answered atomic.Int64 // when the server did last, Unix ns
	unread   atomic.Int64 // SQL is not asked again before this time, Unix ns

	mu     sync.Mutex
	dirty  []*meter
	urgent []*meter
	listed map[string]bool      // replicas that SQL lists
	closed map[string]time.Time // those that it listed, and when it was found that it no longer does, by the real clock
	books  string               // both, as the script is told

	kick chan struct{}
	stop chan struct{}
	done chan struct{}
	quit sync.Once
	live map[*meter]bool // those with something to keep alive; of the loop alone
	last time.Time       // of the last beat; of the loop alone
}

// Dial gives the Dial of a server by its URL: redis://, rediss:// or unix://, as redis-cli takes them; several addresses of a cluster as
// ?addr=host:port.
func Dial(url string) (func() (rueidis.Client, error), error) {
	o, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, errors.New("the URL of Redis is not understood: write redis://user:password@host:port/db") // the parser's own text would show the password
	}
	o.DisableCache = true
	o.DisableRetry = true
	o.PipelineMultiplex = -1 // one connection: what one command found broken, the next need not find out again
	o.ClientName = "weir-limit"
	o.Dialer = net.Dialer{Timeout: 5 * time.Second}
	return func() (rueidis.Client, error) { return rueidis.NewClient(o) }, nil
}

func newShared(l *Limiter, o *Shared) *shared {
	s := &shared{Shared: *o, l: l, replica: o.Replica, prefix: o.Prefix, dead: o.Dead, limbo: o.Limbo, timeout: o.Timeout, patience: 10 * time.Second,
		recall: 600 * time.Millisecond, kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), live: map[*meter]bool{},
		listed: map[string]bool{}, closed: map[string]time.Time{}}
	or := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	or(&s.dead, 5*time.Second)
	or(&s.limbo, time.Minute)
	or(&s.timeout, 5*time.Second)
	if s.prefix == "" {
		s.prefix = "weir"
	}
	if s.Gone == "" {
		s.Gone = Local
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	sum := sha1.Sum([]byte(script)) // a name, not a secret: what EVALSHA wants
	s.sha = hex.EncodeToString(sum[:])
	s.replicas.Store(1)
	s.epoch.Store(1)
	if !s.connect() {
		s.gone.Store(true)
		s.Log.Warn("redis can't be reached: limits are kept by policy", "policy", string(s.Gone))
	}
	go s.run()
	return s
}

// reserveBy reserves without the server, by a policy.
func (l *Limiter) reserveBy(r *Reservation, policy Policy) *Refusal {
	s := l.shared
	n := s.replicas.Load()
	if s.Replicas != nil {
		n = int64(s.Replicas())
	}
	switch policy {
	case Open:
		n = 0
	case Closed:
		for i := range r.holds {
			if r.holds[i].e.limits != [dims]int64{None, None, None, None} {
				r.drop()
				return &Refusal{What: Unreachable, RetryAfter: time.Second}
			}
		}
		n = 0
	default:
		n = max(1, n)
	}
	return l.reserveAs(r, n)
}

// touch notes that a meter is to be told to the server, at once if it is urgent. The meter is locked.
func (s *shared) touch(m *meter, urgent bool) {
	if urgent && !m.urgent {
		m.urgent = true
		s.mu.Lock()
		s.urgent = append(s.urgent, m)
		s.mu.Unlock()
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
	if !m.dirty {
		m.dirty = true
		s.mu.Lock()
		s.dirty = append(s.dirty, m)
		s.mu.Unlock()
	}
}

// run tells the server what happens here, until the limiter is closed.
func (s *shared) run() {
	defer close(s.done)
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-s.kick:
			if !s.gone.Load() {
				s.tell(s.taken(&s.urgent), false)
			}
		case <-t.C:
			if s.gone.Load() && !s.recover() {
				continue
			}
			s.beat()
			s.tell(s.taken(&s.dirty), false)
		}
	}
}

// taken empties a list.
func (s *shared) taken(list *[]*meter) []*meter {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := *list
	*list = nil
	return out
}

// connect looks whether the server can be reached, and prepares it.
func (s *shared) connect() bool {
	if s.client.Load() == nil {
		c, err := s.Dial()
		if err != nil {
			s.Log.Debug("no connection to redis", "error", err.Error())
			return false
		}
		s.client.Store(&c)
	}
	if s.heartbeat() != nil {
		return false
	}
	c := *s.client.Load()
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	return c.Do(ctx, c.B().ScriptLoad().Script(script).Build()).Error() == nil
}

// recover looks whether the server is back, and if so tells it all that was counted meanwhile.
func (s *shared) recover() bool {
	if !s.connect() {
		return false
	}
	s.l.mu.RLock()
	for _, m := range s.l.meters {
		m.mu.Lock()
		for d := range dims {
			if c := &m.counts[d]; c.lease != nil && (c.used != 0 || c.held != 0) {
				s.touch(m, false)
			}
		}
		m.mu.Unlock()
	}
	s.l.mu.RUnlock()
	// Calls are served by policy until it knows, so that nobody is given what was used already.
	if !s.tell(s.taken(&s.dirty), true) {
		return false
	}
	s.gone.Store(false)
	s.Log.Info("limits are shared through redis again")
	return true
}

// lost notes that an exchange that began at a time has failed. Where others were answered meanwhile it was only late.
func (s *shared) lost(began time.Time, err error) {
	late := errors.Is(err, context.DeadlineExceeded) && s.answered.Load() > began.UnixNano()
	if late || s.gone.Swap(true) {
		return
	}
	s.epoch.Add(1)
	s.Log.Warn("redis is gone: limits are kept by policy", "policy", string(s.Gone), "error", err.Error())
}

// heartbeat says that this replica lives and learns how many do.
func (s *shared) heartbeat() error {
	c := *s.client.Load()
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	n, err := c.Do(ctx, c.B().Eval().Script(beatScript).Numkeys(1).Key(s.prefix+":replicas").
		Arg(s.replica, strconv.FormatInt(max(3*beat, s.dead).Milliseconds(), 10)).Build()).AsInt64()
	if err != nil {
		return err
	}
	s.replicas.Store(max(1, n))
	s.answered.Store(time.Now().UnixNano())
	return nil
}

// beatScript notes a replica in a sorted set, by the server's clock, and counts those of late.
const beatScript = `local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
return redis.call('ZCARD', KEYS[1])`

// beat is a heartbeat, and a word about everything that must not be taken for dead, once a second.
func (s *shared) beat() {
	now := time.Now()
	if now.Sub(s.last) < beat {
		return
	}
	s.last = now
	if err := s.heartbeat(); err != nil {
		s.lost(now, err)
		return
	}
	for m := range s.live {
		m.mu.Lock()
		s.touch(m, false)
		m.mu.Unlock()
	}
	clear(s.live)
}

// tell tells the server where meters stand, and gives back what lies idle. all: of their shares nothing is kept. It gives whether the server answered
// throughout.
func (s *shared) tell(meters []*meter, all bool) bool {
	var flights []*flight
	now := s.l.now().UnixMilli()
	for _, m := range meters {
		m.mu.Lock()
		m.dirty, m.urgent = false, false
		for d := range dims {
			c := &m.counts[d]
			if c.lease == nil {
				continue
			}
			if c.lease.flight != nil {
				s.touch(m, false)
				continue
			}
			idle := c.lease.tight || !c.lease.active || all || c.lease.epoch != s.epoch.Load()
			// A debt is told with what was used.
			if idle && (c.lease.demand == 0 || all) || c.lease.share < 0 {
				c.lease.share = 0
			}
			if c.lease.share > 0 {
				s.touch(m, false) // if it lies idle until the next time, it goes back then
			}
			if c.held != 0 || c.lease.share != 0 || d == dMoney && c.used != 0 {
				s.live[m] = true
			}
			flights = append(flights, s.fly(m, d, now, 0, 0, 0))
		}
		m.mu.Unlock()
	}
	s.exchange(flights)
	return !slices.ContainsFunc(flights, func(f *flight) bool { return f.err != nil })
}

// exchange makes flights and lands them. Those of money for which the server has to know SQL's total are made again with it.
func (s *shared) exchange(flights []*flight) {
	for len(flights) > 0 {
		n := min(batch, len(flights))
		if unknown := s.round(flights[:n]); len(unknown) > 0 {
			s.seed(unknown)
			for _, f := range s.round(unknown) {
				s.land(f, nil, errAnswer)
			}
		}
		flights = flights[n:]
	}
}

var errAnswer = errors.New("an answer of redis that is not understood")

// round is one round trip; it gives the flights of money for which SQL's total has to be read.
func (s *shared) round(flights []*flight) (unknown []*flight) {
	c := *s.client.Load()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	commands := make(rueidis.Commands, len(flights))
	for i, f := range flights {
		commands[i] = c.B().Evalsha().Sha1(s.sha).Numkeys(1).Key(f.key).Arg(f.args...).Build()
	}
	for i, r := range c.DoMulti(ctx, commands...) {
		f := flights[i]
		answer, err := r.AsIntSlice()
		if e, ok := rueidis.IsRedisErr(err); ok && e.IsNoScript() {
			answer, err = c.Do(ctx, c.B().Eval().Script(script).Numkeys(1).Key(f.key).Arg(f.args...).Build()).AsIntSlice()
		}
		if err == nil && len(answer) != 9 {
			err = errAnswer
		}
		if err != nil {
			s.lost(began, err)
			s.land(f, nil, err)
			continue
		}
		s.answered.Store(time.Now().UnixNano())
		if answer[0] == -1 {
			unknown = append(unknown, f)
			continue
		}
		s.land(f, answer, nil)
	}
	return unknown
}

// seed reads SQL's totals into the arguments of flights. Without SQL what is known here has to do: the first who knows more says so.
func (s *shared) seed(flights []*flight) {
	const total, read = 12, 13
	tell := func(what string) {
		for _, f := range flights {
			f.args[read] = what
		}
	}
	if s.l.seed == nil {
		tell("read")
		return
	}
	if time.Now().UnixNano() < s.unread.Load() {
		tell("failed")
		return
	}
	subjects := make([]account.Subject, len(flights))
	for i, f := range flights {
		subjects[i] = f.m.subject
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	rows, err := s.l.seed(ctx, subjects)
	if err != nil {
		s.unread.Store(time.Now().Add(beat).UnixNano())
		s.Log.Warn("spend could not be read for redis", "error", err.Error())
		tell("failed")
		return
	}
	tell("read")
	for _, f := range flights {
		for i := range rows {
			if rows[i].Subject != f.m.subject {
				continue
			}
			if known, err := strconv.ParseInt(f.args[total], 10, 64); err != nil || int64(rows[i].Total) > known {
				f.args[total] = strconv.FormatInt(int64(rows[i].Total), 10)
			}
		}
	}
}

// close ends the loop. It gives everything back that is held here, unless the limiter is to look as if it had died.
func (s *shared) close(giveBack bool) {
	s.quit.Do(func() {
		close(s.stop)
		<-s.done
		client := s.client.Load()
		if client == nil {
			return
		}
		if giveBack && !s.gone.Load() {
			for m := range s.live {
				m.mu.Lock()
				s.touch(m, false)
				m.mu.Unlock()
			}
			s.tell(s.taken(&s.dirty), true)
			ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
			defer cancel()
			c := *client
			if err := c.Do(ctx, c.B().Zrem().Key(s.prefix+":replicas").Member(s.replica).Build()).Error(); err != nil {
				s.Log.Warn("replica is not signed off", "error", err.Error())
			}
		}
		(*client).Close()
	})
}
