package app

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/store"
)

// accounts keeps who may call in step with the database.
type accounts struct {
	store *store.Store
	// limits are told of spend that was changed otherwise than by records.
	limits *limit.Limiter
	// mu keeps what is read and what is booked in order: it is held while changes are followed and while records are saved.
	mu       sync.Mutex
	revision int64
	options  auth.Options
	dir      *auth.Directory
	models   []account.Model
	creds    []account.Credential
	fleet    []fleet.Model
}

// load reads everything, what was spent too, for the first time or because too much has changed since.
func (s *accounts) load(ctx context.Context) error {
	revision, err := s.store.Revision(ctx)
	if err != nil {
		return err
	}
	in := s.store.Accounts()
	var rows auth.Rows
	err = errors.Join(all(ctx, in.Keys, &rows.Keys), all(ctx, in.Users, &rows.Users), all(ctx, in.Teams, &rows.Teams),
		all(ctx, in.Members, &rows.Members), all(ctx, in.Orgs, &rows.Orgs), all(ctx, in.OrgMembers, &rows.OrgMembers),
		all(ctx, in.Budgets, &rows.Budgets), all(ctx, in.Customers, &rows.Customers), all(ctx, in.Tags, &rows.Tags),
		all(ctx, in.AccessGroups, &rows.AccessGroups), all(ctx, in.Models, &s.models), all(ctx, in.Credentials, &s.creds))
	if err != nil {
		return fmt.Errorf("load the accounts: %w", err)
	}
	if s.fleet, err = s.store.Fleet().Models(ctx); err != nil {
		return err
	}
	spends, err := s.store.AllSpends(ctx)
	if err != nil {
		return err
	}
	s.limits.Load(spends)
	s.dir, s.revision = auth.NewDirectory(s.options, rows), revision
	return nil
}

func all[T any](ctx context.Context, rows store.Rows[T], into *[]T) error {
	*into = nil
	return rows.Each(ctx, func(row *T) error {
		*into = append(*into, *row)
		return nil
	})
}

// followed says what a look at the database found changed.
type followed struct{ accounts, models bool }

// follow takes in what was changed since the last look, here or on another replica.
func (s *accounts) follow(ctx context.Context) (found followed, err error) {
	changes, revision, err := s.store.Changes(ctx, s.revision)
	if errors.Is(err, store.ErrGap) {
		return followed{true, true}, s.load(ctx)
	}
	if err != nil || revision == s.revision {
		return found, err
	}
	ids := map[store.Kind][]string{}
	var spend []account.Subject
	for _, c := range changes {
		if c.Kind == store.SpendOf {
			spend = append(spend, c.Subject())
		} else {
			ids[c.Kind] = append(ids[c.Kind], c.ID)
		}
	}
	if len(spend) > 0 {
		spends, err := s.store.Spends(ctx, spend...)
		if err != nil {
			return found, err
		}
		s.limits.Load(spends)
	}
	in := s.store.Accounts()
	var c auth.Changes
	err = errors.Join(
		some(ctx, in.Keys, ids[store.Keys], &c.Keys, &c.Gone.Keys, func(k *account.Key) string { return k.Hash }),
		some(ctx, in.Users, ids[store.Users], &c.Users, &c.Gone.Users, func(u *account.User) string { return u.ID }),
		some(ctx, in.Teams, ids[store.Teams], &c.Teams, &c.Gone.Teams, func(t *account.Team) string { return t.ID }),
		some(ctx, in.Members, ids[store.Members], &c.Members, &c.Gone.Members, func(m *account.Member) string { return account.MemberID(m.TeamID, m.UserID) }),
		some(ctx, in.Orgs, ids[store.Orgs], &c.Orgs, &c.Gone.Orgs, func(o *account.Organization) string { return o.ID }),
		some(ctx, in.OrgMembers, ids[store.OrgMembers], &c.OrgMembers, &c.Gone.OrgMembers, func(m *account.OrgMember) string { return account.MemberID(m.OrgID, m.UserID) }),
		some(ctx, in.Budgets, ids[store.Budgets], &c.Budgets, &c.Gone.Budgets, func(b *account.Budget) string { return b.ID }),
		some(ctx, in.Customers, ids[store.Customers], &c.Customers, &c.Gone.Customers, func(u *account.Customer) string { return u.ID }),
		some(ctx, in.Tags, ids[store.Tags], &c.Tags, &c.Gone.Tags, func(t *account.Tag) string { return t.Name }),
		some(ctx, in.AccessGroups, ids[store.AccessGroups], &c.AccessGroups, &c.Gone.AccessGroups, func(g *account.AccessGroup) string { return g.Name }))
	if err == nil && len(ids[store.Models])+len(ids[store.Credentials]) > 0 {
		found.models = true
		err = errors.Join(all(ctx, in.Models, &s.models), all(ctx, in.Credentials, &s.creds))
	}
	if err == nil && len(ids[store.FleetModels]) > 0 {
		found.models = true
		var models []fleet.Model
		if models, err = s.store.Fleet().Models(ctx); err == nil {
			s.fleet = models
		}
	}
	if err != nil {
		return found, fmt.Errorf("follow the changes: %w", err)
	}
	s.dir, s.revision = s.dir.Apply(c), revision
	found.accounts = true
	return found, nil
}

// some reads the rows of some ids; those that are not there are gone.
func some[T any](ctx context.Context, rows store.Rows[T], ids []string, into *[]T, gone *[]string, id func(*T) string) (err error) {
	if len(ids) == 0 {
		return nil
	}
	if *into, err = rows.List(ctx, ids...); err != nil {
		return err
	}
	there := make(map[string]bool, len(*into))
	for i := range *into {
		there[id(&(*into)[i])] = true
	}
	for _, one := range ids {
		if !there[one] {
			*gone = append(*gone, one)
		}
	}
	return nil
}

// Changed takes in what was changed in the database and returns when calls are authorized by it.
func (a *App) changed(ctx context.Context) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	a.accounts.mu.Lock()
	defer a.accounts.mu.Unlock()
	found, err := a.accounts.follow(ctx)
	if err != nil || !found.accounts {
		return err
	}
	if found.models {
		snap, problems, err := a.snapshot(a.Config())
		logProblems(a.log, problems)
		if err != nil {
			return err
		}
		a.proxy.Swap(snap)
		return nil
	}
	snap := *a.proxy.Snapshot()
	snap.Auth = a.accounts.dir
	a.proxy.Swap(&snap)
	return nil
}

// tellChanged is for the management API, whose change is committed already: if it can't be taken in now, the next look at the database does.
func (a *App) tellChanged(ctx context.Context) {
	if err := a.changed(context.WithoutCancel(ctx)); err != nil {
		a.log.Error("a change is stored but not in force here yet", "error", err)
	}
}
