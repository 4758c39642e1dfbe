package api

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

type activityDaysIn struct {
	days
	Model string `query:"model_group"`
}

// shortDay is a date as these views write it: Nov 21.
func shortDay(date string) string {
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return date
	}
	return at.Format("Jan 02")
}

func (a *API) globalActivity(ctx context.Context, c *caller, in *activityDaysIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	rows, _, err := a.Store.Daily(ctx, store.DailyQuery{From: in.Start, To: in.End, In: c.own(only(store.ByModel, in.Model)), By: []store.Dim{store.ByDate}})
	daily := []object{}
	var calls, tokens int64
	for _, g := range rows {
		daily = append(daily, object{"date": shortDay(g.Names[0]), "api_requests": g.Calls, "total_tokens": g.Total})
		calls, tokens = calls+g.Calls, tokens+g.Total
	}
	return object{"daily_data": daily, "sum_api_requests": calls, "sum_total_tokens": tokens}, err
}

func (a *API) globalActivityModels(ctx context.Context, c *caller, in *activityDaysIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	q := store.DailyQuery{From: in.Start, To: in.End, In: c.own(only(store.ByModel, in.Model)), By: []store.Dim{store.ByModel}, Sort: "calls", Desc: true, Limit: 10}
	top, _, err := a.Store.Daily(ctx, q)
	if err != nil {
		return nil, err
	}
	q.In[store.ByModel] = firstNames(top)
	q.By, q.Sort, q.Limit, q.Desc = []store.Dim{store.ByModel, store.ByDate}, "", 0, false
	rows, err := a.allDays(ctx, q)
	out := []object{}
	for _, g := range top {
		model := g.Names[0]
		daily := []object{}
		for _, r := range rows {
			if r.Names[0] == model {
				daily = append(daily, object{"model_group": model, "date": shortDay(r.Names[1]), "api_requests": r.Calls, "total_tokens": r.Total})
			}
		}
		out = append(out, object{"model": model, "daily_data": daily, "sum_api_requests": g.Calls, "sum_total_tokens": g.Total})
	}
	return out, err
}

type activityCacheIn struct {
	days
	Keys   []string `query:"key_aliases"`
	Models []string `query:"models"`
}

// globalActivityCache is how many calls each kind of operation had. None were answered by the gateway from a cache of answers.
func (a *API) globalActivityCache(ctx context.Context, c *caller, in *activityCacheIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	q := store.DailyQuery{From: in.Start, To: in.End, In: c.own(only(store.ByModel, in.Models...)), By: []store.Dim{store.ByOp, store.ByDialect}, Sort: "calls", Desc: true}
	rows, _, err := a.Store.Daily(ctx, q)
	if err != nil {
		return nil, err
	}
	q.By, q.Sort = []store.Dim{store.ByModel}, "spend"
	models, _, err := a.Store.Daily(ctx, q)
	if err != nil {
		return nil, err
	}
	q.By = []store.Dim{store.ByKey}
	keys, _, err := a.Store.Daily(ctx, q)
	if err != nil {
		return nil, err
	}
	facts, err := a.keyFacts(ctx, unique(firstNames(keys)))
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range keys {
		names = append(names, cmp.Or(facts[keys[i].Names[0]].alias, "Unnamed Key"))
	}
	groups := map[string]*store.Sums{}
	var total store.Sums
	for _, g := range rows {
		kind := callType(llm.Op(g.Names[0]), llm.Dialect(g.Names[1]))
		if groups[kind] == nil {
			groups[kind] = &store.Sums{}
		}
		for _, s := range []*store.Sums{groups[kind], &total} {
			s.Calls, s.Failed, s.Output = s.Calls+g.Calls, s.Failed+g.Failed, s.Output+g.Output
		}
	}
	out := []object{}
	for _, kind := range sortedKeys(groups) {
		s := groups[kind]
		out = append(out, object{"call_type": kind, "api_requests": s.Calls - s.Failed, "cache_hits": 0, "failed_requests": s.Failed,
			"cached_completion_tokens": 0, "generated_completion_tokens": s.Output})
	}
	failed, err := a.errorBreakdown(ctx, c, &in.days)
	return object{"groups": out, "totals": object{"api_requests": total.Calls - total.Failed, "cache_hits": 0, "failed_requests": total.Failed,
		"cached_completion_tokens": 0, "cache_hit_ratio": 0.0}, "filter_options": object{"key_aliases": list(unique(names)), "models": list(unique(firstNames(models)))},
		"error_breakdown": failed}, err
}

func (a *API) errorBreakdown(ctx context.Context, c *caller, d *days) ([]object, error) {
	failed := true
	f := store.RecordFilter{Failed: &failed}
	f.From, f.To = d.bounds()
	c.ownRecords(&f)
	counts, err := a.Store.RecordCounts(ctx, f)
	if err != nil {
		return nil, err
	}
	kinds := map[llm.ErrorKind]int64{}
	for _, n := range counts {
		kinds[n.ErrorKind] += n.Calls
	}
	out := []object{}
	for kind, n := range kinds {
		out = append(out, object{"call_type": nil, "error_code": strconv.Itoa((&llm.Error{Kind: kind}).HTTPStatus()), "error_class": errorClass(kind), "count": n})
	}
	slices.SortFunc(out, func(x, y object) int {
		return cmp.Or(cmp.Compare(y["count"].(int64), x["count"].(int64)), cmp.Compare(x["error_class"].(string), y["error_class"].(string)))
	})
	return out, nil
}

// rateLimited counts the calls that a rate limit refused, upstream's or our own.
func (a *API) rateLimited(ctx context.Context, c *caller, in *activityDaysIn) ([]store.RecordCount, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	f := store.RecordFilter{Model: in.Model, ErrorKind: llm.ErrRateLimit}
	f.From, f.To = in.bounds()
	c.ownRecords(&f)
	return a.Store.RecordCounts(ctx, f)
}

// perDay adds counts up by day, in order.
func perDay(counts []store.RecordCount) (daily []object, total int64) {
	daily = []object{}
	last := int64(-1)
	for _, n := range counts {
		total += n.Calls
		if n.Day != last {
			daily = append(daily, object{"date": time.Unix(n.Day*86_400, 0).UTC().Format("Jan 02"), "num_rate_limit_exceptions": int64(0)})
			last = n.Day
		}
		o := daily[len(daily)-1]
		o["num_rate_limit_exceptions"] = o["num_rate_limit_exceptions"].(int64) + n.Calls
	}
	return daily, total
}

func (a *API) globalExceptions(ctx context.Context, c *caller, in *activityDaysIn) (any, error) {
	counts, err := a.rateLimited(ctx, c, in)
	daily, total := perDay(counts)
	return object{"daily_data": daily, "sum_num_rate_limit_exceptions": total}, err
}

func (a *API) globalExceptionsByDeployment(ctx context.Context, c *caller, in *activityDaysIn) (any, error) {
	counts, err := a.rateLimited(ctx, c, in)
	by := map[string][]store.RecordCount{}
	for _, n := range counts {
		by[n.Deployment] = append(by[n.Deployment], n)
	}
	out := []object{}
	for _, id := range sortedKeys(by) {
		daily, total := perDay(by[id])
		out = append(out, object{"api_base": id, "model_id": id, "daily_data": daily, "sum_num_rate_limit_exceptions": total})
	}
	return out, err
}

// gatewayActivity counts calls by day and by where they came in.
func (a *API) gatewayActivity(ctx context.Context, c *caller, in *activityDaysIn) (any, error) {
	if err := in.orLast(lastDays, a.Now()); err != nil {
		return nil, err
	}
	q := store.DailyQuery{From: in.Start, To: in.End, In: c.own(nil), By: []store.Dim{store.ByDate}}
	days, _, err := a.Store.Daily(ctx, q)
	if err != nil {
		return nil, err
	}
	byDate := []object{}
	var calls, failed int64
	for _, g := range days {
		calls, failed = calls+g.Calls, failed+g.Failed
		byDate = append(byDate, object{"date": g.Names[0], "successful_requests": g.Calls - g.Failed, "failed_requests": g.Failed})
	}
	q.By = []store.Dim{store.ByOp, store.ByDialect}
	rows, _, err := a.Store.Daily(ctx, q)
	sums := map[string]*store.Sums{}
	for _, g := range rows {
		path := endpoint(llm.Op(g.Names[0]), llm.Dialect(g.Names[1]))
		if sums[path] == nil {
			sums[path] = &store.Sums{}
		}
		sums[path].Calls, sums[path].Failed = sums[path].Calls+g.Calls, sums[path].Failed+g.Failed
	}
	byRoute := []object{}
	for _, path := range sortedKeys(sums) {
		s := sums[path]
		byRoute = append(byRoute, object{"category": "llm", "route": path, "successful_requests": s.Calls - s.Failed, "failed_requests": s.Failed})
	}
	return object{"total_successful_requests": calls - failed, "total_failed_requests": failed, "by_date": byDate, "by_route": byRoute}, err
}

type tagSummaryIn struct {
	days
	Tag  string   `query:"tag_filter"`
	Tags []string `query:"tag_filters"`
}

func (a *API) tagSummary(ctx context.Context, c *caller, in *tagSummaryIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	q := store.DailyQuery{From: in.Start, To: in.End, In: c.own(only(store.ByTag, append(in.Tags, in.Tag)...)), By: []store.Dim{store.ByTag, store.ByUser}}
	rows, err := a.allDays(ctx, q)
	out := []object{}
	var s store.Sums
	users := int64(0)
	for i, g := range rows {
		if i == 0 || rows[i-1].Names[0] != g.Names[0] {
			s, users = store.Sums{}, 0
			out = append(out, nil)
		}
		if g.Names[1] != "" {
			users++
		}
		s.Calls, s.Failed, s.Total, s.Spend = s.Calls+g.Calls, s.Failed+g.Failed, s.Total+g.Total, s.Spend+g.Spend
		out[len(out)-1] = object{"tag": g.Names[0], "unique_users": users, "total_requests": s.Calls, "successful_requests": s.Calls - s.Failed,
			"failed_requests": s.Failed, "total_tokens": s.Total, "total_spend": money(s.Spend)}
	}
	slices.SortStableFunc(out, func(x, y object) int { return cmp.Compare(y["total_requests"].(int64), x["total_requests"].(int64)) })
	return object{"results": out}, err
}

type tagDailyUsersIn struct {
	Tag  string   `query:"tag_filter"`
	Tags []string `query:"tag_filters"`
}

// tagDailyUsers is how many users called with a tag on each of the last seven days.
func (a *API) tagDailyUsers(ctx context.Context, c *caller, in *tagDailyUsersIn) (any, error) {
	d := days{}
	if err := d.orLast(6, a.Now()); err != nil {
		return nil, err
	}
	rows, err := a.allDays(ctx, store.DailyQuery{From: d.Start, To: d.End, In: c.own(only(store.ByTag, append(in.Tags, in.Tag)...)),
		Not: map[store.Dim][]string{store.ByUser: {""}}, By: []store.Dim{store.ByDate, store.ByTag, store.ByUser}})
	out := []object{}
	for i, g := range rows {
		if i == 0 || rows[i-1].Names[0] != g.Names[0] || rows[i-1].Names[1] != g.Names[1] {
			out = append(out, object{"tag": g.Names[1], "active_users": 0, "date": g.Names[0], "period_start": nil, "period_end": nil})
		}
		o := out[len(out)-1]
		o["active_users"] = o["active_users"].(int) + 1
	}
	return object{"results": out}, err
}

// tagDistinct lists the tags that calls had.
func (a *API) tagDistinct(ctx context.Context, c *caller, _ *struct{}) (any, error) {
	rows, _, err := a.Store.Daily(ctx, store.DailyQuery{In: c.own(nil), By: []store.Dim{store.ByTag}, Limit: maxListed})
	out := []object{}
	for _, g := range rows {
		out = append(out, object{"tag": g.Names[0]})
	}
	return object{"results": out}, err
}

type modelMetricsIn struct {
	Group string `query:"_selected_model_group"`
	Key   string `query:"api_key"`
	User  string `query:"customer"`
	Start string `query:"startTime"`
	End   string `query:"endTime"`
}

// modelMetrics is how long each deployment of a model took for a token, in seconds, by day.
func (a *API) modelMetrics(ctx context.Context, c *caller, in *modelMetricsIn) (any, error) {
	d := days{in.Start, in.End}
	if err := d.orLast(lastDays, a.Now()); err != nil {
		return nil, err
	}
	data, names := []object{}, map[string]bool{}
	if in.Group == "" {
		return object{"data": data, "all_api_bases": []string{}}, nil
	}
	narrow := only(store.ByModel, in.Group)
	if in.Key != "" {
		narrow[store.ByKey] = []string{keyHash(in.Key)}
	}
	if in.User != "" {
		narrow[store.ByEndUser] = []string{in.User}
	}
	rows, err := a.allDays(ctx, store.DailyQuery{From: d.Start, To: d.End, In: c.own(narrow), By: []store.Dim{store.ByDate, store.ByDeployment}})
	for i, g := range rows {
		if i == 0 || rows[i-1].Names[0] != g.Names[0] {
			data = append(data, object{"date": g.Names[0]})
		}
		if g.Total > 0 && g.Names[1] != "" {
			data[len(data)-1][g.Names[1]] = float64(g.TimeMS) / 1000 / float64(g.Total)
			names[g.Names[1]] = true
		}
	}
	return object{"data": data, "all_api_bases": list(sortedKeys(names))}, err
}
