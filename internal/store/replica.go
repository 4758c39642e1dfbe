package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/usage"
)

// Replica is a running gateway. Times are passed in, in Unix milliseconds, as everywhere here: the database's clock counts for nothing.
type Replica struct {
	ID      string // of this start: the next one of the same gateway has another
	Journal string // its journal's id, the same at every start
	Address string
	Seen    int64
	State   string // what it tells the others of itself
}

// SaveReplica notes that a replica runs.
func (s *Store) SaveReplica(ctx context.Context, r Replica) error {
	_, err := s.write.ExecContext(ctx, `INSERT INTO replicas (id, address, journal, seen, state) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET address = excluded.address, journal = excluded.journal, seen = excluded.seen, state = excluded.state`,
		r.ID, r.Address, r.Journal, r.Seen, r.State)
	if err != nil {
		return fmt.Errorf("save replica %s: %w", r.ID, err)
	}
	return nil
}

// Replicas lists all, by id.
func (s *Store) Replicas(ctx context.Context) ([]Replica, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, address, journal, seen, state FROM replicas ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list replicas: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	var out []Replica
	for rows.Next() {
		var r Replica
		if err := rows.Scan(&r.ID, &r.Address, &r.Journal, &r.Seen, &r.State); err != nil {
			return nil, fmt.Errorf("list replicas: %w", err)
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list replicas: %w", err)
	}
	return out, nil
}

// DeleteReplica forgets a replica that ended in good order, when its journal is drained: nothing of it is open.
func (s *Store) DeleteReplica(ctx context.Context, id string) error {
	return s.retried(ctx, func(tx *sql.Tx) error {
		for _, text := range []string{`DELETE FROM open_calls WHERE replica = $1`, `DELETE FROM replicas WHERE id = $1`} {
			if _, err := tx.ExecContext(ctx, text, id); err != nil {
				return fmt.Errorf("delete replica %s: %w", id, err)
			}
		}
		return nil
	})
}

// ErrExpired says that a replica is not on the list: it was given up, or never said that it runs.
var ErrExpired = errors.New("the replica is not on the list of those that run")

// PutOpenCalls notes calls of a replica that are on their way: the record each would leave as it stands, Cost being what is reserved for
// it. SaveRecords takes them off again; calls whose record is in already are left out. ErrExpired where nobody would look for them: the
// replica has to be on the list.
func (s *Store) PutOpenCalls(ctx context.Context, replica string, calls []usage.Record) error {
	if len(calls) == 0 {
		return nil
	}
	s.ledger.Store(true)
	return s.retried(ctx, func(tx *sql.Tx) error {
		found, err := tx.ExecContext(ctx, `UPDATE replicas SET seen = seen WHERE id = $1`, replica) // nobody gives it up until this is done
		if err != nil {
			return fmt.Errorf("note open calls: %w", err)
		}
		if n, err := found.RowsAffected(); err != nil || n == 0 {
			return fmt.Errorf("note open calls: %w", cmp.Or(err, ErrExpired))
		}
		done, err := recorded(ctx, tx, calls)
		if err != nil {
			return err
		}
		if err := deleteCalls(ctx, tx, maps.Keys(done)); err != nil { // of an earlier try that seemed to fail
			return err
		}
		var docs [][]any
		for i := range calls {
			if c := &calls[i]; !done[c.ID] {
				doc, err := json.Marshal(c)
				if err != nil {
					return fmt.Errorf("note open calls: %w", err)
				}
				docs = append(docs, []any{c.ID, replica, c.Start, string(doc)})
			}
		}
		slices.SortFunc(docs, func(a, b []any) int { return strings.Compare(a[0].(string), b[0].(string)) })
		docs = slices.CompactFunc(docs, func(a, b []any) bool { return a[0] == b[0] })
		err = upsert(ctx, tx, s.engine, "open_calls (id, replica, at, doc)", " ON CONFLICT (id) DO UPDATE SET doc = excluded.doc", slices.Values(docs), nil)
		if err != nil {
			return fmt.Errorf("note open calls: %w", err)
		}
		return nil
	})
}

// recorded says which calls have their record already.
func recorded(ctx context.Context, q querier, calls []usage.Record) (map[string]bool, error) {
	done := map[string]bool{}
	for chunk := range slices.Chunk(calls, 500) {
		args := make([]any, len(chunk))
		for i := range chunk {
			args[i] = chunk[i].ID
		}
		some, err := queryIDs(ctx, q, "SELECT id FROM records WHERE id IN ("+marks(1, len(args))+")", args)
		if err != nil {
			return nil, fmt.Errorf("note open calls: %w", err)
		}
		for id := range some {
			done[id] = true
		}
	}
	return done, nil
}

// closeCalls takes the open calls off whose records come in.
func (s *Store) closeCalls(ctx context.Context, tx *sql.Tx, records []*usage.Record) error {
	if !s.ledger.Load() {
		return nil
	}
	return deleteCalls(ctx, tx, func(yield func(string) bool) {
		for _, r := range records {
			if !yield(r.ID) {
				return
			}
		}
	})
}

func deleteCalls(ctx context.Context, q querier, ids iter.Seq[string]) error {
	for chunk := range slices.Chunk(slices.Sorted(ids), 500) {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		if _, err := q.ExecContext(ctx, "DELETE FROM open_calls WHERE id IN ("+marks(1, len(args))+")", args...); err != nil {
			return fmt.Errorf("close open calls: %w", err)
		}
	}
	return nil
}

// ExpireReplica gives a replica up: each call it had open becomes a Lost record at the cost reserved for it, unless its own record is in.
// All in one transaction, so however many replicas find it dead, each call is charged once; only the first gets records. Now ends the
// calls.
func (s *Store) ExpireReplica(ctx context.Context, id string, now int64) (lost []usage.Record, spends []account.Spend, err error) {
	spends, err = s.booked(ctx, func(tx *sql.Tx, moved moves) ([]account.Spend, error) {
		if _, err := tx.ExecContext(ctx, `DELETE FROM replicas WHERE id = $1`, id); err != nil {
			return nil, fmt.Errorf("expire replica %s: %w", id, err)
		}
		if lost, err = openCalls(ctx, tx, id); err != nil {
			return nil, err
		}
		for i := range lost {
			lost[i].Lost, lost[i].Incomplete, lost[i].End = true, true, now
		}
		fresh, gone, err := s.insertRecords(ctx, tx, lost)
		if err != nil {
			return nil, err
		}
		if err := takeCalls(ctx, tx, id, lost); err != nil {
			return nil, err
		}
		return s.bookAll(ctx, tx, moved, fresh, gone)
	})
	if err != nil {
		return nil, nil, err
	}
	return lost, spends, nil
}

func openCalls(ctx context.Context, q querier, replica string) ([]usage.Record, error) {
	rows, err := q.QueryContext(ctx, `SELECT doc FROM open_calls WHERE replica = $1 ORDER BY id`, replica)
	if err != nil {
		return nil, fmt.Errorf("list open calls: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	var out []usage.Record
	for rows.Next() {
		r, err := scanDoc[usage.Record]("open_calls", rows)
		if err != nil {
			return nil, err
		}
		out = append(out, *r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list open calls: %w", err)
	}
	return out, nil
}

// takeCalls removes a replica's open calls. If they are not the ones that were read, somebody else was at it: errAgain.
func takeCalls(ctx context.Context, q querier, replica string, calls []usage.Record) error {
	ids, err := queryIDs(ctx, q, `DELETE FROM open_calls WHERE replica = $1 RETURNING id`, []any{replica})
	if err != nil {
		return fmt.Errorf("take open calls: %w", err)
	}
	same := len(ids) == len(calls)
	for i := range calls {
		same = same && ids[calls[i].ID]
	}
	if !same {
		return errAgain
	}
	return nil
}

// TryLease takes or keeps the lease until a time, if it is free, has ended by now, or is the holder's own.
func (s *Store) TryLease(ctx context.Context, name, holder string, now, until int64) (bool, error) {
	var got string
	err := s.write.QueryRowContext(ctx, `INSERT INTO leases (name, holder, ends) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, ends = excluded.ends WHERE leases.ends <= $4 OR leases.holder = excluded.holder
		RETURNING holder`, name, holder, until, now).Scan(&got)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take the lease %q: %w", name, err)
	}
	return true, nil
}

// Release gives a lease back, if it is the holder's.
func (s *Store) Release(ctx context.Context, name, holder string) error {
	if _, err := s.write.ExecContext(ctx, `DELETE FROM leases WHERE name = $1 AND holder = $2`, name, holder); err != nil {
		return fmt.Errorf("release the lease %q: %w", name, err)
	}
	return nil
}
