package api

import (
	"context"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// epoch is a moment to compare the lengths of durations at.
var epoch = time.Unix(0, 0).UTC()

func jsonText(v any) (jsontext.Value, error) { return json.Marshal(v) }

func byUser(id string, limit int) store.Query {
	return store.Query{Where: map[string]string{"user_id": id}, Limit: limit}
}

// userView renders users: with what they have spent, their teams and organizations.
type userView struct {
	a     *API
	spent map[string]spent
	teams map[string][]string
	orgs  map[string][]object
}

// viewUsers reads what rows of these users need.
func (a *API) viewUsers(ctx context.Context, users ...account.User) (*userView, error) {
	v := &userView{a: a, teams: map[string][]string{}, orgs: map[string][]object{}}
	ids := make([]string, len(users))
	for i := range users {
		ids[i] = users[i].ID
	}
	var err error
	if v.spent, err = a.spends(ctx, account.OfUser, ids...); err != nil {
		return nil, err
	}
	mine := store.Query{In: map[string][]string{"user_id": ids}}
	members, _, err := a.Store.Accounts().Members.Find(ctx, mine)
	if err != nil {
		return nil, err
	}
	for i := range members {
		v.teams[members[i].UserID] = append(v.teams[members[i].UserID], members[i].TeamID)
	}
	of, _, err := a.Store.Accounts().OrgMembers.Find(ctx, mine)
	for i := range of {
		m := &of[i]
		v.orgs[m.UserID] = append(v.orgs[m.UserID], object{"user_id": m.UserID, "organization_id": m.OrgID, "user_role": m.Role,
			"max_budget": dollars(m.MaxBudget), "created_at": moment(m.Created), "updated_at": moment(m.Updated)})
	}
	return v, err
}

// row is a user as the table has them, without the password.
func (v *userView) row(u *account.User) object {
	s := v.spent[u.ID]
	o := object{"policies": []string{}, "object_permission": nil}
	for name, value := range u.Extra {
		o[name] = value
	}
	limitsOut(o, &u.Limits)
	o["user_id"], o["user_email"], o["user_alias"], o["user_role"] = u.ID, text(u.Email), text(u.Alias), text(u.Role)
	o["sso_user_id"], o["models"], o["teams"] = text(u.SSOID), list(u.Models), list(v.teams[u.ID])
	o["metadata"] = withModelLimits(u.Metadata, &u.Limits)
	o["spend"], o["model_spend"], o["model_max_budget_usage"] = money(s.now), modelSpend(s), modelSpend(s)
	o["budget_reset_at"] = v.resetAt(u, s)
	o["budget_limits"] = windowsOut(&u.Limits, s)
	o["blocked"] = u.Blocked
	o["created_at"], o["updated_at"] = moment(u.Created), moment(u.Updated)
	o["organization_memberships"] = nil
	if of := v.orgs[u.ID]; of != nil {
		o["organization_memberships"] = of
	}
	o["allowed_cache_controls"] = []string{}
	for _, name := range []string{"verified_subjects", "team_id", "organization_id", "object_permission_id", "password_reset_required", "last_breach_check_at",
		"litellm_organization_table", "invitations_created", "invitations_updated", "invitations_user"} {
		o[name] = nil
	}
	return o
}

func (v *userView) resetAt(u *account.User, s spent) any {
	k := account.Key{Limits: u.Limits}
	return (&keyView{a: v.a}).resetAt(&k, s)
}

type userInfoIn struct {
	ID string `query:"user_id" plus:"kept"`
}

// seeUser is the user that a call asks about, the caller's own without an id.
func (a *API) seeUser(ctx context.Context, c *caller, id string) (*account.User, error) {
	if id == "" {
		id = c.user
	}
	db := a.Store.Accounts()
	u, err := get(ctx, db.Users, id)
	if err != nil || c.reader() || id == c.user {
		return u, err
	}
	if u != nil {
		if ok, err := runsUser(ctx, db, c, u); ok || err != nil {
			return u, err
		}
	}
	return nil, denied("user_id", "key not allowed to access this user's info. user_id=%s, key's user_id=%s", id, c.user)
}

// maxRelated is how many keys and teams the answer about one user holds.
const maxRelated = 100

// userInfo shows a user with their newest keys and their teams.
func (a *API) userInfo(ctx context.Context, c *caller, in *userInfoIn) (any, error) {
	u, err := a.seeUser(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	id := in.ID
	if id == "" {
		id = c.user
	}
	if u == nil && in.ID != "" {
		return nil, notFound("user_id", "User %s not found", in.ID)
	}
	out := object{"user_id": text(id), "user_info": nil}
	if u != nil {
		v, err := a.viewUsers(ctx, *u)
		if err != nil {
			return nil, err
		}
		row := v.row(u)
		row["organization_memberships"] = list(v.orgs[u.ID])
		out["user_info"] = row
	}
	q := byUser(id, maxRelated)
	if in.ID == "" && c.reader() && u == nil { // the master key: what there is
		q.Where = nil
	} else if id == "" {
		q.Where = map[string]string{"id": c.key}
	}
	q.Sort, q.Desc = "created", true
	db := a.Store.Accounts()
	keys, _, err := db.Keys.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	if out["keys"], err = a.keysOfUser(ctx, keys); err != nil {
		return nil, err
	}
	out["teams"], err = a.teamsOfUser(ctx, id)
	return out, err
}

func (a *API) keysOfUser(ctx context.Context, keys []account.Key) ([]object, error) {
	v, err := a.viewKeys(ctx, keys...)
	if err != nil {
		return nil, err
	}
	if err := v.withTeams(ctx, keys); err != nil {
		return nil, err
	}
	rows := []object{}
	for i := range keys {
		row := v.row(&keys[i])
		row["token"], row["team_alias"], row["org_id"] = keys[i].Hash, "None", row["organization_id"]
		if t := v.teams[keys[i].TeamID]; t != nil && t.Alias != "" {
			row["team_alias"] = t.Alias
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// teamsOfUser are the teams that a user is in.
func (a *API) teamsOfUser(ctx context.Context, id string) ([]object, error) {
	rows := []object{}
	if id == "" {
		return rows, nil
	}
	db := a.Store.Accounts()
	members, _, err := db.Members.Find(ctx, byUser(id, maxRelated))
	if err != nil {
		return nil, err
	}
	var ids []string
	for i := range members {
		ids = append(ids, members[i].TeamID)
	}
	teams, err := db.Teams.List(ctx, ids...)
	if err != nil {
		return nil, err
	}
	v, err := a.viewTeams(ctx, teams...)
	if err != nil {
		return nil, err
	}
	keys, err := a.keysByTeam(ctx, ids)
	other := func(row object) bool { return row["user_id"] != id }
	for i := range teams {
		row := v.row(&teams[i])
		row["team_memberships"] = slices.DeleteFunc(v.memberships(&teams[i], false), other)
		row["keys"] = list(slices.DeleteFunc(keys[teams[i].ID], other))
		rows = append(rows, row)
	}
	return rows, err
}

// userInfoV2 shows a user alone.
func (a *API) userInfoV2(ctx context.Context, c *caller, in *userInfoIn) (any, error) {
	u, err := a.seeUser(ctx, c, in.ID)
	if e := llm.AsError(err); err != nil && e.Kind != llm.ErrPermission {
		return nil, err
	}
	if u == nil || err != nil {
		id := in.ID
		if id == "" {
			id = c.user
		}
		return nil, notFound("user_id", "User not found: %s", id)
	}
	v, err := a.viewUsers(ctx, *u)
	if err != nil {
		return nil, err
	}
	row, out := v.row(u), object{}
	for _, name := range []string{"user_id", "user_email", "user_alias", "user_role", "spend", "max_budget", "tpm_limit", "rpm_limit", "models", "budget_duration",
		"budget_reset_at", "metadata", "created_at", "updated_at", "sso_user_id", "teams", "object_permission", "model_max_budget", "model_max_budget_usage",
		"max_parallel_requests", "model_rpm_limit", "model_tpm_limit"} {
		out[name] = row[name]
	}
	return out, nil
}

type userListIn struct {
	Role     string   `query:"role"`
	IDs      []string `query:"user_ids" plus:"kept"`
	SSOIDs   []string `query:"sso_user_ids"`
	Email    string   `query:"user_email" plus:"kept"`
	Search   string   `query:"search" plus:"kept"`
	Team     string   `query:"team"`
	Orgs     []string `query:"organization_ids"`
	Page     int64    `query:"page" default:"1" min:"1" max:"1000000"`
	PageSize int64    `query:"page_size" default:"25" min:"1" max:"100"`
	SortBy   string   `query:"sort_by"`
	Order    string   `query:"sort_order" default:"asc" oneof:"asc,desc"`
}

// userSorts are the columns that lists of users may be sorted by, and where they stand.
var userSorts = map[string]string{"": "created", "created_at": "created", "updated_at": "updated", "spend": "spend", "max_budget": "max_budget",
	"user_id": "id", "user_email": "email", "user_alias": "alias", "user_role": "role"}

// userList lists users: all of them to those who may see everything, to an organization's admin its own.
func (a *API) userList(ctx context.Context, c *caller, in *userListIn) (any, error) {
	column, ok := userSorts[in.SortBy]
	if !ok {
		return nil, llm.Invalid("sort_by", "Invalid sort column. Must be one of: user_id, user_email, user_alias, user_role, spend, max_budget, created_at, updated_at")
	}
	q := store.Query{Where: map[string]string{}, In: map[string][]string{}, Search: map[string]string{}, Sort: column,
		Desc: in.Order == "desc" || in.SortBy == "", Limit: int(in.PageSize), Offset: int((in.Page - 1) * in.PageSize)}
	if in.Role != "" {
		q.Where["role"] = in.Role
	}
	if len(in.SSOIDs) > 0 {
		q.In["sso_id"] = in.SSOIDs
	}
	if in.Email != "" {
		q.Search["email"] = in.Email
	} else if in.Search != "" {
		q.Search["email"] = in.Search
	}
	if err := a.boundUsers(ctx, c, in, &q); err != nil {
		return nil, err
	}
	users, total, err := a.Store.Accounts().Users.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	v, err := a.viewUsers(ctx, users...)
	if err != nil {
		return nil, err
	}
	rows := []object{}
	for i := range users {
		row := v.row(&users[i])
		_, n, err := a.Store.Accounts().Keys.Find(ctx, byUser(users[i].ID, 1))
		if err != nil {
			return nil, err
		}
		row["key_count"] = n
		rows = append(rows, row)
	}
	return object{"users": rows, "total": total, "page": in.Page, "page_size": in.PageSize, "total_pages": pages(total, in.PageSize)}, nil
}

// boundUsers narrows a query to ids: those asked for, of a team, of organizations, and those that the caller may see.
func (a *API) boundUsers(ctx context.Context, c *caller, in *userListIn, q *store.Query) error {
	db := a.Store.Accounts()
	orgs := in.Orgs
	if !c.reader() {
		_, mine, err := a.runs(ctx, c)
		if err != nil {
			return err
		}
		if len(mine) == 0 {
			return &detail{status: 403, text: "Only proxy admins and organization admins can list users."}
		}
		if orgs = intersect(orgs, mine); orgs == nil {
			orgs = []string{}
		}
	}
	ids := in.IDs
	narrow := func(to []string) {
		if ids = intersect(ids, to); ids == nil {
			ids = []string{}
		}
	}
	if in.Team != "" {
		members, _, err := db.Members.Find(ctx, store.Query{Where: map[string]string{"team_id": in.Team}})
		if err != nil {
			return err
		}
		var of []string
		for i := range members {
			of = append(of, members[i].UserID)
		}
		narrow(of)
	}
	if orgs != nil {
		members, _, err := db.OrgMembers.Find(ctx, store.Query{In: map[string][]string{"org_id": orgs}})
		if err != nil {
			return err
		}
		var of []string
		for i := range members {
			of = append(of, members[i].UserID)
		}
		narrow(of)
	}
	if ids != nil {
		q.In["id"] = ids
	}
	return nil
}

// intersect is what both lists hold; a nil list bounds nothing.
func intersect(x, y []string) []string {
	if x == nil {
		return y
	}
	have := map[string]bool{}
	for _, s := range y {
		have[s] = true
	}
	out := []string{}
	for _, s := range x {
		if have[s] {
			out = append(out, s)
		}
	}
	return out
}

type userFilterIn struct {
	ID       string `query:"user_id" plus:"kept"`
	Email    string `query:"user_email" plus:"kept"`
	Page     int64  `query:"page" default:"1" min:"1" max:"1000000"`
	PageSize int64  `query:"page_size" default:"50" min:"1" max:"100"`
}

// userFilter finds users by a part of their id or email, for forms in which somebody is put into a team.
func (a *API) userFilter(ctx context.Context, c *caller, in *userFilterIn) (any, error) {
	if !c.reader() {
		teams, orgs, err := a.runs(ctx, c)
		if err != nil {
			return nil, err
		}
		if len(teams)+len(orgs) == 0 {
			return nil, c.forbidden("/user/filter/ui")
		}
	}
	q := store.Query{Search: map[string]string{}, Limit: int(in.PageSize), Offset: int((in.Page - 1) * in.PageSize)}
	if in.ID != "" {
		q.Search["id"] = in.ID
	}
	if in.Email != "" {
		q.Search["email"] = in.Email
	}
	users, _, err := a.Store.Accounts().Users.Find(ctx, q)
	rows := []object{}
	for i := range users {
		u := &users[i]
		rows = append(rows, object{"user_id": u.ID, "user_email": text(u.Email), "user_alias": text(u.Alias), "user_role": text(u.Role)})
	}
	return rows, err
}

// userCounts tells how many users and teams there are. There is no licence that bounds them.
func (a *API) userCounts(ctx context.Context, _ *caller, _ *struct{}) (any, error) {
	db := a.Store.Accounts()
	_, users, err := db.Users.Find(ctx, store.Query{Limit: 1})
	if err != nil {
		return nil, err
	}
	_, teams, err := db.Teams.Find(ctx, store.Query{Limit: 1})
	return object{"total_users": nil, "total_users_used": users, "total_users_remaining": nil, "total_teams": nil, "total_teams_used": teams,
		"total_teams_remaining": nil}, err
}
