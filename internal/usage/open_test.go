package usage

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestOpen_Report(t *testing.T) {
	var o Open
	start := time.Unix(1763730000, 0)
	calls := make([]*OpenCall, 40)
	for i := range calls {
		calls[i] = &OpenCall{Record: Record{ID: fmt.Sprintf("call-%02d", i)}}
		o.Begin(calls[i], start.Add(time.Duration(i)*time.Second))
	}
	end := func(n int, want bool) {
		t.Helper()
		if got := o.End(calls[n]); got != want {
			t.Errorf("call %d was reported: %v, want %v", n, got, want)
		}
	}
	end(0, false)
	if begun := o.Report(start.Add(10 * time.Second)); len(begun) != 9 {
		t.Fatalf("%d begun; want calls 1 to 9", len(begun))
	}
	end(5, true)
	end(5, false)
	end(20, false)
	if begun := o.Report(start.Add(time.Hour)); len(begun) != 29 {
		t.Fatalf("%d begun; want 29 more", len(begun))
	}
	for n := range calls {
		end(n, n != 0 && n != 5 && n != 20)
	}
	if begun := o.Report(start.Add(time.Hour)); len(begun) != 0 {
		t.Fatalf("%d begun after all have ended", len(begun))
	}
}

func TestOpen_concurrent(t *testing.T) {
	var o Open
	var callers, reporter sync.WaitGroup
	var mu sync.Mutex
	open := map[string]int{} // +1 by Report, -1 by an End that knows of it
	count := func(id string, n int) {
		mu.Lock()
		open[id] += n
		mu.Unlock()
	}
	done := make(chan struct{})
	reporter.Go(func() {
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			for _, r := range o.Report(time.Now().Add(time.Hour)) {
				count(r.ID, 1)
			}
		}
	})
	for g := range 8 {
		callers.Go(func() {
			for i := range 500 {
				c := OpenCall{Record: Record{ID: fmt.Sprintf("%d-%d", g, i)}}
				o.Begin(&c, time.Now())
				if o.End(&c) {
					count(c.Record.ID, -1)
				}
			}
		})
	}
	callers.Wait()
	close(done)
	reporter.Wait()
	for id, n := range open {
		if n != 0 {
			t.Errorf("%s: reported and ended %d times", id, n)
		}
	}
}
