package api

import (
	"context"
	"slices"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/store"
)

// teamView holds what the rows of some teams show beside the teams themselves.
type teamView struct {
	a       *API
	members map[string][]account.Member // by team, in the order they joined
	users   map[string]account.User
	budgets map[string]account.Budget
	teams   map[string]spent // what teams have spent
	spends  map[string]spent // what members have spent, by account.MemberID
}

// viewTeams reads it, in a handful of queries however many teams there are.
func (a *API) viewTeams(ctx context.Context, teams ...account.Team) (*teamView, error) {
	db := a.Store.Accounts()
	v := &teamView{a: a, members: map[string][]account.Member{}, users: map[string]account.User{}, budgets: map[string]account.Budget{}}
	var ids, users, budgets, places []string
	for _, t := range teams {
		ids = append(ids, t.ID)
		budgets = append(budgets, t.MemberBudgetID)
	}
	for chunk := range slices.Chunk(ids, 500) {
		members, _, err := db.Members.Find(ctx, store.Query{In: map[string][]string{"team_id": chunk}})
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			v.members[m.TeamID] = append(v.members[m.TeamID], m)
			users = append(users, m.UserID)
			budgets = append(budgets, m.BudgetID)
			places = append(places, account.MemberID(m.TeamID, m.UserID))
		}
	}
	if err := index(ctx, v.users, db.Users, users, func(u *account.User) string { return u.ID }); err != nil {
		return nil, err
	}
	if err := index(ctx, v.budgets, db.Budgets, budgets, func(b *account.Budget) string { return b.ID }); err != nil {
		return nil, err
	}
	var err error
	if v.teams, err = a.spends(ctx, account.OfTeam, ids...); err != nil {
		return nil, err
	}
	v.spends, err = a.spends(ctx, account.OfMember, places...)
	return v, err
}

// index reads rows by their ids into a map.
func index[T any](ctx context.Context, into map[string]T, rows store.Rows[T], ids []string, id func(*T) string) error {
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(s string) bool { return s == "" })
	found, err := rows.List(ctx, ids...)
	for i := range found {
		into[id(&found[i])] = found[i]
	}
	return err
}

// row is a team as LiteLLM shows it.
func (v *teamView) row(t *account.Team) object {
	s := v.teams[t.ID]
	o := object{
		"team_id": t.ID, "team_alias": text(t.Alias), "organization_id": text(t.OrgID),
		"admins": []string{}, "members": []string{}, "members_with_roles": v.roles(t, false),
		"team_member_permissions": list(t.MemberPermissions), "metadata": v.a.teamMetadata(t),
		"tpm_limit": number(t.TPM), "rpm_limit": number(t.RPM), "tpd_limit": nil, "max_parallel_requests": number(t.Parallel),
		"max_budget": dollars(t.MaxBudget), "soft_budget": dollars(t.SoftBudget), "budget_duration": text(t.BudgetDuration),
		"budget_reset_at": v.a.resetOut(s, t.BudgetDuration), "budget_limits": windowsOut(&t.Limits, s),
		"models": list(t.Models), "blocked": t.Blocked, "spend": money(s.now),
		"model_spend": object{}, "model_max_budget": modelBudgetsOut(t.ModelBudget),
		"router_settings": object{}, "access_group_ids": []string{}, "default_team_member_models": []string{}, "policies": []string{},
		"allow_team_guardrail_config": false, "object_permission": nil, "object_permission_id": nil,
		"model_id": nil, "litellm_model_table": nil,
		"created_at": moment(t.Created), "updated_at": moment(t.Updated),
	}
	extrasOut(o, t.Extra, teamExtras)
	if len(t.ModelAliases) > 0 {
		o["model_id"] = 1 // in LiteLLM the row of a table common to all teams; here each team has one of its own
		o["litellm_model_table"] = object{"id": 1, "model_aliases": t.ModelAliases, "team": nil,
			"created_by": text(t.CreatedBy), "updated_by": text(t.UpdatedBy), "created_at": moment(t.Created), "updated_at": moment(t.Updated)}
	}
	return o
}

// stored is a team as the routes show it that answer with LiteLLM's stored row: two fields more, and no table of aliases.
func (v *teamView) stored(t *account.Team) object {
	o := v.row(t)
	o["litellm_model_table"], o["litellm_organization_table"], o["projects"] = nil, nil, nil
	return o
}

// plain is a team without its table of aliases.
func (v *teamView) plain(t *account.Team) object {
	o := v.row(t)
	o["litellm_model_table"] = nil
	return o
}

// roles is a team's members_with_roles.
func (v *teamView) roles(t *account.Team, aliases bool) []object {
	out := make([]object, 0, len(v.members[t.ID]))
	for _, m := range v.members[t.ID] {
		u := v.users[m.UserID]
		o := object{"user_id": m.UserID, "user_email": text(u.Email), "role": m.Role}
		if aliases {
			o["user_alias"] = text(u.Alias)
		}
		out = append(out, o)
	}
	return out
}

// The words for where a member's budget comes from.
const (
	budgetOfTeam = "team_default"
	budgetCustom = "custom"
	budgetNone   = "none"
)

// membership is a member's row: the budget is their own, else what the team gives to members.
func (v *teamView) membership(t *account.Team, m *account.Member) (row object, source string) {
	s := v.spends[account.MemberID(m.TeamID, m.UserID)]
	row = object{"user_id": m.UserID, "team_id": m.TeamID, "budget_id": nil, "litellm_budget_table": nil,
		"spend": money(s.now), "total_spend": money(s.total)}
	id, table := v.a.budgetOf(m.Limits, v.budgets, s, v.a.budgetOut)
	source = budgetCustom
	if table == nil {
		id, table = v.a.budgetOf(account.Limits{BudgetID: t.MemberBudgetID}, v.budgets, s, v.a.budgetOut)
		source = budgetOfTeam
	}
	if table == nil {
		return row, budgetNone
	}
	if len(m.Models) > 0 {
		table.(object)["allowed_models"] = m.Models
	}
	row["budget_id"], row["litellm_budget_table"] = id, table
	return row, source
}

// memberships are the rows of all members of a team.
func (v *teamView) memberships(t *account.Team, source bool) []object {
	out := make([]object, 0, len(v.members[t.ID]))
	for i := range v.members[t.ID] {
		row, from := v.membership(t, &v.members[t.ID][i])
		if source {
			row["budget_source"] = from
		}
		out = append(out, row)
	}
	return out
}

// teamMetadata is a team's metadata as LiteLLM shows it: with the settings that it keeps there.
func (a *API) teamMetadata(t *account.Team) object {
	o := withModelLimits(t.Metadata, &t.Limits)
	if t.MemberBudgetID != "" {
		o["team_member_budget_id"] = t.MemberBudgetID
	}
	if len(t.Tags) > 0 {
		o["tags"] = t.Tags
	}
	extrasOut(o, t.Extra, teamMetaExtras)
	a.callbacksOut(o, t)
	return o
}
