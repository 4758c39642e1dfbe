package limit

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// TestReserve_model holds any sequence of calls, drains and minutes against the plainest possible accounting.
func TestReserve_model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		l := New(Options{Now: c.now})
		subjects := []account.Subject{key("k"), {Kind: account.OfTeam, ID: "t"}, {Kind: account.OfKey, ID: "k", Model: "m"}}
		var rules []Rule
		for _, s := range subjects {
			r := Unlimited(s)
			r.RPM, r.TPM = rapid.Int64Range(-1, 5).Draw(t, "rpm"), rapid.Int64Range(-1, 50).Draw(t, "tpm")
			r.Parallel = rapid.Int64Range(-1, 4).Draw(t, "parallel")
			if n := llm.Nanos(rapid.Int64Range(-1, 100).Draw(t, "budget")); n >= 0 {
				r.Budget = &n
			}
			rules = append(rules, r)
		}
		b := l.Bind(rules)

		type open struct {
			r     *Reservation
			need  Need
			epoch int64
		}
		type undrained struct {
			cost  llm.Nanos
			start int64
			model bool
		}
		var calls []open
		var records []undrained
		var requests, tokens, held, parallel, spent, reserved, booked [3]int64
		var began [3][2]int64 // windows of requests and tokens
		applies := func(i int, model string) bool { return subjects[i].Model == "" || subjects[i].Model == model }
		epoch := func(i, d int) int64 { return began[i][d] }
		roll := func() {
			for i := range subjects {
				if began[i][0] != 0 && c.ms.Load()-began[i][0] >= minute {
					requests[i], began[i][0] = 0, 0
				}
				if began[i][1] != 0 && c.ms.Load()-began[i][1] >= minute {
					tokens[i], held[i], began[i][1] = 0, 0, 0
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"reserve": func(t *rapid.T) {
				roll()
				need := Need{Tokens: rapid.Int64Range(0, 30).Draw(t, "tokens"), Cost: llm.Nanos(rapid.Int64Range(0, 60).Draw(t, "cost")),
					Model: rapid.SampledFrom([]string{"m", "other"}).Draw(t, "model"), Start: c.ms.Load()}
				want := true
				for i, r := range rules {
					if !applies(i, need.Model) {
						continue
					}
					if r.RPM >= 0 && requests[i] >= r.RPM || r.TPM >= 0 && tokens[i]+held[i] >= r.TPM ||
						r.Parallel >= 0 && parallel[i] >= r.Parallel || r.Budget != nil && spent[i]+reserved[i] >= int64(*r.Budget) {
						want = false
					}
				}
				o := open{r: &Reservation{}, need: need}
				if f := l.Reserve(t.Context(), o.r, need, b); (f == nil) != want {
					t.Fatalf("refused by %+v, want admitted: %v", f, want)
				}
				if !want {
					return
				}
				for i, r := range rules {
					if !applies(i, need.Model) {
						continue
					}
					if r.RPM >= 0 {
						requests[i]++
						if began[i][0] == 0 {
							began[i][0] = need.Start
						}
					}
					if r.TPM >= 0 {
						held[i] += need.Tokens
						if began[i][1] == 0 {
							began[i][1] = need.Start
						}
					}
					parallel[i]++
					reserved[i] += int64(need.Cost)
				}
				o.epoch = need.Start
				calls = append(calls, o)
			},
			"settle": func(t *rapid.T) {
				if len(calls) == 0 {
					return
				}
				roll()
				n := rapid.IntRange(0, len(calls)-1).Draw(t, "which")
				o := calls[n]
				calls = append(calls[:n], calls[n+1:]...)
				used, cost := rapid.Int64Range(0, 40).Draw(t, "used"), llm.Nanos(rapid.Int64Range(0, 70).Draw(t, "cost"))
				o.r.Settle(used, cost)
				for i, r := range rules {
					if !applies(i, o.need.Model) {
						continue
					}
					// A window that the call was in is one that began no later than it did.
					if r.TPM >= 0 && epoch(i, 1) != 0 && epoch(i, 1) <= o.epoch {
						held[i] -= o.need.Tokens
						tokens[i] += used
					}
					parallel[i]--
					reserved[i] -= int64(o.need.Cost)
					spent[i] += int64(cost)
				}
				records = append(records, undrained{cost, o.need.Start, o.need.Model == "m"})
			},
			"drain": func(t *rapid.T) {
				var rows []account.Spend
				var charges []Charge
				for i, s := range subjects {
					for _, r := range records {
						if s.Model == "" || r.model {
							booked[i] += int64(r.cost)
							charges = append(charges, Charge{s, r.cost, r.start})
						}
					}
					rows = append(rows, account.Spend{Subject: s, Total: llm.Nanos(booked[i])})
				}
				l.Drained(rows, charges)
				records = nil
			},
			"wait": func(t *rapid.T) {
				c.add(time.Duration(rapid.IntRange(1, 45).Draw(t, "seconds")) * time.Second)
			},
			"": func(t *rapid.T) {
				for i, s := range subjects {
					st, _ := l.State(s)
					if int64(st.Spent) != spent[i] || int64(st.Reserved) != reserved[i] || st.Parallel != parallel[i] || int64(st.Total) != booked[i] {
						t.Fatalf("%v: %+v; want spent %d reserved %d parallel %d", s, st, spent[i], reserved[i], parallel[i])
					}
				}
			},
		})
	})
}
