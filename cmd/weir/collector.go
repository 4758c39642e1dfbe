package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// headroom is how much garbage may gather before the collector runs, whatever little is alive.
const headroom = 16 << 20

// tune lets garbage grow by the headroom or by as much as is alive, whichever is more. The runtime's own rule, a share of what is alive,
// collects a gateway's heap of a few megabytes many times a second, and lets one with thousands of open streams double and more. The rule
// is applied anew after each collection, which a finalizer tells.
func tune() {
	percent := 0
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	var after func(*[32]byte)
	after = func(*[32]byte) {
		metrics.Read(live)
		if p := gcPercent(live[0].Value.Uint64()); p != percent {
			percent = p
			debug.SetGCPercent(p)
		}
		runtime.SetFinalizer(new([32]byte), after)
	}
	after(nil)
}

// gcPercent is the headroom as a share of what is alive, in steps of 50, since a change stops the program for a moment.
func gcPercent(live uint64) int {
	return int(min(max(headroom*100/max(live, 1), 100), 400)) / 50 * 50
}
