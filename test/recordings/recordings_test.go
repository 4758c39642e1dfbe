package recordings

import (
	"testing"

	"github.com/weir-gateway/weir/internal/llm"
)

// TestReplay sends every recorded exchange through a gateway.
func TestReplay(t *testing.T) {
	all, _ := corpus()
	for _, d := range llm.Dialects {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			l := newLane(t, d)
			for _, x := range all {
				if x.Dialect != d {
					continue
				}
				t.Run("same/"+x.Name, func(t *testing.T) { checkSame(t, l, x) })
				if x.Want == nil || x.Op != opChat {
					continue
				}
				for _, in := range llm.Dialects {
					if in != d {
						t.Run(string(in)+"/"+x.Name, func(t *testing.T) { checkCross(t, l, in, x) })
					}
				}
			}
		})
	}
}
