package api

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/provider"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
)

// listed is one deployment as the listings show it.
type listed struct {
	id, name string
	params   object
	info     map[string]any // the user's own model_info
	row      *account.Model // nil: of the file
	entry    *config.Model  // nil: the stored row can't be used as it is
	upstream string         // provider/model
	provider string
	price    *usage.Price // never nil
	own      []string     // prices that the entry sets itself
}

// deployments lists what the file and the database define, in that order, as far as the caller may call it. name and id narrow it down.
func (a *API) deployments(ctx context.Context, c *caller, name, id string) ([]listed, error) {
	cfg := a.Config()
	var out []listed
	wanted := func(n, i, team string) bool {
		return (name == "" || n == name) && (id == "" || i == id) && c.seesModel(n, team)
	}
	for i := range cfg.Models {
		m := &cfg.Models[i]
		if wanted(m.Name, m.Info.ID, "") {
			d := listed{id: m.Info.ID, name: m.Name, params: fileParams(m), info: fileInfo(m), entry: m}
			a.describe(&d)
			out = append(out, d)
		}
	}
	q := store.Query{}
	if id != "" {
		q.Where = map[string]string{"id": id}
	}
	if name != "" {
		q.Where = map[string]string{"name": name}
	}
	rows, _, err := a.Store.Accounts().Models.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		row := &rows[i]
		if wanted(row.Name, row.ID, row.TeamID) {
			out = append(out, a.listRow(cfg, row))
		}
	}
	return out, nil
}

func (a *API) listRow(cfg *config.Config, row *account.Model) listed {
	d := listed{id: row.ID, name: row.Name, row: row}
	params, info, err := modelObjects(row.Params, row.Info)
	if err != nil {
		params, info = map[string]any{}, map[string]any{}
	}
	d.params, d.info = a.shownRow(params), info
	// The names of providers, models and prices are all that a listing needs, so a missing credential does not hide them.
	bare := maps.Clone(params)
	delete(bare, "litellm_credential_name")
	for name := range bare {
		if config.SecretParam(name) || slices.Contains(headerParams, name) {
			delete(bare, name)
		}
	}
	if text, err := encodeObject(bare); err == nil {
		if opened, err := eachText(text, a.Unseal); err == nil {
			if m, err := readEntry(cfg, row.ID, row.Name, opened, row.Info, nil); err == nil {
				d.entry = &m
			}
		}
	}
	a.describe(&d)
	return d
}

// describe fills in what the provider and the price map say.
func (a *API) describe(d *listed) {
	d.price = &usage.Price{}
	if d.entry == nil {
		return
	}
	p := d.entry.Params
	d.own = slices.Sorted(maps.Keys(p.Cost))
	d.provider, d.upstream, _ = strings.Cut(p.Model, "/")
	if p.Provider != "" {
		d.provider, d.upstream = p.Provider, p.Model
	}
	if u, err := (provider.Factory{Env: a.Config().Env}).New(p, d.entry.Info); err == nil {
		d.provider, d.upstream = u.Provider, u.Model
	}
	if found, ok := a.Prices.Deployment(d.provider, d.upstream, d.entry.Info.BaseModel, p.Cost); ok && found != nil {
		d.price = found
	}
}

// seesModel: a caller is shown what it may call; a team's models the team and those who see everything.
func (c *caller) seesModel(name, team string) bool {
	if c.reader() {
		return true
	}
	if team != "" && team != c.p.TeamID {
		return false
	}
	return c.p.MayCall(name)
}

func fileInfo(m *config.Model) map[string]any {
	out := maps.Clone(m.Info.Extra)
	if out == nil {
		out = map[string]any{}
	}
	put := func(name string, v any, given bool) {
		if given {
			out[name] = v
		}
	}
	put("mode", m.Info.Mode, m.Info.Mode != "")
	put("base_model", m.Info.BaseModel, m.Info.BaseModel != "")
	put("access_groups", m.Info.AccessGroups, len(m.Info.AccessGroups) > 0)
	put("max_tokens", m.Info.MaxTokens, m.Info.MaxTokens > 0)
	put("max_input_tokens", m.Info.MaxInputTokens, m.Info.MaxInputTokens > 0)
	put("max_output_tokens", m.Info.MaxOutputTokens, m.Info.MaxOutputTokens > 0)
	return out
}

// entryInfo is one deployment in the listings. Of the map's 150 fields it has those that say something about this model, and of the
// others what everybody reads, as null.
func (d *listed) json() object {
	info := object{"id": d.id, "db_model": d.row != nil, "key": text(d.price.Name), "pricing_overrides": list(d.own),
		"litellm_provider": text(cmp.Or(d.price.Provider, d.provider)), "mode": text(d.price.Mode),
		"max_tokens": count(cmp.Or(d.price.MaxOutput, d.price.MaxTokens)), "max_input_tokens": count(d.price.MaxInput),
		"max_output_tokens": count(d.price.MaxOutput), "input_cost_per_token": nil, "output_cost_per_token": nil}
	if d.price.Deprecated != "" {
		info["deprecation_date"] = d.price.Deprecated
	}
	usd, supports := d.price.All()
	for name, v := range usd {
		info[name] = v
	}
	for name, yes := range supports {
		if yes {
			info[name] = true
		}
	}
	for name, v := range d.info {
		if v != nil {
			info[name] = shown(v)
		}
	}
	info["id"], info["db_model"] = d.id, d.row != nil
	if d.row != nil {
		info["blocked"] = d.row.Blocked
		info["created_at"], info["created_by"] = moment(d.row.Created), d.row.CreatedBy
		info["updated_at"], info["updated_by"] = moment(d.row.Updated), d.row.UpdatedBy
		if d.row.TeamID != "" {
			info["team_id"], info["team_public_model_name"] = d.row.TeamID, d.name
		}
	}
	return object{"model_name": d.name, "litellm_params": d.params, "model_info": info}
}

// count is a number of tokens that may not be known.
func count(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

type modelInfoIn struct {
	ID   string `query:"litellm_model_id"`
	Team string `query:"teamId"`
}

// maxListed bounds listings that have no pages.
const maxListed = 10_000

func (a *API) modelInfo(ctx context.Context, c *caller, in *modelInfoIn) (any, error) {
	all, err := a.deployments(ctx, c, "", in.ID)
	if err != nil {
		return nil, err
	}
	if in.ID != "" && len(all) == 0 {
		return nil, &detail{status: 400, text: "Model id = " + in.ID + " not found on litellm proxy"}
	}
	data := []object{}
	for i := range all[:min(len(all), maxListed)] {
		if d := &all[i]; in.Team == "" || d.row != nil && d.row.TeamID == in.Team {
			data = append(data, d.json())
		}
	}
	return object{"data": data}, nil
}

type modelPageIn struct {
	Model  string `query:"model"`
	Page   int64  `query:"page" default:"1" min:"1"`
	Size   int64  `query:"size" default:"50" min:"1" max:"1000"`
	Search string `query:"search"`
	ID     string `query:"modelId"`
	Team   string `query:"teamId"`
	Sort   string `query:"sortBy" oneof:"model_name,created_at,updated_at,costs,status"`
	Order  string `query:"sortOrder" default:"asc" oneof:"asc,desc"`
}

func (a *API) modelInfoPaged(ctx context.Context, c *caller, in *modelPageIn) (any, error) {
	all, err := a.deployments(ctx, c, in.Model, in.ID)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(d listed) bool {
		return in.Search != "" && !strings.Contains(strings.ToLower(d.name), strings.ToLower(in.Search)) ||
			in.Team != "" && (d.row == nil || d.row.TeamID != in.Team) || in.ID != "" && d.id != in.ID
	})
	if in.Sort != "" {
		slices.SortStableFunc(all, func(x, y listed) int {
			if in.Order == "desc" {
				x, y = y, x
			}
			return x.compare(&y, in.Sort)
		})
	}
	total := int64(len(all))
	from := min((in.Page-1)*in.Size, total)
	data := []object{}
	for _, d := range all[from:min(from+in.Size, total)] {
		data = append(data, d.json())
	}
	return object{"data": data, "total_count": total, "current_page": in.Page, "total_pages": pages(total, in.Size), "size": in.Size}, nil
}

func (d *listed) compare(o *listed, by string) int {
	switch by {
	case "created_at":
		return cmp.Compare(d.stamp().Created, o.stamp().Created)
	case "updated_at":
		return cmp.Compare(d.stamp().Updated, o.stamp().Updated)
	case "costs":
		x, _ := d.price.USD("input_cost_per_token")
		y, _ := o.price.USD("input_cost_per_token")
		return cmp.Compare(x, y)
	case "status":
		return cmp.Compare(boolInt(d.row != nil), boolInt(o.row != nil))
	}
	return cmp.Compare(d.name, o.name)
}

func (d *listed) stamp() account.Stamp {
	if d.row == nil {
		return account.Stamp{}
	}
	return d.row.Stamp
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

type modelDeprecationsIn struct {
	Within int64 `query:"warn_within_days" default:"30" min:"0" max:"3650"`
}

// modelDeprecations tells which models their providers take away, and when.
func (a *API) modelDeprecations(ctx context.Context, c *caller, in *modelDeprecationsIn) (any, error) {
	all, err := a.deployments(ctx, c, "", "")
	if err != nil {
		return nil, err
	}
	now := a.Now().UTC()
	out := map[string][]object{"deprecated": {}, "imminent": {}, "upcoming": {}}
	for i := range all {
		d := &all[i]
		day, err := time.Parse(time.DateOnly, d.price.Deprecated)
		if err != nil {
			continue
		}
		left := int64(day.Sub(now.Truncate(24*time.Hour)).Hours() / 24)
		status := "upcoming"
		switch {
		case left < 0:
			status = "deprecated"
		case left <= in.Within:
			status = "imminent"
		}
		out[status] = append(out[status], object{"model_name": d.name, "litellm_model": d.upstream, "deprecation_date": d.price.Deprecated,
			"days_until_deprecation": left, "status": status, "litellm_provider": text(d.price.Provider)})
	}
	return object{"deprecated": out["deprecated"], "imminent": out["imminent"], "upcoming": out["upcoming"], "warn_within_days": in.Within,
		"checked_at": now.Format(time.RFC3339)}, nil
}

type modelFactsIn struct {
	Model    string `query:"model" need:"true"`
	Provider string `query:"custom_llm_provider"`
}

// modelFacts is what the price map knows of a model, configured or not.
func (a *API) modelFacts(_ context.Context, _ *caller, in *modelFactsIn) (any, error) {
	price, ok := a.Prices.Lookup(in.Provider, in.Model)
	if !ok {
		if p, m, cut := strings.Cut(in.Model, "/"); cut && in.Provider == "" {
			price, ok = a.Prices.Lookup(p, m)
		}
	}
	if !ok {
		return nil, llm.Invalid("model", "nothing is known of the model %s", in.Model)
	}
	d := listed{price: price, provider: price.Provider}
	info, _ := d.json()["model_info"].(object)
	for _, name := range []string{"id", "db_model", "pricing_overrides"} {
		delete(info, name)
	}
	return object{"model": in.Model, "custom_llm_provider": text(price.Provider), "model_info": info}, nil
}
