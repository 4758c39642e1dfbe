package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
	"github.com/weir-gateway/weir/test/gwtest"
)

// TestStore runs one suite on both engines.
func TestStore(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		suite(t, func(t *testing.T) string { return filepath.Join(t.TempDir(), "sub dir", "weir%.db") })
	})
	t.Run("postgresql", func(t *testing.T) {
		pg := gwtest.StartPostgres(t)
		suite(t, func(t *testing.T) string { return pg.Database(t) })
	})
}

func suite(t *testing.T, address func(*testing.T) string) {
	for name, test := range map[string]func(*testing.T, string){"records": testRecords, "filter": testFilter, "exactly once": testExactlyOnce,
		"journal": testJournal, "meta": testMeta, "migrate together": testMigrateTogether, "readers during a write": testConcurrent,
		"accounts": testAccounts, "every account": testEveryAccount, "unique": testUnique, "edits together": testEdits, "changes": testChanges,
		"windows": testWindows, "books": testBooks, "moved": testMoved, "lost": testLost, "last used": testLastUsed, "daily": testDaily, "pages": testRecordPage, "leases": testLeases, "metrics": testMetrics,
		"large batch": testLargeBatch} {
		t.Run(name, func(t *testing.T) { test(t, address(t)) })
	}
}

func open(t *testing.T, address string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), address, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func record(i int) usage.Record {
	return usage.Record{ID: fmt.Sprintf("call_%04d", i), RequestID: "r", Start: int64(1000 + i/2), FirstByte: 7, End: 8, Key: "hash", KeyAlias: "alias",
		User: fmt.Sprint("u", i%3), Team: "t", Org: "o", EndUser: "e", Model: "m", Deployment: "d", Provider: "p", Upstream: "up", APIBase: "b",
		In: llm.Anthropic, Out: llm.Gemini, Op: llm.OpChat, Stream: i%2 == 0, Status: 200, Incomplete: true, ClientGone: true, Attempts: 2,
		Cost: llm.Nanos(i), Priced: true, Session: "s", Tags: []string{"a", `b"c`}, Dropped: []string{"seed"},
		Usage: llm.Usage{Input: 1, Output: 2, Total: 3, CacheRead: 4, CacheWrite: 5, CacheWrite1h: 6, Reasoning: 7, InputAudio: 8, OutputAudio: 9,
			InputImage: 10, OutputImage: 11, ToolInput: 12, WebSearches: 13, Accepted: 14, Rejected: 15, Estimated: true, ReasoningKnown: true, CacheKnown: true}}
}

func records(n int) []usage.Record {
	out := make([]usage.Record, n)
	for i := range out {
		out[i] = record(i)
	}
	return out
}

// testLargeBatch: as many records as a drainer brings at once, each of somebody else, go in whole, and once.
func testLargeBatch(t *testing.T, address string) {
	s, batch := open(t, address), records(2000)
	for i := range batch {
		r := &batch[i]
		who := fmt.Sprint(i)
		r.Key, r.User, r.Team, r.Org, r.EndUser, r.Session, r.Model, r.Tags = who, who, who, who, who, who, who, []string{who}
	}
	for range 2 {
		if _, err := s.SaveRecords(t.Context(), "jrn", usage.Position{Segment: 1, Offset: 1}, batch); err != nil {
			t.Fatal(err)
		}
		sum, err := s.SumRecords(t.Context(), store.RecordFilter{})
		if err != nil || sum.Calls != 2000 || sum.Cost != 2000*1999/2 {
			t.Errorf("%+v, %v", sum, err)
		}
	}
}

func testLastUsed(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	if err := s.Edit(ctx, func(e *store.Edit) error {
		return errors.Join(e.Keys.Put(ctx, &account.Key{Hash: "hash"}), e.Keys.Put(ctx, &account.Key{Hash: "idle"}))
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveRecords(ctx, "j", usage.Position{}, records(5)); err != nil {
		t.Fatal(err)
	}
	used, err := s.LastUsed(ctx, "hash", "idle", "unknown")
	if err != nil || !maps.Equal(used, map[string]int64{"hash": 1002}) {
		t.Errorf("last used: %v %v", used, err)
	}
}

func testRecords(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	if err := s.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	want := append(records(123), usage.Record{ID: "zero", Start: 1})
	want[3].Lost = true
	if err := s.InsertRecords(ctx, want); err != nil {
		t.Fatal(err)
	}
	var got []usage.Record
	cursor := ""
	pages := 0
	for {
		page, next, err := s.Records(ctx, store.RecordFilter{}, 50, cursor)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		pages++
		if cursor = next; next == "" {
			break
		}
	}
	slices.SortFunc(want, func(a, b usage.Record) int {
		if a.Start != b.Start {
			return int(b.Start - a.Start)
		}
		return strings.Compare(b.ID, a.ID)
	})
	if d := cmp.Diff(want, got); d != "" || pages != 3 {
		t.Errorf("%d pages\n%s", pages, d)
	}
	if _, _, err := s.Records(ctx, store.RecordFilter{}, 50, "nonsense"); llm.AsError(err).Param != "cursor" {
		t.Errorf("bad cursor: %v", err)
	}
}

func testFilter(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	list := records(10)
	list[3].ErrorKind = llm.ErrTimeout
	if err := s.InsertRecords(ctx, list); err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	f := func(filter store.RecordFilter, want int) {
		t.Helper()
		got, _, err := s.Records(ctx, filter, 100, "")
		if err != nil || len(got) != want {
			t.Errorf("%+v: %d records, want %d; %v", filter, len(got), want, err)
		}
		sum, err := s.SumRecords(ctx, filter)
		if err != nil || sum.Calls != int64(want) || sum.Output != int64(2*want) {
			t.Errorf("%+v: %+v, %v", filter, sum, err)
		}
	}
	f(store.RecordFilter{}, 10)
	f(store.RecordFilter{User: "u0"}, 4)
	f(store.RecordFilter{ID: "call_0001", Key: "hash", Team: "t", Model: "m", Deployment: "d", Session: "s", EndUser: "e", RequestID: "r"}, 1)
	f(store.RecordFilter{Key: "' OR 1=1 --"}, 0)
	f(store.RecordFilter{From: 1001, To: 1003}, 4)
	f(store.RecordFilter{Failed: &yes}, 1)
	f(store.RecordFilter{Failed: &no}, 9)
	if sum, err := s.SumRecords(ctx, store.RecordFilter{}); err != nil || sum.Cost != 45 || sum.Failed != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func testExactlyOnce(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	list := records(60)
	changed := records(70)
	for i := range changed {
		changed[i].Model = "other"
	}
	changed = append(changed, changed[69]) // twice in one batch
	for _, batch := range [][]usage.Record{list, changed, list} {
		if err := s.InsertRecords(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.SumRecords(ctx, store.RecordFilter{})
	first, err2 := s.SumRecords(ctx, store.RecordFilter{Model: "m"})
	if err != nil || err2 != nil || got.Calls != 70 || first.Calls != 60 {
		t.Errorf("%d records, %d as first written; %v %v", got.Calls, first.Calls, err, err2)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.SaveRecords(cancelled, "j", usage.Position{Segment: 1, Offset: 2}, []usage.Record{record(99)}); err == nil {
		t.Error("saved after the context ended")
	}
	if p, err := s.JournalPosition(ctx, "j"); err != nil || p != (usage.Position{}) {
		t.Errorf("%v, %v", p, err)
	}
}

func testJournal(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	dir := t.TempDir()
	for round := range 3 {
		j, err := usage.OpenJournal(usage.JournalOptions{Dir: dir, SegmentBytes: 20_000, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 700 {
			r := record(round*1000 + i)
			if err := j.Append(&r); err != nil {
				t.Fatal(err)
			}
		}
		if err := usage.NewDrainer(j, s, log).Drain(ctx); err != nil {
			t.Fatal(err)
		}
		if lag := j.Stats().LagBytes; lag != 0 {
			t.Errorf("%d bytes left", lag)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := s.SumRecords(ctx, store.RecordFilter{}); err != nil || sum.Calls != 2100 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func testMeta(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	if _, err := s.Meta(ctx, "salt"); err != store.ErrNotFound {
		t.Errorf("unset: %v", err)
	}
	for _, v := range []string{"one", "two"} {
		if err := s.SetMeta(ctx, "salt", v); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Meta(ctx, "salt"); err != nil || got != v {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// testMigrateTogether opens a new database from several places at once, as replicas do.
func testMigrateTogether(t *testing.T, address string) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := store.Open(context.Background(), address, store.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := open(t, address).InsertRecords(context.Background(), records(1)); err != nil {
		t.Error(err)
	}
}

func testConcurrent(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5 {
				list := records(20)
				for k := range list {
					list[k].ID = fmt.Sprintf("%d-%d-%d", g, i, k)
				}
				if err := s.InsertRecords(ctx, list); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 5 {
				if _, _, err := s.Records(ctx, store.RecordFilter{}, 10, ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if sum, err := s.SumRecords(ctx, store.RecordFilter{}); err != nil || sum.Calls != 400 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestOpen_refuses(t *testing.T) {
	f := func(address, want string) {
		t.Helper()
		if _, err := store.Open(context.Background(), address, store.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v", address, err)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is told: %v", err)
		}
	}
	f("", "no address")
	f("mysql://a:hunter2@b/c", "mysql:// is not supported")
	f("postgres://weir:hunter2@127.0.0.1:1/db?schema=public&connection_limit=5", "migrate the database")
	f("postgres://weir:hunter2@127.0.0.1:notaport/db", "open the database")
}
