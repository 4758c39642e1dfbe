package auth

import (
	"github.com/weir-gateway/weir/internal/config"
)

// OIDCOf is what a configuration says of tokens; nil: none are taken.
func OIDCOf(c *config.Config) *OIDC {
	issuer, audience, keyURLs := c.TokenIssuer()
	if issuer == "" && len(keyURLs) == 0 {
		return nil
	}
	w, j := &c.Weir.OIDC, &c.General.JWT
	o := &OIDC{
		Issuer: issuer, Audience: audience, KeyURLs: keyURLs, Algorithms: w.Algorithms, Leeway: w.Leeway, KeyTTL: j.KeyTTL,
		UserClaim: j.UserField, EmailClaim: j.EmailField, GroupsClaim: w.GroupsClaim, OrgClaim: j.OrgField, EndUserClaim: j.EndUserField,
		AdminScope: j.AdminScope, AdminClaim: w.AdminClaim, AdminValues: w.AdminValues,
		RequireRole: j.EnforceRoles, AllowedRoles: j.AllowedRoles, EmailDomain: j.EmailDomain, DefaultTeam: j.TeamDefault, Upsert: j.Upsert,
	}
	o.RoleClaims, o.Roles = j.Roles()
	if o.AdminScope == "" && c.General.EnableJWT {
		o.AdminScope = "litellm_proxy_admin"
	}
	for _, name := range []string{j.TeamField, j.TeamsField} {
		if name != "" {
			o.TeamClaims = append(o.TeamClaims, name)
		}
	}
	return o
}

// SigV4Of is what a configuration says of signed requests.
func SigV4Of(c *config.Config) *SigV4 {
	s := &c.Weir.SigV4
	return &SigV4{Regions: s.Regions, Skew: s.Skew, AllowUnsigned: s.AllowUnsigned, Hosts: s.Hosts}
}
