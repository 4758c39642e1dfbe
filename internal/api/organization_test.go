package api

import (
	"testing"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/store"
)

// newOrgOffice is an office with organization o, run by ann, with bob in it; cy is in none.
func newOrgOffice(t *testing.T) *office {
	t.Helper()
	o := newOffice(t)
	for _, id := range []string{"ann", "bob", "cy"} {
		o.hire(id, account.InternalUser)
	}
	o.ok("POST /organization/new", `{"organization_id":"o","organization_alias":"Org","models":["m1","m2"],"max_budget":100,"budget_duration":"30d","rpm_limit":1000}`)
	o.ok("POST /organization/member_add", `{"organization_id":"o","member":[{"role":"org_admin","user_id":"ann"},{"role":"internal_user","user_id":"bob"}]}`)
	return o
}

func TestOrganizations(t *testing.T) {
	o := newOffice(t)
	o.hire("cy", account.InternalUser)
	viewer := o.hire("vi", account.ProxyAdminViewer)
	o.ok("POST /budget/new", `{"budget_id":"std","max_budget":50}`)
	f := func(path, body string, status int, want ...string) {
		t.Helper()
		o.expect(officeMaster, path, body, status, want...)
	}
	f("POST /organization/new", `{"organization_id":"o","organization_alias":"Org","models":["m1"],"max_budget":100,"budget_duration":"30d",
		"metadata":{"a":1},"model_rpm_limit":{"m1":3}}`, 200, `organization_id="o"`, `organization_alias="Org"`, `budget_id~-`, `spend=0`,
		`metadata={"a":1,"model_rpm_limit":{"m1":3}}`, `models=["m1"]`, `model_spend={}`, `created_by="default_user_id"`,
		`updated_by="default_user_id"`, `users=null`, `litellm_budget_table.max_budget=100`, `object_permission=null`, `object_permission_id=null`)
	f("POST /organization/new", `{"organization_alias":"Bare"}`, 200, `organization_id~-`, `budget_id~-`, `litellm_budget_table.max_budget=null`)
	f("POST /organization/new", `{"organization_alias":"Shared","budget_id":"std"}`, 200, `budget_id="std"`)
	f("POST /organization/new", `{"organization_id":"o","organization_alias":"x"}`, 400, `error.param="organization_id"`)
	f("POST /organization/new", `{}`, 422, `detail.0.loc=["body","organization_alias"]`)
	f("POST /organization/new", `{"organization_alias":""}`, 400, `error.param="organization_alias"`)
	f("POST /organization/new", `{"organization_alias":"x","max_budget":-1}`, 400, `error.param="max_budget"`)
	f("POST /organization/new", `{"organization_alias":"x","budget_id":"no"}`, 404, `error.param="budget_id"`)
	f("POST /organization/new", `{"organization_alias":"x","budget_id":"std","max_budget":1}`, 400, `error.param="budget_id"`)
	f("POST /organization/new", `{"organization_alias":"x","budget_duration":"1q"}`, 400, `error.param="budget_duration"`)
	f("POST /organization/new", `{"organization_alias":"x","models":"m1"}`, 422, `detail.0.loc=["body","models"]`)
	f("PATCH /organization/update", `{"organization_id":"o","organization_alias":"Org2","max_budget":200}`, 200, `organization_alias="Org2"`,
		`litellm_budget_table.max_budget=200`, `litellm_budget_table.budget_duration="30d"`, `members=[]`, `teams=[]`)
	f("PATCH /organization/update", `{"organization_id":"no"}`, 404, `error.param="organization_id"`)
	f("PATCH /organization/update", `{"organization_alias":"x"}`, 422, `detail.0.loc=["body","organization_id"]`)
	f("GET /organization/list", "", 200, `#=3`)
	f("GET /organization/list?org_alias=ORG", "", 200, `#=1`, `0.organization_id="o"`)
	f("GET /organization/list?org_id=o", "", 200, `#=1`)
	f("GET /organization/info?organization_id=o", "", 200, `organization_alias="Org2"`, `litellm_budget_table.max_budget=200`)
	f("GET /organization/info?organization_id=no", "", 404, `error.param="organization_id"`)
	f("GET /organization/info", "", 422, `detail.0.loc=["query","organization_id"]`)
	f("POST /organization/info", `{"organizations":["o"]}`, 200, `#=1`)
	f("POST /organization/info", `{"organizations":[]}`, 400, `error.param="organizations"`)
	o.expect("sk-cy", "GET /organization/list", "", 200, `#=0`)
	o.expect("sk-cy", "GET /organization/info?organization_id=o", "", 401)
	o.expect("sk-cy", "POST /organization/new", `{"organization_alias":"mine"}`, 401, `error.type="auth_error"`)
	o.expect(viewer, "GET /organization/list", "", 200, `#=3`)
	o.expect(viewer, "PATCH /organization/update", `{"organization_id":"o"}`, 401)
	o.expect(viewer, "DELETE /organization/delete", `{"organization_ids":["o"]}`, 401)
}

func TestOrganizationMembers(t *testing.T) {
	o := newOrgOffice(t)
	f := func(key, path, body string, status int, want ...string) {
		t.Helper()
		o.expect(key, path, body, status, want...)
	}
	const add, update, remove = "POST /organization/member_add", "PATCH /organization/member_update", "DELETE /organization/member_delete"
	f("sk-ann", add, `{"organization_id":"o","member":{"role":"internal_user","user_email":"new@example.com"},"max_budget_in_organization":5}`, 200,
		`organization_id="o"`, `updated_users.0.user_email="new@example.com"`, `updated_organization_memberships.0.user_role="internal_user"`,
		`updated_organization_memberships.0.litellm_budget_table.max_budget=5`)
	f("sk-ann", add, `{"organization_id":"o","member":{"role":"internal_user","user_id":"bob"}}`, 400, `error.param="member"`)
	f("sk-ann", add, `{"organization_id":"o","member":{"role":"proxy_admin","user_id":"cy"}}`, 422, `detail.0.loc=["body","role"]`)
	f("sk-ann", add, `{"organization_id":"o","member":{"role":"internal_user"}}`, 422)
	f("sk-ann", add, `{"organization_id":"o","member":[]}`, 400, `error.param="member"`)
	f("sk-ann", add, `{}`, 422, `detail.#=2`)
	f("sk-bob", add, `{"organization_id":"o","member":{"role":"org_admin","user_id":"bob"}}`, 401)
	f("sk-ann", add, `{"organization_id":"other","member":{"role":"org_admin","user_id":"ann"}}`, 401)
	f(officeMaster, add, `{"organization_id":"other","member":{"role":"org_admin","user_id":"ann"}}`, 404)
	f("sk-ann", update, `{"organization_id":"o","user_id":"bob","role":"internal_user_viewer","max_budget_in_organization":2}`, 200,
		`user_role="internal_user_viewer"`, `litellm_budget_table.max_budget=2`, `user_email="bob@example.com"`)
	f("sk-ann", update, `{"organization_id":"o","user_id":"cy","role":"internal_user"}`, 404, `error.param="user_id"`)
	f("sk-ann", update, `{"organization_id":"o","user_id":"bob","role":"king"}`, 422, `detail.0.loc=["body","role"]`)
	f("sk-ann", update, `{"organization_id":"o","role":"internal_user"}`, 422)
	f("sk-bob", update, `{"organization_id":"o","user_id":"bob","role":"org_admin"}`, 401)
	f("sk-bob", remove, `{"organization_id":"o","user_id":"ann"}`, 401)
	f("sk-ann", remove, `{"organization_id":"o","user_email":"bob@example.com"}`, 200, `user_id="bob"`)
	f("sk-ann", remove, `{"organization_id":"o","user_id":"bob"}`, 404)
	f("sk-bob", "GET /organization/info?organization_id=o", "", 401)
	f("sk-ann", "GET /organization/info?organization_id=o", "", 200, `members.#=2`, `users.#=2`)
	f("sk-ann", "GET /organization/list", "", 200, `#=1`)
}

// What an organization's admin may do with it and its teams, and where that ends.
func TestOrganization_teams(t *testing.T) {
	o := newOrgOffice(t)
	o.ok("POST /organization/new", `{"organization_id":"p","organization_alias":"Other"}`)
	f := func(path, body string, status int, want ...string) {
		t.Helper()
		o.expect("sk-ann", path, body, status, want...)
	}
	f("POST /team/new", `{"team_id":"t","organization_id":"o","models":["m1"],"max_budget":50}`, 200, `organization_id="o"`, `members_with_roles.0.user_id="ann"`)
	f("POST /team/new", `{"team_id":"u"}`, 401)
	f("POST /team/new", `{"team_id":"u","organization_id":"p"}`, 401)
	f("POST /team/new", `{"team_id":"u","organization_id":"no"}`, 401)
	f("POST /team/new", `{"team_id":"u","organization_id":"o","models":["m9"]}`, 400, `error.param="models"`)
	f("POST /team/new", `{"team_id":"u","organization_id":"o","max_budget":101}`, 400, `error.param="max_budget"`)
	f("POST /team/new", `{"team_id":"u","organization_id":"o","rpm_limit":1001}`, 400, `error.param="rpm_limit"`)
	f("POST /team/update", `{"team_id":"t","max_budget":90,"models":["m1","m2"]}`, 200, `data.max_budget=90`)
	f("POST /team/update", `{"team_id":"t","max_budget":101}`, 400, `error.param="max_budget"`)
	f("POST /team/update", `{"team_id":"t","organization_id":null}`, 403, `error.param="organization_id"`)
	f("POST /team/update", `{"team_id":"t","organization_id":"p"}`, 403, `error.param="organization_id"`)
	f("GET /team/list?organization_id=o", "", 200, `#=1`)
	f("GET /team/list?organization_id=p", "", 401)
	f("GET /v2/team/list?organization_id=o", "", 200, `total=1`)
	f("GET /team/info?team_id=t", "", 200, `team_info.organization_models=["m1","m2"]`, `team_info.caller_edit_access.kind="unrestricted"`)
	f("POST /team/block", `{"team_id":"t"}`, 200, `blocked=true`)
	f("POST /team/unblock", `{"team_id":"t"}`, 200)
	f("PATCH /organization/update", `{"organization_id":"o","organization_alias":"Mine","models":["m1"]}`, 200, `models=["m1"]`)
	f("PATCH /organization/update", `{"organization_id":"o","models":["m1","m2"]}`, 403, `error.param="models"`)
	f("PATCH /organization/update", `{"organization_id":"o","models":[]}`, 403, `error.param="models"`)
	f("PATCH /organization/update", `{"organization_id":"o","max_budget":1000}`, 403, `error.param="max_budget"`)
	f("PATCH /organization/update", `{"organization_id":"o","budget_id":null}`, 403)
	f("PATCH /organization/update", `{"organization_id":"p","organization_alias":"Mine"}`, 401)
	f("DELETE /organization/delete", `{"organization_ids":["o"]}`, 401)
	o.expect(officeMaster, "GET /organization/info?organization_id=o", "", 200, `litellm_budget_table.max_budget=100`, `models=["m1"]`, `teams.#=1`)

	o.edit(func(e *store.Edit) error {
		return e.Keys.Put(t.Context(), &account.Key{Hash: auth.Hash("sk-org"), Name: "sk-...org", OrgID: "o"})
	})
	o.expect(officeMaster, "DELETE /organization/delete", `{"organization_ids":["o","no"]}`, 404)
	o.expect(officeMaster, "DELETE /organization/delete", `{"organization_ids":[]}`, 400, `error.param="organization_ids"`)
	o.expect(officeMaster, "DELETE /organization/delete", `{"organization_ids":["o"]}`, 200, `#=1`, `0.organization_id="o"`, `0.teams.#=1`, `0.members.#=2`)
	f("GET /team/info?team_id=t", "", 403)
	if _, err := o.dir.Load().Authenticate("sk-org", officeTime); err == nil {
		t.Error("a key of the deleted organization still works")
	}
	if _, n, err := o.store.Accounts().OrgMembers.Find(t.Context(), store.Query{}); n != 0 || err != nil {
		t.Errorf("%d members are left, %v", n, err)
	}
}
