package limit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// TestRefusal_Err has LiteLLM 1.106.2's own texts, as recorded.
func TestRefusal_Err(t *testing.T) {
	c := newClock()
	f := func(change func(*Rule), spent llm.Nanos, want string) *llm.Error {
		t.Helper()
		l := New(Options{Now: c.now})
		r := Unlimited(key("h"))
		change(&r)
		l.Load([]account.Spend{{Subject: r.Subject, Total: spent}})
		b := l.Bind([]Rule{r})
		var res, held Reservation
		refused := l.Reserve(t.Context(), &held, Need{Tokens: 1000, Cost: 1000, Model: r.Subject.Model}, b)
		if refused == nil {
			refused = l.Reserve(t.Context(), &res, Need{Model: r.Subject.Model}, b)
		}
		if refused == nil {
			t.Fatalf("not refused: %s", want)
		}
		e := refused.Err()
		if e.Message != want {
			t.Errorf("said\n%s\nwant\n%s", e.Message, want)
		}
		return e
	}
	of := func(k account.Kind, id string) func(*Rule) {
		return func(r *Rule) { r.Subject = account.Subject{Kind: k, ID: id}; r.Budget = dollars(0.2) }
	}
	const reset = " Limit resets at: 2026-11-21 13:15:15 UTC"
	e := f(func(r *Rule) { r.RPM = 1 }, 0, "Rate limit exceeded for api_key: h. Limit type: requests. Current limit: 1, Remaining: 0."+reset)
	if e.HTTPStatus() != 429 || e.RetryAfter != time.Minute || e.Kind != llm.ErrRateLimit {
		t.Errorf("%+v", e)
	}
	if diff := cmp.Diff(map[string][]string{"Rate_limit_type": {"requests"}, "Reset_at": {"2026-11-21 13:15:15 UTC"}}, map[string][]string(e.Header)); diff != "" {
		t.Error(diff)
	}
	f(func(r *Rule) { r.RPM = 0 }, 0, "Rate limit exceeded for api_key: h. Limit type: requests. Current limit: 0, Remaining: 0."+reset)
	f(func(r *Rule) { r.TPM = 10 }, 0, "Rate limit exceeded for api_key: h. Limit type: tokens. Current limit: 10, Remaining: 0."+reset)
	e = f(func(r *Rule) { r.Parallel = 1 }, 0, "Rate limit exceeded for api_key: h. Limit type: max_parallel_requests. Current limit: 1, Remaining: 0."+
		" Limit resets at: 2026-11-21 13:14:16 UTC")
	if e.RetryAfter != time.Second {
		t.Errorf("%+v", e)
	}
	f(func(r *Rule) { r.Subject.Model = "m1"; r.RPM = 1 }, 0,
		"Rate limit exceeded for model_per_key: h:m1. Limit type: requests. Current limit: 1, Remaining: 0."+reset)
	f(func(r *Rule) { of(account.OfMember, account.MemberID("t", "u"))(r); r.Budget = nil; r.RPM = 0 }, 0,
		"Rate limit exceeded for team_member: t:u. Limit type: requests. Current limit: 0, Remaining: 0."+reset)

	e = f(func(r *Rule) { of(account.OfKey, "h")(r); r.Name = "sk-...abcd" }, 210_000_000,
		"Budget has been exceeded! Key=key (sk-...abcd) Current cost: 0.21, Max budget: 0.2")
	if e.HTTPStatus() != 422 || e.Header.Get("x-should-retry") != "false" || e.RetryAfter != 0 {
		t.Errorf("%+v", e)
	}
	f(func(r *Rule) { r.Budget = dollars(0); r.Name = "sk-...abcd" }, 0,
		"Budget has been exceeded! Key=key (sk-...abcd) Current cost: 0.0, Max budget: 0.0")
	f(of(account.OfCustomer, "cust-1"), 210_000_000, "ExceededBudget: End User=cust-1 over budget. Spend=0.21, Budget=0.2")
	f(of(account.OfUser, "user-b"), 210_000_000, "ExceededBudget: User=user-b over budget. Spend=0.21, Budget=0.2")
	f(of(account.OfTeam, "team-b"), 210_000_000, "Budget has been exceeded! Team=team-b Current cost: 0.21, Max budget: 0.2")
	f(of(account.OfTag, "tag-a"), 210_000_000, "Budget has been exceeded! Tag=tag-a Current cost: 0.21, Max budget: 0.2")
	f(of(account.OfMember, account.MemberID("t", "u")), 210_000_000,
		"Budget has been exceeded! User=u in Team=t Current cost: 0.21, Max budget: 0.2")
	f(func(r *Rule) { of(account.OfKey, "h")(r); r.Subject.Model = "m1"; r.Alias = "a" }, 210_000_000,
		"LiteLLM Virtual Key: h, key_alias: a, exceeded budget for model=m1. Current cost: 0.21, Max budget: 0.2")
	e = f(func(r *Rule) { of(account.OfTeam, "t")(r); n := llm.Nanos(1000); r.Budget = &n }, 0,
		"Budget has been exceeded! Team=t Current cost: 0.000001, Max budget: 0.000001 (0.000001 of it is reserved by calls in flight)")
	if e.RetryAfter != time.Second || e.Header.Get("x-should-retry") != "" {
		t.Errorf("%+v", e)
	}
}
