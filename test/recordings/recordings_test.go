package recordings

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/llm"
)

// tally counts how many exchanges came through, by client dialect and upstream dialect.
type tally struct {
	mu sync.Mutex
	n  map[[2]llm.Dialect]*count
}

type count struct{ all, good, excepted int }

func (c *tally) of(in, out llm.Dialect) *count {
	k := [2]llm.Dialect{in, out}
	if c.n[k] == nil {
		c.n[k] = &count{}
	}
	return c.n[k]
}

// run makes a subtest of one exchange in one pair of dialects and counts how it ends. What an exception covers must differ: a
// difference that has gone must leave the table.
func (c *tally) run(t *testing.T, x *exchange, in llm.Dialect, check func(problem)) {
	reason, except := "", false
	if in != x.Dialect {
		reason, except = excepted(x, in)
	}
	good := true
	t.Run(string(in)+"/"+x.Name, func(t *testing.T) {
		check(func(format string, args ...any) {
			good = false
			if except {
				t.Logf("excepted (%s): "+format, append([]any{reason}, args...)...)
			} else {
				t.Helper()
				t.Errorf(format, args...)
			}
		})
		if except && good {
			t.Error("is in the table of exceptions, but nothing differs")
		}
		good = good && !t.Failed()
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.of(in, x.Dialect)
	n.all++
	switch {
	case good:
		n.good++
	case except:
		n.excepted++
	}
}

// problem reports one difference.
type problem func(format string, args ...any)

// table is what -v prints.
func (c *tally) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-34s", "client dialect / recorded dialect")
	for _, out := range llm.Dialects {
		fmt.Fprintf(&b, "%18s", out)
	}
	sum := map[bool]*count{true: {}, false: {}}
	for _, in := range llm.Dialects {
		fmt.Fprintf(&b, "\n%-34s", in)
		for _, out := range llm.Dialects {
			n := c.of(in, out)
			cell := fmt.Sprintf("%d/%d", n.good, n.all)
			if n.excepted > 0 {
				cell += fmt.Sprintf(" (-%d)", n.excepted)
			}
			fmt.Fprintf(&b, "%18s", cell)
			s := sum[in == out]
			s.all, s.good, s.excepted = s.all+n.all, s.good+n.good, s.excepted+n.excepted
		}
	}
	same, cross := sum[true], sum[false]
	fmt.Fprintf(&b, "\nsame dialect, byte for byte both ways: %d of %d", same.good, same.all)
	fmt.Fprintf(&b, "\nacross dialects, equal to what was recorded: %d of %d; %d excepted with a reason", cross.good, cross.all, cross.excepted)
	return b.String()
}

// TestReplay sends every recorded exchange through a gateway: in its own dialect, and for clients of each of the other four.
func TestReplay(t *testing.T) {
	all, others := corpus()
	c := &tally{n: map[[2]llm.Dialect]*count{}}
	t.Run("pairs", func(t *testing.T) {
		for _, d := range llm.Dialects {
			t.Run(string(d), func(t *testing.T) {
				t.Parallel()
				l := newLane(t, d)
				for _, x := range all {
					if x.Dialect == d {
						replay(t, c, l, x)
					}
				}
			})
		}
	})
	t.Logf("%d exchanges replayed; %d more are in none of the five dialects\n%s", len(all), others, c.table())
}

func replay(t *testing.T, c *tally, l *lane, x *exchange) {
	t.Helper()
	c.run(t, x, x.Dialect, func(p problem) { checkSame(t, l, x, p) })
	if x.Op == opEmbed {
		in := llm.OpenAI
		if x.Dialect == in {
			in = llm.Gemini
		}
		c.run(t, x, in, func(p problem) { checkEmbed(t, l, in, x, p) })
		return
	}
	if x.Want == nil || x.Op != opChat {
		return
	}
	for _, in := range llm.Dialects {
		if in != x.Dialect {
			c.run(t, x, in, func(p problem) { checkCross(t, l, in, x, p) })
		}
	}
}
