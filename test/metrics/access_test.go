package metrics

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/test/gwtest"
)

// TestAccess holds who may read what, and how each refusal is said: with its own status and in the envelope.
func TestAccess(t *testing.T) {
	g := start(t, "")
	ann, all := key(t, g, "ann", "a"), key(t, g, "all", "b")
	nobodys := keyOf(t, g, `{"key_alias":"ann"}`)
	hello := func(k string) {
		(&chat{g: g, d: dialects[0], model: "demo", headers: []string{"Authorization", k}}).say(t, "hello", "")
	}
	hello(ann)
	hello(all)
	read(t, g, "/api/metrics/users/all", 2)
	f := func(key, path string, status int, body string) {
		t.Helper()
		a := g.Get(t, path, "Authorization", key)
		if a.Status != status || !strings.HasPrefix(string(a.Body), fmt.Sprintf(`{"statusCode":%d,"body":{%s`, status, body)) {
			t.Errorf("GET %s: %d %s; want %d ... %s", path, a.Status, a.Body, status, body)
		}
	}
	const refused = `"error":"AuthorizationError"`
	master := "Bearer " + gwtest.MasterKey
	f(ann, "/api/metrics/users/ann", 200, `"ann":{"totalPrompts":1.0,`)
	f(ann, "/api/metrics/users/all", 403, refused)
	f(ann, "/api/metrics/users/bob", 403, refused)
	f(ann, "/api/metrics/users/all?userId=ann", 200, `"ann":{`)
	f(all, "/api/metrics/users/all", 403, refused)
	f(all, "/api/metrics/users?userId=all", 200, `"all":{"totalPrompts":1.0,`)
	f(nobodys, "/api/metrics/users/ann", 403, refused) // a key's alias proves nothing
	f(master, "/api/metrics/users/ann", 200, `"ann":{`)
	f(master, "/api/metrics/users/all", 200, `"totalUniqueUsers":2,`)
	f(master, "/api/metrics/users/nobody", 404, `"error":"UserNotFoundError"`)
	f(master, "/api/metrics/users/no/body%2Fat%20all", 404, `"error":"UserNotFoundError"`)
	f(master, "/api/metrics/users/", 400, `"error":"InvalidInputError","message":"Missing userId parameter"`)
	f(master, "/api/metrics/users", 400, `"error":"InvalidInputError","message":"Missing userId parameter"`)
	f(master, "/api/metrics/users/a%00b", 400, `"error":"InvalidInputError","message":"Invalid userId parameter"`)
	f(master, "/api/metrics/users/"+strings.Repeat("a", 1025), 400, `"error":"InvalidInputError","message":"Invalid userId parameter"`)
	f(master, "/api/metrics/users/ann?from=yesterday", 400, `"error":"InvalidInputError"`)
	f(master, "/api/metrics/users/ann?from=2026-02-02&to=2026-02-01", 400, `"error":"InvalidInputError"`)
	f(master, "/api/metrics/users/ann?limit=0", 400, `"error":"InvalidInputError"`)
	f(master, "/api/metrics/users/ann?cursor=x", 400, `"error":"InvalidInputError"`)
	f(master, "/api/metrics/users/ann?format=xml", 400, `"error":"InvalidInputError"`)
	f("Bearer sk-unknown", "/api/metrics/users/ann", 401, `"error":"AuthenticationError"`)
	if a := g.Do(t, http.MethodPost, "/api/metrics/users/ann", "{}"); a.Status != 405 || a.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", a.Status, a.Header)
	}
}

// TestPages walks through a user's sessions page by page, and reads them as a table.
func TestPages(t *testing.T) {
	g := start(t, "")
	k := key(t, g, "ann", "a", "b")
	const sessions = 7
	for i := range sessions {
		c := &chat{g: g, d: dialects[0], model: "up", headers: []string{"Authorization", k, "X-LiteLLM-Session-Id", fmt.Sprint("=s", i)}}
		c.say(t, "hello", map[bool]string{true: gmail}[i == 3])
	}
	read(t, g, "/api/metrics/users/all", sessions+1)
	seen, cursor := map[string]bool{}, ""
	for pages := 1; ; pages++ {
		me := decoded(t, string(g.Get(t, "/api/metrics/users/ann?limit=3&cursor="+cursor).Body))["ann"].(object)
		for id := range me["sessionMetrics"].(object) {
			if seen[id] {
				t.Errorf("session %s is on two pages", id)
			}
			seen[id] = true
		}
		next, more := me["nextCursor"].(string)
		if !more {
			if pages != 3 || len(seen) != sessions {
				t.Errorf("%d sessions on %d pages", len(seen), pages)
			}
			break
		}
		cursor = strings.ReplaceAll(next, "=", "%3D")
	}
	a := g.Get(t, "/api/metrics/users/ann", "Accept", "text/csv")
	lines := strings.Split(strings.TrimSpace(string(a.Body)), "\n")
	if a.Status != 200 || a.Header.Get("Content-Type") != "text/csv; charset=utf-8" || len(lines) != sessions+1 ||
		!strings.HasPrefix(lines[0], "userId,sessionId,totalPrompts,") || !strings.HasPrefix(lines[sessions-3], "ann,'=s3,1,0,1,GMAIL-SEND-EMAIL=1,2,") {
		t.Errorf("%d %v\n%s", a.Status, a.Header, a.Body)
	}
	a = g.Get(t, "/api/metrics/users/all?format=csv")
	lines = strings.Split(strings.TrimSpace(string(a.Body)), "\n")
	if a.Status != 200 || len(lines) != 2 || !strings.HasPrefix(lines[1], "ann,a;b,7,0,1,8,") {
		t.Errorf("%d\n%s", a.Status, a.Body)
	}
	if a = g.Get(t, "/api/metrics/users/nobody?format=csv"); a.Status != 404 {
		t.Errorf("a table of nobody: %d", a.Status)
	}
}

// TestFailed holds that a call that was refused counts for nothing: its client will ask again.
func TestFailed(t *testing.T) {
	fail := true
	up := gwtest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if fail {
			gwtest.JSON(500, `{"error":{"message":"broken"}}`)(w, r)
			return
		}
		gwtest.JSON(200, `{"id":"x","object":"chat.completion","model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10}}`)(w, r)
	})
	g := gwtest.StartIn(t, t.TempDir(), strings.Replace(config, "URL", up.URL, 1), app.Options{})
	k := key(t, g, "ann")
	const body = `{"model":"up","messages":[{"role":"user","content":"hi"}]}`
	if a := g.Post(t, "/v1/chat/completions", body, "Authorization", k); a.Status < 500 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	fail = false
	if a := g.Post(t, "/v1/chat/completions", body, "Authorization", k); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	me := decoded(t, read(t, g, "/api/metrics/users/ann", 1))["ann"].(object)
	if me["totalPrompts"] != 1.0 || me["requests"] != 1.0 || me["promptTokens"] != 5.0 {
		t.Errorf("%v", me)
	}
}

// TestTeams holds that a user who calls with a key is in the groups of all their teams.
func TestTeams(t *testing.T) {
	g := start(t, "")
	k := key(t, g, "ann", "own")
	for _, alias := range []string{"red", "blue"} {
		if a := g.Post(t, "/team/new", fmt.Sprintf(`{"team_alias":%q,"members_with_roles":[{"role":"user","user_id":"ann"}]}`, alias)); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	(&chat{g: g, d: dialects[2], model: "demo", headers: []string{"Authorization", k}}).say(t, "hello", "")
	if text := read(t, g, "/api/metrics/users/ann", 1); !strings.Contains(text, `"userGroups":["own","blue","red"]`) {
		t.Error(text)
	}
}
