package api

import (
	"context"
	"slices"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

type teamInfoIn struct {
	ID    string     `query:"team_id"`
	Limit opt[int64] `query:"key_limit" min:"0"`
}

// maxTeamKeys is how many of a team's keys its row shows at most; /key/list pages through all.
const maxTeamKeys = 1000

func (a *API) teamInfo(ctx context.Context, c *caller, in *teamInfoIn) (any, error) {
	if in.ID == "" {
		return nil, &llm.Error{Kind: llm.ErrUnprocessable, Type: "auth_error", Param: "None", Message: "Malformed request. No team id passed in."}
	}
	db := a.Store.Accounts()
	t, err := get(ctx, db.Teams, in.ID)
	if err != nil {
		return nil, err
	}
	h := stranger
	if t != nil {
		if h, err = holdOnTeam(ctx, db, c, t); err != nil {
			return nil, err
		}
	}
	switch {
	case t == nil && c.reader():
		return nil, &llm.Error{Kind: llm.ErrNotFound, Type: "auth_error", Param: "None", Message: "Team not found, passed team id: " + in.ID + "."}
	case !c.reader() && h < member: // also for teams that are not there: who may not see a team need not know of it
		return nil, denied("None", "User=%s not authorized to access this team=%s", c.user, in.ID)
	}
	v, err := a.viewTeams(ctx, *t)
	if err != nil {
		return nil, err
	}
	limit := min(in.Limit.or(maxTeamKeys), maxTeamKeys)
	keys := []object{}
	if limit > 0 {
		if keys, err = a.teamKeys(ctx, int(limit), t.ID); err != nil {
			return nil, err
		}
	}
	row, err := a.teamInfoRow(ctx, v, t, h)
	if err != nil {
		return nil, err
	}
	return object{"team_id": t.ID, "team_info": row, "keys": keys, "team_memberships": v.memberships(t, true)}, nil
}

// teamInfoRow is a team's row with what /team/info adds.
func (a *API) teamInfoRow(ctx context.Context, v *teamView, t *account.Team, h hold) (object, error) {
	row := v.row(t)
	row["members_with_roles"] = v.roles(t, true)
	row["team_member_budget_table"] = nil
	if b, ok := v.budgets[t.MemberBudgetID]; ok {
		row["team_member_budget_table"] = a.budgetOut(&b, spent{})
	}
	for _, name := range []string{"access_group_models", "access_group_mcp_server_ids", "access_group_agent_ids", "access_group_details", "organization_models"} {
		row[name] = nil
	}
	if o, err := get(ctx, a.Store.Accounts().Orgs, t.OrgID); err != nil {
		return nil, err
	} else if o != nil {
		row["organization_models"] = list(o.Models)
	}
	usage := object{}
	for model := range t.ModelBudget {
		usage[model] = money(v.teams[t.ID].models[model])
	}
	row["model_max_budget_usage"] = usage
	kind := "none"
	switch h {
	case fullAdmin, orgAdmin:
		kind = "unrestricted"
	case teamAdmin:
		kind = "restricted"
	}
	row["caller_edit_access"] = object{"kind": kind}
	return row, nil
}

// teamKeys are the rows of a team's keys, the newest first.
func (a *API) teamKeys(ctx context.Context, limit int, team string) ([]object, error) {
	keys, _, err := a.Store.Accounts().Keys.Find(ctx, store.Query{Where: map[string]string{"team_id": team}, Desc: true, Limit: limit})
	if err != nil {
		return nil, err
	}
	return a.keyRows(ctx, keys)
}

// keyRows are keys as a team shows them.
func (a *API) keyRows(ctx context.Context, keys []account.Key) ([]object, error) {
	v, err := a.viewKeys(ctx, keys...)
	if err != nil {
		return nil, err
	}
	out := make([]object, len(keys))
	for i := range keys {
		out[i] = v.row(&keys[i])
		out[i]["token"] = keys[i].Hash
	}
	return out, nil
}

// keysByTeam are the rows of the keys of some teams.
func (a *API) keysByTeam(ctx context.Context, teams []string) (map[string][]object, error) {
	out := map[string][]object{}
	for chunk := range slices.Chunk(teams, 500) {
		keys, _, err := a.Store.Accounts().Keys.Find(ctx, store.Query{In: map[string][]string{"team_id": chunk}})
		if err != nil {
			return nil, err
		}
		rows, err := a.keyRows(ctx, keys)
		if err != nil {
			return nil, err
		}
		for i := range keys {
			out[keys[i].TeamID] = append(out[keys[i].TeamID], rows[i])
		}
	}
	return out, nil
}

type teamListIn struct {
	UserID string `query:"user_id"`
	OrgID  string `query:"organization_id"`
}

// errOthersTeams is what somebody is told who asks for teams that are not theirs.
var errOthersTeams = "Only admin users can query all teams/other teams. Your user role="

// visibleTeams narrows a query to the teams that a caller may see: all, those of the organizations they run, or their own.
func (a *API) visibleTeams(ctx context.Context, c *caller, user, org string) (q store.Query, err error) {
	db := a.Store.Accounts()
	q.Where, q.In = map[string]string{}, map[string][]string{}
	if org != "" {
		q.Where["org_id"] = org
	}
	own := user != "" && user == c.user
	if !c.reader() && !own {
		h, err := holdOnOrg(ctx, db, c, org)
		if err != nil {
			return q, err
		}
		if h < orgAdmin {
			return q, &detail{status: 401, text: errOthersTeams + c.role}
		}
	}
	if user == "" {
		return q, nil
	}
	places, _, err := db.Members.Find(ctx, store.Query{Where: map[string]string{"user_id": user}})
	ids := make([]string, len(places))
	for i, m := range places {
		ids[i] = m.TeamID
	}
	q.In["id"] = ids
	return q, err
}

func (a *API) teamList(ctx context.Context, c *caller, in *teamListIn) (any, error) {
	q, err := a.visibleTeams(ctx, c, in.UserID, in.OrgID)
	if err != nil {
		return nil, err
	}
	q.Sort = "alias"
	teams, _, err := a.Store.Accounts().Teams.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	v, err := a.viewTeams(ctx, teams...)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(teams))
	for i := range teams {
		ids[i] = teams[i].ID
	}
	keys, err := a.keysByTeam(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]object, 0, len(teams))
	for i := range teams {
		row := v.row(&teams[i])
		memberships := v.memberships(&teams[i], false)
		if in.UserID != "" { // the list of one user's teams shows their place in each
			memberships = slices.DeleteFunc(memberships, func(m object) bool { return m["user_id"] != in.UserID })
		}
		row["team_memberships"], row["keys"] = memberships, list(keys[teams[i].ID])
		out = append(out, row)
	}
	return out, nil
}

type teamListV2In struct {
	teamListIn
	ID     string `query:"team_id"`
	Alias  string `query:"team_alias"`
	Search string `query:"search"`
	Page   int64  `query:"page" default:"1" min:"1"`
	Size   int64  `query:"page_size" default:"10" min:"1" max:"100"`
	Sort   string `query:"sort_by"`
	Order  string `query:"sort_order" default:"asc" oneof:"asc,desc"`
	Status string `query:"status" oneof:"deleted"`
}

// teamSorts are the columns that lists of teams may be ordered by.
var teamSorts = map[string]string{"": "created", "team_id": "id", "team_alias": "alias", "created_at": "created", "updated_at": "updated",
	"max_budget": "max_budget", "spend": "spend"}

func (a *API) teamListV2(ctx context.Context, c *caller, in *teamListV2In) (any, error) {
	user := in.UserID
	if user == "" && !c.reader() && in.OrgID == "" {
		user = c.user
	}
	q, err := a.visibleTeams(ctx, c, user, in.OrgID)
	if err != nil {
		return nil, err
	}
	column, ok := teamSorts[in.Sort]
	if !ok {
		return nil, llm.Invalid("sort_by", "Invalid sort_by: %s", in.Sort)
	}
	q.Sort, q.Desc = column, in.Order == "desc" || in.Sort == ""
	q.Limit, q.Offset = int(in.Size), int((in.Page-1)*in.Size)
	if in.Status == "deleted" {
		return a.deletedTeams(ctx, in, q)
	}
	if in.ID != "" {
		q.Where["id"] = in.ID
	}
	if alias := in.Alias + in.Search; alias != "" {
		q.Search = map[string]string{"alias": alias}
	}
	teams, total, err := a.Store.Accounts().Teams.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	v, err := a.viewTeams(ctx, teams...)
	if err != nil {
		return nil, err
	}
	rows := make([]object, 0, len(teams))
	for i := range teams {
		_, keys, err := a.Store.Accounts().Keys.Find(ctx, store.Query{Where: map[string]string{"team_id": teams[i].ID}, Limit: 1})
		if err != nil {
			return nil, err
		}
		row := v.row(&teams[i])
		row["members_count"], row["keys_count"] = len(v.members[teams[i].ID]), keys
		row["access_group_models"], row["access_group_mcp_server_ids"], row["access_group_agent_ids"] = nil, nil, nil
		rows = append(rows, row)
	}
	return object{"teams": rows, "total": total, "page": in.Page, "page_size": in.Size, "total_pages": pages(total, in.Size)}, nil
}

// openTeams are the teams that any user may join by themselves.
func (a *API) openTeams() []string {
	ids, _ := stringsOf(a.Config().LiteLLM.UserDefaults["available_teams"])
	return ids
}

func (a *API) openTeam(id string) bool { return slices.Contains(a.openTeams(), id) }

// teamAvailable lists the teams that the caller may join and is not in.
func (a *API) teamAvailable(ctx context.Context, c *caller, _ *struct{}) (any, error) {
	db := a.Store.Accounts()
	teams, err := db.Teams.List(ctx, a.openTeams()...)
	if err != nil {
		return nil, err
	}
	v, err := a.viewTeams(ctx, teams...)
	if err != nil {
		return nil, err
	}
	out := []object{}
	for i := range teams {
		if !slices.ContainsFunc(v.members[teams[i].ID], func(m account.Member) bool { return m.UserID == c.user }) {
			out = append(out, v.row(&teams[i]))
		}
	}
	return out, nil
}
