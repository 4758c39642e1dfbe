package api

import (
	"testing"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/store"
)

func TestTeamNew(t *testing.T) {
	o := newOffice(t)
	o.hire("user-2", account.InternalUser)
	internal := o.hire("ann", account.InternalUser)
	f := func(body string, status int, want ...string) {
		t.Helper()
		o.expect(officeMaster, "POST /team/new", body, status, want...)
	}
	f(`{"team_alias":"only-alias"}`, 200, `team_alias="only-alias"`, `organization_id=null`, `admins=[]`, `members=[]`,
		`members_with_roles=[{"role":"admin","user_email":null,"user_id":"default_user_id"}]`, `team_member_permissions=[]`, `metadata={}`,
		`tpm_limit=null`, `tpd_limit=null`, `max_budget=null`, `budget_limits=null`, `models=[]`, `blocked=false`, `router_settings={}`,
		`access_group_ids=[]`, `default_team_member_models=[]`, `spend=0`, `max_parallel_requests=null`, `budget_reset_at=null`,
		`model_id=null`, `model_spend={}`, `model_max_budget={}`, `policies=[]`, `allow_team_guardrail_config=false`,
		`litellm_model_table=null`, `object_permission=null`, `object_permission_id=null`)
	f(`{}`, 200, `team_alias=null`)
	f(`{"team_id":"team-1","team_alias":"Team One","models":["m1","m2"],"max_budget":100,"budget_duration":"30d","tpm_limit":100000,
		"rpm_limit":1000,"members_with_roles":[{"role":"admin","user_id":"user-2"}],"metadata":{"cc":"1"},"blocked":false,"tags":null,
		"model_aliases":{"fast":"m1"},"team_member_budget":5.0,"team_member_rpm_limit":50,"team_member_tpm_limit":5000}`, 200,
		`team_id="team-1"`, `members_with_roles.0={"role":"admin","user_email":"user-2@example.com","user_id":"user-2"}`,
		`members_with_roles.1.user_id="default_user_id"`, `metadata.cc="1"`, `metadata.team_member_budget_id~-`, `max_budget=100`,
		`budget_reset_at="2026-12-01T00:00:00.000000Z"`, `litellm_model_table.model_aliases={"fast":"m1"}`)
	f(`{"team_id":"team-1"}`, 400, `error.message~team-1 already exists`, `error.param="team_id"`)
	f(`{"organization_id":"org-nope"}`, 400, `error.message~organization_id=org-nope`)
	f(`{"members_with_roles":[{"role":"king","user_id":"user-2"}]}`, 422, `detail.0.loc=["body","members_with_roles",0,"role"]`)
	f(`{"members_with_roles":[{"role":"user"}]}`, 422, `detail.0.msg~user id or user email`)
	f(`{"team_id":"team-2","members_with_roles":[{"role":"user","user_id":"brand-new-user"}]}`, 200, `members_with_roles.0.user_id="brand-new-user"`)
	f(`{"team_id":"tags","tags":["a"],"model_rpm_limit":{"m1":5},"budget_limits":[{"budget_duration":"1d","max_budget":2}]}`, 200,
		`metadata={"model_rpm_limit":{"m1":5},"tags":["a"]}`, `budget_limits.0.max_budget=2`, `budget_limits.0.reset_at="2026-11-22T00:00:00.000000Z"`)
	f(`{"max_budget":-1}`, 400, `error.param="max_budget"`)
	f(`{"rpm_limit":-1}`, 400, `error.param="rpm_limit"`)
	f(`{"team_member_budget":-1}`, 400, `error.param="team_member_budget"`)
	f(`{"budget_duration":"1y"}`, 400, `error.param="budget_duration"`)
	f(`{"team_member_budget":1,"team_member_budget_duration":"x"}`, 400, `error.param="team_member_budget_duration"`)
	f(`{"models":"m1"}`, 422, `detail.0.loc=["body","models"]`)
	f(`{"tpm_limit":"many"}`, 422, `detail.0.loc=["body","tpm_limit"]`)
	f(`{"metadata":{"model_rpm_limit":{"m":-1}}}`, 400, `error.param="metadata"`)
	f(`{"team_id":"a\u001fb"}`, 400, `error.param="team_id"`)
	f(`{"team_member_permissions":["/all"]}`, 400, `error.param="team_member_permissions"`)
	f(`{"budget_id":"nope"}`, 404, `error.param="budget_id"`)
	f(`{"team_alias":"x",}`, 400, `error.message~line 1, column 18`)
	o.expect(internal, "POST /team/new", `{"team_alias":"nope"}`, 401, `error.message~Only proxy admin`, `error.type="auth_error"`)
	if u, err := o.store.Accounts().Users.Get(t.Context(), "brand-new-user"); err != nil || u.Role != account.InternalUser {
		t.Errorf("the unknown member is %v, %v", u, err)
	}
	// What was refused left nothing behind.
	if _, n, err := o.store.Accounts().Teams.Find(t.Context(), store.Query{}); n != 5 || err != nil {
		t.Errorf("%d teams, %v", n, err)
	}
}
