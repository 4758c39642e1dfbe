package api

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// keyFields are the fields of a key in requests: /key/generate, /key/update, /key/regenerate, and /user/new for the key it makes.
type keyFields struct {
	limitFields
	Alias         opt[string]            `json:"key_alias"`
	Duration      opt[string]            `json:"duration"`
	Models        opt[[]string]          `json:"models"`
	UserID        opt[string]            `json:"user_id"`
	TeamID        opt[string]            `json:"team_id"`
	OrgID         opt[string]            `json:"organization_id"`
	Metadata      opt[map[string]any]    `json:"metadata"`
	Aliases       opt[map[string]string] `json:"aliases"`
	AllowedRoutes opt[[]string]          `json:"allowed_routes"`
	CacheControls opt[[]string]          `json:"allowed_cache_controls"`
	Blocked       opt[bool]              `json:"blocked"`
	Spend         opt[money]             `json:"spend" min:"0"`
	Tags          opt[[]string]          `json:"tags"`
	Type          opt[string]            `json:"key_type" oneof:"llm_api,management,read_only,default" wrong:"enum"`
	TempIncrease  opt[money]             `json:"temp_budget_increase" min:"0"`
	TempExpiry    opt[string]            `json:"temp_budget_expiry"`
	keyExtraFields
	keyMetaFields
}

// keyExtraFields are kept and shown, each in a column of its own.
type keyExtraFields struct {
	Config           opt[map[string]any]      `json:"config"`
	Permissions      opt[map[string]any]      `json:"permissions"`
	BudgetFallbacks  opt[map[string][]string] `json:"budget_fallbacks"`
	RouterSettings   opt[map[string]any]      `json:"router_settings"`
	ObjectPermission opt[map[string]any]      `json:"object_permission"`
	Policies         opt[[]string]            `json:"policies"`
	AccessGroups     opt[[]string]            `json:"access_group_ids"`
	AgentID          opt[string]              `json:"agent_id"`
	ProjectID        opt[string]              `json:"project_id"`
	TPD              opt[int64]               `json:"tpd_limit" min:"0"`
	AutoRotate       opt[bool]                `json:"auto_rotate"`
	RotationInterval opt[string]              `json:"rotation_interval"`
}

// keyMetaFields are kept in the metadata, where LiteLLM keeps them.
type keyMetaFields struct {
	Guardrails        opt[[]string]         `json:"guardrails"`
	Prompts           opt[[]string]         `json:"prompts"`
	EnforcedParams    opt[[]string]         `json:"enforced_params"`
	RPMType           opt[string]           `json:"rpm_limit_type" oneof:"guaranteed_throughput,best_effort_throughput,dynamic"`
	TPMType           opt[string]           `json:"tpm_limit_type" oneof:"guaranteed_throughput,best_effort_throughput,dynamic"`
	MCPRPM            opt[map[string]int64] `json:"mcp_rpm_limit"`
	TagRPM            opt[map[string]int64] `json:"tag_rpm_limit"`
	NoGuardrails      opt[bool]             `json:"disable_global_guardrails"`
	PromptCaching     opt[bool]             `json:"enable_prompt_caching"`
	Throttle          opt[bool]             `json:"throttle_on_budget_exceeded"`
	Passthrough       opt[[]string]         `json:"allowed_passthrough_routes"`
	DeniedPassthrough opt[[]string]         `json:"denied_passthrough_routes"`
	VectorStores      opt[[]any]            `json:"allowed_vector_store_indexes"`
	EstimatedOutput   opt[int64]            `json:"default_estimated_output_tokens" min:"0"`
	EstimatedByModel  opt[map[string]int64] `json:"default_estimated_output_tokens_per_model"`
}

// keyTypeRoutes are the routes that a type of key may call.
var keyTypeRoutes = map[string][]string{
	"llm_api": {"llm_api_routes"}, "management": {"management_routes"}, "read_only": {"info_routes"},
}

// eachField calls f for every field of a request struct that has a name in the body, embedded structs included.
func eachField(v reflect.Value, f func(name string, field optional)) {
	for i := range v.NumField() {
		t := v.Type().Field(i)
		if t.Anonymous {
			eachField(v.Field(i), f)
			continue
		}
		if o, ok := v.Field(i).Addr().Interface().(optional); ok && t.Tag.Get("json") != "" {
			f(t.Tag.Get("json"), o)
		}
	}
}

// given lists the fields that a request has, null or not.
func given(in any) []string {
	var out []string
	eachField(reflect.ValueOf(in).Elem(), func(name string, field optional) {
		if field.isSet() {
			out = append(out, name)
		}
	})
	return out
}

// fill sets the fields of in, a pointer to a request, that the request leaves out or null, from a section of the configuration.
func fill[T any](in *T, section string, defaults map[string]any) error {
	if len(defaults) == 0 {
		return nil
	}
	from, err := fromConfig[T](section, defaults)
	if err != nil {
		return err
	}
	merge(reflect.ValueOf(in).Elem(), reflect.ValueOf(from).Elem())
	return nil
}

func merge(to, from reflect.Value) {
	for i := range to.NumField() {
		if to.Type().Field(i).Anonymous {
			merge(to.Field(i), from.Field(i))
			continue
		}
		o, ok := to.Field(i).Addr().Interface().(optional)
		if ok && o.current().IsNil() && from.Field(i).Addr().Interface().(optional).isSet() {
			to.Field(i).Set(from.Field(i))
		}
	}
}

// fromConfig reads a section of the configuration as a request's fields.
func fromConfig[T any](section string, values map[string]any) (*T, error) {
	text, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	d := decoder{}
	d.body, _ = members(text)
	out := new(T)
	d.fields(reflect.ValueOf(out).Elem(), d.body, []any{"litellm_settings", section})
	if len(d.faults) > 0 {
		return nil, d.faults.internal()
	}
	if d.refused != nil {
		return nil, &llm.Error{Kind: llm.ErrInternal, Message: "the configuration is wrong", Cause: d.refused}
	}
	return out, nil
}

// internal makes the faults the operator's, not the caller's.
func (f faults) internal() error {
	return &llm.Error{Kind: llm.ErrInternal, Message: "the configuration is wrong", Cause: f}
}

// apply puts the fields that were given into k, and checks what can be checked without other rows.
func (in *keyFields) apply(k *account.Key, now time.Time) error {
	if err := in.limitFields.apply(&k.Limits); err != nil {
		return err
	}
	in.Alias.put(&k.Alias)
	in.Models.put(&k.Models)
	in.UserID.put(&k.UserID)
	in.TeamID.put(&k.TeamID)
	in.OrgID.put(&k.OrgID)
	in.Aliases.put(&k.Aliases)
	in.AllowedRoutes.put(&k.AllowedRoutes)
	in.CacheControls.put(&k.CacheControls)
	in.Blocked.put(&k.Blocked)
	in.Tags.put(&k.Tags)
	if in.Type.Set {
		if routes, ok := keyTypeRoutes[in.Type.or("")]; ok && len(k.AllowedRoutes) == 0 {
			k.AllowedRoutes = routes
		}
	}
	if in.Duration.Set {
		k.Expires = 0
		if d := in.Duration.or("-1"); d != "-1" && d != "" {
			p, err := account.ParsePeriod(d)
			if err != nil {
				return llm.Invalid("duration", "Invalid duration format: %v", err)
			}
			k.Expires = p.After(now).UnixMilli()
		}
	}
	if err := period("rotation_interval", in.RotationInterval.or("")); err != nil {
		return err
	}
	for name, m := range map[string]opt[map[string]int64]{"mcp_rpm_limit": in.MCPRPM, "tag_rpm_limit": in.TagRPM,
		"default_estimated_output_tokens_per_model": in.EstimatedByModel} {
		for key, n := range m.or(nil) {
			if n < 0 {
				return llm.Invalid(name, "%s must be a non-negative finite number. Received: %d for %s", name, n, key)
			}
		}
	}
	if err := keepExtras(&in.keyExtraFields, &k.Extra); err != nil {
		return err
	}
	if in.Blocked.Value != nil { // kept beside, for LiteLLM tells a key that was never blocked (null) from one that is not (false)
		if err := keep(&k.Extra, "blocked", k.Blocked); err != nil {
			return err
		}
	}
	if in.Type.Set && in.Type.Value != nil {
		if err := keep(&k.Extra, "key_type", *in.Type.Value); err != nil {
			return err
		}
	}
	if err := in.applyTemp(k, now); err != nil {
		return err
	}
	return in.applyMetadata(k)
}

// applyTemp sets a temporary increase of the budget; the expiry is a date, a moment or a duration.
func (in *keyFields) applyTemp(k *account.Key, now time.Time) error {
	if !in.TempIncrease.Set && !in.TempExpiry.Set {
		return nil
	}
	if (in.TempIncrease.Value == nil) != (in.TempExpiry.Value == nil) {
		return wrong("temp_budget_increase and temp_budget_expiry must be set together")
	}
	k.TempIncrease, k.TempExpiry = 0, 0
	if in.TempIncrease.Value == nil {
		return nil
	}
	at, ok := momentOf(*in.TempExpiry.Value, now)
	if !ok {
		return llm.Invalid("temp_budget_expiry", "temp_budget_expiry must be a date, a time or a duration, as in 2026-12-31, 2026-12-31T12:00:00Z or 10d")
	}
	k.TempIncrease, k.TempExpiry = llm.Nanos(*in.TempIncrease.Value), at
	return nil
}

// momentOf reads a date, a time or a duration from now, as Unix milliseconds.
func momentOf(s string, now time.Time) (int64, bool) {
	if p, err := account.ParsePeriod(s); err == nil {
		return p.After(now).UnixMilli(), true
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}

// applyMetadata replaces the metadata, if given, but for what LiteLLM keeps there of other fields, which only those fields change.
func (in *keyFields) applyMetadata(k *account.Key) error {
	var err error
	k.Metadata, err = in.metadata(k.Metadata, in.Metadata, &k.Limits)
	if err != nil {
		return err
	}
	if tags, ok := k.Metadata["tags"]; ok {
		if k.Tags, ok = stringList(tags); !ok {
			return faults{{Type: "list_type", Loc: []any{"body", "metadata", "tags"}, Msg: "Input should be a valid list"}}
		}
		delete(k.Metadata, "tags")
	}
	return nil
}

// metadata is the metadata after a request: limits per model that stand in it become limits.
func (f *keyMetaFields) metadata(before map[string]any, in opt[map[string]any], l *account.Limits) (map[string]any, error) {
	out := maps.Clone(before)
	own := map[string]bool{}
	eachField(reflect.ValueOf(f).Elem(), func(name string, _ optional) { own[name] = true })
	if in.Set {
		out = maps.Clone(in.or(nil))
		for name, v := range before {
			if _, ok := out[name]; own[name] && !ok {
				if out == nil {
					out = map[string]any{}
				}
				out[name] = v
			}
		}
		for name, to := range map[string]*map[string]int64{"model_rpm_limit": &l.ModelRPM, "model_tpm_limit": &l.ModelTPM} {
			v, ok := out[name]
			if !ok || v == nil {
				continue
			}
			if *to, ok = numbers(v); !ok {
				return nil, faults{{Type: "dict_type", Loc: []any{"body", "metadata", name}, Msg: "Input should be a valid dictionary of whole numbers from 0"}}
			}
			delete(out, name)
		}
	}
	eachField(reflect.ValueOf(f).Elem(), func(name string, field optional) {
		if !field.isSet() {
			return
		}
		if out == nil {
			out = map[string]any{}
		}
		if v := field.current(); v.IsNil() {
			delete(out, name)
		} else {
			out[name] = v.Elem().Interface()
		}
	})
	return out, nil
}

// keepExtras keeps the fields given under their names; null forgets one.
func keepExtras(in any, to *account.Extra) (err error) {
	eachField(reflect.ValueOf(in).Elem(), func(name string, field optional) {
		if !field.isSet() || err != nil {
			return
		}
		if v := field.current(); v.IsNil() {
			*to = maps.Clone(*to)
			delete(*to, name)
		} else {
			err = keep(to, name, v.Elem().Interface())
		}
	})
	return err
}

func keep(to *account.Extra, name string, value any) error {
	text, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		return err
	}
	if *to = maps.Clone(*to); *to == nil {
		*to = account.Extra{}
	}
	(*to)[name] = text
	return nil
}

func stringList(v any) ([]string, bool) {
	items, ok := v.([]any)
	if !ok {
		return nil, false
	}
	out := make([]string, len(items))
	for i, item := range items {
		if out[i], ok = item.(string); !ok {
			return nil, false
		}
	}
	return out, true
}

func numbers(v any) (map[string]int64, bool) {
	items, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	out := make(map[string]int64, len(items))
	for name, item := range items {
		f, ok := item.(float64)
		if !ok || f < 0 || f != float64(int64(f)) {
			return nil, false
		}
		out[name] = int64(f)
	}
	return out, true
}

// aliasForm and maxAlias are what aliases are like. The length is not in the expression, which would be compiled to a copy of itself for each
// character.
var aliasForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_\-/.@]*[A-Za-z0-9]$`)

const maxAlias = 255

// checkKey checks what a key refers to, and its form.
func (e *edit) checkKey(ctx context.Context, before, k *account.Key) error {
	switch {
	case k.Alias != before.Alias && k.Alias != "" && e.a.Config().LiteLLM.CheckAliases && (len(k.Alias) > maxAlias || !aliasForm.MatchString(k.Alias)):
		return llm.Invalid("key_alias", "Invalid key_alias: it must have 2 to 255 of a-z, A-Z, 0-9 and _-/.@ and begin and end with a letter or a digit")
	case strings.IndexByte(k.Alias+k.UserID+k.TeamID+k.OrgID, 0x1f) >= 0 || strings.IndexByte(k.Alias+k.UserID+k.TeamID+k.OrgID, 0) >= 0:
		return llm.Invalid("key_alias", "key_alias, user_id, team_id and organization_id must not hold control characters")
	}
	if k.BudgetID != before.BudgetID {
		if err := e.budgetID(ctx, &k.Limits); err != nil {
			return err
		}
	}
	if k.OrgID != before.OrgID && k.OrgID != "" {
		if org, err := get(ctx, e.Orgs, k.OrgID); err != nil {
			return err
		} else if org == nil {
			return notFound("organization_id", "Organization doesn't exist in db. Organization=%s. Create organization via `/organization/new` call.", k.OrgID)
		}
	}
	if slices.Contains(k.AllowedRoutes, "") {
		return llm.Invalid("allowed_routes", "allowed_routes must not hold an empty name")
	}
	return nil
}

// putKey writes a key, with its budget periods and its audit row. before is nil for a new one.
func (e *edit) putKey(ctx context.Context, action string, before, k *account.Key) error {
	e.stamp(&k.Stamp)
	if err := e.Keys.Put(ctx, k); err != nil {
		var taken *store.ExistsError
		if errors.As(err, &taken) && taken.Field == "alias" {
			return &llm.Error{Kind: llm.ErrInvalid, Type: "bad_request_error", Param: "key_alias",
				Message: "Key with alias '" + k.Alias + "' already exists. Unique key aliases across all keys are required."}
		}
		return err
	}
	var was *account.Limits
	var old any
	if before != nil {
		was, old = &before.Limits, before
	}
	if err := e.windows(ctx, account.Subject{Kind: account.OfKey, ID: k.Hash}, was, &k.Limits); err != nil {
		return err
	}
	return e.audit(ctx, action, keyTable, k.Hash, old, k)
}

// unset forgets the fields of a request that are null or empty, but for those named.
func unset(in any, but ...string) {
	eachField(reflect.ValueOf(in).Elem(), func(name string, field optional) {
		if !field.isSet() || slices.Contains(but, name) {
			return
		}
		v := field.current()
		if !v.IsNil() {
			switch v.Elem().Kind() {
			case reflect.String, reflect.Slice, reflect.Map:
				if v.Elem().Len() > 0 {
					return
				}
			default:
				return
			}
		}
		field.forget()
	})
}
