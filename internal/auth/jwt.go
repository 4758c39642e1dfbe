package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

// maxToken bounds a token in bytes; longer ones are nobody's.
const maxToken = 16 << 10

// tokenAlgorithms are the ones a public key can verify. Neither none nor the HMAC family is among them: with those, whoever can verify can
// also forge.
var tokenAlgorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// OIDC says whose tokens are taken and what their claims mean. A claim is named as it stands in the token, or by a path with dots
// (realm_access.roles).
type OIDC struct {
	Issuer     string   // iss, exactly; empty: not checked, which only KeyURLs allow
	Audience   []string // aud must be one of these; empty: not checked
	KeyURLs    []string // key sets, or discovery documents; empty: the issuer's discovery tells
	Algorithms []string // subset of the asymmetric ones; empty: all
	Leeway     time.Duration
	KeyTTL     time.Duration // age at which the keys are fetched again; 0: ten minutes

	UserClaim    string   // empty: sub
	EmailClaim   string   // empty: email
	RoleClaims   []string // what Roles maps
	GroupsClaim  string   // empty: groups
	TeamClaims   []string // each one team or a list of teams
	OrgClaim     string
	EndUserClaim string
	AdminScope   string // this word in scope or scp makes an administrator; empty: none does
	AdminClaim   string // so does this claim, if it is true or holds one of AdminValues
	AdminValues  []string
	Roles        map[string]string // value of a role claim -> role of account
	RequireRole  bool              // refuse tokens without a role that Roles knows
	AllowedRoles []string          // one of these must stand in a role claim; empty: no matter
	EmailDomain  string            // the e-mail address must be of this domain; empty: no matter

	DefaultTeam string // of tokens that name no team
	Upsert      bool   // users that nobody created may call
}

// Claims are what a verified token says of its bearer. Shared between calls: not to be changed.
type Claims struct {
	Subject string // the user's id
	Email   string // the subject if the token has none
	Role    string // of account; empty: the token says none
	Admin   bool
	Groups  []string
	Teams   []string
	Org     string
	EndUser string
	Expires time.Time
	Raw     map[string]any
}

// Doer sends a request; egress has one.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Verifier verifies tokens of one configuration. Safe for concurrent use. A token seen before costs one hash and one look-up.
type Verifier struct {
	o    *OIDC
	algs []jose.SignatureAlgorithm
	keys *keySet
	seen tokenCache
	now  func() time.Time
}

// NewVerifier makes a verifier; it fetches nothing before the first token. Close ends it.
func NewVerifier(o *OIDC, http Doer, now func() time.Time) (*Verifier, error) {
	if o.Issuer == "" && len(o.KeyURLs) == 0 {
		return nil, errors.New("tokens can't be verified without an issuer or the address of its keys")
	}
	v := &Verifier{o: o, algs: tokenAlgorithms, now: now, seen: tokenCache{max: maxSeen}}
	if len(o.Algorithms) > 0 {
		v.algs = nil
		for _, name := range o.Algorithms {
			if !slices.Contains(tokenAlgorithms, jose.SignatureAlgorithm(name)) {
				return nil, fmt.Errorf("%q is not an algorithm that tokens may be signed with: RS, PS, ES with 256, 384 or 512, or EdDSA", name)
			}
			v.algs = append(v.algs, jose.SignatureAlgorithm(name))
		}
	}
	for value, role := range o.Roles {
		if rank(role) == 0 {
			return nil, fmt.Errorf("the role %q, for %q in a token, does not exist", role, value)
		}
	}
	v.keys = newKeySet(o, http, now)
	return v, nil
}

// Close ends fetches that run and waits for them.
func (v *Verifier) Close() { v.keys.close() }

// IsToken reports whether a credential has the form of a JWT: three parts, the first of them a JSON object. Keys never do.
func IsToken(credential string) bool {
	return strings.HasPrefix(credential, "ey") && strings.Count(credential, ".") == 2
}

// Verify gives what the token says, or a 401, a 403 for a token that is good but not for this, or a 503 if the issuer's keys can't be had.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, *llm.Error) {
	now := v.now()
	v.keys.renew(now)
	sum := sha256.Sum256([]byte(token))
	if c := v.seen.get(sum, v.keys.version(), now); c != nil {
		return c, nil
	}
	if len(token) > maxToken {
		return nil, invalidToken(errors.New("token too long"))
	}
	jws, err := jose.ParseSignedCompact(token, v.algs)
	if err != nil {
		return nil, invalidToken(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &claims); err != nil {
		return nil, invalidToken(err)
	}
	// What costs nothing is checked first, so that stale and foreign tokens cause neither a fetch nor a signature's arithmetic.
	expires, err := v.standard(claims, now)
	if err != nil {
		return nil, invalidToken(err)
	}
	version, err := v.signature(ctx, jws)
	if errors.Is(err, errNoKeys) {
		return nil, &llm.Error{Kind: llm.ErrUnavailable, Type: "auth_error", Message: "The keys of the token's issuer can't be fetched.",
			RetryAfter: fetchPause, Cause: err}
	}
	if err != nil {
		return nil, invalidToken(err)
	}
	c, refusal := v.o.claims(claims)
	if refusal != nil {
		return nil, refusal
	}
	c.Expires = expires
	v.seen.put(sum, version, c)
	return c, nil
}

// signature holds the token to the issuer's keys, and gives the version of the key set that has its key.
func (v *Verifier) signature(ctx context.Context, jws *jose.JSONWebSignature) (version int64, err error) {
	h := jws.Signatures[0].Protected
	set, keys, err := v.keys.find(ctx, h.KeyID, h.Algorithm)
	if err != nil {
		return 0, err
	}
	for _, key := range keys {
		if _, err = jws.Verify(key); err == nil {
			return set, nil
		}
	}
	return 0, err
}

// standard holds a token to issuer, audience and time, and gives the moment from which it is not taken any more.
func (v *Verifier) standard(claims map[string]any, now time.Time) (expires time.Time, err error) {
	if iss, _ := claims["iss"].(string); v.o.Issuer != "" && iss != v.o.Issuer {
		return expires, fmt.Errorf("issuer is %.100q", iss)
	}
	if len(v.o.Audience) > 0 && !slices.ContainsFunc(texts(claims["aud"]), func(a string) bool { return slices.Contains(v.o.Audience, a) }) {
		return expires, fmt.Errorf("audience is %.100q", texts(claims["aud"]))
	}
	exp, ok := moment(claims["exp"])
	if !ok {
		return expires, errors.New("no expiry")
	}
	if expires = exp.Add(v.o.Leeway); !now.Before(expires) {
		return expires, fmt.Errorf("%w at %v", errExpired, exp)
	}
	for _, name := range []string{"nbf", "iat"} {
		if claims[name] == nil {
			continue
		}
		if t, ok := moment(claims[name]); !ok || t.After(now.Add(v.o.Leeway)) {
			return expires, fmt.Errorf("%s is not before now", name)
		}
	}
	return expires, nil
}

// moment reads a NumericDate: seconds, with or without a fraction.
func moment(v any) (time.Time, bool) {
	f, ok := v.(float64)
	if !ok || f < 0 || f > 1e11 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(f * 1000)), true
}

func invalidToken(cause error) *llm.Error {
	e := unauthorized("Invalid or expired token")
	e.Cause = cause
	if errors.Is(cause, errExpired) {
		e.Type = "expired_key"
	}
	return e
}

// errExpired is the fault of a token that was good once, perhaps: nobody guesses with it.
var errExpired = errors.New("expired")

func forbiddenToken(format string, args ...any) *llm.Error {
	return &llm.Error{Kind: llm.ErrPermission, Type: "auth_error", Message: fmt.Sprintf(format, args...)}
}
