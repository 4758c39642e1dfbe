package api

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// orgMembershipTable is what audit rows call members of organizations.
const orgMembershipTable = "LiteLLM_OrganizationMembership"

// orgMembersOut are the rows of members of one organization, and of their users.
func (a *API) orgMembersOut(ctx context.Context, members []account.OrgMember) (places, users []object, err error) {
	ids, budgetIDs := make([]string, len(members)), make([]string, len(members))
	for i, m := range members {
		ids[i], budgetIDs[i] = m.UserID, m.BudgetID
	}
	people, budgets := map[string]account.User{}, map[string]account.Budget{}
	db := a.Store.Accounts()
	if err := index(ctx, people, db.Users, append([]string{}, ids...), func(u *account.User) string { return u.ID }); err != nil {
		return nil, nil, err
	}
	if err := index(ctx, budgets, db.Budgets, budgetIDs, func(b *account.Budget) string { return b.ID }); err != nil {
		return nil, nil, err
	}
	rows, err := a.userTable(ctx, people, ids)
	if err != nil {
		return nil, nil, err
	}
	places, users = make([]object, len(members)), make([]object, len(members))
	for i, m := range members {
		places[i] = object{
			"user_id": m.UserID, "organization_id": m.OrgID, "user_role": text(m.Role), "spend": money(0),
			"created_at": moment(m.Created), "updated_at": moment(m.Updated), "user": nil,
			"user_email": text(people[m.UserID].Email),
		}
		places[i]["budget_id"], places[i]["litellm_budget_table"] = a.budgetOf(m.Limits, budgets, spent{}, a.budgetOut)
		users[i] = rows[m.UserID]
	}
	return places, users, nil
}

// orgMemberIn is a member of an organization in a request.
type orgMemberIn struct {
	UserID string `json:"user_id"`
	Email  string `json:"user_email"`
	Role   string `json:"role" need:"true" oneof:"org_admin,internal_user,internal_user_viewer"`
}

type orgMemberAddIn struct {
	Member jsontext.Value `json:"member" need:"true"`
	ID     string         `json:"organization_id" need:"true"`
	Budget opt[money]     `json:"max_budget_in_organization" min:"0"`
}

func (in *orgMemberAddIn) members() ([]orgMemberIn, error) {
	all, err := oneOrMore[orgMemberIn](in.Member)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.UserID == "" && m.Email == "" {
			return nil, wrong("Either user id or user email must be provided")
		}
	}
	return all, nil
}

func (a *API) orgMemberAdd(ctx context.Context, c *caller, in *orgMemberAddIn) (any, error) {
	all, err := in.members()
	if err != nil {
		return nil, err
	}
	var added []account.OrgMember
	err = a.edit(ctx, c, func(e *edit) error {
		o, err := e.org(ctx, c, in.ID, "/organization/member_add")
		if err != nil {
			return err
		}
		for i := range all {
			m, err := e.addOrgMember(ctx, o, &all[i], in.Budget)
			if err != nil {
				return err
			}
			added = append(added, *m)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	places, users, err := a.orgMembersOut(ctx, added)
	if err != nil {
		return nil, err
	}
	return object{"organization_id": in.ID, "updated_users": users, "updated_organization_memberships": places}, nil
}

func (e *edit) addOrgMember(ctx context.Context, o *account.Organization, in *orgMemberIn, budget opt[money]) (*account.OrgMember, error) {
	u, err := e.userOf(ctx, in.UserID, in.Email)
	if err != nil {
		return nil, err
	}
	if u == nil {
		if u, err = e.inviteUser(ctx, in.UserID, in.Email); err != nil {
			return nil, err
		}
	}
	m := &account.OrgMember{OrgID: o.ID, UserID: u.ID, Role: in.Role}
	if have, err := get(ctx, e.OrgMembers, account.MemberID(o.ID, u.ID)); err != nil {
		return nil, err
	} else if have != nil {
		return nil, &llm.Error{Kind: llm.ErrInvalid, Type: "bad_request_error", Param: "member",
			Message: "User already in organization. user_id=" + u.ID + ", organization_id=" + o.ID}
	}
	return m, e.putOrgMember(ctx, nil, m, budget)
}

// putOrgMember writes a member of an organization; before is nil for a new one.
func (e *edit) putOrgMember(ctx context.Context, before, m *account.OrgMember, budget opt[money]) error {
	if budget.Value != nil || budget.Set && m.BudgetID != "" {
		owner := account.Subject{Kind: account.OfOrg, ID: account.MemberID(m.OrgID, m.UserID)}
		if err := e.fold(ctx, owner, &m.Limits); err != nil {
			return err
		}
		id, err := e.ownBudget(ctx, owner, m.BudgetID, (&limitFields{MaxBudget: budget}).apply)
		if err != nil {
			return err
		}
		m.BudgetID = id
	}
	e.stamp(&m.Stamp)
	if err := e.OrgMembers.Put(ctx, m); err != nil {
		return err
	}
	return written(ctx, e, orgMembershipTable, m.OrgID+"/"+m.UserID, before, m)
}

func (e *edit) removeOrgMember(ctx context.Context, m *account.OrgMember) error {
	id := account.MemberID(m.OrgID, m.UserID)
	if err := e.dropBudget(ctx, account.Subject{Kind: account.OfOrg, ID: id}, m.BudgetID); err != nil {
		return err
	}
	if _, err := e.OrgMembers.Delete(ctx, id); err != nil {
		return err
	}
	return e.audit(ctx, "deleted", orgMembershipTable, m.OrgID+"/"+m.UserID, m, nil)
}

// orgMember finds a member of an organization by the user's id or email.
func (e *edit) orgMember(ctx context.Context, org, id, email string) (*account.OrgMember, error) {
	if id == "" && email == "" {
		return nil, wrong("Either user id or user email must be provided")
	}
	u, err := e.userOf(ctx, id, email)
	if err != nil {
		return nil, err
	}
	if u != nil {
		id = u.ID
	}
	m, err := get(ctx, e.OrgMembers, account.MemberID(org, id))
	if err == nil && (m == nil || id == "") {
		err = notFound("user_id", "User not found in organization. user_id=%s, user_email=%s, organization_id=%s", id, email, org)
	}
	return m, err
}

type orgMemberUpdateIn struct {
	ID     string      `json:"organization_id" need:"true"`
	UserID string      `json:"user_id"`
	Email  string      `json:"user_email"`
	Role   opt[string] `json:"role" oneof:"org_admin,internal_user,internal_user_viewer"`
	Budget opt[money]  `json:"max_budget_in_organization" min:"0"`
}

func (a *API) orgMemberUpdate(ctx context.Context, c *caller, in *orgMemberUpdateIn) (any, error) {
	var m *account.OrgMember
	err := a.edit(ctx, c, func(e *edit) error {
		o, err := e.org(ctx, c, in.ID, "/organization/member_update")
		if err != nil {
			return err
		}
		if m, err = e.orgMember(ctx, o.ID, in.UserID, in.Email); err != nil {
			return err
		}
		before := *m
		if role := in.Role.or(""); role != "" {
			m.Role = role
		}
		return e.putOrgMember(ctx, &before, m, in.Budget)
	})
	if err != nil {
		return nil, err
	}
	places, _, err := a.orgMembersOut(ctx, []account.OrgMember{*m})
	if err != nil {
		return nil, err
	}
	return places[0], nil
}

type orgMemberDeleteIn struct {
	ID     string `json:"organization_id" need:"true"`
	UserID string `json:"user_id"`
	Email  string `json:"user_email"`
}

// orgMemberDelete takes somebody out of an organization, and with them their keys of it: without it those would be bound by less.
func (a *API) orgMemberDelete(ctx context.Context, c *caller, in *orgMemberDeleteIn) (any, error) {
	var m *account.OrgMember
	err := a.edit(ctx, c, func(e *edit) error {
		o, err := e.org(ctx, c, in.ID, "/organization/member_delete")
		if err != nil {
			return err
		}
		if m, err = e.orgMember(ctx, o.ID, in.UserID, in.Email); err != nil {
			return err
		}
		if err := e.deleteKeys(ctx, map[string]string{"org_id": o.ID, "user_id": m.UserID}); err != nil {
			return err
		}
		return e.removeOrgMember(ctx, m)
	})
	if err != nil {
		return nil, err
	}
	places, _, err := a.orgMembersOut(ctx, []account.OrgMember{*m})
	if err != nil {
		return nil, err
	}
	return places[0], nil
}
