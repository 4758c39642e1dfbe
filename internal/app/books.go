package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/cluster"
	"github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
)

// books are the database as the journal is drained into it. What is saved, and what is read of the spend, happens under one lock, so that the
// limiter knows exactly which of what it settled the database has.
type books struct {
	*store.Store
	a *App
}

// SaveRecords stores and books records, and tells the limiter.
func (b books) SaveRecords(ctx context.Context, journal string, upTo usage.Position, records []usage.Record) ([]account.Spend, error) {
	b.a.accounts.mu.Lock()
	defer b.a.accounts.mu.Unlock()
	b.addTeams(records)
	spends, err := b.Store.SaveRecords(ctx, journal, upTo, records)
	if err != nil {
		return nil, err
	}
	charges := make([]limit.Charge, 0, 4*len(records))
	for i := range records {
		r := &records[i]
		store.Subjects(r, func(s account.Subject) {
			charges = append(charges, limit.Charge{Subject: s, Cost: r.Cost, Start: r.Start, Call: r.ID})
		})
	}
	b.a.limits.Drained(spends, charges)
	return spends, nil
}

// addTeams completes the groups of users who called with a key: they are in those of all their teams, not of the key's alone.
func (b books) addTeams(records []usage.Record) {
	teams := map[string][]string{}
	for i := range records {
		r := &records[i]
		if r.User == "" || r.Key == "" {
			continue
		}
		names, known := teams[r.User]
		if !known {
			names = b.a.accounts.dir.TeamNames(r.User)
			teams[r.User] = names
		}
		for _, name := range names {
			if !slices.Contains(r.Groups, name) {
				r.Groups = append(slices.Clip(r.Groups), name)
			}
		}
	}
}

// meeting is the database as replicas meet in it.
type meeting struct {
	*store.Store
	a *App
}

// Heartbeat says that a replica is alive.
func (m *meeting) Heartbeat(ctx context.Context, r cluster.Replica) error {
	return m.SaveReplica(ctx, store.Replica(r))
}

// Replicas lists the living and the dead.
func (m *meeting) Replicas(ctx context.Context) ([]cluster.Replica, error) {
	rows, err := m.Store.Replicas(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]cluster.Replica, len(rows))
	listed := make([]string, len(rows))
	for i, r := range rows {
		out[i], listed[i] = cluster.Replica(r), r.ID
	}
	m.a.limits.Listed(listed)
	return out, nil
}

// PutOpenCalls notes calls in flight. While records are saved it waits, so that no call is noted whose record has just come in.
func (m *meeting) PutOpenCalls(ctx context.Context, replica string, calls []usage.Record) error {
	m.a.accounts.mu.Lock()
	defer m.a.accounts.mu.Unlock()
	return m.Store.PutOpenCalls(ctx, replica, calls)
}

// ExpireReplica charges what a replica left open.
func (m *meeting) ExpireReplica(ctx context.Context, id string, now int64) (int, error) {
	m.a.accounts.mu.Lock()
	defer m.a.accounts.mu.Unlock()
	lost, spends, err := m.Store.ExpireReplica(ctx, id, now)
	if err != nil {
		return 0, err
	}
	m.a.limits.Load(spends)
	return len(lost), nil
}

// join makes this process a member among the replicas on its database.
func (a *App) join() *cluster.Member {
	o := cluster.Options{Self: cluster.Replica{ID: a.id, Journal: a.journal.ID(), Address: a.Config().Weir.Listen}, Store: &meeting{Store: a.store, a: a}, Open: a.open,
		Now: a.o.Now, Log: a.log, Books: a.keepBooks, Replicas: func(n int) { a.replicas.Store(int64(n)) }}
	if a.open != nil {
		peers := peers{a: a}
		o.Poll, o.State = peers.follow, a.hosted.state
	}
	return cluster.Join(o)
}

// lately is how long a budget that nobody calls on is still kept up to date; the first call after that makes it so again.
const lately = time.Minute

// peers is what other replicas on the database do.
type peers struct {
	a    *App
	next time.Time // when to look at what they have spent
}

// follow takes in what others changed, and what they spent of the budgets that calls here use.
func (p *peers) follow(ctx context.Context) error {
	err := p.a.changed(ctx)
	began := time.Now()
	if began.Before(p.next) {
		return err
	}
	subjects := p.a.limits.Lately(lately)
	for chunk := range slices.Chunk(subjects, 300) {
		err = errors.Join(err, p.a.loadSpends(ctx, chunk))
	}
	p.next = time.Now().Add(4 * time.Since(began)) // a fifth of the time at most
	return err
}

// loadSpends tells the limiter what the database says was spent.
func (a *App) loadSpends(ctx context.Context, subjects []account.Subject) error {
	a.accounts.mu.Lock()
	defer a.accounts.mu.Unlock()
	spends, err := a.store.Spends(ctx, subjects...)
	if err == nil {
		a.limits.Load(spends)
	}
	return err
}

// keepBooks begins the budget windows that have ended.
func (a *App) keepBooks(ctx context.Context) error {
	_, err := a.store.ResetDue(ctx, a.o.Now().In(a.zone))
	if err != nil {
		return err
	}
	return a.changed(ctx)
}

// zone is whose days and months budget windows follow; it was checked when the configuration was read.
func zone(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return z
}
