package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// spendRow is a row of table spend: one subject with all its windows.
type spendRow struct {
	account.Subject
	total  llm.Nanos
	main   window
	others []window
	moved  string // the id that has it all now; what still comes goes there
}

// window is one budget period of a subject.
type window struct {
	Duration string    `json:"duration"` // account.ParsePeriod reads it; empty: the window never ends
	Base     llm.Nanos `json:"base"`
	ResetAt  int64     `json:"reset_at"`
}

const spendColumns = `kind, id, model, total, base, reset_at, period, windows, moved`

func scanSpend(row interface{ Scan(...any) error }) (*spendRow, error) {
	var r spendRow
	var others string
	err := row.Scan((*string)(&r.Kind), &r.ID, &r.Model, (*int64)(&r.total), (*int64)(&r.main.Base), &r.main.ResetAt, &r.main.Duration, &others, &r.moved)
	if err == nil && others != "" {
		err = json.Unmarshal([]byte(others), &r.others)
	}
	if err != nil {
		return nil, fmt.Errorf("read spend: %w", err)
	}
	return &r, nil
}

// spends is the row as the rest of the program knows it: a Spend for each window.
func (r *spendRow) spends(dst []account.Spend) []account.Spend {
	dst = append(dst, account.Spend{Subject: r.Subject, Total: r.total, Base: r.main.Base, ResetAt: r.main.ResetAt})
	for _, w := range r.others {
		dst = append(dst, account.Spend{Subject: r.Subject, Window: w.Duration, Total: r.total, Base: w.Base, ResetAt: w.ResetAt})
	}
	return dst
}

// window finds the window of that name, the main one for "".
func (r *spendRow) window(name string) *window {
	if name == "" {
		return &r.main
	}
	for i := range r.others {
		if r.others[i].Duration == name {
			return &r.others[i]
		}
	}
	return nil
}

// roll begins the windows anew that have ended.
func (r *spendRow) roll(now time.Time) {
	at := now.UnixMilli()
	for _, w := range r.all() {
		if w.ResetAt == 0 || w.ResetAt > at {
			continue
		}
		w.Base, w.ResetAt = r.total, 0
		if p, err := account.ParsePeriod(w.Duration); err == nil {
			w.ResetAt = p.NextReset(now).UnixMilli()
		}
	}
}

func (r *spendRow) all() []*window {
	out := []*window{&r.main}
	for i := range r.others {
		out = append(out, &r.others[i])
	}
	return out
}

// save writes the row back; the transaction has locked it.
func (r *spendRow) save(ctx context.Context, q querier) error {
	others := ""
	if len(r.others) > 0 {
		b, err := json.Marshal(r.others)
		if err != nil {
			return fmt.Errorf("write spend: %w", err)
		}
		others = string(b)
	}
	due := int64(0)
	for _, w := range r.all() {
		if w.ResetAt != 0 && (due == 0 || w.ResetAt < due) {
			due = w.ResetAt
		}
	}
	_, err := q.ExecContext(ctx, `UPDATE spend SET total = $1, base = $2, reset_at = $3, period = $4, windows = $5, due = $6, moved = $7
		WHERE kind = $8 AND id = $9 AND model = $10`, int64(r.total), int64(r.main.Base), r.main.ResetAt, r.main.Duration, others, due, r.moved,
		string(r.Kind), r.ID, r.Model)
	if err != nil {
		return fmt.Errorf("write spend: %w", err)
	}
	return nil
}

// lockSpend reads a row, made if absent, that nobody else changes until the transaction ends.
func lockSpend(ctx context.Context, q querier, s account.Subject) (*spendRow, error) {
	return scanSpend(q.QueryRowContext(ctx, `INSERT INTO spend (kind, id, model, total, base, reset_at, period, windows, due, moved)
		VALUES ($1, $2, $3, 0, 0, 0, '', '', 0, '') ON CONFLICT (kind, id, model) DO UPDATE SET kind = excluded.kind RETURNING `+spendColumns,
		string(s.Kind), s.ID, s.Model))
}

func compareSubjects(a, b account.Subject) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Model, b.Model))
}

// What an Edit does to spend waits until the Edit ends and is then done in the order that everybody locks the rows in.

func (e *Edit) onSpend(s account.Subject, f func(*spendRow)) { e.spend[s] = append(e.spend[s], f) }

func (e *Edit) saveSpend(ctx context.Context) error {
	want := map[account.Subject]bool{}
	for s := range e.spend {
		want[s] = true
	}
	for _, m := range e.moves {
		want[m.from], want[m.into] = true, true
	}
	subjects := slices.SortedFunc(maps.Keys(want), compareSubjects)
	rows := map[account.Subject]*spendRow{}
	for _, s := range subjects {
		r, err := lockSpend(ctx, e.tx, s)
		if err != nil {
			return err
		}
		rows[s] = r
	}
	// Moves come first: what else the edit does to the old subject, as to end its books because it is deleted, must not reach the new one.
	for _, m := range e.moves {
		from, into := rows[m.from], rows[m.into]
		*into = spendRow{Subject: m.into, total: into.total + from.total, main: from.main, others: from.others}
		*from = spendRow{Subject: m.from, moved: m.into.ID}
	}
	for s, changes := range e.spend {
		if rows[s].moved != "" {
			continue
		}
		for _, f := range changes {
			f(rows[s])
		}
	}
	for _, s := range subjects {
		if err := rows[s].save(ctx, e.tx); err != nil {
			return err
		}
	}
	return nil
}

// MoveSpend makes into have everything that from has spent, within models as well, and what still comes for from: a key that was
// regenerated goes on where it was. The rest of the edit finds it moved: StartWindow of into changes what came from from.
func (e *Edit) MoveSpend(ctx context.Context, from, into account.Subject) error {
	rows, err := spendRows(ctx, e.tx, `WHERE kind = $1 AND id = $2 AND model <> ''`, string(from.Kind), from.ID)
	if err != nil {
		return err
	}
	for _, r := range append(rows, &spendRow{Subject: account.Subject{Kind: from.Kind, ID: from.ID}}) {
		m := move{r.Subject, account.Subject{Kind: into.Kind, ID: into.ID, Model: r.Model}}
		e.moves = append(e.moves, m)
		e.noteSpend(m.from)
		e.noteSpend(m.into)
	}
	return nil
}

// SetSpent makes the amount count as spent in the running window (all windows). The total stays: it is the sum of the records.
func (e *Edit) SetSpent(s account.Subject, spent llm.Nanos) {
	e.noteSpend(s)
	e.onSpend(s, func(r *spendRow) {
		for _, w := range r.all() {
			w.Base = r.total - spent
		}
	})
}

// Forgive makes everything of some kinds count as not spent in the running windows.
func (e *Edit) Forgive(ctx context.Context, kinds ...account.Kind) error {
	for _, kind := range kinds {
		rows, err := spendRows(ctx, e.tx, `WHERE kind = $1 AND total <> base`, string(kind))
		if err != nil {
			return err
		}
		for _, r := range rows {
			e.SetSpent(r.Subject, 0)
		}
	}
	return nil
}

// StartWindow sets how long a budget's window is and when the running one ends (Unix ms). window is "" for the subject's MaxBudget, or
// the Duration of an account.Window, which begins with nothing spent if it is new. An empty period ends the window: it is never reset,
// and one that is not "" is forgotten.
func (e *Edit) StartWindow(s account.Subject, window_, period string, resetAt int64) {
	e.noteSpend(s)
	e.onSpend(s, func(r *spendRow) {
		if period == "" {
			r.others = slices.DeleteFunc(r.others, func(w window) bool { return window_ != "" && w.Duration == window_ })
			if window_ == "" {
				r.main.Duration, r.main.ResetAt = "", 0
			}
			return
		}
		w := r.window(window_)
		if w == nil {
			r.others = append(r.others, window{Duration: window_, Base: r.total})
			w = &r.others[len(r.others)-1]
		}
		if w.ResetAt = resetAt; window_ == "" {
			w.Duration = period
		}
	})
}

// noteSpend makes other replicas read the spend of a subject again.
func (e *Edit) noteSpend(s account.Subject) {
	e.changed[Change{SpendOf, string(s.Kind) + "\x1e" + s.ID + "\x1e" + s.Model}] = struct{}{}
}

// Subject is whose spend a change of kind SpendOf means.
func (c Change) Subject() account.Subject {
	kind, rest, _ := strings.Cut(c.ID, "\x1e")
	id, model, _ := strings.Cut(rest, "\x1e")
	return account.Subject{Kind: account.Kind(kind), ID: id, Model: model}
}

// Spends reads the spend of subjects as it will be when the Edit ends, but for what others book meanwhile.
func (e *Edit) Spends(ctx context.Context, subjects ...account.Subject) ([]account.Spend, error) {
	var out []account.Spend
	for _, s := range subjects {
		rows, err := spendRows(ctx, e.tx, `WHERE kind = $1 AND id = $2 AND model = $3`, string(s.Kind), s.ID, s.Model)
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			if len(e.spend[s]) == 0 {
				continue
			}
			rows = append(rows, &spendRow{Subject: s})
		}
		for _, f := range e.spend[s] {
			f(rows[0])
		}
		out = rows[0].spends(out)
	}
	return out, nil
}

// end closes the books of what is being deleted: one with its id that comes later begins with nothing spent. It tells what was spent.
func (e *Edit) end(ctx context.Context, s account.Subject) (spent llm.Nanos, err error) {
	if s.Kind == "" {
		return 0, nil
	}
	rows, err := spendRows(ctx, e.tx, `WHERE kind = $1 AND id = $2`, string(s.Kind), s.ID)
	for _, r := range rows {
		if r.Model == "" {
			spent = r.total - r.main.Base
		}
		e.noteSpend(r.Subject)
		e.onSpend(r.Subject, func(r *spendRow) { r.main, r.others = window{Base: r.total}, nil })
	}
	return spent, err
}

func spendRows(ctx context.Context, q querier, tail string, args ...any) ([]*spendRow, error) {
	rows, err := q.QueryContext(ctx, "SELECT "+spendColumns+" FROM spend "+tail, args...)
	if err != nil {
		return nil, fmt.Errorf("read spend: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	var out []*spendRow
	for rows.Next() {
		r, err := scanSpend(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read spend: %w", err)
	}
	return out, nil
}

// Spends is what subjects have spent, a Spend for each window; a subject that never spent has none.
func (s *Store) Spends(ctx context.Context, subjects ...account.Subject) ([]account.Spend, error) {
	var out []account.Spend
	for chunk := range slices.Chunk(subjects, 300) {
		var b strings.Builder
		var args []any
		for i, c := range chunk {
			b.WriteString([]string{"WHERE ", " OR "}[min(i, 1)])
			fmt.Fprintf(&b, "(kind = $%d AND id = $%d AND model = $%d)", 3*i+1, 3*i+2, 3*i+3)
			args = append(args, string(c.Kind), c.ID, c.Model)
		}
		rows, err := spendRows(ctx, s.read, b.String(), args...)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out = r.spends(out)
		}
	}
	return out, nil
}

// SpendsOf is what these ids of one kind have spent, within models as well.
func (s *Store) SpendsOf(ctx context.Context, kind account.Kind, ids ...string) ([]account.Spend, error) {
	var out []account.Spend
	for chunk := range slices.Chunk(ids, 500) {
		args := []any{string(kind)}
		for _, id := range chunk {
			args = append(args, id)
		}
		rows, err := spendRows(ctx, s.read, "WHERE kind = $1 AND id IN ("+marks(2, len(chunk))+")", args...)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out = r.spends(out)
		}
	}
	return out, nil
}

// AllSpends is what every subject has spent.
func (s *Store) AllSpends(ctx context.Context) ([]account.Spend, error) {
	rows, err := spendRows(ctx, s.read, "")
	if err != nil {
		return nil, err
	}
	out := make([]account.Spend, 0, len(rows))
	for _, r := range rows {
		out = r.spends(out)
	}
	return out, nil
}

// ResetDue begins the windows anew that have ended by now, and gives their new spend; calendar periods end in now's location. Several
// replicas may call it: each window begins once.
func (s *Store) ResetDue(ctx context.Context, now time.Time) ([]account.Spend, error) {
	const due = `WHERE due > 0 AND due <= $1 ORDER BY kind, id, model LIMIT 1000`
	rows, err := spendRows(ctx, s.read, due, now.UnixMilli())
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	var out []account.Spend
	err = s.Edit(ctx, func(e *Edit) error {
		for _, r := range rows {
			e.noteSpend(r.Subject)
			e.onSpend(r.Subject, func(r *spendRow) {
				r.roll(now)
				out = r.spends(out)
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
