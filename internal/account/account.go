// Package account is the vocabulary of who may do what and what it may cost: keys, users, teams, organizations, customers, budgets, tags,
// and the models and credentials added at run time. Pure data, as stored and as edited; it imports llm alone.
//
// What was spent is not here: it stands in rows of its own (Spend), so that editing a key and charging it never wait for each other.
package account

import (
	"cmp"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// Limits is what bounds an account. A nil pointer is no limit; 0 is none allowed. Metadata may hold more: see Metadata.
type Limits struct {
	MaxBudget      *llm.Nanos `json:"max_budget,omitempty"`  // per BudgetDuration
	SoftBudget     *llm.Nanos `json:"soft_budget,omitempty"` // passing it alerts, it never refuses
	BudgetDuration string     `json:"budget_duration,omitempty"`
	RPM            *int64     `json:"rpm_limit,omitempty"`
	TPM            *int64     `json:"tpm_limit,omitempty"`
	Parallel       *int64     `json:"max_parallel_requests,omitempty"`

	ModelRPM    map[string]int64       `json:"model_rpm_limit,omitempty"`
	ModelTPM    map[string]int64       `json:"model_tpm_limit,omitempty"`
	ModelBudget map[string]ModelBudget `json:"model_max_budget,omitempty"`
	Windows     []Window               `json:"budget_limits,omitempty"` // budgets beside MaxBudget, each with its own duration

	// BudgetID names a shared Budget whose values hold where this account has none of its own.
	BudgetID string `json:"budget_id,omitempty"`
}

// Or is l with what it has none of taken from other. A budget and its duration go together. BudgetID stays l's.
func (l Limits) Or(other Limits) Limits {
	if l.MaxBudget == nil && other.MaxBudget != nil {
		l.MaxBudget = other.MaxBudget
		l.BudgetDuration = cmp.Or(l.BudgetDuration, other.BudgetDuration)
	}
	l.SoftBudget = cmp.Or(l.SoftBudget, other.SoftBudget)
	l.RPM, l.TPM, l.Parallel = cmp.Or(l.RPM, other.RPM), cmp.Or(l.TPM, other.TPM), cmp.Or(l.Parallel, other.Parallel)
	if len(l.ModelRPM) == 0 {
		l.ModelRPM = other.ModelRPM
	}
	if len(l.ModelTPM) == 0 {
		l.ModelTPM = other.ModelTPM
	}
	if len(l.ModelBudget) == 0 {
		l.ModelBudget = other.ModelBudget
	}
	if len(l.Windows) == 0 {
		l.Windows = other.Windows
	}
	return l
}

// ModelBudget bounds one model within an account.
type ModelBudget struct {
	Limit  llm.Nanos `json:"budget_limit"`
	Period string    `json:"time_period"`
	RPM    *int64    `json:"rpm_limit,omitempty"`
	TPM    *int64    `json:"tpm_limit,omitempty"`
}

// Window is one budget of several.
type Window struct {
	Duration  string    `json:"budget_duration"`
	MaxBudget llm.Nanos `json:"max_budget"`
}

// Stamp is who made and last changed a row, and when, in Unix milliseconds.
type Stamp struct {
	Created   int64  `json:"created_at"`
	CreatedBy string `json:"created_by,omitempty"`
	Updated   int64  `json:"updated_at"`
	UpdatedBy string `json:"updated_by,omitempty"`
}

// Extra holds fields that Weir keeps and echoes but does not act on, by their name in the API.
type Extra map[string]jsontext.Value

// Key is a virtual key. The key itself is never kept: Hash is its SHA-256 in hex.
type Key struct {
	Hash   string `json:"token"`
	Name   string `json:"key_name"` // sk-...abcd
	Alias  string `json:"key_alias,omitempty"`
	UserID string `json:"user_id,omitempty"`
	TeamID string `json:"team_id,omitempty"`
	OrgID  string `json:"organization_id,omitempty"`
	Limits
	Models        []string          `json:"models,omitempty"`
	Aliases       map[string]string `json:"aliases,omitempty"`
	AllowedRoutes []string          `json:"allowed_routes,omitempty"`
	CacheControls []string          `json:"allowed_cache_controls,omitempty"`
	Blocked       bool              `json:"blocked,omitempty"`
	Expires       int64             `json:"expires,omitempty"` // Unix ms; 0: never
	Metadata      map[string]any    `json:"metadata,omitempty"`
	Tags          []string          `json:"tags,omitempty"`

	// A temporary addition to MaxBudget, until TempExpiry (Unix ms).
	TempIncrease llm.Nanos `json:"temp_budget_increase,omitempty"`
	TempExpiry   int64     `json:"temp_budget_expiry,omitempty"`

	// Previous are hashes this key had before it was regenerated, still valid until the time given (grace period).
	Previous []Previous `json:"previous,omitempty"`
	// How often the key was regenerated, and when last (Unix ms).
	Rotations int64 `json:"rotation_count,omitempty"`
	Rotated   int64 `json:"last_rotation_at,omitempty"`
	// AWSAccessKeyID is set once AWS credentials were issued for the key; the secret is derived, never kept (see auth).
	AWSAccessKeyID string `json:"aws_access_key_id,omitempty"`

	Stamp
	Extra Extra `json:"extra,omitempty"`
}

// Previous is a hash a key had before, and until when (Unix ms) it is still taken.
type Previous struct {
	Hash  string `json:"token"`
	Until int64  `json:"revoke_at"`
}

// Roles of a user (contract litellm.md 3.1).
const (
	ProxyAdmin         = "proxy_admin"
	ProxyAdminViewer   = "proxy_admin_viewer"
	OrgAdmin           = "org_admin"
	InternalUser       = "internal_user"
	InternalUserViewer = "internal_user_viewer"
)

// User is a person or a service.
type User struct {
	ID    string `json:"user_id"`
	Email string `json:"user_email,omitempty"`
	Alias string `json:"user_alias,omitempty"`
	SSOID string `json:"sso_user_id,omitempty"`
	Role  string `json:"user_role,omitempty"`
	Limits
	Models       []string       `json:"models,omitempty"`
	Blocked      bool           `json:"blocked,omitempty"`
	Metadata     map[string]any `json:"metadata,omitempty"`
	PasswordHash string         `json:"password_hash,omitempty"`
	Stamp
	Extra Extra `json:"extra,omitempty"`
}

// Team shares models and budgets between users.
type Team struct {
	ID    string `json:"team_id"`
	Alias string `json:"team_alias,omitempty"`
	OrgID string `json:"organization_id,omitempty"`
	Limits
	Models       []string          `json:"models,omitempty"`
	ModelAliases map[string]string `json:"model_aliases,omitempty"`
	Blocked      bool              `json:"blocked,omitempty"`
	Metadata     map[string]any    `json:"metadata,omitempty"`
	Tags         []string          `json:"tags,omitempty"`
	// MemberBudgetID names the Budget that holds for members without one of their own (team_member_budget and its siblings).
	MemberBudgetID    string   `json:"member_budget_id,omitempty"`
	MemberPermissions []string `json:"team_member_permissions,omitempty"`
	Stamp
	Extra Extra `json:"extra,omitempty"`
}

// Member is a user's place in a team.
type Member struct {
	TeamID string `json:"team_id"`
	UserID string `json:"user_id"`
	Role   string `json:"role"` // admin or user
	Limits
	Models []string `json:"models,omitempty"`
	Stamp
}

// Organization holds teams and users.
type Organization struct {
	ID    string `json:"organization_id"`
	Alias string `json:"organization_alias,omitempty"`
	Limits
	Models   []string       `json:"models,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
	Stamp
	Extra Extra `json:"extra,omitempty"`
}

// OrgMember is a user's place in an organization.
type OrgMember struct {
	OrgID  string `json:"organization_id"`
	UserID string `json:"user_id"`
	Role   string `json:"user_role"` // org_admin, internal_user or internal_user_viewer
	Limits
	Stamp
}

// Budget is a set of limits that several accounts share by name.
type Budget struct {
	ID string `json:"budget_id"`
	Limits
	Stamp
	Extra Extra `json:"extra,omitempty"`
}

// Customer is an end user: whom a call is made for, by the `user` field of the request.
type Customer struct {
	ID    string `json:"user_id"`
	Alias string `json:"alias,omitempty"`
	Limits
	Blocked      bool   `json:"blocked,omitempty"`
	Region       string `json:"allowed_model_region,omitempty"`
	DefaultModel string `json:"default_model,omitempty"`
	Stamp
	Extra Extra `json:"extra,omitempty"`
}

// Tag is a label of calls that has a budget or models of its own.
type Tag struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Limits
	Models []string `json:"models,omitempty"`
	Stamp
	Extra Extra `json:"extra,omitempty"`
}

// Model is a deployment added at run time. Params and Info are the two objects of a model_list entry; secrets within Params are sealed
// (see store.Seal), never in the clear.
type Model struct {
	ID      string         `json:"model_id"`
	Name    string         `json:"model_name"`
	TeamID  string         `json:"team_id,omitempty"`
	Params  jsontext.Value `json:"litellm_params"`
	Info    jsontext.Value `json:"model_info"`
	Blocked bool           `json:"blocked,omitempty"`
	Stamp
}

// Credential is a named set of a provider's secrets, for litellm_credential_name. Values are sealed.
type Credential struct {
	Name   string            `json:"credential_name"`
	Values map[string]string `json:"credential_values"`
	Info   jsontext.Value    `json:"credential_info,omitempty"`
	Stamp
}

// AccessGroup is a named list of models, beside those that model_info.access_groups makes.
type AccessGroup struct {
	Name   string   `json:"access_group"`
	Models []string `json:"model_names"`
	Stamp
}

// Audit is one change made through the management API. Before and After never hold a secret.
type Audit struct {
	ID     string         `json:"id"`
	At     int64          `json:"updated_at"` // Unix ms
	By     string         `json:"changed_by"`
	ByKey  string         `json:"changed_by_api_key"` // hash
	Action string         `json:"action"`             // created, updated, deleted, blocked, unblocked, rotated
	Table  string         `json:"table_name"`
	Object string         `json:"object_id"`
	Before jsontext.Value `json:"before_value"`
	After  jsontext.Value `json:"updated_values"`
}
