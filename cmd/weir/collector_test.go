package main

import "testing"

func TestGCPercent(t *testing.T) {
	f := func(live uint64, want int) {
		t.Helper()
		if got := gcPercent(live); got != want {
			t.Errorf("%d bytes alive: %d, want %d", live, got, want)
		}
	}
	f(0, 400)
	f(4<<20, 400)
	f(6<<20, 250)
	f(12<<20, 100)
	f(1<<30, 100)
}
