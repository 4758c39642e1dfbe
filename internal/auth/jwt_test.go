package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/account"
)

// signers are made once: RSA keys take their time.
var signers = sync.OnceValue(func() map[jose.SignatureAlgorithm]crypto.Signer {
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	return map[jose.SignatureAlgorithm]crypto.Signer{jose.RS256: rsaKey, jose.RS512: rsaKey, jose.PS256: rsaKey, jose.ES256: p256, jose.ES384: p384, jose.EdDSA: ed}
})

// issuer is an OpenID provider.
type issuer struct {
	*httptest.Server
	mu      sync.Mutex
	keys    []jose.JSONWebKey
	down    atomic.Bool
	fetches atomic.Int64 // of the key set
}

func newIssuer(t *testing.T) *issuer {
	is := &issuer{}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"unknown":1}`, is.URL, is.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		is.fetches.Add(1)
		is.mu.Lock()
		defer is.mu.Unlock()
		text, _ := json.Marshal(jose.JSONWebKeySet{Keys: is.keys})
		_, _ = w.Write(text)
	})
	is.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if is.down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(is.Close)
	return is
}

func (is *issuer) publish(keys ...jose.JSONWebKey) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.keys = keys
}

func public(kid string, alg jose.SignatureAlgorithm) jose.JSONWebKey {
	return jose.JSONWebKey{KeyID: kid, Key: signers()[alg].Public(), Use: "sig"}
}

// token signs claims; kid may be empty.
func token(t testing.TB, alg jose.SignatureAlgorithm, kid string, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: signers()[alg], KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(claims)
	jws, err := s.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := jws.CompactSerialize()
	return out
}

// clock is a time that tests set.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC).Unix())
	return c
}
func (c *clock) now() time.Time      { return time.Unix(c.at.Load(), 0) }
func (c *clock) add(d time.Duration) { c.at.Add(int64(d.Seconds())) }

// claims are good ones, with changes; a nil value takes a claim away.
func (c *clock) claims(is *issuer, changes map[string]any) map[string]any {
	out := map[string]any{"iss": is.URL, "aud": "api://default", "sub": "ann@example.com", "exp": c.at.Load() + 3600, "iat": c.at.Load(), "nbf": c.at.Load()}
	for k, v := range changes {
		if out[k] = v; v == nil {
			delete(out, k)
		}
	}
	return out
}

func verifier(t *testing.T, o *OIDC, c *clock) *Verifier {
	t.Helper()
	v, err := NewVerifier(o, http.DefaultClient, c.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func TestVerify(t *testing.T) {
	is, c := newIssuer(t), newClock()
	for alg := range signers() {
		is.keys = append(is.keys, public(string(alg), alg))
	}
	v := verifier(t, &OIDC{Issuer: is.URL, Audience: []string{"api://other", "api://default"}, Leeway: 30 * time.Second}, c)
	good := func(name, tok string) {
		t.Helper()
		if got, err := v.Verify(t.Context(), tok); err != nil || got.Subject != "ann@example.com" || got.Email != "ann@example.com" || got.Admin || got.Role != "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	bad := func(name, tok string, status int, message string) {
		t.Helper()
		for range 2 { // refusals are never remembered as good
			got, err := v.Verify(t.Context(), tok)
			if err == nil || got != nil || err.HTTPStatus() != status || err.Message != message {
				t.Errorf("%s: %+v, %v; want %d %s", name, got, err, status, message)
			}
			if err != nil && len(tok) > 20 && strings.Contains(err.Error(), tok[len(tok)-20:]) {
				t.Errorf("%s: the error shows the token", name)
			}
		}
	}
	const invalid = "Invalid or expired token"
	for alg := range signers() {
		good(string(alg), token(t, alg, string(alg), c.claims(is, nil)))
	}
	good("no kid", token(t, jose.ES256, "", c.claims(is, nil)))
	good("aud list", token(t, jose.ES256, "", c.claims(is, map[string]any{"aud": []string{"x", "api://other"}})))
	good("leeway", token(t, jose.ES256, "", c.claims(is, map[string]any{"exp": c.at.Load() - 29, "nbf": c.at.Load() + 29, "iat": float64(c.at.Load()) + 29.5})))

	for name, changes := range map[string]map[string]any{
		"expired": {"exp": c.at.Load() - 31}, "no exp": {"exp": nil}, "exp as text": {"exp": "4102444800"}, "exp far": {"exp": 1e300}, "exp negative": {"exp": -1},
		"not yet": {"nbf": c.at.Load() + 31}, "of the future": {"iat": c.at.Load() + 31}, "nbf as text": {"nbf": "0"},
		"issuer": {"iss": is.URL + "/"}, "no issuer": {"iss": nil}, "issuer list": {"iss": []string{is.URL}},
		"audience": {"aud": "api://third"}, "no audience": {"aud": nil}, "audiences": {"aud": []any{1, "x"}},
	} {
		bad(name, token(t, jose.ES256, "", c.claims(is, changes)), 401, invalid)
	}
	bad("no sub", token(t, jose.ES256, "", c.claims(is, map[string]any{"sub": nil})), 403, "No sub claim found in the token")
	bad("sub no text", token(t, jose.ES256, "", c.claims(is, map[string]any{"sub": 1})), 403, "No sub claim found in the token")

	tok := token(t, jose.ES256, "ES256", c.claims(is, nil))
	head, rest, _ := strings.Cut(tok, ".")
	body, sig, _ := strings.Cut(rest, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	forged, _ := json.Marshal(c.claims(is, map[string]any{"sub": "admin"}))
	bad("other claims", head+"."+b64(forged)+"."+sig, 401, invalid)
	bad("alg none", b64([]byte(`{"alg":"none"}`))+"."+body+".", 401, invalid)
	bad("alg None", b64([]byte(`{"alg":"None","kid":"ES256"}`))+"."+body+"."+sig, 401, invalid)
	bad("another alg", b64([]byte(`{"alg":"RS256","kid":"ES256"}`))+"."+body+"."+sig, 401, invalid)
	bad("crit", b64([]byte(`{"alg":"ES256","kid":"ES256","crit":["x"],"x":1}`))+"."+body+"."+sig, 401, invalid)
	bad("no signature", head+"."+body+".", 401, invalid)
	bad("two parts", head+"."+body, 401, invalid)
	bad("four parts", tok+".x", 401, invalid)
	bad("empty", "", 401, invalid)
	bad("a key", "sk-1234567890", 401, invalid)
	bad("too long", head+"."+body+"."+strings.Repeat("A", maxToken), 401, invalid)
	for i := range tok { // every byte counts; the last ones of a part may hold bits that encode nothing
		changed := tok[:i] + string(rune(tok[i]^1)) + tok[i+1:]
		if got, err := v.Verify(t.Context(), changed); err == nil && got.Subject != "ann@example.com" {
			t.Errorf("byte %d changed: %+v", i, got)
		}
	}
	// HMAC with the public key as secret: the confusion that makes verifiers into forgers.
	hm, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: signers()[jose.RS256].Public().(*rsa.PublicKey).N.Bytes()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(c.claims(is, nil))
	jws, _ := hm.Sign(text)
	hs, _ := jws.CompactSerialize()
	bad("HS256", hs, 401, invalid)
	// A key that the token brings along is no key of the issuer.
	own, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	em, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: own}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	jws, _ = em.Sign(text)
	embedded, _ := jws.CompactSerialize()
	bad("embedded key", embedded, 401, invalid)
	// Two claims of one name: others may read the other one.
	bad("duplicate claim", signText(t, strings.Replace(string(text), `{`, `{"sub":"admin",`, 1)), 401, invalid)
	bad("no object", signText(t, `"ann"`), 401, invalid)

	c.add(2 * time.Hour)
	bad("expired since it was seen", tok, 401, invalid)
}

func signText(t *testing.T, text string) string {
	t.Helper()
	s, _ := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: signers()[jose.ES256]}, nil)
	jws, err := s.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	out, _ := jws.CompactSerialize()
	return out
}

// TestVerify_rotation follows keys that come and go, and an issuer that does.
func TestVerify_rotation(t *testing.T) {
	is, c := newIssuer(t), newClock()
	v := verifier(t, &OIDC{Issuer: is.URL}, c)
	ask := func(alg jose.SignatureAlgorithm, kid string) int {
		t.Helper()
		_, err := v.Verify(t.Context(), token(t, alg, kid, c.claims(is, nil)))
		if err != nil {
			return err.HTTPStatus()
		}
		return 200
	}
	want := func(what string, status, want int, fetches int64) {
		t.Helper()
		if n := is.fetches.Load(); status != want || n != fetches {
			t.Errorf("%s: %d after %d fetches, want %d after %d", what, status, n, want, fetches)
		}
	}
	is.down.Store(true)
	want("no keys yet", ask(jose.ES256, "a"), 503, 0)
	is.down.Store(false)
	is.publish(public("a", jose.ES256))
	want("asked again at once", ask(jose.ES256, "a"), 503, 0)
	c.add(fetchPause)
	want("the issuer is back", ask(jose.ES256, "a"), 200, 1)
	want("seen", ask(jose.ES256, "a"), 200, 1)
	want("an unknown key at once", ask(jose.EdDSA, "b"), 401, 1)
	c.add(fetchPause)
	want("an unknown key", ask(jose.EdDSA, "b"), 401, 2)
	is.publish(public("a", jose.ES256), public("b", jose.EdDSA))
	for range 20 {
		want("a flood of unknown keys", ask(jose.RS256, "zzz"), 401, 2)
	}
	c.add(fetchPause)
	want("the new key", ask(jose.EdDSA, "b"), 200, 3)
	is.down.Store(true)
	c.add(24 * time.Hour)
	tokA := token(t, jose.ES256, "a", c.claims(is, nil))
	for range 3 {
		if _, err := v.Verify(t.Context(), tokA); err != nil {
			t.Errorf("while the issuer is down: %v", err)
		}
		c.add(fetchPause)
	}
	for _, kid := range []string{"new", "newer"} { // the second while nothing is fetched: the last attempt was a moment ago
		if s := ask(jose.RS256, kid); s != 503 {
			t.Errorf("a key that can't be had: %d", s)
		}
	}
	// A key that the issuer withdrew: what it signed is refused once the keys were fetched again, though it was seen before.
	is.down.Store(false)
	is.publish(public("b", jose.EdDSA))
	c.add(fetchPause)
	_, _ = v.Verify(t.Context(), tokA) // begins the fetch
	v.keys.wait.Wait()
	if _, err := v.Verify(t.Context(), tokA); err == nil {
		t.Error("a withdrawn key is still good")
	}
	c.add(fetchPause)
	if s := ask(jose.EdDSA, "b"); s != 200 {
		t.Errorf("the key that stayed: %d", s)
	}
}

// TestVerify_stampede: many calls with an unknown key make one fetch.
func TestVerify_stampede(t *testing.T) {
	is, c := newIssuer(t), newClock()
	is.publish(public("a", jose.ES256))
	v := verifier(t, &OIDC{Issuer: is.URL}, c)
	tok := token(t, jose.ES256, "a", c.claims(is, nil))
	var wg sync.WaitGroup
	var failed atomic.Int64
	for range 50 {
		wg.Go(func() {
			if _, err := v.Verify(context.Background(), tok); err != nil {
				failed.Add(1)
			}
		})
	}
	wg.Wait()
	if failed.Load() != 0 || is.fetches.Load() != 1 {
		t.Errorf("%d failed, %d fetches", failed.Load(), is.fetches.Load())
	}
}

func TestKeySet_documents(t *testing.T) {
	var doc atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(strings.ReplaceAll(doc.Load().(string), "SELF", "http://"+r.Host)))
	}))
	defer srv.Close()
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	weakKey, _ := json.Marshal(jose.JSONWebKey{Key: &weak.PublicKey, KeyID: "weak"})
	one, _ := json.Marshal(public("a", jose.ES256))
	enc, _ := json.Marshal(jose.JSONWebKey{Key: signers()[jose.ES256].Public(), Use: "enc"})
	f := func(text, issuer string, n int, complaint string) {
		t.Helper()
		doc.Store(text)
		k := newKeySet(&OIDC{Issuer: issuer, KeyURLs: []string{srv.URL}}, http.DefaultClient, time.Now)
		list, err := k.fetch(t.Context())
		if len(list) != n || complaint == "" && err != nil || complaint != "" && (err == nil || !strings.Contains(err.Error(), complaint)) {
			t.Errorf("%.80s: %d keys, error %v", text, len(list), err)
		}
	}
	f(`{"keys":[`+string(one)+`]}`, "", 1, "")
	f(`{"keys":[{"kty":"new"},null,3,`+string(enc)+`,`+string(weakKey)+`,{"kty":"oct","k":"AAAA"},`+string(one)+`]}`, "", 1, "")
	f(`{"keys":[`+string(weakKey)+`]}`, "", 0, "no key that")
	f(`{"keys":[]}`, "", 0, "no key that")
	f(`{}`, "", 0, "neither keys nor jwks_uri")
	f(`{"jwks_uri":"SELF/x"}`, "", 0, "not a key set")
	f(`{"issuer":"http://other","jwks_uri":"SELF/x"}`, "http://this", 0, "not of")
	f(`{"issuer":"http://this","jwks_uri":"file:///etc/passwd"}`, "http://this", 0, "not an http address")
	f(`<html>`, "", 0, "invalid")
	f(`{"keys":[`+strings.Repeat(" ", maxKeys)+`]}`, "", 0, "more than")
}

func TestClaims(t *testing.T) {
	f := func(o OIDC, raw string, want Claims, refusal string) {
		t.Helper()
		var m map[string]any
		if err := json.Unmarshal([]byte(raw), &m); err != nil {
			t.Fatal(err)
		}
		got, err := o.claims(m)
		if refusal != "" {
			if err == nil || err.Message != refusal || err.HTTPStatus() != 403 {
				t.Errorf("%s: %+v, %v; want %s", raw, got, err, refusal)
			}
			return
		}
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			return
		}
		got.Raw = nil
		if d := cmp.Diff(want, *got); d != "" {
			t.Errorf("%s: %s", raw, d)
		}
	}
	f(OIDC{}, `{"sub":"u1","email":"u@x.org","groups":["a","b",1],"roles":["proxy_admin"],"scope":"litellm_proxy_admin"}`,
		Claims{Subject: "u1", Email: "u@x.org", Groups: []string{"a", "b"}}, "")
	f(OIDC{UserClaim: "oid", EmailClaim: "upn", GroupsClaim: "g"}, `{"sub":"u1","oid":"o1","upn":"e","g":"one"}`, Claims{Subject: "o1", Email: "e", Groups: []string{"one"}}, "")
	f(OIDC{UserClaim: "oid"}, `{"sub":"u1"}`, Claims{}, "No oid claim found in the token")
	f(OIDC{UserClaim: "oid"}, `{"oid":"u1"}`, Claims{}, "No sub claim found in the token")
	f(OIDC{AdminScope: "adm"}, `{"sub":"u","scope":"a adm b"}`, Claims{Subject: "u", Email: "u", Role: account.ProxyAdmin, Admin: true}, "")
	f(OIDC{AdminScope: "adm"}, `{"sub":"u","scp":["a","adm"]}`, Claims{Subject: "u", Email: "u", Role: account.ProxyAdmin, Admin: true}, "")
	f(OIDC{AdminScope: "adm"}, `{"sub":"u","scp":["a adm"],"scope":"admx"}`, Claims{Subject: "u", Email: "u"}, "")
	f(OIDC{AdminClaim: "is.admin"}, `{"sub":"u","is":{"admin":true}}`, Claims{Subject: "u", Email: "u", Role: account.ProxyAdmin, Admin: true}, "")
	f(OIDC{AdminClaim: "is.admin"}, `{"sub":"u","is":{"admin":"true"}}`, Claims{Subject: "u", Email: "u"}, "")
	f(OIDC{AdminClaim: "groups", AdminValues: []string{"ops"}}, `{"sub":"u","groups":["dev","ops"]}`,
		Claims{Subject: "u", Email: "u", Role: account.ProxyAdmin, Admin: true, Groups: []string{"dev", "ops"}}, "")
	roles := OIDC{RoleClaims: []string{"realm_access.roles", "https://x.org/roles"}, Roles: map[string]string{"viewer": account.InternalUserViewer, "boss": account.OrgAdmin}, RequireRole: true}
	f(roles, `{"sub":"u","realm_access":{"roles":["viewer"]},"https://x.org/roles":"boss"}`, Claims{Subject: "u", Email: "u", Role: account.OrgAdmin}, "")
	f(roles, `{"sub":"u","realm_access":{"roles":["proxy_admin"]}}`, Claims{}, "The token has no role that is known here.")
	f(roles, `{"sub":"u","realm_access":"x"}`, Claims{}, "The token has no role that is known here.")
	f(OIDC{RoleClaims: []string{"roles"}, AllowedRoles: []string{"a", "b"}}, `{"sub":"u","roles":["c"]}`, Claims{}, "None of the token's roles is allowed: it needs one of a, b.")
	f(OIDC{RoleClaims: []string{"roles"}, AllowedRoles: []string{"a", "b"}}, `{"sub":"u","roles":"b"}`, Claims{Subject: "u", Email: "u"}, "")
	f(OIDC{TeamClaims: []string{"team", `a\.b.teams`}, OrgClaim: "org", EndUserClaim: "for"}, `{"sub":"u","team":"t1","a.b":{"teams":["t1","t2"]},"org":"o","for":"c"}`,
		Claims{Subject: "u", Email: "u", Teams: []string{"t1", "t2"}, Org: "o", EndUser: "c"}, "")
	domain := OIDC{EmailDomain: "x.org"}
	f(domain, `{"sub":"u","email":"a@X.org"}`, Claims{Subject: "u", Email: "a@X.org"}, "")
	for _, raw := range []string{`{"sub":"u","email":"a@x.org.evil"}`, `{"sub":"u","email":"a@ax.org"}`, `{"sub":"u"}`, `{"sub":"u","email":"@x.org"}`,
		`{"sub":"u","email":"a@x.org","email_verified":false}`} {
		f(domain, raw, Claims{}, "The token's e-mail address is not of the domain x.org.")
	}
}

func TestVerifier_principal(t *testing.T) {
	c := newClock()
	d := NewDirectory(Options{}, Rows{
		Users: []account.User{{ID: "ann", Role: account.InternalUserViewer, Email: "ann@row"}, {ID: "bad", Blocked: true}},
		Teams: []account.Team{{ID: "t2", OrgID: "o"}},
	})
	f := func(o OIDC, claims Claims, signup bool, want Principal, refusal string) {
		t.Helper()
		o.Issuer = "http://i"
		p, err := verifier(t, &o, c).Principal(d, &claims, signup)
		if refusal != "" {
			if err == nil || !strings.Contains(err.Message, refusal) {
				t.Errorf("%+v: %+v, %v; want %s", claims, p, err, refusal)
			}
			return
		}
		if err != nil {
			t.Errorf("%+v: %v", claims, err)
			return
		}
		got := Principal{UserID: p.UserID, UserEmail: p.UserEmail, TeamID: p.TeamID, OrgID: p.OrgID, Role: p.Role, Admin: p.Admin}
		if got.UserID != want.UserID || got.UserEmail != want.UserEmail || got.TeamID != want.TeamID || got.OrgID != want.OrgID || got.Role != want.Role || got.Admin != want.Admin {
			t.Errorf("%+v: got %+v, want %+v", claims, got, want)
		}
	}
	f(OIDC{}, Claims{Subject: "ann", Email: "e"}, false, Principal{UserID: "ann", UserEmail: "ann@row", Role: account.InternalUserViewer}, "")
	f(OIDC{}, Claims{Subject: "ann", Role: account.OrgAdmin, Teams: []string{"t1", "t2"}}, false,
		Principal{UserID: "ann", UserEmail: "ann@row", Role: account.OrgAdmin, TeamID: "t2", OrgID: "o"}, "")
	f(OIDC{DefaultTeam: "t2"}, Claims{Subject: "ann", Role: account.ProxyAdmin, Org: "mine"}, false,
		Principal{UserID: "ann", UserEmail: "ann@row", Role: account.ProxyAdmin, Admin: true, TeamID: "t2", OrgID: "o"}, "")
	f(OIDC{}, Claims{Subject: "bad"}, false, Principal{}, "is blocked")
	f(OIDC{}, Claims{Subject: "new"}, false, Principal{}, "User doesn't exist in db. 'user_id'=new. Create user via `/user/new` call.")
	f(OIDC{}, Claims{Subject: "new", Email: "e"}, true, Principal{UserID: "new", UserEmail: "e", Role: account.InternalUser}, "")
	f(OIDC{Upsert: true}, Claims{Subject: "new", Email: "e"}, false, Principal{UserID: "new", UserEmail: "e", Role: account.InternalUser}, "")
	f(OIDC{}, Claims{Subject: "root", Admin: true, Role: account.ProxyAdmin}, false, Principal{UserID: "root", Role: account.ProxyAdmin, Admin: true}, "")
}

func TestNewVerifier(t *testing.T) {
	f := func(o OIDC, complaint string) {
		t.Helper()
		v, err := NewVerifier(&o, http.DefaultClient, time.Now)
		if complaint == "" && err != nil || complaint != "" && (err == nil || !strings.Contains(err.Error(), complaint)) {
			t.Errorf("%+v: %v, want %q", o, err, complaint)
		}
		if v != nil {
			v.Close()
		}
	}
	f(OIDC{Issuer: "https://x"}, "")
	f(OIDC{KeyURLs: []string{"https://x"}, Algorithms: []string{"RS256"}}, "")
	f(OIDC{}, "without an issuer")
	f(OIDC{Issuer: "x", Algorithms: []string{"HS256"}}, `"HS256" is not`)
	f(OIDC{Issuer: "x", Algorithms: []string{"none"}}, `"none" is not`)
	f(OIDC{Issuer: "x", Roles: map[string]string{"a": "king"}}, `"king"`)
}

// TestVerify_algorithms: only what the configuration allows.
func TestVerify_algorithms(t *testing.T) {
	is, c := newIssuer(t), newClock()
	is.publish(public("a", jose.ES256), public("b", jose.RS256))
	v := verifier(t, &OIDC{Issuer: is.URL, Algorithms: []string{"RS256"}}, c)
	if _, err := v.Verify(t.Context(), token(t, jose.RS256, "b", c.claims(is, nil))); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), token(t, jose.ES256, "a", c.claims(is, nil))); err == nil {
		t.Error("an algorithm that is not configured is taken")
	}
}

func TestTokenCache(t *testing.T) {
	at := time.Unix(1000, 0)
	cache := tokenCache{max: 4}
	key := func(i int) (k [32]byte) { k[0], k[1] = byte(i), byte(i>>8); return k }
	for i := range 1000 {
		cache.put(key(i), 1, &Claims{Subject: fmt.Sprint(i), Expires: at.Add(time.Minute)})
		if c := cache.get(key(0), 1, at); c == nil || c.Subject != "0" {
			t.Fatalf("after %d others, what is in use is gone", i)
		}
		if n := len(cache.young) + len(cache.old); n > 9 {
			t.Fatalf("%d kept", n)
		}
	}
	if cache.get(key(5), 1, at) != nil || cache.get(key(0), 2, at) != nil || cache.get(key(0), 1, at.Add(time.Minute)) != nil {
		t.Error("what was pushed out, is of a withdrawn key, or has expired is still there")
	}
}

func TestIsToken(t *testing.T) {
	for text, want := range map[string]bool{"eyJ.e30.x": true, "sk-1.2.3": false, "": false, "ey": false, "ey.a": false, "ey.a.b.c": false} {
		if IsToken(text) != want {
			t.Errorf("IsToken(%q)", text)
		}
	}
}

// noFetch refuses every request.
type noFetch struct{}

// Do fails.
func (noFetch) Do(*http.Request) (*http.Response, error) {
	return nil, errors.New("nothing is fetched here")
}

// FuzzVerify holds that no bytes panic and none of them verifies.
func FuzzVerify(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.AAAA")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(token(f, jose.EdDSA, "a", map[string]any{"iss": "i", "exp": 4e9, "sub": "x"}))
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	v, err := NewVerifier(&OIDC{Issuer: "i"}, noFetch{}, time.Now)
	if err != nil {
		f.Fatal(err)
	}
	v.keys.got.Store(&keys{list: []jose.JSONWebKey{{Key: other.Public(), KeyID: "a"}}})
	f.Cleanup(v.Close)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := v.Verify(t.Context(), text)
		if c != nil || err == nil || err.HTTPStatus() < 400 {
			t.Fatalf("%+v %v", c, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	is := &issuer{Server: &httptest.Server{URL: "i"}}
	c := newClock()
	v, err := NewVerifier(&OIDC{Issuer: "i"}, noFetch{}, c.now)
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	v.keys.got.Store(&keys{list: []jose.JSONWebKey{public("a", jose.RS256)}})
	tok := token(b, jose.RS256, "a", c.claims(is, nil))
	verify := func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(context.Background(), tok); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("seen", verify)
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.seen = tokenCache{max: 1}
			if _, err := v.Verify(context.Background(), tok); err != nil {
				b.Fatal(err)
			}
		}
	})
}
