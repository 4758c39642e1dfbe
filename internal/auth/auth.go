// Package auth turns a credential into a Principal: who is calling, what they may call, and what bounds them.
//
// It is on the hot path: one SHA-256 and one look-up in an immutable Directory, no lock, no database. directory.go holds the rows and takes
// changes in; models.go says which models a principal may call, routes.go which routes, own.go whose accounts it may see and change.
// Only proxy, api, lisa, cluster and app import it; it knows account, limit and llm.
package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/llm"
)

// Principal is who is calling. It is immutable and shared between calls, as are the rows it points to.
type Principal struct {
	KeyHash   string // SHA-256 of the key in hex, as LiteLLM stores it; empty for the master key and for a user without a key
	KeyAlias  string
	KeyName   string // sk-...abcd
	UserID    string
	UserEmail string
	TeamID    string
	TeamAlias string
	OrgID     string // the key's own organization, else its team's
	Role      string // of the user, see account; empty: no user is known, so no role
	Admin     bool   // proxy_admin or the master key

	// The rows behind it; nil where there is none. User may be nil although UserID is set: a key may name a user that has no row.
	Key    *account.Key
	User   *account.User
	Team   *account.Team
	Member *account.Member // of Team
	Org    *account.Organization

	// Bound is everything that bounds the caller, the gateway's own limits included; the master key's only counts. nil: nothing is counted. A
	// call's customer and tags have bounds of their own: Directory.Customer and Tag.
	Bound *limit.Bound

	Metadata map[string]any // the key's
	Groups   []string       // metadata.groups of the user or the token's, and the aliases of the team
	Tags     []string       // the key's, then the team's, each once

	rules   *rules
	refused string // why nothing is served, whatever is asked; empty: nothing is wrong
}

// MasterUser is the user id that the master key's calls are booked on, as LiteLLM does.
const MasterUser = "default_user_id"

// Hash is how a key is stored and looked up: the SHA-256 of the whole key, in hex.
func Hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
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

// Abbreviate shows enough of a key to recognize it and too little to use it.
func Abbreviate(key string) string {
	switch {
	case !strings.HasPrefix(key, "sk-"):
		return "****"
	case len(key) < 12:
		return "sk-..."
	}
	return "sk-..." + key[len(key)-4:]
}

func unauthorized(message string) *llm.Error {
	return &llm.Error{Kind: llm.ErrAuth, Type: "auth_error", Message: message}
}

func unknownKey(key string) *llm.Error {
	if !strings.HasPrefix(key, "sk-") {
		return unauthorized("LiteLLM Virtual Key expected. Received=****, expected to start with 'sk-'.")
	}
	e := unauthorized("Authentication Error, Invalid proxy server token passed. Received API Key = " + Abbreviate(key) +
		", Key Hash (Token) = " + Hash(key) + ". Unable to find token in the key table.")
	e.Type, e.Param = "token_not_found_in_db", "key"
	return e
}
