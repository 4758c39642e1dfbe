package app

import (
	"net/textproto"
	"reflect"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/proxy"
	"github.com/weir-gateway/weir/internal/store"
)

// signIn is how callers prove who they are beside keys. A verifier of tokens outlives reloads that leave its settings alone: it has fetched
// the issuer's keys.
func (a *App) signIn(cfg *config.Config) (proxy.SignIn, []config.Problem) {
	s := proxy.SignIn{SaltKey: []byte(a.saltKey()), Signed: auth.SigV4Of(cfg)}
	if cfg.General.KeyHeader != "" {
		s.KeyHeader = textproto.CanonicalMIMEHeaderKey(cfg.General.KeyHeader)
	}
	oidc := auth.OIDCOf(cfg)
	switch {
	case oidc == nil:
		a.endTokens()
	case a.tokens == nil || !reflect.DeepEqual(oidc, a.oidc):
		tokens, err := auth.NewVerifier(oidc, a.factory.HTTP, a.o.Now)
		if err != nil {
			return s, []config.Problem{{Severity: config.Error, Path: "weir.oidc", Message: "weir.oidc: " + err.Error()}}
		}
		a.endTokens()
		a.tokens, a.oidc = tokens, oidc
	}
	s.Tokens = a.tokens
	return s, nil
}

// endTokens lets go of the verifier of settings that hold no more. Calls that still use it verify by the keys that it has.
func (a *App) endTokens() {
	if a.tokens != nil {
		a.tokens.Close()
	}
	a.tokens, a.oidc = nil, nil
}

// saltKey is what secrets at rest are sealed under, and the secrets of issued AWS credentials derived from. As with LiteLLM it must never
// change, and falls back to the master key.
func (a *App) saltKey() string {
	for _, name := range []string{"WEIR_SALT_KEY", "LITELLM_SALT_KEY"} {
		if key := a.Config().Env(name); key != "" {
			return key
		}
	}
	return a.masterKey
}

// sealer seals the secrets of models and credentials.
func (a *App) sealer() (*store.Sealer, error) { return store.NewSealer(a.saltKey()) }
