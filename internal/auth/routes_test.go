package auth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/account"
)

func TestManage(t *testing.T) {
	users := []account.User{{ID: "admin", Role: account.ProxyAdmin}, {ID: "viewer", Role: account.ProxyAdminViewer}, {ID: "internal"},
		{ID: "reader", Role: account.InternalUserViewer}, {ID: "org", Role: account.InternalUserViewer}, {ID: "team", Role: account.InternalUser},
		{ID: "member", Role: account.InternalUser}, {ID: "odd", Role: "strange"}}
	rows := Rows{Users: users,
		Members: []account.Member{{TeamID: "t", UserID: "team", Role: "admin"}, {TeamID: "t", UserID: "member", Role: "user"},
			{TeamID: "t", UserID: "nobody", Role: "admin"}},
		OrgMembers: []account.OrgMember{{OrgID: "o", UserID: "org", Role: account.OrgAdmin}, {OrgID: "o", UserID: "member", Role: account.InternalUser}},
		Keys:       []account.Key{{Hash: Hash("none")}, {Hash: Hash("nobody"), UserID: "nobody"}}}
	for _, u := range users {
		rows.Keys = append(rows.Keys, account.Key{Hash: Hash(u.ID), UserID: u.ID})
	}
	d := NewDirectory(Options{Master: "master"}, rows)
	all := []string{"master", "admin", "viewer", "internal", "reader", "org", "team", "member", "odd", "nobody", "none"}
	f := func(route, want string) {
		t.Helper()
		method, path, _ := strings.Cut(route, " ")
		var may []string
		for _, who := range all {
			p, err := d.Authenticate(who, noon)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Manage(p, httptest.NewRequest(method, path, nil)); err == nil {
				may = append(may, who)
			} else if err.HTTPStatus() != 401 && err.HTTPStatus() != 403 {
				t.Errorf("%s of %s: %d", route, who, err.HTTPStatus())
			}
		}
		got := strings.TrimPrefix(strings.TrimSpace(strings.TrimPrefix(strings.Join(may, " "), "master admin")), " ")
		if got != want || len(may) < 2 {
			t.Errorf("%s is for %q, want %q", route, got, want)
		}
	}
	everyone := strings.Join(all[2:], " ")
	f("POST /key/generate", "internal org team member")
	f("POST /key/sk-abc/regenerate", "internal org team member")
	f("GET /key/info?key=x", everyone)
	f("HEAD /key/info", everyone)
	f("GET /metrics/users/all", everyone)
	f("GET /api/metrics/users/a/b", everyone)
	f("POST /key/block", "internal org team member")
	f("POST /key/unblock", "org team")
	f("POST /key/k/reset_spend", "")
	f("POST /user/new", "org")
	f("POST /user/update", "org")
	f("GET /v2/serve/models", everyone)
	f("POST /models", "")
	f("DELETE /models/m", "")
	f("GET /user/list", everyone) // whose users, the handler says
	f("GET /user/daily/activity/aggregated", "viewer internal reader org team member")
	f("POST /team/new", "org")
	f("POST /team/member_add", "org team")
	f("GET /team/t/members/me", everyone)
	f("POST /organization/new", "")
	f("PATCH /organization/update", "org")
	f("POST /budget/new", "")
	f("POST /budget/info", "viewer")
	f("POST /customer/new", "")
	f("GET /customer/list", "viewer")
	f("POST /model/new", "org team")
	f("GET /model/info", everyone)
	f("GET /global/spend", "viewer")
	f("GET /global/activity", "viewer internal reader org team member")
	f("POST /global/spend/reset", "")
	f("GET /audit", "viewer")
	f("GET /config/anything", "viewer")
	f("POST /config/update", "")
	f("DELETE /key/info", "")
	f("GET /", "viewer")
	f("POST /key/generate/", "")
	f("POST /key//regenerate", "")
	f("GET /v1/models/a%2Fb", everyone)
}

// Whoever is signed in makes their own row, and has the routes of their role beside.
func TestManage_signedIn(t *testing.T) {
	d := NewDirectory(Options{}, Rows{})
	f := func(role, route string, want bool) {
		t.Helper()
		p := d.ForUser("new", "", "")
		p.Role = role
		method, path, _ := strings.Cut(route, " ")
		if got := d.Manage(p, httptest.NewRequest(method, path, nil)); (got == nil) != want {
			t.Errorf("%s on %s: %v", role, route, got)
		}
	}
	f(account.InternalUser, "POST /user/new", true)
	f(account.InternalUser, "POST /key/generate", true)
	f(account.InternalUser, "POST /user/update", false)
	f(account.InternalUserViewer, "POST /key/generate", false)
	f(account.ProxyAdminViewer, "GET /audit", true)
}

// Each line says who, once.
func TestManagement_table(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range management {
		if route := m.method + " " + m.path; seen[route] {
			t.Errorf("%s stands twice", route)
		} else {
			seen[route] = true
		}
		if strings.Trim(m.who, "avirotj") != "" {
			t.Errorf("%s is for %q", m.path, m.who)
		}
		if m.method != http.MethodGet && strings.Contains(m.who, "r") && m.path != "/user/password/change" && m.path != "/organization/info" {
			t.Errorf("%s %s changes something and is for viewers", m.method, m.path)
		}
	}
	for route := range refusals {
		if !seen[route] {
			t.Errorf("%s refuses in its own words and is not in the table", route)
		}
	}
}

func TestMayRoute(t *testing.T) {
	f := func(allowed, path string, want bool) {
		t.Helper()
		p := &Principal{Key: &account.Key{AllowedRoutes: strings.Fields(allowed)}}
		u, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.MayRoute(u); (got == nil) != want {
			t.Errorf("[%s] on %s: %v", allowed, path, got)
		} else if got != nil && got.HTTPStatus() != 403 {
			t.Error(got.HTTPStatus())
		}
	}
	f("", "/anything", true)
	f("/embeddings", "/embeddings", true)
	f("/embeddings", "/embeddings/", true)
	f("/embeddings", "/v1/embeddings", false)
	f("/embeddings", "/embeddingsx", false)
	f("/v1/models", "/v1/models/m", true)
	f("/v1/*", "/v1/chat/completions", true)
	f("/v1/*", "/v2/chat", false)
	f("*", "/x", true)
	f("/", "/x", false)
	f("/key/{key}/regenerate", "/key/sk-1/regenerate", true)
	f("/key/{key}/regenerate", "/key/sk-1/delete", false)
	f("nothing_known", "/x", false)
	f("/a /b", "/b", true)
	for _, path := range []string{"/v1/chat/completions", "/chat/completions", "/v2/serve/v1/chat/completions", "/openai/deployments/m/chat/completions",
		"/openai/v1/responses", "/engines/m/embeddings", "/v1/responses/r/input_items", "/v1/audio/speech", "/v2/rerank", "/v1/models", "/models/m"} {
		f("openai_routes", path, true)
		f("llm_api_routes", path, true)
		f("anthropic_routes", path, false)
		f("management_routes", path, false)
	}
	for _, path := range []string{"/v1/messages", "/v1/messages/count_tokens", "/v2/serve/v1/messages"} {
		f("anthropic_routes", path, true)
		f("llm_api_routes", path, true)
		f("openai_routes", path, false)
	}
	for _, path := range []string{"/v1beta/models/g:generateContent", "/gemini/v1beta/models/g:streamGenerateContent?alt=sse"} {
		f("google_routes", path, true)
		f("llm_api_routes", path, true)
		f("openai_routes", path, false)
	}
	for _, path := range []string{"/bedrock/model/a%2Fb/converse", "/model/a%2Fb/converse-stream", "/anthropic/v1/messages"} {
		f("mapped_pass_through_routes", path, true)
		f("llm_api_routes", path, true)
		f("info_routes", path, false)
	}
	for _, path := range []string{"/key/generate", "/key/info", "/user/new", "/team/update", "/model/new", "/user/daily/activity", "/customer/new", "/credentials"} {
		f("management_routes", path, true)
		f("llm_api_routes", path, false)
	}
	for _, path := range []string{"/spend/logs", "/global/spend/report", "/global/activity"} {
		f("spend_tracking_routes", path, true)
		f("management_routes", path, false)
		f("llm_api_routes", path, false)
	}
	f("info_routes", "/key/info", true)
	f("info_routes", "/v1/models", true)
	f("info_routes", "/model/info", true)
	f("info_routes", "/key/generate", false)
	f("info_routes", "/v1/chat/completions", false)
	f("key_management_routes", "/key/delete", true)
	f("key_management_routes", "/user/new", false)
}

func TestPlaces(t *testing.T) {
	d := NewDirectory(Options{}, Rows{Members: []account.Member{{TeamID: "a", UserID: "u", Role: "user"}, {TeamID: "b", UserID: "u"}}})
	f := func(c Changes, want string) {
		t.Helper()
		old, was := d, len(d.Teams("u"))
		d = d.Apply(c)
		seen := map[string]string{}
		for _, m := range d.Teams("u") {
			seen[m.TeamID] = m.Role
		}
		for _, m := range d.Orgs("u") {
			seen[m.OrgID] = m.Role
		}
		var got []string
		for _, team := range []string{"a", "b", "c", "o"} {
			if role, ok := seen[team]; ok {
				got = append(got, team+":"+role)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("in %v, want %s", got, want)
		}
		if len(old.Teams("u")) != was {
			t.Error("the directory before changed")
		}
	}
	f(Changes{}, "a:user b:")
	f(Changes{Rows: Rows{Members: []account.Member{{TeamID: "a", UserID: "u", Role: "admin"}, {TeamID: "c", UserID: "v"}}}}, "a:admin b:")
	f(Changes{Rows: Rows{OrgMembers: []account.OrgMember{{OrgID: "o", UserID: "u", Role: "org_admin"}}}}, "a:admin b: o:org_admin")
	f(Changes{Gone: IDs{Members: []string{account.MemberID("a", "u"), account.MemberID("x", "u")}}}, "b: o:org_admin")
	f(Changes{Gone: IDs{Members: []string{account.MemberID("b", "u")}, OrgMembers: []string{account.MemberID("o", "u")}}}, "")
}

func FuzzOnPath(f *testing.F) {
	f.Add("/key/{key}/regenerate", "/key/a/regenerate")
	f.Add("/spend/*", "/spend/logs")
	f.Add("*", "")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if !onPath(path, path) {
			t.Errorf("%q is not on itself", path)
		}
		if onPath(pattern, path) && !strings.ContainsAny(pattern, "{*") && pattern != path {
			t.Errorf("%q is on %q", path, pattern)
		}
	})
}
