//go:build !race

package proxy_test

const raceSlack = 1.0
