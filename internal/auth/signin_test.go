package auth

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/config"
)

func TestOIDCOf(t *testing.T) {
	env := map[string]string{"OKTA_ISSUER": "https://o", "OKTA_AUDIENCE": "a"}
	c := config.Default(func(name string) string { return env[name] })
	want := &OIDC{Issuer: "https://o", Audience: []string{"a"}, Leeway: 30 * time.Second, KeyTTL: 10 * time.Minute, UserClaim: "sub", EmailClaim: "email",
		GroupsClaim: "groups", Roles: map[string]string{}}
	if d := cmp.Diff(want, OIDCOf(c)); d != "" {
		t.Error(d)
	}
	c.General.EnableJWT = true
	c.General.JWT.TeamsField, c.General.JWT.UserRoles = "teams", "groups"
	c.General.JWT.RoleMap = []config.JWTRole{{Role: "ops", Internal: "org_admin"}}
	want.AdminScope, want.TeamClaims, want.RoleClaims, want.Roles = "litellm_proxy_admin", []string{"teams"}, []string{"groups"}, map[string]string{"ops": "org_admin"}
	if d := cmp.Diff(want, OIDCOf(c)); d != "" {
		t.Error(d)
	}
	if o := OIDCOf(config.Default(func(string) string { return "" })); o != nil {
		t.Errorf("tokens nobody configured: %+v", o)
	}
	if d := cmp.Diff(&SigV4{Skew: 5 * time.Minute}, SigV4Of(c)); d != "" {
		t.Error(d)
	}
}
