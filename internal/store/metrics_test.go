package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
)

// told is all that the store tells of metrics in some days.
type told struct {
	All      store.Everyone
	Tools    map[string]int64
	Models   map[string]store.Tokens
	Users    map[string]store.UserMetrics
	UserTool map[string]map[string]int64
	Sessions map[string]store.SessionMetrics // by user and session
}

// expected folds records as the metrics should: once each, whatever was said of a call before its own record came.
func expected(records map[string]usage.Record, days store.Days) told {
	x := told{All: store.Everyone{Groups: map[string]int64{}}, Tools: map[string]int64{}, Models: map[string]store.Tokens{},
		Users: map[string]store.UserMetrics{}, UserTool: map[string]map[string]int64{}, Sessions: map[string]store.SessionMetrics{}}
	latest := map[string]int64{}
	first, last := map[string]int64{}, map[string]int64{}
	groups := map[string][]string{}
	for _, r := range records {
		who := r.Person()
		if !r.Lost && r.Status < 400 {
			if first[who] == 0 || r.Start < first[who] {
				first[who] = r.Start
			}
			last[who] = max(last[who], r.Start)
			if len(r.Groups) > 0 && r.Start > latest[who] {
				latest[who], groups[who] = r.Start, r.Groups
			}
			x.session(&r)
		}
		if d := fmt.Sprintf("1970-01-%02d", r.Start/day+1); days.From != "" && d < days.From || days.To != "" && d > days.To {
			continue
		}
		x.day(&r)
	}
	for who := range x.Users {
		u := x.Users[who]
		if u.FirstSeen, u.LastSeen = first[who], last[who]; u.FirstSeen == 0 {
			delete(x.Users, who)
			continue
		}
		u.Groups = groups[who]
		x.Users[who] = u
		x.All.Users++
		for _, g := range u.Groups {
			x.All.Groups[g]++
		}
	}
	return x
}

func counted(r *usage.Record) (c store.Counts) {
	if r.Lost {
		return c
	}
	c.Prompts = r.Prompts
	if r.Retrieved {
		c.Retrieved = 1
	}
	for _, tool := range r.Tools {
		c.ToolCalls += tool.Calls
	}
	return c
}

func plus(c *store.Counts, t *store.Tokens, r *usage.Record) {
	more := counted(r)
	c.Prompts, c.Retrieved, c.ToolCalls = c.Prompts+more.Prompts, c.Retrieved+more.Retrieved, c.ToolCalls+more.ToolCalls
	t.Calls, t.Input, t.Output, t.Spend = t.Calls+1, t.Input+r.Usage.Input, t.Output+r.Usage.Output, t.Spend+r.Cost
}

func (x *told) day(r *usage.Record) {
	who := r.Person()
	u := x.Users[who]
	u.User = who
	plus(&u.Counts, &u.Tokens, r)
	x.Users[who] = u
	m := x.Models[r.Model]
	plus(&x.All.Counts, &m, r)
	x.Models[r.Model] = m
	if r.Lost {
		return
	}
	if x.UserTool[who] == nil {
		x.UserTool[who] = map[string]int64{}
	}
	for _, tool := range r.Tools {
		x.Tools[tool.Name] += tool.Calls
		x.UserTool[who][tool.Name] += tool.Calls
	}
}

func (x *told) session(r *usage.Record) {
	if r.SessionID() == "" {
		return
	}
	id := r.Person() + " " + r.SessionID()
	s, known := x.Sessions[id]
	if !known {
		s = store.SessionMetrics{Session: r.SessionID(), Tools: map[string]int64{}, FirstSeen: r.Start}
	}
	plus(&s.Counts, &s.Tokens, r)
	s.FirstSeen, s.LastSeen = min(s.FirstSeen, r.Start), max(s.LastSeen, r.Start)
	for _, tool := range r.Tools {
		s.Tools[tool.Name] += tool.Calls
	}
	x.Sessions[id] = s
}

// asTold asks the store for the same, users and sessions page by page.
func asTold(t *testing.T, s *store.Store, days store.Days) told {
	t.Helper()
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	x := told{Users: map[string]store.UserMetrics{}, UserTool: map[string]map[string]int64{}, Sessions: map[string]store.SessionMetrics{}}
	all, err := s.Everyone(ctx, days)
	must(err)
	x.All = *all
	x.Tools, err = s.ToolMetrics(ctx, "", days)
	must(err)
	x.Models, err = s.ModelMetrics(ctx, "", days)
	must(err)
	for after := ""; ; {
		page, err := s.UserPage(ctx, days, after, 2)
		must(err)
		for _, u := range page {
			one, err := s.UserMetrics(ctx, u.User, days)
			must(err)
			if d := cmp.Diff(u, *one); d != "" {
				t.Errorf("one user and the list: %s", d)
			}
			x.Users[u.User] = u
			x.UserTool[u.User], err = s.ToolMetrics(ctx, u.User, days)
			must(err)
			sessions, next, err := s.SessionPage(ctx, u.User, store.Days{}, 1, "")
			for must(err); ; must(err) {
				for _, one := range sessions {
					x.Sessions[u.User+" "+one.Session] = one
				}
				if next == "" {
					break
				}
				sessions, next, err = s.SessionPage(ctx, u.User, store.Days{}, 1, next)
			}
			after = u.User
		}
		if len(page) < 2 {
			return x
		}
	}
}

// testMetrics books random records, many of them several times and at once, some of them lost before their own came, and holds what is told
// of them against a fold.
func testMetrics(t *testing.T, address string) {
	ctx := context.Background()
	rnd := rand.New(rand.NewPCG(5, 6))
	records := map[string]usage.Record{}
	var all []usage.Record
	for i := range 200 {
		r := usage.Record{ID: fmt.Sprintf("c%03d", i), Start: int64(i)*day/40 + 1, Status: 200, Op: llm.OpChat, Model: fmt.Sprint("m", rnd.IntN(3)), Cost: llm.Nanos(rnd.IntN(50)),
			Usage: llm.Usage{Input: 1 + int64(rnd.IntN(9)), Output: int64(rnd.IntN(9))}, Prompts: int64(rnd.IntN(3)), Retrieved: rnd.IntN(4) == 0}
		switch who := fmt.Sprint("u", rnd.IntN(4)); rnd.IntN(4) {
		case 0:
			r.EndUser = who
		case 1:
			r.KeyAlias, r.Key = who, "k"
		default:
			r.User, r.EndUser = who, "e"
		}
		if rnd.IntN(3) > 0 {
			r.Session = fmt.Sprint("s", rnd.IntN(5))
		} else {
			r.Thread = uint64(rnd.IntN(3)) << 63
		}
		for n := range rnd.IntN(3) {
			r.Tools = append(r.Tools, llm.ToolUse{Name: fmt.Sprint("t", n, rnd.IntN(2)), Calls: 1 + int64(rnd.IntN(2))})
		}
		if rnd.IntN(3) == 0 {
			r.Groups = []string{fmt.Sprint("g", rnd.IntN(3)), "h"}
		}
		if rnd.IntN(10) == 0 {
			r.Status, r.ErrorKind, r.Prompts, r.Retrieved, r.Tools = 500, llm.ErrUpstream, 0, false, nil // charged, and not answered
		}
		records[r.ID] = r
		if rnd.IntN(5) == 0 {
			lost := r
			lost.Lost, lost.Cost, lost.Prompts, lost.Tools = true, 1000, 0, nil
			all = append(all, lost)
			if rnd.IntN(2) == 0 { // its own never comes
				records[r.ID] = lost
				continue
			}
		}
		all = append(all, r)
	}
	var wg sync.WaitGroup
	for g := range 3 {
		s, rnd := open(t, address), rand.New(rand.NewPCG(7, uint64(g)))
		wg.Go(func() {
			list := append([]usage.Record(nil), all...)
			rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			for len(list) > 0 {
				n := min(1+rnd.IntN(20), len(list))
				if _, err := s.SaveRecords(ctx, fmt.Sprint("j", g), usage.Position{}, list[:n]); err != nil {
					t.Error(err)
				}
				list = list[n:]
			}
		})
	}
	wg.Wait()
	s := open(t, address)
	for _, days := range []store.Days{{}, {From: "1970-01-02"}, {To: "1970-01-03"}, {From: "1970-01-02", To: "1970-01-02"}} {
		want := expected(records, days)
		for who := range want.UserTool {
			if _, seen := want.Users[who]; !seen {
				delete(want.UserTool, who)
			}
		}
		if d := cmp.Diff(want, asTold(t, s, days)); d != "" {
			t.Errorf("%v: (-want +got)\n%s", days, d)
		}
	}
	if _, err := s.UserMetrics(ctx, "nobody", store.Days{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if got := maps.Collect(maps.All(expected(records, store.Days{}).Sessions)); len(got) < 10 {
		t.Errorf("only %d sessions in the test", len(got))
	}
}
