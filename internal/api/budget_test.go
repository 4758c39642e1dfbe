package api

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/store"
)

func TestBudgets(t *testing.T) {
	o := newOffice(t)
	internal := o.hire("ann", account.InternalUser)
	viewer := o.hire("vi", account.ProxyAdminViewer)
	f := func(path, body string, status int, want ...string) {
		t.Helper()
		o.expect(officeMaster, path, body, status, want...)
	}
	f("POST /budget/new", `{"budget_id":"std","max_budget":50,"rpm_limit":100,"budget_duration":"30d","model_max_budget":{"m1":{"max_budget":1,"budget_duration":"1d"}}}`, 200,
		`budget_id="std"`, `max_budget=50`, `soft_budget=null`, `max_parallel_requests=null`, `tpm_limit=null`, `rpm_limit=100`, `tpd_limit=null`,
		`budget_duration="30d"`, `budget_reset_at="2026-12-01T00:00:00.000000Z"`, `allowed_models=[]`, `temp_budget_increase=null`,
		`created_by="default_user_id"`, `updated_by="default_user_id"`, `organization=null`, `team_membership=null`, `model_max_budget.m1.budget_limit=1`)
	f("POST /budget/new", `{"max_budget":0.1}`, 200, `budget_id~-`)
	f("POST /budget/new", `{"budget_id":"std"}`, 400, `error.param="budget_id"`, `error.message~already exists`)
	f("POST /budget/new", `{"max_budget":-1}`, 400, `error.param="max_budget"`)
	f("POST /budget/new", `{"max_budget":"lots"}`, 422, `detail.0.loc=["body","max_budget"]`)
	f("POST /budget/new", `{"budget_duration":"1y"}`, 400, `error.param="budget_duration"`)
	f("POST /budget/new", `{"rpm_limit":1.5}`, 422, `detail.0.loc=["body","rpm_limit"]`)
	f("POST /budget/new", `{"budget_id":"`+strings.Repeat("x", 300)+`"}`, 400, `error.param="budget_id"`)
	f("POST /budget/update", `{"budget_id":"std","max_budget":60,"rpm_limit":null}`, 200, `max_budget=60`, `rpm_limit=null`, `budget_duration="30d"`)
	f("POST /budget/update", `{"budget_id":"no","max_budget":60}`, 404, `error.param="budget_id"`)
	f("POST /budget/update", `{"max_budget":60}`, 422, `detail.0.loc=["body","budget_id"]`)
	f("POST /budget/info", `{"budgets":["std"]}`, 200, `#=1`, `0.budget_id="std"`, `0.max_budget=60`)
	f("POST /budget/info", `{"budgets":[]}`, 400, `error.param="budgets"`)
	f("POST /budget/info", `{}`, 422, `detail.0.loc=["body","budgets"]`)
	f("GET /budget/list", "", 200, `#=2`)
	f("GET /budget/settings?budget_id=std", "", 200, `#=6`, `4.field_name="max_budget"`, `4.field_value=60`, `4.stored_in_db=true`, `1.stored_in_db=false`)
	f("GET /budget/settings?budget_id=no", "", 404)
	f("GET /budget/settings", "", 422, `detail.0.loc=["query","budget_id"]`)
	for _, path := range []string{"POST /budget/new", "POST /budget/update", "POST /budget/delete"} {
		o.expect(internal, path, `{"id":"std","budget_id":"std","max_budget":1}`, 401, `error.type="auth_error"`, `error.message~Only proxy admin`)
		o.expect(viewer, path, `{"id":"std","budget_id":"std","max_budget":1}`, 401)
	}
	o.expect(internal, "GET /budget/list", "", 401)
	o.expect(viewer, "GET /budget/list", "", 200)
	f("POST /budget/delete", `{"id":"no"}`, 404, `error.param="id"`)
	f("POST /budget/delete", `{}`, 422, `detail.0.loc=["body","id"]`)
	f("POST /budget/delete", `{"id":"std"}`, 200, `budget_id="std"`)
	f("GET /budget/list", "", 200, `#=1`)
}

// A shared budget's period is that of everybody whom it bounds, and its end takes its name from them.
func TestBudget_shared(t *testing.T) {
	o := newOffice(t)
	o.ok("POST /budget/new", `{"budget_id":"std","max_budget":50}`)
	o.ok("POST /customer/new", `{"user_id":"c","budget_id":"std"}`)
	o.ok("POST /team/new", `{"team_id":"t","budget_id":"std"}`)
	o.ok("POST /tag/new", `{"name":"g","budget_id":"std"}`)
	o.ok("POST /organization/new", `{"organization_id":"o","organization_alias":"O","budget_id":"std"}`)
	subjects := []account.Subject{{Kind: account.OfCustomer, ID: "c"}, {Kind: account.OfTeam, ID: "t"}, {Kind: account.OfTag, ID: "g"}, {Kind: account.OfOrg, ID: "o"}}
	f := func(ends int64) {
		t.Helper()
		spends, err := o.store.Spends(t.Context(), subjects...)
		if err != nil || ends != 0 && len(spends) != len(subjects) {
			t.Fatalf("%v, %v", spends, err)
		}
		for _, s := range spends {
			if s.ResetAt != ends {
				t.Errorf("%v ends at %d, want %d", s.Subject, s.ResetAt, ends)
			}
		}
	}
	f(0)
	o.ok("POST /budget/update", `{"budget_id":"std","budget_duration":"1d"}`)
	f(officeTime.AddDate(0, 0, 1).Truncate(24 * 3600e9).UnixMilli())
	// An account's own limits never change what others share.
	o.ok("POST /customer/update", `{"user_id":"c","max_budget":7}`)
	check(t, o.ok("POST /budget/info", `{"budgets":["std"]}`), `0.max_budget=50`)
	check(t, o.ok("GET /customer/info?end_user_id=c", ""), `litellm_budget_table.max_budget=7`, `litellm_budget_table.budget_duration="1d"`)
	o.ok("POST /customer/update", `{"user_id":"c","budget_id":"std"}`) // its own is not left behind
	if _, n, err := o.store.Accounts().Budgets.Find(t.Context(), store.Query{}); n != 1 || err != nil {
		t.Errorf("%d budgets, %v", n, err)
	}
	o.ok("POST /budget/delete", `{"id":"std"}`)
	f(0)
	check(t, o.ok("GET /customer/info?end_user_id=c", ""), `budget_id=null`, `litellm_budget_table=null`)
	check(t, o.ok("GET /organization/info?organization_id=o", ""), `budget_id=null`)
}

func TestCustomers(t *testing.T) {
	for _, noun := range []string{"/customer", "/end_user"} {
		t.Run(noun, func(t *testing.T) { testCustomers(t, noun) })
	}
}

func testCustomers(t *testing.T, noun string) {
	o := newOffice(t)
	internal := o.hire("ann", account.InternalUser)
	o.ok("POST /budget/new", `{"budget_id":"std","max_budget":50}`)
	f := func(path, body string, status int, want ...string) {
		t.Helper()
		method, path, _ := strings.Cut(path, " ")
		o.expect(officeMaster, method+" "+noun+path, body, status, want...)
	}
	f("POST /new", `{"user_id":"cust-r","rpm_limit":1}`, 200, `user_id="cust-r"`, `blocked=false`, `alias=null`, `spend=0`, `allowed_model_region=null`,
		`default_model=null`, `models=[]`, `budget_id~-`, `litellm_budget_table.rpm_limit=1`, `litellm_budget_table.max_budget=null`,
		`litellm_budget_table.allowed_models=[]`, `object_permission_id=null`, `object_permission=null`)
	f("POST /new", `{"user_id":"plain"}`, 200, `budget_id=null`, `litellm_budget_table=null`)
	f("POST /new", `{"user_id":"c","alias":"C","budget_id":"std","allowed_model_region":"eu","default_model":"m1","spend":2.5,"blocked":true}`, 200,
		`budget_id="std"`, `litellm_budget_table.max_budget=50`, `allowed_model_region="eu"`, `default_model="m1"`, `spend=2.5`, `blocked=true`)
	f("POST /new", `{"user_id":"c"}`, 400, `error.type="bad_request"`, `error.param="user_id"`)
	f("POST /new", `{"user_id":"d","budget_id":"std","max_budget":1}`, 400, `error.param="budget_id"`)
	f("POST /new", `{"user_id":"d","budget_id":"no"}`, 404, `error.param="budget_id"`)
	f("POST /new", `{"user_id":"d","allowed_model_region":"mars"}`, 422, `detail.0.loc=["body","allowed_model_region"]`)
	f("POST /new", `{"user_id":""}`, 400, `error.param="user_id"`)
	f("POST /new", `{}`, 422, `detail.0.loc=["body","user_id"]`)
	f("POST /new", `{"user_id":"d","max_budget":-1}`, 400, `error.param="max_budget"`)
	f("POST /new", `{"user_id":"d","budget_duration":"x"}`, 400, `error.param="budget_duration"`)
	f("POST /update", `{"user_id":"plain","alias":"P","max_budget":3,"budget_duration":"1d"}`, 200, `alias="P"`, `litellm_budget_table.max_budget=3`,
		`litellm_budget_table.budget_reset_at="2026-11-22T00:00:00.000000Z"`)
	f("POST /update", `{"user_id":"plain","max_budget":4}`, 200, `litellm_budget_table.max_budget=4`, `litellm_budget_table.budget_duration="1d"`)
	f("POST /update", `{"user_id":"no","max_budget":4}`, 404, `error.type="not_found"`, `error.param="user_id"`)
	f("POST /update", `{"max_budget":4}`, 422)
	f("GET /info?end_user_id=c", "", 200, `alias="C"`)
	f("GET /info?end_user_id=no", "", 404, `error.param="end_user_id"`)
	f("GET /info", "", 422, `detail.0.loc=["query","end_user_id"]`)
	f("GET /list", "", 200, `#=3`)
	f("GET /list?page_size=0", "", 422)
	f("POST /block", `{"user_ids":["plain","never-seen"]}`, 200, `blocked_users.#=2`, `blocked_users.0.blocked=true`, `blocked_users.1.user_id="never-seen"`)
	f("GET /info?end_user_id=never-seen", "", 200, `blocked=true`)
	f("POST /unblock", `{"user_ids":["plain"]}`, 200, `blocked_users=[]`)
	f("GET /info?end_user_id=plain", "", 200, `blocked=false`)
	f("POST /unblock", `{"user_ids":["no"]}`, 404, `error.param="user_ids"`)
	f("POST /block", `{"user_ids":[]}`, 400, `error.param="user_ids"`)
	f("POST /block", `{"user_ids":"plain"}`, 422, `detail.0.loc=["body","user_ids"]`)
	f("POST /delete", `{"user_ids":["plain","no"]}`, 404)
	f("POST /delete", `{"user_ids":["plain","cust-r","plain"]}`, 200, `deleted_customers=2`, `message~plain`)
	f("GET /info?end_user_id=plain", "", 404)
	f("POST /delete", `{}`, 422)
	if _, n, err := o.store.Accounts().Budgets.Find(t.Context(), store.Query{}); n != 1 || err != nil {
		t.Errorf("%d budgets, want the shared one; %v", n, err)
	}
	for _, path := range []string{"POST /new", "POST /update", "POST /block", "POST /unblock", "POST /delete", "GET /list", "GET /info?end_user_id=c"} {
		method, path, _ := strings.Cut(path, " ")
		o.expect(internal, method+" "+noun+path, `{"user_id":"z","user_ids":["c"]}`, 401, `error.type="auth_error"`)
	}
	// One who was only named in calls is found, and gets a row when something is set.
	o.edit(func(e *store.Edit) error { e.SetSpent(customerSubject("caller"), 1e9); return nil })
	f("GET /info?end_user_id=caller", "", 200, `spend=1`, `budget_id=null`)
	f("POST /update", `{"user_id":"caller","alias":"Caller"}`, 200, `spend=1`, `alias="Caller"`)
}

func TestTagRoutes(t *testing.T) {
	o := newOffice(t)
	internal := o.hire("ann", account.InternalUser)
	f := func(path, body string, status int, want ...string) {
		t.Helper()
		o.expect(officeMaster, path, body, status, want...)
	}
	f("GET /tag/list", "", 200, `#=0`)
	f("POST /tag/new", `{"name":"tag-a","description":"d","max_budget":0.05,"budget_duration":"1d"}`, 200, `message="Tag tag-a created successfully"`,
		`tag.name="tag-a"`, `tag.description="d"`, `tag.models=[]`, `tag.model_info={}`, `tag.created_by="default_user_id"`, `tag.litellm_budget_table="absent"`)
	f("POST /tag/new", `{"name":"tag-a"}`, 400, `detail="Tag tag-a already exists"`)
	f("POST /tag/new", `{}`, 422, `detail.0.loc=["body","name"]`)
	f("POST /tag/new", `{"name":""}`, 400, `error.param="name"`)
	f("POST /tag/new", `{"name":"x","max_budget":-1}`, 400, `error.param="max_budget"`)
	f("POST /tag/new", `{"name":"x","budget_id":"no"}`, 404, `error.param="budget_id"`)
	f("POST /tag/new", `{"name":"x","models":["m1"]}`, 200, `tag.models=["m1"]`)
	f("POST /tag/info", `{"names":["tag-a"]}`, 200, `tag-a.litellm_budget_table.max_budget=0.05`, `tag-a.litellm_budget_table.budget_duration="1d"`,
		`tag-a.litellm_budget_table.tags=null`, `tag-a.litellm_budget_table.created_by="default_user_id"`)
	f("POST /tag/info", `{"names":["tag-a","nope"]}`, 404, `detail="Tags not found: ['nope']"`)
	f("POST /tag/info", `{}`, 422)
	f("POST /tag/update", `{"name":"tag-a","description":"d2","max_budget":1}`, 200, `message="Tag tag-a updated successfully"`, `tag.description="d2"`)
	f("POST /tag/info", `{"names":["tag-a"]}`, 200, `tag-a.litellm_budget_table.max_budget=1`, `tag-a.litellm_budget_table.budget_duration="1d"`)
	f("POST /tag/update", `{"name":"nope"}`, 404, `detail="Tag nope not found"`)
	f("GET /tag/list", "", 200, `#=2`, `0.name="tag-a"`)
	f("POST /tag/delete", `{"name":"nope"}`, 404)
	f("POST /tag/delete", `{"name":"tag-a"}`, 200, `message="Tag tag-a deleted successfully"`)
	f("GET /budget/list", "", 200, `#=0`)
	for _, path := range []string{"POST /tag/new", "POST /tag/update", "POST /tag/delete", "GET /tag/list"} {
		o.expect(internal, path, `{"name":"x"}`, 401)
	}
}
