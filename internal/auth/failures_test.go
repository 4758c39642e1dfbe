package auth

import (
	"fmt"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/llm"
)

func TestFailures(t *testing.T) {
	now := noon
	fs := NewFailures(FailureOptions{Free: 3}, func() time.Time { return now })
	const weak, strong = "sk-1234", "sk-aaaaaaaaaaaaaaaaaaaaaa"
	bad := unauthorized("no")
	fail := func(remote string, want int) {
		t.Helper()
		if got := fs.After(remote, bad); got.HTTPStatus() != want {
			t.Errorf("a failure of %s is answered %d, want %d", remote, got.HTTPStatus(), want)
		}
	}
	before := func(remote, key string, want bool) {
		t.Helper()
		if got := fs.Before(remote, key) == nil; got != want {
			t.Errorf("%s may try %s: %v", remote, key, got)
		}
	}
	const a, b = "192.0.2.1:1000", "192.0.2.2:1000"
	for range 3 {
		fail(a, 401)
	}
	before(a, weak, true)
	fail(a, 401) // one more, and a second of silence
	before(a, weak, false)
	before("192.0.2.1:7777", weak, false)
	before(b, weak, true)
	before(a, strong, true)
	fail(a, 429)
	fail(b, 401)
	now = now.Add(time.Second)
	before(a, weak, true)
	fail(a, 401)
	now = now.Add(time.Second)
	before(a, weak, false) // two seconds now
	now = now.Add(time.Second)
	before(a, weak, true)
	for range 20 {
		fail(a, 401)
		now = now.Add(time.Minute)
		before(a, weak, true)
	}
	now = now.Add(10 * time.Minute)
	for range 3 {
		fail(a, 401)
		before(a, weak, true)
	}
	if err := fs.After(a, llm.Errorf(llm.ErrPermission, "x")); err.HTTPStatus() != 403 {
		t.Error(err)
	}
	if fs.After(a, nil) != nil {
		t.Error("success is a failure")
	}
}

func TestFailures_networks(t *testing.T) {
	f := func(remote, want string) {
		t.Helper()
		if got := network(remote).String(); got != want {
			t.Errorf("%s is %s, want %s", remote, got, want)
		}
	}
	f("192.0.2.1:80", "192.0.2.1/32")
	f("[::ffff:192.0.2.1]:80", "192.0.2.1/32")
	f("[2001:db8:1:2:3:4:5:6]:80", "2001:db8:1:2::/64")
	f("[fe80::1%eth0]:80", "fe80::/64")
	f("192.0.2.1", "192.0.2.1/32")
	f("@", "invalid Prefix")
	f("", "invalid Prefix")
}

// However many addresses fail, few are remembered, and the one that fails most is not among those forgotten first.
func TestFailures_bounded(t *testing.T) {
	fs := NewFailures(FailureOptions{Free: 1, Size: 64, Most: time.Hour, First: time.Hour}, func() time.Time { return noon })
	const worst = "198.51.100.1:1"
	fs.After(worst, unauthorized("no"))
	fs.After(worst, unauthorized("no"))
	for i := range 10_000 {
		fs.After(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255), unauthorized("no"))
	}
	if len(fs.of) > 64 {
		t.Errorf("%d addresses are remembered", len(fs.of))
	}
	if fs.Before(worst, "sk-1") == nil {
		t.Error("the worst address was forgotten")
	}
}
