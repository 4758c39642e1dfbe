package api

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

type teamIDIn struct {
	ID string `json:"team_id" need:"true"`
}

func (a *API) teamBlock(ctx context.Context, c *caller, in *teamIDIn) (any, error) {
	return a.setTeamBlocked(ctx, c, in.ID, true)
}

func (a *API) teamUnblock(ctx context.Context, c *caller, in *teamIDIn) (any, error) {
	return a.setTeamBlocked(ctx, c, in.ID, false)
}

func (a *API) setTeamBlocked(ctx context.Context, c *caller, id string, blocked bool) (any, error) {
	action := "unblocked"
	if blocked {
		action = "blocked"
	}
	t, v, err := a.changeTeam(ctx, c, id, orgAdmin, "/team/block", action, func(_ *edit, t *account.Team, _ hold) error {
		t.Blocked = blocked
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v.stored(t), nil
}

type teamDeleteIn struct {
	IDs []string `json:"team_ids" need:"true"`
}

// teamDelete deletes teams with their members, keys and models. All or none.
func (a *API) teamDelete(ctx context.Context, c *caller, in *teamDeleteIn) (any, error) {
	if len(in.IDs) == 0 {
		return nil, llm.Invalid("team_ids", "No team id passed in")
	}
	err := a.edit(ctx, c, func(e *edit) error {
		for _, id := range in.IDs {
			t, _, err := e.getTeam(ctx, c, id, orgAdmin, "/team/delete")
			if err != nil {
				return err
			}
			if err := e.deleteTeam(ctx, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{"deleted_teams": in.IDs}, nil
}

// deleteTeam deletes a team and all that is only its own.
func (e *edit) deleteTeam(ctx context.Context, t *account.Team) error {
	members, _, err := e.Members.Find(ctx, store.Query{Where: map[string]string{"team_id": t.ID}})
	if err != nil {
		return err
	}
	for i := range members {
		if err := e.removeMember(ctx, &members[i]); err != nil {
			return err
		}
	}
	if err := e.deleteKeys(ctx, map[string]string{"team_id": t.ID}); err != nil {
		return err
	}
	models, _, err := e.Models.Find(ctx, store.Query{Where: map[string]string{"team_id": t.ID}})
	if err != nil {
		return err
	}
	for i := range models {
		if _, err := e.Models.Delete(ctx, models[i].ID); err != nil {
			return err
		}
		if err := e.audit(ctx, "deleted", "LiteLLM_ProxyModelTable", models[i].ID, models[i], nil); err != nil {
			return err
		}
	}
	if err := e.dropBudget(ctx, account.Subject{Kind: account.OfTeam, ID: t.ID}, t.MemberBudgetID); err != nil {
		return err
	}
	if _, err := e.Teams.Delete(ctx, t.ID); err != nil {
		return err
	}
	return e.audit(ctx, "deleted", teamTable, t.ID, t, nil)
}

// deletedTeams lists teams that are no more, as they were.
func (a *API) deletedTeams(ctx context.Context, in *teamListV2In, q store.Query) (any, error) {
	q.Where["kind"] = string(store.Teams)
	if in.ID != "" {
		q.Where["team_id"] = in.ID
	}
	if ids, ok := q.In["id"]; ok {
		q.In = map[string][]string{"team_id": ids}
	}
	if alias := in.Alias + in.Search; alias != "" {
		q.Search = map[string]string{"alias": alias}
	}
	q.Sort = ""
	gone, total, err := a.Store.Accounts().Archive.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	rows := make([]object, 0, len(gone))
	for _, d := range gone {
		var t account.Team
		if err := json.Unmarshal(d.Doc, &t); err != nil {
			return nil, fmt.Errorf("deleted team %s: %w", d.ID, err)
		}
		v := &teamView{a: a, teams: map[string]spent{t.ID: {now: d.Spent, total: d.Spent}}}
		row := v.row(&t)
		row["deleted_at"], row["deleted_by"] = moment(d.At), text(d.By)
		rows = append(rows, row)
	}
	return object{"teams": rows, "total": total, "page": in.Page, "page_size": in.Size, "total_pages": pages(total, in.Size)}, nil
}

type teamModelsIn struct {
	ID     string   `json:"team_id" need:"true"`
	Models []string `json:"models" need:"true"`
}

// teamModelAdd lets a team call more models. A team without a list may call all, and still may: the list then begins with that.
func (a *API) teamModelAdd(ctx context.Context, c *caller, in *teamModelsIn) (any, error) {
	return a.changeTeamModels(ctx, c, in.ID, "/team/model/add", func(have []string) []string {
		if len(have) == 0 {
			have = []string{allProxyModels}
		}
		out := slices.DeleteFunc(slices.Clone(have), func(m string) bool { return m == noModels })
		for _, m := range in.Models {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
		return out
	})
}

// teamModelDelete takes models from a team's list. A list that runs empty would mean all models: it then says that there are none.
func (a *API) teamModelDelete(ctx context.Context, c *caller, in *teamModelsIn) (any, error) {
	return a.changeTeamModels(ctx, c, in.ID, "/team/model/delete", func(have []string) []string {
		out := slices.DeleteFunc(slices.Clone(have), func(m string) bool { return slices.Contains(in.Models, m) })
		if len(out) == 0 && len(have) > 0 {
			out = []string{noModels}
		}
		return out
	})
}

func (a *API) changeTeamModels(ctx context.Context, c *caller, id, path string, next func([]string) []string) (any, error) {
	t, v, err := a.changeTeam(ctx, c, id, teamAdmin, path, "updated", func(e *edit, t *account.Team, h hold) error {
		before := *t
		t.Models = next(t.Models)
		if err := checkTeamText(t); err != nil {
			return err
		}
		if err := e.mayChange(ctx, c, h, &before, t); err != nil {
			return err
		}
		return e.withinOrg(ctx, t)
	})
	if err != nil {
		return nil, err
	}
	row := v.row(t)
	row["litellm_organization_table"], row["projects"] = nil, nil
	return row, nil
}

// memberMay is everything that a team may let its members do.
var memberMay = []string{"/key/generate", "/key/update", "/key/delete", "/key/info", "/key/regenerate", "/key/service-account/generate",
	"/key/{key_id}/regenerate", "/key/list", "/key/block", "/key/unblock", "/key/bulk_update", "/team/key/bulk_update", "/team/daily/activity",
	"/team/daily/activity/aggregated", "/team/daily/activity/aggregated/keys", "/team/daily/activity/aggregated/search",
	"/team/daily/activity/aggregated/model_top_keys", "/team/daily/activity/export", "/spend/logs", "/spend/logs/v2",
	"/key/{key_id}/reset_spend", "/key/aliases", "/key/access_group_assignment", "/auto_router/manage"}

type teamPermissionsIn struct {
	ID string `query:"team_id" need:"true"`
}

func (a *API) teamPermissions(ctx context.Context, c *caller, in *teamPermissionsIn) (any, error) {
	t, err := a.seeTeam(ctx, c, in.ID, "/team/permissions_list")
	if err != nil {
		return nil, err
	}
	return object{"team_id": t.ID, "team_member_permissions": list(t.MemberPermissions), "all_available_permissions": memberMay}, nil
}

// seeTeam is a team that the caller may see.
func (a *API) seeTeam(ctx context.Context, c *caller, id, path string) (*account.Team, error) {
	db := a.Store.Accounts()
	t, err := get(ctx, db.Teams, id)
	if err != nil {
		return nil, err
	}
	if t == nil {
		if c.reader() {
			return nil, noTeam(id)
		}
		return nil, c.forbidden(path)
	}
	if h, err := holdOnTeam(ctx, db, c, t); err != nil {
		return nil, err
	} else if h < member && !c.reader() {
		return nil, c.forbidden(path)
	}
	return t, nil
}

type teamPermissionsUpdateIn struct {
	ID    string   `json:"team_id" need:"true"`
	MayDo []string `json:"team_member_permissions" need:"true"`
}

func (a *API) teamPermissionsUpdate(ctx context.Context, c *caller, in *teamPermissionsUpdateIn) (any, error) {
	if err := checkPermissions(in.MayDo); err != nil {
		return nil, err
	}
	t, v, err := a.changeTeam(ctx, c, in.ID, teamAdmin, "/team/permissions_update", "updated", func(_ *edit, t *account.Team, _ hold) error {
		t.MemberPermissions = in.MayDo
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v.plain(t), nil
}

func checkPermissions(all []string) error {
	for _, p := range all {
		if !slices.Contains(memberMay, p) {
			return llm.Invalid("team_member_permissions", "Invalid team_member_permissions: %s. See all_available_permissions of /team/permissions_list", p)
		}
	}
	return nil
}
