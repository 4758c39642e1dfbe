package api

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// newTeamOffice is an office with team t, whose admin is ann and whose member is bob; cy is in no team, vi may see everything.
func newTeamOffice(t *testing.T) *office {
	t.Helper()
	o := newOffice(t)
	for _, id := range []string{"ann", "bob", "cy"} {
		o.hire(id, account.InternalUser)
	}
	o.hire("vi", account.ProxyAdminViewer)
	o.ok("POST /team/new", `{"team_id":"t","team_alias":"T","models":["m1","m2"],"max_budget":10,"budget_duration":"30d","rpm_limit":100,
		"members_with_roles":[{"role":"admin","user_id":"ann"},{"role":"user","user_id":"bob"}]}`)
	return o
}

func TestMemberAdd(t *testing.T) {
	o := newTeamOffice(t)
	f := func(key, body string, status int, want ...string) {
		t.Helper()
		o.expect(key, "POST /team/member_add", body, status, want...)
	}
	f(officeMaster, `{"team_id":"t","member":{"role":"user","user_id":"cy"},"max_budget_in_team":2.5}`, 200, `team_id="t"`,
		`members_with_roles.#=4`, `members_with_roles.3={"role":"user","user_email":"cy@example.com","user_id":"cy"}`,
		`updated_users.0.user_id="cy"`, `updated_users.0.teams=["t"]`, `updated_users.0.user_role="internal_user"`,
		`updated_team_memberships.0.litellm_budget_table.max_budget=2.5`, `updated_team_memberships.0.spend=0`)
	f(officeMaster, `{"team_id":"t","member":{"role":"user","user_id":"cy"}}`, 400, `error.type="team_member_already_in_team"`, `error.param="member"`)
	f(officeMaster, `{"team_id":"t","member":{"role":"user","user_email":"CY@example.com"}}`, 400, `error.type="team_member_already_in_team"`)
	f(officeMaster, `{"team_id":"no","member":{"role":"user","user_id":"cy"}}`, 404, `detail.error~Team=no`)
	f(officeMaster, `{"team_id":"t","member":{"role":"user"}}`, 422, `detail.0.msg~Either user id or user email`)
	f(officeMaster, `{"team_id":"t","member":{"role":"king","user_id":"x"}}`, 422, `detail.0.loc=["body","role"]`)
	f(officeMaster, `{"team_id":"t","member":[]}`, 400, `error.param="member"`)
	f(officeMaster, `{"team_id":"t","member":"cy"}`, 422, `detail.0.loc=["body"]`)
	f(officeMaster, `{"team_id":"t","member":[{"role":"user","user_id":"x"}],"max_budget_in_team":-1}`, 400, `error.param="max_budget_in_team"`)
	f(officeMaster, `{"team_id":"t","member":[{"role":"user","user_id":"x"}],"budget_duration":"soon"}`, 400, `error.param="budget_duration"`)
	f(officeMaster, `{"team_id":"t","member":[{"role":"user","user_id":"x\n"}]}`, 400, `error.param="user_id"`)
	f(officeMaster, `{}`, 422, `detail.0.loc=["body","member"]`, `detail.1.loc=["body","team_id"]`)
	// A list is all or nothing.
	f(officeMaster, `{"team_id":"t","member":[{"role":"user","user_id":"new"},{"role":"user","user_id":"bob"}]}`, 400)
	check(t, o.ok("GET /team/info?team_id=t", ""), `team_info.members_with_roles.#=4`)
	if u, err := get(t.Context(), o.store.Accounts().Users, "new"); u != nil || err != nil {
		t.Errorf("a refused call left user %v, %v", u, err)
	}
	f("sk-ann", `{"team_id":"t","member":[{"role":"user","user_email":"dee@example.com"},{"role":"admin","user_id":"eve"}]}`, 200,
		`updated_users.0.user_email="dee@example.com"`, `members_with_roles.5.role="admin"`)
	f("sk-bob", `{"team_id":"t","member":{"role":"user","user_id":"x"}}`, 401, `error.message~Only proxy admin`)
	f("sk-cy", `{"team_id":"no","member":{"role":"user","user_id":"cy"}}`, 401)
	f("sk-vi", `{"team_id":"t","member":{"role":"user","user_id":"vi"}}`, 401)
	// An open team may be joined, by oneself and as a user only.
	o.config.LiteLLM.UserDefaults = map[string]any{"available_teams": []any{"open"}}
	o.ok("POST /team/new", `{"team_id":"open"}`)
	o.expect("sk-bob", "GET /team/available", "", 200, `#=1`, `0.team_id="open"`)
	f("sk-bob", `{"team_id":"open","member":{"role":"admin","user_id":"bob"}}`, 401)
	f("sk-bob", `{"team_id":"open","member":{"role":"user","user_id":"cy"}}`, 401)
	f("sk-bob", `{"team_id":"open","member":{"role":"user","user_id":"bob"}}`, 200)
	o.expect("sk-bob", "GET /team/available", "", 200, `#=0`)
}

func TestMemberAdd_concurrent(t *testing.T) {
	o := newOffice(t)
	o.ok("POST /team/new", `{"team_id":"t"}`)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			body := fmt.Sprintf(`{"team_id":"t","member":{"role":"user","user_id":"u%d"},"max_budget_in_team":%d}`, i, i)
			o.expect(officeMaster, "POST /team/member_add", body, 200, fmt.Sprintf("updated_team_memberships.0.litellm_budget_table.max_budget=%d", i))
		})
	}
	wg.Wait()
	check(t, o.ok("GET /team/info?team_id=t", ""), `team_info.members_with_roles.#=51`, `team_memberships.#=51`)
}

func TestTeamUpdate_concurrent(t *testing.T) {
	o := newOffice(t)
	o.ok("POST /team/new", `{"team_id":"t","models":["m"]}`)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			o.expect(officeMaster, "POST /team/model/add", fmt.Sprintf(`{"team_id":"t","models":["m%d"]}`, i), 200)
		})
		wg.Go(func() {
			o.expect(officeMaster, "POST /team/update", fmt.Sprintf(`{"team_id":"t","model_rpm_limit":{"m":%d}}`, i), 200)
		})
	}
	wg.Wait()
	check(t, o.ok("GET /team/info?team_id=t", ""), `team_info.models.#=21`)
}

func TestMemberAddBulk(t *testing.T) {
	o := newTeamOffice(t)
	f := func(key, body string, status int, want ...string) {
		t.Helper()
		o.expect(key, "POST /team/bulk_member_add", body, status, want...)
	}
	f(officeMaster, `{"team_id":"t","members":[{"role":"user","user_id":"bob"},{"role":"user","user_id":"cy"}],"max_budget_in_team":1}`, 200,
		`total_requested=2`, `successful_additions=1`, `failed_additions=1`, `results.0.success=false`, `results.0.error~already in team`,
		`results.1.success=true`, `results.1.user_email="cy@example.com"`, `results.1.updated_user.teams=["t"]`,
		`results.1.updated_team_membership.litellm_budget_table.max_budget=1`, `updated_team.members_with_roles.#=4`)
	f(officeMaster, `{"team_id":"t","all_users":true}`, 200, `successful_additions=1`, `results.0.user_id="vi"`)
	f(officeMaster, `{"team_id":"t"}`, 400, `error.param="members"`)
	f(officeMaster, `{"team_id":"t","all_users":true,"members":[{"role":"user","user_id":"x"}]}`, 400, `error.param="members"`)
	f(officeMaster, `{"team_id":"no","members":[{"role":"user","user_id":"x"}]}`, 404)
	f(officeMaster, `{"members":[{"role":"user","user_id":"x"}]}`, 422, `detail.0.loc=["body","team_id"]`)
	f(officeMaster, `{"team_id":"t","members":[{"role":"user"}]}`, 200, `failed_additions=1`, `results.0.error~user id`)
	f("sk-ann", `{"team_id":"t","all_users":true}`, 403, `error.param="all_users"`)
	f("sk-bob", `{"team_id":"t","members":[{"role":"user","user_id":"x"}]}`, 401)
}

func TestMemberUpdate(t *testing.T) {
	o := newTeamOffice(t)
	f := func(key, body string, status int, want ...string) {
		t.Helper()
		o.expect(key, "POST /team/member_update", body, status, want...)
	}
	f(officeMaster, `{"team_id":"t","user_id":"bob","max_budget_in_team":3,"rpm_limit":5,"budget_duration":"1d","allowed_models":["m1"]}`, 200,
		`user_id="bob"`, `user_email="bob@example.com"`, `max_budget_in_team=3`, `rpm_limit=5`, `tpm_limit=null`, `allowed_models=["m1"]`)
	// What is not given stays, null takes it away; the budget stays the same row.
	f("sk-ann", `{"team_id":"t","user_email":"bob@example.com","rpm_limit":null,"tpm_limit":7}`, 200, `max_budget_in_team=3`, `rpm_limit=null`, `tpm_limit=7`)
	o.expect("sk-bob", "GET /team/t/members/me", "", 200, `litellm_budget_table.max_budget=3`, `litellm_budget_table.tpm_limit=7`,
		`litellm_budget_table.allowed_models=["m1"]`, `litellm_budget_table.budget_reset_at="2026-11-22T00:00:00.000000Z"`, `role="user"`,
		`user_email="bob@example.com"`, `team_alias="T"`)
	if _, n, err := o.store.Accounts().Budgets.Find(t.Context(), store.Query{}); n != 1 || err != nil {
		t.Errorf("%d budgets, %v", n, err)
	}
	f(officeMaster, `{"team_id":"t","user_id":"bob","role":"admin"}`, 200, `role="admin"`)
	f(officeMaster, `{"team_id":"t","user_id":"bob","role":"user"}`, 200)
	f(officeMaster, `{"team_id":"t","user_id":"cy","max_budget_in_team":3}`, 400, `detail.error~not found in team`)
	f(officeMaster, `{"team_id":"no","user_id":"bob"}`, 404)
	f(officeMaster, `{"team_id":"t"}`, 422, `detail.0.msg~user id or user email`)
	f(officeMaster, `{"team_id":"t","user_id":"bob","role":"king"}`, 422, `detail.0.loc=["body","role"]`)
	f(officeMaster, `{"team_id":"t","user_id":"bob","tpm_limit":-1}`, 400, `error.param="tpm_limit"`)
	f(officeMaster, `{"team_id":"t","user_id":"bob","budget_duration":"1y"}`, 400, `error.param="budget_duration"`)
	f(officeMaster, `{"team_id":"t","user_id":"bob","temp_budget_increase":1}`, 400, `error.param="temp_budget_increase"`)
	f("sk-bob", `{"team_id":"t","user_id":"bob","max_budget_in_team":100}`, 401)
	o.expect("sk-cy", "GET /team/t/members/me", "", 404, `error.param="team_id"`)
	o.expect(officeMaster, "GET /team/no/members/me", "", 404)

	who := account.Subject{Kind: account.OfMember, ID: account.MemberID("t", "bob")}
	o.edit(func(e *store.Edit) error { e.SetSpent(who, 2e9); return nil })
	o.expect("sk-ann", "POST /team/t/member/bob/reset_spend", `{"reset_to":5}`, 400, `error.param="reset_to"`)
	o.expect("sk-ann", "POST /team/t/member/bob/reset_spend", `{"reset_to":0.5}`, 200, `spend=0.5`, `previous_spend=2`)
	o.expect("sk-bob", "POST /team/t/member/bob/reset_spend", `{"reset_to":0}`, 401)
	o.expect(officeMaster, "POST /team/t/member/bob/reset_spend", `{}`, 422, `detail.0.loc=["body","reset_to"]`)
	o.expect("sk-bob", "POST /team/t/member/bob/reset_budget", `{}`, 401)
	o.ok("POST /team/update", `{"team_id":"t","team_member_budget":4,"team_member_budget_duration":"7d"}`)
	o.expect(officeMaster, "POST /team/t/member/bob/reset_budget", ``, 200, `budget_source="team_default"`)
	o.expect("sk-bob", "GET /team/t/members/me", "", 200, `litellm_budget_table.max_budget=4`, `spend=0.5`,
		`litellm_budget_table.budget_reset_at="2026-11-23T00:00:00.000000Z"`)
	if _, n, err := o.store.Accounts().Budgets.Find(t.Context(), store.Query{}); n != 1 || err != nil {
		t.Errorf("%d budgets, want the team's alone; %v", n, err)
	}
}

// The members' budget of a team and what its row shows; members who join later have it too, those with their own keep it.
func TestTeamMemberBudget(t *testing.T) {
	o := newTeamOffice(t)
	o.ok("POST /team/member_update", `{"team_id":"t","user_id":"bob","max_budget_in_team":1}`)
	o.ok("POST /team/update", `{"team_id":"t","team_member_budget":5,"team_member_rpm_limit":2}`)
	info := o.ok("GET /team/info?team_id=t", "")
	check(t, info, `team_info.team_member_budget_table.max_budget=5`, `team_info.team_member_budget_table.rpm_limit=2`,
		`team_info.team_member_budget_table.budget_duration="30d"`, `team_memberships.0.budget_source="team_default"`,
		`team_memberships.1.budget_source="custom"`, `team_memberships.1.litellm_budget_table.max_budget=1`,
		`team_memberships.0.litellm_budget_table.budget_reset_at="2026-12-01T00:00:00.000000Z"`)
	spends, err := o.store.Spends(t.Context(), account.Subject{Kind: account.OfMember, ID: account.MemberID("t", "ann")})
	if err != nil || len(spends) != 1 || spends[0].ResetAt == 0 {
		t.Errorf("ann's window: %v, %v", spends, err)
	}
	// A client that sends back the metadata it read changes nothing.
	o.ok("POST /team/update", `{"team_id":"t","metadata":`+show(at(info, "team_info.metadata"))+`}`)
	o.ok("POST /team/member_add", `{"team_id":"t","member":{"role":"user","user_id":"cy"}}`)
	check(t, o.ok("GET /team/info?team_id=t", ""), `team_memberships.3.litellm_budget_table.max_budget=5`)
	o.ok("POST /team/update", `{"team_id":"t","team_member_budget":null}`)
	check(t, o.ok("GET /team/info?team_id=t", ""), `team_info.team_member_budget_table.max_budget=null`, `team_info.team_member_budget_table.rpm_limit=2`)
}

// A member added by /user/new is as one added by /team/member_add, and an unknown member gets what new users get.
func TestMembers_ofNewUsers(t *testing.T) {
	o := newTeamOffice(t)
	o.ok("POST /user/new", `{"user_id":"eve","user_role":"internal_user","auto_create_key":false,"teams":[{"team_id":"t","max_budget_in_team":2,"user_role":"admin"}]}`)
	check(t, o.ok("GET /team/info?team_id=t", ""), `team_info.members_with_roles.3.user_id="eve"`, `team_memberships.3.litellm_budget_table.max_budget=2`,
		`team_memberships.3.budget_source="custom"`)
	o.ok("POST /user/delete", `{"user_ids":["eve"]}`)
	check(t, o.ok("GET /team/info?team_id=t", ""), `team_info.members_with_roles.#=3`)
	check(t, o.ok("GET /budget/list", ""), `#=0`)
	budget := 1.5
	o.config.LiteLLM.UserBudget = &budget
	check(t, o.ok("POST /team/member_add", `{"team_id":"t","member":{"role":"user","user_id":"fay"}}`), `updated_users.0.max_budget=1.5`)
	// Limits that stand in the member's own row count, are shown, and move to a budget row once they are changed.
	o.edit(func(e *store.Edit) error {
		m, err := e.Members.Get(t.Context(), account.MemberID("t", "bob"))
		if err != nil {
			return err
		}
		n, rpm := llm.Nanos(4e9), int64(9)
		m.MaxBudget, m.RPM = &n, &rpm
		return e.Members.Put(t.Context(), m)
	})
	o.expect("sk-bob", "GET /team/t/members/me", "", 200, `litellm_budget_table.max_budget=4`, `budget_id=null`)
	o.expect(officeMaster, "POST /team/member_update", `{"team_id":"t","user_id":"bob","max_budget_in_team":3}`, 200, `max_budget_in_team=3`, `rpm_limit=9`)
	o.expect("sk-bob", "GET /team/t/members/me", "", 200, `litellm_budget_table.max_budget=3`, `litellm_budget_table.rpm_limit=9`, `budget_id~-`)
}

func TestMemberDelete(t *testing.T) {
	o := newTeamOffice(t)
	o.ok("POST /team/member_update", `{"team_id":"t","user_id":"bob","max_budget_in_team":1}`)
	o.edit(func(e *store.Edit) error {
		return e.Keys.Put(t.Context(), &account.Key{Hash: auth.Hash("sk-team"), Name: "sk-...team", UserID: "bob", TeamID: "t"})
	})
	f := func(key, body string, status int, want ...string) {
		t.Helper()
		o.expect(key, "POST /team/member_delete", body, status, want...)
	}
	f("sk-bob", `{"team_id":"t","user_id":"ann"}`, 401)
	f(officeMaster, `{"team_id":"t"}`, 422)
	f(officeMaster, `{"team_id":"t","user_id":"cy"}`, 400, `detail.error="User not found in team"`)
	f(officeMaster, `{"team_id":"t","user_email":"nobody@example.com"}`, 400)
	f(officeMaster, `{"user_id":"cy"}`, 422, `detail.0.loc=["body","team_id"]`)
	f("sk-ann", `{"team_id":"t","user_email":"bob@example.com"}`, 200, `members_with_roles.#=2`)
	f("sk-ann", `{"team_id":"t","user_id":"bob"}`, 400)
	if _, err := o.dir.Load().Authenticate("sk-team", officeTime); err == nil {
		t.Error("the member's key of the team still works")
	}
	if _, err := o.dir.Load().Authenticate("sk-bob", officeTime); err != nil {
		t.Errorf("the member's own key: %v", err)
	}
	db := o.store.Accounts()
	if gone, n, err := db.Archive.Find(t.Context(), store.Query{}); n != 1 || err != nil || gone[0].TeamID != "t" {
		t.Errorf("archive: %v, %v", gone, err)
	}
	if _, n, err := db.Budgets.Find(t.Context(), store.Query{}); n != 0 || err != nil {
		t.Errorf("%d budgets are left, %v", n, err)
	}
}

// What an edit does to a team's own limits and who may do it.
func TestTeamUpdate(t *testing.T) {
	o := newTeamOffice(t)
	f := func(key, body string, status int, want ...string) {
		t.Helper()
		o.expect(key, "POST /team/update", body, status, want...)
	}
	f(officeMaster, `{"team_id":"t","team_alias":"T2","max_budget":200,"models":["m1"],"metadata":{"z":1}}`, 200, `team_id="t"`,
		`data.team_alias="T2"`, `data.max_budget=200`, `data.models=["m1"]`, `data.metadata={"z":1}`, `data.rpm_limit=100`,
		`data.litellm_organization_table=null`, `data.projects=null`)
	f(officeMaster, `{"team_id":"t","unknown_field":1}`, 200)
	f(officeMaster, `{"team_id":"no","max_budget":1}`, 404, `error.message~no`)
	f(officeMaster, `{"max_budget":1}`, 422, `detail.0.loc=["body","team_id"]`)
	f(officeMaster, `{"team_id":"t","max_budget":-5}`, 400, `error.param="max_budget"`)
	f(officeMaster, `{"team_id":"t","organization_id":"nope"}`, 400, `error.param="organization_id"`)
	f(officeMaster, `{"team_id":"t","budget_limits":[{"budget_duration":"1d","max_budget":1},{"budget_duration":"1d","max_budget":2}]}`, 400, `error.param="budget_limits"`)
	f(officeMaster, `{"team_id":"t","model_max_budget":{"m1":{"budget_limit":1,"time_period":"1d"}}}`, 200, `data.model_max_budget.m1.budget_limit=1`)
	f(officeMaster, `{"team_id":"t","guardrails":["pii"],"tags":["x"],"team_member_permissions":["/key/info"]}`, 200,
		`data.metadata={"guardrails":["pii"],"tags":["x"],"z":1}`, `data.team_member_permissions=["/key/info"]`)
	o.expect(officeMaster, "PATCH /team/t", `{"team_alias":"T3"}`, 200, `team_alias="T3"`, `team_id="t"`, `max_budget=200`)
	o.expect(officeMaster, "PATCH /team/no", `{"team_alias":"T3"}`, 404)

	// The team's admin changes what does not loosen it.
	f("sk-ann", `{"team_id":"t","team_alias":"T4","max_budget":150,"rpm_limit":50,"metadata":{}}`, 200, `data.max_budget=150`)
	for field, value := range map[string]string{"max_budget": "151", "rpm_limit": "null", "models": `["m1","m3"]`, "budget_duration": `"1d"`,
		"model_max_budget": `{}`, "tags": `[]`, "guardrails": `[]`, "model_aliases": `{"a":"b"}`, "access_group_ids": `["g"]`} {
		f("sk-ann", `{"team_id":"t","`+field+`":`+value+`}`, 403, `error.param="`+field+`"`)
	}
	f("sk-ann", `{"team_id":"t","models":[]}`, 403, `error.param="models"`)
	f("sk-ann", `{"team_id":"t","max_budget":null}`, 403, `error.param="max_budget"`)
	f("sk-bob", `{"team_id":"t","team_alias":"x"}`, 401)
	f("sk-cy", `{"team_id":"t","team_alias":"x"}`, 401)
	f("sk-cy", `{"team_id":"no","team_alias":"x"}`, 401)
	f("sk-vi", `{"team_id":"t","team_alias":"x"}`, 401)
	o.ok("POST /team/block", `{"team_id":"t"}`)
	f("sk-ann", `{"team_id":"t","blocked":false}`, 403, `error.param="blocked"`)
	check(t, o.ok("GET /team/info?team_id=t", ""), `team_info.team_alias="T4"`, `team_info.max_budget=150`, `team_info.models=["m1"]`, `team_info.blocked=true`)
}

// Blocking is effective when the call returns.
func TestTeamBlock(t *testing.T) {
	o := newTeamOffice(t)
	o.edit(func(e *store.Edit) error {
		return e.Keys.Put(t.Context(), &account.Key{Hash: auth.Hash("sk-team"), Name: "sk-...team", TeamID: "t"})
	})
	f := func(blocked bool) {
		t.Helper()
		_, err := o.dir.Load().Authenticate("sk-team", officeTime)
		if blocked != (err != nil) || blocked && err.HTTPStatus() != http.StatusUnauthorized {
			t.Errorf("blocked %v: %v", blocked, err)
		}
	}
	f(false)
	o.expect("sk-ann", "POST /team/block", `{"team_id":"t"}`, 401)
	check(t, o.ok("POST /team/block", `{"team_id":"t"}`), `blocked=true`, `team_id="t"`, `litellm_model_table=null`, `projects=null`)
	f(true)
	check(t, o.ok("POST /team/unblock", `{"team_id":"t"}`), `blocked=false`)
	f(false)
	o.expect(officeMaster, "POST /team/block", `{"team_id":"no"}`, 404, `detail.error="Team not found, passed team_id=no"`)
	o.expect(officeMaster, "POST /team/unblock", `{}`, 422, `detail.0.loc=["body","team_id"]`)
}

func TestTeamModels(t *testing.T) {
	o := newTeamOffice(t)
	o.expect(officeMaster, "POST /team/model/add", `{"team_id":"t","models":["m2","m3"]}`, 200, `models=["m1","m2","m3"]`)
	o.expect(officeMaster, "POST /team/model/delete", `{"team_id":"t","models":["m1","m3"]}`, 200, `models=["m2"]`)
	o.expect("sk-ann", "POST /team/model/add", `{"team_id":"t","models":["m9"]}`, 403, `error.param="models"`)
	// A list that runs empty does not become all models.
	o.expect("sk-ann", "POST /team/model/delete", `{"team_id":"t","models":["m2"]}`, 200, `models=["no-default-models"]`)
	o.expect(officeMaster, "POST /team/model/add", `{"team_id":"t","models":["m2"]}`, 200, `models=["m2"]`)
	o.ok("POST /team/new", `{"team_id":"all"}`)
	o.expect(officeMaster, "POST /team/model/add", `{"team_id":"all","models":["m2"]}`, 200, `models=["all-proxy-models","m2"]`)
	o.expect(officeMaster, "POST /team/model/add", `{"team_id":"t","models":[""]}`, 400, `error.param="models"`)
	o.expect(officeMaster, "POST /team/model/add", `{"team_id":"t"}`, 422, `detail.0.loc=["body","models"]`)
	o.expect(officeMaster, "POST /team/model/add", `{"team_id":"no","models":["m"]}`, 404)
	o.expect("sk-bob", "POST /team/model/delete", `{"team_id":"t","models":["m2"]}`, 401)
}

func TestTeamPermissions(t *testing.T) {
	o := newTeamOffice(t)
	o.expect("sk-ann", "POST /team/permissions_update", `{"team_id":"t","team_member_permissions":["/key/generate","/key/info"]}`, 200,
		`team_member_permissions=["/key/generate","/key/info"]`)
	o.expect("sk-bob", "GET /team/permissions_list?team_id=t", "", 200, `team_member_permissions=["/key/generate","/key/info"]`, `all_available_permissions.#=24`)
	o.expect("sk-cy", "GET /team/permissions_list?team_id=t", "", 401)
	o.expect("sk-bob", "POST /team/permissions_update", `{"team_id":"t","team_member_permissions":[]}`, 401)
	o.expect(officeMaster, "POST /team/permissions_update", `{"team_id":"t","team_member_permissions":["/team/new"]}`, 400, `error.param="team_member_permissions"`)
	o.expect(officeMaster, "POST /team/permissions_update", `{"team_id":"t"}`, 422)
	o.expect(officeMaster, "GET /team/permissions_list", "", 422, `detail.0.loc=["query","team_id"]`)
	o.expect(officeMaster, "GET /team/permissions_list?team_id=no", "", 404)
}

func TestTeamInfo(t *testing.T) {
	o := newTeamOffice(t)
	o.edit(func(e *store.Edit) error {
		e.SetSpent(account.Subject{Kind: account.OfTeam, ID: "t"}, 1_500_000_000)
		return e.Keys.Put(t.Context(), &account.Key{Hash: auth.Hash("sk-team"), Name: "sk-...team", TeamID: "t", Alias: "k"})
	})
	o.expect(officeMaster, "GET /team/info?team_id=t", "", 200, `team_id="t"`, `team_info.spend=1.5`, `team_info.caller_edit_access.kind="unrestricted"`,
		`keys.#=1`, `keys.0.token="`+auth.Hash("sk-team")+`"`, `keys.0.key_alias="k"`, `team_info.members_with_roles.0.user_alias=null`,
		`team_memberships.#=3`, `team_memberships.0.budget_source="none"`, `team_info.team_member_budget_table=null`,
		`team_info.access_group_details=null`, `team_info.model_max_budget_usage={}`)
	o.expect(officeMaster, "GET /team/info?team_id=t&key_limit=0", "", 200, `keys.#=0`)
	o.expect("sk-bob", "GET /team/info?team_id=t", "", 200, `team_info.caller_edit_access.kind="none"`)
	o.expect("sk-team", "GET /team/info?team_id=t", "", 200)
	o.expect("sk-vi", "GET /team/info?team_id=t", "", 200)
	o.expect("sk-cy", "GET /team/info?team_id=t", "", 403, `error.message~User=cy not authorized`)
	o.expect("sk-cy", "GET /team/info?team_id=no", "", 403) // as if it were there
	o.expect(officeMaster, "GET /team/info?team_id=no", "", 404, `error.message~passed team id: no`)
	o.expect(officeMaster, "GET /team/info", "", 422, `error.message~No team id`)
}

func TestTeamList(t *testing.T) {
	o := newTeamOffice(t)
	for i := range 12 {
		o.ok("POST /team/new", fmt.Sprintf(`{"team_id":"x%02d","team_alias":"X 100%% %02d"}`, i, i))
	}
	o.expect(officeMaster, "GET /team/list", "", 200, `#=13`, `0.team_alias="T"`, `0.team_memberships.#=3`, `0.keys=[]`)
	o.expect(officeMaster, "GET /team/list?user_id=bob", "", 200, `#=1`, `0.team_id="t"`, `0.team_memberships.#=1`, `0.team_memberships.0.user_id="bob"`)
	o.expect("sk-bob", "GET /team/list?user_id=bob", "", 200, `#=1`)
	o.expect("sk-bob", "GET /team/list?user_id=ann", "", 401, `detail.error~Your user role=internal_user`)
	o.expect("sk-bob", "GET /team/list", "", 401)
	o.expect("sk-vi", "GET /team/list", "", 200, `#=13`)
	o.expect(officeMaster, "GET /v2/team/list?page=2&page_size=5&sort_by=team_id", "", 200, `teams.#=5`, `total=13`, `page=2`, `page_size=5`,
		`total_pages=3`, `teams.0.team_id="x04"`, `teams.0.members_count=1`, `teams.0.keys_count=0`)
	o.expect(officeMaster, "GET /v2/team/list?team_alias=100%25", "", 200, `total=12`, `teams.#=10`)
	o.expect(officeMaster, "GET /v2/team/list?team_id=t", "", 200, `total=1`)
	o.expect(officeMaster, "GET /v2/team/list?page=9", "", 200, `teams=[]`, `total=13`)
	o.expect("sk-bob", "GET /v2/team/list", "", 200, `total=1`)
	o.expect("sk-bob", "GET /v2/team/list?user_id=ann", "", 401)
	o.expect(officeMaster, "GET /v2/team/list?sort_by=doc", "", 400, `error.param="sort_by"`)
	o.expect(officeMaster, "GET /v2/team/list?page_size=1000", "", 422, `detail.0.loc=["query","page_size"]`)
	o.expect(officeMaster, "GET /v2/team/list?page=0", "", 422)
	o.expect(officeMaster, "GET /v2/team/list?page=x", "", 422)
	o.expect("sk-cy", "GET /v2/team/list", "", 200, `total=0`, `teams=[]`)
	o.ok("POST /team/delete", `{"team_ids":["x01"]}`)
	o.expect(officeMaster, "GET /v2/team/list?status=deleted", "", 200, `total=1`, `teams.0.team_id="x01"`, `teams.0.deleted_by="default_user_id"`)
}

func TestTeamDelete(t *testing.T) {
	o := newTeamOffice(t)
	o.ok("POST /team/new", `{"team_id":"u","team_member_budget":1}`)
	o.edit(func(e *store.Edit) error {
		e.SetSpent(account.Subject{Kind: account.OfTeam, ID: "t"}, llm.Nanos(3e9))
		if err := e.Models.Put(t.Context(), &account.Model{ID: "dep", Name: "own", TeamID: "t"}); err != nil {
			return err
		}
		return e.Keys.Put(t.Context(), &account.Key{Hash: auth.Hash("sk-team"), Name: "sk-...team", TeamID: "t", UserID: "bob"})
	})
	f := func(key, body string, status int, want ...string) {
		t.Helper()
		o.expect(key, "POST /team/delete", body, status, want...)
	}
	f("sk-ann", `{"team_ids":["t"]}`, 401)
	f(officeMaster, `{}`, 422, `detail.0.loc=["body","team_ids"]`)
	f(officeMaster, `{"team_ids":[]}`, 400, `error.param="team_ids"`)
	f(officeMaster, `{"team_ids":["u","no"]}`, 404, `detail.error="Team not found, passed team_id=no"`)
	o.ok("GET /team/info?team_id=u", "") // all or none
	f(officeMaster, `{"team_ids":["t","u"]}`, 200, `deleted_teams=["t","u"]`)
	o.expect(officeMaster, "GET /team/info?team_id=t", "", 404)
	db := o.store.Accounts()
	for what, count := range map[string]func() (int64, error){
		"members": func() (int64, error) { _, n, err := db.Members.Find(t.Context(), store.Query{}); return n, err },
		"models":  func() (int64, error) { _, n, err := db.Models.Find(t.Context(), store.Query{}); return n, err },
		"budgets": func() (int64, error) { _, n, err := db.Budgets.Find(t.Context(), store.Query{}); return n, err },
		"keys": func() (int64, error) {
			_, n, err := db.Keys.Find(t.Context(), store.Query{Where: map[string]string{"team_id": "t"}})
			return n, err
		},
	} {
		if n, err := count(); n != 0 || err != nil {
			t.Errorf("%d %s are left, %v", n, what, err)
		}
	}
	gone, _, err := db.Archive.Find(t.Context(), store.Query{Where: map[string]string{"kind": "teams", "team_id": "t"}})
	if err != nil || len(gone) != 1 || gone[0].Spent != 3e9 {
		t.Errorf("archive: %v, %v", gone, err)
	}
	if _, err := o.dir.Load().Authenticate("sk-team", officeTime); err == nil {
		t.Error("a key of the deleted team still works")
	}
	// A new team of that id begins anew.
	check(t, o.ok("POST /team/new", `{"team_id":"t"}`), `spend=0`, `members_with_roles.#=1`)
}
