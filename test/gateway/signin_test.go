package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/test/gwtest"
)

// TestTokens_arrive holds that who calls with a token and is not known yet has a row soon after, one, with what new users get.
func TestTokens_arrive(t *testing.T) {
	o := gwtest.StartIssuer(t)
	g := gwtest.Start(t, `
environment_variables: {OKTA_ISSUER: "`+o.URL+`", OKTA_AUDIENCE: "api://default"}
general_settings:
  litellm_jwtauth: {user_id_upsert: true}
litellm_settings: {max_internal_user_budget: 7, default_internal_user_params: {user_role: proxy_admin, models: [demo]}}
`)
	chat := `{"model":"demo","messages":[{"role":"user","content":"hello there"}]}`
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			header := o.Token(t, gwtest.Claims{"sub": fmt.Sprintf("ann%d@example.com", i%2)})
			if a := g.Post(t, "/v1/chat/completions", chat, "Authorization", header); a.Status != 200 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	wg.Wait()
	for i := range 2 {
		path := fmt.Sprintf("/user/info?user_id=ann%d@example.com", i)
		waitFor(t, func() bool { return g.Get(t, path).Status == 200 }, path)
		a := g.Get(t, path)
		for _, want := range []string{`"max_budget":7`, `"user_role":"internal_user"`, `"models":["demo"]`} {
			if !strings.Contains(string(a.Body), want) {
				t.Errorf("%s: no %s in %s", path, want, a.Body)
			}
		}
		if a := g.Get(t, fmt.Sprintf("/audit?object_id=ann%d@example.com", i)); strings.Count(string(a.Body), `"created"`) != 1 {
			t.Errorf("made more than once: %s", a.Body)
		}
	}
}

// TestTokens_replaced holds that a reload with another issuer ends what the verifier of the former was fetching.
func TestTokens_replaced(t *testing.T) {
	o := gwtest.StartIssuer(t)
	asked, ended := make(chan struct{}, 10), make(chan struct{}, 10)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	}))
	defer silent.Close()
	former := silent.URL + "/oauth2/default"
	config := `environment_variables: {OKTA_ISSUER: "URL", OKTA_AUDIENCE: "api://default"}` + "\n"
	g := gwtest.Start(t, strings.Replace(config, "URL", former, 1))
	var wg sync.WaitGroup
	wg.Go(func() {
		if a := g.Get(t, "/v1/models", "Authorization", o.Token(t, gwtest.Claims{"iss": former, "sub": "ann@example.com"})); a.Status < 400 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
	<-asked
	g.WriteConfig(t, strings.Replace(config, "URL", o.URL, 1))
	g.App.Reload("test")
	select {
	case <-ended:
	case <-time.After(5 * time.Second): // a fetch would go on for ten
		t.Error("the former issuer is still being asked")
	}
	wg.Wait()
}

// TestTokens takes an Okta token where a key would stand, on a route of every dialect.
func TestTokens(t *testing.T) {
	o := gwtest.StartIssuer(t)
	g := gwtest.Start(t, `
environment_variables: {OKTA_ISSUER: "`+o.URL+`", OKTA_AUDIENCE: "api://default"}
general_settings:
  litellm_jwtauth: {user_id_upsert: true, user_allowed_email_domain: example.com}
weir:
  oidc: {admin_claim: groups, admin_values: [gateway-admins]}
`)
	chat := `{"model":"demo","messages":[{"role":"user","content":"hello there"}]}`
	routes := map[string]string{
		"/v1/chat/completions":                chat,
		"/v1/messages":                        `{"model":"demo","max_tokens":50,"messages":[{"role":"user","content":"hello there"}]}`,
		"/v1/responses":                       `{"model":"demo","input":"hello there"}`,
		"/bedrock/model/demo/converse":        `{"messages":[{"role":"user","content":[{"text":"hello there"}]}]}`,
		"/v1beta/models/demo:generateContent": `{"contents":[{"role":"user","parts":[{"text":"hello there"}]}]}`,
		"/v2/serve/chat/completions":          chat,
	}
	f := func(name, header string, status int, says string) {
		t.Helper()
		for path, body := range routes {
			if a := g.Post(t, path, body, "Authorization", header); a.Status != status || !strings.Contains(string(a.Body), says) {
				t.Errorf("%s, %s: %d %s; want %d %s", name, path, a.Status, a.Body, status, says)
			}
		}
	}
	good := o.Token(t, gwtest.Claims{"sub": "ann@example.com"})
	f("a user", good, 200, "hello there")
	f("again", good, 200, "hello there")
	f("cut", good[:len(good)-4]+"AAAA", 401, "Invalid or expired token")
	f("no sub", o.Token(t, nil), 403, "No sub claim found in the token")
	f("expired", o.Token(t, gwtest.Claims{"sub": "ann@example.com", "nbf": 4102444800}), 401, "Invalid or expired token")
	f("another domain", o.Token(t, gwtest.Claims{"sub": "ann@example.org"}), 403, "domain example.com")
	if log := g.Log.String(); strings.Contains(log, good[len("Bearer "):]) {
		t.Error("a token stands in the log")
	}
}
