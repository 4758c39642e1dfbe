package provider

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
)

// secret is the key of every test: it must appear in the one header it belongs to and nowhere else.
const secret = "sk-very-secret-0123456789"

// got is what the scripted upstream received.
type got struct {
	method, path, query, body string
	header                    http.Header
}

// upstreamServer records what it is asked and answers with nothing.
func upstreamServer(t *testing.T) (*httptest.Server, *got) {
	t.Helper()
	g := &got{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*g = got{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(b), r.Header}
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(srv.Close)
	return srv, g
}

func envOf(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

// send makes a request and sends it to the server, whatever host it is for.
func send(t *testing.T, srv *httptest.Server, u *Upstream, op llm.Op, d llm.Dialect, stream bool, body string) *url.URL {
	t.Helper()
	req, err := u.Request(context.Background(), op, d, stream, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	meant := req.URL
	to, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := *req.URL
	elsewhere.Scheme, elsewhere.Host = to.Scheme, to.Host
	req.URL = &elsewhere
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return meant
}

func TestTable_everyRow(t *testing.T) {
	if len(rows) < 45 {
		t.Errorf("%d rows", len(rows))
	}
	srv, g := upstreamServer(t)
	seen := map[string]bool{}
	for _, r := range Table() {
		for _, n := range append([]string{r.Name}, r.Aliases...) {
			if seen[n] || registry()[n] != nil || aliases[n] != "" {
				t.Errorf("%s: the name is used twice", n)
			}
			seen[n] = true
		}
		env := map[string]string{"CLOUDFLARE_ACCOUNT_ID": "acc1"}
		if len(r.Keys) == 0 || len(r.Bases) == 0 {
			t.Errorf("%s: no variables", r.Name)
			continue
		}
		base := strings.ReplaceAll(r.BaseURL, "{CLOUDFLARE_ACCOUNT_ID}", "acc1")
		if base == "" {
			base = "http://gateway.test/v1"
			env[r.Bases[0]] = base
		}
		// Without a key it says which variable is missing, unless none is needed.
		_, err := Factory{Env: envOf(env)}.New(config.Params{Model: r.Name + "/m1"}, config.ModelInfo{})
		if r.NoKey != (err == nil) {
			t.Errorf("%s: without a key: %v", r.Name, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "litellm_params.api_key") || !strings.Contains(err.Error(), r.Keys[0])) {
			t.Errorf("%s: %v does not say what to set", r.Name, err)
		}
		for _, key := range r.Keys {
			env[key] = secret
			u, err := Factory{Env: envOf(env)}.New(config.Params{Model: r.Name + "/m1"}, config.ModelInfo{})
			if err != nil {
				t.Errorf("%s: %v", r.Name, err)
				continue
			}
			for _, op := range u.Ops.List() {
				meant := send(t, srv, u, op, llm.OpenAI, false, `{"model":"`+u.Model+`"}`)
				if want := base + paths[op]; meant.String() != want {
					t.Errorf("%s %s: address %s, want %s", r.Name, op, meant, want)
				}
				if g.method != "POST" || g.path != meant.EscapedPath() || g.header.Get("Content-Type") != "application/json" {
					t.Errorf("%s %s: received %+v", r.Name, op, g)
				}
				name, want := "Authorization", "Bearer "+secret
				if r.KeyHeader != "" {
					name, want = r.KeyHeader, secret
				}
				if g.header.Get(name) != want {
					t.Errorf("%s %s: %s is %q", r.Name, op, name, g.header.Get(name))
				}
				if want := `{"model":"` + r.ModelPrefix + `m1"}`; g.body != want {
					t.Errorf("%s %s: body %s, want %s", r.Name, op, g.body, want)
				}
			}
			if u.Base != base || u.Target.Model != u.Model || u.Target.Provider != r.Name {
				t.Errorf("%s: %s %+v", r.Name, u.Base, u.Target)
			}
			delete(env, key)
		}
		// The variable of the address counts.
		for _, name := range r.Bases {
			u, err := Factory{Env: envOf(map[string]string{name: srv.URL + "/prefix/v7/", r.Keys[0]: secret})}.New(config.Params{Model: r.Name + "/m1"}, config.ModelInfo{})
			if err != nil || u.Base != srv.URL+"/prefix/v7" {
				t.Errorf("%s: %s: %v %v", r.Name, name, u, err)
			}
		}
	}
}

// addressOf is where a call of the first dialect goes.
func addressOf(t *testing.T, p config.Params, env map[string]string, op llm.Op, stream bool) string {
	t.Helper()
	u, err := Factory{Env: envOf(env)}.New(p, config.ModelInfo{})
	if err != nil {
		t.Fatalf("%s: %v", p.Model, err)
	}
	d := llm.OpenAI
	if len(u.Dialects) > 0 {
		d = u.Dialects[0]
	}
	req, err := u.Request(context.Background(), op, d, stream, []byte(`{}`))
	if err != nil {
		t.Fatalf("%s: %v", p.Model, err)
	}
	return req.URL.String()
}

func TestRequest_apiBase(t *testing.T) {
	f := func(model, base, want string) {
		t.Helper()
		p := config.Params{Model: model, APIBase: base, APIKey: secret}
		if got := addressOf(t, p, nil, llm.OpChat, false); got != want {
			t.Errorf("%s at %s:\n got %s\nwant %s", model, base, got, want)
		}
	}
	chat := "/v1/chat/completions"
	f("openai/m", "", "https://api.openai.com"+chat)
	f("openai/m", "https://api.openai.com", "https://api.openai.com"+chat)
	f("openai/m", "http://h:8000", "http://h:8000"+chat)
	f("openai/m", "http://h:8000/", "http://h:8000"+chat)
	f("openai/m", "http://h:8000/v1", "http://h:8000"+chat)
	f("openai/m", "http://h:8000/v1/", "http://h:8000"+chat)
	f("openai/m", "http://h:8000/v1/chat/completions", "http://h:8000"+chat)
	f("openai/m", "http://h/some/path", "http://h/some/path/chat/completions")
	f("openai/m", "http://h/v1?tenant=a", "http://h"+chat+"?tenant=a")
	f("openai/m", "http://[::1]:8000/v1", "http://[::1]:8000"+chat)
	f("groq/m", "https://api.groq.com", "https://api.groq.com/openai"+chat)
	f("groq/m", "https://api.groq.com/openai", "https://api.groq.com/openai"+chat)
	f("groq/m", "https://api.groq.com/openai/v1/", "https://api.groq.com/openai"+chat)
	f("groq/m", "http://h", "http://h/openai"+chat)
	f("groq/m", "http://h/v1", "http://h"+chat)
	f("perplexity/m", "http://h", "http://h/chat/completions")
	f("zai/m", "https://api.z.ai/api/coding/paas/v4", "https://api.z.ai/api/coding/paas/v4/chat/completions")
	f("ollama/m", "http://h:11434", "http://h:11434"+chat)
	f("hosted_vllm/m", "http://h:1", "http://h:1"+chat)
	f("litellm_proxy/m", "http://h:4000", "http://h:4000"+chat)
	f("deepinfra/m", "http://h", "http://h/v1/openai/chat/completions")
	f("fireworks_ai/m", "https://api.fireworks.ai/inference", "https://api.fireworks.ai/inference"+chat)

	f("anthropic/claude", "", "https://api.anthropic.com/v1/messages")
	f("anthropic/claude", "http://h", "http://h/v1/messages")
	f("anthropic/claude", "http://h/v1/", "http://h/v1/messages")
	f("anthropic/claude", "http://h/anthropic", "http://h/anthropic/v1/messages")
	f("anthropic/claude", "http://h/anthropic/v1/messages", "http://h/anthropic/v1/messages")

	f("gemini/g", "", "https://generativelanguage.googleapis.com/v1beta/models/g:generateContent")
	f("gemini/g", "http://h", "http://h/v1beta/models/g:generateContent")
	f("gemini/g", "http://h/v1beta", "http://h/v1beta/models/g:generateContent")
	f("gemini/g", "http://h/v1/", "http://h/v1/models/g:generateContent")
	f("gemini/g", "http://h/p/v1alpha/models", "http://h/p/v1alpha/models/g:generateContent")
	f("gemini/tunedModels/x", "", "https://generativelanguage.googleapis.com/v1beta/tunedModels/x:generateContent")
	f("bedrock/anthropic.claude-v2:1", "http://h/b/", "http://h/b/model/anthropic.claude-v2%3A1/converse")
}

func TestRequest_apiBaseWrong(t *testing.T) {
	f := func(base string) {
		t.Helper()
		_, err := Factory{}.New(config.Params{Model: "openai/m", APIBase: base, APIKey: secret}, config.ModelInfo{})
		if err == nil || !strings.Contains(err.Error(), "api_base") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", base, err)
		}
	}
	f("localhost:8000")
	f("h/v1")
	f("ftp://u:hunter2@h")
	f("http://")
	f("http://u:hunter2@h:port")
	f("http://h/%zz")
}

func TestOllamaHost(t *testing.T) {
	f := func(v, want string) {
		t.Helper()
		if got := ollamaHost(v); got != want {
			t.Errorf("%q: %s, want %s", v, got, want)
		}
	}
	f("0.0.0.0", "http://127.0.0.1:11434")
	f("0.0.0.0:8080", "http://127.0.0.1:8080")
	f(":8080", "http://127.0.0.1:8080")
	f("box", "http://box:11434")
	f("http://box:1/", "http://box:1")
	f("https://box", "https://box:443")
	f("https://box/ollama", "https://box:443/ollama")
	f("[::1]:5", "http://[::1]:5")
	f("[::1]", "http://[::1]:11434")
}

func TestNew_provider(t *testing.T) {
	f := func(p config.Params, want string) {
		t.Helper()
		p.APIKey = secret
		u, err := Factory{}.New(p, config.ModelInfo{})
		if err != nil {
			t.Errorf("%s: %v", p.Model, err)
			return
		}
		if got := u.String(); got != want {
			t.Errorf("%s: %s, want %s", p.Model, got, want)
		}
	}
	m := func(model string) config.Params { return config.Params{Model: model} }
	f(m("gpt-4o"), "openai/gpt-4o")
	f(m("o3-mini"), "openai/o3-mini")
	f(m("ft:gpt-4o:org::id"), "openai/ft:gpt-4o:org::id")
	f(m("text-embedding-3-small"), "openai/text-embedding-3-small")
	f(m("claude-sonnet-4-5"), "anthropic/claude-sonnet-4-5")
	f(m("anthropic.claude-3-haiku-20240307-v1:0"), "bedrock/anthropic.claude-3-haiku-20240307-v1:0")
	f(m("us.amazon.nova-pro-v1:0"), "bedrock/us.amazon.nova-pro-v1:0")
	f(m("arn:aws:bedrock:us-east-1:123456789012:inference-profile/x"), "bedrock/arn:aws:bedrock:us-east-1:123456789012:inference-profile/x")
	f(m("gemini-2.5-pro"), "gemini/gemini-2.5-pro")
	f(config.Params{Model: "gemini-2.5-pro", Vertex: config.Vertex{Project: "p"}}, "vertex_ai/gemini-2.5-pro")
	f(m("mistral-large-latest"), "mistral/mistral-large-latest")
	f(m("command-r-plus"), "cohere/command-r-plus")
	f(m("together/meta-llama/Llama-3"), "together_ai/meta-llama/Llama-3")
	f(m("fireworks_ai/llama-v3"), "fireworks_ai/accounts/fireworks/models/llama-v3")
	f(m("fireworks_ai/accounts/me/models/x"), "fireworks_ai/accounts/me/models/x")
	f(config.Params{Model: "meta-llama/Llama-3", Provider: "groq"}, "groq/meta-llama/Llama-3")
	f(config.Params{Model: "groq/llama", Provider: "groq"}, "groq/llama")
	f(config.Params{Model: "my-model", APIBase: "http://h"}, "openai/my-model")
	f(config.Params{Model: "meta-llama/Llama-3", APIBase: "http://h"}, "openai/meta-llama/Llama-3")
	f(m("openai/responses/o1-pro"), "openai/o1-pro")

	for _, model := range []string{"", " ", "mystery", "meta-llama/Llama-3", "groq/"} {
		if u, err := (Factory{}).New(config.Params{Model: model, APIKey: secret}, config.ModelInfo{}); err == nil {
			t.Errorf("%q became %v", model, u)
		}
	}
}

func TestDialects(t *testing.T) {
	f := func(p config.Params, mode string, want ...llm.Dialect) {
		t.Helper()
		p.APIKey = secret
		u, err := Factory{}.New(p, config.ModelInfo{Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, u.Dialects); diff != "" {
			t.Errorf("%s at %s: %s", p.Model, p.APIBase, diff)
		}
		if diff := cmp.Diff(want, u.WithModel("another").Dialects); diff != "" && !strings.HasPrefix(p.Model, "vertex") {
			t.Errorf("%s with another model: %s", p.Model, diff)
		}
	}
	m := func(model, base string) config.Params { return config.Params{Model: model, APIBase: base} }
	f(m("openai/gpt-4o", ""), "", llm.OpenAI, llm.Responses)
	f(m("openai/gpt-4o", "https://eu.api.openai.com/v1"), "", llm.OpenAI, llm.Responses)
	f(m("openai/gpt-4o", "http://h/v1"), "", llm.OpenAI)
	f(m("openai/gpt-4o", "http://h/v1"), "responses", llm.Responses)
	f(m("openai/responses/gpt-4o", "http://h/v1"), "", llm.Responses)
	f(m("openai/responses/*", ""), "", llm.Responses)
	f(m("groq/x", ""), "", llm.OpenAI)
	f(m("xai/x", ""), "", llm.OpenAI, llm.Responses)
	f(m("hosted_vllm/x", "http://h"), "", llm.OpenAI)
	f(m("azure/x", "https://r.openai.azure.com"), "", llm.OpenAI, llm.Responses)
	f(m("azure/responses/x", "https://r.openai.azure.com"), "", llm.Responses)
	f(m("anthropic/x", ""), "", llm.Anthropic)
	f(m("gemini/x", ""), "", llm.Gemini)
	f(m("bedrock/x", ""), "", llm.Converse)
	f(m("demo/x", ""), "", llm.Dialects...)
	f(m("voyage/x", ""), "")
	f(m("text-completion-openai/x", ""), "", llm.OpenAI)
}
