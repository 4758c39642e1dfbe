package api

import (
	"cmp"
	"context"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

type reportIn struct {
	days
	Group    string `query:"group_by" default:"team" oneof:"team,customer,api_key"`
	Key      string `query:"api_key"`
	User     string `query:"internal_user_id"`
	Team     string `query:"team_id"`
	Customer string `query:"customer_id"`
	Org      string `query:"organization_id"`
}

func (in *reportIn) narrow(c *caller) map[store.Dim][]string {
	out := map[store.Dim][]string{}
	for d, v := range map[store.Dim]string{store.ByUser: in.User, store.ByTeam: in.Team, store.ByEndUser: in.Customer, store.ByOrg: in.Org} {
		if v != "" {
			out[d] = []string{v}
		}
	}
	if in.Key != "" {
		out[store.ByKey] = []string{keyHash(in.Key)}
	}
	return c.own(out)
}

// spendReport is what teams, customers or keys spent, by day and model.
func (a *API) spendReport(ctx context.Context, c *caller, in *reportIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if in.Group == "api_key" || in.Key != "" || in.User != "" {
		return a.reportByKey(ctx, c, in)
	}
	dim, plural, singular := store.ByTeam, "teams", "team_name"
	if in.Group == "customer" || in.Customer != "" {
		dim, plural, singular = store.ByEndUser, "customers", "customer"
	}
	rows, err := a.allDays(ctx, store.DailyQuery{From: in.Start, To: in.End, In: in.narrow(c), By: []store.Dim{store.ByDate, dim, store.ByModel, store.ByKey}})
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	if dim == store.ByTeam {
		var ids []string
		for i := range rows {
			ids = append(ids, rows[i].Names[1])
		}
		if names, err = a.teamAliases(ctx, unique(ids)); err != nil {
			return nil, err
		}
	}
	out := []object{}
	var day, one object
	var spent llm.Nanos
	for i, g := range rows {
		newDay := i == 0 || rows[i-1].Names[0] != g.Names[0]
		if newDay {
			day = object{"group_by_day": g.Names[0] + "T00:00:00+00:00", plural: []object{}}
			out = append(out, day)
		}
		if newDay || rows[i-1].Names[1] != g.Names[1] {
			name := g.Names[1]
			if dim == store.ByTeam {
				name = cmp.Or(names[name], name, unassigned)
			}
			one, spent = object{singular: name, "metadata": []object{}}, 0
			day[plural] = append(day[plural].([]object), one)
		}
		spent += g.Spend
		one["total_spend"] = money(spent)
		one["metadata"] = append(one["metadata"].([]object), object{"model": g.Names[2], "api_key": keyName(g.Names[3]), "spend": money(g.Spend), "total_tokens": g.Total})
	}
	return out, nil
}

func (a *API) reportByKey(ctx context.Context, c *caller, in *reportIn) (any, error) {
	rows, err := a.allDays(ctx, store.DailyQuery{From: in.Start, To: in.End, In: in.narrow(c), By: []store.Dim{store.ByKey, store.ByModel}})
	if err != nil {
		return nil, err
	}
	out := []object{}
	var sums store.Sums
	for i, g := range rows {
		if i == 0 || rows[i-1].Names[0] != g.Names[0] {
			out, sums = append(out, object{"api_key": keyName(g.Names[0]), "model_details": []object{}}), store.Sums{}
		}
		key := out[len(out)-1]
		sums.Spend, sums.Input, sums.Output = sums.Spend+g.Spend, sums.Input+g.Input, sums.Output+g.Output
		key["total_cost"], key["total_input_tokens"], key["total_output_tokens"] = money(sums.Spend), sums.Input, sums.Output
		key["model_details"] = append(key["model_details"].([]object),
			object{"model": g.Names[1], "total_cost": money(g.Spend), "total_input_tokens": g.Input, "total_output_tokens": g.Output})
	}
	return out, nil
}

func (a *API) keyReport(ctx context.Context, c *caller, in *reportIn) (any, error) {
	return a.plainReport(ctx, c, in, store.ByKey, "api_key")
}

func (a *API) userReport(ctx context.Context, c *caller, in *reportIn) (any, error) {
	return a.plainReport(ctx, c, in, store.ByUser, "user_id")
}

func (a *API) teamReport(ctx context.Context, c *caller, in *reportIn) (any, error) {
	return a.plainReport(ctx, c, in, store.ByTeam, "team_id")
}

func (a *API) orgReport(ctx context.Context, c *caller, in *reportIn) (any, error) {
	return a.plainReport(ctx, c, in, store.ByOrg, "organization_id")
}

// plainReport is a line for each day, account and model.
func (a *API) plainReport(ctx context.Context, c *caller, in *reportIn, dim store.Dim, name string) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	rows, err := a.allDays(ctx, store.DailyQuery{From: in.Start, To: in.End, In: in.narrow(c), By: []store.Dim{store.ByDate, dim, store.ByModel}})
	out := []object{}
	for _, g := range rows {
		id := g.Names[1]
		if dim == store.ByKey {
			id = keyName(id)
		}
		out = append(out, object{"date": g.Names[0], name: id, "model": g.Names[2], "spend": money(g.Spend), "prompt_tokens": g.Input,
			"completion_tokens": g.Output, "total_tokens": g.Total, "api_requests": g.Calls, "failed_requests": g.Failed})
	}
	return out, err
}

// splitModel reads a filter by model: provider/model as rows show it, or a public name.
func splitModel(s string) (provider, upstream, model string) {
	if p, m, ok := strings.Cut(s, "/"); ok {
		return p, m, ""
	}
	return "", "", s
}
