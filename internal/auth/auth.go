// Package auth turns a credential into a Principal: who is calling and what they may call.
//
// It is on the hot path: one SHA-256 and one look-up in an immutable table (Keys), no lock, no database. Only proxy, api and app import it.
package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// Principal is who is calling. It is immutable and shared between calls.
type Principal struct {
	KeyHash  string // SHA-256 of the key in hex, as LiteLLM stores it; empty for the master key
	KeyAlias string
	UserID   string
	TeamID   string
	Models   []string // names and patterns it may call; empty: all
	Admin    bool
	Blocked  bool
	Metadata map[string]any
}

// Keys is an immutable table of who holds which key. Safe for concurrent use.
type Keys struct {
	byHash map[[sha256.Size]byte]*Principal
}

// Hash is how a key is stored and looked up: the SHA-256 of the whole key, in hex.
func Hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// NewKeys builds the table. The master key, if any, belongs to an administrator with no limits.
func NewKeys(master string, principals map[string]*Principal) *Keys {
	k := &Keys{byHash: make(map[[sha256.Size]byte]*Principal, len(principals)+1)}
	for key, p := range principals {
		p.KeyHash = Hash(key)
		k.byHash[sha256.Sum256([]byte(key))] = p
	}
	if master != "" {
		k.byHash[sha256.Sum256([]byte(master))] = &Principal{UserID: "default_user_id", KeyAlias: "master", Admin: true}
	}
	return k
}

// credentialHeaders are where a key may stand, first found wins (contract litellm.md 2.1). Names are in canonical form.
var credentialHeaders = []string{
	"X-Litellm-Api-Key", "Authorization", "Api-Key", "X-Api-Key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key",
}

// Credential finds the key a request carries. queryKey is the value of ?key= where the dialect has one (Gemini), else empty.
func Credential(h http.Header, queryKey string) (string, *llm.Error) {
	for _, name := range credentialHeaders {
		values := h[name]
		if len(values) == 0 || values[0] == "" {
			continue
		}
		v := values[0]
		scheme, rest, found := strings.Cut(v, " ")
		switch {
		case name != "Authorization" && name != "X-Litellm-Api-Key":
			return v, nil
		case found && strings.EqualFold(scheme, "bearer"):
			if key := strings.TrimSpace(rest); key != "" {
				return key, nil
			}
		case name == "X-Litellm-Api-Key":
			return v, nil
		}
		return "", unauthorized("Authentication Error, Malformed API Key passed in. Ensure Key has `Bearer ` prefix.")
	}
	if queryKey != "" {
		return queryKey, nil
	}
	return "", unauthorized("Authentication Error, No api key passed in.")
}

// Authenticate finds who holds the key. The look-up goes by the key's hash, so that its time says nothing about other keys.
func (k *Keys) Authenticate(key string) (*Principal, *llm.Error) {
	p, ok := k.byHash[sha256.Sum256([]byte(key))]
	if !ok {
		e := unauthorized("Authentication Error, Invalid proxy server token passed. Received API Key = " + Abbreviate(key) +
			", Key Hash (Token) = " + Hash(key) + ". Unable to find token in the key table.")
		e.Type = "token_not_found_in_db"
		return nil, e
	}
	if p.Blocked {
		return nil, unauthorized("Authentication Error, Key is blocked. Update via `/key/unblock` if you're an admin.")
	}
	return p, nil
}

// Abbreviate shows enough of a key to recognize it and too little to use it.
func Abbreviate(key string) string {
	if len(key) < 12 {
		return "****"
	}
	return "sk-..." + key[len(key)-4:]
}

func unauthorized(message string) *llm.Error {
	return &llm.Error{Kind: llm.ErrAuth, Type: "auth_error", Message: message}
}

// MayCall reports whether the principal's model list allows the name: by itself, by a pattern (openai/*), or because there is no list.
func (p *Principal) MayCall(model string) bool {
	if len(p.Models) == 0 {
		return true
	}
	for _, m := range p.Models {
		if m == model || m == "*" || m == "all-proxy-models" {
			return true
		}
		if prefix, ok := strings.CutSuffix(m, "*"); ok && strings.HasPrefix(model, prefix) {
			return true
		}
	}
	return false
}

// Denied is the error for a model outside the principal's list.
func (p *Principal) Denied(model string) *llm.Error {
	return &llm.Error{
		Kind: llm.ErrPermission, Type: "key_model_access_denied", Param: "model",
		Message: "key not allowed to access model. This key can only access models=[" + strings.Join(p.Models, ", ") + "]. Tried to access " + model,
	}
}
