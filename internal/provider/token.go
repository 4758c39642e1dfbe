package provider

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/weir-gateway/weir/internal/llm"
)

// A credential is renewed in the background once renewBefore of its life is left (or a quarter of a short one), and not asked for again
// within retryAfter of a failure while the old one still holds. fetchTimeout bounds one attempt.
const (
	renewBefore  = 5 * time.Minute
	retryAfter   = 15 * time.Second
	fetchTimeout = 60 * time.Second
)

// cached holds a credential that ends: a token or AWS keys. One fetch runs at a time, whoever asks; nobody waits for it while the
// credential at hand is good. Safe for concurrent use.
type cached[T any] struct {
	// fetch gets a new one and tells when it ends; the zero time is never. Its context is not that of a call, since all callers
	// share the outcome.
	fetch func(context.Context) (T, time.Time, error)
	now   func() time.Time

	mu      sync.Mutex
	value   T
	have    bool
	expires time.Time
	renew   time.Time
	flight  *flight
}

type flight struct {
	done chan struct{}
	err  error
}

func (c *cached[T]) get(ctx context.Context) (T, error) {
	c.mu.Lock()
	now := c.now()
	value, good := c.value, c.have && (c.expires.IsZero() || now.Before(c.expires))
	if good && (c.expires.IsZero() || now.Before(c.renew)) {
		c.mu.Unlock()
		return value, nil
	}
	f := c.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		c.flight = f
		go c.run(f) // ends by itself within fetchTimeout
	}
	c.mu.Unlock()
	if good {
		return value, nil
	}
	var none T
	select {
	case <-f.done:
		if f.err != nil {
			return none, f.err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.value, nil
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

func (c *cached[T]) run(f *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	v, expires, err := c.fetch(ctx)
	c.mu.Lock()
	now := c.now()
	if err == nil {
		c.value, c.have, c.expires = v, true, expires
		c.renew = expires.Add(-min(renewBefore, max(expires.Sub(now), 0)/4))
	} else {
		c.renew = now.Add(retryAfter)
	}
	f.err, c.flight = err, nil
	c.mu.Unlock()
	close(f.done)
}

// credentials turns a failure to get a credential into what may be told a client; the cause is for the log.
func credentials(provider string, err error) error {
	var known *llm.Error
	if errors.As(err, &known) {
		return known
	}
	e := &llm.Error{Kind: llm.ErrAuth, Provider: provider, Cause: err,
		Message: "the gateway has no valid credentials for provider " + provider + ": they could not be obtained"}
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused):
		e.Message = "the gateway's credentials for provider " + provider + " were refused by its token endpoint"
		if refused.ErrorCode != "" {
			e.Message += ": " + refused.ErrorCode
		}
		e.Cause = errors.New(e.Message) // the reply itself may echo what was sent
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Kind = llm.ErrTimeout
		e.Message = "the credentials for provider " + provider + " could not be obtained in time"
	}
	return e
}

// transport lets a library that wants a http.Client use the gateway's way out.
type transport struct{ Doer }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t.Do(r) }

// client is a http.Client over the gateway's way out, for libraries that want one.
func (f Factory) client() *http.Client {
	return &http.Client{Transport: transport{f.HTTP}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// oauthContext carries the client to golang.org/x/oauth2, which looks for it there.
func (f Factory) oauthContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, f.client())
}

// tokens caches what an OAuth source gives.
func (f Factory) tokens(fetch func(context.Context) (*oauth2.Token, error)) *cached[string] {
	return &cached[string]{now: f.Now, fetch: func(ctx context.Context) (string, time.Time, error) {
		if f.HTTP == nil {
			return "", time.Time{}, errors.New("no way out was given to fetch a token")
		}
		t, err := fetch(f.oauthContext(ctx))
		if err != nil {
			return "", time.Time{}, err
		}
		return t.AccessToken, t.Expiry, nil
	}}
}
