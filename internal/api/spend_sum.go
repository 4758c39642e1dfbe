package api

import (
	"cmp"
	"context"
	"slices"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// lastDays is how far back the views without dates look.
const lastDays = 30

// month is the last thirty days.
func (a *API) month() days {
	d := days{}
	_ = d.orLast(lastDays, a.Now()) // dates of our own are well formed
	return d
}

type spendTagsIn struct{ days }

// spendTags is what each tag spent, in all time if no days are given.
func (a *API) spendTags(ctx context.Context, c *caller, in *spendTagsIn) (any, error) {
	rows, err := a.tagSums(ctx, c, &in.days, nil)
	if err != nil {
		return nil, err
	}
	out := []object{}
	for _, g := range rows {
		out = append(out, object{"individual_request_tag": g.Names[0], "log_count": g.Calls, "total_spend": money(g.Spend)})
	}
	return out, nil
}

func (a *API) tagSums(ctx context.Context, c *caller, d *days, tags []string) ([]store.Group, error) {
	if d.Start != "" || d.End != "" {
		if err := d.check(); err != nil {
			return nil, err
		}
	}
	in := c.own(nil)
	if len(tags) > 0 {
		in[store.ByTag] = tags
	}
	rows, _, err := a.Store.Daily(ctx, store.DailyQuery{From: d.Start, To: d.End, In: in, By: []store.Dim{store.ByTag}, Sort: "spend", Desc: true, Limit: maxListed})
	return rows, err
}

type globalSpendTagsIn struct {
	days
	Tags []string `query:"tags"`
}

func (a *API) globalSpendTags(ctx context.Context, c *caller, in *globalSpendTagsIn) (any, error) {
	if err := in.orLast(lastDays, a.Now()); err != nil {
		return nil, err
	}
	rows, err := a.tagSums(ctx, c, &in.days, slices.DeleteFunc(in.Tags, func(t string) bool { return t == "all-tags" }))
	if err != nil {
		return nil, err
	}
	out := []object{}
	for _, g := range rows {
		out = append(out, object{"name": g.Names[0], "spend": money(g.Spend), "log_count": g.Calls})
	}
	return object{"spend_per_tag": out}, nil
}

func (a *API) globalTagNames(ctx context.Context, c *caller, _ *struct{}) (any, error) {
	rows, _, err := a.Store.Daily(ctx, store.DailyQuery{In: c.own(nil), By: []store.Dim{store.ByTag}, Limit: maxListed})
	return object{"tag_names": firstNames(rows)}, err
}

func (a *API) globalEndUsers(ctx context.Context, c *caller, _ *struct{}) (any, error) {
	rows, _, err := a.Store.Daily(ctx, store.DailyQuery{In: c.own(nil), By: []store.Dim{store.ByEndUser}, Limit: maxListed})
	return object{"end_users": firstNames(rows)}, err
}

func firstNames(rows []store.Group) []string {
	out := []string{}
	for i := range rows {
		out = append(out, rows[i].Names[0])
	}
	return out
}

// globalSpend is what the whole gateway spent of its budget; to somebody who sees their own only, what they spent.
func (a *API) globalSpend(ctx context.Context, c *caller, _ *struct{}) (any, error) {
	budget := any(money(0))
	if b := a.Config().LiteLLM.MaxBudget; b != nil {
		budget = money(llm.Nanos(*b * 1e9))
	}
	subject := account.Subject{Kind: account.OfGateway}
	switch {
	case c.reader():
	case c.user != "":
		subject = account.Subject{Kind: account.OfUser, ID: c.user}
	default:
		subject = account.Subject{Kind: account.OfKey, ID: c.key}
	}
	spends, err := a.Store.Spends(ctx, subject)
	if err != nil {
		return nil, err
	}
	total := llm.Nanos(0)
	for _, s := range spends {
		if s.Window == "" {
			total = s.Spent()
		}
	}
	return object{"spend": money(total), "max_budget": budget}, nil
}

type globalKeyIn struct {
	Key string `query:"api_key"`
}

func (a *API) globalSpendLogs(ctx context.Context, c *caller, in *globalKeyIn) (any, error) {
	d := a.month()
	narrow := map[store.Dim][]string{}
	if in.Key != "" {
		narrow[store.ByKey] = []string{keyHash(in.Key)}
	}
	rows, _, err := a.Store.Daily(ctx, store.DailyQuery{From: d.Start, To: d.End, In: c.own(narrow), By: []store.Dim{store.ByDate}})
	out := []object{}
	for _, g := range rows {
		out = append(out, object{"date": g.Names[0], "spend": money(g.Spend)})
	}
	return out, err
}

type limitIn struct {
	Limit int64 `query:"limit" default:"10" min:"1" max:"10000"`
}

func (a *API) top(ctx context.Context, c *caller, limit int64, by ...store.Dim) ([]store.Group, error) {
	d := a.month()
	rows, _, err := a.Store.Daily(ctx, store.DailyQuery{From: d.Start, To: d.End, In: c.own(nil), By: by, Sort: "spend", Desc: true, Limit: int(limit)})
	return rows, err
}

func (a *API) globalSpendKeys(ctx context.Context, c *caller, in *limitIn) (any, error) {
	rows, err := a.top(ctx, c, in.Limit, store.ByKey)
	if err != nil {
		return nil, err
	}
	facts, err := a.keyFacts(ctx, unique(firstNames(rows)))
	if err != nil {
		return nil, err
	}
	out := []object{}
	for _, g := range rows {
		f := facts[g.Names[0]]
		out = append(out, object{"api_key": keyName(g.Names[0]), "key_alias": text(f.alias), "key_name": text(f.name), "total_spend": money(g.Spend)})
	}
	return out, nil
}

func (a *API) globalSpendModels(ctx context.Context, c *caller, in *limitIn) (any, error) {
	rows, err := a.top(ctx, c, maxListed, store.ByProvider, store.ByUpstream, store.ByModel)
	if err != nil {
		return nil, err
	}
	spent := map[string]llm.Nanos{}
	for _, g := range rows {
		spent[modelPath(g.Names[0], g.Names[1], g.Names[2])] += g.Spend
	}
	out := []object{}
	for _, name := range bySpend(spent) {
		if int64(len(out)) < in.Limit {
			out = append(out, object{"model": name, "total_spend": money(spent[name])})
		}
	}
	return out, nil
}

// bySpend are the names in the order of what was spent, most first.
func bySpend(spent map[string]llm.Nanos) []string {
	names := sortedKeys(spent)
	slices.SortStableFunc(names, func(x, y string) int { return cmp.Compare(spent[y], spent[x]) })
	return names
}

func (a *API) globalSpendProviders(ctx context.Context, c *caller, in *spendTagsIn) (any, error) {
	if err := in.orLast(lastDays, a.Now()); err != nil {
		return nil, err
	}
	rows, _, err := a.Store.Daily(ctx, store.DailyQuery{From: in.Start, To: in.End, In: c.own(nil), By: []store.Dim{store.ByProvider}, Sort: "spend", Desc: true})
	out := []object{}
	for _, g := range rows {
		out = append(out, object{"provider": cmp.Or(g.Names[0], unknownName), "spend": money(g.Spend)})
	}
	return out, err
}

// unknownName stands for a provider or model that a call never reached; unassigned for calls of no team, user or the like.
const (
	unknownName = "unknown"
	unassigned  = "Unassigned"
)

// globalSpendTeams is what teams spent, by day and in all, in the last month.
func (a *API) globalSpendTeams(ctx context.Context, c *caller, _ *struct{}) (any, error) {
	d := a.month()
	rows, err := a.allDays(ctx, store.DailyQuery{From: d.Start, To: d.End, In: c.own(nil), By: []store.Dim{store.ByDate, store.ByTeam}})
	if err != nil {
		return nil, err
	}
	var ids []string
	for i := range rows {
		ids = append(ids, rows[i].Names[1])
	}
	aliases, err := a.teamAliases(ctx, unique(ids))
	if err != nil {
		return nil, err
	}
	daily, total, last := []object{}, map[string]llm.Nanos{}, map[string]llm.Nanos{}
	for i, g := range rows {
		name := unassigned
		if g.Names[1] != "" {
			name = cmp.Or(aliases[g.Names[1]], g.Names[1])
		}
		total[name] += g.Spend
		last[name] += g.Spend
		if i == len(rows)-1 || rows[i+1].Names[0] != g.Names[0] {
			day := amounts(last)
			day["date"] = g.Names[0]
			daily = append(daily, day)
			clear(last)
		}
	}
	per := []object{}
	for _, name := range bySpend(total) {
		per = append(per, object{"team_id": name, "total_spend": money(total[name])})
	}
	return object{"daily_spend": daily, "teams": sortedKeys(total), "total_spend_per_team": per}, nil
}

type globalEndUsersIn struct {
	Key   opt[string] `json:"api_key" body:"optional"`
	Start opt[string] `json:"startTime"`
	End   opt[string] `json:"endTime"`
	User  opt[string] `json:"selectedUser"`
}

// globalSpendEndUsers is what end users spent: those who spent most.
func (a *API) globalSpendEndUsers(ctx context.Context, c *caller, in *globalEndUsersIn) (any, error) {
	d := days{Start: in.Start.or(""), End: in.End.or("")}
	if err := d.orLast(lastDays, a.Now()); err != nil {
		return nil, err
	}
	narrow := map[store.Dim][]string{}
	if key := in.Key.or(""); key != "" {
		narrow[store.ByKey] = []string{keyHash(key)}
	}
	if user := in.User.or(""); user != "" {
		narrow[store.ByEndUser] = []string{user}
	}
	rows, _, err := a.Store.Daily(ctx, store.DailyQuery{From: d.Start, To: d.End, In: c.own(narrow), By: []store.Dim{store.ByEndUser}, Sort: "spend", Desc: true, Limit: 100})
	out := []object{}
	for _, g := range rows {
		out = append(out, object{"end_user": g.Names[0], "total_count": g.Calls, "total_spend": money(g.Spend)})
	}
	return out, err
}

// globalSpendReset makes all keys and teams begin anew with nothing spent. The records stay, and the sums made from them.
func (a *API) globalSpendReset(ctx context.Context, c *caller, _ *struct{}) (any, error) {
	if c.p.Key != nil || c.key != "" || c.user != auth.MasterUser {
		return nil, denied("", "Only the master key may reset all spend.")
	}
	err := a.edit(ctx, c, func(e *edit) error {
		if err := e.Forgive(ctx, account.OfKey, account.OfTeam); err != nil {
			return err
		}
		return e.audit(ctx, "updated", keyTable, "*", nil, object{"spend": 0})
	})
	if err != nil {
		return nil, err
	}
	return object{"message": "Spend for all API Keys and Teams reset successfully", "status": "success"}, nil
}

// globalSpendRefresh has nothing to do: what the views show is booked with each call.
func (a *API) globalSpendRefresh(context.Context, *caller, *struct{}) (any, error) {
	return object{"message": "spend view refreshed", "status": "success"}, nil
}

// providerBudgets: budgets of providers are no setting of this gateway, so there are none to show.
func (a *API) providerBudgets(context.Context, *caller, *struct{}) (any, error) {
	return object{"providers": object{}}, nil
}

type spendKeysIn struct {
	Limit int64 `query:"limit" default:"100" min:"1" max:"500"`
	Page  int64 `query:"page" default:"1" min:"1"`
}

// spendKeys lists keys by what they have spent, most first.
func (a *API) spendKeys(ctx context.Context, c *caller, in *spendKeysIn) (any, error) {
	q := store.Query{Sort: "spend", Desc: true, Limit: int(in.Limit), Offset: int((in.Page - 1) * in.Limit)}
	switch {
	case c.reader():
	case c.user != "":
		q.Where = map[string]string{"user_id": c.user}
	default:
		q.Where = map[string]string{"id": c.key}
	}
	keys, _, err := a.Store.Accounts().Keys.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	v, err := a.viewKeys(ctx, keys...)
	if err != nil {
		return nil, err
	}
	out := []object{}
	for i := range keys {
		row := v.row(&keys[i])
		row["token"] = keys[i].Hash
		out = append(out, row)
	}
	return out, nil
}

type spendUsersIn struct {
	spendKeysIn
	User string `query:"user_id"`
}

// spendUsers lists users by what they have spent, most first.
func (a *API) spendUsers(ctx context.Context, c *caller, in *spendUsersIn) (any, error) {
	q := store.Query{Sort: "spend", Desc: true, Limit: int(in.Limit), Offset: int((in.Page - 1) * in.Limit)}
	if in.User != "" {
		q.Where = map[string]string{"id": in.User}
	}
	if !c.reader() {
		q.Where = map[string]string{"id": c.user}
	}
	users, _, err := a.Store.Accounts().Users.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	v, err := a.viewUsers(ctx, users...)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(users))
	for i := range users {
		ids[i] = users[i].ID
	}
	keys, _, err := a.Store.Accounts().Keys.Find(ctx, store.Query{In: map[string][]string{"user_id": ids}, Limit: maxListed})
	if err != nil {
		return nil, err
	}
	aliases := map[string][]any{}
	for i := range keys {
		aliases[keys[i].UserID] = append(aliases[keys[i].UserID], text(keys[i].Alias))
	}
	out := []object{}
	for i := range users {
		row := v.row(&users[i])
		row["key_aliases"] = list(aliases[users[i].ID])
		out = append(out, row)
	}
	return out, nil
}
