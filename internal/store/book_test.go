package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
)

const day = 86_400_000

func charged(id string, cost llm.Nanos) usage.Record {
	return usage.Record{ID: id, Start: day + 5, End: day + 9, Key: "k", User: "u", Team: "t", Org: "o", EndUser: "c", Model: "m", Cost: cost, Priced: true,
		Tags: []string{"x", "y", "x", ""}, Usage: llm.Usage{Input: 10, Output: 2}}
}

// raw opens the database beside the Store, to look at the tables themselves.
func raw(t *testing.T, address string) *sql.DB {
	t.Helper()
	driver := "sqlite"
	if strings.HasPrefix(address, "postgres") {
		driver = "pgx"
	}
	if driver == "sqlite" {
		address = "file:" + strings.NewReplacer("%", "%25", " ", "%20").Replace(address)
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// balance holds the books against the records: for every subject and in every view the sums are the same.
func balance(t *testing.T, address string) {
	t.Helper()
	db := raw(t, address)
	sums := func(text string) map[string]int64 {
		rows, err := db.Query(text)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		out := map[string]int64{}
		for rows.Next() {
			var name string
			var sum int64
			if err := rows.Scan(&name, &sum); err != nil {
				t.Fatal(err)
			}
			if sum != 0 {
				out[name] = sum
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	f := func(kind account.Kind, column string) {
		t.Helper()
		records := sums(`SELECT ` + column + `, CAST(SUM(cost) AS BIGINT) FROM records WHERE ` + column + ` <> '' OR '` + string(kind) + `' = 'gateway' GROUP BY 1`)
		spend := sums(`SELECT id, CAST(SUM(total) AS BIGINT) FROM spend WHERE kind = '` + string(kind) + `' AND model = '' GROUP BY 1`)
		daily := sums(`SELECT ` + column + `, CAST(SUM(spend) AS BIGINT) FROM daily WHERE tag = '' AND (` + column + ` <> '' OR '` + string(kind) + `' = 'gateway') GROUP BY 1`)
		if len(records) == 0 {
			t.Errorf("no records by %s", column)
		}
		if d := cmp.Diff(records, spend); d != "" {
			t.Errorf("%s: records and spend: %s", kind, d)
		}
		if d := cmp.Diff(records, daily); d != "" {
			t.Errorf("%s: records and daily: %s", kind, d)
		}
	}
	f(account.OfKey, "key_hash")
	f(account.OfUser, "user_id")
	f(account.OfTeam, "team_id")
	f(account.OfOrg, "org_id")
	f(account.OfCustomer, "end_user")
	f(account.OfGateway, "''")
	f(account.OfMember, "CASE WHEN team_id <> '' AND user_id <> '' THEN team_id || '\x1f' || user_id ELSE '' END")
	models := sums(`SELECT key_hash || model, CAST(SUM(cost) AS BIGINT) FROM records WHERE key_hash <> '' AND model <> '' GROUP BY 1`)
	if d := cmp.Diff(models, sums(`SELECT id || model, CAST(SUM(total) AS BIGINT) FROM spend WHERE kind = 'api_key' AND model <> '' GROUP BY 1`)); d != "" {
		t.Errorf("models: %s", d)
	}
	for _, kind := range []string{"api_key", "user", "team", "team_member", "organization", "end_user", "tag"} {
		total := func(models string) map[string]int64 {
			return sums(`SELECT id, CAST(SUM(total) AS BIGINT) FROM spend WHERE kind = '` + kind + `' AND model ` + models + ` '' GROUP BY 1`)
		}
		if d := cmp.Diff(total("="), total("<>")); d != "" {
			t.Errorf("%s and its models: %s", kind, d)
		}
	}
	if d := cmp.Diff(sums(`SELECT tag, CAST(SUM(spend) AS BIGINT) FROM daily WHERE tag <> '' GROUP BY 1`),
		sums(`SELECT id, CAST(SUM(total) AS BIGINT) FROM spend WHERE kind = 'tag' AND model = '' GROUP BY 1`)); d != "" {
		t.Errorf("tags: %s", d)
	}
	tokens := sums(`SELECT 'n', COUNT(*) FROM records UNION ALL SELECT 'in', CAST(SUM(input) AS BIGINT) FROM records`)
	if d := cmp.Diff(tokens, sums(`SELECT 'n', CAST(SUM(calls) AS BIGINT) FROM daily WHERE tag = '' UNION ALL SELECT 'in', CAST(SUM(input) AS BIGINT)
		FROM daily WHERE tag = ''`)); d != "" {
		t.Errorf("counts: %s", d)
	}
}

// testBooks has several writers on two stores save the same and different records, edit meanwhile, and give up a replica.
func testBooks(t *testing.T, address string) {
	ctx := context.Background()
	stores := []*store.Store{open(t, address), open(t, address)}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(g)))
			s := stores[g%2]
			for round := range 8 {
				var list []usage.Record
				for i := range 60 {
					// Every second record is one that the others bring as well.
					id := fmt.Sprintf("%d-%d-%d", g, round, i)
					if i%2 == 0 {
						id = fmt.Sprintf("all-%d-%d", round, i)
					}
					n := int64(len(id) + round*60 + i)
					list = append(list, usage.Record{ID: id, Start: day*(1+n%3) + n, End: day * 5, Key: fmt.Sprint("k", n%5), User: fmt.Sprint("u", n%3),
						Team: []string{"", "t1", "t2"}[n%3], Org: "o", EndUser: fmt.Sprint("c", n%7), Model: fmt.Sprint("m", n%4), Cost: llm.Nanos(n * 1000),
						Tags: []string{fmt.Sprint("x", n%4), "all"}, Usage: llm.Usage{Input: n}})
				}
				rnd.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
				if err := s.SaveReplica(ctx, store.Replica{ID: fmt.Sprint("r", g)}); err != nil {
					t.Error(err)
				}
				if err := s.PutOpenCalls(ctx, fmt.Sprint("r", g), list[:10]); err != nil && !errors.Is(err, store.ErrExpired) {
					t.Error(err)
				}
				if round%3 == 0 {
					if _, _, err := s.ExpireReplica(ctx, fmt.Sprint("r", (g+1)%4), day*6); err != nil {
						t.Error(err)
					}
				}
				if _, err := s.SaveRecords(ctx, fmt.Sprint("j", g), usage.Position{Segment: int64(round)}, list); err != nil {
					t.Error(err)
				}
				err := s.Edit(ctx, func(e *store.Edit) error {
					for i := range 5 {
						e.StartWindow(account.Subject{Kind: account.OfKey, ID: fmt.Sprint("k", (i+g)%5)}, "", "1d", day)
					}
					return e.Keys.Put(ctx, &account.Key{Hash: fmt.Sprint("k", g)})
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	balance(t, address)
	lost, err := stores[0].SumRecords(ctx, store.RecordFilter{})
	if err != nil || lost.Calls != 4*8*30+8*30 {
		t.Errorf("%+v, %v", lost, err)
	}
	n := 0
	if err := raw(t, address).QueryRow(`SELECT COUNT(*) FROM records WHERE lost`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d records stand for calls whose own came, %v", n, err)
	}
}

func testMoved(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	save := func(id, key string) []account.Spend {
		t.Helper()
		r := charged(id, 100)
		r.Key = key
		spends, err := s.SaveRecords(ctx, "j", usage.Position{}, []usage.Record{r})
		if err != nil {
			t.Fatal(err)
		}
		return spends
	}
	of := func(id string) account.Subject { return account.Subject{Kind: account.OfKey, ID: id} }
	move := func(from, into string) {
		edit(t, s, func(e *store.Edit) error { return e.MoveSpend(ctx, of(from), of(into)) })
	}
	got := save("1", "a")
	if len(got) != 17 { // the gateway; key, user, team, member, organization, customer, two tags, each also for the model
		t.Errorf("%v", got)
	}
	edit(t, s, func(e *store.Edit) error {
		e.StartWindow(of("a"), "", "1d", day)
		e.SetSpent(of("a"), 30)
		return nil
	})
	move("a", "b")
	save("2", "a") // late, for the old one
	move("b", "c")
	save("3", "a")
	save("4", "c")
	f := func(id string, total, spent llm.Nanos) {
		t.Helper()
		got, err := s.Spends(ctx, of(id))
		if err != nil || len(got) != 1 || got[0].Total != total || got[0].Spent() != spent {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
	f("a", 0, 0)
	f("b", 0, 0)
	f("c", 400, 330)
	models, err := s.SpendsOf(ctx, account.OfKey, "c")
	if err != nil || len(models) != 2 || models[0].Total != models[1].Total {
		t.Errorf("%+v, %v", models, err)
	}
	edit(t, s, func(e *store.Edit) error {
		if err := e.Keys.Put(ctx, &account.Key{Hash: "c"}); err != nil {
			return err
		}
		_, err := e.Keys.Delete(ctx, "c")
		return err
	})
	f("c", 400, 0)
	gone, _, err := s.Accounts().Archive.Find(ctx, store.Query{})
	if err != nil || len(gone) != 1 || gone[0].Spent != 330 {
		t.Errorf("%+v, %v", gone, err)
	}
}

func testLost(t *testing.T, address string) {
	ctx := context.Background()
	s, other := open(t, address), open(t, address)
	spent := func(want llm.Nanos) {
		t.Helper()
		got, err := s.Spends(ctx, account.Subject{Kind: account.OfKey, ID: "k"})
		if err != nil || len(got) != 1 || got[0].Total != want {
			t.Errorf("%+v, want %d; %v", got, want, err)
		}
		balance(t, address)
	}
	if err := s.SaveReplica(ctx, store.Replica{ID: "r1", Address: "a", Journal: "j", Seen: 5}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutOpenCalls(ctx, "r1", []usage.Record{charged("1", 500), charged("2", 500), charged("3", 500), charged("4", 500)}); err != nil {
		t.Fatal(err)
	}
	// One ended.
	if _, err := s.SaveRecords(ctx, "j", usage.Position{}, []usage.Record{charged("1", 100)}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutOpenCalls(ctx, "r1", []usage.Record{charged("1", 500)}); err != nil { // too late: it has ended
		t.Fatal(err)
	}
	spent(100)
	lost, spends, err := other.ExpireReplica(ctx, "r1", 2*day)
	if err != nil || len(lost) != 3 || len(spends) != 17 {
		t.Errorf("%v, %v, %v", lost, spends, err)
	}
	if lost, _, err := s.ExpireReplica(ctx, "r1", 2*day); err != nil || len(lost) != 0 {
		t.Errorf("given up twice: %v, %v", lost, err)
	}
	if err := s.PutOpenCalls(ctx, "r1", []usage.Record{charged("5", 500)}); !errors.Is(err, store.ErrExpired) {
		t.Errorf("a call of a replica that nobody looks after: %v", err)
	}
	if list, err := s.Replicas(ctx); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	spent(1600)
	// It comes back after all: the truth takes the estimate's place, once.
	late := charged("3", 200)
	late.User = "another"
	for range 2 {
		if _, err := s.SaveRecords(ctx, "j", usage.Position{}, []usage.Record{late, late}); err != nil {
			t.Fatal(err)
		}
		spent(1300)
	}
	again := charged("3", 900)
	again.Lost = true
	if err := s.InsertRecords(ctx, []usage.Record{again}); err != nil {
		t.Fatal(err)
	}
	spent(1300)
}

func testLeases(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	f := func(holder string, now, until int64, want bool) {
		t.Helper()
		if got, err := s.TryLease(ctx, "reset", holder, now, until); err != nil || got != want {
			t.Errorf("%s at %d: %v, %v", holder, now, got, err)
		}
	}
	f("a", 10, 20, true)
	f("b", 15, 25, false)
	f("a", 15, 30, true)
	f("b", 29, 40, false)
	f("b", 30, 40, true)
	f("a", 31, 50, false)
	for _, holder := range []string{"a", "b"} {
		if err := s.Release(ctx, "reset", holder); err != nil {
			t.Fatal(err)
		}
		f("c", 32, 33, holder == "b")
	}
	for _, r := range []store.Replica{{"r2", "j2", "x", 1, ""}, {"r1", "j1", "y", 2, "idle"}, {"r2", "j2", "x", 3, "busy"}} {
		if err := s.SaveReplica(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Replicas(ctx)
	if d := cmp.Diff([]store.Replica{{"r1", "j1", "y", 2, "idle"}, {"r2", "j2", "x", 3, "busy"}}, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if err := s.DeleteReplica(ctx, "r1"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Replicas(ctx); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}
