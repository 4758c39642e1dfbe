package api

import (
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
)

// modelObjects splits litellm_params and model_info; absent and null ones are empty.
func modelObjects(params, info jsontext.Value) (p, i map[string]any, err error) {
	if p, err = objectOf(params, "litellm_params"); err != nil {
		return nil, nil, err
	}
	i, err = objectOf(info, "model_info")
	return p, i, err
}

func objectOf(raw jsontext.Value, field string) (map[string]any, error) {
	out := map[string]any{}
	if len(raw) == 0 || raw.Kind() == 'n' {
		return out, nil
	}
	if raw.Kind() != '{' || json.Unmarshal(raw, &out, unmarshalNumbers) != nil {
		return nil, faults{{Type: "dict_type", Loc: []any{"body", field}, Msg: "Input should be a valid dictionary"}}
	}
	return out, nil
}

// textOf is a string, or "" of anything else.
func textOf(v any) string {
	s, _ := v.(string)
	return s
}

func dropNulls(m map[string]any) {
	for name, v := range m {
		if v == nil {
			delete(m, name)
		}
	}
}

// mergeParams lays changes over parameters. A null changes nothing, as in LiteLLM, whose clients send null for what they don't mention; an
// empty text takes the parameter away; what this API shows in a secret's place leaves the secret as it is.
func mergeParams(params, changes map[string]any) {
	for name, v := range changes {
		s, isText := v.(string)
		old, hadText := params[name].(string)
		switch {
		case v == nil, isText && (s == masked || hadText && s == maskSecret(old)):
		case isText && s == "":
			delete(params, name)
		default:
			params[name] = v
		}
	}
}

// credentialParams are what a model may bring to prove itself to its provider.
var credentialParams = []string{"api_key", "aws_secret_access_key", "vertex_credentials", "vertex_ai_credentials", "client_secret", "azure_ad_token"}

// forbiddenParams reach for what is the gateway's own: files and roles of the machine it runs on, credentials that administrators named.
var forbiddenParams = []string{"aws_profile_name", "aws_web_identity_token", "aws_role_name", "aws_session_name", "litellm_credential_name",
	"aws_sts_endpoint"}

// selfContained refuses, of people who are no administrators, models that would be served with the gateway's own credentials: by way of a
// reference, a file, or because the entry has none.
func selfContained(params map[string]any) error {
	var reference string
	look := func(name string, v any) {
		_, _ = mapTexts(v, func(s string) (string, error) {
			if strings.HasPrefix(s, "os.environ/") {
				reference = name
			}
			return s, nil
		})
	}
	for name, v := range params {
		look(name, v)
	}
	if reference != "" {
		return denied("litellm_params."+reference, "litellm_params.%s: only proxy admins refer to the gateway's variables", reference)
	}
	for _, name := range forbiddenParams {
		if v := params[name]; v != nil && v != "" {
			return denied("litellm_params."+name, "litellm_params.%s: only proxy admins use the gateway's own credentials", name)
		}
	}
	for _, name := range []string{"vertex_credentials", "vertex_ai_credentials"} {
		if s := textOf(params[name]); s != "" && !strings.HasPrefix(strings.TrimSpace(s), "{") {
			return denied("litellm_params."+name, "litellm_params.%s: write the service account's JSON, not a path", name)
		}
	}
	for _, name := range credentialParams {
		if v := params[name]; v != nil && v != "" {
			return nil
		}
	}
	return denied("litellm_params.api_key", "litellm_params.api_key: a team's model brings its own credentials; without them it would use the gateway's")
}

// neutralParams are what LiteLLM writes for a stored model that says nothing about them.
var neutralParams = []string{"use_in_pass_through", "use_litellm_proxy", "use_xai_oauth", "merge_reasoning_content_in_choices",
	"allow_client_keepalive_override"}

// modelRow is a stored model as the routes that write one answer it. Where a secret is, stars stand.
func (a *API) modelRow(row *account.Model) object {
	params, info, err := modelObjects(row.Params, row.Info)
	if err != nil {
		params, info = map[string]any{}, map[string]any{}
	}
	seen := a.shownRow(params)
	for name := range params {
		if _, ok := seen[name]; !ok {
			seen[name] = masked
		}
	}
	for _, name := range neutralParams {
		if _, ok := seen[name]; !ok {
			seen[name] = false
		}
	}
	info["id"], info["db_model"], info["member_auto_router"] = row.ID, false, false
	return object{"model_id": row.ID, "model_name": row.Name, "litellm_params": seen, "model_info": info, "blocked": row.Blocked,
		"created_at": moment(row.Created), "created_by": row.CreatedBy, "updated_at": moment(row.Updated), "updated_by": row.UpdatedBy}
}

// shownRow is what may be shown of stored parameters, unsealed.
func (a *API) shownRow(sealed map[string]any) object {
	out := shownParams(sealed)
	for name, v := range out {
		if isPlain(name) {
			continue
		}
		opened, err := mapTexts(v, a.Unseal)
		if err != nil {
			opened = masked
		}
		out[name] = shown(opened)
	}
	return out
}

// auditedModel is a model's row for the audit, whose rows leave out what is called litellm_params: it may hold secrets, this one does not.
func auditedModel(row object) object {
	out := object{}
	for name, v := range row {
		if name == "litellm_params" {
			name = "parameters"
		}
		out[name] = v
	}
	return out
}

func encodeObject(m map[string]any) (jsontext.Value, error) {
	return json.Marshal(m, json.Deterministic(true))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
