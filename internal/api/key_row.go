package api

import (
	"context"
	"maps"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/store"
)

// keyView renders keys: with what they have spent and the budgets they share.
type keyView struct {
	a       *API
	spent   map[string]spent
	used    map[string]int64 // when last, Unix milliseconds
	budgets map[string]*account.Budget
	users   map[string]*account.User // filled by withUsers
	teams   map[string]*account.Team // filled by withTeams
}

// viewKeys reads what rows of these keys need.
func (a *API) viewKeys(ctx context.Context, keys ...account.Key) (*keyView, error) {
	v := &keyView{a: a, budgets: map[string]*account.Budget{}}
	hashes := make([]string, len(keys))
	for i := range keys {
		hashes[i] = keys[i].Hash
	}
	var err error
	if v.spent, err = a.spends(ctx, account.OfKey, hashes...); err != nil {
		return nil, err
	}
	if v.used, err = a.Store.LastUsed(ctx, hashes...); err != nil {
		return nil, err
	}
	return v, related(ctx, v.budgets, a.Store.Accounts().Budgets, keys, func(k *account.Key) string { return k.BudgetID },
		func(b *account.Budget) string { return b.ID })
}

func (v *keyView) withTeams(ctx context.Context, keys []account.Key) error {
	v.teams = map[string]*account.Team{}
	return related(ctx, v.teams, v.a.Store.Accounts().Teams, keys, func(k *account.Key) string { return k.TeamID },
		func(t *account.Team) string { return t.ID })
}

func (v *keyView) withUsers(ctx context.Context, keys []account.Key) error {
	v.users = map[string]*account.User{}
	return related(ctx, v.users, v.a.Store.Accounts().Users, keys, func(k *account.Key) string { return k.UserID },
		func(u *account.User) string { return u.ID })
}

// related reads the rows that others name, each once, into a map by id.
func related[T, R any](ctx context.Context, into map[string]*R, rows store.Rows[R], from []T, name func(*T) string, id func(*R) string) error {
	var ids []string
	for i := range from {
		if n := name(&from[i]); n != "" {
			if _, ok := into[n]; !ok {
				into[n] = nil
				ids = append(ids, n)
			}
		}
	}
	found, err := rows.List(ctx, ids...)
	for i := range found {
		into[id(&found[i])] = &found[i]
	}
	return err
}

// keyColumns are the fields of a key's row that Weir keeps in Extra, with what they are when never set.
var keyColumns = object{
	"config": object{}, "permissions": object{}, "router_settings": object{}, "budget_fallbacks": object{}, "policies": []string{},
	"access_group_ids": []string{}, "key_type": "default", "auto_rotate": false, "rotation_interval": nil, "agent_id": nil, "project_id": nil,
	"tpd_limit": nil, "object_permission": nil, "blocked": nil,
}

// keyJoins are further fields of whole keys in lists, null unless full fills them in.
var keyJoins = strings.Fields(`team_spend team_tpm_limit team_rpm_limit team_tpd_limit team_max_budget team_soft_budget team_model_max_budget
	team_model_aliases team_member team_metadata team_object_permission_id team_member_spend team_member_tpm_limit team_member_rpm_limit
	end_user_id end_user_tpm_limit end_user_rpm_limit end_user_tpd_limit end_user_max_budget end_user_model_max_budget organization_alias
	organization_max_budget organization_tpm_limit organization_rpm_limit organization_metadata project_alias project_metadata last_refreshed_at
	api_key allowed_model_region parent_otel_span rpm_limit_per_model tpm_limit_per_model user_tpm_limit user_rpm_limit user_spend
	user_max_budget user_model_max_budget request_route created_by_user end_user_object_permission team_object_permission jwt_claims`)

// row is a key as its table has it, without the hash and without anything that could be used as the key.
func (v *keyView) row(k *account.Key) object {
	s := v.spent[k.Hash]
	o := maps.Clone(keyColumns)
	for name, value := range k.Extra {
		o[name] = value
	}
	limitsOut(o, &k.Limits)
	o["key_name"], o["key_alias"] = text(k.Name), text(k.Alias)
	o["spend"], o["total_spend"], o["model_spend"] = money(s.now), money(s.total), modelSpend(s)
	o["soft_budget_cooldown"] = k.SoftBudget != nil && s.now >= *k.SoftBudget
	o["expires"] = moment(k.Expires)
	o["models"], o["aliases"] = list(k.Models), dict(k.Aliases)
	o["user_id"], o["team_id"], o["organization_id"] = text(k.UserID), text(k.TeamID), text(k.OrgID)
	o["metadata"] = keyMetadata(k)
	o["tags"] = k.Tags
	if len(k.Tags) == 0 {
		o["tags"] = nil
	}
	if k.Blocked {
		o["blocked"] = true
	}
	o["budget_reset_at"] = v.resetAt(k, s)
	o["budget_limits"] = windowsOut(&k.Limits, s)
	o["allowed_cache_controls"], o["allowed_routes"] = list(k.CacheControls), list(k.AllowedRoutes)
	o["litellm_budget_table"] = sharedBudget(v.budgets[k.BudgetID])
	if k.SoftBudget != nil && v.budgets[k.BudgetID] == nil { // where LiteLLM's clients look for it
		o["litellm_budget_table"] = sharedBudget(&account.Budget{Limits: account.Limits{SoftBudget: k.SoftBudget}, Stamp: k.Stamp})
	}
	o["created_at"], o["created_by"] = moment(k.Created), text(k.CreatedBy)
	o["updated_at"], o["updated_by"] = moment(k.Updated), text(k.UpdatedBy)
	o["settings_updated_at"] = nil
	if k.Updated > k.Created {
		o["settings_updated_at"] = moment(k.Updated)
	}
	o["rotation_count"], o["last_rotation_at"], o["key_rotation_at"] = k.Rotations, moment(k.Rotated), nil
	o["aws_access_key_id"] = text(k.AWSAccessKeyID)
	o["last_active"] = moment(v.used[k.Hash])
	for _, name := range []string{"object_permission_id", "litellm_organization_table", "litellm_project_table", "jwt_key_mappings"} {
		o[name] = nil
	}
	return o
}

// resetAt is when the budget's period ends: nothing runs before the first call after the budget was set on another replica's books.
func (v *keyView) resetAt(k *account.Key, s spent) any {
	if s.resetAt != 0 {
		return moment(s.resetAt)
	}
	p, err := account.ParsePeriod(k.BudgetDuration)
	if err != nil {
		return nil
	}
	return moment(p.NextReset(v.a.Now().In(v.a.Zone)).UnixMilli())
}

// full is row with the hash, as lists of whole keys show it.
func (v *keyView) full(k *account.Key) object {
	o := v.row(k)
	o["token"] = k.Hash
	o["org_id"] = text(k.OrgID)
	for _, name := range keyJoins {
		o[name] = nil
	}
	o["team_blocked"], o["is_session_token"], o["team_models"], o["team_alias"] = false, false, []string{}, nil
	if t := v.teams[k.TeamID]; t != nil {
		o["team_blocked"], o["team_models"], o["team_alias"] = t.Blocked, list(t.Models), text(t.Alias)
		o["team_max_budget"], o["team_tpm_limit"], o["team_rpm_limit"] = dollars(t.MaxBudget), number(t.TPM), number(t.RPM)
	}
	o["user"], o["user_email"], o["user_role"] = nil, nil, nil
	if u := v.users[k.UserID]; u != nil {
		o["user_email"], o["user_role"] = text(u.Email), text(u.Role)
		o["user"] = object{"user_id": u.ID, "user_email": text(u.Email), "user_alias": text(u.Alias)}
	}
	return o
}

// keyMetadata is a key's metadata as LiteLLM shows it: with the limits that it keeps there.
func keyMetadata(k *account.Key) map[string]any {
	out := withModelLimits(k.Metadata, &k.Limits)
	if len(k.Tags) > 0 {
		out["tags"] = k.Tags
	}
	if k.TempExpiry != 0 {
		out["temp_budget_increase"], out["temp_budget_expiry"] = money(k.TempIncrease), moment(k.TempExpiry)
	}
	return out
}

func modelSpend(s spent) object {
	out := object{}
	for model, n := range s.models {
		out[model] = money(n)
	}
	return out
}

// sharedBudget is the budget that an account is bound to, as it stands in the account's row.
func sharedBudget(b *account.Budget) any {
	if b == nil {
		return nil
	}
	o := object{"tpd_limit": nil, "budget_reset_at": nil, "allowed_models": []string{}, "temp_budget_increase": nil, "temp_budget_expiry": nil}
	limitsOut(o, &b.Limits)
	delete(o, "model_rpm_limit")
	delete(o, "model_tpm_limit")
	o["budget_id"] = text(b.ID)
	o["created_at"], o["created_by"] = moment(b.Created), text(b.CreatedBy)
	o["updated_at"], o["updated_by"] = moment(b.Updated), text(b.UpdatedBy)
	for _, name := range []string{"organization", "projects", "keys", "end_users", "tags", "model_access_groups", "team_membership", "organization_membership"} {
		o[name] = nil
	}
	return o
}

// routerSettings are the fields of router_settings as a new key's answer lists them.
var routerSettings = []string{"routing_strategy_args", "routing_strategy", "routing_groups", "retry_policy", "model_group_retry_policy",
	"model_group_affinity_config", "allowed_fails", "cooldown_time", "num_retries", "timeout", "max_retries", "retry_after", "fallbacks",
	"context_window_fallbacks", "enable_tag_filtering", "weights", "tag_routing_prefix", "optional_pre_call_checks"}

// createdFields are in the answer to a key's making, null unless the key has them.
var createdFields = []string{"duration", "mcp_rpm_limit", "tag_rpm_limit", "guardrails", "prompts", "default_estimated_output_tokens",
	"default_estimated_output_tokens_per_model", "end_user_budget_id", "disable_global_guardrails", "enable_prompt_caching",
	"throttle_on_budget_exceeded", "enforced_params", "allowed_passthrough_routes", "denied_passthrough_routes", "allowed_vector_store_indexes",
	"rpm_limit_type", "tpm_limit_type", "send_invite_email"}

// made is the answer that shows a new key: the only one with the key in it.
func (v *keyView) made(m *madeKey) object {
	row := v.row(m.Key)
	o := object{}
	for _, name := range []string{"key_alias", "models", "max_budget", "soft_budget", "user_id", "team_id", "agent_id", "max_parallel_requests", "metadata",
		"tpm_limit", "rpm_limit", "budget_duration", "budget_limits", "allowed_cache_controls", "config", "permissions", "model_max_budget",
		"budget_fallbacks", "model_rpm_limit", "model_tpm_limit", "aliases", "object_permission", "tpd_limit", "budget_id", "tags", "allowed_routes",
		"access_group_ids", "key_name", "key_type", "expires", "organization_id", "project_id", "litellm_budget_table", "created_by", "updated_by",
		"created_at", "updated_at", "blocked"} {
		o[name] = row[name]
	}
	for _, name := range createdFields {
		o[name] = m.Metadata[name]
	}
	settings := object{"model_group_alias": object{}}
	for _, name := range routerSettings {
		settings[name] = nil
	}
	var own map[string]any
	if text, ok := m.Extra["router_settings"]; ok && json.Unmarshal(text, &own) == nil {
		maps.Copy(settings, own)
	}
	o["router_settings"] = settings
	o["policies"] = m.Extra["policies"]
	if m.Extra["policies"] == nil {
		o["policies"] = nil
	}
	o["spend"] = money(m.spend)
	o["key"], o["token"], o["token_id"] = m.plain, m.Hash, m.Hash
	if m.awsID != "" {
		o["aws_access_key_id"], o["aws_secret_access_key"] = m.awsID, m.awsSecret
	}
	return o
}

func (a *API) madeOut(ctx context.Context, m *madeKey) (object, error) {
	v, err := a.viewKeys(ctx, *m.Key)
	if err != nil {
		return nil, err
	}
	return v.made(m), nil
}
