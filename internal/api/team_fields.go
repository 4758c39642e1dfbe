package api

import (
	"slices"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// teamFields are what a team may be given when it is made and when it is changed.
type teamFields struct {
	Alias    opt[string]            `json:"team_alias"`
	OrgID    opt[string]            `json:"organization_id"`
	Models   opt[[]string]          `json:"models"`
	Aliases  opt[map[string]string] `json:"model_aliases"`
	Blocked  opt[bool]              `json:"blocked"`
	Metadata opt[map[string]any]    `json:"metadata"`
	Tags     opt[[]string]          `json:"tags"`
	MayDo    opt[[]string]          `json:"team_member_permissions"`
	limitFields
	memberDefaults
	teamExtraFields
}

// memberDefaults are the limits of members that have none of their own.
type memberDefaults struct {
	Budget   opt[money]  `json:"team_member_budget" min:"0"`
	Duration opt[string] `json:"team_member_budget_duration"`
	RPM      opt[int64]  `json:"team_member_rpm_limit" min:"0"`
	TPM      opt[int64]  `json:"team_member_tpm_limit" min:"0"`
}

// teamExtraFields are kept and shown, and not acted on.
type teamExtraFields struct {
	TPD                opt[int64]            `json:"tpd_limit" min:"0"`
	Router             opt[map[string]any]   `json:"router_settings"`
	AccessGroups       opt[[]string]         `json:"access_group_ids"`
	Policies           opt[[]string]         `json:"policies"`
	ObjectPermission   opt[map[string]any]   `json:"object_permission"`
	DefaultModels      opt[[]string]         `json:"default_team_member_models"`
	Guardrails         opt[[]string]         `json:"guardrails"`
	Prompts            opt[[]string]         `json:"prompts"`
	MemberKeyDuration  opt[string]           `json:"team_member_key_duration"`
	RPMType            opt[string]           `json:"rpm_limit_type" oneof:"guaranteed_throughput,best_effort_throughput"`
	TPMType            opt[string]           `json:"tpm_limit_type" oneof:"guaranteed_throughput,best_effort_throughput"`
	Passthrough        opt[[]string]         `json:"allowed_passthrough_routes"`
	DeniedPassthrough  opt[[]string]         `json:"denied_passthrough_routes"`
	NoGlobalGuardrails opt[bool]             `json:"disable_global_guardrails"`
	SecretManager      opt[map[string]any]   `json:"secret_manager_settings"`
	EstimatedOutput    opt[int64]            `json:"default_estimated_output_tokens" min:"0"`
	EstimatedOutputs   opt[map[string]int64] `json:"default_estimated_output_tokens_per_model"`
	McpRPM             opt[map[string]int64] `json:"mcp_rpm_limit"`
	VectorIndexes      opt[[]any]            `json:"allowed_vector_store_indexes"`
	BatchExpiry        opt[map[string]any]   `json:"enforced_batch_output_expires_after"`
	FileExpiry         opt[map[string]any]   `json:"enforced_file_expires_after"`
}

// teamExtras stand in a team's row, teamMetaExtras in its metadata.
var (
	teamExtras = []string{"tpd_limit", "router_settings", "access_group_ids", "policies", "object_permission", "default_team_member_models"}

	teamMetaExtras = []string{"guardrails", "prompts", "team_member_key_duration", "rpm_limit_type", "tpm_limit_type", "allowed_passthrough_routes",
		"denied_passthrough_routes", "disable_global_guardrails", "secret_manager_settings", "default_estimated_output_tokens",
		"default_estimated_output_tokens_per_model", "mcp_rpm_limit", "allowed_vector_store_indexes", "enforced_batch_output_expires_after",
		"enforced_file_expires_after"}
)

func (f *teamExtraFields) put(x *account.Extra) error {
	if err := period("team_member_key_duration", f.MemberKeyDuration.or("")); err != nil {
		return err
	}
	putExtra(x, "tpd_limit", f.TPD)
	putExtra(x, "router_settings", f.Router)
	putExtra(x, "access_group_ids", f.AccessGroups)
	putExtra(x, "policies", f.Policies)
	putExtra(x, "object_permission", f.ObjectPermission)
	putExtra(x, "default_team_member_models", f.DefaultModels)
	putExtra(x, "guardrails", f.Guardrails)
	putExtra(x, "prompts", f.Prompts)
	putExtra(x, "team_member_key_duration", f.MemberKeyDuration)
	putExtra(x, "rpm_limit_type", f.RPMType)
	putExtra(x, "tpm_limit_type", f.TPMType)
	putExtra(x, "allowed_passthrough_routes", f.Passthrough)
	putExtra(x, "denied_passthrough_routes", f.DeniedPassthrough)
	putExtra(x, "disable_global_guardrails", f.NoGlobalGuardrails)
	putExtra(x, "secret_manager_settings", f.SecretManager)
	putExtra(x, "default_estimated_output_tokens", f.EstimatedOutput)
	putExtra(x, "default_estimated_output_tokens_per_model", f.EstimatedOutputs)
	putExtra(x, "mcp_rpm_limit", f.McpRPM)
	putExtra(x, "allowed_vector_store_indexes", f.VectorIndexes)
	putExtra(x, "enforced_batch_output_expires_after", f.BatchExpiry)
	putExtra(x, "enforced_file_expires_after", f.FileExpiry)
	return nil
}

// put changes a team by what was given, but for its members' budget, which is a row of its own.
func (f *teamFields) put(t *account.Team) error {
	if err := putMetadata(f.Metadata, t); err != nil {
		return err
	}
	if err := f.limitFields.apply(&t.Limits); err != nil { // after the metadata, which may hold limits too
		return err
	}
	if err := f.teamExtraFields.put(&t.Extra); err != nil {
		return err
	}
	f.Alias.put(&t.Alias)
	f.OrgID.put(&t.OrgID)
	f.Blocked.put(&t.Blocked)
	f.MayDo.put(&t.MemberPermissions)
	f.Aliases.put(&t.ModelAliases)
	f.Models.put(&t.Models)
	f.Tags.put(&t.Tags)
	if err := checkPermissions(f.MayDo.or(nil)); err != nil {
		return err
	}
	return checkTeamText(t)
}

// putMetadata replaces a team's metadata. The settings that LiteLLM shows among it go where they belong, so that what a client read and
// sends back changes nothing; those it leaves out stay.
func putMetadata(o opt[map[string]any], t *account.Team) error {
	if !o.Set {
		return nil
	}
	t.Metadata = map[string]any{}
	for name, value := range o.or(nil) {
		switch {
		case name == "team_member_budget_id" || name == "logging" || name == "callback_settings":
		case name == "tags":
			tags, ok := stringsOf(value)
			if !ok {
				return llm.Invalid("metadata", "metadata.tags is not a list of strings")
			}
			t.Tags = tags
		case name == "model_rpm_limit", name == "model_tpm_limit":
			rates, ok := ratesOf(value)
			if !ok {
				return llm.Invalid("metadata", "metadata.%s is not an object of non-negative whole numbers", name)
			}
			if name == "model_rpm_limit" {
				t.ModelRPM = rates
			} else {
				t.ModelTPM = rates
			}
		case slices.Contains(teamMetaExtras, name):
			putExtra(&t.Extra, name, opt[any]{true, &value})
		default:
			t.Metadata[name] = value
		}
	}
	return nil
}

func stringsOf(value any) ([]string, bool) {
	all, ok := value.([]any)
	if !ok {
		return nil, value == nil
	}
	out := make([]string, len(all))
	for i, one := range all {
		if out[i], ok = one.(string); !ok {
			return nil, false
		}
	}
	return out, true
}

func ratesOf(value any) (map[string]int64, bool) {
	all, ok := value.(map[string]any)
	if !ok {
		return nil, value == nil
	}
	out := make(map[string]int64, len(all))
	for model, one := range all {
		n, ok := one.(float64)
		if !ok || n < 0 || n > 1<<53 || n != float64(int64(n)) {
			return nil, false
		}
		out[model] = int64(n)
	}
	return out, true
}

func checkTeamText(t *account.Team) error {
	if err := checkID("team_id", t.ID); err != nil {
		return err
	}
	if err := checkID("team_alias", t.Alias); err != nil {
		return err
	}
	for _, m := range t.Models {
		if m == "" {
			return llm.Invalid("models", "models holds an empty name")
		}
		if err := checkID("models", m); err != nil {
			return err
		}
	}
	for _, tag := range t.Tags {
		if err := checkID("tags", tag); err != nil {
			return err
		}
	}
	return nil
}

// widens names the first limit that after has looser than before, "" if none: whoever is bound by limits must not loosen them.
func widens(before, after *account.Limits) string {
	type pair struct {
		name      string
		was, will *int64
	}
	for _, p := range []pair{
		{"max_budget", (*int64)(before.MaxBudget), (*int64)(after.MaxBudget)},
		{"tpm_limit", before.TPM, after.TPM}, {"rpm_limit", before.RPM, after.RPM}, {"max_parallel_requests", before.Parallel, after.Parallel},
	} {
		if p.was != nil && (p.will == nil || *p.will > *p.was) {
			return p.name
		}
	}
	if before.MaxBudget != nil && before.BudgetDuration != after.BudgetDuration {
		return "budget_duration"
	}
	if looser(before.ModelRPM, after.ModelRPM) {
		return "model_rpm_limit"
	}
	if looser(before.ModelTPM, after.ModelTPM) {
		return "model_tpm_limit"
	}
	for model, was := range before.ModelBudget {
		will, ok := after.ModelBudget[model]
		if !ok || will.Limit > was.Limit || will.Period != was.Period || freer(was.RPM, will.RPM) || freer(was.TPM, will.TPM) {
			return "model_max_budget"
		}
	}
	for _, was := range before.Windows {
		if !slices.ContainsFunc(after.Windows, func(w account.Window) bool { return w.Duration == was.Duration && w.MaxBudget <= was.MaxBudget }) {
			return "budget_limits"
		}
	}
	if before.BudgetID != after.BudgetID {
		return "budget_id"
	}
	return ""
}

func freer(was, will *int64) bool { return was != nil && (will == nil || *will > *was) }

func looser(before, after map[string]int64) bool {
	for model, was := range before {
		if will, ok := after[model]; !ok || will > was {
			return true
		}
	}
	return false
}

// moreModels says whether a list of models allows what another does not. An empty list allows all.
func moreModels(before, after []string) bool {
	if len(before) == 0 || slices.Contains(before, allProxyModels) || slices.Contains(before, "*") {
		return false
	}
	return len(after) == 0 || slices.ContainsFunc(after, func(m string) bool { return m != noModels && !slices.Contains(before, m) })
}

// The names in a list of models that are no models.
const (
	allProxyModels = "all-proxy-models"
	noModels       = "no-default-models"
)
