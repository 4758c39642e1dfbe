package api

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
)

// calls books some calls of two users, two teams and the master key on three days.
func (b *bench) calls() []usage.Record {
	b.Helper()
	b.edit(func(e *store.Edit) error {
		return errors.Join(e.Teams.Put(b.Context(), &account.Team{ID: "red", Alias: "Team Red"}), e.Teams.Put(b.Context(), &account.Team{ID: "blue"}),
			e.Members.Put(b.Context(), &account.Member{TeamID: "red", UserID: "ann", Role: "admin"}),
			e.Members.Put(b.Context(), &account.Member{TeamID: "red", UserID: "bob", Role: "user"}),
			e.Customers.Put(b.Context(), &account.Customer{ID: "cust", Alias: "C1"}))
	})
	b.user("sk-ann-key", "ann", account.InternalUser, "red")
	b.user("sk-bob-key", "bob", account.InternalUser, "red")
	day := func(n int) int64 { return time.Date(2026, 11, 19+n, 10, 0, 0, 0, time.UTC).UnixMilli() }
	base := usage.Record{Op: llm.OpChat, In: llm.OpenAI, Out: llm.OpenAI, Status: 200, Attempts: 1, Priced: true, Provider: "openai", Upstream: "gpt-4o-mini",
		Model: "m1", Deployment: "dep-m1", APIBase: "http://127.0.0.1:9110/v1", Usage: llm.Usage{Input: 11, Output: 5, CacheRead: 4}, Cost: 4350}
	rec := func(n int, id string, change func(*usage.Record)) usage.Record {
		r := base
		r.ID, r.RequestID, r.Start, r.End = id, "call-"+id, day(n), day(n)+40
		change(&r)
		return r
	}
	records := []usage.Record{
		rec(0, "a1", func(r *usage.Record) {
			r.Key, r.KeyAlias, r.User, r.Team, r.EndUser = auth.Hash("sk-ann-key"), "ann-key", "ann", "red", "cust"
		}),
		rec(1, "a2", func(r *usage.Record) {
			r.Key, r.User, r.Team, r.Tags, r.Session = auth.Hash("sk-ann-key"), "ann", "red", []string{"t1", "t2"}, "s1"
		}),
		rec(2, "a3", func(r *usage.Record) {
			r.Key, r.User, r.Team, r.Tags, r.Session = auth.Hash("sk-ann-key"), "ann", "red", []string{"t1"}, "s1"
		}),
		rec(2, "b1", func(r *usage.Record) {
			r.Key, r.User, r.Team, r.Upstream, r.Model, r.Cost = auth.Hash("sk-bob-key"), "bob", "red", "gpt-4o", "m2", 1_000_000_000
		}),
		rec(2, "m1", func(r *usage.Record) {
			r.User, r.Op, r.Model, r.Upstream, r.Cost = "default_user_id", llm.OpEmbed, "emb", "text-embedding-3-small", 120
		}),
		rec(2, "m2", func(r *usage.Record) {
			r.User, r.Cost, r.Status, r.ErrorKind, r.Usage = "default_user_id", 0, 429, llm.ErrRateLimit, llm.Usage{}
			r.Provider, r.Upstream, r.In = "", "", llm.Anthropic
		}),
	}
	if err := b.store.InsertRecords(b.Context(), records); err != nil {
		b.Fatal(err)
	}
	return records
}

const span = "start_date=2026-11-01&end_date=2026-11-30"

func TestSpendLogs(t *testing.T) {
	b := newBench(t)
	b.calls()
	b.user("sk-viewer", "viewer", account.ProxyAdminViewer, "")
	f := func(key, query string, status int, paths ...string) {
		t.Helper()
		b.want(key, "GET", "/spend/logs"+query, "", status, paths...)
	}
	f("sk-master", "", 200, `len=6`, `0.status="failure"`, `0.model="m1"`, `0.api_key="litellm_proxy_master_key"`, `0.metadata.error_information.error_code="429"`,
		`0.call_type="anthropic_messages"`, `1.call_type="aembedding"`, `1.spend=1.2e-7`)
	f("sk-master", "?request_id=call-a1", 200, `len=1`, `0.request_id="call-a1"`, `0.spend=0.00000435`, `0.total_tokens=16`, `0.prompt_tokens=11`, `0.completion_tokens=5`,
		`0.model="openai/gpt-4o-mini"`, `0.model_id="dep-m1"`, `0.model_group="m1"`, `0.custom_llm_provider="openai"`, `0.user="ann"`, `0.team_id="red"`, `0.organization_id=""`,
		`0.end_user="cust"`, `0.cache_key="Cache OFF"`, `0.request_tags=[]`, `0.messages={}`, `0.status="success"`, `0.metadata.user_api_key_alias="ann-key"`,
		`0.metadata.user_api_key_team_alias="Team Red"`, `0.metadata.usage_object.prompt_tokens_details.cached_tokens=4`, `0.metadata.attempted_retries=0`,
		`0.startTime="2026-11-19T10:00:00.000000Z"`, `0.request_duration_ms=40`)
	f("sk-master", "?request_id=a1", 200, `len=1`)
	f("sk-master", "?request_id=nope", 200, `len=0`)
	f("sk-master", "?api_key=sk-ann-key", 200, `len=3`)
	f("sk-master", "?api_key="+auth.Hash("sk-ann-key"), 200, `len=3`)
	f("sk-master", "?api_key=litellm_proxy_master_key", 200, `len=2`)
	f("sk-master", "?user_id=bob", 200, `len=1`)
	f("sk-viewer", "?user_id=bob", 200, `len=1`)
	f("sk-bob-key", "", 200, `len=1`, `0.user="bob"`)
	f("sk-bob-key", "?user_id=ann", 200, `len=1`, `0.user="bob"`)
	f("sk-bob-key", "?api_key=sk-ann-key", 200, `len=0`)
	f("sk-bob-key", "?request_id=call-a1", 200, `len=0`)
	f("sk-master", "?page_size=2&page=2", 200, `len=2`)
	f("sk-master", "?"+span+"&summarize=false", 200, `len=6`)
	f("sk-master", "?start_date=2026-11-20&end_date=2026-11-20&summarize=false", 200, `len=1`)
	f("sk-master", "?start_date=2026-11-18&end_date=2026-11-24", 200, `len=6`, `0.startTime="2026-11-19"`, `0.spend=0.00000435`, `0.users.ann=0.00000435`,
		`2.models.openai/gpt-4o=1`, `2.users.bob=1`, `2.litellm_proxy_master_key=1.2e-7`, `2.spend=1.00000447`, `3.spend=0`, `3.users={}`)
	f("sk-bob-key", "?start_date=2026-11-18&end_date=2026-11-21", 200, `len=1`, `0.spend=1`)
	f("sk-master", "?start_date=2025-01-01&end_date=2025-01-02", 200, `len=0`)
	f("sk-master", "?start_date=2026-11-18", 400, `detail.error="Please provide start_date and end_date"`)
	f("sk-master", "?start_date=abc&end_date=2026-01-02", 400)
	f("sk-master", "?start_date=2026-11-18&end_date=2026-11-01", 400)
	f("sk-master", "?page=0", 422)
	f("sk-master", "?page_size=100000", 422)
	f("sk-master", "?summarize=maybe", 422)
	f("sk-nobody", "", 401)
}

func TestSpendLogs_pages(t *testing.T) {
	b := newBench(t)
	b.calls()
	const times = "start_date=2026-11-01%2000:00:00&end_date=2026-11-30%2000:00:00"
	f := func(key, path string, status int, paths ...string) {
		t.Helper()
		b.want(key, "GET", path, "", status, paths...)
	}
	for _, view := range []string{"/spend/logs/v2", "/spend/logs/ui"} {
		f("sk-master", view+"?"+times+"&page=1&page_size=4", 200, `data.len=4`, `total=6`, `page=1`, `page_size=4`, `total_pages=2`, `total_is_capped=false`)
		f("sk-master", view+"?"+times+"&page=2&page_size=4", 200, `data.len=2`)
		f("sk-master", view+"?"+times+"&page=9&page_size=4", 200, `data.len=0`, `total=6`)
		f("sk-master", view, 400, `error.message="Start date and end date are required"`, `error.type="bad_request"`, `error.param="None"`)
		f("sk-master", view+"?start_date=x&end_date=2026-11-30", 400, `error.param="start_date"`)
		f("sk-master", view+"?"+times+"&status_filter=failure", 200, `total=1`)
		f("sk-master", view+"?"+times+"&status_filter=odd", 422)
		f("sk-master", view+"?"+times+"&team_id=red", 200, `total=4`)
		f("sk-ann-key", view+"?"+times+"&team_id=red", 200, `total=4`)
		f("sk-bob-key", view+"?"+times+"&team_id=red", 200, `total=1`)
		f("sk-bob-key", view+"?"+times, 200, `total=1`)
		f("sk-master", view+"?"+times+"&min_spend=0.5", 200, `total=1`, `data.0.user="bob"`)
		f("sk-master", view+"?"+times+"&min_spend=lots", 422)
		f("sk-master", view+"?"+times+"&max_spend=0.000001", 200, `total=2`)
		f("sk-master", view+"?"+times+"&model=openai/gpt-4o", 200, `total=1`)
		f("sk-master", view+"?"+times+"&model_group=emb", 200, `total=1`)
		f("sk-master", view+"?"+times+"&model_id=dep-m1", 200, `total=6`)
		f("sk-master", view+"?"+times+"&end_user=cust", 200, `total=1`)
		f("sk-master", view+"?"+times+"&key_alias=ann-key", 200, `total=1`)
		f("sk-master", view+"?"+times+"&error_code=429", 200, `total=1`)
		f("sk-master", view+"?"+times+"&sort_by=spend&sort_order=desc", 200, `data.0.user="bob"`)
		f("sk-master", view+"?"+times+"&sort_by=secret", 422)
		f("sk-master", view+"?request_id=call-a1", 200, `total=1`)
	}
	f("sk-master", "/spend/logs/ui?"+times+"&page_size=101", 422)
	f("sk-master", "/spend/logs/ui/call-a1", 200, `messages={}`, `response={}`, `proxy_server_request={}`)
	f("sk-bob-key", "/spend/logs/ui/call-a1", 404)
	f("sk-master", "/spend/logs/ui/nope", 404)
	f("sk-master", "/spend/logs/session/ui?session_id=s1", 200, `total=2`, `data.0.request_id="call-a2"`)
	f("sk-bob-key", "/spend/logs/session/ui?session_id=s1", 200, `total=0`)
	f("sk-master", "/spend/logs/session/ui", 422)
}

func TestSpend_global(t *testing.T) {
	b := newBench(t)
	b.calls()
	f := func(key, path string, status int, paths ...string) {
		t.Helper()
		b.want(key, "GET", path, "", status, paths...)
	}
	f("sk-master", "/global/spend", 200, `spend=1.00001317`, `max_budget=0`)
	f("sk-bob-key", "/global/spend", 200, `spend=1`)
	budget := 12.5
	b.cfg.LiteLLM.MaxBudget = &budget
	f("sk-master", "/global/spend", 200, `max_budget=12.5`)
	f("sk-master", "/global/spend/logs", 200, `len=3`, `0.date="2026-11-19"`, `2.spend=1.00000447`)
	f("sk-master", "/global/spend/logs?api_key=sk-ann-key", 200, `2.spend=0.00000435`)
	f("sk-master", "/global/spend/keys?limit=2", 200, `len=2`, `0.key_alias="bob-key"`, `0.total_spend=1`, `0.key_name="sk-...-key"`)
	f("sk-master", "/global/spend/keys?limit=0", 422)
	f("sk-master", "/global/spend/models?limit=2", 200, `len=2`, `0.model="openai/gpt-4o"`, `0.total_spend=1`, `1.model="openai/gpt-4o-mini"`)
	f("sk-master", "/global/spend/teams", 200, `teams=["Team Red","Unassigned"]`, `daily_spend.len=3`, `daily_spend.0.Team Red=0.00000435`, `daily_spend.0.date="2026-11-19"`,
		`total_spend_per_team.0.team_id="Team Red"`, `total_spend_per_team.0.total_spend=1.00001305`)
	f("sk-master", "/global/spend/provider?"+span, 200, `0.provider="openai"`, `0.spend=1.00001317`, `1.provider="unknown"`)
	f("sk-master", "/global/spend/tags?"+span, 200, `spend_per_tag.len=2`, `spend_per_tag.0.name="t1"`, `spend_per_tag.0.log_count=2`, `spend_per_tag.0.spend=0.0000087`)
	f("sk-master", "/global/spend/tags?"+span+"&tags=t2", 200, `spend_per_tag.len=1`)
	f("sk-master", "/global/spend/all_tag_names", 200, `tag_names=["t1","t2"]`)
	f("sk-bob-key", "/global/spend/all_tag_names", 200, `tag_names=[]`)
	f("sk-master", "/spend/keys?limit=1", 200, `len=1`, `0.key_alias="bob-key"`, `0.spend=1`, `0.token="`+auth.Hash("sk-bob-key")+`"`)
	f("sk-master", "/spend/keys?limit=1&page=2", 200, `len=1`, `0.key_alias="ann-key"`)
	f("sk-bob-key", "/spend/keys", 200, `len=1`, `0.user_id="bob"`)
	f("sk-master", "/spend/keys?limit=9999", 422)
	f("sk-master", "/spend/users", 200, `len=2`, `0.user_id="bob"`, `0.spend=1`, `0.key_aliases=["bob-key"]`)
	f("sk-master", "/spend/users?user_id=ann", 200, `len=1`, `0.user_id="ann"`)
	f("sk-bob-key", "/spend/users?user_id=ann", 200, `len=1`, `0.user_id="bob"`)
	f("sk-master", "/spend/tags", 200, `0.individual_request_tag="t1"`, `0.log_count=2`, `0.total_spend=0.0000087`)
	f("sk-bob-key", "/spend/tags", 200, `len=0`)
	f("sk-master", "/global/all_end_users", 200, `end_users=["","cust"]`)
	f("sk-master", "/global/spend/report?"+span, 200, `len=3`, `0.group_by_day="2026-11-19T00:00:00+00:00"`, `2.teams.1.team_name="Team Red"`, `2.teams.1.total_spend=1.00000435`,
		`2.teams.1.metadata.len=2`)
	f("sk-master", "/global/spend/report?"+span+"&group_by=customer", 200, `0.customers.0.customer="cust"`)
	f("sk-master", "/global/spend/report?"+span+"&group_by=api_key", 200, `len=3`, `0.api_key="litellm_proxy_master_key"`)
	f("sk-master", "/global/spend/report?"+span+"&group_by=cat", 422)
	f("sk-master", "/global/spend/report", 400)
	f("sk-bob-key", "/global/spend/report?"+span+"&group_by=api_key", 200, `len=1`, `0.total_cost=1`, `0.model_details.0.model="m2"`)
	for _, noun := range []string{"key", "user", "team", "organization"} {
		f("sk-master", "/"+noun+"/spend/report?"+span, 200)
		f("sk-master", "/"+noun+"/spend/report", 400)
	}
	f("sk-master", "/provider/budgets", 200, `providers={}`)
	f("sk-bob-key", "/provider/budgets", 401)
	b.want("sk-master", "POST", "/global/spend/end_users", "{}", 200, `len=2`, `0.end_user=""`, `0.total_count=5`, `1.end_user="cust"`, `1.total_spend=0.00000435`)
	b.want("sk-master", "POST", "/global/spend/end_users", "", 200, `len=2`)
	b.want("sk-master", "POST", "/global/spend/end_users", `{"api_key":"sk-bob-key"}`, 200, `len=1`, `0.total_spend=1`)
	b.want("sk-master", "POST", "/global/spend/end_users", `{"api_key":7}`, 422)

	b.user("sk-admin", "adm", account.ProxyAdmin, "")
	b.want("sk-bob-key", "POST", "/global/spend/reset", "", 401)
	b.want("sk-admin", "POST", "/global/spend/reset", "", 403)
	b.want("sk-master", "POST", "/global/spend/reset", "{}", 200, `status="success"`)
	spends, err := b.store.Spends(t.Context(), account.Subject{Kind: account.OfKey, ID: auth.Hash("sk-bob-key")}, account.Subject{Kind: account.OfTeam, ID: "red"},
		account.Subject{Kind: account.OfUser, ID: "bob"})
	if err != nil || len(spends) != 3 {
		t.Fatal(spends, err)
	}
	for _, s := range spends {
		if want := map[bool]llm.Nanos{true: 1_000_000_000}[s.Kind == account.OfUser]; s.Spent() != want {
			t.Errorf("%s: %d spent after the reset, want %d", s.Kind, s.Spent(), want)
		}
	}
	f("sk-master", "/global/spend/keys?limit=1", 200, `0.total_spend=1`)
}

func TestActivity(t *testing.T) {
	b := newBench(t)
	b.calls()
	f := func(key, path string, status int, paths ...string) any {
		t.Helper()
		return b.want(key, "GET", path, "", status, paths...)
	}
	ann := auth.Hash("sk-ann-key")
	f("sk-ann-key", "/user/daily/activity?"+span, 200, `results.len=3`, `results.0.date="2026-11-21"`, `metadata.total_spend=0.00001305`, `metadata.total_api_requests=3`,
		`metadata.total_failed_requests=0`, `metadata.page=1`, `metadata.total_pages=1`, `metadata.has_more=false`, `metadata.api_key_limit=null`,
		`results.0.metrics.spend=0.00000435`, `results.0.metrics.flat_cost=0`, `results.0.metrics.prompt_tokens=11`, `results.0.metrics.cache_read_input_tokens=4`,
		`results.0.metrics.prompt_caching_savings_spend=3e-7`, `results.0.metrics.total_response_time_ms=40`, `results.0.metrics.timed_requests=1`,
		`results.0.breakdown.mcp_servers={}`, `results.0.breakdown.models.openai/gpt-4o-mini.metrics.spend=0.00000435`, `results.0.breakdown.model_groups.m1.metrics.api_requests=1`,
		`results.0.breakdown.providers.openai.metadata={}`, `results.0.breakdown.endpoints./chat/completions.metrics.successful_requests=1`,
		`results.0.breakdown.api_keys.`+ann+`.metadata={"key_alias":"ann-key","team_id":"red","user_id":"ann","user_email":"ann@example.com","key_exists":true}`,
		`results.0.breakdown.entities.ann.metadata={"user_email":"ann@example.com","user_alias":null}`,
		`results.0.breakdown.entities.ann.api_key_breakdown.`+ann+`.metrics.total_tokens=16`)
	f("sk-bob-key", "/user/daily/activity?"+span+"&user_id=ann", 200, `metadata.total_spend=1`)
	f("sk-bob-key", "/user/daily/activity?"+span+"&api_key=sk-ann-key", 200, `metadata.total_spend=0`)
	f("sk-master", "/user/daily/activity?"+span, 200, `metadata.total_spend=1.00001317`, `metadata.total_failed_requests=1`, `results.0.breakdown.providers.unknown.metrics.failed_requests=1`,
		`results.0.breakdown.endpoints./v1/messages.metrics.failed_requests=1`)
	f("sk-master", "/user/daily/activity?"+span+"&user_id=ann", 200, `metadata.total_api_requests=3`)
	f("sk-master", "/user/daily/activity?"+span+"&model=m2", 200, `metadata.total_api_requests=1`)
	f("sk-master", "/user/daily/activity?"+span+"&model=openai/gpt-4o", 200, `metadata.total_api_requests=1`)
	f("sk-master", "/user/daily/activity?"+span+"&model=nobody", 200, `results=[]`)
	f("sk-master", "/user/daily/activity?"+span+"&page=2&page_size=2", 200, `metadata.page=2`, `metadata.total_pages=3`, `metadata.has_more=true`)
	f("sk-master", "/user/daily/activity", 400, `detail.error="Please provide start_date and end_date"`)
	f("sk-master", "/user/daily/activity?start_date=abc&end_date=2026-01-02", 400, `detail.error="start_date and end_date must be valid YYYY-MM-DD dates"`)
	f("sk-master", "/user/daily/activity?"+span+"&page=0", 422)
	f("sk-master", "/user/daily/activity?"+span+"&page_size=1001", 422)
	f("sk-master", "/user/daily/activity/aggregated?"+span, 200, `metadata.total_spend=1.00001317`, `metadata.api_key_limit=100`, `metadata.total_api_keys=3`, `results.len=3`)
	f("sk-master", "/user/daily/activity/aggregated?"+span+"&api_key_limit=1", 200, `metadata.total_spend=1.00001317`, `results.2.breakdown.api_keys={}`, `results.2.metrics.spend=0.00000435`)

	f("sk-ann-key", "/team/daily/activity?"+span+"&team_ids=red", 200, `metadata.total_spend=1.00001305`, `results.0.breakdown.entities.red.metadata={"team_alias":"Team Red"}`)
	f("sk-bob-key", "/team/daily/activity?"+span+"&team_ids=red", 200, `metadata.total_spend=1`)
	f("sk-bob-key", "/team/daily/activity?"+span, 200, `metadata.total_spend=1`)
	f("sk-bob-key", "/team/daily/activity?"+span+"&team_ids=blue", 404, `error.param="team_ids"`)
	f("sk-master", "/team/daily/activity?"+span, 200, `metadata.total_spend=1.00001305`)
	f("sk-master", "/team/daily/activity?"+span+"&exclude_team_ids=red", 200, `results=[]`)
	f("sk-master", "/team/daily/activity/aggregated?"+span, 200, `metadata.total_spend=1.00001305`)
	b.edit(func(e *store.Edit) error {
		return e.Teams.Put(t.Context(), &account.Team{ID: "red", Alias: "Team Red", MemberPermissions: []string{"/team/daily/activity"}})
	})
	f("sk-bob-key", "/team/daily/activity?"+span+"&team_ids=red", 200, `metadata.total_spend=1.00001305`)

	f("sk-master", "/tag/daily/activity?"+span, 200, `metadata.total_spend=0.00001305`, `results.1.breakdown.entities.t2.metrics.api_requests=1`)
	f("sk-master", "/tag/daily/activity?"+span+"&tags=t1", 200, `metadata.total_spend=0.0000087`)
	f("sk-bob-key", "/tag/daily/activity?"+span, 200, `results=[]`)
	f("sk-master", "/customer/daily/activity?"+span, 200, `metadata.total_api_requests=1`, `results.0.breakdown.entities.cust.metadata={"alias":"C1"}`)
	f("sk-master", "/end_user/daily/activity?"+span+"&end_user_ids=none", 200, `results=[]`)
	f("sk-master", "/organization/daily/activity?"+span, 200, `results=[]`)
	f("sk-bob-key", "/organization/daily/activity?"+span, 403)
	f("sk-master", "/agent/daily/activity?"+span, 200, `results=[]`, `metadata.total_pages=0`, `metadata.total_spend=0`, `metadata.total_tokens=0`)
}

func TestActivity_global(t *testing.T) {
	b := newBench(t)
	b.calls()
	f := func(key, path string, status int, paths ...string) {
		t.Helper()
		b.want(key, "GET", path, "", status, paths...)
	}
	f("sk-master", "/global/activity?"+span, 200, `daily_data.len=3`, `daily_data.0.date="Nov 19"`, `daily_data.2.api_requests=4`, `sum_api_requests=6`, `sum_total_tokens=80`)
	f("sk-bob-key", "/global/activity?"+span, 200, `sum_api_requests=1`)
	f("sk-master", "/global/activity", 400)
	f("sk-master", "/global/activity/model?"+span, 200, `len=3`, `0.model="m1"`, `0.sum_api_requests=4`, `0.daily_data.0.model_group="m1"`)
	f("sk-master", "/global/activity/cache_hits?"+span, 200, `totals.api_requests=5`, `totals.failed_requests=1`, `totals.cache_hit_ratio=0`, `error_breakdown.0.error_code="429"`,
		`error_breakdown.0.error_class="RateLimitError"`, `groups.0.call_type="acompletion"`)
	f("sk-master", "/global/activity/exceptions?"+span+"&model_group=m1", 200, `sum_num_rate_limit_exceptions=1`, `daily_data.0.date="Nov 21"`)
	f("sk-master", "/global/activity/exceptions/deployment?"+span+"&model_group=m1", 200, `0.model_id="dep-m1"`, `0.sum_num_rate_limit_exceptions=1`)
	f("sk-bob-key", "/global/activity/exceptions?"+span, 200, `sum_num_rate_limit_exceptions=0`)
	f("sk-master", "/gateway/daily/activity?"+span, 200, `total_successful_requests=5`, `total_failed_requests=1`, `by_date.len=3`, `by_route.0.route="/chat/completions"`)
	f("sk-master", "/model/metrics", 200, `data=[]`, `all_api_bases=[]`)
	f("sk-master", "/model/metrics?_selected_model_group=m1", 200, `data.len=3`, `data.0.dep-m1=0.0025`, `all_api_bases=["dep-m1"]`)
	f("sk-master", "/model/metrics?startTime=x&endTime=y", 400)
	f("sk-master", "/tag/summary?"+span, 200, `results.len=2`, `results.0.tag="t1"`, `results.0.unique_users=1`, `results.0.total_requests=2`)
	f("sk-master", "/tag/summary", 400)
	f("sk-master", "/tag/dau", 200, `results.len=3`, `results.0.active_users=1`)
	f("sk-master", "/tag/distinct", 200, `results.len=2`)
}

func TestCost(t *testing.T) {
	b := newBench(t)
	f := func(path, body string, status int, paths ...string) any {
		t.Helper()
		return b.want("sk-master", "POST", path, body, status, paths...)
	}
	out := f("/spend/calculate", `{"model":"m1","messages":[{"role":"user","content":"hi"}]}`, 200)
	if cost, ok := dig(out, "cost").(float64); !ok || cost < 5e-7 || cost > 3e-6 {
		t.Errorf("%v", out)
	}
	f("/spend/calculate", `{"completion_response":{"id":"x","object":"chat.completion","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}}`, 200, `cost=0.0035`)
	f("/spend/calculate", `{"model":"priced","completion_response":{"id":"x","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}}`, 200, `cost=0.03`)
	f("/spend/calculate", `{"completion_response":{"model":"gpt-4o","choices":[]}}`, 400, `error.param="completion_response"`)
	f("/spend/calculate", `{"completion_response":7}`, 400)
	f("/spend/calculate", `{"messages":[]}`, 400, `error.param="model"`)
	f("/spend/calculate", `{"model":"m1","messages":"hi"}`, 400)
	f("/spend/calculate", `{}`, 400)
	f("/spend/calculate", `{"model":"nobody-has-this","messages":[{"role":"user","content":"hi"}]}`, 404, `error.param="model"`)
	f("/cost/estimate", `{"model":"gpt-4o","input_tokens":1000,"output_tokens":100,"cache_read_input_tokens":400,"num_requests_per_day":10}`, 200, `cost_per_request=0.003`,
		`input_cost_per_request=0.002`, `output_cost_per_request=0.001`, `cache_read_cost_per_request=0.0005`, `daily_cost=0.03`, `monthly_cost=null`, `provider="openai"`,
		`input_cost_per_token=0.0000025`, `margin_cost_per_request=0`)
	f("/cost/estimate", `{"model":"gpt-4o","input_tokens":-1,"output_tokens":1}`, 400, `error.param="input_tokens"`)
	f("/cost/estimate", `{"model":"gpt-4o","output_tokens":1}`, 422)
	f("/cost/estimate", `{"model":"gpt-4o","input_tokens":1e40,"output_tokens":1}`, 422)
	f("/cost/estimate", `{"model":"none","input_tokens":1,"output_tokens":1}`, 404)
}

func TestAuditList(t *testing.T) {
	b := newBench(t)
	b.user("sk-u", "u", account.InternalUser, "")
	for i := range 3 {
		b.want("sk-master", "POST", "/model/new", fmt.Sprintf(`{"model_name":"n%d","litellm_params":{"model":"openai/gpt-4o","api_key":"sk-up-secret"},"model_info":{"id":"n%d"}}`, i, i), 200)
		b.now = b.now.Add(time.Hour)
	}
	f := func(query string, status int, paths ...string) any {
		t.Helper()
		return b.want("sk-master", "GET", "/audit"+query, "", status, paths...)
	}
	out := f("", 200, `total=3`, `page=1`, `page_size=10`, `total_pages=1`, `audit_logs.0.object_id="n2"`, `audit_logs.0.action="created"`, `audit_logs.0.changed_by="default_user_id"`,
		`audit_logs.0.changed_by_api_key="litellm_proxy_master_key"`, `audit_logs.0.table_name="LiteLLM_ProxyModelTable"`, `audit_logs.0.before_value=null`,
		`audit_logs.0.updated_values.model_name="n2"`)
	f("/"+dig(out, "audit_logs.0.id").(string), 200, `object_id="n2"`)
	f("/nope", 404)
	f("?object_id=n1", 200, `total=1`)
	f("?search=N", 200, `total=3`)
	f("?action=deleted", 200, `total=0`, `audit_logs=[]`, `total_pages=0`)
	f("?page_size=2&page=2", 200, `audit_logs.len=1`)
	f("?sort_order=asc", 200, `audit_logs.0.object_id="n0"`)
	f("?start_date=2026-11-21%2012:30:00&end_date=2026-11-21%2013:30:00", 200, `total=1`, `audit_logs.0.object_id="n1"`)
	f("?start_date=yesterday", 400, `error.param="start_date"`)
	f("?page_size=1000", 422)
	f("?sort_by=doc", 422)
	b.want("sk-u", "GET", "/audit", "", 401)
}

// TestSpend_sums books calls at random: whatever they are, every view's sums are the records' sum.
func TestSpend_sums(t *testing.T) {
	b := newBench(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	var records []usage.Record
	var total, tagged, inTeam llm.Nanos
	var tokens, failed int64
	first := time.Date(2026, 11, 12, 0, 0, 0, 0, time.UTC)
	for i := range 400 {
		start := first.Add(time.Duration(r.Int64N(int64(9 * 24 * time.Hour)))).UnixMilli()
		rec := usage.Record{ID: fmt.Sprint("r", i), RequestID: fmt.Sprint("c", i/2), Start: start, End: start + r.Int64N(1000), Key: pick("", "k1", "k2", "k3"), User: pick("", "u1", "u2"),
			Team: pick("", "t1", "t2"), Org: pick("", "o1"), EndUser: pick("", "e1", "e2"), Model: pick("m1", "m2", "openai/x"), Deployment: pick("d1", "d2"), Provider: pick("openai", "anthropic"),
			Upstream: pick("gpt-4o", "claude"), Op: llm.Op(pick("chat", "embedding", "rerank", "odd")), In: llm.Dialect(pick("openai", "anthropic", "")), Status: 200,
			Usage: llm.Usage{Input: r.Int64N(1000), Output: r.Int64N(100), CacheRead: r.Int64N(100)}, Cost: llm.Nanos(r.Int64N(3_000_000_000))}
		if r.IntN(5) == 0 {
			rec.ErrorKind, rec.Status = llm.ErrTimeout, 408
			failed++
		}
		for range r.IntN(3) {
			rec.Tags = append(rec.Tags, fmt.Sprint("tag", len(rec.Tags), r.IntN(2)))
		}
		total += rec.Cost
		tagged += rec.Cost * llm.Nanos(len(rec.Tags))
		if rec.Team != "" {
			inTeam += rec.Cost
		}
		tokens += rec.Usage.Sum()
		records = append(records, rec)
	}
	for i := 0; i < len(records); i += 37 {
		chunk := records[i:min(i+37, len(records))]
		if err := b.store.InsertRecords(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
		if err := b.store.InsertRecords(t.Context(), chunk[:1]); err != nil { // once more changes nothing
			t.Fatal(err)
		}
	}
	is := func(view string, got any, want llm.Nanos) {
		t.Helper()
		if f, ok := got.(float64); !ok || llm.Nanos(f*1e9+0.5) != want {
			t.Errorf("%s: %v, want %v", view, got, want.USD())
		}
	}
	sum := func(path, field string) any {
		t.Helper()
		out := b.want("sk-master", strings.Fields(path)[0], strings.Fields(path)[1], "", 200)
		return b.sumUp(out, field)
	}
	is("global", b.dig("/global/spend", "spend"), total)
	is("logs", sum("GET /spend/logs", "spend"), total)
	is("days", sum("GET /spend/logs?"+span, "spend"), total)
	is("global logs", sum("GET /global/spend/logs", "spend"), total)
	is("keys", sum("GET /global/spend/keys?limit=100", "total_spend"), total)
	is("models", sum("GET /global/spend/models?limit=100", "total_spend"), total)
	is("providers", sum("GET /global/spend/provider?"+span, "spend"), total)
	is("end users", sum("POST /global/spend/end_users", "total_spend"), total)
	is("tags", sum("GET /spend/tags", "total_spend"), tagged)
	is("by key", sum("GET /global/spend/report?"+span+"&group_by=api_key", "total_cost"), total)
	is("users", sum("GET /user/spend/report?"+span, "spend"), total)
	is("teams", b.sumUp(dig(b.want("sk-master", "GET", "/global/spend/teams", "", 200), "total_spend_per_team"), "total_spend"), total)
	is("tag summary", b.sumUp(dig(b.want("sk-master", "GET", "/tag/summary?"+span, "", 200), "results"), "total_spend"), tagged)
	is("aggregated", b.dig("/user/daily/activity/aggregated?"+span, "metadata.total_spend"), total)

	for view, want := range map[string]llm.Nanos{"/user/daily/activity": total, "/team/daily/activity": inTeam, "/tag/daily/activity": tagged} {
		var paged llm.Nanos
		parts := map[string]llm.Nanos{}
		for page := 1; ; page++ {
			out := b.want("sk-master", "GET", fmt.Sprintf("%s?%s&page=%d&page_size=100", view, span, page), "", 200)
			paged += nanos(dig(out, "metadata.total_spend"))
			results, _ := dig(out, "results").([]any)
			for _, day := range results {
				for _, part := range []string{"models", "model_groups", "providers", "endpoints", "api_keys", "entities"} {
					entries, _ := dig(day, "breakdown."+part).(map[string]any)
					for _, e := range entries {
						parts[part] += nanos(dig(e, "metrics.spend"))
					}
				}
			}
			if dig(out, "metadata.has_more") != true {
				break
			}
		}
		if paged != want {
			t.Errorf("%s: all pages have %d, want %d", view, paged, want)
		}
		for part, got := range parts {
			if got != want {
				t.Errorf("%s: %s have %d, want %d", view, part, got, want)
			}
		}
	}
	if got := b.dig("/global/activity?"+span, "sum_total_tokens"); got != float64(tokens) {
		t.Errorf("tokens: %v, want %d", got, tokens)
	}
	if got := b.dig("/gateway/daily/activity?"+span, "total_failed_requests"); got != float64(failed) {
		t.Errorf("failed: %v, want %d", got, failed)
	}
	if got := b.dig("/spend/logs/v2?"+span+"&page_size=1", "total"); got != float64(len(records)) {
		t.Errorf("records: %v", got)
	}
}

func nanos(v any) llm.Nanos {
	f, _ := v.(float64)
	return llm.Nanos(f*1e9 + 0.5)
}

func (b *bench) dig(path, at string) any {
	b.Helper()
	return dig(b.want("sk-master", "GET", path, "", 200), at)
}

// sumUp adds a field of a list's objects, exactly.
func (b *bench) sumUp(out any, field string) any {
	rows, _ := out.([]any)
	var sum llm.Nanos
	for _, row := range rows {
		sum += nanos(dig(row, field))
	}
	return sum.USD()
}
