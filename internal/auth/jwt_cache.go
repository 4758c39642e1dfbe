package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxSeen is how many tokens one generation of the cache holds.
const maxSeen = 10000

// tokenCache remembers tokens that were verified, by their hash. It is two generations: when the young one is full it becomes the old one,
// and what is still used moves back. So it is bounded, and needs no list of what was used when.
type tokenCache struct {
	max        int
	mu         sync.RWMutex
	young, old map[[sha256.Size]byte]seenToken
}

type seenToken struct {
	claims  *Claims
	version int64 // of the key set that verified it
}

// get gives a token's claims while it lasts and its key is still among the issuer's, else nil.
func (t *tokenCache) get(sum [sha256.Size]byte, version int64, now time.Time) *Claims {
	t.mu.RLock()
	s, young := t.young[sum]
	if !young {
		s = t.old[sum]
	}
	t.mu.RUnlock()
	if s.claims == nil || s.version != version || !now.Before(s.claims.Expires) {
		return nil
	}
	if !young {
		t.put(sum, version, s.claims)
	}
	return s.claims
}

func (t *tokenCache) put(sum [sha256.Size]byte, version int64, c *Claims) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.young == nil || len(t.young) >= t.max {
		t.old, t.young = t.young, map[[sha256.Size]byte]seenToken{}
	}
	t.young[sum] = seenToken{c, version}
}
