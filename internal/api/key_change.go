package api

import (
	"context"
	"errors"
	"slices"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
)

type keyUpdateIn struct {
	Key string `json:"key"`
	keyFields
}

// keyUpdate changes the fields that were given; null clears one. The key is named by itself, its hash or its alias.
func (a *API) keyUpdate(ctx context.Context, c *caller, in *keyUpdateIn) (any, error) {
	var k *account.Key
	err := a.edit(ctx, c, func(e *edit) (err error) {
		k, err = e.updateKey(ctx, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	out, err := a.keyOut(ctx, k)
	if err != nil {
		return nil, err
	}
	out["key"] = in.Key
	if in.Key == "" {
		out["key"] = k.Hash
	}
	return out, nil
}

// keyOut is a key's row with its hash, as changes answer it.
func (a *API) keyOut(ctx context.Context, k *account.Key) (object, error) {
	v, err := a.viewKeys(ctx, *k)
	if err != nil {
		return nil, err
	}
	out := v.row(k)
	out["token"] = k.Hash
	return out, nil
}

func (e *edit) updateKey(ctx context.Context, in *keyUpdateIn) (*account.Key, error) {
	if in.Key == "" && in.Alias.or("") == "" {
		return nil, wrong("either key or key_alias must be provided")
	}
	before, err := e.find(ctx, in.Key, in.Alias.or(""))
	if err != nil {
		return nil, err
	}
	if err := e.mayManage(ctx, before, "/key/update", false); err != nil {
		return nil, err
	}
	k := cloneKey(before)
	if err := e.change(ctx, before, k, &in.keyFields); err != nil {
		return nil, err
	}
	if err := e.putKey(ctx, "updated", before, k); err != nil {
		return nil, err
	}
	if in.Spend.Value != nil {
		e.SetSpent(account.Subject{Kind: account.OfKey, ID: k.Hash}, llm.Nanos(*in.Spend.Value))
	}
	return k, nil
}

// change applies a request's fields to k, a copy of before, by the caller's rights.
func (e *edit) change(ctx context.Context, before, k *account.Key, in *keyFields) error {
	most, err := fromConfig[keyFields]("upperbound_key_generate_params", e.a.Config().LiteLLM.KeyBounds)
	if err != nil {
		return err
	}
	if !e.c.admin() {
		if err := in.bound(most, false, e.now); err != nil {
			return err
		}
	}
	if err := in.apply(k, e.now); err != nil {
		return err
	}
	if k.TeamID != before.TeamID && k.TeamID != "" {
		t, err := get(ctx, e.Teams, k.TeamID)
		if err != nil {
			return err
		}
		if t == nil {
			return notFound("team_id", "Team doesn't exist in db. Team=%s. Create team via `/team/new` call.", k.TeamID)
		}
	}
	if err := e.checkWidening(ctx, before, k, in); err != nil {
		return err
	}
	return e.checkKey(ctx, before, k)
}

type keyBulkUpdateIn struct {
	Keys []keyUpdateIn `json:"keys" need:"true"`
}

// maxKeys is how many rows one call may change.
const maxKeys = 500

// keyBulkUpdate changes many keys, each for itself: what fails is told beside what went well.
func (a *API) keyBulkUpdate(ctx context.Context, c *caller, in *keyBulkUpdateIn) (any, error) {
	if len(in.Keys) == 0 || len(in.Keys) > maxKeys {
		return nil, llm.Invalid("keys", "keys must have 1 to %d entries", maxKeys)
	}
	done, failed := []object{}, []object{}
	for i := range in.Keys {
		one := &in.Keys[i]
		var k *account.Key
		err := a.edit(ctx, c, func(e *edit) (err error) {
			k, err = e.updateKey(ctx, one)
			return err
		})
		if err != nil {
			reason, err := reasonOf(err)
			if err != nil {
				return nil, err
			}
			failed = append(failed, object{"key": one.Key, "key_info": nil, "failed_reason": reason})
			continue
		}
		row, err := a.keyOut(ctx, k)
		if err != nil {
			return nil, err
		}
		delete(row, "token")
		done = append(done, object{"key": one.Key, "key_info": row})
	}
	return object{"total_requested": len(in.Keys), "successful_updates": done, "failed_updates": failed}, nil
}

// reasonOf is what one of many failed for. What is the gateway's own failure is an error of the whole call.
func reasonOf(err error) (string, error) {
	var fs faults
	if errors.As(err, &fs) {
		return fs.Error(), nil
	}
	if e := llm.AsError(err); e.HTTPStatus() < 500 {
		return e.Message, nil
	}
	return "", err
}

type keysIn struct {
	Keys    []string `json:"keys"`
	Aliases []string `json:"key_aliases"`
}

// keyDelete deletes keys, all or none; those that are not there are passed over as long as one is.
func (a *API) keyDelete(ctx context.Context, c *caller, in *keysIn) (any, error) {
	if len(in.Keys)+len(in.Aliases) == 0 {
		return nil, wrong("At least one of 'keys' or 'key_aliases' must be provided.")
	}
	var deleted []string
	err := a.edit(ctx, c, func(e *edit) error {
		one := func(name, key, alias string) error {
			k, err := e.find(ctx, key, alias)
			if err != nil {
				if e := llm.AsError(err); e.Kind == llm.ErrNotFound {
					return nil
				}
				return err
			}
			if err := e.deleteKey(ctx, k); err != nil {
				return err
			}
			deleted = append(deleted, name)
			return nil
		}
		for _, key := range in.Keys {
			if err := one(key, key, ""); err != nil {
				return err
			}
		}
		for _, alias := range in.Aliases {
			if err := one(alias, "", alias); err != nil {
				return err
			}
		}
		if len(deleted) == 0 {
			return notFound("keys", "No keys found")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{"deleted_keys": deleted}, nil
}

func (e *edit) deleteKey(ctx context.Context, k *account.Key) error {
	if err := e.mayManage(ctx, k, "/key/delete", true); err != nil {
		return err
	}
	if _, err := e.Keys.Delete(ctx, k.Hash); err != nil {
		return err
	}
	return e.audit(ctx, "deleted", keyTable, k.Hash, k, nil)
}

type keyNameIn struct {
	Key string `json:"key" need:"true"`
}

// keyBlock refuses a key from now on.
func (a *API) keyBlock(ctx context.Context, c *caller, in *keyNameIn) (any, error) {
	return a.blockKey(ctx, c, in.Key, true)
}

// keyUnblock takes a key again.
func (a *API) keyUnblock(ctx context.Context, c *caller, in *keyNameIn) (any, error) {
	return a.blockKey(ctx, c, in.Key, false)
}

func (a *API) blockKey(ctx context.Context, c *caller, key string, blocked bool) (any, error) {
	action := map[bool]string{true: "blocked", false: "unblocked"}[blocked]
	var k *account.Key
	err := a.edit(ctx, c, func(e *edit) error {
		before, err := e.find(ctx, key, "")
		if err != nil {
			return err
		}
		path := map[bool]string{true: "/key/block", false: "/key/unblock"}[blocked]
		if err := e.mayManage(ctx, before, path, blocked); err != nil {
			return err
		}
		k = cloneKey(before)
		k.Blocked = blocked
		if err := keep(&k.Extra, "blocked", blocked); err != nil {
			return err
		}
		if err := e.checkWidening(ctx, before, k, &keyFields{}); err != nil {
			return err
		}
		return e.putKey(ctx, action, before, k)
	})
	if err != nil {
		return nil, err
	}
	out, err := a.keyOut(ctx, k)
	if err != nil {
		return nil, err
	}
	out["org_id"] = text(k.OrgID)
	return out, nil
}

type keyRegenerateIn struct {
	Key   string      `json:"key" body:"optional"`
	Query string      `query:"key"`
	New   opt[string] `json:"new_key"`
	Grace opt[string] `json:"grace_period"`
	keyFields
}

type keyRegenerateAtIn struct {
	At string `path:"key"`
	keyRegenerateIn
}

// keyRegenerateAt is keyRegenerate with the key in the path.
func (a *API) keyRegenerateAt(ctx context.Context, c *caller, in *keyRegenerateAtIn) (any, error) {
	in.Key = in.At
	return a.keyRegenerate(ctx, c, &in.keyRegenerateIn)
}

// keyRegenerate replaces a key by another with the same rights, limits, budget and spend. The old one ends at once, or after the grace
// period. Any field of the key may be changed on the way.
func (a *API) keyRegenerate(ctx context.Context, c *caller, in *keyRegenerateIn) (any, error) {
	if in.Key == "" {
		in.Key = in.Query
	}
	if in.Key == "" {
		return nil, faults{{Type: "missing", Loc: []any{"body", "key"}, Msg: "Field required"}}
	}
	var made *madeKey
	err := a.edit(ctx, c, func(e *edit) error {
		before, err := e.find(ctx, in.Key, "")
		if err != nil {
			return err
		}
		if err := e.mayManage(ctx, before, "/key/regenerate", false); err != nil {
			return err
		}
		made, err = e.regenerate(ctx, before, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	v, err := a.viewKeys(ctx, *made.Key)
	if err != nil {
		return nil, err
	}
	out := v.made(made)
	out["spend"] = money(v.spent[made.Hash].now)
	return out, nil
}

func (e *edit) regenerate(ctx context.Context, before *account.Key, in *keyRegenerateIn) (*madeKey, error) {
	plain, err := plainKey(in.New.or(""))
	if err != nil {
		return nil, err
	}
	k := cloneKey(before)
	if err := e.change(ctx, before, k, &in.keyFields); err != nil {
		return nil, err
	}
	k.Hash, k.Name = auth.Hash(plain), maskKey(plain)
	if err := e.unusedHash(ctx, k.Hash, "new_key"); err != nil {
		return nil, err
	}
	k.Rotations, k.Rotated = before.Rotations+1, e.At
	k.Previous = slices.DeleteFunc(k.Previous, func(p account.Previous) bool { return p.Until <= e.At })
	if grace := in.Grace.or(""); grace != "" && grace != "0" && grace != "0s" {
		p, err := account.ParsePeriod(grace)
		if err != nil {
			return nil, llm.Invalid("grace_period", "Invalid grace_period: %v", err)
		}
		k.Previous = append(k.Previous, account.Previous{Hash: before.Hash, Until: p.After(e.now).UnixMilli()})
	}
	if _, err := e.Keys.Delete(ctx, before.Hash); err != nil {
		return nil, err
	}
	subject := account.Subject{Kind: account.OfKey, ID: k.Hash}
	if err := e.MoveSpend(ctx, account.Subject{Kind: account.OfKey, ID: before.Hash}, subject); err != nil {
		return nil, err
	}
	if err := e.putKey(ctx, "rotated", before, k); err != nil {
		return nil, err
	}
	return &madeKey{Key: k, plain: plain}, nil
}

type keyResetSpendIn struct {
	Key string `path:"key"`
	To  *money `json:"reset_to" need:"true" min:"0"`
}

// keyResetSpend sets what counts as spent of the running budget. The records stay.
func (a *API) keyResetSpend(ctx context.Context, c *caller, in *keyResetSpendIn) (any, error) {
	var k *account.Key
	var was spent
	to := llm.Nanos(*in.To)
	err := a.edit(ctx, c, func(e *edit) (err error) {
		if k, err = e.find(ctx, in.Key, ""); err != nil {
			return err
		}
		runs, err := runsTeam(ctx, e.Accounts, c, k.TeamID)
		if err != nil {
			return err
		}
		if !c.admin() && !runs {
			return denied("key", "Only proxy admins and admins of the key's team can reset its spend.")
		}
		subject := account.Subject{Kind: account.OfKey, ID: k.Hash}
		rows, err := e.Spends(ctx, subject)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Window == "" {
				was.now, was.resetAt = r.Spent(), r.ResetAt
			}
		}
		if to > was.now {
			return llm.Invalid("reset_to", "reset_to value (%s) must be <= current spend (%s)", money(to), money(was.now))
		}
		e.SetSpent(subject, to)
		return e.audit(ctx, "updated", keyTable, k.Hash, object{"spend": money(was.now)}, object{"spend": money(to)})
	})
	if err != nil {
		return nil, err
	}
	return object{"key_hash": k.Hash, "spend": money(to), "previous_spend": money(was.now), "max_budget": dollars(k.MaxBudget),
		"budget_reset_at": moment(was.resetAt)}, nil
}

// issueAWS makes AWS credentials for a key; those it had end.
func (e *edit) issueAWS(_ context.Context, k *account.Key) (id, secret string, err error) {
	if len(e.a.SaltKey) == 0 {
		return "", "", &llm.Error{Kind: llm.ErrInvalid, Param: "aws_credentials",
			Message: "AWS credentials are derived from the salt key, and none is set: set WEIR_SALT_KEY or LITELLM_SALT_KEY"}
	}
	if id, secret, err = auth.IssueAWS(e.a.SaltKey); err != nil {
		return "", "", err
	}
	k.AWSAccessKeyID = id
	return id, secret, nil
}

type keyAtIn struct {
	Key string `path:"key"`
}

// keyAWS issues AWS credentials for a key: the secret is in this answer and nowhere else.
func (a *API) keyAWS(ctx context.Context, c *caller, in *keyAtIn) (any, error) {
	var k *account.Key
	var id, secret string
	err := a.edit(ctx, c, func(e *edit) error {
		before, err := e.find(ctx, in.Key, "")
		if err != nil {
			return err
		}
		if err := e.mayManage(ctx, before, "/key/regenerate", false); err != nil {
			return err
		}
		k = cloneKey(before)
		if id, secret, err = e.issueAWS(ctx, k); err != nil {
			return err
		}
		return e.putKey(ctx, "updated", before, k)
	})
	if err != nil {
		return nil, err
	}
	return object{"key_name": k.Name, "key_alias": text(k.Alias), "token_id": k.Hash, "aws_access_key_id": id, "aws_secret_access_key": secret}, nil
}
