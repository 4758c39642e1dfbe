package config

import (
	"slices"
	"strings"
	"time"
)

// OIDC is weir.oidc: whose tokens are taken in place of keys. What their claims mean stands in general_settings.litellm_jwtauth.
type OIDC struct {
	Issuer      string        `yaml:"issuer" doc:"issuer whose tokens (JWT) are taken in place of keys, as it stands in their iss claim; its keys are found through discovery. OKTA_ISSUER with OKTA_AUDIENCE sets it too, and JWT_ISSUER with enable_jwt_auth"`
	Audience    []string      `yaml:"audience" doc:"audiences, of which a token must have one; empty: OKTA_AUDIENCE or JWT_AUDIENCE"`
	KeyURLs     []string      `yaml:"jwks_url" doc:"addresses of the issuer's keys, where discovery doesn't tell; JWT_PUBLIC_KEY_URL with enable_jwt_auth sets them too, with commas between"`
	Algorithms  []string      `yaml:"algorithms" doc:"signature algorithms taken, of RS256 to RS512, PS256 to PS512, ES256 to ES512 and EdDSA; empty: all of these. none and the HMAC ones are never taken"`
	Leeway      time.Duration `yaml:"leeway" default:"30s" doc:"how far the issuer's clock may be off"`
	GroupsClaim string        `yaml:"groups_claim" default:"groups" doc:"claim with the user's groups"`
	AdminClaim  string        `yaml:"admin_claim" doc:"claim that makes its bearer an administrator: if it is true, or holds one of admin_values"`
	AdminValues []string      `yaml:"admin_values" doc:"values of admin_claim that do, such as a group's name"`
}

// JWTAuth is general_settings.litellm_jwtauth: what a token's claims mean. A claim is named as in the token, or by its path with dots.
type JWTAuth struct {
	AdminScope   string        `yaml:"admin_jwt_scope" doc:"scope that makes an administrator; with enable_jwt_auth litellm_proxy_admin unless set"`
	UserField    string        `yaml:"user_id_jwt_field" default:"sub" doc:"claim with the user's id"`
	EmailField   string        `yaml:"user_email_jwt_field" default:"email" doc:"claim with the user's e-mail address; without it the address is the sub"`
	EmailDomain  string        `yaml:"user_allowed_email_domain" doc:"domain the address must be of; empty: any"`
	Upsert       bool          `yaml:"user_id_upsert" default:"false" doc:"create users when they first call; false: they are created by /user/new, with the token or by an administrator"`
	RolesField   string        `yaml:"roles_jwt_field" doc:"claim with roles, for role_mappings"`
	RoleMappings []RoleMapping `yaml:"role_mappings" doc:"roles in the token and what they are here"`
	UserRoles    string        `yaml:"user_roles_jwt_field" doc:"claim with roles, for user_allowed_roles and jwt_litellm_role_map"`
	RoleMap      []JWTRole     `yaml:"jwt_litellm_role_map" doc:"roles in the token and what they are here; of several the highest counts, before the role of the user's row"`
	AllowedRoles []string      `yaml:"user_allowed_roles" doc:"roles in the token of which a user must have one; empty: no matter"`
	EnforceRoles bool          `yaml:"enforce_rbac" default:"false" doc:"refuse tokens without a role that is mapped"`
	TeamField    string        `yaml:"team_id_jwt_field" doc:"claim with the user's team"`
	TeamsField   string        `yaml:"team_ids_jwt_field" doc:"claim with the user's teams; calls are charged to the first that exists"`
	TeamDefault  string        `yaml:"team_id_default" doc:"team of tokens that name none"`
	OrgField     string        `yaml:"org_id_jwt_field" doc:"claim with the user's organization"`
	EndUserField string        `yaml:"end_user_id_jwt_field" doc:"claim with the end user a call is for"`
	KeyTTL       time.Duration `yaml:"public_key_ttl" default:"600s" doc:"age at which the issuer's keys are fetched again; a token with an unknown key fetches them at once"`
}

// RoleMapping is one of role_mappings.
type RoleMapping struct {
	Role     string `yaml:"role" doc:"the role in the token"`
	Internal string `yaml:"internal_role" doc:"proxy_admin, proxy_admin_viewer, org_admin, internal_user or internal_user_viewer"`
}

// JWTRole is one of jwt_litellm_role_map.
type JWTRole struct {
	Role     string `yaml:"jwt_role" doc:"the role in the token"`
	Internal string `yaml:"litellm_role" doc:"proxy_admin, proxy_admin_viewer, org_admin, internal_user or internal_user_viewer"`
}

// SigV4 is weir.sigv4: what requests signed with issued AWS credentials are held to.
type SigV4 struct {
	Regions       []string      `yaml:"regions" doc:"regions that AWS clients may be configured for; empty: any"`
	Skew          time.Duration `yaml:"clock_skew" default:"5m" doc:"how far a client's clock may be off"`
	AllowUnsigned bool          `yaml:"allow_unsigned_payload" default:"false" doc:"take signatures that leave the body out (UNSIGNED-PAYLOAD)"`
	Hosts         []string      `yaml:"hosts" doc:"host names, with their port if it isn't the usual one, that clients know the gateway by where a proxy in front sends another Host"`
}

// TokenIssuer is whose tokens are taken: as weir.oidc says, as the seed's OKTA_ISSUER and OKTA_AUDIENCE, or as LiteLLM's variables where
// enable_jwt_auth is set. Without issuer and keyURLs none are.
func (c *Config) TokenIssuer() (issuer string, audience, keyURLs []string) {
	o := &c.Weir.OIDC
	issuer, audience, keyURLs = o.Issuer, o.Audience, o.KeyURLs
	if okta := c.Env("OKTA_ISSUER"); issuer == "" && len(keyURLs) == 0 && okta != "" && c.Env("OKTA_AUDIENCE") != "" {
		issuer = okta
		if len(audience) == 0 {
			audience = []string{c.Env("OKTA_AUDIENCE")}
		}
	}
	if !c.General.EnableJWT {
		return issuer, audience, keyURLs
	}
	if issuer == "" {
		issuer = c.Env("JWT_ISSUER")
		if len(keyURLs) == 0 {
			keyURLs = listed(c.Env("JWT_PUBLIC_KEY_URL"))
		}
	}
	if len(audience) == 0 {
		audience = listed(c.Env("JWT_AUDIENCE"))
	}
	return issuer, audience, keyURLs
}

// listed splits at commas.
func listed(s string) (out []string) {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// Roles maps the roles of tokens to ours, and names the claims that hold them.
func (j *JWTAuth) Roles() (claims []string, roles map[string]string) {
	roles = map[string]string{}
	for _, m := range j.RoleMappings {
		roles[m.Role] = m.Internal
	}
	for _, m := range j.RoleMap {
		roles[m.Role] = m.Internal
	}
	for _, name := range []string{j.RolesField, j.UserRoles} {
		if name != "" {
			claims = append(claims, name)
		}
	}
	return claims, roles
}

var (
	userRoles       = []string{"proxy_admin", "proxy_admin_viewer", "org_admin", "internal_user", "internal_user_viewer"}
	tokenAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

// checkSignIn refuses settings of tokens and signatures that can't be meant.
func (l *loader) checkSignIn(root *node, complain func(Severity, *node, string, string, ...any)) {
	c := l.cfg
	oidc, general := root.get("weir").get("oidc"), root.get("general_settings")
	issuer, audience, keyURLs := c.TokenIssuer()
	if c.General.EnableJWT && issuer == "" && len(keyURLs) == 0 {
		complain(Error, general.get("enable_jwt_auth"), "general_settings.enable_jwt_auth",
			"general_settings.enable_jwt_auth: whose tokens? set weir.oidc.issuer, or OKTA_ISSUER and OKTA_AUDIENCE, or JWT_PUBLIC_KEY_URL")
	}
	if at := oidc; (issuer != "" || len(keyURLs) > 0) && len(audience) == 0 {
		if at.null() {
			at = general.get("enable_jwt_auth")
		}
		complain(Warning, at, "weir.oidc.audience", "weir.oidc.audience: is not set: tokens that the issuer made for other applications are taken too")
	}
	for _, a := range c.Weir.OIDC.Algorithms {
		if !slices.Contains(tokenAlgorithms, a) {
			complain(Error, oidc.get("algorithms"), "weir.oidc.algorithms", "weir.oidc.algorithms: must be of %s, not %q", strings.Join(tokenAlgorithms, ", "), a)
		}
	}
	if len(c.Weir.OIDC.AdminValues) > 0 && c.Weir.OIDC.AdminClaim == "" {
		complain(Error, oidc.get("admin_values"), "weir.oidc.admin_values", "weir.oidc.admin_values: needs admin_claim beside it")
	}
	jwt := general.get("litellm_jwtauth")
	_, roles := c.General.JWT.Roles()
	for token, role := range roles {
		if !slices.Contains(userRoles, role) {
			complain(Error, jwt, "general_settings.litellm_jwtauth", "general_settings.litellm_jwtauth: the role %q of a token must be one of %s here, not %q",
				token, strings.Join(userRoles, ", "), role)
		}
	}
	if s := c.Weir.SigV4.Skew; s <= 0 || s > time.Hour {
		complain(Error, root.get("weir").get("sigv4").get("clock_skew"), "weir.sigv4.clock_skew", "weir.sigv4.clock_skew: must be above 0 and at most an hour")
	}
}
