package app

import (
	"cmp"
	"context"
	"net/textproto"
	"reflect"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/proxy"
	"github.com/weir-gateway/weir/internal/store"
)

// signIn is how callers prove who they are beside keys. A verifier of tokens outlives reloads that leave its settings alone: it has fetched
// the issuer's keys.
func (a *App) signIn(cfg *config.Config) (proxy.SignIn, []config.Problem) {
	s := proxy.SignIn{SaltKey: a.saltKey, Signed: auth.SigV4Of(cfg)}
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
	if oidc != nil && oidc.Upsert {
		s.Arrived = a.arrivals.note
	}
	return s, nil
}

// arrivals are users whom a token brought and who have no row yet: each is given one, beside the calls.
type arrivals struct {
	queue chan *auth.Principal

	mu      sync.Mutex
	pending map[string]bool
}

// waitingRoom is how many may wait for their row; who finds no room comes again with the next call.
const waitingRoom = 1000

func newArrivals() *arrivals {
	return &arrivals{queue: make(chan *auth.Principal, waitingRoom), pending: map[string]bool{}}
}

// note lists a user once, and waits for nothing.
func (r *arrivals) note(p *auth.Principal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending[p.UserID] {
		return
	}
	select {
	case r.queue <- p:
		r.pending[p.UserID] = true
	default:
	}
}

// welcome makes the rows until the App closes.
func (a *App) welcome(ctx context.Context) {
	for {
		var p *auth.Principal
		select {
		case <-ctx.Done():
			return
		case p = <-a.arrivals.queue:
		}
		err := a.api.Arrived(ctx, p)
		if err != nil && ctx.Err() == nil {
			a.log.Warn("a user who calls with a token has no row yet; the next call tries again", "user", p.UserID, "error", err)
			pause := time.NewTimer(time.Second)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
		}
		a.arrivals.mu.Lock()
		delete(a.arrivals.pending, p.UserID)
		a.arrivals.mu.Unlock()
	}
}

// endTokens lets go of the verifier of settings that hold no more. Calls that still use it verify by the keys that it has.
func (a *App) endTokens() {
	if a.tokens != nil {
		a.tokens.Close()
	}
	a.tokens, a.oidc = nil, nil
}

// chooseSaltKey takes the salt key from the environment. As with LiteLLM it must never change, and falls back to the master key.
func (a *App) chooseSaltKey() (err error) {
	key := cmp.Or(a.Config().Env("WEIR_SALT_KEY"), a.Config().Env("LITELLM_SALT_KEY"), a.masterKey)
	a.saltKey = []byte(key)
	a.sealer, err = store.NewSealer(key)
	return err
}
