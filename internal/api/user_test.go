package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

func TestUserNew(t *testing.T) {
	b := newBench(t)
	out := b.want("sk-master", "POST", "/user/new", `{}`, 200, "spend=0", "max_budget=null", "user_email=null", "user_role=null", "teams=null", "user_alias=null",
		"token=null", "token_id=null", "key_type=null", "created_by=null", "models=[]", "metadata={}", "model_max_budget={}", "max_parallel_requests=null")
	key := dig(out, "key").(string)
	if k := b.keyRow(key); k.UserID != dig(out, "user_id") || len(k.UserID) != 36 {
		t.Errorf("key of %q, user %v", k.UserID, dig(out, "user_id"))
	}
	b.edit(func(e *store.Edit) error { return e.Teams.Put(t.Context(), &account.Team{ID: "red"}) })
	b.want("sk-master", "POST", "/user/new", `{"user_id":"user-2","user_email":"User2@example.com","user_alias":"User Two","user_role":"internal_user",
		"max_budget":20,"budget_duration":"30d","models":["m1","m2"],"tpm_limit":50000,"rpm_limit":100,"max_parallel_requests":5,"metadata":{"dept":"x"},
		"duration":"90d","key_alias":"user2-key","soft_budget":10,"model_rpm_limit":{"m1":1},"model_tpm_limit":{"m1":9},
		"teams":["red","team-nope",{"team_id":"red","max_budget_in_team":3,"user_role":"admin"}]}`, 200,
		"key_alias=\"user2-key\"", "models=[\"m1\",\"m2\"]", "max_budget=20", "user_id=\"user-2\"", "max_parallel_requests=5", "tpm_limit=50000", "rpm_limit=100",
		"budget_duration=\"30d\"", "expires=\"2027-02-19T12:00:00.000000Z\"", "user_role=\"internal_user\"", "user_alias=\"User Two\"",
		"model_rpm_limit={\"m1\":1}", "model_tpm_limit={\"m1\":9}", "metadata={\"dept\":\"x\",\"model_rpm_limit\":{\"m1\":1},\"model_tpm_limit\":{\"m1\":9}}", "teams=[\"red\",\"red\"]")
	m, err := b.store.Accounts().Members.Get(t.Context(), account.MemberID("red", "user-2"))
	if err != nil || m.Role != "admin" {
		t.Fatalf("member %+v %v", m, err)
	}
	if shared, err := b.store.Accounts().Budgets.Get(t.Context(), m.BudgetID); err != nil || shared.MaxBudget == nil || *shared.MaxBudget != 3e9 {
		t.Errorf("member's budget %+v %v", shared, err)
	}
	b.want("sk-master", "POST", "/user/new", `{"user_id":"user-3","auto_create_key":false}`, 200, "key=\"\"", "key_name=null")
	b.want("sk-master", "POST", "/user/new", `{"user_id":"user-4","user_role":"proxy_admin","password":"correct horse"}`, 200, "user_role=\"proxy_admin\"")
	u, err := b.store.Accounts().Users.Get(t.Context(), "user-4")
	if err != nil || !strings.HasPrefix(u.PasswordHash, "$argon2id$v=19$") {
		t.Errorf("password kept as %q %v", u.PasswordHash, err)
	}
	f := func(body string, status int, field string) {
		t.Helper()
		got, out := b.call("sk-master", "POST", "/user/new", body)
		if text := fmt.Sprint(out); got != status || !strings.Contains(text, field) {
			t.Errorf("%s: %d %s, want %d naming %s", body, got, text, status, field)
		}
	}
	f(`{"user_id":"user-2"}`, 409, "user_id")
	f(`{"user_email":"USER2@example.com"}`, 409, "user_email")
	f(`{"user_role":"king"}`, 422, "user_role")
	f(`{"password":"short"}`, 400, "password")
	f(`{"user_id":"a\u0000b"}`, 400, "user_id")
	f(`{"teams":[1]}`, 422, "teams")
	f(`{"teams":[{"max_budget_in_team":1}]}`, 422, "team_id")
	f(`{"teams":[{"team_id":"red","max_budget_in_team":-1}]}`, 400, "teams")
	f(`{"organizations":["none"]}`, 404, "organizations")
	f(`{"max_budget":-1}`, 400, "max_budget")
	f(`{"budget_duration":"soon"}`, 400, "budget_duration")
	f(`{"duration":"soon"}`, 400, "duration")
	f(`{"budget_id":"none"}`, 404, "budget_id")
	f("{\n\"user_email\": \"a\",\n\"user_role\": \"internal_user\"\n\"max_budget\": 1000.0\n}", 400, "line 4, column 1")
	b.want("sk-ann", "POST", "/user/new", `{}`, 401)
	b.user("sk-ann-key-0001", "ann", account.InternalUser, "")
	b.want("sk-ann-key-0001", "POST", "/user/new", `{"user_id":"x1"}`, 401, "error.type=\"auth_error\"")
	admin := b.want("sk-master", "POST", "/user/new", `{"user_role":"proxy_admin"}`, 200)
	b.want(dig(admin, "key").(string), "POST", "/user/new", `{"user_id":"by-admin"}`, 200)
}

func TestUserNew_defaults(t *testing.T) {
	b := newBench(t)
	budget := 1e9
	s := &b.cfg.LiteLLM
	s.UserBudget, s.UserBudgetDuration = &budget, "1mo"
	b.want("sk-master", "POST", "/user/new", `{"user_role":"internal_user","user_id":"a"}`, 200, "max_budget=1000000000", "budget_duration=\"1mo\"")
	b.want("sk-master", "GET", "/user/info?user_id=a", "", 200, "user_info.budget_reset_at=\"2026-12-01T00:00:00.000000Z\"")
	b.want("sk-master", "POST", "/user/new", `{"user_role":"internal_user","max_budget":1000,"budget_duration":"1mo"}`, 200, "max_budget=1000")
	b.want("sk-master", "POST", "/user/new", `{"user_role":"proxy_admin"}`, 200, "max_budget=null")
	s.UserDefaults = map[string]any{"max_budget": 7, "models": []any{"m1"}, "user_role": "internal_user", "rpm_limit": 3}
	b.want("sk-master", "POST", "/user/new", `{}`, 200, "max_budget=7", "models=[\"m1\"]", "user_role=\"internal_user\"", "rpm_limit=3")
}

// Somebody signed in makes themselves, within what is configured.
func TestUserNew_signedIn(t *testing.T) {
	b := newBench(t)
	b.edit(func(e *store.Edit) error {
		for _, id := range []string{"red", "blue", "green"} {
			if err := e.Teams.Put(t.Context(), &account.Team{ID: id}); err != nil {
				return err
			}
		}
		return nil
	})
	byKey := b.api.Identify
	b.api.Identify = func(r *http.Request) (*auth.Principal, *llm.Error) {
		if sub, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer jwt-"); ok {
			return &auth.Principal{UserID: sub}, nil
		}
		return byKey(r)
	}
	out := b.want("jwt-ann@example.com", "POST", "/user/new", `{}`, 200, "user_id=\"ann@example.com\"", "user_email=\"ann@example.com\"", "user_role=\"internal_user\"",
		"max_budget=null", "teams=null")
	key := dig(out, "key").(string)
	b.want(key, "POST", "/key/generate", `{"user_id":"ann@example.com"}`, 200, "user_id=\"ann@example.com\"")
	b.want("jwt-ann@example.com", "POST", "/user/new", `{}`, 409)
	b.want(key, "POST", "/user/new", `{}`, 401)
	b.want("jwt-eve", "POST", "/user/new", `{"user_id":"root","user_email":"root@example.com","user_role":"proxy_admin"}`, 200, "user_id=\"eve\"", "user_role=\"internal_user\"")
	refused := func(body string, status int, field string) {
		t.Helper()
		got, out := b.call("jwt-bob", "POST", "/user/new", body)
		if got != status || dig(out, "error.param") != field {
			t.Errorf("%s: %d %v, want %d on %s", body, got, out, status, field)
		}
	}
	refused(`{"teams":["red"]}`, 403, "teams")
	refused(`{"spend":-0.0,"permissions":{"a":1}}`, 403, "permissions")
	refused(`{"budget_id":"b"}`, 403, "budget_id")
	refused(`{"organizations":["o"]}`, 403, "organizations")
	refused(`{"team_id":"red"}`, 403, "team_id")
	budget, rate := 50.0, int64(10)
	b.cfg.LiteLLM.UserDefaults = map[string]any{"max_budget": 5, "budget_duration": "7d", "models": []any{"m1"}, "teams": []any{map[string]any{"team_id": "green", "max_budget_in_team": 1}}}
	b.cfg.Weir.Signup.MaxBudget, b.cfg.Weir.Signup.RPM, b.cfg.Weir.Signup.Teams = &budget, &rate, []string{"blue"}
	refused(`{"max_budget":50.5}`, 400, "max_budget")
	refused(`{"rpm_limit":11}`, 400, "rpm_limit")
	refused(`{"budget_duration":"1d"}`, 400, "budget_duration")
	refused(`{"models":["m2"]}`, 403, "models")
	refused(`{"teams":[{"team_id":"blue","user_role":"admin"}]}`, 403, "teams")
	b.want("jwt-bob", "POST", "/user/new", `{"teams":["blue",{"team_id":"green","max_budget_in_team":1000}],"max_budget":50}`, 200, "max_budget=50",
		"budget_duration=\"7d\"", "models=[\"m1\"]", "rpm_limit=10", "teams=[\"blue\",\"green\"]")
	m, err := b.store.Accounts().Members.Get(t.Context(), account.MemberID("green", "bob"))
	if err != nil {
		t.Fatal(err)
	}
	if shared, err := b.store.Accounts().Budgets.Get(t.Context(), m.BudgetID); err != nil || shared.MaxBudget == nil || *shared.MaxBudget != 1e9 {
		t.Errorf("%+v %v", shared, err)
	}
	// A row that was made when they first called is completed, and what an administrator gave stays.
	four := llm.Nanos(4e9)
	b.edit(func(e *store.Edit) error {
		return e.Users.Put(t.Context(), &account.User{ID: "dan", Role: account.InternalUser, Limits: account.Limits{MaxBudget: &four}})
	})
	if got, out := b.call("jwt-dan", "POST", "/user/new", `{"max_budget":5}`); got != 403 {
		t.Errorf("%d %v", got, out)
	}
	b.want("jwt-dan", "POST", "/user/new", `{"max_budget":3}`, 200, "max_budget=3")
	b.cfg.Weir.Signup.Disabled = true
	b.want("jwt-zoe", "POST", "/user/new", `{}`, 401)
}

func TestUserInfo(t *testing.T) {
	b := newBench(t)
	b.want("sk-master", "POST", "/user/new", `{"user_id":"u+1@x","user_email":"u1@example.com","user_role":"internal_user","max_budget":20,"key":"sk-key-of-u1-0001","spend":1.5}`, 200)
	b.user("sk-bob-key-0001", "bob", account.InternalUser, "")
	for _, id := range []string{"u+1@x", "u%2B1@x"} {
		b.want("sk-master", "GET", "/user/info?user_id="+id, "", 200, "user_id=\"u+1@x\"", "user_info.max_budget=20", "user_info.spend=1.5", "user_info.user_role=\"internal_user\"",
			"keys.len=1", "keys.0.token="+quote(auth.Hash("sk-key-of-u1-0001")), "keys.0.team_alias=\"None\"", "teams=[]", "user_info.password_hash="+quote(missing),
			"user_info.organization_memberships=[]", "user_info.invitations_user=null", "user_info.model_max_budget_usage={}")
	}
	b.want("sk-key-of-u1-0001", "GET", "/user/info", "", 200, "user_id=\"u+1@x\"")
	b.want("sk-key-of-u1-0001", "GET", "/user/info?user_id=bob", "", 403)
	b.want("sk-key-of-u1-0001", "GET", "/v2/user/info?user_id=bob", "", 404)
	b.want("sk-key-of-u1-0001", "GET", "/v2/user/info", "", 200, "user_email=\"u1@example.com\"", "teams=[]")
	b.want("sk-master", "GET", "/user/info?user_id=none", "", 404, "error.message=\"User none not found\"")
	b.want("sk-master", "GET", "/user/info", "", 200, "user_id=\"default_user_id\"", "user_info=null", "keys.len=2")
	b.want("sk-master", "GET", "/v2/user/info?user_id=none", "", 404)
	b.want("sk-master", "GET", "/user/available_users", "", 200, "total_users_used=2")
	b.want("sk-master", "GET", "/user/filter/ui?user_email=U1", "", 200, "len=1", "0.user_id=\"u+1@x\"")
	b.want("sk-bob-key-0001", "GET", "/user/filter/ui", "", 401)
	b.want("sk-bob-key-0001", "GET", "/user/available_roles", "", 200, "proxy_admin.ui_label=\"Admin (All Permissions)\"")
	if _, out := b.call("sk-master", "GET", "/user/list", ""); strings.Contains(fmt.Sprint(out), "argon2") {
		t.Error("a password hash is shown")
	}
}

func TestUserList(t *testing.T) {
	b := newBench(t)
	for i := range 5 {
		role := []string{"internal_user", "proxy_admin_viewer"}[i%2]
		b.want("sk-master", "POST", "/user/new", fmt.Sprintf(`{"user_id":"u%d","user_email":"User%d@example.com","user_role":%q,"auto_create_key":%v,"key":"sk-key-of-u%d"}`, i, i, role, i < 3, i), 200)
		b.now = b.now.Add(1e9)
	}
	b.want("sk-master", "GET", "/user/list", "", 200, "total=5", "page=1", "page_size=25", "total_pages=1", "users.0.user_id=\"u4\"", "users.0.key_count=0", "users.4.key_count=1")
	b.want("sk-master", "GET", "/user/list?page=2&page_size=2", "", 200, "users.len=2", "total_pages=3", "users.0.user_id=\"u2\"")
	b.want("sk-master", "GET", "/user/list?role=internal_user", "", 200, "total=3")
	b.want("sk-master", "GET", "/user/list?role=king", "", 200, "users=[]", "total=0", "total_pages=0")
	b.want("sk-master", "GET", "/user/list?user_ids=u1,u3", "", 200, "total=2")
	b.want("sk-master", "GET", "/user/list?user_email=USER2", "", 200, "users.0.user_id=\"u2\"", "total=1")
	b.want("sk-master", "GET", "/user/list?sort_by=user_id&sort_order=asc&page_size=1", "", 200, "users.0.user_id=\"u0\"")
	b.want("sk-master", "GET", "/user/list?sort_by=bogus", "", 400, "error.param=\"sort_by\"")
	b.want("sk-master", "GET", "/user/list?page_size=1000", "", 422)
	b.want("sk-key-of-u0", "GET", "/user/list", "", 403, "detail.error=\"Only proxy admins and organization admins can list users.\"")
	b.want("sk-key-of-u1", "GET", "/user/list", "", 200, "total=5")
	b.want("sk-master", "GET", "/user/get_users?page_size=2", "", 200, "users.len=2")
	b.edit(func(e *store.Edit) error {
		for user, role := range map[string]string{"u0": account.OrgAdmin, "u2": account.InternalUser} {
			if err := e.OrgMembers.Put(t.Context(), &account.OrgMember{OrgID: "acme", UserID: user, Role: role}); err != nil {
				return err
			}
		}
		return e.Orgs.Put(t.Context(), &account.Organization{ID: "acme"})
	})
	b.want("sk-key-of-u0", "GET", "/user/list", "", 200, "total=2")
	b.want("sk-key-of-u0", "GET", "/user/list?organization_ids=other", "", 200, "total=0")
	b.want("sk-key-of-u0", "POST", "/user/new", `{"user_id":"u9","organizations":["acme"]}`, 200)
	b.want("sk-key-of-u0", "POST", "/user/new", `{"user_id":"u8","organizations":["acme"],"user_role":"proxy_admin"}`, 403)
	b.want("sk-key-of-u0", "POST", "/user/update", `{"user_id":"u2","max_budget":3}`, 200, "data.max_budget=3")
	b.want("sk-key-of-u0", "POST", "/user/update", `{"user_id":"u2","user_role":"proxy_admin"}`, 403)
	b.want("sk-key-of-u0", "POST", "/user/update", `{"user_id":"u4","max_budget":3}`, 401)
	b.want("sk-key-of-u0", "POST", "/user/update", `{"user_id":"u0","max_budget":3}`, 401)
}

func TestUserUpdate(t *testing.T) {
	b := newBench(t)
	b.want("sk-master", "POST", "/user/new", `{"user_id":"u2","user_email":"u2@example.com","max_budget":20,"models":["m1"],"rpm_limit":5,"key":"sk-key-of-u2","user_role":"internal_user"}`, 200)
	b.want("sk-master", "POST", "/user/update", `{"user_id":"u2","max_budget":30,"user_alias":"U2","metadata":{"y":2},"models":["m2"],"spend":2}`, 200,
		"user_id=\"u2\"", "data.max_budget=30", "data.user_alias=\"U2\"", "data.metadata={\"y\":2}", "data.models=[\"m2\"]", "data.rpm_limit=5", "data.spend=2")
	b.want("sk-master", "POST", "/user/update", `{"user_email":"U2@example.com","rpm_limit":0,"tpm_limit":null,"models":[],"user_alias":""}`, 200,
		"user_id=\"u2\"", "data.rpm_limit=0", "data.models=[\"m2\"]", "data.user_alias=\"U2\"")
	b.want("sk-master", "POST", "/user/update", `{"user_id":"u2","max_budget":null}`, 200, "data.max_budget=null")
	b.want("sk-master", "POST", "/user/update", `{"user_id":"made","max_budget":1}`, 200, "data.user_id=\"made\"", "data.max_budget=1")
	b.want("sk-master", "POST", "/user/update", `{"user_email":"none@example.com","max_budget":1}`, 404)
	b.want("sk-master", "POST", "/user/update", `{"max_budget":1}`, 422, "detail.0.type=\"value_error\"")
	b.want("sk-master", "POST", "/user/update", `{"user_id":"u2","user_role":"king"}`, 422, "detail.0.loc=[\"body\",\"user_role\"]")
	b.want("sk-master", "POST", "/user/update", `{"user_id":"made","user_email":"u2@example.com"}`, 409)
	b.want("sk-key-of-u2", "POST", "/user/update", `{"user_id":"u2","max_budget":1000}`, 401, "error.type=\"auth_error\"")
	b.want("sk-master", "POST", "/user/bulk_update", `{"users":[{"user_id":"u2","max_budget":31},{"user_email":"none@example.com","max_budget":3}]}`, 200,
		"total_requested=2", "successful_updates=1", "failed_updates=1", "results.0.updated_user.data.max_budget=31", "results.1.success=false")
	b.want("sk-master", "POST", "/user/bulk_update", `{"all_users":true,"user_updates":{"tpm_limit":9}}`, 200, "successful_updates=2")
	b.want("sk-master", "GET", "/user/info?user_id=made", "", 200, "user_info.tpm_limit=9")
	b.want("sk-key-of-u2", "POST", "/user/bulk_update", `{"users":[{"user_id":"u2"}]}`, 401)
	b.want("sk-key-of-u2", "POST", "/user/delete", `{"user_ids":["made"]}`, 401)
	b.want("sk-master", "POST", "/user/delete", `{"user_ids":["u2","none"]}`, 404, "detail.error=\"User not found, passed user_id=none\"")
	b.want("sk-key-of-u2", "GET", "/key/info", "", 200) // nothing was deleted
	if got, out := b.call("sk-master", "POST", "/user/delete", `{"user_ids":["u2","made"]}`); got != 200 || out != 2.0 {
		t.Errorf("%d %v", got, out)
	}
	b.want("sk-key-of-u2", "GET", "/key/info", "", 401)
	b.want("sk-master", "POST", "/user/delete", `{}`, 422, "detail.0.type=\"missing\"")
	b.want("sk-master", "GET", "/user/info?user_id=u2", "", 404)
}
