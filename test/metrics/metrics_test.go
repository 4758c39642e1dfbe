// Package metrics holds users' metrics against a whole gateway: what is counted of real calls in every dialect, and how it is told.
package metrics

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/mock"
	"github.com/weir-gateway/weir/test/gwtest"
)

// config has two models: demo speaks every dialect itself, so that calls go through as they are; up speaks OpenAI's chat alone, so that
// those of all other dialects are translated.
const config = `
model_list:
  - model_name: up
    litellm_params: {model: openai/up, api_key: k, api_base: "URL/v1", input_cost_per_token: 0.001, output_cost_per_token: 0.002}
`

func start(t *testing.T, database string) *gwtest.Gateway {
	t.Helper()
	s := mock.New(mock.Options{Answer: "demo"}, nil)
	up := gwtest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/chat/completions") {
			http.NotFound(w, r)
			return
		}
		s.ServeHTTP(w, r)
	})
	text := strings.Replace(config, "URL", up.URL, 1)
	if database != "" {
		text += "general_settings: {database_url: \"" + database + "\"}\n"
	}
	return gwtest.Start(t, text)
}

// both runs a test on either database.
func both(t *testing.T, f func(t *testing.T, g *gwtest.Gateway)) {
	t.Run("sqlite", func(t *testing.T) { f(t, start(t, "")) })
	t.Run("postgresql", func(t *testing.T) { f(t, start(t, gwtest.StartPostgres(t).Database(t))) })
}

// read asks for metrics until all calls are booked, which is when everyone's requests are as many as were made.
func read(t *testing.T, g *gwtest.Gateway, path string, calls int64) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		var all struct {
			Body struct {
				Requests int64 `json:"requests"`
			} `json:"body"`
		}
		a := g.Get(t, "/api/metrics/users/all")
		if err := json.Unmarshal(a.Body, &all); err != nil || a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		if all.Body.Requests >= calls {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d calls booked, %d made", all.Body.Requests, calls)
		}
		<-time.After(20 * time.Millisecond)
	}
	a := g.Get(t, path)
	if a.Status != 200 {
		t.Fatalf("%s: %d %s", path, a.Status, a.Body)
	}
	return string(a.Body)
}

// decoded is what stands in an envelope.
func decoded(t *testing.T, text string) object {
	t.Helper()
	var in struct {
		Status int    `json:"statusCode"`
		Body   object `json:"body"`
	}
	if err := json.Unmarshal([]byte(text), &in); err != nil || in.Status != 200 {
		t.Fatalf("%v: %s", err, text)
	}
	return in.Body
}

const (
	gmail    = "GMAIL-SEND-EMAIL"
	calendar = "GOOGLE_CALENDAR-LIST-EVENTS"
	session  = "c6d20198-b1b1-46d9-8bec-3ddaafeb96a6"
	john     = "john.doe@company.com"
)

// TestSeed makes the calls that LISA's documentation shows the metrics of: 31 prompts of three users, one with retrieved context, and 12 tool
// calls; in every dialect, streamed and not, each call with the whole history.
func TestSeed(t *testing.T) {
	both(t, func(t *testing.T, g *gwtest.Gateway) {
		calls := seedCalls(t, g)
		text := read(t, g, "/api/metrics/users/all", calls)
		const start = `{"statusCode":200,"body":{"totalUniqueUsers":3,"totalPrompts":31.0,"totalRagUsage":1.0,"ragUsagePercentage":3.225806451612903,` +
			`"totalMCPToolCalls":12.0,"mcpToolCallsPercentage":38.70967741935484,` +
			`"mcpToolUsage":{"GMAIL-SEND-EMAIL":11.0,"GOOGLE_CALENDAR-LIST-EVENTS":1.0},"userGroups":{"coffee-lovers":1,"lisa-enjoyers":2,"tea-lovers":2}`
		if !strings.HasPrefix(text, start+`,"requests":`+strconv.FormatInt(calls, 10)+",") {
			t.Errorf("everyone: %s\nwant %s ...", text, start)
		}
		text = read(t, g, "/api/metrics/users/"+john, calls)
		const own = `{"statusCode":200,"body":{"john.doe@company.com":{"totalPrompts":20.0,"ragUsageCount":1.0,"mcpToolCallsCount":12.0,` +
			`"mcpToolUsage":{"GMAIL-SEND-EMAIL":11.0,"GOOGLE_CALENDAR-LIST-EVENTS":1.0},"userGroups":["lisa-enjoyers","coffee-lovers"],"sessionMetrics":{`
		if !strings.HasPrefix(text, own) {
			t.Errorf("john: %s\nwant %s ...", text, own)
		}
		const one = `"c6d20198-b1b1-46d9-8bec-3ddaafeb96a6":{"ragUsage":0.0,"mcpToolUsage":{"GMAIL-SEND-EMAIL":3.0},"totalPrompts":5.0,"mcpToolCallsCount":3.0,`
		if !strings.Contains(text, one) {
			t.Errorf("john: %s\nwant a session %s ...", text, one)
		}
		me := decoded(t, text)[john].(object)
		sessions := me["sessionMetrics"].(object)
		if len(sessions) != 1+len(dialects) {
			t.Errorf("%d sessions, want one named and %d told by how they begin: %s", len(sessions), len(dialects), text)
		}
		var prompts float64
		for _, s := range sessions {
			prompts += s.(object)["totalPrompts"].(float64)
		}
		if prompts != 20 {
			t.Errorf("%v prompts in all sessions", prompts)
		}
		if _, err := time.Parse("2006-01-02T15:04:05.000000", me["firstSeen"].(string)); err != nil || me["lastSeen"].(string) < me["firstSeen"].(string) {
			t.Errorf("seen from %v to %v", me["firstSeen"], me["lastSeen"])
		}
		sums(t, me)
		ranges(t, g, me)
	})
}

// seedCalls makes them, and tells how many requests that took.
func seedCalls(t *testing.T, g *gwtest.Gateway) (calls int64) {
	t.Helper()
	jk, tea, both := key(t, g, john, "lisa-enjoyers", "coffee-lovers"), key(t, g, "tea", "tea-lovers"), key(t, g, "both", "tea-lovers", "lisa-enjoyers")
	c := &chat{g: g, d: dialects[0], model: "demo", headers: []string{"Authorization", jk, "X-Session-Id", session}}
	for i := range 5 {
		c.say(t, "prompt", map[bool]string{true: gmail}[i < 3])
	}
	calls = 8
	for i, d := range dialects {
		c := &chat{g: g, d: d, model: []string{"demo", "up"}[i%2], stream: i%2 == 0, headers: []string{"Authorization", jk}}
		tools := []string{gmail, gmail, ""}
		if i == len(dialects)-1 {
			tools = []string{calendar, "", ""}
		}
		for j, tool := range tools {
			prompt := fmt.Sprint("prompt ", j, " of ", i)
			if i == 1 && j == 1 {
				prompt = "FILE context: a page. " + prompt
			}
			c.say(t, prompt, tool)
			calls++
			if tool != "" {
				calls++
			}
		}
	}
	for i := range 11 {
		c := &chat{g: g, d: dialects[i%len(dialects)], model: []string{"up", "demo"}[i%2], stream: i%3 == 0, headers: []string{"Authorization", []string{tea, both}[i%2]}}
		c.say(t, fmt.Sprint("hello ", i), "")
		calls++
	}
	return calls
}

// sums holds that what each model used comes to what the user did.
func sums(t *testing.T, me object) {
	t.Helper()
	sum := map[string]float64{}
	for _, m := range me["modelUsage"].(object) {
		for name, n := range m.(object) {
			sum[name] += n.(float64)
		}
	}
	for name, n := range sum {
		if got := me[name].(float64); math.Abs(got-n) > 1e-9 || n == 0 {
			t.Errorf("%s: %v, its models say %v", name, got, n)
		}
	}
	if len(me["modelUsage"].(object)) != 2 {
		t.Errorf("models: %v", me["modelUsage"])
	}
}

// ranges holds that today holds everything and yesterday nothing.
func ranges(t *testing.T, g *gwtest.Gateway, me object) {
	t.Helper()
	today := me["lastSeen"].(string)[:10]
	first := me["firstSeen"].(string)[:10]
	if d := cmp.Diff(me, decoded(t, string(g.Get(t, "/api/metrics/users/"+john+"?from="+first+"&to="+today).Body))[john]); d != "" {
		t.Errorf("today: %s", d)
	}
	before := decoded(t, string(g.Get(t, "/api/metrics/users/"+john+"?to=2020-01-01").Body))[john].(object)
	if before["totalPrompts"] != 0.0 || len(before["sessionMetrics"].(object)) != 0 || len(before["mcpToolUsage"].(object)) != 0 || before["cost"] != 0.0 {
		t.Errorf("long ago: %v", before)
	}
	want := `{"statusCode":200,"body":{"totalUniqueUsers":0,"totalPrompts":0.0,"totalRagUsage":0.0,"ragUsagePercentage":0,"totalMCPToolCalls":0.0,` +
		`"mcpToolCallsPercentage":0,"mcpToolUsage":{},"userGroups":{},"requests":0,"promptTokens":0,"completionTokens":0,"cost":0,"modelUsage":{}}}`
	if got := string(g.Get(t, "/api/metrics/users/all?to=2020-01-01").Body); got != want {
		t.Errorf("everyone long ago: %s", got)
	}
	all, days := g.Get(t, "/api/metrics/users/all"), g.Get(t, "/api/metrics/users/all?from="+first)
	if d := cmp.Diff(string(all.Body), string(days.Body)); d != "" {
		t.Errorf("everyone today: %s", d)
	}
}

// TestConcurrent holds that calls at once are counted once each.
func TestConcurrent(t *testing.T) {
	both(t, func(t *testing.T, g *gwtest.Gateway) {
		const users, rounds = 4, 10
		var wg sync.WaitGroup
		for u := range users {
			k := key(t, g, fmt.Sprint("user", u), "g"+strconv.Itoa(u%2))
			for range 2 {
				wg.Go(func() {
					for i := range rounds {
						c := &chat{g: g, d: dialects[i%len(dialects)], model: "demo", stream: i%2 == 0, headers: []string{"Authorization", k}}
						c.say(t, "one", gmail)
						c.say(t, "two", "")
					}
				})
			}
		}
		wg.Wait()
		const calls = users * 2 * rounds * 3
		all := decoded(t, read(t, g, "/api/metrics/users/all", calls))
		if all["totalPrompts"] != float64(users*2*rounds*2) || all["totalMCPToolCalls"] != float64(users*2*rounds) || all["requests"] != float64(calls) ||
			all["totalUniqueUsers"] != float64(users) {
			t.Errorf("everyone: %v", all)
		}
		for u := range users {
			name := fmt.Sprint("user", u)
			me := decoded(t, read(t, g, "/api/metrics/users/"+name, calls))[name].(object)
			if me["totalPrompts"] != float64(2*rounds*2) || me["mcpToolCallsCount"] != float64(2*rounds) {
				t.Errorf("%s: %v", name, me)
			}
		}
	})
}
