package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
)

func TestDetect(t *testing.T) {
	env := map[string]string{"GROQ_API_KEY": secret, "OPENAI_API_KEY": secret, "AZURE_API_KEY": secret, "OLLAMA_HOST": "0.0.0.0", "AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "s"}
	found := Detect(envOf(env))
	names := map[string]string{}
	for _, f := range found {
		names[f.Wildcard] = f.Variable
	}
	want := map[string]string{"groq/*": "GROQ_API_KEY", "openai/*": "OPENAI_API_KEY", "ollama/*": "OLLAMA_HOST", "bedrock/*": "AWS_ACCESS_KEY_ID"}
	if fmt.Sprint(names) != fmt.Sprint(want) || strings.Contains(fmt.Sprint(found), secret) {
		t.Errorf("%v, want %v", names, want)
	}
	if found := Detect(envOf(nil)); len(found) != 0 {
		t.Errorf("%v in an empty environment", found)
	}
}

func TestWithModel_star(t *testing.T) {
	u, err := Factory{Env: envOf(map[string]string{"GROQ_API_KEY": secret})}.New(config.Params{Model: "*"}, config.ModelInfo{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Request(context.Background(), llm.OpChat, llm.OpenAI, false, nil); llm.AsError(err).Param != "model" {
		t.Errorf("a call of all models: %v", err)
	}
	if v := u.WithModel("groq/llama"); v.String() != "groq/llama" || tokenOf(t, v) != "Bearer "+secret {
		t.Errorf("%v", v)
	}
	v := u.WithModel("anthropic/claude")
	if _, err := v.Request(context.Background(), llm.OpChat, llm.Anthropic, false, nil); llm.AsError(err).Kind != llm.ErrInvalid || !strings.Contains(err.Error(), "ANTHROPIC_API_KEY") {
		t.Errorf("a provider without key: %v", err)
	}
	if v.Supports(llm.OpChat) || v.Codec(llm.OpenAI) != nil || v.Embed() != nil || v.Edits(llm.OpChat, llm.OpenAI, false) != nil || v.EventStream(llm.OpenAI) || v.Unwrap(llm.OpenAI, http.NoBody) != nil {
		t.Error("what can't be served serves something")
	}
}

func TestUpstream_printsNoSecret(t *testing.T) {
	params := []config.Params{
		{Model: "openai/m", APIKey: secret, APIBase: "http://user:" + secret + "@h/v1?key=" + secret},
		{Model: "azure/m", APIBase: "https://r", Azure: config.Azure{TenantID: "t", ClientID: "c", ClientSecret: secret}},
		{Model: "bedrock/m", AWS: testKeys}, {Model: "anthropic/m", APIKey: secret}, {Model: "gemini/m", APIKey: secret},
		{Model: "cohere/m", APIKey: secret}, {Model: "huggingface/m", APIKey: secret},
		{Model: "vertex_ai/m", Vertex: config.Vertex{Project: "p", Credentials: config.Secret(serviceAccountJSON(t, "https://t"))}},
	}
	for _, p := range params {
		u, err := Factory{}.New(p, config.ModelInfo{})
		if err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%q"} {
			if s := fmt.Sprintf(verb, u); strings.Contains(s, secret) || strings.Contains(s, "PRIVATE KEY") {
				t.Errorf("%s prints %s", verb, s)
			}
			if s := fmt.Sprintf(verb, *u); strings.Contains(s, secret) || strings.Contains(s, "PRIVATE KEY") {
				t.Errorf("%s of the value prints %s", verb, s)
			}
		}
		if strings.Contains(u.Base, secret) {
			t.Errorf("base %s", u.Base)
		}
	}
}

func TestHeaders_ownWin(t *testing.T) {
	u, err := Factory{}.New(config.Params{Model: "openai/m", APIKey: secret, Organization: "org", Headers: map[string]string{"authorization": "Custom x", "x-tenant": "a"}}, config.ModelInfo{})
	if err != nil {
		t.Fatal(err)
	}
	req, err := u.Request(context.Background(), llm.OpChat, llm.OpenAI, false, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	h := req.Header
	if h.Get("Authorization") != "Custom x" || h.Get("X-Tenant") != "a" || h.Get("OpenAI-Organization") != "org" || req.ContentLength != 2 || req.GetBody == nil {
		t.Errorf("%v", h)
	}
}

func TestCached(t *testing.T) {
	now := testTime
	var fail error
	n := 0
	c := &cached[int]{now: func() time.Time { return now }, fetch: func(context.Context) (int, time.Time, error) {
		if fail != nil {
			return 0, time.Time{}, fail
		}
		n++
		return n, now.Add(time.Hour), nil
	}}
	f := func(want int) {
		t.Helper()
		got, err := c.get(context.Background())
		if err != nil || got != want {
			t.Errorf("%d %v, want %d", got, err, want)
		}
		waitFlight(c)
	}
	f(1)
	f(1)
	now = now.Add(56 * time.Minute)
	fail = errors.New("down")
	f(1) // renewed in vain
	now = now.Add(time.Second)
	fail = nil
	f(1) // not asked again so soon
	if n != 1 {
		t.Errorf("fetched %d times", n)
	}
	now = now.Add(retryAfter)
	f(1)
	f(2)
	now = now.Add(2 * time.Hour)
	fail = errors.New("down")
	if _, err := c.get(context.Background()); !errors.Is(err, fail) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	stuck := make(chan struct{})
	c.fetch = func(context.Context) (int, time.Time, error) { <-stuck; return 9, time.Time{}, nil }
	if _, err := c.get(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(stuck)
	f(9)
}
