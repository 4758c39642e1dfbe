package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// usualKeyTTL is LiteLLM's public_key_ttl.
	usualKeyTTL = 10 * time.Minute
	// fetchPause is the least time between two fetches, so that tokens with invented key ids can't make the gateway hammer the issuer.
	fetchPause   = 10 * time.Second
	fetchTimeout = 10 * time.Second
	maxKeys      = 1 << 20 // bytes of a document of the issuer
	minRSA       = 2048    // bits
)

// errNoKeys: the issuer's keys are not known and can't be had now.
var errNoKeys = errors.New("no keys of the issuer")

// keySet is the issuer's public keys: fetched when first needed, again in the background when they are old, and at once when a token names
// an unknown one. Keys that were had once stay in use while the issuer can't be reached.
type keySet struct {
	o    *OIDC
	http Doer
	now  func() time.Time

	got atomic.Pointer[keys]
	due atomic.Int64 // Unix ns from which the keys are old

	mu     sync.Mutex
	tried  time.Time // begin of the last fetch
	flight *keyFetch
	failed error                        // of the last fetch that ended
	last   map[string][]jose.JSONWebKey // per address, what it gave last
	ctx    context.Context              // ends with the verifier
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

// keys are one state of the set. Immutable.
type keys struct {
	list    []jose.JSONWebKey
	version int64 // changes when a key is gone: what it signed is no longer taken
}

type keyFetch struct {
	done chan struct{}
	err  error
}

func newKeySet(o *OIDC, http Doer, now func() time.Time) *keySet {
	k := &keySet{o: o, http: http, now: now, last: map[string][]jose.JSONWebKey{}}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k
}

func (k *keySet) close() {
	k.cancel()
	k.wait.Wait()
}

func (k *keySet) version() int64 {
	if got := k.got.Load(); got != nil {
		return got.version
	}
	return 0
}

// renew begins to fetch old keys anew and waits for nothing.
func (k *keySet) renew(now time.Time) {
	if due := k.due.Load(); due != 0 && now.UnixNano() >= due {
		k.start(now)
	}
}

// start begins a fetch, or joins the one that runs; nil: the last one was too short a time ago.
func (k *keySet) start(now time.Time) *keyFetch {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flight != nil {
		return k.flight
	}
	if !k.tried.IsZero() && now.Sub(k.tried) < fetchPause || k.ctx.Err() != nil {
		return nil
	}
	k.tried = now
	f := &keyFetch{done: make(chan struct{})}
	k.flight = f
	k.wait.Go(func() { k.run(f, now) }) // waited for by close, which also ends it
	return f
}

func (k *keySet) run(f *keyFetch, now time.Time) {
	ctx, cancel := context.WithTimeout(k.ctx, fetchTimeout)
	defer cancel()
	list, err := k.fetch(ctx)
	ttl := k.o.KeyTTL
	if ttl <= 0 {
		ttl = usualKeyTTL
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(list) > 0 {
		next := &keys{list: list}
		if old := k.got.Load(); old != nil {
			if next.version = old.version; lost(old.list, list) {
				next.version++
			}
		}
		k.got.Store(next)
	}
	if err != nil {
		ttl = fetchPause
	}
	k.due.Store(now.Add(ttl).UnixNano())
	f.err, k.failed = err, err
	k.flight = nil
	close(f.done)
}

// find gives the keys that may have signed: those with the id, or all if the token names none, as far as they fit the algorithm.
func (k *keySet) find(ctx context.Context, kid, alg string) (version int64, found []jose.JSONWebKey, err error) {
	if got := k.got.Load(); got != nil {
		if found = got.fitting(kid, alg); len(found) > 0 {
			return got.version, found, nil
		}
	}
	f := k.start(k.now())
	if f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
			return 0, nil, fmt.Errorf("%w: %w", errNoKeys, context.Cause(ctx))
		}
	}
	got := k.got.Load()
	if got == nil {
		if f == nil {
			return 0, nil, fmt.Errorf("%w: the last attempt was less than %v ago", errNoKeys, fetchPause)
		}
		return 0, nil, fmt.Errorf("%w: %w", errNoKeys, f.err)
	}
	if found = got.fitting(kid, alg); len(found) > 0 {
		return got.version, found, nil
	}
	if err := k.failure(); err != nil { // the key may be a new one
		return 0, nil, fmt.Errorf("%w: %w", errNoKeys, err)
	}
	return 0, nil, fmt.Errorf("no key %.60q for %s", kid, alg)
}

// failure is what failed in the last fetch that ended.
func (k *keySet) failure() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed
}

func (k *keys) fitting(kid, alg string) (out []jose.JSONWebKey) {
	for _, key := range k.list {
		if (kid == "" || key.KeyID == kid) && (key.Algorithm == "" || key.Algorithm == alg) && fits(key.Key, alg) {
			out = append(out, key)
		}
	}
	return out
}

func fits(key any, alg string) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return alg == map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[key.Curve.Params().BitSize]
	case ed25519.PublicKey:
		return alg == string(jose.EdDSA)
	}
	return false
}

// lost reports whether a key of the old list is not in the new one.
func lost(old, list []jose.JSONWebKey) bool {
	prints := map[string]bool{}
	for i := range list {
		prints[thumbprint(&list[i])] = true
	}
	for i := range old {
		if !prints[thumbprint(&old[i])] {
			return true
		}
	}
	return false
}

func thumbprint(key *jose.JSONWebKey) string {
	sum, _ := key.Thumbprint(crypto.SHA256) // usable has seen that it works
	return key.KeyID + "\x00" + string(sum)
}

// fetch reads all key sets. What one of several addresses gave last stays while it fails. The caller is the only one that fetches.
func (k *keySet) fetch(ctx context.Context) (all []jose.JSONWebKey, err error) {
	urls := k.o.KeyURLs
	if len(urls) == 0 {
		urls = []string{strings.TrimSuffix(k.o.Issuer, "/") + "/.well-known/openid-configuration"}
	}
	var failed error
	for _, u := range urls {
		list, err := k.read(ctx, u)
		if err != nil {
			failed = errors.Join(failed, err)
		} else {
			k.last[u] = list
		}
		all = append(all, k.last[u]...)
	}
	return all, failed
}

// read gets the keys of a key set or of the set that a discovery document names.
func (k *keySet) read(ctx context.Context, address string) ([]jose.JSONWebKey, error) {
	for range 2 {
		var doc struct {
			Issuer string           `json:"issuer"`
			URI    string           `json:"jwks_uri"`
			Keys   []jsontext.Value `json:"keys"`
		}
		text, err := k.get(ctx, address)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &doc); err != nil {
			return nil, fmt.Errorf("%s: %w", address, err)
		}
		if doc.Keys != nil {
			list := usable(doc.Keys)
			if len(list) == 0 {
				return nil, fmt.Errorf("%s: no key that tokens could be verified with", address)
			}
			return list, nil
		}
		if doc.URI == "" {
			return nil, fmt.Errorf("%s: neither keys nor jwks_uri", address)
		}
		if k.o.Issuer != "" && doc.Issuer != k.o.Issuer {
			return nil, fmt.Errorf("%s: is the document of %.100q, not of %q", address, doc.Issuer, k.o.Issuer)
		}
		if strings.HasPrefix(address, "https:") && !strings.HasPrefix(doc.URI, "https:") {
			return nil, fmt.Errorf("%s: jwks_uri %.100q is not https", address, doc.URI)
		}
		address = doc.URI
	}
	return nil, fmt.Errorf("%s: is not a key set", address)
}

func (k *keySet) get(ctx context.Context, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%.100q is not an http address", address)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := k.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", address, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: status %d", address, res.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxKeys+1))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", address, err)
	}
	if len(text) > maxKeys {
		return nil, fmt.Errorf("get %s: more than %d bytes", address, maxKeys)
	}
	return text, nil
}

// usable are the keys that may verify signatures; what else a set holds (encryption keys, unknown and weak ones) is left out.
func usable(raw []jsontext.Value) (out []jose.JSONWebKey) {
	for _, text := range raw {
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(text); err != nil || key.Use != "" && key.Use != "sig" || !key.Valid() || !key.IsPublic() {
			continue
		}
		if r, ok := key.Key.(*rsa.PublicKey); ok && r.N.BitLen() < minRSA {
			continue
		}
		if _, err := key.Thumbprint(crypto.SHA256); err == nil {
			out = append(out, key)
		}
	}
	return out
}
