package replicas

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/test/gwtest"
)

// changes: what is changed on one replica holds on the other within a second.
func changes(t *testing.T, pg *gwtest.Postgres, _ *gwtest.Redis) {
	up := newUpstream(t, 0)
	w := newWorld(t, pg, nil, up.URL, "")
	one, two := w.gateway(t), w.gateway(t)
	key := ""
	f := func(path, body string, before, after int) {
		t.Helper()
		if body = strings.ReplaceAll(body, "KEY", key); path == "/key/generate" {
			key = newKey(t, one, body)
		} else if a := one.Post(t, path, body); a.Status != http.StatusOK {
			t.Fatalf("%s %s: %d %s", path, body, a.Status, a.Body)
		}
		if s, _ := call(t, one.URL, key, hello); s != after {
			t.Errorf("%s %s: here at once: %d, want %d", path, body, s, after)
		}
		took := within(t, time.Second, path+" "+body, func() bool {
			s, _ := call(t, two.URL, key, hello)
			if s != before && s != after {
				t.Fatalf("%s %s: %d", path, body, s)
			}
			return s == after
		})
		t.Logf("%s: %v", path, took.Round(time.Millisecond))
	}
	f("/key/generate", `"models":["m"],"rpm_limit":100000`, 401, 200)
	f("/key/block", `{"key":"KEY"}`, 200, 401)
	f("/key/unblock", `{"key":"KEY"}`, 401, 200)
	f("/key/update", `{"key":"KEY","rpm_limit":1}`, 200, 429)
	f("/key/update", `{"key":"KEY","rpm_limit":null}`, 429, 200)
	f("/key/update", `{"key":"KEY","max_budget":0}`, 200, 422)
	f("/key/update", `{"key":"KEY","max_budget":null}`, 422, 200)
	f("/key/update", `{"key":"KEY","models":["late"]}`, 200, 403)
	f("/key/update", `{"key":"KEY","models":[]}`, 403, 200)

	late := strings.Replace(hello, `"m"`, `"late"`, 1)
	if s, _ := call(t, two.URL, key, late); s == http.StatusOK {
		t.Fatal("a model that nobody added is there")
	}
	if a := one.Post(t, "/model/new", fmt.Sprintf(`{"model_name":"late","litellm_params":{"model":"openai/up","api_key":"k","api_base":%q}}`, up.URL)); a.Status != http.StatusOK {
		t.Fatalf("/model/new: %d %s", a.Status, a.Body)
	}
	within(t, time.Second, "/model/new", func() bool { s, _ := call(t, two.URL, key, late); return s == http.StatusOK })
	f("/key/delete", `{"keys":["KEY"]}`, 200, 401)
}

// spendShared: replicas that have nothing but PostgreSQL in common know within a second what the others have spent, and serve no more than
// that allows.
func spendShared(t *testing.T, pg *gwtest.Postgres, _ *gwtest.Redis) {
	up := newUpstream(t, 0)
	w := newWorld(t, pg, nil, up.URL, "")
	one, two := w.gateway(t), w.gateway(t)
	key := newKey(t, one, `"max_budget":1.1`) // pays for 20
	knows(t, two, key)
	served := int64(0) // by the one that is called until nothing is left
	for last := time.Now(); time.Since(last) < 2*time.Second && w.spent(t, key) < 20*helloCost; {
		if s, _ := call(t, one.URL, key, hello); s == http.StatusOK {
			served, last = served+1, time.Now()
		}
	}
	other := int64(0)
	took := within(t, time.Second, "the other refuses", func() bool {
		s, _ := call(t, two.URL, key, hello)
		if s == http.StatusOK {
			other++
		}
		return s == http.StatusUnprocessableEntity
	})
	within(t, 5*time.Second, "all is booked", func() bool { return w.spent(t, key) == (served+other)*helloCost })
	if served != 20 {
		t.Errorf("%d calls were served on a budget for 20", served)
	}
	t.Logf("the other refused after %v, and %d calls", took.Round(time.Millisecond), other)
	// What an administrator gives back is there on both.
	if a := one.Post(t, "/key/update", `{"key":"`+key+`","spend":0}`); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	for _, g := range []string{one.URL, two.URL} {
		within(t, time.Second, "the key is free again", func() bool { s, _ := call(t, g, key, hello); return s == http.StatusOK })
	}
}
