package config

import (
	"errors"
	"strings"
	"testing"
)

func TestReadModel(t *testing.T) {
	c := Default(func(name string) string {
		if name == "UP_KEY" {
			return "sk-from-env"
		}
		return ""
	})
	c.Credentials = []Credential{{Name: "filed", Values: map[string]Secret{"api_key": "sk-filed"}}, {Name: "both", Values: map[string]Secret{"api_key": "sk-old"}}}
	added := map[string]map[string]string{"added": {"api_key": "sk-added", "api_base": "https://added.example"}, "both": {"api_key": "sk-new"}}
	f := func(text, key, base, field string) {
		t.Helper()
		m, _, err := c.ReadModel([]byte(text), added)
		var bad *EntryError
		switch {
		case field == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case field != "" && !errors.As(err, &bad):
			t.Errorf("%s: no *EntryError: %v", text, err)
		case field != "" && (bad.Field != strings.TrimSpace(field) || strings.Contains(bad.Message, entryRoot+".") || bad.Message == ""):
			t.Errorf("%s: %q %q, want %q", text, bad.Field, bad.Message, field)
		case field == "" && (m.Params.APIKey.Reveal() != key || m.Params.APIBase != base):
			t.Errorf("%s: %+v", text, m.Params)
		}
	}
	f(`{"model_name":"a","litellm_params":{"model":"openai/x","api_key":"sk-1","api_base":"http://h/v1","rpm":10,"input_cost_per_token":0.001},"model_info":{"id":"i","mode":"chat"}}`,
		"sk-1", "http://h/v1", "")
	f(`{"model_name":"a","litellm_params":{"model":"openai/x","api_key":"os.environ/UP_KEY"}}`, "sk-from-env", "", "")
	f(`{"model_name":"a","litellm_params":{"model":"openai/x","litellm_credential_name":"added"}}`, "sk-added", "https://added.example", "")
	f(`{"model_name":"a","litellm_params":{"model":"openai/x","litellm_credential_name":"filed"}}`, "sk-filed", "", "")
	f(`{"model_name":"a","litellm_params":{"model":"openai/x","litellm_credential_name":"both"}}`, "sk-new", "", "")
	f(`{"model_name":"a","litellm_params":{"model":"openai/x","litellm_credential_name":"none"}}`, "", "", "litellm_params.litellm_credential_name")
	f(`{"model_name":"a","litellm_params":{"model":"openai/x","api_key":"os.environ/NOPE"}}`, "", "", "litellm_params.api_key")
	f(`{"model_name":"a","litellm_params":{"model":"openai/x","api_base":"nowhere"}}`, "", "", "litellm_params.api_base")
	f(`{"model_name":"a","litellm_params":{"model":"openai/x","timeout":"soon"}}`, "", "", "litellm_params.timeout")
	f(`{"model_name":"a","litellm_params":{"model":"openai/x","input_cost_per_token":-1}}`, "", "", "litellm_params.input_cost_per_token")
	f(`{"model_name":"a","litellm_params":{}}`, "", "", "litellm_params")
	f(`{"model_name":"a"}`, "", "", " ")
	f(`{"litellm_params":{"model":"openai/x"}}`, "", "", " ")
	f(`[]`, "", "", " ")
	f(`{"model_name":`, "", "", " ")
	f(`{"model_name":"a","litellm_params":{"model":"openai/x"}} x`, "", "", " ")
	m, _, err := c.ReadModel([]byte(`{"model_name":"a","litellm_params":{"model":"openai/x","temperature":0.5,"seed":7},"model_info":{"mine":{"a":[1,null,true]}}}`), nil)
	if err != nil || m.Params.Defaults["temperature"] != 0.5 || m.Params.Defaults["seed"] != int64(7) || m.Info.ID == "" || m.Info.Extra["mine"] == nil {
		t.Errorf("%+v %v", m, err)
	}
}

func TestSecretParam(t *testing.T) {
	f := func(name string, want bool) {
		t.Helper()
		if SecretParam(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	for _, name := range []string{"api_key", "aws_secret_access_key", "aws_access_key_id", "aws_session_token", "vertex_credentials", "client_secret",
		"azure_ad_token", "watsonx_apikey", "Authorization", "auth_token", "x_password", "token"} {
		f(name, true)
	}
	for _, name := range []string{"model", "api_base", "max_tokens", "input_cost_per_token", "litellm_credential_name", "aws_region_name", "rpm", "temperature"} {
		f(name, false)
	}
}

func FuzzReadModel(f *testing.F) {
	f.Add([]byte(`{"model_name":"a","litellm_params":{"model":"openai/x","api_key":"os.environ/K","rpm":1e99},"model_info":{"id":null}}`))
	f.Add([]byte(`{"model_name":["*"],"litellm_params":{"model":"openai/*","organization":["a","b"],"extra_headers":{"a":[{}]}}}`))
	c := Default(func(string) string { return "" })
	f.Fuzz(func(t *testing.T, text []byte) {
		m, _, err := c.ReadModel(text, nil)
		if err == nil && (m.Name == "" || m.Params.Model == "") {
			t.Errorf("%s: %+v", text, m)
		}
	})
}
