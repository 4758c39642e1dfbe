package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/test/gwtest"
)

// newKey makes a key by the management API, with the fields given (JSON members).
func newKey(t *testing.T, g *gwtest.Gateway, fields string) string {
	t.Helper()
	a := g.Post(t, "/key/generate", "{"+fields+"}")
	var out struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(a.Body, &out); err != nil || a.Status != 200 || out.Key == "" {
		t.Fatalf("/key/generate {%s}: %d %s", fields, a.Status, a.Body)
	}
	return out.Key
}

const helloBody = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`

func helloUpstream(t *testing.T) *gwtest.Upstream {
	return gwtest.NewUpstream(t, gwtest.JSON(200, `{"id":"x","object":"chat.completion","model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10}}`))
}

// hello costs 0.055 USD: 5 tokens at 0.001 and 5 at 0.01.
const helloCost = 0.055

// TestBudgetRace holds that a thousand callers at once on a budget that pays for a hundred calls overspend it by less than one call's
// estimate, that nobody is refused falsely afterwards, and that the key's spend is the sum of its records.
func TestBudgetRace(t *testing.T) {
	up := helloUpstream(t)
	g := gwtest.Start(t, strings.Replace(pricedModel, "URL", up.URL, 1))
	key := newKey(t, g, fmt.Sprintf(`"max_budget":%v`, 100*helloCost))
	var ok, refused, other atomic.Int64
	// Each says how long the answer may be, so that the estimate is near the truth; it is above it all the same.
	body := strings.Replace(helloBody, `"messages"`, `"max_tokens":5,"messages"`, 1)
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			switch a := g.Post(t, "/v1/chat/completions", body, "Authorization", "Bearer "+key); a.Status {
			case 200:
				ok.Add(1)
			case http.StatusUnprocessableEntity:
				refused.Add(1)
			default:
				other.Add(1)
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	wg.Wait()
	// What was refused while others held a reservation may be asked again: up to the budget, each call is served.
	for range 200 {
		if a := g.Post(t, "/v1/chat/completions", body, "Authorization", "Bearer "+key); a.Status == 200 {
			ok.Add(1)
		}
	}
	if n := ok.Load(); n != 100 {
		t.Errorf("%d calls were served on a budget for 100 (%d refused)", n, refused.Load())
	}
	waitFor(t, func() bool {
		a := g.Get(t, "/key/info?key="+key)
		var info struct {
			Info struct {
				Spend float64 `json:"spend"`
			} `json:"info"`
		}
		return json.Unmarshal(a.Body, &info) == nil && info.Info.Spend > 99.99*helloCost && info.Info.Spend < 100.01*helloCost
	}, "the key's spend")
}

// waitFor waits for what the journal's way into the database makes true, for a few seconds at most.
func waitFor(t *testing.T, done func() bool, what string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if done() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestRateLimits holds that the call after the last allowed one is refused with everything a client needs, and that another key is not
// touched by it.
func TestRateLimits(t *testing.T) {
	up := helloUpstream(t)
	g := gwtest.Start(t, strings.Replace(pricedModel, "URL", up.URL, 1))
	key, free := newKey(t, g, `"rpm_limit":3`), newKey(t, g, ``)
	for i := range 5 {
		a := g.Post(t, "/v1/chat/completions", helloBody, "Authorization", "Bearer "+key)
		if want := i < 3; (a.Status == 200) != want {
			t.Errorf("call %d: %d %s", i+1, a.Status, a.Body)
		}
		if i < 3 && a.Header.Get("x-ratelimit-api_key-remaining-requests") != fmt.Sprint(2-i) {
			t.Errorf("call %d: headers %v", i+1, a.Header)
		}
		if i >= 3 && (a.Status != 429 || a.Header.Get("Retry-After") == "" || a.Header.Get("rate_limit_type") != "requests" || a.Header.Get("reset_at") == "" ||
			!strings.Contains(string(a.Body), "Rate limit exceeded for api_key")) {
			t.Errorf("call %d: %d %v %s", i+1, a.Status, a.Header, a.Body)
		}
	}
	if a := g.Post(t, "/v1/chat/completions", helloBody, "Authorization", "Bearer "+free); a.Status != 200 {
		t.Errorf("another key: %d %s", a.Status, a.Body)
	}
}

// TestBlockedAtOnce holds that what the management API answers is in force.
func TestBlockedAtOnce(t *testing.T) {
	up := helloUpstream(t)
	g := gwtest.Start(t, strings.Replace(pricedModel, "URL", up.URL, 1))
	key := newKey(t, g, `"models":["m"]`)
	call := func() int { return g.Post(t, "/v1/chat/completions", helloBody, "Authorization", "Bearer "+key).Status }
	f := func(path, body string, want int) {
		t.Helper()
		if a := g.Post(t, path, strings.ReplaceAll(body, "KEY", key)); a.Status != 200 {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
		if got := call(); got != want {
			t.Errorf("after %s %s: %d, want %d", path, body, got, want)
		}
	}
	if got := call(); got != 200 {
		t.Fatal(got)
	}
	f("/key/block", `{"key":"KEY"}`, 401)
	f("/key/unblock", `{"key":"KEY"}`, 200)
	f("/key/update", `{"key":"KEY","models":["other"]}`, 403)
	f("/key/update", `{"key":"KEY","models":["m"],"max_budget":0}`, 422)
	f("/key/update", `{"key":"KEY","max_budget":null}`, 200)
	f("/key/delete", `{"keys":["KEY"]}`, 401)
}

// TestResetSpend holds that a budget that is used up serves again at once when an administrator resets what was spent of it, or says that less was.
func TestResetSpend(t *testing.T) {
	up := helloUpstream(t)
	g := gwtest.Start(t, strings.Replace(pricedModel, "URL", up.URL, 1))
	key := newKey(t, g, `"max_budget":0.05`) // one call's cost is more
	call := func(want int) {
		t.Helper()
		if a := g.Post(t, "/v1/chat/completions", helloBody, "Authorization", "Bearer "+key); a.Status != want {
			t.Errorf("%d %s, want %d", a.Status, a.Body, want)
		}
	}
	spent := func() bool { return strings.Contains(string(g.Get(t, "/key/info?key="+key).Body), `"spend":0.055`) }
	call(200)
	call(http.StatusUnprocessableEntity)
	waitFor(t, spent, "the spend in the database")
	if a := g.Post(t, "/key/"+key+"/reset_spend", `{"reset_to":0}`); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	call(200)
	call(http.StatusUnprocessableEntity)
	waitFor(t, spent, "the spend in the database")
	if a := g.Post(t, "/key/update", `{"key":"`+key+`","spend":0.01}`); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	call(200)
}
