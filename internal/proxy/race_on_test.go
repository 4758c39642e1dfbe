//go:build race

package proxy_test

// raceSlack: under the race detector a sync.Pool gives nothing back now and then, on purpose.
const raceSlack = 2
