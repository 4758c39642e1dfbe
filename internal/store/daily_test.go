package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
)

func testDaily(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	var list []usage.Record
	for i := range 12 {
		list = append(list, usage.Record{ID: fmt.Sprint(i), Start: int64(i%3)*day + 1000, End: int64(i%3)*day + 1000 + int64(i), Key: "k", User: fmt.Sprint("u", i%2),
			Model: fmt.Sprint("m", i%4), Provider: "p", Op: llm.OpChat, In: llm.OpenAI, Cost: llm.Nanos(i), Tags: []string{"all", fmt.Sprint("x", i%2)},
			Usage: llm.Usage{Input: 1, Output: 2, CacheRead: 3, CacheWrite: 4}})
	}
	list[3].ErrorKind = llm.ErrTimeout
	if err := s.InsertRecords(ctx, list); err != nil {
		t.Fatal(err)
	}
	f := func(q store.DailyQuery, total int64, want ...string) {
		t.Helper()
		groups, n, err := s.Daily(ctx, q)
		var got []string
		for _, g := range groups {
			got = append(got, fmt.Sprint(g.Names, g.Spend, g.Calls))
		}
		if d := cmp.Diff(want, got); d != "" || err != nil || n != total {
			t.Errorf("%+v: %d, %v\n%s", q, n, err, d)
		}
	}
	all, _, err := s.Daily(ctx, store.DailyQuery{})
	if err != nil || len(all) != 1 || all[0].Sums != (store.Sums{Spend: 66, Input: 12, Output: 24, Total: 36, CacheRead: 36, CacheWrite: 48, Calls: 12, Failed: 1, TimeMS: 63, Timed: 11}) {
		t.Errorf("%+v, %v", all, err)
	}
	f(store.DailyQuery{By: []store.Dim{store.ByDate}}, 3, "[1970-01-01] 18 4", "[1970-01-02] 22 4", "[1970-01-03] 26 4")
	f(store.DailyQuery{By: []store.Dim{store.ByDate}, Desc: true, Limit: 1, Offset: 1}, 3, "[1970-01-02] 22 4")
	f(store.DailyQuery{By: []store.Dim{store.ByUser}, Sort: "spend", Desc: true}, 2, "[u1] 36 6", "[u0] 30 6")
	f(store.DailyQuery{By: []store.Dim{store.ByUser, store.ByModel}, From: "1970-01-02", To: "1970-01-02", Sort: "model", Desc: true}, 4,
		"[u1 m3] 7 1", "[u0 m2] 10 1", "[u1 m1] 1 1", "[u0 m0] 4 1")
	f(store.DailyQuery{By: []store.Dim{store.ByTag}, Sort: "calls", Desc: true}, 3, "[all] 66 12", "[x0] 30 6", "[x1] 36 6")
	f(store.DailyQuery{In: map[store.Dim][]string{store.ByTag: {"x0"}, store.ByModel: {"m0", "m1"}}}, 1, "[] 12 3")
	f(store.DailyQuery{By: []store.Dim{store.ByKey}, In: map[store.Dim][]string{store.ByUser: nil}}, 0)
	for _, q := range []store.DailyQuery{{By: []store.Dim{"id; --"}}, {In: map[store.Dim][]string{"1=1 OR date": {"x"}}}, {By: []store.Dim{store.ByUser}, Sort: "date"}} {
		if _, _, err := s.Daily(ctx, q); err == nil {
			t.Errorf("%+v was taken", q)
		}
	}
	counts, err := s.RecordCounts(ctx, store.RecordFilter{ErrorKind: llm.ErrTimeout})
	if d := cmp.Diff([]store.RecordCount{{Day: 0, Model: "m3", ErrorKind: llm.ErrTimeout, Calls: 1}}, counts); d != "" || err != nil {
		t.Error(d, err)
	}
}

func testRecordPage(t *testing.T, address string) {
	ctx := context.Background()
	s := open(t, address)
	list := records(10)
	list[3].ErrorKind = llm.ErrTimeout
	list[4].Lost = true
	list[5].Tags = []string{`50%_"x"`}
	list[6].Org, list[6].KeyAlias, list[6].Provider, list[6].Status = "other", "mine", "q", 404
	if err := s.InsertRecords(ctx, list); err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	f := func(filter store.RecordFilter, p store.Page, total int64, want ...int) {
		t.Helper()
		got, n, err := s.RecordPage(ctx, filter, p)
		var costs []int
		for i := range got {
			costs = append(costs, int(got[i].Cost))
		}
		if err != nil || n != total || !slices.Equal(costs, want) {
			t.Errorf("%+v %+v: %d %v, %v", filter, p, n, costs, err)
		}
	}
	f(store.RecordFilter{}, store.Page{Limit: 3}, 10, 0, 1, 2)
	f(store.RecordFilter{}, store.Page{Sort: "cost", Desc: true, Limit: 2, Offset: 1}, 10, 8, 7)
	f(store.RecordFilter{}, store.Page{Offset: 10}, 10)
	f(store.RecordFilter{Keys: []string{"hash", "other"}, Users: []string{"u0"}}, store.Page{}, 4, 0, 3, 6, 9)
	f(store.RecordFilter{Teams: []string{}}, store.Page{}, 0)
	f(store.RecordFilter{Tag: `50%_"x"`}, store.Page{}, 1, 5)
	f(store.RecordFilter{Tag: `50__"x"`}, store.Page{}, 0)
	f(store.RecordFilter{Tag: "a"}, store.Page{Limit: 1}, 9, 0)
	f(store.RecordFilter{Org: "other", KeyAlias: "mine", Provider: "q", Status: 404}, store.Page{}, 1, 6)
	f(store.RecordFilter{Session: "s", EndUser: "e", Org: "o", MinCost: nanos(2), MaxCost: nanos(4), Failed: &no, Lost: &no}, store.Page{}, 1, 2)
	f(store.RecordFilter{Failed: &yes}, store.Page{}, 1, 3)
	f(store.RecordFilter{Lost: &yes}, store.Page{}, 1, 4)
	if _, _, err := s.RecordPage(ctx, store.RecordFilter{}, store.Page{Sort: "id; --"}); err == nil {
		t.Error("sorted by anything")
	}
}
