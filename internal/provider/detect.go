package provider

import (
	"strings"

	"github.com/weir-gateway/weir/internal/config"
)

// Found is a provider whose usual variables are set.
type Found struct {
	Provider string
	Variable string // the one that gave it away; its value is never told
	Wildcard string // the model to serve it as: groq/*
}

// clues are the variables that give a provider with code away.
var clues = []struct {
	provider  string
	variables []string
}{
	{"openai", []string{"OPENAI_API_KEY"}},
	{"anthropic", []string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"}},
	{"gemini", []string{"GEMINI_API_KEY", "GOOGLE_API_KEY"}},
	{"bedrock", []string{"AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"}},
	{"azure", []string{"AZURE_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_AD_TOKEN", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"}},
	{"cohere", []string{"COHERE_API_KEY", "CO_API_KEY"}},
	{"huggingface", []string{"HUGGINGFACE_API_KEY", "HF_TOKEN"}},
	{"databricks", []string{"DATABRICKS_API_KEY", "DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET"}},
	{"azure_ai", []string{"AZURE_AI_API_KEY"}},
	{"vertex_ai", []string{"VERTEXAI_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS", "VERTEXAI_PROJECT"}},
}

// Detect lists the providers that the environment has credentials for, or an address where none are needed. One that could not be served
// with what is set (a key without the address it belongs to) is left out.
func Detect(env func(string) string) []Found {
	var out []Found
	seen := map[string]bool{}
	add := func(name string, variables []string) {
		for _, v := range variables {
			if strings.TrimSpace(env(v)) == "" || seen[name] {
				continue
			}
			seen[name] = true
			wildcard := name + "/*"
			if _, err := (Factory{Env: env}).New(config.Params{Model: wildcard}, config.ModelInfo{}); err == nil {
				out = append(out, Found{Provider: name, Variable: v, Wildcard: wildcard})
			}
		}
	}
	for _, c := range clues {
		add(c.provider, c.variables)
	}
	for i := range rows {
		r := &rows[i]
		if strings.HasPrefix(r.Name, "text-completion-") {
			continue // the same key as another row, for older models
		}
		add(r.Name, r.Keys)
		if r.NoKey {
			add(r.Name, r.Bases)
		}
	}
	return out
}
