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
	o.End(calls[0]) // before anybody knew of it
	begun, ended := o.Report(start.Add(10 * time.Second))
	if len(begun) != 9 || len(ended) != 0 {
		t.Fatalf("%d begun and %d ended; want calls 1 to 9 and none", len(begun), len(ended))
	}
	o.End(calls[5])
	o.End(calls[5])
	o.End(calls[20])
	begun, ended = o.Report(start.Add(time.Hour))
	if len(begun) != 29 || len(ended) != 1 || ended[0] != "call-05" {
		t.Fatalf("%d begun, ended %v; want 29 more and call-05", len(begun), ended)
	}
	for _, c := range calls {
		o.End(c)
	}
	if begun, ended = o.Report(start.Add(time.Hour)); len(begun) != 0 || len(ended) != 37 {
		t.Fatalf("%d begun and %d ended after all have ended; want 0 and 37", len(begun), len(ended))
	}
}

func TestOpen_concurrent(t *testing.T) {
	var o Open
	var wg sync.WaitGroup
	open := map[string]bool{}
	report := func() {
		begun, ended := o.Report(time.Now().Add(time.Hour))
		for _, r := range begun {
			open[r.ID] = true
		}
		for _, id := range ended {
			if !open[id] {
				t.Errorf("%s ended without having begun", id)
			}
			delete(open, id)
		}
	}
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				c := OpenCall{Record: Record{ID: fmt.Sprintf("%d-%d", g, i)}}
				o.Begin(&c, time.Now())
				o.End(&c)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		report()
		select {
		case <-done:
			running = false
		default:
		}
	}
	report()
	if len(open) != 0 {
		t.Errorf("%d calls are still taken for open", len(open))
	}
}
