package api

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

func (a *API) activityRoutes() []route {
	out := []route{
		{"GET", "/user/daily/activity", anyone, typed(a.userActivity)},
		{"GET", "/user/daily/activity/aggregated", anyone, typed(a.userActivityWhole)},
		{"GET", "/team/daily/activity", anyone, typed(a.teamActivity)},
		{"GET", "/team/daily/activity/aggregated", anyone, typed(a.teamActivityWhole)},
		{"GET", "/tag/daily/activity", anyone, typed(a.tagActivity)},
		{"GET", "/organization/daily/activity", anyone, typed(a.orgActivity)},
		{"GET", "/agent/daily/activity", anyone, typed(a.agentActivity)},
		{"GET", "/gateway/daily/activity", anyone, typed(a.gatewayActivity)},
		{"GET", "/global/activity", anyone, typed(a.globalActivity)},
		{"GET", "/global/activity/model", anyone, typed(a.globalActivityModels)},
		{"GET", "/global/activity/cache_hits", anyone, typed(a.globalActivityCache)},
		{"GET", "/global/activity/exceptions", anyone, typed(a.globalExceptions)},
		{"GET", "/global/activity/exceptions/deployment", anyone, typed(a.globalExceptionsByDeployment)},
		{"GET", "/model/metrics", anyone, typed(a.modelMetrics)},
		{"GET", "/tag/summary", anyone, typed(a.tagSummary)},
		{"GET", "/tag/dau", anyone, typed(a.tagDailyUsers)},
		{"GET", "/tag/distinct", anyone, typed(a.tagDistinct)},
	}
	for _, noun := range []string{"/customer", "/end_user"} {
		out = append(out, route{"GET", noun + "/daily/activity", anyone, typed(a.customerActivity)})
	}
	return out
}

// activityQuery is what the views of daily activity have in common.
type activityQuery struct {
	days
	Model string `query:"model"`
	Key   string `query:"api_key"`
	Page  int64  `query:"page" default:"1" min:"1"`
}

// activity is one view: of which accounts, broken down by whom.
type activity struct {
	activityQuery
	size   int64
	entity store.Dim
	narrow map[store.Dim][]string
	not    map[store.Dim][]string
	whole  bool  // all on one page, the keys that spent most
	keys   int64 // of those, how many
}

type userActivityIn struct {
	activityQuery
	User string `query:"user_id"`
	Size int64  `query:"page_size" default:"50" min:"1" max:"1000"`
}

func (a *API) userActivity(ctx context.Context, c *caller, in *userActivityIn) (any, error) {
	return a.activity(ctx, &activity{activityQuery: in.activityQuery, size: in.Size, entity: store.ByUser, narrow: c.own(only(store.ByUser, in.User))})
}

type userActivityWholeIn struct {
	activityQuery
	User string `query:"user_id"`
	Keys int64  `query:"api_key_limit" default:"100" min:"1" max:"1000"`
}

func (a *API) userActivityWhole(ctx context.Context, c *caller, in *userActivityWholeIn) (any, error) {
	return a.activity(ctx, &activity{activityQuery: in.activityQuery, entity: store.ByUser, narrow: c.own(only(store.ByUser, in.User)), whole: true, keys: in.Keys})
}

func only(d store.Dim, values ...string) map[store.Dim][]string {
	if values = unique(values); len(values) == 0 {
		return map[store.Dim][]string{}
	}
	return map[store.Dim][]string{d: values}
}

type teamActivityIn struct {
	activityQuery
	IDs     []string `query:"team_ids"`
	Exclude []string `query:"exclude_team_ids"`
	Size    int64    `query:"page_size" default:"10" min:"1" max:"1000"`
}

func (a *API) teamActivity(ctx context.Context, c *caller, in *teamActivityIn) (any, error) {
	narrow, err := a.ownTeams(ctx, c, in.IDs)
	if err != nil {
		return nil, err
	}
	return a.activity(ctx, &activity{activityQuery: in.activityQuery, size: in.Size, entity: store.ByTeam, narrow: narrow, not: without(store.ByTeam, in.Exclude)})
}

type teamActivityWholeIn struct {
	activityQuery
	IDs     []string `query:"team_ids"`
	Exclude []string `query:"exclude_team_ids"`
	Keys    int64    `query:"api_key_limit" default:"100" min:"1" max:"1000"`
}

func (a *API) teamActivityWhole(ctx context.Context, c *caller, in *teamActivityWholeIn) (any, error) {
	narrow, err := a.ownTeams(ctx, c, in.IDs)
	if err != nil {
		return nil, err
	}
	return a.activity(ctx, &activity{activityQuery: in.activityQuery, entity: store.ByTeam, narrow: narrow, not: without(store.ByTeam, in.Exclude), whole: true, keys: in.Keys})
}

// without leaves out what has no value in a dimension, and the values given.
func without(d store.Dim, values []string) map[store.Dim][]string {
	return map[store.Dim][]string{d: append(unique(values), "")}
}

// teamActivityPermission lets a team's members see what all of it does.
const teamActivityPermission = "/team/daily/activity"

// ownTeams narrows down to teams that the caller may see: whole ones where it is an admin or the team says so, its own part of the others.
func (a *API) ownTeams(ctx context.Context, c *caller, ids []string) (map[store.Dim][]string, error) {
	ids = unique(ids)
	if c.reader() {
		return only(store.ByTeam, ids...), nil
	}
	if c.user == "" {
		return c.own(only(store.ByTeam, ids...)), nil
	}
	in := a.Store.Accounts()
	rows, _, err := in.Members.Find(ctx, store.Query{Where: map[string]string{"user_id": c.user}})
	if err != nil {
		return nil, err
	}
	mine := map[string]*account.Member{}
	for i := range rows {
		mine[rows[i].TeamID] = &rows[i]
	}
	if len(ids) == 0 {
		ids = sortedKeys(mine)
	}
	all := true
	for _, id := range ids {
		m := mine[id]
		if m == nil {
			return nil, &llm.Error{Kind: llm.ErrNotFound, Type: "not_found_error", Param: "team_ids", Message: "User does not belong to Team=" + id + "."}
		}
		if m.Role == "admin" {
			continue
		}
		team, err := in.Teams.Get(ctx, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		all = all && team != nil && slices.Contains(team.MemberPermissions, teamActivityPermission)
	}
	narrow := map[store.Dim][]string{store.ByTeam: append([]string{}, ids...)}
	if !all {
		narrow[store.ByUser] = []string{c.user}
	}
	return narrow, nil
}

type tagActivityIn struct {
	activityQuery
	Tags []string `query:"tags"`
	Size int64    `query:"page_size" default:"10" min:"1" max:"1000"`
}

// tagActivity counts a call once for each of its tags.
func (a *API) tagActivity(ctx context.Context, c *caller, in *tagActivityIn) (any, error) {
	return a.activity(ctx, &activity{activityQuery: in.activityQuery, size: in.Size, entity: store.ByTag, narrow: c.own(only(store.ByTag, in.Tags...))})
}

type orgActivityIn struct {
	activityQuery
	IDs     []string `query:"organization_ids"`
	Exclude []string `query:"exclude_organization_ids"`
	Size    int64    `query:"page_size" default:"10" min:"1" max:"1000"`
}

func (a *API) orgActivity(ctx context.Context, c *caller, in *orgActivityIn) (any, error) {
	ids := unique(in.IDs)
	if !c.reader() {
		rows, _, err := a.Store.Accounts().OrgMembers.Find(ctx, store.Query{Where: map[string]string{"user_id": c.user}})
		if err != nil {
			return nil, err
		}
		led := map[string]bool{}
		for i := range rows {
			if rows[i].Role == account.OrgAdmin && c.user != "" {
				led[rows[i].OrgID] = true
			}
		}
		if len(ids) == 0 {
			ids = sortedKeys(led)
		}
		for _, id := range ids {
			if !led[id] {
				return nil, denied("organization_ids", "Only the admins of organization %s may see what it does.", id)
			}
		}
		if len(ids) == 0 {
			return nil, denied("organization_ids", "Only the admins of an organization may see what it does.")
		}
	}
	return a.activity(ctx, &activity{activityQuery: in.activityQuery, size: in.Size, entity: store.ByOrg, narrow: only(store.ByOrg, ids...), not: without(store.ByOrg, in.Exclude)})
}

type customerActivityIn struct {
	activityQuery
	IDs     []string `query:"end_user_ids"`
	Exclude []string `query:"exclude_end_user_ids"`
	Size    int64    `query:"page_size" default:"10" min:"1" max:"1000"`
}

func (a *API) customerActivity(ctx context.Context, c *caller, in *customerActivityIn) (any, error) {
	return a.activity(ctx, &activity{activityQuery: in.activityQuery, size: in.Size, entity: store.ByEndUser, narrow: c.own(only(store.ByEndUser, in.IDs...)),
		not: without(store.ByEndUser, in.Exclude)})
}

// agentActivity: there are no agents, so they do nothing.
func (a *API) agentActivity(_ context.Context, _ *caller, in *customerActivityIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	t := newActivityTree(store.ByEndUser)
	return object{"results": []object{}, "metadata": t.metadata(in.Page, 0, false, nil, nil)}, nil
}

// activityDims are what a row of a view stands for, beside its entity.
var activityDims = []store.Dim{store.ByDate, store.ByProvider, store.ByUpstream, store.ByModel, store.ByOp, store.ByDialect, store.ByKey}

// activity gives one page of a view. A page is some of the rows that the view's tree is made of: the sums of all pages are the whole.
func (a *API) activity(ctx context.Context, v *activity) (any, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	if v.Key != "" {
		v.narrow[store.ByKey] = both(v.narrow[store.ByKey], keyHash(v.Key))
	}
	q := store.DailyQuery{From: v.Start, To: v.End, In: v.narrow, Not: v.not, By: append(slices.Clone(activityDims), v.entity), Sort: "date", Desc: true}
	if err := a.filterModel(ctx, &q, v.Model); err != nil {
		return nil, err
	}
	t := newActivityTree(v.entity)
	if v.whole {
		return a.wholeActivity(ctx, v, q, t)
	}
	q.Limit, q.Offset = int(v.size), int((v.Page-1)*v.size)
	rows, total, err := a.Store.Daily(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := t.name(ctx, a, rows); err != nil {
		return nil, err
	}
	for i := range rows {
		t.add(&rows[i])
	}
	last := pages(total, v.size)
	return object{"results": t.results(), "metadata": t.metadata(v.Page, last, v.Page < last, nil, nil)}, nil
}

// both is one value, if it is among those allowed; allowed nil: all are.
func both(allowed []string, value string) []string {
	if allowed != nil && !slices.Contains(allowed, value) {
		return []string{}
	}
	return []string{value}
}

func (a *API) wholeActivity(ctx context.Context, v *activity, q store.DailyQuery, t *activityTree) (any, error) {
	keys := q
	keys.By, keys.Sort, keys.Desc, keys.Limit = []store.Dim{store.ByKey}, "spend", true, int(v.keys)
	top, keyTotal, err := a.Store.Daily(ctx, keys)
	if err != nil {
		return nil, err
	}
	t.keys = map[string]bool{}
	for i := range top {
		t.keys[top[i].Names[0]] = true
	}
	rows, err := a.allDays(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := t.name(ctx, a, top); err != nil {
		return nil, err
	}
	if err := t.name(ctx, a, rows); err != nil {
		return nil, err
	}
	for i := range rows {
		t.add(&rows[i])
	}
	return object{"results": t.results(), "metadata": t.metadata(1, 1, false, v.keys, keyTotal)}, nil
}

// filterModel narrows down to a model: by its public name, or where nobody asked for that, by the provider's name for it.
func (a *API) filterModel(ctx context.Context, q *store.DailyQuery, name string) error {
	if name == "" {
		return nil
	}
	ask := *q
	ask.By, ask.Sort, ask.Limit = nil, "", 0
	q.In[store.ByModel] = []string{name}
	sums, _, err := a.Store.Daily(ctx, ask)
	if err != nil || len(sums) > 0 && sums[0].Calls > 0 {
		return err
	}
	delete(q.In, store.ByModel)
	provider, upstream, ok := strings.Cut(name, "/")
	if !ok {
		upstream = name
	} else {
		q.In[store.ByProvider] = []string{provider}
	}
	q.In[store.ByUpstream] = []string{upstream}
	return nil
}
