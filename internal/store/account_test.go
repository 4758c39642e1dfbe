package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

func nanos(n llm.Nanos) *llm.Nanos { return &n }

func edit(t *testing.T, s *store.Store, f func(*store.Edit) error) {
	t.Helper()
	if err := s.Edit(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

func testAccounts(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	edit(t, s, func(e *store.Edit) error {
		for i := range 30 {
			k := account.Key{Hash: fmt.Sprintf("h%02d", i), Alias: fmt.Sprintf("Key %d%%_", i), UserID: fmt.Sprint("u", i%3), Stamp: account.Stamp{Created: int64(100 - i)}}
			if i%2 == 0 {
				k.TeamID = "t"
			}
			if err := e.Keys.Put(ctx, &k); err != nil {
				return err
			}
		}
		if k, err := e.Keys.Get(ctx, "h07"); err != nil || k.UserID != "u1" {
			t.Errorf("own write: %+v, %v", k, err)
		}
		return nil
	})
	keys := s.Accounts().Keys
	f := func(q store.Query, total int64, want ...string) {
		t.Helper()
		rows, n, err := keys.Find(ctx, q)
		var got []string
		for _, k := range rows {
			got = append(got, k.Hash)
		}
		if err != nil || n != total || want != nil && !slices.Equal(got, want) {
			t.Errorf("%+v: %d %v, %v", q, n, got, err)
		}
	}
	f(store.Query{}, 30)
	f(store.Query{Sort: "id", Limit: 2, Offset: 3}, 30, "h03", "h04")
	f(store.Query{Limit: 2}, 30, "h29", "h28") // oldest first
	f(store.Query{Desc: true, Limit: 1}, 30, "h00")
	f(store.Query{Sort: "user_id", Desc: true, Limit: 1}, 30, "h29")
	f(store.Query{Limit: 2, Offset: 40}, 30)
	f(store.Query{Where: map[string]string{"user_id": "u1", "team_id": ""}, Sort: "id"}, 5, "h01", "h07", "h13", "h19", "h25")
	f(store.Query{In: map[string][]string{"id": {"h03", "h04", "nobody", "' OR 1=1 --"}}, Sort: "id"}, 2, "h03", "h04")
	f(store.Query{In: map[string][]string{"id": {}}}, 0)
	f(store.Query{Or: map[string][]string{"id": {"h01"}, "alias": {"Key 3%_"}}, Sort: "id"}, 2, "h01", "h03")
	f(store.Query{Or: map[string][]string{}}, 0)
	f(store.Query{Search: map[string]string{"alias": "kEY 2"}, Limit: 1, Sort: "id"}, 11, "h02")
	f(store.Query{Search: map[string]string{"alias": "%_"}}, 30)
	f(store.Query{Search: map[string]string{"alias": "%d"}}, 0)
	for _, q := range []store.Query{{Where: map[string]string{"doc": "x"}}, {Sort: "id; DROP TABLE keys"}, {Search: map[string]string{"created": "1"}},
		{In: map[string][]string{"nothing": {"a"}}}, {Or: map[string][]string{"1=1 --": nil}}} {
		if _, _, err := keys.Find(ctx, q); err == nil {
			t.Errorf("%+v was taken", q)
		}
	}
	if list, err := keys.List(ctx, "h01", "gone", "h02"); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	n := 0
	if err := keys.Each(ctx, func(*account.Key) error { n++; return nil }); err != nil || n != 30 {
		t.Errorf("%d, %v", n, err)
	}
	if err := keys.Put(ctx, &account.Key{Hash: "x"}); err == nil {
		t.Error("written outside an edit")
	}
	if _, err := keys.Delete(ctx, "h01"); err == nil {
		t.Error("deleted outside an edit")
	}
	failed := errors.New("changed my mind")
	if err := s.Edit(ctx, func(e *store.Edit) error {
		if ok, err := e.Keys.Delete(ctx, "h01"); !ok || err != nil {
			t.Error(ok, err)
		}
		return failed
	}); !errors.Is(err, failed) {
		t.Error(err)
	}
	if _, err := keys.Get(ctx, "h01"); err != nil {
		t.Errorf("deleted by an edit that failed: %v", err)
	}
	edit(t, s, func(e *store.Edit) error {
		e.At, e.By = 77, "admin"
		first, err := e.Keys.Delete(ctx, "h01")
		if err != nil {
			return err
		}
		second, err := e.Keys.Delete(ctx, "h01")
		if !first || second {
			t.Error(first, second)
		}
		return err
	})
	gone, _, err := s.Accounts().Archive.Find(ctx, store.Query{Where: map[string]string{"kind": "keys", "object_id": "h01"}})
	if err != nil || len(gone) != 1 || gone[0].Alias != "Key 1%_" || gone[0].At != 77 || gone[0].By != "admin" || !strings.Contains(string(gone[0].Doc), `"h01"`) {
		t.Errorf("%+v, %v", gone, err)
	}
}

// testEveryAccount writes one of each kind with every field that has a column, and reads it back whole.
func testEveryAccount(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	limits := account.Limits{MaxBudget: nanos(5e9), BudgetDuration: "30d", BudgetID: "b", ModelRPM: map[string]int64{"m": 3},
		Windows: []account.Window{{Duration: "1h", MaxBudget: 7}}}
	stamp := account.Stamp{Created: 1, CreatedBy: "x", Updated: 2, UpdatedBy: "y"}
	extra := account.Extra{"guardrails": jsontext.Value(`["a"]`)}
	edit(t, s, func(e *store.Edit) error {
		same(t, e.Keys, account.Key{Hash: "h", Name: "sk-...1", Alias: "a", UserID: "u", TeamID: "t", OrgID: "o", Limits: limits, Models: []string{"m"},
			Metadata: map[string]any{"k": "v"}, Expires: 9, Previous: []account.Previous{{Hash: "p", Until: 3}}, Stamp: stamp, Extra: extra}, "h")
		same(t, e.Users, account.User{ID: "u", Email: "Ann@Example.com", SSOID: "s", Role: account.InternalUser, Limits: limits, Stamp: stamp}, "u")
		same(t, e.Teams, account.Team{ID: "t", Alias: "red", OrgID: "o", Limits: limits, MemberBudgetID: "mb", Stamp: stamp, Extra: extra}, "t")
		same(t, e.Members, account.Member{TeamID: "t", UserID: "u", Role: "admin", Limits: limits, Stamp: stamp}, account.MemberID("t", "u"))
		same(t, e.Orgs, account.Organization{ID: "o", Alias: "org", Limits: limits, Stamp: stamp}, "o")
		same(t, e.OrgMembers, account.OrgMember{OrgID: "o", UserID: "u", Role: account.OrgAdmin, Limits: limits, Stamp: stamp}, account.MemberID("o", "u"))
		same(t, e.Budgets, account.Budget{ID: "b", Limits: account.Limits{RPM: new(int64), MaxBudget: nanos(0)}, Stamp: stamp}, "b")
		same(t, e.Customers, account.Customer{ID: "c", Alias: "cc", Limits: limits, Region: "eu", Stamp: stamp}, "c")
		same(t, e.Tags, account.Tag{Name: "tag", Limits: limits, Models: []string{"m"}, Stamp: stamp}, "tag")
		same(t, e.Models, account.Model{ID: "mdl", Name: "dyn", TeamID: "t", Params: jsontext.Value(`{"model":"openai/x"}`), Info: jsontext.Value(`{}`), Stamp: stamp}, "mdl")
		same(t, e.Credentials, account.Credential{Name: "cred", Values: map[string]string{"api_key": "sealed"}, Info: jsontext.Value(`{"provider":"x"}`), Stamp: stamp}, "cred")
		same(t, e.AccessGroups, account.AccessGroup{Name: "g", Models: []string{"a", "b"}, Stamp: stamp}, "g")
		same(t, e.Audits, account.Audit{ID: "au", At: 4, By: "x", ByKey: "h", Action: "created", Table: "keys", Object: "h",
			Before: jsontext.Value(`null`), After: jsontext.Value(`{"a":1}`)}, "au")
		return nil
	})
	changes, _, err := s.Changes(ctx, 0)
	if err != nil || len(changes) != 12 {
		t.Errorf("%v, %v", changes, err) // all but the audit row
	}
	if u, _, err := s.Accounts().Users.Find(ctx, store.Query{Where: map[string]string{"email": "ann@example.com"}}); err != nil || len(u) != 1 {
		t.Errorf("by email: %v, %v", u, err)
	}
}

func same[T any](t *testing.T, rows store.Rows[T], want T, id string) {
	t.Helper()
	ctx := context.Background()
	if err := rows.Add(ctx, &want); err != nil {
		t.Fatal(err)
	}
	if err := rows.Put(ctx, &want); err != nil { // replaces
		t.Fatal(err)
	}
	got, err := rows.Get(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&want, got); d != "" {
		t.Error(d)
	}
	var exists *store.ExistsError
	if err := rows.Add(ctx, &want); !errors.Is(err, store.ErrExists) || !errors.As(err, &exists) || exists.Field != "id" {
		t.Errorf("added twice: %v", err)
	}
}

func testUnique(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	f := func(put func(*store.Edit) error, field, other string) {
		t.Helper()
		err := s.Edit(ctx, put)
		var exists *store.ExistsError
		if field == "" && err != nil || field != "" && (!errors.As(err, &exists) || exists.Field != field || exists.ID != other) {
			t.Errorf("%v, want %q of %q", err, field, other)
		}
	}
	key := func(hash, alias string) func(*store.Edit) error {
		return func(e *store.Edit) error { return e.Keys.Put(ctx, &account.Key{Hash: hash, Alias: alias}) }
	}
	user := func(id, email string) func(*store.Edit) error {
		return func(e *store.Edit) error { return e.Users.Put(ctx, &account.User{ID: id, Email: email}) }
	}
	f(key("a", "one"), "", "")
	f(key("b", "one"), "alias", "a")
	f(key("a", "one"), "", "")
	f(key("b", ""), "", "")
	f(key("c", ""), "", "")
	f(user("x", "Ann@example.com"), "", "")
	f(user("y", "ann@EXAMPLE.com"), "email", "x")
	if err := s.Edit(ctx, key("", "none")); err == nil {
		t.Error("a key without a hash was taken")
	}
	if err := s.Edit(ctx, key("a\x00b", "none")); err == nil {
		t.Error("a NUL was taken")
	}
	if err := s.Import(ctx, key("d", "one")); err != nil { // as it may be elsewhere
		t.Error(err)
	}
	f(key("d", "one"), "", "") // it keeps what it has
}

// testEdits changes one row from many places at once: none is lost.
func testEdits(t *testing.T, address string) {
	ctx := context.Background()
	stores := []*store.Store{open(t, address), open(t, address)}
	edit(t, stores[0], func(e *store.Edit) error {
		return e.Teams.Put(ctx, &account.Team{ID: "t", Metadata: map[string]any{"n": 0.0}})
	})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 10 {
				err := stores[i%2].Edit(ctx, func(e *store.Edit) error {
					team, err := e.Teams.Get(ctx, "t")
					if err != nil {
						return err
					}
					team.Metadata["n"] = team.Metadata["n"].(float64) + 1
					return e.Teams.Put(ctx, team)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	team, err := stores[1].Accounts().Teams.Get(ctx, "t")
	if err != nil || team.Metadata["n"] != 40.0 {
		t.Errorf("%+v, %v", team, err)
	}
	if n, err := stores[0].Revision(ctx); err != nil || n != 41 {
		t.Errorf("revision %d, %v", n, err)
	}
	// A panic and a context that ends leave nothing locked.
	func() {
		defer func() { _ = recover() }()
		_ = stores[0].Edit(ctx, func(*store.Edit) error { panic("oh") })
	}()
	cancelled, cancel := context.WithCancel(ctx)
	if err := stores[0].Edit(cancelled, func(e *store.Edit) error {
		cancel()
		return e.Teams.Put(cancelled, team)
	}); err == nil {
		t.Error("edited after the context ended")
	}
	edit(t, stores[0], func(e *store.Edit) error { return nil })
}

func testChanges(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	put := func(id string) {
		edit(t, s, func(e *store.Edit) error { return e.Tags.Put(ctx, &account.Tag{Name: id}) })
	}
	put("a")
	put("b")
	put("a")
	edit(t, s, func(e *store.Edit) error { _, err := e.Tags.Delete(ctx, "b"); return err })
	f := func(since, revision int64, want ...store.Change) {
		t.Helper()
		got, n, err := s.Changes(ctx, since)
		if err != nil || n != revision || !slices.Equal(got, want) {
			t.Errorf("since %d: %v, %d, %v", since, got, n, err)
		}
	}
	f(0, 4, store.Change{store.Tags, "a"}, store.Change{store.Tags, "b"})
	f(2, 4, store.Change{store.Tags, "a"}, store.Change{store.Tags, "b"})
	f(3, 4, store.Change{store.Tags, "b"})
	f(4, 4)
	f(9, 4)
	// After very many edits the oldest changes are forgotten, and who needs them is told.
	if _, err := raw(t, address).Exec(`UPDATE revision SET n = 20999 WHERE one = 1`); err != nil {
		t.Fatal(err)
	}
	put("late")
	f(1000, 21000, store.Change{store.Tags, "late"})
	if _, n, err := s.Changes(ctx, 999); !errors.Is(err, store.ErrGap) || n != 21000 {
		t.Errorf("%d, %v", n, err)
	}
}

func testWindows(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	at := time.Date(2026, 11, 21, 13, 0, 0, 0, time.UTC)
	day := at.Add(11 * time.Hour).UnixMilli()
	hour := at.Add(time.Hour).UnixMilli()
	key := account.Subject{Kind: account.OfKey, ID: "k"}
	f := func(want ...account.Spend) {
		t.Helper()
		got, err := s.Spends(ctx, key)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Error(d, err)
		}
	}
	f()
	edit(t, s, func(e *store.Edit) error {
		e.StartWindow(key, "", "1d", day)
		e.SetSpent(key, 500)
		e.StartWindow(key, "1h", "1h", hour)
		got, err := e.Spends(ctx, key)
		if len(got) != 2 || got[0].Spent() != 500 {
			t.Errorf("own write: %v", got)
		}
		return err
	})
	f(account.Spend{Subject: key, Base: -500, ResetAt: day}, account.Spend{Subject: key, Window: "1h", ResetAt: hour})
	if got, err := s.ResetDue(ctx, at); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	from, err := s.Revision(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds nothing
		if _, err := s.ResetDue(ctx, at.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		f(account.Spend{Subject: key, Base: -500, ResetAt: day}, account.Spend{Subject: key, Window: "1h", ResetAt: hour + 3600_000})
	}
	changes, _, err := s.Changes(ctx, from)
	if err != nil || len(changes) != 1 || changes[0].Kind != store.SpendOf || changes[0].Subject() != key {
		t.Errorf("%v, %v", changes, err)
	}
	if _, err := s.ResetDue(ctx, at.Add(11*time.Hour)); err != nil {
		t.Fatal(err)
	}
	next := day + 24*3600_000
	f(account.Spend{Subject: key, ResetAt: next}, account.Spend{Subject: key, Window: "1h", ResetAt: day + 3600_000})
	edit(t, s, func(e *store.Edit) error {
		e.SetSpent(key, 5)
		return nil
	})
	f(account.Spend{Subject: key, Base: -5, ResetAt: next}, account.Spend{Subject: key, Base: -5, Window: "1h", ResetAt: day + 3600_000})
	edit(t, s, func(e *store.Edit) error { return e.Forgive(ctx, account.OfUser, account.OfKey) })
	f(account.Spend{Subject: key, ResetAt: next}, account.Spend{Subject: key, Window: "1h", ResetAt: day + 3600_000})
	edit(t, s, func(e *store.Edit) error {
		e.StartWindow(key, "1h", "", 0)
		e.StartWindow(key, "", "", 0)
		return nil
	})
	f(account.Spend{Subject: key})
}
