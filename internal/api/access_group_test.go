package api

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/store"
)

func TestAccessGroups(t *testing.T) {
	o := newOffice(t)
	internal := o.hire("ann", account.InternalUser)
	o.config.Models = []config.Model{{Name: "m1"}, {Name: "m1"}, {Name: "m2", Info: config.ModelInfo{AccessGroups: []string{"file"}}}}
	o.edit(func(e *store.Edit) error {
		return e.Models.Put(t.Context(), &account.Model{ID: "dep-1", Name: "dyn", Params: []byte(`{}`), Info: []byte(`{"access_groups":["dynamic"]}`)})
	})
	f := func(path, body string, status int, want ...string) {
		t.Helper()
		o.expect(officeMaster, path, body, status, want...)
	}
	f("GET /v1/access_group", "", 200, `#=0`)
	f("POST /access_group/new", `{"access_group":"g","model_names":["m2","m1","m1"]}`, 200, `access_group="g"`, `model_names=["m1","m2"]`,
		`model_ids=null`, `models_updated=3`)
	f("POST /access_group/new", `{"access_group":"h","model_ids":["dep-1"]}`, 200, `model_names=["dyn"]`, `model_ids=["dep-1"]`)
	f("POST /access_group/new", `{"access_group":"g","model_names":["m1"]}`, 409, `detail.error~already exists`)
	f("POST /access_group/new", `{"access_group":"file","model_names":["m1"]}`, 409)
	f("POST /access_group/new", `{"access_group":"x","model_names":["no"]}`, 400, `detail.error~'no'`)
	f("POST /access_group/new", `{"access_group":"x","model_ids":["no"]}`, 400, `detail.error~model_ids`)
	f("POST /access_group/new", `{"access_group":"x"}`, 400, `error.param="model_names"`)
	f("POST /access_group/new", `{"access_group":"","model_names":["m1"]}`, 400, `error.param="access_group"`)
	f("POST /access_group/new", `{"model_names":["m1"]}`, 422, `detail.0.loc=["body","access_group"]`)
	f("GET /access_group/list", "", 200, `access_groups.#=4`, `access_groups.0.access_group="dynamic"`, `access_groups.1.access_group="file"`,
		`access_groups.2.model_names=["m1","m2"]`, `access_groups.2.deployment_count=3`)
	f("GET /access_group/g/info", "", 200, `access_group="g"`, `deployment_count=3`, `budget=null`, `spend=null`)
	f("GET /access_group/no/info", "", 404, `detail.error="Access group 'no' not found"`)
	f("PUT /access_group/g/update", `{"model_names":["m2"]}`, 200, `model_names=["m2"]`, `models_updated=1`)
	f("PUT /access_group/g/update", `{"model_names":[]}`, 400, `error.param="model_names"`)
	f("PUT /access_group/no/update", `{"model_names":["m1"]}`, 404)
	f("PUT /access_group/file/update", `{"model_names":["m1"]}`, 400, `detail.error~model_info`)
	f("GET /v1/access_group", "", 200, `#=2`, `0.access_group_id="g"`, `0.access_model_names=["m2"]`, `0.assigned_team_ids=[]`)
	f("GET /v1/access_group/g", "", 200, `access_group_name="g"`)
	f("GET /v1/access_group/no", "", 404)
	f("DELETE /access_group/no/delete", "", 404)
	f("DELETE /access_group/g/delete", "", 200, `access_group="g"`, `models_updated=1`)
	f("GET /access_group/g/info", "", 404)
	o.expect(internal, "POST /access_group/new", `{"access_group":"x","model_names":["m1"]}`, 401)
	o.expect(internal, "GET /access_group/list", "", 401)
}

// A callback's secrets are sealed in the database and shown to nobody, not in the audit either.
func TestTeamCallbacks(t *testing.T) {
	o := newTeamOffice(t)
	const body = `{"callback_name":"langfuse","callback_type":"success","callback_vars":{"langfuse_public_key":"canary-public",
		"langfuse_secret_key":"canary-secret","langfuse_host":"http://host"}}`
	o.expect("sk-ann", "POST /team/t/callback", body, 200, `status="success"`, `data.team_id="t"`, `data.metadata.logging.0.callback_name="langfuse"`,
		`data.metadata.logging.0.callback_vars={"langfuse_host":"http://host","langfuse_public_key":"***REDACTED***","langfuse_secret_key":"***REDACTED***"}`)
	o.expect("sk-ann", "POST /team/t/callback", body, 400, `error.param="callback_name"`)
	o.expect(officeMaster, "POST /team/t/callback", `{"callback_name":"otel","callback_vars":{}}`, 200)
	o.expect("sk-bob", "GET /team/t/callback", "", 200, `data.success_callbacks=["langfuse","otel"]`, `data.failure_callbacks=["otel"]`,
		`data.callback_vars.langfuse_host="http://host"`, `data.callback_vars.langfuse_secret_key="***REDACTED***"`)
	o.expect(officeMaster, "POST /team/t/callback", `{"callback_name":"x","callback_type":"never","callback_vars":{}}`, 422, `detail.0.loc=["body","callback_type"]`)
	o.expect(officeMaster, "POST /team/t/callback", `{"callback_name":"x","callback_vars":{"a":1}}`, 422, `detail.0.loc=["body","callback_vars","a"]`)
	o.expect(officeMaster, "POST /team/t/callback", `{}`, 422, `detail.#=2`)
	o.expect(officeMaster, "POST /team/no/callback", `{"callback_name":"x","callback_vars":{}}`, 404)
	o.expect("sk-bob", "POST /team/t/callback", `{"callback_name":"x","callback_vars":{}}`, 401)
	o.expect("sk-cy", "GET /team/t/callback", "", 401)
	// Metadata that was read and is sent back changes no callback.
	info := o.ok("GET /team/info?team_id=t", "")
	o.ok("POST /team/update", `{"team_id":"t","metadata":`+show(at(info, "team_info.metadata"))+`}`)
	team, err := o.store.Accounts().Teams.Get(t.Context(), "t")
	if err != nil || !strings.Contains(string(team.Extra["logging"]), "sealed:CANARY-SECRET") || strings.Contains(string(team.Extra["logging"]), "canary") {
		t.Errorf("stored: %s, %v", team.Extra["logging"], err)
	}
	audits, _, err := o.store.Accounts().Audits.Find(t.Context(), store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range audits {
		if strings.Contains(string(a.Before)+string(a.After), "canary") {
			t.Errorf("audit %s of %s holds a secret", a.Action, a.Table)
		}
	}
	o.expect("sk-bob", "DELETE /team/t/callback/otel", "", 401)
	o.expect("sk-ann", "DELETE /team/t/callback/otel", "", 200, `status="success"`, `data.success_callbacks=["langfuse"]`, `data.failure_callbacks=[]`)
	o.expect("sk-ann", "DELETE /team/t/callback/otel", "", 404, `error.param="callback_name"`)
	o.expect("sk-bob", "POST /team/t/disable_logging", "", 401)
	o.expect("sk-ann", "POST /team/t/disable_logging", `{}`, 200, `message="Logging disabled for team t"`, `data={"failure_callbacks":[],"success_callbacks":[],"team_id":"t"}`)
	check(t, o.ok("GET /team/info?team_id=t", ""), `team_info.metadata.logging=[]`, `team_info.metadata.callback_settings.callbacks=[]`)
}

// Every change leaves its audit row, and a refused one leaves none.
func TestAudit_nouns(t *testing.T) {
	o := newOffice(t)
	o.hire("ann", account.InternalUser)
	o.config.Models = []config.Model{{Name: "m1"}}
	f := func(path, body string, want ...string) {
		t.Helper()
		_, before, err := o.store.Accounts().Audits.Find(t.Context(), store.Query{})
		if err != nil {
			t.Fatal(err)
		}
		o.expect("sk-ann", path, body, 401)
		o.ok(path, body)
		all, after, err := o.store.Accounts().Audits.Find(t.Context(), store.Query{})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, a := range all {
			seen[a.Action+" "+a.Table+" "+a.Object] = true
			if a.By != "default_user_id" || a.ByKey != masterKey || a.At == 0 {
				t.Errorf("%s: by %s, key %s, at %d", path, a.By, a.ByKey, a.At)
			}
		}
		if after == before {
			t.Errorf("%s left no audit row", path)
		}
		for _, w := range want {
			if !seen[w] {
				t.Errorf("%s: no audit of %q", path, w)
			}
		}
	}
	f("POST /budget/new", `{"budget_id":"b","max_budget":1}`, "created "+budgetTable+" b")
	f("POST /budget/update", `{"budget_id":"b","max_budget":2}`, "updated "+budgetTable+" b")
	f("POST /budget/delete", `{"id":"b"}`, "deleted "+budgetTable+" b")
	f("POST /organization/new", `{"organization_id":"o","organization_alias":"O"}`, "created "+orgTable+" o")
	f("PATCH /organization/update", `{"organization_id":"o","organization_alias":"O2"}`, "updated "+orgTable+" o")
	f("POST /organization/member_add", `{"organization_id":"o","member":{"role":"internal_user","user_id":"x"}}`, "created "+orgMembershipTable+" o/x", "created "+userTable+" x")
	f("PATCH /organization/member_update", `{"organization_id":"o","user_id":"x","role":"org_admin"}`, "updated "+orgMembershipTable+" o/x")
	f("DELETE /organization/member_delete", `{"organization_id":"o","user_id":"x"}`, "deleted "+orgMembershipTable+" o/x")
	f("POST /team/new", `{"team_id":"t"}`, "created "+teamTable+" t", "created "+membershipTable+" t/default_user_id")
	f("POST /team/update", `{"team_id":"t","max_budget":3}`, "updated "+teamTable+" t")
	f("POST /team/block", `{"team_id":"t"}`, "blocked "+teamTable+" t")
	f("POST /team/unblock", `{"team_id":"t"}`, "unblocked "+teamTable+" t")
	f("POST /team/member_add", `{"team_id":"t","member":{"role":"user","user_id":"x"}}`, "created "+membershipTable+" t/x")
	f("POST /team/member_update", `{"team_id":"t","user_id":"x","max_budget_in_team":1}`, "updated "+membershipTable+" t/x")
	f("POST /team/member_delete", `{"team_id":"t","user_id":"x"}`, "deleted "+membershipTable+" t/x")
	f("POST /team/delete", `{"team_ids":["t"]}`, "deleted "+teamTable+" t", "deleted "+membershipTable+" t/default_user_id")
	f("DELETE /organization/delete", `{"organization_ids":["o"]}`, "deleted "+orgTable+" o")
	f("POST /customer/new", `{"user_id":"c"}`, "created "+customerTable+" c")
	f("POST /customer/update", `{"user_id":"c","alias":"C"}`, "updated "+customerTable+" c")
	f("POST /customer/block", `{"user_ids":["c"]}`, "blocked "+customerTable+" c")
	f("POST /customer/unblock", `{"user_ids":["c"]}`, "unblocked "+customerTable+" c")
	f("POST /customer/delete", `{"user_ids":["c"]}`, "deleted "+customerTable+" c")
	f("POST /tag/new", `{"name":"g"}`, "created "+tagTable+" g")
	f("POST /tag/update", `{"name":"g","max_budget":1}`, "updated "+tagTable+" g")
	f("POST /tag/delete", `{"name":"g"}`, "deleted "+tagTable+" g")
	f("POST /access_group/new", `{"access_group":"a","model_names":["m1"]}`, "created "+accessGroupTable+" a")
	f("PUT /access_group/a/update", `{"model_names":["m1"]}`, "updated "+accessGroupTable+" a")
	f("DELETE /access_group/a/delete", "", "deleted "+accessGroupTable+" a")
}
