package gwtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
)

// Issuer stands where Okta does: discovery, one key, tokens signed with it.
type Issuer struct {
	// URL is what its tokens name as their issuer.
	URL string
	key jose.JSONWebKey
}

// Claims are the claims of a token.
type Claims = map[string]any

// StartIssuer starts an issuer that ends with the test.
func StartIssuer(t testing.TB) *Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	o := &Issuer{URL: server.URL + "/oauth2/default", key: jose.JSONWebKey{Key: key, KeyID: "k", Use: "sig"}}
	serve := func(path string, v any) {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) })
	}
	serve("/oauth2/default/.well-known/openid-configuration", map[string]string{"issuer": o.URL, "jwks_uri": server.URL + "/keys"})
	serve("/keys", jose.JSONWebKeySet{Keys: []jose.JSONWebKey{o.key.Public()}})
	return o
}

// Token is an Authorization header with a token for the audience api://default that is good for an hour; claims are added, and win.
func (o *Issuer) Token(t testing.TB, claims Claims) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: o.key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := Claims{"iss": o.URL, "aud": "api://default", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + compact
}
