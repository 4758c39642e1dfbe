// Package hosttest is what every fleet.Host must do, as a test suite that the packages under internal/host run on themselves. Only tests
// import it.
package hosttest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/fleet"
)

// Setup is one host and the backend it works on. New, Spec, Broken, Words, Settle and Running are required.
type Setup struct {
	// New gives a host. A second call within one test is a gateway started anew, which finds what the first one left.
	New func(t *testing.T) fleet.Host
	// Spec asks for one server of the first generation that comes up. Servers of different generations are the same but for that number.
	Spec func(id string) fleet.Spec
	// Broken asks for a server that can never come up, and Words are in the reason why.
	Broken func(id string) fleet.Spec
	Words  string
	// Settle lets the backend progress a little; it is called between two calls of the host.
	Settle func(t *testing.T)
	// Running counts the servers of a model that the backend runs, without asking the host.
	Running func(t *testing.T, id string) int
	// Left names what the backend keeps of a model, running or not, without asking the host. nil: the host's own List is believed.
	Left func(t *testing.T, id string) []string
	// Answers reports whether a server can be reached at its address. nil: the backend has no addresses to reach.
	Answers func(t *testing.T, url string) bool
	// Kill ends one server of a model behind the host's back.
	Kill func(t *testing.T, id string)
	// Said is a text that stands in every server's log; empty: the backend keeps no logs.
	Said string
	// Within bounds how long anything takes to come about; 0: 20 seconds.
	Within time.Duration
}

// Run runs the suite, each case as a test of its own.
func Run(t *testing.T, s Setup) {
	if s.Within == 0 {
		s.Within = 20 * time.Second
	}
	for _, c := range []struct {
		name string
		run  func(*run)
	}{
		{"idempotent", idempotent}, {"scale", scale}, {"sleep", sleep}, {"rollover", rollover}, {"delete", remove}, {"delete_midway", removeMidway},
		{"list", list}, {"broken", broken}, {"broken_rollover", brokenRollover}, {"restart", restart}, {"restart_rollover", restartRollover}, {"at_once", atOnce},
		{"replaced", replaced}, {"logs", logs}, {"cancelled", cancelled}, {"names", names},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(&run{Setup: s, T: t, h: s.New(t)}) })
	}
}

// run is one case.
type run struct {
	Setup
	*testing.T
	h fleet.Host
}

func (r *run) ensure(spec fleet.Spec) fleet.Observed {
	r.Helper()
	seen, err := r.h.Ensure(r.Context(), spec)
	if err != nil {
		r.Fatalf("Ensure: %v", err)
	}
	return seen
}

// until asks for a spec again and again until what is seen is as wanted. each looks at every step.
func (r *run) until(spec fleet.Spec, what string, wanted func(fleet.Observed) bool, each ...func(fleet.Observed)) fleet.Observed {
	r.Helper()
	end := time.Now().Add(r.Within)
	for {
		seen := r.ensure(spec)
		for _, look := range each {
			look(seen)
		}
		if wanted(seen) {
			return seen
		}
		if time.Now().After(end) {
			r.Fatalf("not within %v: %s; seen %+v", r.Within, what, seen)
		}
		r.Settle(r.T)
	}
}

// up brings a model up, and nothing but it.
func (r *run) up(spec fleet.Spec, each ...func(fleet.Observed)) fleet.Observed {
	r.Helper()
	seen := r.until(spec, "as many servers as wanted, ready, and no others", func(seen fleet.Observed) bool {
		if seen.Failure != "" {
			r.Fatalf("failed: %s", seen.Failure)
		}
		return ready(seen, spec.Generation) == int(spec.Replicas) && len(seen.Servers) == int(spec.Replicas)
	}, each...)
	r.running(spec.ModelID, int(spec.Replicas))
	return seen
}

// running waits until the backend runs n servers of a model.
func (r *run) running(id string, n int) {
	r.Helper()
	end := time.Now().Add(r.Within)
	for {
		got := r.Running(r.T, id)
		if got == n {
			return
		}
		if time.Now().After(end) {
			r.Fatalf("the backend runs %d servers of %s, want %d", got, id, n)
		}
		r.Settle(r.T)
	}
}

// gone deletes a model and holds that nothing of it stays.
func (r *run) gone(id string) {
	r.Helper()
	end := time.Now().Add(r.Within)
	for {
		gone, err := r.h.Delete(r.Context(), id)
		if err != nil {
			r.Fatalf("Delete: %v", err)
		}
		if gone {
			break
		}
		if time.Now().After(end) {
			r.Fatalf("not deleted within %v", r.Within)
		}
		r.Settle(r.T)
	}
	r.running(id, 0)
	if r.Left != nil {
		if left := r.Left(r.T, id); len(left) > 0 {
			r.Errorf("left behind of %s: %q", id, left)
		}
	}
	if slices.Contains(r.list(), id) {
		r.Errorf("%s is deleted and still listed", id)
	}
	if gone, err := r.h.Delete(r.Context(), id); err != nil || !gone {
		r.Errorf("deleted once more: %v, %v; want true", gone, err)
	}
}

func (r *run) list() []string {
	r.Helper()
	ids, err := r.h.List(r.Context())
	if err != nil {
		r.Fatalf("List: %v", err)
	}
	slices.Sort(ids)
	return ids
}

// ready counts the servers of a generation that answer.
func ready(seen fleet.Observed, generation int64) int {
	n := 0
	for _, s := range seen.Servers {
		if s.Ready && s.Generation == generation {
			n++
		}
	}
	return n
}

func serverIDs(seen fleet.Observed) []string {
	var out []string
	for _, s := range seen.Servers {
		out = append(out, s.ID)
	}
	slices.Sort(out)
	return out
}

// serving holds that at each step a server answers, and that what is said to be ready does.
func (r *run) serving(seen fleet.Observed) {
	r.Helper()
	n := 0
	for _, s := range seen.Servers {
		if !s.Ready {
			continue
		}
		n++
		if r.Answers != nil && !r.Answers(r.T, s.URL) {
			r.Errorf("server %s is said to be ready and does not answer at %s", s.ID, s.URL)
		}
	}
	if n == 0 {
		r.Errorf("a moment without a ready server: %+v", seen)
	}
}

// atMost holds that never more servers than that are there.
func (r *run) atMost(n int) func(fleet.Observed) {
	return func(seen fleet.Observed) {
		r.Helper()
		if len(seen.Servers) > n {
			r.Errorf("%d servers, at most %d were wanted: %+v", len(seen.Servers), n, seen)
		}
	}
}

// other is a spec for something else: so many servers of that generation.
func other(spec fleet.Spec, generation, replicas int64) fleet.Spec {
	spec.Generation, spec.Replicas = generation, replicas
	if spec.AutoScaling != nil {
		a := *spec.AutoScaling
		a.MaxCapacity = max(a.MaxCapacity, replicas)
		spec.AutoScaling = &a
	}
	return spec
}

// clean takes a case's model away at its end.
func (r *run) clean(ids ...string) {
	for _, id := range ids {
		r.gone(id)
	}
}

func idempotent(r *run) {
	spec := r.Spec("idem")
	first := serverIDs(r.up(spec, r.atMost(1)))
	for range 10 {
		r.Settle(r.T)
		seen := r.ensure(spec)
		if got := serverIDs(seen); !slices.Equal(got, first) || ready(seen, 1) != 1 || seen.Generation != 1 || seen.Failure != "" {
			r.Fatalf("asked again, it changed: was %q, is %+v", first, seen)
		}
	}
	r.running("idem", 1)
	for _, s := range r.ensure(spec).Servers {
		if !strings.HasPrefix(s.URL, "http") || s.Started.IsZero() {
			r.Errorf("a server without address or time: %+v", s)
		}
	}
	r.clean("idem")
}

func scale(r *run) {
	spec := r.Spec("scale")
	first := serverIDs(r.up(spec))
	three := serverIDs(r.up(other(spec, 1, 3), r.serving, r.atMost(3)))
	for _, id := range first {
		if !slices.Contains(three, id) {
			r.Errorf("scaling up replaced a server: %q, then %q", first, three)
		}
	}
	two := serverIDs(r.up(other(spec, 1, 2), r.serving, r.atMost(3)))
	for _, id := range two {
		if !slices.Contains(three, id) {
			r.Errorf("scaling down made a new server: %q, then %q", three, two)
		}
	}
	r.up(spec, r.serving, r.atMost(2))
	r.clean("scale")
}

func sleep(r *run) {
	spec := r.Spec("sleep")
	for range 2 {
		r.up(spec)
		r.up(other(spec, 1, 0))
	}
	r.up(spec)
	r.up(other(spec, 2, 0)) // a change that comes with the stop
	r.up(other(spec, 2, 1))
	r.clean("sleep")
}

func rollover(r *run) {
	spec := r.Spec("roll")
	r.up(other(spec, 1, 2))
	old := serverIDs(r.ensure(other(spec, 1, 2)))
	now := serverIDs(r.up(other(spec, 2, 2), r.serving))
	for _, id := range now {
		if slices.Contains(old, id) {
			r.Errorf("server %s is of both generations", id)
		}
	}
	r.up(other(spec, 3, 1), r.serving) // fewer at the same time
	r.clean("roll")
}

func remove(r *run) {
	r.gone("never-was")
	for range 2 { // an id may be used again
		r.up(other(r.Spec("del"), 1, 2))
		r.clean("del")
	}
	r.up(r.Spec("del"))
	r.up(other(r.Spec("del"), 1, 0))
	r.clean("del")
}

func removeMidway(r *run) {
	for _, steps := range []int{0, 1, 2, 3, 5} {
		for range steps {
			r.ensure(r.Spec("mid"))
			r.Settle(r.T)
		}
		if steps%2 == 1 {
			r.h = r.New(r.T)
		}
		r.clean("mid")
	}
}

func list(r *run) {
	if ids := r.list(); len(ids) > 0 {
		r.Errorf("listed before anything was made: %q", ids)
	}
	r.up(r.Spec("one"))
	r.up(r.Spec("two"))
	r.up(other(r.Spec("two"), 1, 0))
	if ids := r.list(); !slices.Contains(ids, "one") || len(slices.Compact(ids)) != len(r.list()) {
		r.Errorf("listed %q", ids)
	}
	r.h = r.New(r.T)
	if ids := r.list(); !slices.Contains(ids, "one") {
		r.Errorf("listed by a gateway started anew: %q", ids)
	}
	r.clean("one", "two")
	if ids := r.list(); len(ids) > 0 {
		r.Errorf("listed after all was deleted: %q", ids)
	}
}

// failing waits for the failure of a model and holds that it says why, and says it again.
func (r *run) failing(spec fleet.Spec, each ...func(fleet.Observed)) {
	r.Helper()
	seen := r.until(spec, "a failure", func(seen fleet.Observed) bool { return seen.Failure != "" }, each...)
	if !strings.Contains(seen.Failure, r.Words) {
		r.Errorf("the failure is %q; it should have the host's own words %q", seen.Failure, r.Words)
	}
	r.Settle(r.T)
	if again := r.ensure(spec); again.Failure == "" {
		r.Errorf("the failure is forgotten: %+v", again)
	}
}

func broken(r *run) {
	r.failing(r.Broken("broken"))
	r.up(other(r.Broken("broken"), 1, 0))
	r.up(other(r.Spec("broken"), 2, 1)) // repaired
	r.clean("broken")
	r.failing(r.Broken("broken"))
	r.clean("broken") // as it stands
}

func brokenRollover(r *run) {
	r.up(r.Spec("brokenroll"))
	r.failing(other(r.Broken("brokenroll"), 2, 1), r.serving)
	r.up(other(r.Spec("brokenroll"), 3, 1), r.serving)
	r.clean("brokenroll")
}

func restart(r *run) {
	spec := other(r.Spec("again"), 1, 2)
	r.up(spec, r.atMost(2), func(fleet.Observed) { r.h = r.New(r.T) })
	was := serverIDs(r.ensure(spec))
	r.h = r.New(r.T)
	if is := serverIDs(r.up(spec, r.atMost(2))); !slices.Equal(is, was) {
		r.Errorf("not adopted: %q, then %q", was, is)
	}
	r.up(other(spec, 1, 0), func(fleet.Observed) { r.h = r.New(r.T) })
	r.h = r.New(r.T)
	r.clean("again")
}

func restartRollover(r *run) {
	spec := r.Spec("againroll")
	r.up(spec)
	r.up(other(spec, 2, 1), r.serving, func(fleet.Observed) { r.h = r.New(r.T) })
	r.clean("againroll")
}

func atOnce(r *run) {
	spec := other(r.Spec("once"), 1, 2)
	end := time.Now().Add(r.Within)
	for done := false; !done; {
		results := make(chan error, 4)
		seen := make(chan fleet.Observed, 4)
		for range 4 {
			go func() {
				one, err := r.h.Ensure(r.Context(), spec)
				seen <- one
				results <- err
			}()
		}
		for range 4 {
			if err := <-results; err != nil {
				r.Fatalf("Ensure, four at once: %v", err)
			}
			one := <-seen
			r.atMost(2)(one)
			done = done || ready(one, 1) == 2
		}
		if time.Now().After(end) {
			r.Fatalf("not up within %v", r.Within)
		}
		r.Settle(r.T)
	}
	r.up(spec, r.atMost(2))
	r.clean("once")
}

func replaced(r *run) {
	spec := other(r.Spec("kill"), 1, 2)
	was := serverIDs(r.up(spec))
	r.Kill(r.T, "kill")
	r.until(spec, "the lost server is replaced", func(seen fleet.Observed) bool {
		if seen.Failure != "" {
			r.Fatalf("a server that had served was lost and the model failed: %s", seen.Failure)
		}
		return ready(seen, 1) == 2 && !slices.Equal(serverIDs(seen), was)
	}, r.serving)
	r.running("kill", 2)
	r.clean("kill")
}

func logs(r *run) {
	if lines, err := r.h.Logs(r.Context(), "unknown", 10); err != nil || len(lines) > 0 {
		r.Errorf("logs of an unknown model: %q, %v; want none", lines, err)
	}
	if r.Said == "" {
		return
	}
	r.up(other(r.Spec("logs"), 1, 2))
	lines, err := r.h.Logs(r.Context(), "logs", 100)
	if err != nil {
		r.Fatalf("Logs: %v", err)
	}
	said := 0
	for _, l := range lines {
		if strings.Contains(l, r.Said) {
			said++
		}
	}
	if said < 2 {
		r.Errorf("%q stands in the logs %d times, want one of each server: %q", r.Said, said, lines)
	}
	if one, err := r.h.Logs(r.Context(), "logs", 1); err != nil || len(one) != 1 || len(lines) > 0 && one[0] != lines[len(lines)-1] {
		r.Errorf("the last line: %q, %v; want the last of %q", one, err, lines)
	}
	r.clean("logs")
}

func cancelled(r *run) {
	spec := r.Spec("cancel")
	was := serverIDs(r.up(spec))
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	if seen, err := r.h.Ensure(ctx, spec); err == nil && ready(seen, 1) != 1 {
		r.Errorf("a cancelled call says that nothing is ready: %+v", seen)
	}
	if is := serverIDs(r.up(spec, r.serving, r.atMost(1))); !slices.Equal(is, was) {
		r.Errorf("a cancelled call changed something: %q, then %q", was, is)
	}
	r.clean("cancel")
}

// names holds that ids that look alike, or like paths, are models of their own.
func names(r *run) {
	ids := []string{"Mistral-7B", "mistral-7b", "mistral_7b", "org/model:tag", "../up", "héllo wörld", strings.Repeat("long", 24)}
	for _, id := range ids {
		r.up(r.Spec(id))
	}
	slices.Sort(ids)
	if got := r.list(); !slices.Equal(got, ids) {
		r.Errorf("listed %q, want %q", got, ids)
	}
	for i, id := range ids {
		r.gone(id)
		for _, rest := range ids[i+1:] {
			if seen := r.ensure(r.Spec(rest)); ready(seen, 1) != 1 {
				r.Errorf("deleting %q took %q along: %+v", id, rest, seen)
			}
		}
	}
}
