package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTokenIssuer(t *testing.T) {
	type vars = map[string]string
	f := func(text string, env vars, issuer string, audience, keyURLs []string, complaint string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, problems, err := Load(file, func(name string) string { return env[name] })
		said := ""
		for _, p := range problems {
			said += p.Message + "\n"
		}
		if complaint == "" && said != "" || !strings.Contains(said, complaint) {
			t.Errorf("%s: said %q, want %q", text, said, complaint)
		}
		if err != nil {
			return
		}
		i, a, k := c.TokenIssuer()
		if d := cmp.Diff([]any{issuer, audience, keyURLs}, []any{i, a, k}); d != "" {
			t.Errorf("%s, %v: %s", text, env, d)
		}
	}
	one := func(s string) []string { return []string{s} }
	f("", nil, "", nil, nil, "")
	f("", vars{"OKTA_ISSUER": "https://o", "OKTA_AUDIENCE": "api://default"}, "https://o", one("api://default"), nil, "")
	f("", vars{"OKTA_AUDIENCE": "api://default"}, "", nil, nil, "")
	f("", vars{"OKTA_ISSUER": "https://o"}, "", nil, nil, "")
	f("", vars{"JWT_PUBLIC_KEY_URL": "https://k", "JWT_AUDIENCE": "a"}, "", nil, nil, "")
	f("general_settings: {enable_jwt_auth: true}", vars{"JWT_PUBLIC_KEY_URL": "https://k, https://l", "JWT_AUDIENCE": "a", "JWT_ISSUER": "i"}, "i", one("a"), []string{"https://k", "https://l"}, "")
	f("general_settings: {enable_jwt_auth: true}", vars{"JWT_PUBLIC_KEY_URL": "https://k"}, "", nil, one("https://k"), "are taken too")
	f("general_settings: {enable_jwt_auth: true}", vars{"JWT_PUBLIC_KEY_URL": "https://k", "OKTA_ISSUER": "https://o", "OKTA_AUDIENCE": "b"}, "https://o", one("b"), nil, "")
	f("general_settings: {enable_jwt_auth: true}", nil, "", nil, nil, "whose tokens?")
	f("weir: {oidc: {issuer: https://w, audience: b}}", vars{"OKTA_ISSUER": "https://o", "OKTA_AUDIENCE": "a"}, "https://w", one("b"), nil, "")
	f("weir: {oidc: {issuer: https://w, jwks_url: https://k, audience: [a, b]}}", nil, "https://w", []string{"a", "b"}, one("https://k"), "")
	f("weir: {oidc: {issuer: https://w, audience: a, algorithms: [RS256, HS256]}}", nil, "", nil, nil, `not "HS256"`)
	f("weir: {oidc: {issuer: https://w, audience: a, admin_values: x}}", nil, "", nil, nil, "needs admin_claim")
	f("general_settings: {litellm_jwtauth: {role_mappings: [{role: a, internal_role: team}]}}", nil, "", nil, nil, `not "team"`)
	f("general_settings: {litellm_jwtauth: {team_id_upsert: true}}", nil, "", nil, nil, "no effect yet")
	f("weir: {sigv4: {clock_skew: 2h}}", nil, "", nil, nil, "at most an hour")
}

func TestSignIn_values(t *testing.T) {
	c := Default(func(string) string { return "" })
	if c.Weir.SigV4.Skew != 5*time.Minute || c.General.JWT.KeyTTL != 10*time.Minute || c.General.JWT.UserField != "sub" || c.Weir.OIDC.Leeway != 30*time.Second {
		t.Errorf("%+v %+v %+v", c.Weir.SigV4, c.General.JWT, c.Weir.OIDC)
	}
	j := JWTAuth{RolesField: "a", UserRoles: "b", RoleMappings: []RoleMapping{{"x", "org_admin"}}, RoleMap: []JWTRole{{"y", "internal_user"}}}
	claims, roles := j.Roles()
	if d := cmp.Diff([]any{[]string{"a", "b"}, map[string]string{"x": "org_admin", "y": "internal_user"}}, []any{claims, roles}); d != "" {
		t.Error(d)
	}
}
