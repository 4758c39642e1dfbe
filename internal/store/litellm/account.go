package litellm

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/store"
)

type budgetRow struct {
	ID string `json:"budget_id"`
	limitsRow
	stampRow
}

type organizationRow struct {
	ID       string         `json:"organization_id"`
	Alias    string         `json:"organization_alias"`
	Models   []string       `json:"models"`
	Metadata jsontext.Value `json:"metadata"`
	limitsRow
	stampRow
}

type userRow struct {
	ID       string         `json:"user_id"`
	Alias    string         `json:"user_alias"`
	Email    string         `json:"user_email"`
	SSOID    string         `json:"sso_user_id"`
	Role     string         `json:"user_role"`
	Password string         `json:"password"`
	Models   []string       `json:"models"`
	Metadata jsontext.Value `json:"metadata"`
	limitsRow
	stampRow
}

type teamRow struct {
	ID          string         `json:"team_id"`
	Alias       string         `json:"team_alias"`
	OrgID       string         `json:"organization_id"`
	Admins      []string       `json:"admins"`
	Members     []string       `json:"members"`
	Roles       jsontext.Value `json:"members_with_roles"`
	Models      []string       `json:"models"`
	ModelID     *int64         `json:"model_id"`
	Blocked     bool           `json:"blocked"`
	Metadata    jsontext.Value `json:"metadata"`
	Permissions []string       `json:"team_member_permissions"`
	limitsRow
	stampRow
}

type membershipRow struct {
	UserID   string  `json:"user_id"`
	TeamID   string  `json:"team_id"`
	OrgID    string  `json:"organization_id"`
	Role     string  `json:"user_role"`
	Spend    float64 `json:"spend"`
	BudgetID string  `json:"budget_id"`
	stampRow
}

type customerRow struct {
	ID           string `json:"user_id"`
	Alias        string `json:"alias"`
	Region       string `json:"allowed_model_region"`
	DefaultModel string `json:"default_model"`
	Blocked      bool   `json:"blocked"`
	limitsRow
	stampRow
}

type tagRow struct {
	Name        string   `json:"tag_name"`
	Description string   `json:"description"`
	Models      []string `json:"models"`
	limitsRow
	stampRow
}

type keyRow struct {
	Token         string         `json:"token"`
	Name          string         `json:"key_name"`
	Alias         string         `json:"key_alias"`
	Expires       moment         `json:"expires"`
	Models        []string       `json:"models"`
	Aliases       jsontext.Value `json:"aliases"`
	UserID        string         `json:"user_id"`
	TeamID        string         `json:"team_id"`
	OrgID         string         `json:"organization_id"`
	Metadata      jsontext.Value `json:"metadata"`
	Blocked       bool           `json:"blocked"`
	CacheControls []string       `json:"allowed_cache_controls"`
	AllowedRoutes []string       `json:"allowed_routes"`
	limitsRow
	stampRow
}

// read plans everything but the history. Rows that others name come first.
func (im *importer) read(ctx context.Context) error {
	for _, step := range []func(context.Context) error{im.readBudgets, im.readPermissions, im.readOrganizations, im.readUsers, im.readTeams, im.readCustomers,
		im.readKeys, im.readModels, im.readSettings} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) readBudgets(ctx context.Context) error {
	return each(ctx, im, "BudgetTable", func(r *budgetRow, fields map[string]jsontext.Value) error {
		r.limitsRow.BudgetID = "" // its own id: a budget shares no other
		im.budgets[r.ID] = r
		row := account.Budget{ID: r.ID, Limits: im.limits("budget "+r.ID, &r.limitsRow), Stamp: r.stamp(),
			Extra: extras(fields, "tpd_limit", "allowed_models", "temp_budget_increase", "temp_budget_expiry")}
		add(im, "budgets", func(e *store.Edit) store.Rows[account.Budget] { return e.Budgets }, row)
		return nil
	})
}

// readPermissions keeps the objects that other rows name by object_permission_id, without their id.
func (im *importer) readPermissions(ctx context.Context) error {
	im.permission = map[string]jsontext.Value{}
	return each(ctx, im, "ObjectPermissionTable", func(r *struct {
		ID string `json:"object_permission_id"`
	}, fields map[string]jsontext.Value) error {
		delete(fields, "object_permission_id")
		text, err := json.Marshal(fields, json.Deterministic(true))
		im.permission[r.ID] = text
		return err
	})
}

// extra is extras, with the object that object_permission_id names.
func (im *importer) extra(fields map[string]jsontext.Value, names ...string) account.Extra {
	var id string
	if text, ok := fields["object_permission_id"]; ok && text.Kind() == '"' && json.Unmarshal(text, &id) == nil {
		fields["object_permission"] = im.permission[id]
	}
	return extras(fields, append(names, "object_permission")...)
}

func (im *importer) readOrganizations(ctx context.Context) error {
	err := each(ctx, im, "OrganizationTable", func(r *organizationRow, fields map[string]jsontext.Value) error {
		row := account.Organization{ID: r.ID, Alias: r.Alias, Models: r.Models, Limits: im.limits("organization "+r.ID, &r.limitsRow), Stamp: r.stamp(),
			Extra: im.extra(fields)}
		row.Metadata, _ = im.metadata("organization "+r.ID, r.Metadata, &row.Limits)
		add(im, "organizations", func(e *store.Edit) store.Rows[account.Organization] { return e.Orgs }, row,
			im.booking(account.Subject{Kind: account.OfOrg, ID: r.ID}, &r.limitsRow, &row.Limits))
		return nil
	})
	if err != nil {
		return err
	}
	return each(ctx, im, "OrganizationMembership", func(r *membershipRow, _ map[string]jsontext.Value) error {
		row := account.OrgMember{OrgID: r.OrgID, UserID: r.UserID, Role: r.Role, Stamp: r.stamp(),
			Limits: im.limits("member "+r.UserID+" of organization "+r.OrgID, &limitsRow{BudgetID: r.BudgetID})}
		add(im, "organization memberships", func(e *store.Edit) store.Rows[account.OrgMember] { return e.OrgMembers }, row)
		return nil
	})
}

// gatewayUser is the row in which LiteLLM keeps what the whole proxy has spent.
const gatewayUser = "litellm-proxy-budget"

func (im *importer) readUsers(ctx context.Context) error {
	im.emails = map[string]string{}
	return each(ctx, im, "UserTable", func(r *userRow, fields map[string]jsontext.Value) error {
		row := account.User{ID: r.ID, Email: r.Email, Alias: r.Alias, SSOID: r.SSOID, Role: r.Role, Models: r.Models, PasswordHash: r.Password,
			Limits: im.limits("user "+r.ID, &r.limitsRow), Stamp: r.stamp(), Extra: im.extra(fields, "policies", "allowed_cache_controls")}
		row.Metadata, _ = im.metadata("user "+r.ID, r.Metadata, &row.Limits)
		if r.Email != "" {
			if other, ok := im.emails[strings.ToLower(r.Email)]; ok {
				im.note("users %s and %s have the same email", other, r.ID)
			}
			im.emails[strings.ToLower(r.Email)] = r.ID
		}
		book := []booking{im.booking(account.Subject{Kind: account.OfUser, ID: r.ID}, &r.limitsRow, &row.Limits)}
		if r.ID == gatewayUser {
			book = append(book, im.booking(account.Subject{Kind: account.OfGateway}, &r.limitsRow, &row.Limits))
		}
		add(im, "users", func(e *store.Edit) store.Rows[account.User] { return e.Users }, row, book...)
		return nil
	})
}

// teamSettings are settings that LiteLLM keeps in a team's metadata and that are fields of a team here.
var teamSettings = []string{"guardrails", "prompts", "team_member_key_duration", "rpm_limit_type", "tpm_limit_type", "allowed_passthrough_routes",
	"denied_passthrough_routes", "disable_global_guardrails", "secret_manager_settings", "default_estimated_output_tokens",
	"default_estimated_output_tokens_per_model", "mcp_rpm_limit", "allowed_vector_store_indexes", "enforced_batch_output_expires_after",
	"enforced_file_expires_after"}

func (im *importer) readTeams(ctx context.Context) error {
	aliases := map[int64]jsontext.Value{}
	err := each(ctx, im, "ModelTable", func(r *struct {
		ID      int64          `json:"id"`
		Aliases jsontext.Value `json:"aliases"`
	}, _ map[string]jsontext.Value) error {
		aliases[r.ID] = r.Aliases
		return nil
	})
	if err != nil {
		return err
	}
	places := map[string]membershipRow{}
	err = each(ctx, im, "TeamMembership", func(r *membershipRow, _ map[string]jsontext.Value) error {
		places[account.MemberID(r.TeamID, r.UserID)] = *r
		return nil
	})
	if err != nil {
		return err
	}
	return each(ctx, im, "TeamTable", func(r *teamRow, fields map[string]jsontext.Value) error {
		of := "team " + r.ID
		row := account.Team{ID: r.ID, Alias: r.Alias, OrgID: r.OrgID, Models: r.Models, Blocked: r.Blocked, MemberPermissions: r.Permissions,
			Limits: im.limits(of, &r.limitsRow), Stamp: r.stamp(), Extra: im.extra(fields, "tpd_limit", "router_settings", "access_group_ids", "policies",
				"default_team_member_models")}
		row.Metadata, row.Tags = im.metadata(of, r.Metadata, &row.Limits)
		if id, ok := row.Metadata["team_member_budget_id"].(string); ok {
			delete(row.Metadata, "team_member_budget_id")
			if row.MemberBudgetID = id; im.budgets[id] == nil {
				im.note("%s: its members' budget %q does not exist", of, id)
				row.MemberBudgetID = ""
			}
		}
		if err := takeSettings(&row); err != nil {
			return fmt.Errorf("%s: %w", of, err)
		}
		if r.ModelID != nil {
			if err := decode(aliases[*r.ModelID], &row.ModelAliases); err != nil {
				im.note("%s: its model aliases are left out: %v", of, err)
			}
		}
		add(im, "teams", func(e *store.Edit) store.Rows[account.Team] { return e.Teams }, row,
			im.booking(account.Subject{Kind: account.OfTeam, ID: r.ID}, &r.limitsRow, &row.Limits))
		return im.members(r, &row, places)
	})
}

func takeSettings(t *account.Team) error {
	for _, name := range teamSettings {
		v, ok := t.Metadata[name]
		if !ok {
			continue
		}
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if t.Extra == nil {
			t.Extra = account.Extra{}
		}
		t.Extra[name] = text
		delete(t.Metadata, name)
	}
	return nil
}

// members plans the members of a team: those of members_with_roles, and of the columns that were before it.
func (im *importer) members(r *teamRow, team *account.Team, places map[string]membershipRow) error {
	type member struct {
		Role   string `json:"role"`
		UserID string `json:"user_id"`
		Email  string `json:"user_email"`
	}
	var all []member
	if text := r.Roles; len(text) > 0 && text.Kind() != '{' { // {} is the column's default
		if err := decode(text, &all); err != nil {
			im.note("team %s: members_with_roles can't be read: %v", r.ID, err)
		}
	}
	for _, id := range r.Admins {
		all = append(all, member{Role: "admin", UserID: id})
	}
	for _, id := range r.Members {
		all = append(all, member{Role: "user", UserID: id})
	}
	var seen []string
	for _, m := range all {
		if m.UserID == "" {
			m.UserID = im.emails[strings.ToLower(m.Email)]
		}
		if m.UserID == "" {
			im.note("team %s: there is no user with the email of a member, who is left out", r.ID)
			continue
		}
		if slices.Contains(seen, m.UserID) {
			continue
		}
		seen = append(seen, m.UserID)
		place := places[account.MemberID(r.ID, m.UserID)]
		limits := limitsRow{BudgetID: place.BudgetID, Spend: place.Spend}
		row := account.Member{TeamID: r.ID, UserID: m.UserID, Role: m.Role, Limits: im.limits("member "+m.UserID+" of team "+r.ID, &limits), Stamp: r.stamp()}
		b := im.booking(account.Subject{Kind: account.OfMember, ID: account.MemberID(r.ID, m.UserID)}, &limits, &row.Limits)
		if shared := im.budgets[team.MemberBudgetID]; shared != nil && row.BudgetID == "" {
			b.duration, b.reset = shared.Duration, shared.ResetAt
		}
		add(im, "team memberships", func(e *store.Edit) store.Rows[account.Member] { return e.Members }, row, b)
	}
	return nil
}

func (im *importer) readCustomers(ctx context.Context) error {
	err := each(ctx, im, "EndUserTable", func(r *customerRow, fields map[string]jsontext.Value) error {
		row := account.Customer{ID: r.ID, Alias: r.Alias, Region: r.Region, DefaultModel: r.DefaultModel, Blocked: r.Blocked,
			Limits: im.limits("customer "+r.ID, &r.limitsRow), Stamp: r.stamp(), Extra: im.extra(fields, "models")}
		add(im, "customers", func(e *store.Edit) store.Rows[account.Customer] { return e.Customers }, row,
			im.booking(account.Subject{Kind: account.OfCustomer, ID: r.ID}, &r.limitsRow, &row.Limits))
		return nil
	})
	if err != nil {
		return err
	}
	return each(ctx, im, "TagTable", func(r *tagRow, fields map[string]jsontext.Value) error {
		row := account.Tag{Name: r.Name, Description: r.Description, Models: r.Models, Limits: im.limits("tag "+r.Name, &r.limitsRow), Stamp: r.stamp(),
			Extra: extras(fields, "model_info")}
		add(im, "tags", func(e *store.Edit) store.Rows[account.Tag] { return e.Tags }, row,
			im.booking(account.Subject{Kind: account.OfTag, ID: r.Name}, &r.limitsRow, &row.Limits))
		return nil
	})
}

func (im *importer) readKeys(ctx context.Context) error {
	return each(ctx, im, "VerificationToken", func(r *keyRow, fields map[string]jsontext.Value) error {
		of := "key " + r.Name
		row := account.Key{Hash: r.Token, Name: r.Name, Alias: r.Alias, UserID: r.UserID, TeamID: r.TeamID, OrgID: r.OrgID,
			Limits: im.limits(of, &r.limitsRow), Models: r.Models, AllowedRoutes: r.AllowedRoutes, CacheControls: r.CacheControls, Blocked: r.Blocked,
			Expires: int64(r.Expires), Stamp: r.stamp(), Extra: im.extra(fields, "config", "permissions", "budget_fallbacks", "router_settings", "policies",
				"access_group_ids", "agent_id", "project_id", "tpd_limit", "auto_rotate", "rotation_interval", "key_type")}
		if len(r.Token) != 64 { // LiteLLM keeps a SHA-256 in hex
			im.note("%s is left out: it is kept in a way that no key can be checked against", of)
			return nil
		}
		if err := decode(r.Aliases, &row.Aliases); err != nil {
			im.note("%s: its aliases are left out: %v", of, err)
		}
		row.Metadata, row.Tags = im.metadata(of, r.Metadata, &row.Limits)
		im.temporary(of, &row)
		add(im, "keys", func(e *store.Edit) store.Rows[account.Key] { return e.Keys }, row,
			im.booking(account.Subject{Kind: account.OfKey, ID: r.Token}, &r.limitsRow, &row.Limits))
		return nil
	})
}

// temporary takes a temporary addition to the budget out of a key's metadata.
func (im *importer) temporary(of string, k *account.Key) {
	increase, ok := k.Metadata["temp_budget_increase"].(float64)
	if !ok {
		return
	}
	text, err := json.Marshal(k.Metadata["temp_budget_expiry"])
	var until moment
	if err == nil {
		err = until.UnmarshalJSON(text)
	}
	if err != nil {
		im.note("%s: its temporary budget is left out: %v", of, err)
		return
	}
	k.TempIncrease, k.TempExpiry = nanos(increase), int64(until)
	delete(k.Metadata, "temp_budget_increase")
	delete(k.Metadata, "temp_budget_expiry")
}
