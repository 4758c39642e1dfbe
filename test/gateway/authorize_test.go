package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/test/gwtest"
)

const authorizeConfig = `
general_settings: {master_key: sk-master-of-this-gateway}
model_list:
  - {model_name: m, litellm_params: {model: openai/up, api_base: URL, api_key: k}, model_info: {id: dep-1}}
  - {model_name: n, litellm_params: {model: openai/up, api_base: URL, api_key: k}, model_info: {access_groups: [beta]}}
`

// TestAuthorize holds that who may call what is asked on every route.
func TestAuthorize(t *testing.T) {
	up := helloUpstream(t)
	g := gwtest.Start(t, strings.ReplaceAll(authorizeConfig, "URL", up.URL))
	f := func(key, method, path, body string, want int) {
		t.Helper()
		before := len(up.Requests())
		a := g.Do(t, method, path, body, "Authorization", "Bearer "+key)
		if a.Status != want {
			t.Errorf("%s %s %s: %d, want %d: %s", method, path, body, a.Status, want, a.Body)
		}
		if called := len(up.Requests()) > before; called && want != 200 {
			t.Errorf("%s %s %s went upstream", method, path, body)
		}
	}
	chat := func(key, model string, want int) {
		t.Helper()
		f(key, "POST", "/v1/chat/completions", strings.Replace(helloBody, `"m"`, `"`+model+`"`, 1), want)
	}
	make := func(fields string) string { return newKey(t, g, fields) }

	group := make(`"models":["beta"]`)
	chat(group, "n", 200)
	chat(group, "m", 403)
	chat(group, "dep-1", 403)
	alias := make(`"models":["m"],"aliases":{"mine":"m","other":"n"}`)
	chat(alias, "mine", 200)
	chat(alias, "other", 403)
	routes := make(`"allowed_routes":["/embeddings"]`)
	chat(routes, "m", 403)
	f(routes, "GET", "/key/info", "", 403)
	inference := make(`"key_type":"llm_api"`)
	chat(inference, "m", 200)
	f(inference, "GET", "/v1/models", "", 200)
	f(inference, "GET", "/key/info", "", 403)
	f(inference, "POST", "/key/generate", "{}", 403)
	reads := make(`"key_type":"read_only"`)
	chat(reads, "m", 403)
	f(reads, "GET", "/v1/models", "", 200)
	f(reads, "GET", "/key/info", "", 200)

	user := make(`"key_alias":"nobody's"`)
	for _, r := range []string{`POST /organization/new {"organization_alias":"x"}`, "POST /team/new {}", `POST /budget/new {"max_budget":1}`, `POST /customer/new {"user_id":"z"}`, "POST /key/generate {}"} {
		method, rest, _ := strings.Cut(r, " ")
		path, body, _ := strings.Cut(rest, " ")
		f(user, method, path, body, 401)
	}
	f(user, "GET", "/key/info", "", 200)

	// A limit of a model holds however the model is asked for.
	limited := make(`"model_rpm_limit":{"m":1}`)
	chat(limited, "m", 200)
	chat(limited, "dep-1", 429)
	chat(limited, "n", 200)
}

// TestGuessing holds that whoever tries keys is slowed down, and nobody else is.
func TestGuessing(t *testing.T) {
	up := helloUpstream(t)
	now := time.Now() // and stays, so that whoever is shut out is shut out
	g := gwtest.StartIn(t, t.TempDir(), strings.ReplaceAll(authorizeConfig, "URL", up.URL), app.Options{Now: func() time.Time { return now }})
	good, blocked := newKey(t, g, ""), newKey(t, g, `"blocked":true`)
	weak := newKey(t, g, `"key":"sk-12345"`)
	call := func(key string) *gwtest.Answer {
		return g.Post(t, "/v1/chat/completions", helloBody, "Authorization", "Bearer "+key)
	}
	statuses := map[int]int{}
	var last *gwtest.Answer
	for range 80 {
		last = call("sk-wrong-and-long-enough-to-be-one")
		statuses[last.Status]++
		if a := call(blocked); a.Status != 401 {
			t.Fatalf("a blocked key: %d", a.Status)
		}
	}
	if statuses[401] < 20 || statuses[429] < 20 || statuses[401]+statuses[429] != 80 {
		t.Errorf("answers %v", statuses)
	}
	if last.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if a := call(good); a.Status != 200 {
		t.Errorf("a good key of the same address: %d %s", a.Status, a.Body)
	}
	if a := call(weak); a.Status != 429 {
		t.Errorf("a key that can be guessed: %d %s", a.Status, a.Body)
	}
	if n := len(up.Requests()); n != 1 {
		t.Errorf("%d calls went upstream", n)
	}
}

// TestTeamModel holds that a model of one team is neither listed for others nor callable by them.
func TestTeamModel(t *testing.T) {
	up := helloUpstream(t)
	g := gwtest.Start(t, "model_list:\n- {model_name: m, litellm_params: {model: openai/up, api_base: '"+up.URL+"', api_key: k}, model_info: {team_id: red}}\n")
	for _, team := range []string{"red", "blue"} {
		if a := g.Post(t, "/team/new", `{"team_id":"`+team+`"}`); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	for team, want := range map[string]int{"red": 200, "blue": 403} {
		auth := "Bearer " + newKey(t, g, `"team_id":"`+team+`"`)
		a := g.Post(t, "/v1/chat/completions", helloBody, "Authorization", auth)
		listed := strings.Contains(string(g.Get(t, "/v1/models", "Authorization", auth).Body), `"id":"m"`)
		if a.Status != want || listed != (want == 200) {
			t.Errorf("team %s: %d, listed %v", team, a.Status, listed)
		}
	}
}
