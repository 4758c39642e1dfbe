package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"strings"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

func (a *API) keyRoutes() []route {
	return []route{
		{"POST", "/key/generate", editors, typed(a.keyGenerate)},
		{"POST", "/key/service-account/generate", editors, typed(a.serviceKey)},
		{"GET", "/key/info", anyone, typed(a.keyInfo)},
		{"POST", "/v2/key/info", anyone, typed(a.keyInfos)},
		{"GET", "/key/list", anyone, typed(a.keyList)},
		{"GET", "/key/aliases", anyone, typed(a.keyAliases)},
		{"POST", "/key/health", anyone, typed(a.keyHealth)},
		{"POST", "/key/update", editors, typed(a.keyUpdate)},
		{"POST", "/key/bulk_update", editors, typed(a.keyBulkUpdate)},
		{"POST", "/key/delete", editors, typed(a.keyDelete)},
		{"POST", "/key/block", editors, typed(a.keyBlock)},
		{"POST", "/key/unblock", editors, typed(a.keyUnblock)},
		{"POST", "/key/regenerate", editors, typed(a.keyRegenerate)},
		{"POST", "/key/{key}/regenerate", editors, typed(a.keyRegenerateAt)},
		{"POST", "/key/{key}/reset_spend", editors, typed(a.keyResetSpend)},
		{"POST", "/key/{key}/aws-credentials", editors, typed(a.keyAWS)},
	}
}

type keyGenerateIn struct {
	Key opt[string] `json:"key"`
	AWS opt[bool]   `json:"aws_credentials"`
	keyFields
}

// keyGenerate makes a key. The key itself is in this answer and nowhere else.
func (a *API) keyGenerate(ctx context.Context, c *caller, in *keyGenerateIn) (any, error) {
	if _, ok := in.Metadata.or(nil)["service_account_id"]; ok && in.TeamID.or("") == "" {
		return nil, needsTeam()
	}
	return a.generateKey(ctx, c, in)
}

func needsTeam() *llm.Error {
	return llm.Invalid("team_id", "team_id is required for service account keys. Please specify `team_id` in the request body.")
}

// serviceKey makes a key of a team and no user.
func (a *API) serviceKey(ctx context.Context, c *caller, in *keyGenerateIn) (any, error) {
	if in.TeamID.or("") == "" {
		return nil, &detail{status: 400, bare: true, text: needsTeam().Message}
	}
	in.UserID = opt[string]{Set: true}
	if alias := in.Alias.or(""); alias != "" {
		metadata := maps.Clone(in.Metadata.or(nil))
		if metadata == nil {
			metadata = map[string]any{}
		}
		if _, ok := metadata["service_account_id"]; !ok {
			metadata["service_account_id"] = alias
		}
		in.Metadata = opt[map[string]any]{Set: true, Value: &metadata}
	}
	return a.generateKey(ctx, c, in)
}

func (a *API) generateKey(ctx context.Context, c *caller, in *keyGenerateIn) (any, error) {
	asked := given(in)
	cfg := &a.Config().LiteLLM
	if err := fill(&in.keyFields, "default_key_generate_params", cfg.KeyDefaults); err != nil {
		return nil, err
	}
	most, err := fromConfig[keyFields]("upperbound_key_generate_params", cfg.KeyBounds)
	if err != nil {
		return nil, err
	}
	if err := in.bound(most, true, a.Now()); err != nil {
		return nil, err
	}
	if in.Duration.Value != nil && *in.Duration.Value == "-1" {
		return nil, llm.Invalid("duration", "Invalid duration format: a key without an end has no duration")
	}
	var made *madeKey
	err = a.edit(ctx, c, func(e *edit) (err error) {
		made, err = e.newKey(ctx, in, asked)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a.madeOut(ctx, made)
}

// madeKey is a new key with what is shown of it once.
type madeKey struct {
	*account.Key
	plain            string
	awsID, awsSecret string
	spend            llm.Nanos
}

// newKey makes the key that a request asks for, within an edit.
func (e *edit) newKey(ctx context.Context, in *keyGenerateIn, asked []string) (*madeKey, error) {
	plain, err := plainKey(in.Key.or(""))
	if err != nil {
		return nil, err
	}
	k := &account.Key{Hash: auth.Hash(plain), Name: maskKey(plain)}
	if err := in.apply(k, e.now); err != nil {
		return nil, err
	}
	if err := e.checkOwner(ctx, k, asked); err != nil {
		return nil, err
	}
	return e.insertKey(ctx, in, k, plain)
}

// insertKey writes a new key whose owner is settled.
func (e *edit) insertKey(ctx context.Context, in *keyGenerateIn, k *account.Key, plain string) (_ *madeKey, err error) {
	if err := e.checkWidening(ctx, &account.Key{}, k, &in.keyFields); err != nil {
		return nil, err
	}
	if err := e.checkKey(ctx, &account.Key{}, k); err != nil {
		return nil, err
	}
	if err := e.unusedHash(ctx, k.Hash, "key"); err != nil {
		return nil, err
	}
	made := &madeKey{Key: k, plain: plain, spend: llm.Nanos(in.Spend.or(0))}
	if in.AWS.or(false) {
		if made.awsID, made.awsSecret, err = e.issueAWS(ctx, k); err != nil {
			return nil, err
		}
	}
	if err := e.putKey(ctx, "created", nil, k); err != nil {
		return nil, err
	}
	if made.spend != 0 {
		e.SetSpent(account.Subject{Kind: account.OfKey, ID: k.Hash}, made.spend)
	}
	return made, nil
}

// unusedHash refuses a key that there is already, or was and is still taken.
func (e *edit) unusedHash(ctx context.Context, hash, field string) error {
	have, err := get(ctx, e.Keys, hash)
	if err != nil {
		return err
	}
	if have != nil {
		return &llm.Error{Kind: llm.ErrInvalid, Param: field, Message: "This key exists already. Leave `" + field + "` out and one is made for you."}
	}
	return nil
}

// maxPlainKey is the longest key that a caller may choose, in bytes.
const maxPlainKey = 512

// plainKey checks a key that the caller chose, or makes one: sk- and 16 random bytes.
func plainKey(chosen string) (string, error) {
	if chosen == "" {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
		return "sk-" + base64.RawURLEncoding.EncodeToString(b[:]), nil
	}
	switch {
	case !strings.HasPrefix(chosen, "sk-"):
		return "", llm.Invalid("key", "Invalid key format. LiteLLM Virtual Key must start with 'sk-'. Received: %s", maskText(chosen))
	case len(chosen) < 8 || len(chosen) > maxPlainKey:
		return "", llm.Invalid("key", "Invalid key format. A key has 8 to %d characters", maxPlainKey)
	case strings.ContainsFunc(chosen, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", llm.Invalid("key", "Invalid key format. A key has letters, digits and punctuation only")
	}
	return chosen, nil
}

// maskKey is how a key is named ever after.
func maskKey(plain string) string { return "sk-..." + plain[max(len(plain)-4, 3):] }

// maskText shows the ends of a text that may be a secret, if it is long enough for that to tell little.
func maskText(s string) string {
	if len(s) < 12 {
		return "****"
	}
	return s[:4] + "****" + s[len(s)-4:]
}

// hashOf is the hash that a key is kept by: a key in the clear is hashed, a hash is taken as it is.
func hashOf(key string) string {
	if strings.HasPrefix(key, "sk-") {
		return auth.Hash(key)
	}
	return strings.ToLower(key)
}

func noKey() *llm.Error { return notFound("key", "Key not found.") }

// find is the key with this text, hash or, if that is empty, alias.
func (e *edit) find(ctx context.Context, key, alias string) (*account.Key, error) {
	if key == "" {
		return keyByAlias(ctx, e.Accounts, alias)
	}
	k, err := e.Keys.Get(ctx, hashOf(key))
	if errors.Is(err, store.ErrNotFound) {
		return nil, noKey()
	}
	return k, err
}

func keyByAlias(ctx context.Context, db *store.Accounts, alias string) (*account.Key, error) {
	rows, _, err := db.Keys.Find(ctx, store.Query{Where: map[string]string{"alias": alias}, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || alias == "" {
		return nil, noKey()
	}
	return &rows[0], nil
}
