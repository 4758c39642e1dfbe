// Package cluster is what replicas that share a database do together: each says that it is alive and which calls it has in flight, follows
// what the others change, and one at a time looks after the common books (budget windows that end, replicas that never came back).
// It imports usage alone; app wires it. Nothing here is on the hot path.
package cluster

import (
	"context"
	"log/slog"
	"time"

	"github.com/weir-gateway/weir/internal/usage"
)

// Replica is one Weir on a database.
type Replica struct {
	ID      string // of this start
	Journal string // where its records go, the same at every start
	Address string
	Seen    int64  // Unix ms of its last heartbeat
	State   string // what it tells the others of itself, see Options
}

// Alive reports whether a replica that was last heard of at seen counts as running; both in Unix ms.
func Alive(seen, now int64) bool { return now-seen < expireAfter.Milliseconds() }

// Store is the part of the database that replicas meet in. Times are Unix milliseconds.
type Store interface {
	Heartbeat(ctx context.Context, r Replica) error
	Replicas(ctx context.Context) ([]Replica, error)
	// PutOpenCalls notes calls in flight, with what they may cost at most, of a replica that is listed. Their records take them out again.
	PutOpenCalls(ctx context.Context, replica string, calls []usage.Record) error
	// ExpireReplica charges the open calls of a replica at their estimates, marked as lost, and forgets it. A call whose record is in is
	// left as it is. It gives the number charged.
	ExpireReplica(ctx context.Context, id string, now int64) (int, error)
	// TryLease takes or prolongs a lease until the time given, unless another holds it.
	TryLease(ctx context.Context, name, holder string, now, until int64) (bool, error)
	Release(ctx context.Context, name, holder string) error
}

// How often what happens. A replica that is silent for as long as expireAfter is taken for gone by those that listened so long.
const (
	pollEvery   = 200 * time.Millisecond
	beatEvery   = 2 * time.Second
	expireAfter = 15 * time.Second
	booksLease  = 10 * time.Second
)

// Options say who this replica is and what it does.
type Options struct {
	Self  Replica
	Store Store
	Open  *usage.Open // nil: calls in flight are not published (the disk of the journal is the disk of the database)
	Now   func() time.Time
	Log   *slog.Logger
	// Poll is called five times a second: it follows what other replicas changed. nil: there are none.
	Poll func(ctx context.Context) error
	// State is asked after each poll what the others shall know of this replica, and whether they must know it at once; else they are told with
	// the next heartbeat. nil: nothing.
	State func() (text string, now bool)
	// Books is called about once in two seconds on the one replica that holds the lease: it starts new budget windows.
	Books func(ctx context.Context) error
	// Replicas is called with the number of living ones whenever it was counted. It may be nil.
	Replicas func(n int)
}

// Member is this process among the others.
type Member struct {
	o      Options
	silent map[string]bool // what is failing now, so that it is logged once

	// listening is since when the database has taken each heartbeat; zero: it did not take the last. While it was away nobody could be heard.
	listening time.Time

	begun []usage.Record // calls to publish, kept until the database has taken them
	news  bool           // the others have to be told of the state
}

// Join makes a member. Nothing happens before Run.
func Join(o Options) *Member {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Member{o: o, silent: map[string]bool{}}
}

// Recover charges what earlier lives of this replica left open, and puts this one on the list: nobody looks for the calls of one that is not
// on it. Its journal must have been drained before: a true record wins over an estimate only if it is there.
func (m *Member) Recover(ctx context.Context) error {
	replicas, err := m.o.Store.Replicas(ctx)
	if err != nil {
		return err
	}
	for _, r := range replicas {
		if r.Journal != m.o.Self.Journal || r.ID == m.o.Self.ID {
			continue
		}
		n, err := m.o.Store.ExpireReplica(ctx, r.ID, m.o.Now().UnixMilli())
		if err != nil {
			return err
		}
		if n > 0 {
			m.o.Log.Warn("calls that were in flight when this replica died are charged at their estimates", "calls", n)
		}
	}
	return m.heartbeat(ctx)
}

// heartbeat says that this replica runs.
func (m *Member) heartbeat(ctx context.Context) error {
	self := m.o.Self
	self.Seen = m.o.Now().UnixMilli()
	err := m.o.Store.Heartbeat(ctx, self)
	m.news = m.news && err != nil
	return err
}

// Run beats, polls and keeps the books until ctx ends, then says goodbye.
func (m *Member) Run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	m.beat(ctx)
	last := m.o.Now()
	for {
		select {
		case <-ctx.Done():
			m.leave()
			return
		case <-tick.C:
		}
		if m.o.Poll != nil {
			m.try("follow the changes of other replicas", m.o.Poll(ctx))
		}
		m.publish(ctx)
		m.tell(ctx)
		if now := m.o.Now(); now.Sub(last) >= beatEvery {
			last = now
			m.beat(ctx)
		}
	}
}

// publish tells the database of calls that have been running for a while. While it takes none, no more are reported: what was stays reserved
// at its worst case until it is known how it ended (proxy, limit), and need not be kept here for as long as the database is away.
func (m *Member) publish(ctx context.Context) {
	if m.o.Open == nil {
		return
	}
	if len(m.begun) == 0 {
		m.begun = m.o.Open.Report(m.o.Now().Add(-pollEvery))
	}
	if len(m.begun) > 0 && m.try("publish calls in flight", m.o.Store.PutOpenCalls(ctx, m.o.Self.ID, m.begun)) {
		m.begun = nil
	}
}

// tell tells the others of this replica's state if that can't wait.
func (m *Member) tell(ctx context.Context) {
	if m.o.State == nil {
		return
	}
	text, now := m.o.State()
	m.o.Self.State, m.news = text, m.news || now
	if m.news {
		m.try("heartbeat", m.heartbeat(ctx))
	}
}

// beat says that this replica is alive and, if it holds the lease, looks after the books and the dead.
func (m *Member) beat(ctx context.Context) {
	if !m.try("heartbeat", m.heartbeat(ctx)) {
		m.listening = time.Time{}
		return
	}
	now, self := m.o.Now(), m.o.Self.ID
	if m.listening.IsZero() {
		m.listening = now
	}
	replicas, err := m.o.Store.Replicas(ctx)
	if !m.try("list the replicas", err) {
		return
	}
	alive := 0
	for _, r := range replicas {
		if Alive(r.Seen, now.UnixMilli()) {
			alive++
		}
	}
	if m.o.Replicas != nil {
		m.o.Replicas(max(alive, 1))
	}
	holds, err := m.o.Store.TryLease(ctx, "books", self, now.UnixMilli(), now.Add(booksLease).UnixMilli())
	if !m.try("take the lease of the books", err) || !holds {
		return
	}
	if m.o.Books != nil {
		m.try("keep the books", m.o.Books(ctx))
	}
	if now.Sub(m.listening) < expireAfter {
		return
	}
	for _, r := range replicas {
		if r.ID == self || Alive(r.Seen, now.UnixMilli()) {
			continue
		}
		n, err := m.o.Store.ExpireReplica(ctx, r.ID, now.UnixMilli())
		if m.try("charge the calls of a lost replica", err) {
			m.o.Log.Warn("a replica is gone; its calls in flight are charged at their estimates", "replica", r.ID, "calls", n)
		}
	}
}

// leave tells the others not to wait.
func (m *Member) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), beatEvery)
	defer cancel()
	m.publish(ctx)
	m.try("release the lease of the books", m.o.Store.Release(ctx, "books", m.o.Self.ID))
}

// try logs the first failure of a kind and its end, and reports whether there was none.
func (m *Member) try(what string, err error) bool {
	switch {
	case err != nil && !m.silent[what]:
		m.silent[what] = true
		m.o.Log.Error("cluster: something fails and is tried again", "what", what, "error", err)
	case err == nil && m.silent[what]:
		delete(m.silent, what)
		m.o.Log.Info("cluster: works again", "what", what)
	}
	return err == nil
}
