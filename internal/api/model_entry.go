package api

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/config"
)

// RunTime is a model added at run time as the rest of the gateway takes one.
type RunTime struct {
	config.Model        // secrets are in the clear
	TeamID       string // keys of this team alone may call it; empty: everybody whose list allows its name
	Blocked      bool   // known, and refused
}

// RunTimeModels turns stored models into entries of the configuration, by the configuration's own rules. open undoes what sealed their
// secrets. A row that can't be used is left out and becomes a problem; it never stops the rest.
func RunTimeModels(cfg *config.Config, models []account.Model, credentials []account.Credential,
	open func(string) (string, error)) (out []RunTime, problems []config.Problem) {
	sets, bad := openCredentials(credentials, open)
	problems = append(problems, bad...)
	for i := range models {
		row := &models[i]
		m, err := readRow(cfg, row, sets, open)
		if err != nil {
			problems = append(problems, config.Problem{Severity: config.Entry, File: "database", Message: fmt.Sprintf("model %q (%s) left out: %v", row.Name, row.ID, err)})
			continue
		}
		out = append(out, RunTime{Model: m, TeamID: row.TeamID, Blocked: row.Blocked})
	}
	return out, problems
}

func openCredentials(rows []account.Credential, open func(string) (string, error)) (map[string]map[string]string, []config.Problem) {
	out := make(map[string]map[string]string, len(rows))
	var problems []config.Problem
	for _, row := range rows {
		values := make(map[string]string, len(row.Values))
		for name, sealed := range row.Values {
			value, err := open(sealed)
			if err != nil {
				problems = append(problems, config.Problem{Severity: config.Warning, File: "database",
					Message: fmt.Sprintf("credential %q: %s can't be unsealed: %v", row.Name, name, err)})
				continue
			}
			values[name] = value
		}
		out[row.Name] = values
	}
	return out, problems
}

// readRow reads a stored model by the configuration's rules.
func readRow(cfg *config.Config, row *account.Model, credentials map[string]map[string]string, open func(string) (string, error)) (config.Model, error) {
	params, err := eachText(row.Params, open)
	if err != nil {
		return config.Model{}, fmt.Errorf("its parameters can't be unsealed: %w", err)
	}
	return readEntry(cfg, row.ID, row.Name, params, row.Info, credentials)
}

func readEntry(cfg *config.Config, id, name string, params, info jsontext.Value, credentials map[string]map[string]string) (config.Model, error) {
	entry := map[string]any{"model_name": name, "litellm_params": params}
	if len(info) > 0 {
		entry["model_info"] = info
	}
	text, err := json.Marshal(entry, jsontext.AllowDuplicateNames(true))
	if err != nil {
		return config.Model{}, fmt.Errorf("read the entry: %w", err)
	}
	m, _, err := cfg.ReadModel(text, credentials)
	m.Info.ID = id
	return m, err
}

// plainParams are texts of litellm_params that stay readable in the database. Every other text is sealed, known as a secret or not.
var plainParams = []string{"model", "custom_llm_provider", "litellm_credential_name"}

// SealParams seals the texts of a litellm_params object for the database.
func SealParams(params jsontext.Value, seal func(string) (string, error)) (jsontext.Value, error) {
	return eachText(params, seal)
}

// eachText maps the texts of a litellm_params object, at any depth, but those of plainParams.
func eachText(params jsontext.Value, do func(string) (string, error)) (jsontext.Value, error) {
	var tree map[string]any
	if err := json.Unmarshal(params, &tree, unmarshalNumbers); err != nil {
		return nil, err
	}
	for name, v := range tree {
		if slices.Contains(plainParams, name) {
			continue
		}
		var err error
		if tree[name], err = mapTexts(v, do); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return json.Marshal(tree, json.Deterministic(true))
}

func mapTexts(v any, do func(string) (string, error)) (any, error) {
	var err error
	switch t := v.(type) {
	case string:
		return do(t)
	case map[string]any:
		for k := range t {
			if t[k], err = mapTexts(t[k], do); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range t {
			if t[i], err = mapTexts(t[i], do); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// unmarshalNumbers keeps a number's text as it was written.
var unmarshalNumbers = json.WithUnmarshalers(json.UnmarshalFromFunc(func(dec *jsontext.Decoder, v *any) error {
	if dec.PeekKind() == '0' {
		raw, err := dec.ReadValue()
		*v = raw.Clone()
		return err
	}
	return errors.ErrUnsupported
}))

// headerParams are objects of litellm_params whose every value may be a secret.
var headerParams = []string{"extra_headers", "headers", "default_headers"}

// shownParams are the parameters of a model that may be shown: no secret, nothing that might hide one.
func shownParams(params map[string]any) object {
	out := object{}
	for name, v := range params {
		if !config.SecretParam(name) && !slices.Contains(headerParams, name) {
			out[name] = shown(v)
		}
	}
	return out
}

// shown is a value without what may be a secret in it.
func shown(v any) any {
	switch t := v.(type) {
	case string:
		return withoutUserinfo(t)
	case map[string]any:
		out := object{}
		for name, v := range t {
			if !config.SecretParam(name) {
				out[name] = shown(v)
			}
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i := range t {
			out[i] = shown(t[i])
		}
		return out
	}
	return v
}

// withoutUserinfo is an address without the password and the query that it may carry; any other text is as it was.
func withoutUserinfo(s string) string {
	if !strings.Contains(s, "://") || !strings.ContainsAny(s, "@?") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return masked
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// masked stands where a secret is.
const masked = "********"

// maskSecret shows enough of a secret to recognize it and too little to use it, as LiteLLM does.
func maskSecret(s string) string {
	if len(s) < 10 {
		return "****"
	}
	return s[:2] + "****" + s[len(s)-2:]
}

// fileParams are the parameters of a model of the file, secrets left out.
func fileParams(m *config.Model) object {
	out := object{}
	for name, v := range m.Params.Shown() {
		out[name] = v
	}
	for name, v := range m.Params.Defaults {
		out[name] = v
	}
	for name, v := range m.Params.Cost {
		out[name] = v
	}
	if m.TPM > 0 {
		out["tpm"] = m.TPM
	}
	if m.RPM > 0 {
		out["rpm"] = m.RPM
	}
	return shownParams(out)
}

func isPlain(name string) bool { return slices.Contains(plainParams, name) }
