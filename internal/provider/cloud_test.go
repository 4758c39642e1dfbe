package provider

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAzure_addresses(t *testing.T) {
	const r = "https://r.openai.azure.com"
	f := func(model, base, version string, op llm.Op, d llm.Dialect, want string) {
		t.Helper()
		u, err := Factory{}.New(config.Params{Model: model, APIBase: base, APIVersion: version, APIKey: secret}, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		req, err := u.Request(context.Background(), op, d, false, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if got := req.URL.String(); got != want {
			t.Errorf("%s at %s %s:\n got %s\nwant %s", model, base, version, got, want)
		}
		if req.Header.Get("Api-Key") != secret || req.Header.Get("Authorization") != "" {
			t.Errorf("headers %v", req.Header)
		}
		if strings.Contains(u.Base, "?") {
			t.Errorf("base %s", u.Base)
		}
	}
	chat := func(dep, v string) string {
		return r + "/openai/deployments/" + dep + "/chat/completions?api-version=" + v
	}
	f("azure/dep", r, "2024-10-21", llm.OpChat, llm.OpenAI, chat("dep", "2024-10-21"))
	f("azure/dep", r+"/", "", llm.OpChat, llm.OpenAI, chat("dep", azureVersion))
	f("azure/dep", r+"/openai", "2024-10-21", llm.OpChat, llm.OpenAI, chat("dep", "2024-10-21"))
	f("azure/dep", r+"?api-version=2023-05-15", "", llm.OpChat, llm.OpenAI, chat("dep", "2023-05-15"))
	f("azure/any", r+"/openai/deployments/dep", "2024-10-21", llm.OpChat, llm.OpenAI, chat("dep", "2024-10-21"))
	f("azure/any", r+"/openai/deployments/dep/chat/completions?api-version=2024-10-21", "", llm.OpChat, llm.OpenAI, chat("dep", "2024-10-21"))
	f("azure/dep a", r, "2024-10-21", llm.OpChat, llm.OpenAI, chat("dep%20a", "2024-10-21"))
	f("azure/o_series/dep", r, "2024-10-21", llm.OpChat, llm.OpenAI, chat("dep", "2024-10-21"))
	f("azure/dep", r, "2024-10-21", llm.OpEmbed, llm.OpenAI, r+"/openai/deployments/dep/embeddings?api-version=2024-10-21")
	f("azure/dep", r+"/openai/v1", "", llm.OpChat, llm.OpenAI, r+"/openai/v1/chat/completions")
	f("azure/dep", r+"/openai/v1/", "2024-10-21", llm.OpChat, llm.OpenAI, r+"/openai/v1/chat/completions")
	f("azure/dep", r+"/openai/v1", "preview", llm.OpChat, llm.OpenAI, r+"/openai/v1/chat/completions?api-version=preview")
	f("azure/dep", r, "v1", llm.OpChat, llm.OpenAI, r+"/openai/v1/chat/completions")
	f("azure/dep", r, "2025-04-01-preview", llm.OpChat, llm.Responses, r+"/openai/responses?api-version=2025-04-01-preview")
	f("azure/dep", r, "2024-10-21", llm.OpChat, llm.Responses, r+"/openai/v1/responses")
	f("azure/dep", r+"/openai/v1/", "", llm.OpChat, llm.Responses, r+"/openai/v1/responses")
	f("azure/dep", r, "preview", llm.OpChat, llm.Responses, r+"/openai/v1/responses?api-version=preview")
	f("azure/dep", "https://gateway.example/llm", "2024-10-21", llm.OpChat, llm.OpenAI, "https://gateway.example/llm/openai/deployments/dep/chat/completions?api-version=2024-10-21")
}

func TestAzureAI_addresses(t *testing.T) {
	f := func(model, base, want, header string) {
		t.Helper()
		u, err := Factory{}.New(config.Params{Model: model, APIBase: base, APIKey: secret}, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		req, err := u.Request(context.Background(), llm.OpChat, u.Dialects[0], false, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if got := req.URL.String(); got != want || !strings.HasSuffix(req.Header.Get(header), secret) {
			t.Errorf("%s at %s: %s %v", model, base, got, req.Header)
		}
	}
	const r = "https://r.services.ai.azure.com"
	f("azure_ai/m", r, r+"/models/chat/completions?api-version=2024-05-01-preview", "Api-Key")
	f("azure_ai/m", r+"/models/", r+"/models/chat/completions?api-version=2024-05-01-preview", "Api-Key")
	f("azure_ai/m", r+"/openai/v1/", r+"/openai/v1/chat/completions", "Api-Key")
	f("azure_ai/m", "https://x.eastus.models.ai.azure.com", "https://x.eastus.models.ai.azure.com/v1/chat/completions", "Authorization")
	f("azure_ai/claude-sonnet-4-5", r, r+"/anthropic/v1/messages", "X-Api-Key")
	f("azure_ai/claude-sonnet-4-5", r+"/anthropic/v1/messages", r+"/anthropic/v1/messages", "X-Api-Key")
}

// tokenServer gives numbered tokens and keeps the form of the last request.
type tokenServer struct {
	*httptest.Server
	n     int
	path  string
	form  url.Values
	head  http.Header
	life  int
	reply func(w http.ResponseWriter)
}

func newTokenServer(t *testing.T) *tokenServer {
	t.Helper()
	s := &tokenServer{life: 3600}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.n++
		s.path, s.head = r.URL.Path, r.Header
		if s.form, err = url.ParseQuery(string(b)); err != nil {
			t.Error(err)
		}
		for k, v := range r.URL.Query() {
			s.form[k] = v
		}
		w.Header().Set("Content-Type", "application/json")
		if s.reply != nil {
			s.reply(w)
			return
		}
		fmt.Fprintf(w, `{"access_token":"token%d","token_type":"Bearer","expires_in":%d}`, s.n, s.life)
	}))
	t.Cleanup(s.Close)
	return s
}

// redirected sends everything to a test server, whatever host it is for.
type redirected struct{ to *httptest.Server }

func (r redirected) Do(req *http.Request) (*http.Response, error) {
	u, err := url.Parse(r.to.URL)
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("X-Meant", req.URL.Host)
	req.URL.Scheme, req.URL.Host, req.Host = u.Scheme, u.Host, ""
	return r.to.Client().Do(req)
}

func tokenOf(t *testing.T, u *Upstream) string {
	t.Helper()
	req, err := u.Request(context.Background(), llm.OpChat, u.Dialects[0], false, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	return req.Header.Get("Authorization")
}

func TestAzure_entra(t *testing.T) {
	s := newTokenServer(t)
	p := config.Params{Model: "azure/dep", APIBase: "https://r.openai.azure.com"}
	f := func(a config.Azure, env map[string]string, path string, form map[string]string) {
		t.Helper()
		q := p
		q.Azure = a
		u, err := Factory{Env: envOf(env), HTTP: redirected{s.Server}}.New(q, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("Bearer token%d", s.n+1)
		for range 3 {
			if got := tokenOf(t, u); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		if s.path != path {
			t.Errorf("asked at %s, want %s", s.path, path)
		}
		for k, v := range form {
			if s.form.Get(k) != v {
				t.Errorf("%s is %q, want %q", k, s.form.Get(k), v)
			}
		}
	}
	scope := "https://cognitiveservices.azure.com/.default"
	f(config.Azure{TenantID: "ten", ClientID: "cli", ClientSecret: secret}, nil, "/ten/oauth2/v2.0/token",
		map[string]string{"client_id": "cli", "client_secret": secret, "grant_type": "client_credentials", "scope": scope})
	f(config.Azure{Scope: "https://other/.default"}, map[string]string{"AZURE_TENANT_ID": "ten", "AZURE_CLIENT_ID": "cli", "AZURE_CLIENT_SECRET": secret},
		"/ten/oauth2/v2.0/token", map[string]string{"scope": "https://other/.default"})
	f(config.Azure{}, map[string]string{"AZURE_TENANT_ID": "ten", "AZURE_CLIENT_ID": "cli", "AZURE_FEDERATED_TOKEN_FILE": writeFile(t, "assertion\n")},
		"/ten/oauth2/v2.0/token", map[string]string{"client_assertion": "assertion", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "scope": scope})
	f(config.Azure{ClientID: "user-assigned"}, nil, "/metadata/identity/oauth2/token",
		map[string]string{"resource": "https://cognitiveservices.azure.com", "client_id": "user-assigned", "api-version": "2018-02-01"})
	if s.head.Get("Metadata") != "true" || s.head.Get("X-Meant") != "169.254.169.254" {
		t.Errorf("%v", s.head)
	}
	f(config.Azure{}, map[string]string{"IDENTITY_ENDPOINT": s.URL + "/msi", "IDENTITY_HEADER": "h"}, "/msi", map[string]string{"api-version": "2019-08-01"})
	if s.head.Get("X-Identity-Header") != "h" {
		t.Errorf("%v", s.head)
	}
	q := p
	q.Azure.ADToken = secret
	u, err := Factory{}.New(q, config.ModelInfo{})
	if err != nil || tokenOf(t, u) != "Bearer "+secret {
		t.Errorf("a given token: %v", err)
	}
	_, err = Factory{}.New(p, config.ModelInfo{})
	if err == nil || !strings.Contains(err.Error(), "AZURE_API_KEY") {
		t.Errorf("nothing given: %v", err)
	}
	_, err = Factory{}.New(config.Params{Model: "azure/dep", APIKey: secret}, config.ModelInfo{})
	if err == nil || !strings.Contains(err.Error(), "api_base missing: set litellm_params.api_base or AZURE_API_BASE") {
		t.Errorf("no base: %v", err)
	}
}

func TestToken_refused(t *testing.T) {
	s := newTokenServer(t)
	s.reply = func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"the secret %s is wrong"}`, secret)
	}
	u, err := Factory{HTTP: redirected{s.Server}}.New(config.Params{Model: "azure/dep", APIBase: "https://r.openai.azure.com",
		Azure: config.Azure{TenantID: "t", ClientID: "c", ClientSecret: secret}}, config.ModelInfo{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = u.Request(context.Background(), llm.OpChat, llm.OpenAI, false, nil)
	e := llm.AsError(err)
	if e.Kind != llm.ErrAuth || !strings.Contains(e.Message, "invalid_client") || strings.Contains(fmt.Sprintf("%v %+v %#v", err, e.Cause, e.Message), secret) {
		t.Errorf("%v, cause %v", err, e.Cause)
	}
}

func TestDatabricks(t *testing.T) {
	s := newTokenServer(t)
	env := map[string]string{"DATABRICKS_HOST": "dbc.cloud.databricks.com", "DATABRICKS_CLIENT_ID": "cli", "DATABRICKS_CLIENT_SECRET": secret}
	u, err := Factory{Env: envOf(env), HTTP: redirected{s.Server}}.New(config.Params{Model: "databricks/m"}, config.ModelInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if got := tokenOf(t, u); got != "Bearer token1" || s.path != "/oidc/v1/token" || s.form.Get("scope") != "all-apis" || s.head.Get("X-Meant") != env["DATABRICKS_HOST"] {
		t.Errorf("%s from %s %v %v", got, s.path, s.form, s.head)
	}
	req, err := http.NewRequest("GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = s.head
	if id, pw, _ := req.BasicAuth(); id != "cli" || pw != secret {
		t.Errorf("authenticated as %s", id)
	}
	f := func(base, want string) {
		t.Helper()
		if got := addressOf(t, config.Params{Model: "databricks/m", APIBase: base, APIKey: secret}, nil, llm.OpChat, false); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f("https://dbc.cloud.databricks.com", "https://dbc.cloud.databricks.com/serving-endpoints/chat/completions")
	f("https://dbc.cloud.databricks.com/serving-endpoints/", "https://dbc.cloud.databricks.com/serving-endpoints/chat/completions")
	if _, err := (Factory{}).New(config.Params{Model: "databricks/m", APIBase: "https://h"}, config.ModelInfo{}); err == nil || !strings.Contains(err.Error(), "DATABRICKS_API_KEY") {
		t.Errorf("no key: %v", err)
	}
	if _, err := (Factory{}).New(config.Params{Model: "databricks/m", APIKey: secret}, config.ModelInfo{}); err == nil || !strings.Contains(err.Error(), "api_base missing") {
		t.Errorf("no base: %v", err)
	}
}

// serviceAccountJSON makes a service account whose token endpoint is the given one.
func serviceAccountJSON(t *testing.T, tokenURI string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]string{"type": "service_account", "project_id": "proj-of-account", "private_key_id": "k1", "client_email": "a@b",
		"token_uri": tokenURI, "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestVertex_credentials(t *testing.T) {
	s := newTokenServer(t)
	account := serviceAccountJSON(t, "https://oauth2.googleapis.com/token")
	f := func(v config.Vertex, env map[string]string, project string, check func()) {
		t.Helper()
		u, err := Factory{Env: envOf(env), HTTP: redirected{s.Server}}.New(config.Params{Model: "vertex_ai/gemini-2.5-pro", Vertex: v}, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		n := s.n
		for range 2 {
			if got, want := tokenOf(t, u), fmt.Sprintf("Bearer token%d", n+1); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		if got := addressOfUpstream(t, u); !strings.Contains(got, "/projects/"+project+"/locations/us-central1/") {
			t.Errorf("address %s", got)
		}
		check()
	}
	signed := func() {
		t.Helper()
		if s.path != "/token" || s.form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || strings.Count(s.form.Get("assertion"), ".") != 2 {
			t.Errorf("asked for %s %v", s.path, s.form)
		}
	}
	f(config.Vertex{Credentials: config.Secret(account)}, nil, "proj-of-account", signed)
	f(config.Vertex{Credentials: config.Secret(account), Project: "mine"}, nil, "mine", signed)
	f(config.Vertex{Credentials: config.Secret(writeFile(t, account))}, nil, "proj-of-account", signed)
	f(config.Vertex{}, map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": writeFile(t, account)}, "proj-of-account", signed)
	user := `{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r","quota_project_id":"q"}`
	f(config.Vertex{Credentials: config.Secret(user)}, nil, "q", func() {
		if s.form.Get("refresh_token") != "r" {
			t.Errorf("%v", s.form)
		}
	})
	f(config.Vertex{Project: "p"}, nil, "p", func() {
		if s.head.Get("Metadata-Flavor") != "Google" || s.head.Get("X-Meant") != "metadata.google.internal" {
			t.Errorf("%v", s.head)
		}
	})
	wrong := func(v config.Vertex, want string) {
		t.Helper()
		_, err := Factory{}.New(config.Params{Model: "vertex_ai/gemini-2.5-pro", Vertex: v}, config.ModelInfo{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	wrong(config.Vertex{}, "vertex_project missing")
	wrong(config.Vertex{Project: "p", Credentials: `{"` + secret}, "vertex_credentials")
	wrong(config.Vertex{Project: "p", Credentials: "/no/such/" + secret}, "vertex_credentials")
	wrong(config.Vertex{Project: "p", Credentials: `{"type":"odd"}`}, `"odd"`)
}

func addressOfUpstream(t *testing.T, u *Upstream) string {
	t.Helper()
	to, err := u.driver.address(u, &call{ctx: context.Background(), op: llm.OpChat, dialect: u.Dialects[0]})
	if err != nil {
		t.Fatal(err)
	}
	return to.String()
}

func TestVertex_addresses(t *testing.T) {
	account := config.Secret(serviceAccountJSON(t, "https://oauth2.googleapis.com/token"))
	f := func(model, location, base string, op llm.Op, stream bool, dialect llm.Dialect, want string) {
		t.Helper()
		u, err := Factory{}.New(config.Params{Model: model, APIBase: base, Vertex: config.Vertex{Project: "p", Location: location, Credentials: account}}, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		if u.Dialects[0] != dialect {
			t.Errorf("%s speaks %v", model, u.Dialects)
		}
		to, err := u.driver.address(u, &call{ctx: context.Background(), op: op, dialect: dialect, stream: stream, body: [][]byte{[]byte("{}")}})
		if err != nil {
			t.Fatal(err)
		}
		if to.String() != want {
			t.Errorf("%s:\n got %s\nwant %s", model, to, want)
		}
	}
	const us = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1"
	chat, g, a, o := llm.OpChat, llm.Gemini, llm.Anthropic, llm.OpenAI
	f("vertex_ai/gemini-2.5-pro", "", "", chat, false, g, us+"/publishers/google/models/gemini-2.5-pro:generateContent")
	f("vertex_ai/gemini-2.5-pro", "", "", chat, true, g, us+"/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse")
	f("vertex_ai/gemini-2.5-pro", "", "", llm.OpCount, false, g, us+"/publishers/google/models/gemini-2.5-pro:countTokens")
	f("vertex_ai/gemini-2.5-pro", "global", "", chat, false, g, "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-pro:generateContent")
	f("vertex_ai/gemini-2.5-pro", "eu", "", chat, false, g, "https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/google/models/gemini-2.5-pro:generateContent")
	f("vertex_ai/text-embedding-005", "", "", llm.OpEmbed, false, g, us+"/publishers/google/models/text-embedding-005:predict")
	f("vertex_ai/1234567890", "", "", chat, false, g, us+"/endpoints/1234567890:generateContent")
	f("vertex_ai/claude-sonnet-4@20250514", "", "", chat, false, a, us+"/publishers/anthropic/models/claude-sonnet-4@20250514:rawPredict")
	f("vertex_ai/claude-sonnet-4@20250514", "", "", chat, true, a, us+"/publishers/anthropic/models/claude-sonnet-4@20250514:streamRawPredict")
	f("vertex_ai/claude-sonnet-4@20250514", "", "", llm.OpCount, false, a, us+"/publishers/anthropic/models/count-tokens:rawPredict")
	f("vertex_ai/mistral-large@2411", "", "", chat, true, o, us+"/publishers/mistralai/models/mistral-large@2411:streamRawPredict")
	f("vertex_ai/meta/llama-4-maverick", "", "", chat, true, o, us+"/endpoints/openapi/chat/completions")
	f("vertex_ai/openai/123", "", "", chat, false, o, us+"/endpoints/123/chat/completions")
	f("vertex_ai/gemini-2.5-pro", "", "http://h", chat, false, g, "http://h/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro:generateContent")
	f("vertex_ai/gemini-2.5-pro", "", "http://h/v1beta1/", chat, false, g, "http://h/v1beta1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro:generateContent")
	f("vertex_ai/claude-x", "", "http://h/v1", chat, false, a, "http://h/v1/projects/p/locations/us-central1/publishers/anthropic/models/claude-x:rawPredict")
	f("vertex_ai/gemini-2.5-pro", "", "http://h/v1/projects/q/locations/l/publishers/google/models/other:generateContent", chat, true, g,
		"http://h/v1/projects/q/locations/l/publishers/google/models/other:streamGenerateContent?alt=sse")

	u, err := Factory{}.New(config.Params{Model: "vertex_ai/gemini-2.5-pro", APIKey: secret}, config.ModelInfo{})
	if err != nil {
		t.Fatal(err)
	}
	req, err := u.Request(context.Background(), chat, g, false, []byte("{}"))
	if err != nil || req.URL.String() != "https://aiplatform.googleapis.com/v1/publishers/google/models/gemini-2.5-pro:generateContent" || req.Header.Get("X-Goog-Api-Key") != secret {
		t.Errorf("express: %v %v", req, err)
	}
}

func TestEdits(t *testing.T) {
	f := func(p config.Params, op llm.Op, d llm.Dialect, in, want string) {
		t.Helper()
		p.AWS = testKeys
		u, err := Factory{}.New(p, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		var doc wire.Doc
		if err := wire.Scan(&doc, []byte(in), wire.Limits{}); err != nil {
			t.Fatal(err)
		}
		if got := string(doc.Splice(nil, u.Edits(op, d, true)...)); got != want {
			t.Errorf("%s: %s, want %s", p.Model, got, want)
		}
	}
	vertex := config.Params{Model: "vertex_ai/claude-x", Vertex: config.Vertex{Project: "p"}}
	f(vertex, llm.OpChat, llm.Anthropic, `{"model":"m","max_tokens":1,"stream":true}`, `{"max_tokens":1,"stream":true,"anthropic_version":"vertex-2023-10-16"}`)
	f(vertex, llm.OpCount, llm.Anthropic, `{"model":"m"}`, `{"model":"m","anthropic_version":"vertex-2023-10-16"}`)
	f(config.Params{Model: "bedrock/invoke/anthropic.claude-v2"}, llm.OpChat, llm.Anthropic, `{"model":"m","max_tokens":1,"stream":true,"anthropic_version":"x"}`,
		`{"max_tokens":1,"anthropic_version":"x"}`)
	f(config.Params{Model: "mistral/m", APIKey: secret}, llm.OpChat, llm.OpenAI, `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`, `{"model":"m","stream":true}`)
	f(config.Params{Model: "openai/m", APIKey: secret}, llm.OpChat, llm.OpenAI, `{"model":"m","stream_options":{}}`, `{"model":"m","stream_options":{}}`)
}

func TestAnthropic_credentials(t *testing.T) {
	f := func(p config.Params, env map[string]string, header, value, beta string) {
		t.Helper()
		p.Model = "anthropic/claude"
		u, err := Factory{Env: envOf(env)}.New(p, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		req, err := u.Request(context.Background(), llm.OpChat, llm.Anthropic, false, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if req.Header.Get(header) != value || req.Header.Get("Anthropic-Beta") != beta || req.Header.Get("Anthropic-Version") != anthropicVersion {
			t.Errorf("%v", req.Header)
		}
		if (req.Header.Get("X-Api-Key") == "") == (req.Header.Get("Authorization") == "") {
			t.Errorf("both or no credentials: %v", req.Header)
		}
	}
	f(config.Params{APIKey: "sk-ant-api03-x"}, nil, "X-Api-Key", "sk-ant-api03-x", "")
	f(config.Params{APIKey: "sk-ant-oat01-x"}, nil, "Authorization", "Bearer sk-ant-oat01-x", oauthBeta)
	f(config.Params{APIKey: "sk-ant-oat01-x", Headers: map[string]string{"anthropic-beta": "a"}}, nil, "Authorization", "Bearer sk-ant-oat01-x", "a,"+oauthBeta)
	f(config.Params{}, map[string]string{"ANTHROPIC_AUTH_TOKEN": "t"}, "Authorization", "Bearer t", oauthBeta)
}

func TestHuggingFace(t *testing.T) {
	f := func(model, base, mode string, op llm.Op, stream, own bool, want string) {
		t.Helper()
		u, err := Factory{}.New(config.Params{Model: model, APIBase: base, APIKey: secret}, config.ModelInfo{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		req, err := u.Request(context.Background(), op, llm.OpenAI, stream, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if req.URL.String() != want || (u.Codec(llm.OpenAI) != nil) != own || req.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("%s at %s: %s, want %s", model, base, req.URL, want)
		}
	}
	const router = "https://router.huggingface.co"
	f("huggingface/org/m", "", "", llm.OpChat, false, false, router+"/v1/chat/completions")
	f("huggingface/BAAI/bge", "", "", llm.OpEmbed, false, false, router+"/hf-inference/models/BAAI/bge/pipeline/feature-extraction")
	f("huggingface/org/m", "http://tgi:80", "", llm.OpChat, false, false, "http://tgi:80/v1/chat/completions")
	f("huggingface/org/m", "http://tgi:80/generate", "", llm.OpChat, false, true, "http://tgi:80/generate")
	f("huggingface/org/m", "http://tgi:80/generate", "", llm.OpChat, true, true, "http://tgi:80/generate_stream")
	f("huggingface/org/m", "http://tgi:80", "completion", llm.OpChat, false, true, "http://tgi:80/generate")
	f("huggingface/org/m", "http://tei:80/embed", "", llm.OpEmbed, false, false, "http://tei:80/embed")
	u, err := Factory{}.New(config.Params{Model: "huggingface/together/deepseek-ai/DeepSeek-R1", APIKey: secret}, config.ModelInfo{})
	if err != nil || u.Model != "deepseek-ai/DeepSeek-R1:together" {
		t.Errorf("%v %v", u, err)
	}
}
