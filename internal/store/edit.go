package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/weir-gateway/weir/internal/account"
)

// ErrGap says that the changes asked for are no longer listed: read everything anew.
var ErrGap = errors.New("the changes since then are no longer listed")

// Change is an account that was written or deleted.
type Change struct {
	Kind Kind
	ID   string
}

// Edit is one transaction on accounts. Its Rows see what it has written itself. Not safe for concurrent use.
type Edit struct {
	*Accounts
	At int64  // Unix ms; noted with what is deleted. Preset to now
	By string // who edits; noted with what is deleted

	tx       *sql.Tx
	revision int64
	changed  map[Change]struct{}
	spend    map[account.Subject][]func(*spendRow)
	moves    []move
	lenient  bool
}

// move is spend that changes its owner.
type move struct{ from, into account.Subject }

// keepChanges is how many edits Changes can look back.
const keepChanges = 20_000

// Edit runs f in one transaction, all or nothing. Edits run one after another, on all replicas together, so what f reads stays true
// until it has written. f must use the Edit alone, never the Store.
func (s *Store) Edit(ctx context.Context, f func(*Edit) error) error { return s.edit(ctx, false, f) }

// Import is Edit for what comes from another gateway's database: values that must be unique here need not have been there.
func (s *Store) Import(ctx context.Context, f func(*Edit) error) error { return s.edit(ctx, true, f) }

func (s *Store) edit(ctx context.Context, lenient bool, f func(*Edit) error) error {
	return s.tx(ctx, func(tx *sql.Tx) error {
		e := &Edit{At: s.now().UnixMilli(), tx: tx, changed: map[Change]struct{}{}, spend: map[account.Subject][]func(*spendRow){}, lenient: lenient}
		e.Accounts = newAccounts(tx, e)
		err := tx.QueryRowContext(ctx, `UPDATE revision SET n = n + 1 WHERE one = 1 RETURNING n`).Scan(&e.revision)
		if err != nil {
			return fmt.Errorf("begin an edit: %w", err)
		}
		if err := f(e); err != nil {
			return err
		}
		if err := e.saveSpend(ctx); err != nil {
			return err
		}
		return e.saveChanges(ctx)
	})
}

// Revision is the number this edit will have.
func (e *Edit) Revision() int64 { return e.revision }

func (e *Edit) saveChanges(ctx context.Context) error {
	for c := range e.changed {
		if _, err := e.tx.ExecContext(ctx, `INSERT INTO changes (revision, kind, id) VALUES ($1, $2, $3)`, e.revision, string(c.Kind), c.ID); err != nil {
			return fmt.Errorf("note a change: %w", err)
		}
	}
	if e.revision%1000 != 0 || e.revision <= keepChanges {
		return nil
	}
	upTo := e.revision - keepChanges
	if _, err := e.tx.ExecContext(ctx, `DELETE FROM changes WHERE revision <= $1`, upTo); err != nil {
		return fmt.Errorf("trim the changes: %w", err)
	}
	if _, err := e.tx.ExecContext(ctx, `UPDATE revision SET trimmed = $1 WHERE one = 1`, upTo); err != nil {
		return fmt.Errorf("trim the changes: %w", err)
	}
	return nil
}

// Changes lists what was changed since a revision, each once, and the revision that this leads to. Read the revision first (Changes of
// Revision), then the accounts, then call Changes with it: nothing is missed. ErrGap: since is too long ago.
func (s *Store) Changes(ctx context.Context, since int64) (changes []Change, revision int64, err error) {
	var trimmed int64
	if err := s.read.QueryRowContext(ctx, `SELECT n, trimmed FROM revision WHERE one = 1`).Scan(&revision, &trimmed); err != nil {
		return nil, 0, fmt.Errorf("read changes: %w", err)
	}
	if since >= revision {
		return nil, revision, nil
	}
	if since < trimmed {
		return nil, revision, ErrGap
	}
	rows, err := s.read.QueryContext(ctx, `SELECT DISTINCT kind, id FROM changes WHERE revision > $1 AND revision <= $2`, since, revision)
	if err != nil {
		return nil, 0, fmt.Errorf("read changes: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		var c Change
		if err := rows.Scan((*string)(&c.Kind), &c.ID); err != nil {
			return nil, 0, fmt.Errorf("read changes: %w", err)
		}
		changes = append(changes, c)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("read changes: %w", err)
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) })
	return changes, revision, nil
}

// Revision is the number of the last edit.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	var n int64
	if err := s.read.QueryRowContext(ctx, `SELECT n FROM revision WHERE one = 1`).Scan(&n); err != nil {
		return 0, fmt.Errorf("read the revision: %w", err)
	}
	return n, nil
}
