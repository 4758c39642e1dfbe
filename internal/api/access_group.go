package api

import (
	"context"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

func (a *API) accessGroupRoutes() []route {
	return []route{
		{"POST", "/access_group/new", admins, typed(a.accessGroupNew)},
		{"GET", "/access_group/list", readers, typed(a.accessGroupList)},
		{"GET", "/access_group/{access_group}/info", readers, typed(a.accessGroupInfo)},
		{"PUT", "/access_group/{access_group}/update", admins, typed(a.accessGroupUpdate)},
		{"DELETE", "/access_group/{access_group}/delete", admins, typed(a.accessGroupDelete)},
		{"GET", "/v1/access_group", readers, typed(a.accessGroupListV1)},
		{"GET", "/v1/access_group/{access_group}", readers, typed(a.accessGroupInfoV1)},
	}
}

// accessGroupTable is what audit rows call access groups.
const accessGroupTable = "LiteLLM_AccessGroupTable"

// modelIndex says how many deployments each public model has, those of the file and those of the database, and which groups name them
// in their model_info.
type modelIndex struct {
	of     map[string]int
	ids    map[string]string // public name by the id of a deployment of the database
	groups map[string][]string
}

func (a *API) modelIndex(ctx context.Context) (*modelIndex, error) {
	d := &modelIndex{of: map[string]int{}, ids: map[string]string{}, groups: map[string][]string{}}
	add := func(model string, groups []string) {
		d.of[model]++
		for _, g := range groups {
			if !slices.Contains(d.groups[g], model) {
				d.groups[g] = append(d.groups[g], model)
			}
		}
	}
	for _, m := range a.Config().Models {
		add(m.Name, m.Info.AccessGroups)
	}
	err := a.Store.Accounts().Models.Each(ctx, func(m *account.Model) error {
		var info struct {
			Groups []string `json:"access_groups"`
		}
		if len(m.Info) > 0 {
			_ = json.Unmarshal(m.Info, &info) // one that is written otherwise names no groups
		}
		d.ids[m.ID] = m.Name
		add(m.Name, info.Groups)
		return nil
	})
	return d, err
}

// count is how many deployments models have together.
func (d *modelIndex) count(models []string) int {
	n := 0
	for _, m := range models {
		n += d.of[m]
	}
	return n
}

// accessGroups are all groups with their models: those made here, and those that deployments name.
func (a *API) accessGroups(ctx context.Context) (map[string][]string, *modelIndex, error) {
	d, err := a.modelIndex(ctx)
	if err != nil {
		return nil, nil, err
	}
	all := maps.Clone(d.groups)
	err = a.Store.Accounts().AccessGroups.Each(ctx, func(g *account.AccessGroup) error {
		models := slices.Clone(g.Models)
		for _, m := range all[g.Name] {
			if !slices.Contains(models, m) {
				models = append(models, m)
			}
		}
		all[g.Name] = models
		return nil
	})
	return all, d, err
}

func accessGroupOut(name string, models []string, d *modelIndex) object {
	return object{"access_group": name, "model_names": list(models), "deployment_count": d.count(models), "spend": nil, "budget": nil}
}

type accessGroupFields struct {
	Models opt[[]string] `json:"model_names"`
	IDs    opt[[]string] `json:"model_ids"`
}

// models are the public names that a request means, each once.
func (in *accessGroupFields) models(d *modelIndex) ([]string, error) {
	names := slices.Clone(in.Models.or(nil))
	for _, m := range names {
		if d.of[m] == 0 {
			return nil, &detail{status: 400, text: "Can't find model '" + m + "' of model_names"}
		}
	}
	for _, id := range in.IDs.or(nil) {
		name, ok := d.ids[id]
		if !ok {
			return nil, &detail{status: 400, text: "Can't find deployment '" + id + "' of model_ids"}
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, llm.Invalid("model_names", "model_names or model_ids is required and can't be empty")
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

type accessGroupNewIn struct {
	Name string `json:"access_group" need:"true"`
	accessGroupFields
}

func (a *API) accessGroupNew(ctx context.Context, c *caller, in *accessGroupNewIn) (any, error) {
	if err := customerID("access_group", in.Name); err != nil {
		return nil, err
	}
	d, err := a.modelIndex(ctx)
	if err != nil {
		return nil, err
	}
	models, err := in.models(d)
	if err != nil {
		return nil, err
	}
	g := &account.AccessGroup{Name: in.Name, Models: models}
	err = a.edit(ctx, c, func(e *edit) error {
		have, err := get(ctx, e.AccessGroups, g.Name)
		if err != nil {
			return err
		}
		if have != nil || len(d.groups[g.Name]) > 0 {
			return &detail{status: 409, text: "Access group '" + g.Name + "' already exists. Use PUT /access_group/" + g.Name + "/update to modify it."}
		}
		return e.putAccessGroup(ctx, nil, g)
	})
	if err != nil {
		return nil, err
	}
	return in.reply(g, d), nil
}

func (in *accessGroupFields) reply(g *account.AccessGroup, d *modelIndex) object {
	o := object{"access_group": g.Name, "model_names": g.Models, "model_ids": nil, "models_updated": d.count(g.Models)}
	if in.IDs.Value != nil {
		o["model_ids"] = *in.IDs.Value
	}
	return o
}

func (e *edit) putAccessGroup(ctx context.Context, before, g *account.AccessGroup) error {
	e.stamp(&g.Stamp)
	if err := e.AccessGroups.Put(ctx, g); err != nil {
		return err
	}
	return written(ctx, e, accessGroupTable, g.Name, before, g)
}

// accessGroup is a group to change; an unknown one is an error.
func (e *edit) accessGroup(ctx context.Context, name string, d *modelIndex) (*account.AccessGroup, error) {
	g, err := get(ctx, e.AccessGroups, name)
	if err == nil && g == nil {
		err = noAccessGroup(name, d)
	}
	return g, err
}

// noAccessGroup is an unknown group; one that deployments alone name is changed where they are.
func noAccessGroup(name string, d *modelIndex) error {
	if len(d.groups[name]) > 0 {
		return &detail{status: 400, text: "Access group '" + name + "' is made by the model_info.access_groups of its models. Change it there."}
	}
	return &detail{status: 404, text: "Access group '" + name + "' not found"}
}

type accessGroupIn struct {
	Name string `path:"access_group"`
}

type accessGroupUpdateIn struct {
	accessGroupIn
	accessGroupFields
}

func (a *API) accessGroupUpdate(ctx context.Context, c *caller, in *accessGroupUpdateIn) (any, error) {
	d, err := a.modelIndex(ctx)
	if err != nil {
		return nil, err
	}
	var g *account.AccessGroup
	err = a.edit(ctx, c, func(e *edit) (err error) {
		if g, err = e.accessGroup(ctx, in.Name, d); err != nil {
			return err
		}
		before := *g
		if g.Models, err = in.models(d); err != nil {
			return err
		}
		return e.putAccessGroup(ctx, &before, g)
	})
	if err != nil {
		return nil, err
	}
	return in.reply(g, d), nil
}

func (a *API) accessGroupDelete(ctx context.Context, c *caller, in *accessGroupIn) (any, error) {
	d, err := a.modelIndex(ctx)
	if err != nil {
		return nil, err
	}
	var g *account.AccessGroup
	err = a.edit(ctx, c, func(e *edit) (err error) {
		if g, err = e.accessGroup(ctx, in.Name, d); err != nil {
			return err
		}
		if _, err := e.AccessGroups.Delete(ctx, g.Name); err != nil {
			return err
		}
		return e.audit(ctx, "deleted", accessGroupTable, g.Name, g, nil)
	})
	if err != nil {
		return nil, err
	}
	return object{"access_group": g.Name, "models_updated": d.count(g.Models), "message": "Access group '" + g.Name + "' deleted successfully"}, nil
}

func (a *API) accessGroupList(ctx context.Context, _ *caller, _ *struct{}) (any, error) {
	all, d, err := a.accessGroups(ctx)
	if err != nil {
		return nil, err
	}
	out := []object{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, accessGroupOut(name, all[name], d))
	}
	return object{"access_groups": out}, nil
}

func (a *API) accessGroupInfo(ctx context.Context, _ *caller, in *accessGroupIn) (any, error) {
	all, d, err := a.accessGroups(ctx)
	if err != nil {
		return nil, err
	}
	models, ok := all[in.Name]
	if !ok {
		return nil, noAccessGroup(in.Name, d)
	}
	return accessGroupOut(in.Name, models, d), nil
}

// accessGroupOutV1 is a group in the form of LiteLLM's newer routes, whose groups may hold more than models.
func accessGroupOutV1(g *account.AccessGroup) object {
	o := object{"access_group_id": g.Name, "access_group_name": g.Name, "access_model_names": list(g.Models), "description": nil,
		"created_at": moment(g.Created), "created_by": text(g.CreatedBy), "updated_at": moment(g.Updated), "updated_by": text(g.UpdatedBy)}
	for _, name := range []string{"access_agent_ids", "access_agents", "access_mcp_server_ids", "access_mcp_servers", "assigned_key_ids",
		"assigned_keys", "assigned_team_ids", "assigned_teams"} {
		o[name] = []string{}
	}
	return o
}

func (a *API) accessGroupListV1(ctx context.Context, _ *caller, _ *struct{}) (any, error) {
	out := []object{}
	err := a.Store.Accounts().AccessGroups.Each(ctx, func(g *account.AccessGroup) error {
		out = append(out, accessGroupOutV1(g))
		return nil
	})
	return out, err
}

func (a *API) accessGroupInfoV1(ctx context.Context, _ *caller, in *accessGroupIn) (any, error) {
	g, err := get(ctx, a.Store.Accounts().AccessGroups, in.Name)
	if err == nil && g == nil {
		err = &detail{status: 404, text: "Access group '" + in.Name + "' not found"}
	}
	if err != nil {
		return nil, err
	}
	return accessGroupOutV1(g), nil
}
