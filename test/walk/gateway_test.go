package walk

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/test/gwtest"
)

type object = map[string]any

const (
	sonnet = "anthropic.claude-3-5-sonnet-20240620-v1:0"
	haiku  = "anthropic.claude-3-haiku-20240307-v1:0"
	mail   = "[email\u00a0protected]" // as the README has it
)

// newUser is what the README shows of an answer to /user/new. What the examples themselves decide stands in each.
const newUser = `{"key_alias":null,"duration":null,"models":[],"spend":0.0,"team_id":null,"max_parallel_requests":null,"metadata":{},"tpm_limit":null,
"rpm_limit":null,"budget_duration":"1mo","allowed_cache_controls":[],"soft_budget":null,"config":{},"permissions":{},"model_max_budget":{},
"send_invite_email":null,"model_rpm_limit":null,"model_tpm_limit":null,"guardrails":null,"blocked":null,"aliases":{},"key_name":null,"expires":null,
"token_id":null,"user_role":"internal_user","teams":null,"user_alias":null,"max_budget":1000000000.0}`

// newKey is what it shows of an answer to /key/generate.
const newKey = `{"key_alias":null,"duration":null,"models":[],"spend":0.0,"max_budget":null,"team_id":null,"max_parallel_requests":null,"metadata":{},
"tpm_limit":null,"rpm_limit":null,"budget_duration":null,"allowed_cache_controls":[],"soft_budget":null,"config":{},"permissions":{},"model_max_budget":{},
"send_invite_email":null,"model_rpm_limit":null,"model_tpm_limit":null,"guardrails":null,"blocked":null,"aliases":{},"expires":null}`

// gate is an upstream that answers at once, or holds its callers while it is shut.
type gate struct {
	arrived, open chan struct{}
}

func (g *gate) serve(w http.ResponseWriter, r *http.Request) {
	if g.arrived != nil {
		select {
		case g.arrived <- struct{}{}:
			<-g.open
		case <-r.Context().Done():
			return
		}
	}
	gwtest.JSON(200, `{"id":"x","object":"chat.completion","model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}],
"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10}}`)(w, r)
}

// site is a gateway configured as the README's is: its Bedrock models, its default budget, its sign-in.
type site struct {
	*gwtest.Gateway
	t    *testing.T
	okta *gwtest.Issuer
	gate *gate
}

func newSite(t *testing.T) *site {
	s := &site{t: t, okta: gwtest.StartIssuer(t), gate: &gate{}}
	up := gwtest.NewUpstream(t, s.gate.serve)
	var models strings.Builder
	for _, name := range []string{sonnet, haiku, "gpt-4o", "gpt-3.5-turbo-fake-model"} {
		fmt.Fprintf(&models, "- model_name: %q\n  litellm_params: {model: hosted_vllm/up, api_base: %s/v1, input_cost_per_token: 0.001, output_cost_per_token: 0.01}\n", name, up.URL)
	}
	env := map[string]string{"OKTA_ISSUER": s.okta.URL, "OKTA_AUDIENCE": "api://default"}
	s.Gateway = gwtest.StartIn(t, t.TempDir(), "model_list:\n"+models.String()+`
litellm_settings: {max_internal_user_budget: 1000000000.0, internal_user_budget_duration: "1mo"}
`, app.Options{Env: func(name string) string { return env[name] }})
	return s
}

// pasted posts a body as the README prints it: a 400 that says where the comma is wrong.
func (s *site) pasted(body string, line, column int) {
	s.t.Helper()
	a := s.Post(s.t, "/user/new", body)
	if want := fmt.Sprintf("line %d, column %d", line, column); a.Status != 400 || !strings.Contains(string(a.Body), want) {
		s.t.Errorf("as pasted: %d %s; want 400 and %s\n%s", a.Status, a.Body, want, body)
	}
}

// made posts a body and holds the answer against what the README shows, with the fields that are this example's.
func (s *site) made(path, authorization, body, shown, own string) object {
	s.t.Helper()
	a := s.Post(s.t, path, body, "Authorization", authorization)
	want, got := decode(s.t, []byte(shown)), decode(s.t, a.Body)
	maps.Copy(want, decode(s.t, []byte(own)))
	if a.Status != 200 {
		s.t.Fatalf("%s %s: %d %s", path, body, a.Status, a.Body)
	}
	for name, v := range want {
		g, ok := got[name]
		if text(v) != text(g) && (v != nil || !ok) { // a null says that the field is there
			s.t.Errorf("%s %s: %s is %s, want %s", path, body, name, text(g), text(v))
		}
	}
	if key, _ := got["key"].(string); !strings.HasPrefix(key, "sk-") {
		s.t.Fatalf("%s %s: no key in %s", path, body, a.Body)
	}
	return got
}

// chat asks a model with a key.
func (s *site) chat(made object, model string) *gwtest.Answer {
	s.t.Helper()
	return s.Post(s.t, "/v1/chat/completions", `{"model":"`+model+`","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`,
		"Authorization", "Bearer "+made["key"].(string))
}

// wants calls a model and checks the status.
func (s *site) wants(made object, model string, status int) *gwtest.Answer {
	s.t.Helper()
	a := s.chat(made, model)
	if a.Status != status {
		s.t.Errorf("%s: %d %s, want %d", model, a.Status, a.Body, status)
	}
	return a
}

// refused is a 429 that says when to come again.
func (s *site) refused(made object, model, says string) {
	s.t.Helper()
	if a := s.wants(made, model, 429); a.Header.Get("Retry-After") == "" || !strings.Contains(string(a.Body), says) {
		s.t.Errorf("%s: %v %s; want %s", model, a.Header, a.Body, says)
	}
}

// user is what /user/info says of the user that was made.
func (s *site) user(made object) object {
	s.t.Helper()
	a := s.Get(s.t, "/user/info?user_id="+made["user_id"].(string))
	info, _ := decode(s.t, a.Body)["user_info"].(object)
	return info
}

func decode(t *testing.T, raw []byte) (o object) {
	t.Helper()
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return o
}

func text(v any) string {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

const master = "Bearer " + gwtest.MasterKey

// TestUsers walks through "Create new user".
func TestUsers(t *testing.T) {
	s := newSite(t)
	address := func(body string, n int) string { // one address for one user
		return strings.Replace(body, mail, fmt.Sprintf("user-%d@example.com", n), 1)
	}

	t.Log("Create User with default budget defined in your config.yaml")
	first := s.made("/user/new", master, `{
     "user_email": "`+mail+`",
     "user_role": "internal_user"
 }`, newUser, `{"user_email":"`+mail+`"}`)
	if id, _ := first["user_id"].(string); len(id) != 36 {
		t.Errorf("user_id %q", id)
	}
	s.wants(first, sonnet, 200)

	t.Log("Create User with budget that overrides default")
	body := address(`{
     "user_email": "`+mail+`",
     "user_role": "internal_user"
     "max_budget": 1000.0,
     "budget_duration": "1mo"
 }`, 2)
	s.pasted(body, 4, 6)
	rich := s.made("/user/new", master, mended(body), newUser, `{"max_budget":1000.0,"user_email":"user-2@example.com"}`)
	if info := s.user(rich); info["max_budget"] != 1000.0 || info["budget_duration"] != "1mo" || info["budget_reset_at"] == nil {
		t.Errorf("its budget is %v per %v until %v", info["max_budget"], info["budget_duration"], info["budget_reset_at"])
	}
	poor := s.made("/user/new", master, `{"user_role":"internal_user","max_budget":0.05,"budget_duration":"1mo"}`, newUser, `{"max_budget":0.05}`)
	s.wants(poor, sonnet, 200) // 0.055 USD
	if a := s.wants(poor, sonnet, 422); !strings.Contains(string(a.Body), "budget_exceeded") {
		t.Errorf("over budget: %s", a.Body)
	}

	t.Log("Create user with a limit on TPM, RPM and max parallel requests")
	body = address(`{
     "user_email": "`+mail+`",
     "user_role": "internal_user"
     "tpm_limit": 10000,
     "rpm_limit": 10,
     "max_parallel_requests": 2
 }`, 3)
	s.pasted(body, 4, 6)
	slow := s.made("/user/new", master, mended(body), newUser,
		`{"tpm_limit":10000,"rpm_limit":10,"max_parallel_requests":2,"user_email":"user-3@example.com"}`)
	if info := s.user(slow); info["max_parallel_requests"] != 2.0 || info["tpm_limit"] != 10000.0 || info["rpm_limit"] != 10.0 {
		t.Errorf("a GET on the user: %s", text(info))
	}
	s.parallel(slow)
	for range 8 { // two were made in parallel
		s.wants(slow, sonnet, 200)
	}
	s.refused(slow, sonnet, "10")

	t.Log("Create a user that can only access Bedrock Claude 3.5 sonnet and Claude 3 Haiku")
	body = address(`{
     "user_email": "`+mail+`",
     "user_role": "internal_user"
     "models": ["`+sonnet+`", "`+haiku+`"],
 }`, 4)
	s.pasted(body, 4, 6)
	s.pasted(strings.Replace(body, `"internal_user"`, `"internal_user",`, 1), 4, 103) // the comma at the end
	choosy := s.made("/user/new", master, mended(body), newUser, `{"models":["`+sonnet+`","`+haiku+`"],"user_email":"user-4@example.com"}`)
	s.wants(choosy, sonnet, 200)
	s.wants(choosy, haiku, 200)
	if a := s.wants(choosy, "gpt-4o", 403); !strings.Contains(string(a.Body), "model_access_denied") {
		t.Errorf("another model: %s", a.Body)
	}
	listed := regexp.MustCompile(`"id":"([^"]*)"`).FindAllStringSubmatch(string(s.Get(t, "/v1/models", "Authorization", "Bearer "+choosy["key"].(string)).Body), -1)
	if len(listed) != 2 || listed[0][1] != sonnet || listed[1][1] != haiku {
		t.Errorf("its models: %v", listed)
	}

	t.Log("Create a user that has separate limits for different models")
	body = address(`{
     "user_email": "`+mail+`",
     "user_role": "internal_user"
     "model_rpm_limit": {"`+sonnet+`": 1, "`+haiku+`": 1},
     "model_tpm_limit": {"`+sonnet+`": 10000, "`+haiku+`": 20000},
 }`, 5)
	s.pasted(body, 4, 6)
	limits := `"model_rpm_limit":{"` + sonnet + `":1,"` + haiku + `":1},"model_tpm_limit":{"` + sonnet + `":10000,"` + haiku + `":20000}`
	apart := s.made("/user/new", master, mended(body), newUser, `{"user_email":"user-5@example.com","metadata":{`+limits+`},`+limits+`}`)
	if m, _ := s.user(apart)["metadata"].(object); text(m) != text(decode(t, []byte("{"+limits+"}"))) {
		t.Errorf("a GET on the user: %s", text(m))
	}
	for _, model := range []string{sonnet, haiku} {
		s.wants(apart, model, 200)
		s.refused(apart, model, model)
	}
	s.wants(apart, "gpt-4o", 200)
	hungry := s.made("/user/new", master, `{"user_role": "internal_user", "model_tpm_limit": {"`+sonnet+`": 10}}`, newUser,
		`{"model_tpm_limit":{"`+sonnet+`":10},"metadata":{"model_tpm_limit":{"`+sonnet+`":10}}}`)
	s.wants(hungry, sonnet, 200) // 10 tokens
	s.refused(hungry, sonnet, sonnet)

	t.Log("Set Priority of request")
	if a := s.Post(t, "/v1/chat/completions", `{
    "model": "gpt-3.5-turbo-fake-model",
    "messages": [
        {
        "role": "user",
        "content": "what is the meaning of the universe? 1234"
        }],
    "priority": 0
}`, "Authorization", "Bearer "+first["key"].(string)); a.Status != 200 {
		t.Errorf("priority: %d %s", a.Status, a.Body)
	}
}

// mended is an example with its commas put right: one after the role, none before a closing brace.
func mended(body string) string {
	body = regexp.MustCompile(`"internal_user"\n(\s*")`).ReplaceAllString(body, "\"internal_user\",\n$1")
	return regexp.MustCompile(`,(\s*\})`).ReplaceAllString(body, "$1")
}

// parallel holds two calls at the upstream and makes a third.
func (s *site) parallel(made object) {
	s.t.Helper()
	s.gate.arrived, s.gate.open = make(chan struct{}), make(chan struct{})
	answers := make(chan int, 2)
	for range 2 {
		go func() { answers <- s.chat(made, sonnet).Status }()
		<-s.gate.arrived
	}
	s.refused(made, sonnet, "parallel")
	held := s.gate.open
	s.gate.arrived = nil
	close(held)
	for range 2 {
		if status := <-answers; status != 200 {
			s.t.Errorf("one of two calls at once: %d", status)
		}
	}
}

// TestOkta walks through "Okta Oauth 2.0 JWT Token Auth Support".
func TestOkta(t *testing.T) {
	s := newSite(t)
	const sub = "ann@example.com"
	token := s.okta.Token(t, gwtest.Claims{"sub": sub, "email": sub})

	t.Log("create a user")
	user := s.made("/user/new", token, `{
 }`, newUser, `{"user_id":"`+sub+`","user_email":"`+sub+`"}`)
	s.wants(user, sonnet, 200)
	if info := s.user(user); info["user_role"] != "internal_user" || info["max_budget"] != 1e9 {
		t.Errorf("a GET on the user: %s", text(info))
	}

	t.Log("create additional api keys")
	key := "Bearer " + user["key"].(string)
	second := s.made("/key/generate", key, `{"user_id": "`+sub+`" }`, newKey, `{"user_id":"`+sub+`"}`)
	raw := second["key"].(string)
	sum := sha256.Sum256([]byte(raw))
	if second["token_id"] != hex.EncodeToString(sum[:]) || second["key_name"] != "sk-..."+raw[len(raw)-4:] || raw == user["key"] {
		t.Errorf("the second key: %s", text(second))
	}
	s.wants(second, sonnet, 200)

	t.Log("only someone with the master key is able to perform any admin operations")
	for _, who := range []string{token, key, "Bearer " + raw} {
		for path, body := range map[string]string{"/team/new": `{}`, "/budget/new": `{"max_budget":1}`, "/user/update": `{"user_id":"` + sub + `","max_budget":2}`,
			"/key/generate": `{"user_id":"bob@example.com"}`, "/user/delete": `{"user_ids":["` + sub + `"]}`} {
			if a := s.Post(t, path, body, "Authorization", who); a.Status != 401 && a.Status != 403 {
				t.Errorf("%s: %d %s", path, a.Status, a.Body)
			}
		}
	}

	t.Log("the bounds that the README leaves open")
	other := s.okta.Token(t, gwtest.Claims{"sub": "eve@example.com", "email": "eve@example.com"})
	for _, body := range []string{`{"max_budget": 2000000000}`, `{"user_role":"proxy_admin"}`, `{"user_id":"` + sub + `"}`, `{"teams":["team-x"]}`} {
		a := s.Post(t, "/user/new", body, "Authorization", other)
		var made object
		if json.Unmarshal(a.Body, &made) == nil && a.Status == 200 && (made["user_id"] != "eve@example.com" || made["user_role"] != "internal_user" ||
			made["max_budget"] != 1e9 || made["teams"] != nil && len(made["teams"].([]any)) > 0) {
			t.Errorf("%s: %s", body, a.Body)
		}
	}
	if a := s.Post(t, "/user/new", `{}`, "Authorization", s.okta.Token(t, gwtest.Claims{"sub": "eve@example.com", "aud": "api://other"})); a.Status != 401 {
		t.Errorf("a token for another audience: %d %s", a.Status, a.Body)
	}
}
