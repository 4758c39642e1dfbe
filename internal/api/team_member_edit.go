package api

import (
	"context"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

type memberUpdateIn struct {
	TeamID string      `json:"team_id" need:"true"`
	UserID string      `json:"user_id"`
	Email  string      `json:"user_email"`
	Role   opt[string] `json:"role" oneof:"admin,user"`
	memberLimits
	TempIncrease opt[money] `json:"temp_budget_increase"`
}

func (a *API) memberUpdate(ctx context.Context, c *caller, in *memberUpdateIn) (any, error) {
	if in.UserID == "" && in.Email == "" {
		return nil, wrong("Either user id or user email must be provided")
	}
	if in.TempIncrease.Value != nil {
		return nil, llm.Invalid("temp_budget_increase", "temp_budget_increase is for keys; raise max_budget_in_team instead")
	}
	var m *account.Member
	var l account.Limits
	var email string
	err := a.edit(ctx, c, func(e *edit) error {
		t, _, err := e.getTeam(ctx, c, in.TeamID, teamAdmin, "/team/member_update")
		if err != nil {
			return err
		}
		if m, err = e.existingMember(ctx, t, in.UserID, in.Email); err != nil {
			return err
		}
		before := *m
		if role := in.Role.or(""); role != "" {
			m.Role = role
		}
		e.stamp(&m.Stamp)
		if err := e.limitMember(ctx, t, &before, m, &in.memberLimits); err != nil {
			return err
		}
		if u, err := get(ctx, e.Users, m.UserID); err != nil {
			return err
		} else if u != nil {
			email = u.Email
		}
		if l, err = e.effective(ctx, m.Limits); err != nil {
			return err
		}
		return e.audit(ctx, "updated", membershipTable, m.TeamID+"/"+m.UserID, before, m)
	})
	if err != nil {
		return nil, err
	}
	o := object{"user_id": m.UserID, "user_email": text(email), "team_id": m.TeamID, "max_budget_in_team": dollars(l.MaxBudget),
		"tpm_limit": number(l.TPM), "rpm_limit": number(l.RPM), "budget_duration": text(l.BudgetDuration), "allowed_models": nil,
		"temp_budget_increase": nil, "temp_budget_expiry": nil, "role": m.Role}
	if len(m.Models) > 0 {
		o["allowed_models"] = m.Models
	}
	return o, nil
}

type memberDeleteIn struct {
	TeamID string `json:"team_id" need:"true"`
	UserID string `json:"user_id"`
	Email  string `json:"user_email"`
}

func (a *API) memberDelete(ctx context.Context, c *caller, in *memberDeleteIn) (any, error) {
	if in.UserID == "" && in.Email == "" {
		return nil, wrong("Either user id or user email must be provided")
	}
	var t *account.Team
	err := a.edit(ctx, c, func(e *edit) (err error) {
		if t, _, err = e.getTeam(ctx, c, in.TeamID, teamAdmin, "/team/member_delete"); err != nil {
			return err
		}
		m, err := e.existingMember(ctx, t, in.UserID, in.Email)
		if err != nil {
			return err
		}
		if err := e.deleteKeys(ctx, map[string]string{"team_id": t.ID, "user_id": m.UserID}); err != nil {
			return err
		}
		return e.removeMember(ctx, m)
	})
	if err != nil {
		return nil, err
	}
	v, err := a.viewTeams(ctx, *t)
	if err != nil {
		return nil, err
	}
	return v.plain(t), nil
}

// removeMember ends a membership and the budget that was made for it.
func (e *edit) removeMember(ctx context.Context, m *account.Member) error {
	if err := e.dropBudget(ctx, memberSubject(m), m.BudgetID); err != nil {
		return err
	}
	if _, err := e.Members.Delete(ctx, account.MemberID(m.TeamID, m.UserID)); err != nil {
		return err
	}
	return e.audit(ctx, "deleted", membershipTable, m.TeamID+"/"+m.UserID, m, nil)
}

// deleteKeys deletes the keys of a member, a team or an organization that is going: without it they would be bound by less.
func (e *edit) deleteKeys(ctx context.Context, where map[string]string) error {
	keys, _, err := e.Keys.Find(ctx, store.Query{Where: where})
	if err != nil {
		return err
	}
	for i := range keys {
		if _, err := e.Keys.Delete(ctx, keys[i].Hash); err != nil {
			return err
		}
		if err := e.audit(ctx, "deleted", keyTable, keys[i].Hash, keys[i], nil); err != nil {
			return err
		}
	}
	return nil
}

type memberPathIn struct {
	TeamID string `path:"team_id"`
	UserID string `path:"user_id"`
}

// memberMe is the caller's own membership.
func (a *API) memberMe(ctx context.Context, c *caller, in *memberPathIn) (any, error) {
	db := a.Store.Accounts()
	t, err := get(ctx, db.Teams, in.TeamID)
	if err != nil {
		return nil, err
	}
	var m *account.Member
	if t != nil && c.user != "" {
		if m, err = get(ctx, db.Members, account.MemberID(t.ID, c.user)); err != nil {
			return nil, err
		}
	}
	if m == nil {
		return nil, notFound("team_id", "User=%s is not a member of team_id=%s", c.user, in.TeamID)
	}
	v, err := a.viewTeams(ctx, *t)
	if err != nil {
		return nil, err
	}
	row, _ := v.membership(t, m)
	row["role"], row["user_email"], row["team_alias"] = m.Role, text(v.users[c.user].Email), text(t.Alias)
	return row, nil
}

type memberResetIn struct {
	memberPathIn
	To money `json:"reset_to" need:"true" min:"0"`
}

// memberResetSpend sets what counts against a member's budget now; what was spent in all stays.
func (a *API) memberResetSpend(ctx context.Context, c *caller, in *memberResetIn) (any, error) {
	var before llm.Nanos
	err := a.edit(ctx, c, func(e *edit) error {
		t, _, err := e.getTeam(ctx, c, in.TeamID, teamAdmin, "/team/{team_id}/member/{user_id}/reset_spend")
		if err != nil {
			return err
		}
		m, err := e.existingMember(ctx, t, in.UserID, "")
		if err != nil {
			return err
		}
		rows, err := e.Spends(ctx, memberSubject(m))
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Window == "" {
				before = r.Spent()
			}
		}
		if llm.Nanos(in.To) > before {
			return llm.Invalid("reset_to", "reset_to (%s) is more than the current spend (%s)", in.To, money(before))
		}
		e.SetSpent(memberSubject(m), llm.Nanos(in.To))
		return e.audit(ctx, "updated", membershipTable, m.TeamID+"/"+m.UserID, object{"spend": money(before)}, object{"spend": in.To})
	})
	if err != nil {
		return nil, err
	}
	return object{"team_id": in.TeamID, "user_id": in.UserID, "spend": in.To, "previous_spend": money(before)}, nil
}

// memberResetBudget takes a member's own budget away: the team's for its members holds again.
func (a *API) memberResetBudget(ctx context.Context, c *caller, in *memberPathIn) (any, error) {
	var before, after string
	source := budgetNone
	err := a.edit(ctx, c, func(e *edit) error {
		t, _, err := e.getTeam(ctx, c, in.TeamID, teamAdmin, "/team/{team_id}/member/{user_id}/reset_budget")
		if err != nil {
			return err
		}
		m, err := e.existingMember(ctx, t, in.UserID, "")
		if err != nil {
			return err
		}
		old := *m
		if before = m.BudgetID; before == "" {
			before = t.MemberBudgetID
		}
		was, err := e.memberLimits(ctx, t, m)
		if err != nil {
			return err
		}
		if err := e.dropBudget(ctx, memberSubject(m), m.BudgetID); err != nil {
			return err
		}
		if m.Limits, m.Models, after = (account.Limits{}), nil, t.MemberBudgetID; after != "" {
			source = budgetOfTeam
		}
		e.stamp(&m.Stamp)
		if err := e.Members.Put(ctx, m); err != nil {
			return err
		}
		is, err := e.memberLimits(ctx, t, m)
		if err != nil {
			return err
		}
		if err := e.windows(ctx, memberSubject(m), &was, &is); err != nil {
			return err
		}
		return e.audit(ctx, "updated", membershipTable, m.TeamID+"/"+m.UserID, old, m)
	})
	if err != nil {
		return nil, err
	}
	return object{"team_id": in.TeamID, "user_id": in.UserID, "budget_id": text(after), "previous_budget_id": text(before), "budget_source": source}, nil
}
