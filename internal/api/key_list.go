package api

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

type keyInfoIn struct {
	Key string `query:"key"`
}

// keyInfo shows a key; without a name, the one that the call is made with.
func (a *API) keyInfo(ctx context.Context, c *caller, in *keyInfoIn) (any, error) {
	hash, name := hashOf(in.Key), in.Key
	if in.Key == "" {
		hash, name = c.key, c.key
	}
	db := a.Store.Accounts()
	k, err := get(ctx, db.Keys, hash)
	if err != nil {
		return nil, err
	}
	if k == nil {
		return nil, notFound("key", "Key not found in database")
	}
	ok, err := maySee(ctx, db, c, k)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, denied("key", "You are not allowed to access this key's information. Your role=%s", cmp.Or(c.role, "unknown"))
	}
	v, err := a.viewKeys(ctx, *k)
	if err != nil {
		return nil, err
	}
	info := v.row(k)
	info["status"] = a.status(k)
	return object{"key": name, "info": info}, nil
}

// status is whether a key may be used.
func (a *API) status(k *account.Key) string {
	switch {
	case k.Blocked:
		return "revoked"
	case k.Expires != 0 && k.Expires <= a.Now().UnixMilli():
		return "expired"
	}
	return "active"
}

type keyInfosIn struct {
	Keys []string `json:"keys" need:"true"`
}

// keyInfos shows several keys; those that are not there, or not the caller's to see, are left out.
func (a *API) keyInfos(ctx context.Context, c *caller, in *keyInfosIn) (any, error) {
	if len(in.Keys) > maxKeys {
		return nil, llm.Invalid("keys", "keys must have at most %d entries", maxKeys)
	}
	hashes := make([]string, len(in.Keys))
	for i, key := range in.Keys {
		hashes[i] = hashOf(key)
	}
	db := a.Store.Accounts()
	found, err := db.Keys.List(ctx, hashes...)
	if err != nil {
		return nil, err
	}
	keys := found[:0]
	for i := range found {
		ok, err := maySee(ctx, db, c, &found[i])
		if err != nil {
			return nil, err
		}
		if ok {
			keys = append(keys, found[i])
		}
	}
	slices.SortFunc(keys, func(x, y account.Key) int {
		return slices.Index(hashes, x.Hash) - slices.Index(hashes, y.Hash)
	})
	v, err := a.viewKeys(ctx, keys...)
	if err != nil {
		return nil, err
	}
	rows := []object{}
	for i := range keys {
		rows = append(rows, v.row(&keys[i]))
	}
	return object{"key": in.Keys, "info": rows}, nil
}

type keyListIn struct {
	Page      int64    `query:"page" default:"1" min:"1" max:"1000000"`
	Size      int64    `query:"size" default:"10" min:"1" max:"100"`
	UserID    string   `query:"user_id"`
	TeamID    string   `query:"team_id"`
	OrgID     string   `query:"organization_id"`
	Hash      string   `query:"key_hash"`
	Alias     string   `query:"key_alias"`
	Search    string   `query:"search"`
	Full      bool     `query:"return_full_object"`
	TeamKeys  bool     `query:"include_team_keys"`
	Created   bool     `query:"include_created_by_keys"`
	Substring bool     `query:"substring_matching"`
	SortBy    string   `query:"sort_by"`
	Order     string   `query:"sort_order" default:"desc" oneof:"asc,desc"`
	Expand    []string `query:"expand"`
	Status    string   `query:"status" oneof:"active,deleted"`
}

// keySorts are the columns that lists of keys may be sorted by, and where they stand.
var keySorts = map[string]string{"": "created", "created_at": "created", "updated_at": "updated", "spend": "spend", "max_budget": "max_budget",
	"token": "id", "key_alias": "alias"}

// keyList lists keys: all of them to those who may see everything, to others their own and those of teams that they run.
func (a *API) keyList(ctx context.Context, c *caller, in *keyListIn) (any, error) {
	q, err := a.keyQuery(ctx, c, in)
	if err != nil {
		return nil, err
	}
	if in.Status == "deleted" {
		return a.deletedKeys(ctx, q, in)
	}
	keys, total, err := a.Store.Accounts().Keys.Find(ctx, *q)
	if err != nil {
		return nil, err
	}
	out := object{"total_count": total, "current_page": in.Page, "total_pages": pages(total, in.Size)}
	if !in.Full && len(in.Expand) == 0 {
		hashes := []string{}
		for i := range keys {
			hashes = append(hashes, keys[i].Hash)
		}
		out["keys"] = hashes
		return out, nil
	}
	v, err := a.viewKeys(ctx, keys...)
	if err != nil {
		return nil, err
	}
	if err := v.withTeams(ctx, keys); err != nil {
		return nil, err
	}
	if err := v.withUsers(ctx, keys); err != nil {
		return nil, err
	}
	rows := []object{}
	for i := range keys {
		rows = append(rows, v.full(&keys[i]))
	}
	out["keys"] = rows
	return out, nil
}

// keyQuery is what the caller asked for, within what they may see.
func (a *API) keyQuery(ctx context.Context, c *caller, in *keyListIn) (*store.Query, error) {
	column, ok := keySorts[in.SortBy]
	if !ok {
		return nil, llm.Invalid("sort_by", "Invalid sort column. Must be one of: spend, max_budget, created_at, updated_at, token, key_alias")
	}
	q := &store.Query{Where: map[string]string{}, Search: map[string]string{}, Sort: column, Desc: in.Order == "desc",
		Limit: int(in.Size), Offset: int((in.Page - 1) * in.Size)}
	for column, value := range map[string]string{"team_id": in.TeamID, "org_id": in.OrgID, "id": hashOf(in.Hash)} {
		if value != "" {
			q.Where[column] = value
		}
	}
	switch {
	case in.Alias != "" && in.Substring:
		q.Search["alias"] = in.Alias
	case in.Alias != "":
		q.Where["alias"] = in.Alias
	case in.Search != "":
		q.Search["alias"] = in.Search
	}
	if c.reader() {
		if in.UserID != "" {
			q.Or = map[string][]string{"user_id": {in.UserID}}
			if in.Created {
				q.Or["created_by"] = []string{in.UserID}
			}
		}
		return q, nil
	}
	return q, a.ownKeys(ctx, c, in, q)
}

// ownKeys bounds a query to what is the caller's.
func (a *API) ownKeys(ctx context.Context, c *caller, in *keyListIn, q *store.Query) error {
	if c.user == "" {
		return &llm.Error{Kind: llm.ErrPermission, Type: "bad_request_error", Param: "user_id",
			Message: "You are not authorized to access this endpoint. No 'user_id' is associated with your API key."}
	}
	teams, orgs, err := a.runs(ctx, c)
	if err != nil {
		return err
	}
	switch {
	case in.UserID != "" && in.UserID != c.user && len(teams)+len(orgs) == 0:
		return denied("user_id", "You are not authorized to check another user's keys. Your user_id=%s", c.user)
	case in.UserID != "" && in.UserID != c.user:
		q.Where["user_id"] = in.UserID
	case in.TeamID != "" && !slices.Contains(teams, in.TeamID):
		m, err := get(ctx, a.Store.Accounts().Members, account.MemberID(in.TeamID, c.user))
		if err != nil {
			return err
		}
		if m == nil && len(orgs) == 0 {
			return denied("team_id", "You are not authorized to check this team's keys.")
		}
	}
	q.Or = map[string][]string{"user_id": {c.user}}
	if in.TeamKeys || in.TeamID != "" || in.UserID != "" || in.Hash != "" {
		q.Or["team_id"], q.Or["org_id"] = teams, orgs
	}
	if in.UserID == c.user && !in.TeamKeys {
		q.Where["user_id"] = c.user
	}
	return nil
}

// runs lists the teams and organizations that the caller is an admin of; the teams of such an organization are among them.
func (a *API) runs(ctx context.Context, c *caller) (teams, orgs []string, err error) {
	db := a.Store.Accounts()
	members, _, err := db.Members.Find(ctx, store.Query{Where: map[string]string{"user_id": c.user, "role": "admin"}})
	if err != nil {
		return nil, nil, err
	}
	for i := range members {
		teams = append(teams, members[i].TeamID)
	}
	of, _, err := db.OrgMembers.Find(ctx, store.Query{Where: map[string]string{"user_id": c.user, "role": account.OrgAdmin}})
	if err != nil || len(of) == 0 {
		return teams, nil, err
	}
	for i := range of {
		orgs = append(orgs, of[i].OrgID)
	}
	rows, _, err := db.Teams.Find(ctx, store.Query{In: map[string][]string{"org_id": orgs}})
	for i := range rows {
		teams = append(teams, rows[i].ID)
	}
	return teams, orgs, err
}

// deletedKeys lists keys that are no more.
func (a *API) deletedKeys(ctx context.Context, q *store.Query, in *keyListIn) (any, error) {
	q.Where["kind"] = string(store.Keys)
	if id, ok := q.Where["id"]; ok {
		delete(q.Where, "id")
		q.Where["object_id"] = id
	}
	delete(q.Or, "created_by")
	q.Sort = "created"
	gone, total, err := a.Store.Accounts().Archive.Find(ctx, *q)
	if err != nil {
		return nil, err
	}
	v := &keyView{a: a, spent: map[string]spent{}}
	rows := []any{}
	for i := range gone {
		if !in.Full {
			rows = append(rows, gone[i].ID)
			continue
		}
		var k account.Key
		if err := json.Unmarshal(gone[i].Doc, &k); err != nil {
			return nil, err
		}
		v.spent[k.Hash] = spent{now: gone[i].Spent, total: gone[i].Spent}
		row := v.full(&k)
		row["deleted_at"], row["deleted_by"], row["status"] = moment(gone[i].At), text(gone[i].By), "deleted"
		rows = append(rows, row)
	}
	return object{"keys": rows, "total_count": total, "current_page": in.Page, "total_pages": pages(total, in.Size)}, nil
}

type keyAliasesIn struct {
	Page   int64  `query:"page" default:"1" min:"1" max:"1000000"`
	Size   int64  `query:"size" default:"50" min:"1" max:"100"`
	Search string `query:"search"`
	TeamID string `query:"team_id"`
}

// keyAliases lists the aliases of the keys that the caller may see.
func (a *API) keyAliases(ctx context.Context, c *caller, in *keyAliasesIn) (any, error) {
	list := keyListIn{Page: 1, Size: 1, TeamID: in.TeamID, Search: in.Search, TeamKeys: true, SortBy: "key_alias", Order: "asc"}
	q, err := a.keyQuery(ctx, c, &list)
	if err != nil {
		return nil, err
	}
	q.Not = map[string]string{"alias": ""}
	q.Limit, q.Offset = int(in.Size), int((in.Page-1)*in.Size)
	keys, total, err := a.Store.Accounts().Keys.Find(ctx, *q)
	if err != nil {
		return nil, err
	}
	aliases := []string{}
	for i := range keys {
		aliases = append(aliases, keys[i].Alias)
	}
	return object{"aliases": aliases, "total_count": total, "current_page": in.Page, "total_pages": pages(total, in.Size), "size": in.Size}, nil
}

// keyHealth tells whether the key that the call is made with works, and which log sinks it has.
func (a *API) keyHealth(_ context.Context, c *caller, _ *struct{}) (any, error) {
	out := object{"key": "healthy", "logging_callbacks": nil}
	if c.p.Key == nil {
		return out, nil
	}
	sinks, _ := c.p.Key.Metadata["logging"].([]any)
	var names []string
	for _, s := range sinks {
		if m, ok := s.(map[string]any); ok {
			if name, ok := m["callback_name"].(string); ok {
				names = append(names, name)
			}
		}
	}
	if len(names) > 0 {
		out["logging_callbacks"] = object{"callbacks": names, "status": "healthy", "details": "configured: " + strings.Join(names, ", ")}
	}
	return out, nil
}
