package auth

import (
	"net/http"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// management says who may call which management route; proxy_admin may call every one. A letter for each who may besides:
//
//	a  all who have a valid credential, of whatever role or none; the handler shows each what is theirs
//	v  proxy_admin_viewer
//	i  internal_user
//	r  internal_user_viewer
//	o  whoever administers an organization
//	t  whoever administers a team
//	j  whoever is signed in without a key, by a JWT, with a row or none
//
// What a caller may see and change by such a route is for its handler to ask. A route that is not listed is for proxy_admin; a GET is
// for proxy_admin_viewer too, or for all if inference clients ask for it. {x} stands for one segment of a path, a final /* for any
// number of them.
var management = []struct{ method, path, who string }{
	{"POST", "/key/generate", "iot"},
	{"POST", "/key/service-account/generate", "iot"},
	{"POST", "/key/update", "iot"},
	{"POST", "/key/bulk_update", "iot"},
	{"POST", "/team/key/bulk_update", "ot"},
	{"POST", "/key/delete", "iot"},
	{"POST", "/key/regenerate", "iot"},
	{"POST", "/key/{key}/regenerate", "iot"},
	{"POST", "/key/{key}/aws-credentials", "iot"},
	{"DELETE", "/key/{key}/aws-credentials", "iot"},
	{"POST", "/key/{key}/reset_spend", ""},
	{"POST", "/key/block", "iot"},
	{"POST", "/key/unblock", "ot"}, // not the key's holder: who was blocked must not unblock themselves
	{"GET", "/key/info", "a"},
	{"POST", "/v2/key/info", "a"},
	{"POST", "/key/health", "a"},
	{"GET", "/key/list", "a"},
	{"GET", "/key/aliases", "a"},

	{"POST", "/user/new", "oj"},
	{"POST", "/user/update", "o"},
	{"POST", "/user/bulk_update", "o"},
	{"POST", "/user/delete", "o"},
	{"POST", "/user/password/change", "virot"},
	{"GET", "/user/info", "a"},
	{"GET", "/v2/user/info", "a"},
	{"GET", "/user/list", "a"},
	{"GET", "/user/filter/ui", "vot"},
	{"GET", "/user/available_users", "vo"},
	{"GET", "/user/available_roles", "a"},
	{"GET", "/user/daily/activity", "virot"},
	{"GET", "/user/daily/activity/*", "virot"},
	{"POST", "/invitation/new", "o"},
	{"POST", "/invitation/update", "o"},
	{"POST", "/invitation/delete", "o"},
	{"GET", "/invitation/info", "vo"},

	{"POST", "/team/new", "o"},
	{"POST", "/team/update", "ot"},
	{"PATCH", "/team/{team}", "ot"},
	{"POST", "/team/delete", "o"},
	{"POST", "/team/block", "o"},
	{"POST", "/team/unblock", "o"},
	{"POST", "/team/member_add", "ot"},
	{"POST", "/team/member_update", "ot"},
	{"POST", "/team/member_delete", "ot"},
	{"POST", "/team/bulk_member_add", "ot"},
	{"POST", "/team/{team}/member/{user}/reset_spend", ""},
	{"POST", "/team/{team}/member/{user}/reset_budget", ""},
	{"POST", "/team/model/add", "ot"},
	{"POST", "/team/model/delete", "ot"},
	{"GET", "/team/permissions_list", "virot"},
	{"POST", "/team/permissions_update", "ot"},
	{"POST", "/team/permissions_bulk_update", ""},
	{"POST", "/team/{team}/callback", "ot"},
	{"GET", "/team/{team}/callback", "vot"},
	{"DELETE", "/team/{team}/callback/{name}", "ot"},
	{"POST", "/team/{team}/disable_logging", "ot"},
	{"GET", "/team/info", "a"},
	{"GET", "/team/list", "a"},
	{"GET", "/v2/team/list", "a"},
	{"GET", "/team/available", "a"},
	{"GET", "/team/filter/ui", "virot"},
	{"GET", "/team/{team}/members/me", "a"},
	{"GET", "/team/daily/activity", "virot"},
	{"GET", "/team/daily/activity/*", "virot"},
	{"GET", "/team/spend/by_user", "vot"},

	{"POST", "/organization/new", ""},
	{"PATCH", "/organization/update", "o"},
	{"DELETE", "/organization/delete", ""},
	{"POST", "/organization/member_add", "o"},
	{"PATCH", "/organization/member_update", "o"},
	{"DELETE", "/organization/member_delete", "o"},
	{"GET", "/organization/info", "virot"},
	{"POST", "/organization/info", "virot"},
	{"GET", "/organization/list", "virot"},
	{"GET", "/organization/daily/activity", "vo"},
	{"GET", "/organization/daily/activity/*", "vo"},

	{"POST", "/budget/new", ""},
	{"POST", "/budget/update", ""},
	{"POST", "/budget/delete", ""},
	{"POST", "/budget/info", "v"},
	{"GET", "/budget/settings", "v"},
	{"GET", "/budget/list", "v"},

	{"POST", "/customer/*", ""},
	{"POST", "/end_user/*", ""},
	{"GET", "/customer/*", "v"},
	{"GET", "/end_user/*", "v"},

	{"POST", "/tag/new", ""},
	{"POST", "/tag/update", ""},
	{"POST", "/tag/delete", ""},
	{"POST", "/tag/info", "v"},
	{"GET", "/tag/*", "v"},

	{"POST", "/model/new", "ot"}, // of their own team's models
	{"POST", "/model/update", "ot"},
	{"PATCH", "/model/{model}/update", "ot"},
	{"POST", "/model/delete", "ot"},
	{"POST", "/model/block", ""},
	{"POST", "/model/unblock", ""},
	{"GET", "/model/info", "a"},
	{"GET", "/v1/model/info", "a"},
	{"GET", "/v2/model/info", "a"},
	{"GET", "/model_group/info", "a"},
	{"GET", "/access_group/*", "v"},
	{"GET", "/v1/access_group", "v"},
	{"GET", "/v1/access_group/*", "v"},
	{"GET", "/credentials", "v"},
	{"GET", "/credentials/*", "v"},

	{"GET", "/spend/logs", "virot"},
	{"GET", "/spend/logs/*", "virot"},
	{"GET", "/spend/keys", "v"},
	{"GET", "/spend/users", "v"},
	{"GET", "/spend/tags", "v"},
	{"POST", "/spend/calculate", "a"},
	{"POST", "/cost/estimate", "a"},
	{"GET", "/global/activity", "virot"},
	{"GET", "/global/activity/*", "virot"},
	{"GET", "/global/*", "v"},
	{"POST", "/global/spend/end_users", "v"},
	{"POST", "/global/spend/reset", ""},
	{"POST", "/global/spend/refresh", ""},
	{"GET", "/provider/budgets", "v"},
	{"GET", "/audit", "v"},
	{"GET", "/audit/*", "v"},

	{"POST", "/utils/*", "a"},
	{"GET", "/utils/*", "a"},
	{"GET", "/metrics/users", "a"}, // who may see whose is settled there
	{"GET", "/metrics/users/*", "a"},
	{"GET", "/api/metrics/users", "a"},
	{"GET", "/api/metrics/users/*", "a"},
	{"GET", "/models", "a"},
	{"GET", "/models/*", "a"},
	{"GET", "/v1/models", "a"},
	{"GET", "/v1/models/*", "a"},
	{"GET", "/routes", "a"},
	{"GET", "/health", "a"},
	{"GET", "/health/*", "a"},
}

// refusals are routes that refuse in words of their own, as LiteLLM does.
var refusals = map[string]*llm.Error{
	"POST /model/new": {Kind: llm.ErrPermission, Type: "auth_error", Message: "User does not have permission to make this model call. You can only make model calls if you are a PROXY_ADMIN or if you are a team admin, by specifying a team_id in the model_info."},
}

// Manage is why a principal may not call a management route; nil: they may. It asks both the key's allowed_routes and the role.
func (d *Directory) Manage(p *Principal, r *http.Request) *llm.Error {
	if err := p.MayRoute(r.URL); err != nil {
		return err
	}
	method, path := r.Method, r.URL.EscapedPath()
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if p.Admin {
		return nil
	}
	who := ""
	switch {
	case method != http.MethodGet:
	case isInference(path):
		who = "a"
	default:
		who = "v"
	}
	for i := range management {
		if m := &management[i]; m.method == method && onPath(m.path, path) {
			who = m.who
			break
		}
	}
	for _, w := range []byte(who) {
		if d.is(p, w) {
			return nil
		}
	}
	if err, ok := refusals[method+" "+path]; ok {
		again := *err
		return &again
	}
	role := p.Role // of a key without a user: none
	if role == "" {
		role = "unknown"
	}
	return unauthorized("Authentication Error, Only proxy admin can be used to generate, delete, update info for new keys/users/teams. Route=" +
		path + ". Your role=" + role + ".")
}

// is reports whether the principal is one of those that a letter of the table stands for.
func (d *Directory) is(p *Principal, who byte) bool {
	switch who {
	case 'a':
		return true
	case 'v':
		return p.Role == account.ProxyAdminViewer
	case 'i':
		return p.Role == account.InternalUser
	case 'r':
		return p.Role == account.InternalUserViewer
	case 'o':
		return p.Role != "" && slices.ContainsFunc(d.Orgs(p.UserID), func(m *account.OrgMember) bool { return m.Role == account.OrgAdmin })
	case 'j':
		return p.Key == nil && p.UserID != ""
	case 't':
		return p.Role != "" && slices.ContainsFunc(d.Teams(p.UserID), func(m *account.Member) bool { return m.Role == teamAdmin })
	}
	return false
}

// onPath reports whether a path is one that a pattern stands for: segment by segment, {x} standing for any one, a final * for all that follow.
func onPath(pattern, path string) bool {
	for {
		p, pRest, pMore := strings.Cut(pattern, "/")
		s, sRest, sMore := strings.Cut(path, "/")
		switch {
		case p == "*" && !pMore:
			return path != ""
		case p != s && !(strings.HasPrefix(p, "{") && s != ""), pMore != sMore:
			return false
		case !pMore:
			return true
		}
		pattern, path = pRest, sRest
	}
}
