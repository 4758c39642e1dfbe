package litellm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/store"
)

type modelRow struct {
	ID      string         `json:"model_id"`
	Name    string         `json:"model_name"`
	Params  jsontext.Value `json:"litellm_params"`
	Info    jsontext.Value `json:"model_info"`
	Blocked bool           `json:"blocked"`
	stampRow
}

type credentialRow struct {
	Name   string         `json:"credential_name"`
	Values jsontext.Value `json:"credential_values"`
	Info   jsontext.Value `json:"credential_info"`
	stampRow
}

// readModels unseals models and credentials and seals them anew. A value that the salt key does not open ends the import.
func (im *importer) readModels(ctx context.Context) error {
	err := each(ctx, im, "CredentialsTable", func(r *credentialRow, _ map[string]jsontext.Value) error {
		var values map[string]any
		if err := decode(r.Values, &values); err != nil {
			return fmt.Errorf("credential %s: %w", r.Name, err)
		}
		row := account.Credential{Name: r.Name, Values: map[string]string{}, Info: object(r.Info), Stamp: r.stamp()}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			plain, ok := values[name].(string)
			if !ok {
				im.note("credential %s: %s is no text and is left out", r.Name, name)
				continue
			}
			plain, err := im.open(plain)
			if err == nil {
				row.Values[name], err = im.o.Seal(plain)
			}
			if err != nil {
				return fmt.Errorf("credential %s: %s: %w", r.Name, name, err)
			}
		}
		add(im, "credentials", func(e *store.Edit) store.Rows[account.Credential] { return e.Credentials }, row)
		return nil
	})
	if err != nil {
		return err
	}
	return each(ctx, im, "ProxyModelTable", func(r *modelRow, _ map[string]jsontext.Value) error {
		row := account.Model{ID: r.ID, Name: r.Name, Info: object(r.Info), Blocked: r.Blocked, Stamp: r.stamp()}
		var info struct {
			TeamID string `json:"team_id"`
			Name   string `json:"team_public_model_name"`
		}
		if err := json.Unmarshal(row.Info, &info); err != nil {
			return fmt.Errorf("model %s: model_info: %w", r.Name, err)
		}
		// LiteLLM gives a team's model a made-up name; people call it by the other.
		if row.TeamID = info.TeamID; info.TeamID != "" && info.Name != "" {
			row.Name = info.Name
		}
		params, err := im.params(r.Params)
		if err == nil {
			row.Params, err = im.o.SealParams(params)
		}
		if err != nil {
			return fmt.Errorf("model %s (%s): %w", r.Name, r.ID, err)
		}
		add(im, "models", func(e *store.Edit) store.Rows[account.Model] { return e.Models }, row)
		return nil
	})
}

// object is a JSON column that holds an object; anything else is an empty one.
func object(v jsontext.Value) jsontext.Value {
	var text string
	if len(v) > 0 && v.Kind() == '"' && json.Unmarshal(v, &text) == nil {
		v = jsontext.Value(text)
	}
	if len(v) == 0 || v.Kind() != '{' || !v.IsValid() {
		return jsontext.Value("{}")
	}
	return v
}

// params are a model's parameters in the clear, without the switches that LiteLLM writes into every model and that are off.
func (im *importer) params(v jsontext.Value) (jsontext.Value, error) {
	fields := map[string]jsontext.Value{}
	if err := decode(v, &fields); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if text := string(fields[name]); text == "null" || text == "false" {
			delete(fields, name)
			continue
		}
		plain, err := im.openAll(fields[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		fields[name] = plain
	}
	return json.Marshal(fields, json.Deterministic(true))
}

// openAll opens the texts in a value, at any depth.
func (im *importer) openAll(v jsontext.Value) (jsontext.Value, error) {
	switch v.Kind() {
	case '"':
		var text string
		if err := json.Unmarshal(v, &text); err != nil {
			return nil, err
		}
		plain, err := im.open(text)
		if err != nil {
			return nil, err
		}
		return json.Marshal(plain)
	case '[':
		var list []jsontext.Value
		if err := json.Unmarshal(v, &list); err != nil {
			return nil, err
		}
		for i := range list {
			var err error
			if list[i], err = im.openAll(list[i]); err != nil {
				return nil, err
			}
		}
		return json.Marshal(list)
	case '{':
		fields := map[string]jsontext.Value{}
		if err := json.Unmarshal(v, &fields); err != nil {
			return nil, err
		}
		for name := range fields {
			var err error
			if fields[name], err = im.openAll(fields[name]); err != nil {
				return nil, err
			}
		}
		return json.Marshal(fields, json.Deterministic(true))
	}
	return v, nil
}

// open gives the plain text of a value. Some values were never encrypted: names, references to the environment, whatever an old version
// wrote. What looks encrypted and does not open is an error.
func (im *importer) open(text string) (string, error) {
	plain, err := store.OpenLiteLLM(im.o.SaltKey, text)
	if err == nil {
		return plain, nil
	}
	if !looksSealed(text) {
		return text, nil
	}
	return "", errors.New("it does not open with this salt key; set LITELLM_SALT_KEY to the one that LiteLLM had, or to its master key if it had none")
}

// looksSealed says whether a text can be what LiteLLM encrypted: base64 of at least a nonce and an authenticator, in no other form.
func looksSealed(text string) bool {
	_, rest, gcm := strings.Cut(text, ":")
	if !gcm {
		rest = text
	}
	rest = strings.TrimRight(rest, "=")
	if len(rest) < (24+16)*4/3 && !(gcm && len(rest) >= (12+16)*4/3) || strings.HasPrefix(text, "os.environ/") || strings.HasPrefix(text, "sk-") {
		return false
	}
	for _, c := range []byte(rest) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '+' || c == '/') {
			return false
		}
	}
	return true
}

// readSettings tells of settings that stay behind.
func (im *importer) readSettings(ctx context.Context) error {
	return each(ctx, im, "Config", func(r *struct {
		Name  string         `json:"param_name"`
		Value jsontext.Value `json:"param_value"`
	}, _ map[string]jsontext.Value) error {
		switch string(r.Value) {
		case "", "null", "{}", "[]":
			return nil
		}
		im.note("settings under %q were kept in LiteLLM's database; put them into the configuration file", r.Name)
		return nil
	})
}
