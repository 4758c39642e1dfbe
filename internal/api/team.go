package api

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

func (a *API) teamRoutes() []route {
	return []route{
		{"POST", "/team/new", editors, typed(a.teamNew)},
		{"POST", "/team/update", editors, typed(a.teamUpdate)},
		{"PATCH", "/team/{team_id}", editors, typed(a.teamPatch)},
		{"POST", "/team/delete", editors, typed(a.teamDelete)},
		{"POST", "/team/block", editors, typed(a.teamBlock)},
		{"POST", "/team/unblock", editors, typed(a.teamUnblock)},
		{"GET", "/team/info", anyone, typed(a.teamInfo)},
		{"GET", "/team/list", anyone, typed(a.teamList)},
		{"GET", "/v2/team/list", anyone, typed(a.teamListV2)},
		{"GET", "/team/available", anyone, typed(a.teamAvailable)},
		{"POST", "/team/member_add", editors, typed(a.memberAdd)},
		{"POST", "/team/bulk_member_add", editors, typed(a.memberAddBulk)},
		{"POST", "/team/member_update", editors, typed(a.memberUpdate)},
		{"POST", "/team/member_delete", editors, typed(a.memberDelete)},
		{"GET", "/team/{team_id}/members/me", anyone, typed(a.memberMe)},
		{"POST", "/team/{team_id}/member/{user_id}/reset_spend", editors, typed(a.memberResetSpend)},
		{"POST", "/team/{team_id}/member/{user_id}/reset_budget", editors, typed(a.memberResetBudget)},
		{"POST", "/team/model/add", editors, typed(a.teamModelAdd)},
		{"POST", "/team/model/delete", editors, typed(a.teamModelDelete)},
		{"GET", "/team/permissions_list", anyone, typed(a.teamPermissions)},
		{"POST", "/team/permissions_update", editors, typed(a.teamPermissionsUpdate)},
	}
}

// teamTable is what audit rows call teams.
const teamTable = "LiteLLM_TeamTable"

// hold is what a caller may do with a team, an organization: each includes those before it.
type hold int

const (
	stranger  hold = iota
	member         // sees it
	teamAdmin      // changes its members, and its settings but to loosen them
	orgAdmin       // changes it within its organization's limits
	fullAdmin      // changes everything
)

// holdOnTeam is what the caller may do with a team.
func holdOnTeam(ctx context.Context, db *store.Accounts, c *caller, t *account.Team) (hold, error) {
	if c.admin() {
		return fullAdmin, nil
	}
	if h, err := holdOnOrg(ctx, db, c, t.OrgID); err != nil || h >= orgAdmin {
		return h, err
	}
	if c.user != "" {
		m, err := db.Members.Get(ctx, account.MemberID(t.ID, c.user))
		switch {
		case err == nil && m.Role == "admin":
			return teamAdmin, nil
		case err == nil:
			return member, nil
		case !errors.Is(err, store.ErrNotFound):
			return stranger, err
		}
	}
	if c.p.TeamID == t.ID {
		return member, nil
	}
	return stranger, nil
}

// holdOnOrg is what the caller may do with an organization.
func holdOnOrg(ctx context.Context, db *store.Accounts, c *caller, org string) (hold, error) {
	if c.admin() {
		return fullAdmin, nil
	}
	if org == "" || c.user == "" {
		return stranger, nil
	}
	m, err := db.OrgMembers.Get(ctx, account.MemberID(org, c.user))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return stranger, nil
	case err != nil:
		return stranger, err
	case m.Role == account.OrgAdmin:
		return orgAdmin, nil
	}
	return member, nil
}

// noTeam is an unknown team. LiteLLM says it in three forms, see the routes.
func noTeam(id string) error {
	return &detail{status: 404, text: "Team not found, passed team_id=" + id}
}

// getTeam reads a team that the caller holds at least so far.
func (e *edit) getTeam(ctx context.Context, c *caller, id string, need hold, path string) (*account.Team, hold, error) {
	t, err := e.Teams.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		if !c.admin() {
			return nil, stranger, c.forbidden(path)
		}
		return nil, stranger, noTeam(id)
	}
	if err != nil {
		return nil, stranger, err
	}
	h, err := holdOnTeam(ctx, e.Accounts, c, t)
	if err == nil && h < need {
		err = c.forbidden(path)
	}
	return t, h, err
}

// changeTeam lets f change a team, in one transaction with its audit row, and returns it with what its row shows.
func (a *API) changeTeam(ctx context.Context, c *caller, id string, need hold, path, action string, f func(*edit, *account.Team, hold) error) (*account.Team, *teamView, error) {
	var t *account.Team
	err := a.edit(ctx, c, func(e *edit) error {
		var h hold
		var err error
		if t, h, err = e.getTeam(ctx, c, id, need, path); err != nil {
			return err
		}
		before := *t
		if err := f(e, t, h); err != nil {
			return err
		}
		return e.saveTeam(ctx, &before, t, action)
	})
	if err != nil {
		return nil, nil, err
	}
	v, err := a.viewTeams(ctx, *t)
	return t, v, err
}

// saveTeam writes a team back.
func (e *edit) saveTeam(ctx context.Context, before, t *account.Team, action string) error {
	err := e.rebound(ctx, account.Subject{Kind: account.OfTeam, ID: t.ID}, before.Limits, &t.Limits, func() error {
		e.stamp(&t.Stamp)
		return e.Teams.Put(ctx, t)
	})
	if err != nil {
		return err
	}
	return e.audit(ctx, action, teamTable, t.ID, before, t)
}

type teamNewIn struct {
	ID opt[string] `json:"team_id"`
	teamFields
	Members []memberIn `json:"members_with_roles"`
}

func (a *API) teamNew(ctx context.Context, c *caller, in *teamNewIn) (any, error) {
	t := &account.Team{ID: in.ID.or("")}
	if err := a.edit(ctx, c, func(e *edit) error { return e.newTeam(ctx, c, t, in) }); err != nil {
		return nil, err
	}
	v, err := a.viewTeams(ctx, *t)
	if err != nil {
		return nil, err
	}
	return v.row(t), nil
}

func (e *edit) newTeam(ctx context.Context, c *caller, t *account.Team, in *teamNewIn) error {
	if h, err := holdOnOrg(ctx, e.Accounts, c, in.OrgID.or("")); err != nil {
		return err
	} else if h < orgAdmin {
		return c.forbidden("/team/new")
	}
	have, err := get(ctx, e.Teams, t.ID)
	if err != nil {
		return err
	}
	if have != nil {
		return llm.Invalid("team_id", "Team id = %s already exists. Please use a different team id.", t.ID)
	}
	if t.ID == "" {
		t.ID = uuid()
	}
	if err := in.put(t); err != nil {
		return err
	}
	if err := e.withinOrg(ctx, t); err != nil {
		return err
	}
	if err := e.putMemberDefaults(ctx, t, &in.memberDefaults); err != nil {
		return err
	}
	none := account.Team{}
	if err := e.saveTeam(ctx, &none, t, "created"); err != nil {
		return err
	}
	members := in.Members
	if c.user != "" && !slices.ContainsFunc(members, func(m memberIn) bool { return m.UserID == c.user }) {
		members = append(members, memberIn{UserID: c.user, Role: roleAdmin, founder: true})
	}
	for i := range members {
		if _, _, err := e.addMember(ctx, t, &members[i], &memberLimits{}); err != nil {
			return err
		}
	}
	return nil
}

// withinOrg refuses a team whose shared budget or organization is not there, or that wants more than its organization has.
func (e *edit) withinOrg(ctx context.Context, t *account.Team) error {
	if err := e.budgetID(ctx, &t.Limits); err != nil {
		return err
	}
	if t.OrgID == "" {
		return nil
	}
	o, err := get(ctx, e.Orgs, t.OrgID)
	if err != nil {
		return err
	}
	if o == nil {
		return llm.Invalid("organization_id", "Organization not found for organization_id=%s", t.OrgID)
	}
	limits, err := e.effective(ctx, o.Limits)
	if err != nil {
		return err
	}
	if len(t.Models) > 0 && moreModels(o.Models, t.Models) {
		return llm.Invalid("models", "Team models %v are not all among organization's models %v", t.Models, o.Models)
	}
	for _, p := range []struct {
		name       string
		team, most *int64
	}{
		{"max_budget", (*int64)(t.MaxBudget), (*int64)(limits.MaxBudget)},
		{"tpm_limit", t.TPM, limits.TPM}, {"rpm_limit", t.RPM, limits.RPM}, {"max_parallel_requests", t.Parallel, limits.Parallel},
	} {
		if p.team != nil && p.most != nil && *p.team > *p.most {
			return llm.Invalid(p.name, "%s of the team is more than its organization's. organization_id=%s", p.name, t.OrgID)
		}
	}
	return nil
}

// putMemberDefaults keeps team_member_budget and its siblings in a budget row of the team's own, which holds for members without one.
func (e *edit) putMemberDefaults(ctx context.Context, t *account.Team, d *memberDefaults) error {
	if !d.Budget.Set && !d.Duration.Set && !d.RPM.Set && !d.TPM.Set {
		return nil
	}
	if err := period("team_member_budget_duration", d.Duration.or("")); err != nil {
		return err
	}
	f := &limitFields{MaxBudget: d.Budget, RPM: d.RPM, TPM: d.TPM, BudgetDuration: d.Duration}
	if t.MemberBudgetID == "" {
		if !f.setsLimits() {
			return nil
		}
		if !d.Duration.Set && t.BudgetDuration != "" {
			f.BudgetDuration = opt[string]{true, &t.BudgetDuration}
		}
	}
	id, err := e.ownBudget(ctx, account.Subject{Kind: account.OfTeam, ID: t.ID}, t.MemberBudgetID, f.apply)
	if err != nil || id == t.MemberBudgetID {
		return err
	}
	// The members begin to run by the new one.
	was, err := get(ctx, e.Budgets, t.MemberBudgetID)
	if err != nil {
		return err
	}
	is, err := get(ctx, e.Budgets, id)
	if err != nil {
		return err
	}
	t.MemberBudgetID = id
	members, _, err := e.Members.Find(ctx, store.Query{Where: map[string]string{"team_id": t.ID}})
	if err != nil {
		return err
	}
	for i := range members {
		own, err := e.effective(ctx, members[i].Limits)
		if err != nil {
			return err
		}
		l, next := filled(own, was), filled(own, is)
		if err := e.windows(ctx, memberSubject(&members[i]), &l, &next); err != nil {
			return err
		}
	}
	return nil
}

type teamUpdateIn struct {
	ID string `json:"team_id" need:"true"`
	teamFields
}

func (a *API) teamUpdate(ctx context.Context, c *caller, in *teamUpdateIn) (any, error) {
	t, v, err := a.updateTeam(ctx, c, in.ID, "/team/update", &in.teamFields)
	if err != nil {
		return nil, err
	}
	row := v.row(t)
	row["litellm_organization_table"], row["projects"] = nil, nil
	return object{"team_id": t.ID, "data": row}, nil
}

type teamPatchIn struct {
	ID string `path:"team_id"`
	teamFields
}

func (a *API) teamPatch(ctx context.Context, c *caller, in *teamPatchIn) (any, error) {
	t, v, err := a.updateTeam(ctx, c, in.ID, "/team/{team_id}", &in.teamFields)
	if err != nil {
		return nil, err
	}
	return v.row(t), nil
}

func (a *API) updateTeam(ctx context.Context, c *caller, id, path string, in *teamFields) (*account.Team, *teamView, error) {
	t, v, err := a.changeTeam(ctx, c, id, teamAdmin, path, "updated", func(e *edit, t *account.Team, h hold) error {
		before := *t
		if err := in.put(t); err != nil {
			return err
		}
		if err := e.mayChange(ctx, c, h, &before, t); err != nil {
			return err
		}
		if err := e.withinOrg(ctx, t); err != nil {
			return err
		}
		return e.putMemberDefaults(ctx, t, &in.memberDefaults)
	})
	var missing *detail
	if errors.As(err, &missing) && missing.status == 404 {
		err = notFound("", "Team not found, passed team_id=%s", id)
	}
	return t, v, err
}

// mayChange refuses what a caller of that hold may not change: a team's admin loosens nothing, an organization's admin moves a team only
// between organizations of their own.
func (e *edit) mayChange(ctx context.Context, c *caller, h hold, before, after *account.Team) error {
	if h == fullAdmin {
		return nil
	}
	if before.OrgID != after.OrgID {
		to, err := holdOnOrg(ctx, e.Accounts, c, after.OrgID)
		if err != nil {
			return err
		}
		if h < orgAdmin || to < orgAdmin {
			return denied("organization_id", "organization_id of a team is changed by an administrator of both organizations")
		}
	}
	if h >= orgAdmin {
		return nil
	}
	field := widens(&before.Limits, &after.Limits)
	switch {
	case field != "":
	case moreModels(before.Models, after.Models):
		field = "models"
	case before.Blocked && !after.Blocked:
		field = "blocked"
	case !maps.Equal(before.ModelAliases, after.ModelAliases):
		field = "model_aliases"
	case !slices.Equal(before.Tags, after.Tags): // a tag may have a budget
		field = "tags"
	case string(before.Extra["guardrails"]) != string(after.Extra["guardrails"]):
		field = "guardrails"
	case string(before.Extra["object_permission"]) != string(after.Extra["object_permission"]):
		field = "object_permission"
	case string(before.Extra["access_group_ids"]) != string(after.Extra["access_group_ids"]):
		field = "access_group_ids"
	default:
		return nil
	}
	return denied(field, "A team's admin may not change %s beyond what the team was given. team_id=%s", field, after.ID)
}
