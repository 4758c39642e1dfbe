package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// edit is one change through the API: a transaction on accounts, and who makes it.
type edit struct {
	*store.Edit
	a   *API
	c   *caller
	now time.Time // in the time zone of budget periods
}

// The names of tables in audit rows are LiteLLM's.
const (
	keyTable  = "LiteLLM_VerificationToken"
	userTable = "LiteLLM_UserTable"
)

// edit runs f in one transaction and returns when the change is effective on this replica.
func (a *API) edit(ctx context.Context, c *caller, f func(*edit) error) error {
	now := a.Now()
	err := a.Store.Edit(ctx, func(se *store.Edit) error {
		se.At, se.By = now.UnixMilli(), c.by
		return f(&edit{Edit: se, a: a, c: c, now: now.In(a.Zone)})
	})
	if err != nil {
		return err
	}
	a.Changed(ctx)
	return nil
}

// stamp notes who made or changed a row, and when.
func (e *edit) stamp(s *account.Stamp) {
	if s.Created == 0 {
		s.Created, s.CreatedBy = e.At, e.By
	}
	s.Updated, s.UpdatedBy = e.At, e.By
}

// audit notes a change: created, updated, deleted, blocked, unblocked, rotated. before and after are account rows, nil for none; what in
// them may be a secret is masked.
func (e *edit) audit(ctx context.Context, action, table, id string, before, after any) error {
	row := account.Audit{ID: uuid(), At: e.At, By: e.By, ByKey: e.c.keyID(), Action: action, Table: table, Object: id}
	var err error
	if row.Before, err = auditDoc(before); err != nil {
		return err
	}
	if row.After, err = auditDoc(after); err != nil {
		return err
	}
	return e.Audits.Put(ctx, &row)
}

// written notes in the audit that a row was made, or changed where there was one before.
func written[T any](ctx context.Context, e *edit, table, id string, before, after *T) error {
	if before == nil {
		return e.audit(ctx, "created", table, id, nil, after)
	}
	return e.audit(ctx, "updated", table, id, before, after)
}

// secretName matches the names of members whose values are not for the audit.
var secretName = regexp.MustCompile(`(?i)secret|password|passwd|api_?key$|private_?key|access_?key$|_token$|bearer|authorization|credential_values|^litellm_params$`)

func auditDoc(row any) (jsontext.Value, error) {
	if row == nil {
		return jsontext.Value("null"), nil
	}
	text, err := json.Marshal(row)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	mask(tree)
	if text, err = json.Marshal(tree, json.Deterministic(true)); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return text, nil
}

func mask(tree any) {
	switch t := tree.(type) {
	case map[string]any:
		for name, v := range t {
			if secretName.MatchString(name) && v != nil {
				t[name] = "********"
				continue
			}
			mask(v)
		}
	case []any:
		for _, v := range t {
			mask(v)
		}
	}
}

// uuid is a random id in the form of UUID version 4.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// get is a row that may be absent: nil then.
func get[T any](ctx context.Context, rows store.Rows[T], id string) (*T, error) {
	if id == "" {
		return nil, nil
	}
	row, err := rows.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return row, err
}

// spent is what a subject has spent in its running window, in all, and when the window ends.
type spent struct {
	now, total llm.Nanos
	resetAt    int64
	models     map[string]llm.Nanos     // within models, where it has budgets of its own
	windows    map[string]account.Spend // the further windows, by their duration
}

// spends reads what accounts of a kind have spent; one that never did has the zero value.
func (a *API) spends(ctx context.Context, kind account.Kind, ids ...string) (map[string]spent, error) {
	rows, err := a.Store.SpendsOf(ctx, kind, ids...)
	if err != nil {
		return nil, err
	}
	out := make(map[string]spent, len(ids))
	for _, r := range rows {
		s := out[r.ID]
		switch {
		case r.Model != "" && r.Window == "":
			if s.models == nil {
				s.models = map[string]llm.Nanos{}
			}
			s.models[r.Model] = r.Spent()
		case r.Model == "" && r.Window != "":
			if s.windows == nil {
				s.windows = map[string]account.Spend{}
			}
			s.windows[r.Window] = r
		case r.Model == "":
			s.now, s.total, s.resetAt = r.Spent(), r.Total, r.ResetAt
		}
		out[r.ID] = s
	}
	return out, nil
}
