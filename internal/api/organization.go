package api

import (
	"context"
	"errors"
	"slices"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

func (a *API) orgRoutes() []route {
	return []route{
		{"POST", "/organization/new", admins, typed(a.orgNew)},
		{"PATCH", "/organization/update", editors, typed(a.orgUpdate)},
		{"DELETE", "/organization/delete", admins, typed(a.orgDelete)},
		{"GET", "/organization/list", anyone, typed(a.orgList)},
		{"GET", "/organization/info", anyone, typed(a.orgInfo)},
		{"POST", "/organization/info", anyone, typed(a.orgInfos)},
		{"POST", "/organization/member_add", editors, typed(a.orgMemberAdd)},
		{"PATCH", "/organization/member_update", editors, typed(a.orgMemberUpdate)},
		{"DELETE", "/organization/member_delete", editors, typed(a.orgMemberDelete)},
	}
}

// orgTable is what audit rows call organizations.
const orgTable = "LiteLLM_OrganizationTable"

// orgFields are what an organization may be given when made and when changed.
type orgFields struct {
	Alias    opt[string]         `json:"organization_alias"`
	Models   opt[[]string]       `json:"models"`
	Metadata opt[map[string]any] `json:"metadata"`
	limitFields
	Permission opt[map[string]any] `json:"object_permission"`
}

func orgSubject(id string) account.Subject { return account.Subject{Kind: account.OfOrg, ID: id} }

// put changes an organization and writes the row; before is nil for a new one, which always gets a budget, as in LiteLLM.
func (f *orgFields) put(ctx context.Context, e *edit, before, o *account.Organization) error {
	f.Alias.put(&o.Alias)
	f.Models.put(&o.Models)
	f.Metadata.put(&o.Metadata)
	putExtra(&o.Extra, "object_permission", f.Permission)
	if err := checkID("organization_alias", o.Alias); err != nil {
		return err
	}
	for _, m := range o.Models {
		if err := customerID("models", m); err != nil {
			return err
		}
	}
	var was account.Limits
	if before != nil {
		was = before.Limits
	}
	// Limits by model are kept with the organization, the rest in its budget.
	byModel := limitFields{ModelRPM: f.ModelRPM, ModelTPM: f.ModelTPM}
	if err := byModel.apply(&o.Limits); err != nil {
		return err
	}
	rest := f.limitFields
	rest.ModelRPM, rest.ModelTPM = opt[map[string]int64]{}, opt[map[string]int64]{}
	if rest.BudgetID.or("") != "" && rest.setsLimits() {
		return llm.Invalid("budget_id", "Set either a budget_id or max_budget and its siblings, not both")
	}
	err := e.rebound(ctx, orgSubject(o.ID), was, &o.Limits, func() (err error) {
		if err := e.boundBy(ctx, orgSubject(o.ID), &o.Limits, &rest); err != nil {
			return err
		}
		if o.BudgetID == "" {
			if o.BudgetID, err = e.ownBudget(ctx, orgSubject(o.ID), "", (&limitFields{}).apply); err != nil {
				return err
			}
		}
		e.stamp(&o.Stamp)
		return e.Orgs.Put(ctx, o)
	})
	if err != nil {
		return err
	}
	return written(ctx, e, orgTable, o.ID, before, o)
}

type orgNewIn struct {
	ID    opt[string] `json:"organization_id"`
	Alias string      `json:"organization_alias" need:"true"`
	orgFields
}

func (a *API) orgNew(ctx context.Context, c *caller, in *orgNewIn) (any, error) {
	if err := errors.Join(customerID("organization_alias", in.Alias), checkID("organization_id", in.ID.or(""))); err != nil {
		return nil, err
	}
	o := &account.Organization{ID: in.ID.or("")}
	in.orgFields.Alias = opt[string]{true, &in.Alias}
	err := a.edit(ctx, c, func(e *edit) error {
		if have, err := get(ctx, e.Orgs, o.ID); err != nil {
			return err
		} else if have != nil {
			return llm.Invalid("organization_id", "Organization with organization_id=%s already exists", o.ID)
		}
		if o.ID == "" {
			o.ID = uuid()
		}
		return in.put(ctx, e, nil, o)
	})
	if err != nil {
		return nil, err
	}
	rows, err := a.orgsOut(ctx, false, *o)
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// orgsOut are the rows of organizations, with their members and teams if asked for.
func (a *API) orgsOut(ctx context.Context, whole bool, all ...account.Organization) ([]object, error) {
	spends, budgets, err := budgeted(ctx, a, account.OfOrg, all, func(r *account.Organization) (id, budget string) { return r.ID, r.BudgetID })
	if err != nil {
		return nil, err
	}
	out := make([]object, 0, len(all))
	for i := range all {
		o, s := &all[i], spends[all[i].ID]
		row := object{
			"organization_id": o.ID, "organization_alias": text(o.Alias), "spend": money(s.now),
			"metadata": withModelLimits(o.Metadata, &o.Limits), "models": list(o.Models), "model_spend": object{},
			"created_by": text(o.CreatedBy), "updated_by": text(o.UpdatedBy), "created_at": moment(o.Created), "updated_at": moment(o.Updated),
			"users": nil, "object_permission": nil, "object_permission_id": nil,
		}
		row["budget_id"], row["litellm_budget_table"] = a.budgetOf(o.Limits, budgets, s, a.budgetOut)
		extrasOut(row, o.Extra, []string{"object_permission"})
		out = append(out, row)
	}
	if whole {
		err = a.fillOrgs(ctx, out, all)
	}
	return out, err
}

// fillOrgs adds members and teams to the rows of organizations.
func (a *API) fillOrgs(ctx context.Context, rows []object, all []account.Organization) error {
	db := a.Store.Accounts()
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = all[i].ID
	}
	members, teams := map[string][]account.OrgMember{}, map[string][]object{}
	for chunk := range slices.Chunk(ids, 500) {
		found, _, err := db.OrgMembers.Find(ctx, store.Query{In: map[string][]string{"org_id": chunk}})
		if err != nil {
			return err
		}
		for _, m := range found {
			members[m.OrgID] = append(members[m.OrgID], m)
		}
		theirs, _, err := db.Teams.Find(ctx, store.Query{In: map[string][]string{"org_id": chunk}, Sort: "alias"})
		if err != nil {
			return err
		}
		v, err := a.viewTeams(ctx, theirs...)
		if err != nil {
			return err
		}
		for i := range theirs {
			teams[theirs[i].OrgID] = append(teams[theirs[i].OrgID], v.row(&theirs[i]))
		}
	}
	for i, id := range ids {
		places, users, err := a.orgMembersOut(ctx, members[id])
		if err != nil {
			return err
		}
		rows[i]["members"], rows[i]["users"], rows[i]["teams"] = places, users, list(teams[id])
	}
	return nil
}

type orgUpdateIn struct {
	ID string `json:"organization_id" need:"true"`
	orgFields
}

// orgUpdate changes an organization. Its own admin may change what it is called and narrow its models; its limits are not theirs to set.
func (a *API) orgUpdate(ctx context.Context, c *caller, in *orgUpdateIn) (any, error) {
	var o *account.Organization
	err := a.edit(ctx, c, func(e *edit) (err error) {
		if o, err = e.org(ctx, c, in.ID, "/organization/update"); err != nil {
			return err
		}
		before := *o
		if err := in.put(ctx, e, &before, o); err != nil {
			return err
		}
		switch {
		case c.admin():
		case in.namesLimits() || in.BudgetID.Set:
			return denied("max_budget", "An organization's admin may not change its limits. organization_id=%s", o.ID)
		case moreModels(before.Models, o.Models):
			return denied("models", "An organization's admin may not give it more models. organization_id=%s", o.ID)
		case in.Permission.Set:
			return denied("object_permission", "An organization's admin may not change its permissions. organization_id=%s", o.ID)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.orgOut(ctx, o)
}

func (a *API) orgOut(ctx context.Context, o *account.Organization) (any, error) {
	rows, err := a.orgsOut(ctx, true, *o)
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// noOrg is an unknown organization.
func noOrg(id string) error {
	return &llm.Error{Kind: llm.ErrNotFound, Type: "not_found_error", Param: "organization_id", Message: "Organization not found for organization_id=" + id}
}

// org is an organization that the caller runs.
func (e *edit) org(ctx context.Context, c *caller, id, path string) (*account.Organization, error) {
	if h, err := holdOnOrg(ctx, e.Accounts, c, id); err != nil {
		return nil, err
	} else if h < orgAdmin {
		return nil, c.forbidden(path)
	}
	o, err := get(ctx, e.Orgs, id)
	if err == nil && o == nil {
		err = noOrg(id)
	}
	return o, err
}

type orgDeleteIn struct {
	IDs []string `json:"organization_ids" need:"true"`
}

// orgDelete deletes organizations with their members, teams and keys. All or none.
func (a *API) orgDelete(ctx context.Context, c *caller, in *orgDeleteIn) (any, error) {
	if len(in.IDs) == 0 {
		return nil, llm.Invalid("organization_ids", "organization_ids is empty")
	}
	ids := slices.Compact(slices.Sorted(slices.Values(in.IDs)))
	found, err := a.Store.Accounts().Orgs.List(ctx, ids...)
	if err != nil {
		return nil, err
	}
	rows, err := a.orgsOut(ctx, true, found...) // as they are before they go
	if err != nil {
		return nil, err
	}
	err = a.edit(ctx, c, func(e *edit) error {
		for _, id := range ids {
			o, err := e.org(ctx, c, id, "/organization/delete")
			if err != nil {
				return err
			}
			if err := e.deleteOrg(ctx, o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (e *edit) deleteOrg(ctx context.Context, o *account.Organization) error {
	teams, _, err := e.Teams.Find(ctx, store.Query{Where: map[string]string{"org_id": o.ID}})
	if err != nil {
		return err
	}
	for i := range teams {
		if err := e.deleteTeam(ctx, &teams[i]); err != nil {
			return err
		}
	}
	if err := e.deleteKeys(ctx, map[string]string{"org_id": o.ID}); err != nil {
		return err
	}
	members, _, err := e.OrgMembers.Find(ctx, store.Query{Where: map[string]string{"org_id": o.ID}})
	if err != nil {
		return err
	}
	for i := range members {
		if err := e.removeOrgMember(ctx, &members[i]); err != nil {
			return err
		}
	}
	if err := e.dropBudget(ctx, orgSubject(o.ID), o.BudgetID); err != nil {
		return err
	}
	if _, err := e.Orgs.Delete(ctx, o.ID); err != nil {
		return err
	}
	return e.audit(ctx, "deleted", orgTable, o.ID, o, nil)
}

type orgListIn struct {
	ID    string `query:"org_id"`
	Alias string `query:"org_alias"`
}

// orgList lists all organizations to who may see all, and their own to the rest.
func (a *API) orgList(ctx context.Context, c *caller, in *orgListIn) (any, error) {
	db := a.Store.Accounts()
	q := store.Query{Where: map[string]string{}, In: map[string][]string{}, Sort: "alias"}
	if !c.reader() {
		places, _, err := db.OrgMembers.Find(ctx, store.Query{Where: map[string]string{"user_id": c.user}})
		if err != nil {
			return nil, err
		}
		ids := []string{}
		for _, m := range places {
			if c.user != "" {
				ids = append(ids, m.OrgID)
			}
		}
		q.In["id"] = ids
	}
	if in.ID != "" {
		q.Where["id"] = in.ID
	}
	if in.Alias != "" {
		q.Search = map[string]string{"alias": in.Alias}
	}
	found, _, err := db.Orgs.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	return a.orgsOut(ctx, true, found...)
}

type orgInfoIn struct {
	ID string `query:"organization_id" need:"true"`
}

func (a *API) orgInfo(ctx context.Context, c *caller, in *orgInfoIn) (any, error) {
	found, err := a.seeOrgs(ctx, c, "/organization/info", in.ID)
	if err != nil {
		return nil, err
	}
	return a.orgOut(ctx, &found[0])
}

type orgInfosIn struct {
	IDs []string `json:"organizations" need:"true"`
}

func (a *API) orgInfos(ctx context.Context, c *caller, in *orgInfosIn) (any, error) {
	if len(in.IDs) == 0 {
		return nil, llm.Invalid("organizations", "Specify list of organization id's to query. Passed in=%v", in.IDs)
	}
	found, err := a.seeOrgs(ctx, c, "/organization/info", in.IDs...)
	if err != nil {
		return nil, err
	}
	return a.orgsOut(ctx, true, found...)
}

// seeOrgs are organizations that the caller may see.
func (a *API) seeOrgs(ctx context.Context, c *caller, path string, ids ...string) ([]account.Organization, error) {
	db := a.Store.Accounts()
	var out []account.Organization
	for _, id := range ids {
		if h, err := holdOnOrg(ctx, db, c, id); err != nil {
			return nil, err
		} else if h < member && !c.reader() {
			return nil, c.forbidden(path)
		}
		o, err := get(ctx, db.Orgs, id)
		if err != nil {
			return nil, err
		}
		if o == nil {
			return nil, noOrg(id)
		}
		out = append(out, *o)
	}
	return out, nil
}
