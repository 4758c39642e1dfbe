package auth

import (
	"cmp"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// claims reads a verified token's claims.
func (o *OIDC) claims(raw map[string]any) (*Claims, *llm.Error) {
	c := &Claims{Raw: raw}
	if sub, _ := raw["sub"].(string); sub == "" {
		return nil, forbiddenToken("No sub claim found in the token")
	}
	user := cmp.Or(o.UserClaim, "sub")
	if c.Subject = first(raw, user); c.Subject == "" {
		return nil, forbiddenToken("No %s claim found in the token", user)
	}
	c.Email = first(raw, cmp.Or(o.EmailClaim, "email"))
	if o.EmailDomain != "" && (raw["email_verified"] == false || !inDomain(cmp.Or(c.Email, c.Subject), o.EmailDomain)) {
		return nil, forbiddenToken("The token's e-mail address is not of the domain %s.", o.EmailDomain)
	}
	c.Email = cmp.Or(c.Email, c.Subject)
	c.Groups = texts(claim(raw, cmp.Or(o.GroupsClaim, "groups")))
	for _, name := range o.TeamClaims {
		for _, team := range texts(claim(raw, name)) {
			if !slices.Contains(c.Teams, team) {
				c.Teams = append(c.Teams, team)
			}
		}
	}
	c.Org, c.EndUser = first(raw, o.OrgClaim), first(raw, o.EndUserClaim)
	if err := o.role(c, raw); err != nil {
		return nil, err
	}
	return c, nil
}

// role is the highest role that the token's role claims, or what makes an administrator, give.
func (o *OIDC) role(c *Claims, raw map[string]any) *llm.Error {
	var roles []string
	for _, name := range o.RoleClaims {
		roles = append(roles, texts(claim(raw, name))...)
	}
	if len(o.AllowedRoles) > 0 && !slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(o.AllowedRoles, r) }) {
		return forbiddenToken("None of the token's roles is allowed: it needs one of %s.", strings.Join(o.AllowedRoles, ", "))
	}
	for _, r := range roles {
		if role := o.Roles[r]; rank(role) > rank(c.Role) {
			c.Role = role
		}
	}
	if o.isAdmin(raw) {
		c.Role = account.ProxyAdmin
	}
	c.Admin = c.Role == account.ProxyAdmin
	if o.RequireRole && c.Role == "" {
		return forbiddenToken("The token has no role that is known here.")
	}
	return nil
}

func (o *OIDC) isAdmin(raw map[string]any) bool {
	if o.AdminScope != "" {
		for _, name := range []string{"scope", "scp"} {
			if slices.Contains(scopes(raw[name]), o.AdminScope) {
				return true
			}
		}
	}
	if o.AdminClaim == "" {
		return false
	}
	v := claim(raw, o.AdminClaim)
	if len(o.AdminValues) == 0 {
		return v == true
	}
	return slices.ContainsFunc(texts(v), func(s string) bool { return slices.Contains(o.AdminValues, s) })
}

// scopes are one text with spaces between (RFC 8693) or a list (Okta).
func scopes(v any) []string {
	if s, ok := v.(string); ok {
		return strings.Fields(s)
	}
	return texts(v)
}

// rank orders the roles by what they may do; 0 is no role.
func rank(role string) int {
	return 1 + slices.Index([]string{account.InternalUserViewer, account.InternalUser, account.OrgAdmin, account.ProxyAdminViewer, account.ProxyAdmin}, role)
}

// claim finds a claim by its name, which may hold dots itself (https://example.com/roles), or else by its path. A dot that belongs to a
// name within a path stands behind a backslash.
func claim(raw map[string]any, path string) any {
	if path == "" {
		return nil
	}
	if v, ok := raw[path]; ok {
		return v
	}
	var at any = raw
	for name := range strings.SplitSeq(strings.ReplaceAll(path, `\.`, "\x00"), ".") {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[strings.ReplaceAll(name, "\x00", ".")]
	}
	return at
}

// first is a claim's only or first text.
func first(raw map[string]any, path string) string {
	if list := texts(claim(raw, path)); len(list) > 0 {
		return list[0]
	}
	return ""
}

// texts are the texts of a claim that is one or a list of them; others are left out.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		if v != "" {
			return []string{v}
		}
	case []any:
		var out []string
		for _, e := range v {
			if s, ok := e.(string); ok && s != "" {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

func inDomain(email, domain string) bool {
	at := strings.LastIndexByte(email, '@')
	return at > 0 && strings.EqualFold(email[at+1:], strings.TrimPrefix(domain, "@"))
}

// Principal is who calls with a verified token. The user's row counts where there is one, blocked or limited; the token's role counts
// before the row's. A user without a row is refused unless the configuration lets such call (Upsert), the token makes an administrator, or
// signup says that this call is the one that creates the user (POST /user/new); the Principal's User is nil then.
//
// Of several teams, the first that exists is the one that is charged.
func (v *Verifier) Principal(d *Directory, c *Claims, signup bool) (*Principal, *llm.Error) {
	team := v.o.DefaultTeam
	for _, t := range c.Teams {
		if _, ok := d.teams.get(id(t)); ok {
			team = t
			break
		}
	}
	p := d.ForUser(c.Subject, team, c.Org)
	if p.User == nil && !v.o.Upsert && !c.Admin && !signup {
		e := forbiddenToken("User doesn't exist in db. 'user_id'=%s. Create user via `/user/new` call.", c.Subject)
		e.Param = "user_id"
		return nil, e
	}
	p.UserEmail = cmp.Or(p.UserEmail, c.Email)
	p.Groups = append(slices.Clip(p.Groups), c.Groups...)
	p.Role = cmp.Or(c.Role, p.Role, account.InternalUser)
	p.Admin = p.Role == account.ProxyAdmin
	return p.admit(v.now())
}
