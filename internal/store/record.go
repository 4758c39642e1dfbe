package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/usage"
)

// recordColumns are the table's columns in the order of recordValues and scanRecord.
const recordColumns = `id, request_id, started, first_byte, ended, key_hash, key_alias, user_id, team_id, org_id, end_user, model, deployment,
	provider, upstream, api_base, dialect_in, dialect_out, op, stream, status, error_kind, incomplete, client_gone, attempts, input, output, total,
	cache_read, cache_write, cache_write_1h, reasoning, input_audio, output_audio, input_image, output_image, tool_input, web_searches, accepted,
	rejected, estimated, reasoning_known, cache_known, cost, priced, session, tags, dropped, lost, prompts,
	retrieved, tools, thread`

// recordChunk is how many records one INSERT carries: few round trips, and a statement whose text stays small.
const recordChunk = 50

func recordValues(dst []any, r *usage.Record) ([]any, error) {
	tags, err := list(r.Tags)
	if err != nil {
		return nil, err
	}
	dropped, err := list(r.Dropped)
	if err != nil {
		return nil, err
	}
	tools, err := toolList(r.Tools)
	if err != nil {
		return nil, err
	}
	u := &r.Usage
	return append(dst, r.ID, r.RequestID, r.Start, r.FirstByte, r.End, r.Key, r.KeyAlias, r.User, r.Team, r.Org, r.EndUser, r.Model, r.Deployment,
		r.Provider, r.Upstream, r.APIBase, string(r.In), string(r.Out), string(r.Op), r.Stream, int64(r.Status), string(r.ErrorKind), r.Incomplete,
		r.ClientGone, int64(r.Attempts), u.Input, u.Output, u.Total, u.CacheRead, u.CacheWrite, u.CacheWrite1h, u.Reasoning, u.InputAudio,
		u.OutputAudio, u.InputImage, u.OutputImage, u.ToolInput, u.WebSearches, u.Accepted, u.Rejected, u.Estimated, u.ReasoningKnown, u.CacheKnown,
		int64(r.Cost), r.Priced, r.Session, tags, dropped, r.Lost, r.Prompts, r.Retrieved, tools, int64(r.Thread)), nil
}

func scanRecord(rows *sql.Rows, r *usage.Record) error {
	u := &r.Usage
	var tags, dropped, tools string
	var thread int64
	err := rows.Scan(&r.ID, &r.RequestID, &r.Start, &r.FirstByte, &r.End, &r.Key, &r.KeyAlias, &r.User, &r.Team, &r.Org, &r.EndUser, &r.Model,
		&r.Deployment, &r.Provider, &r.Upstream, &r.APIBase, (*string)(&r.In), (*string)(&r.Out), (*string)(&r.Op), &r.Stream, &r.Status,
		(*string)(&r.ErrorKind), &r.Incomplete, &r.ClientGone, &r.Attempts, &u.Input, &u.Output, &u.Total, &u.CacheRead, &u.CacheWrite,
		&u.CacheWrite1h, &u.Reasoning, &u.InputAudio, &u.OutputAudio, &u.InputImage, &u.OutputImage, &u.ToolInput, &u.WebSearches, &u.Accepted,
		&u.Rejected, &u.Estimated, &u.ReasoningKnown, &u.CacheKnown, (*int64)(&r.Cost), &r.Priced, &r.Session, &tags, &dropped, &r.Lost,
		&r.Prompts, &r.Retrieved, &tools, &thread)
	if err != nil {
		return err
	}
	if r.Tags, err = unlist(tags); err != nil {
		return err
	}
	if r.Dropped, err = unlist(dropped); err != nil {
		return err
	}
	r.Thread = uint64(thread)
	if tools != "" && tools != "[]" {
		err = json.Unmarshal([]byte(tools), &r.Tools)
	}
	return err
}

func toolList(tools []llm.ToolUse) (string, error) {
	if len(tools) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(tools)
	return string(b), err
}

func list(items []string) (string, error) {
	if len(items) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(items)
	return string(b), err
}

func unlist(text string) ([]string, error) {
	if text == "[]" {
		return nil, nil
	}
	var out []string
	err := json.Unmarshal([]byte(text), &out)
	return out, err
}

// fullInsert is PostgreSQL's statement for a full chunk, which is nearly all of them under load.
var fullInsert = sync.OnceValue(func() string { return insertText(recordChunk) })

func insertText(rows int) string {
	columns := strings.Count(recordColumns, ",") + 1
	var b strings.Builder
	b.WriteString("INSERT INTO records (" + recordColumns + ") VALUES ")
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		for c := range columns {
			b.WriteByte("(,"[min(c, 1)])
			b.WriteString("$" + strconv.Itoa(i*columns+c+1))
		}
		b.WriteByte(')')
	}
	b.WriteString(" ON CONFLICT (id) DO NOTHING RETURNING id")
	return b.String()
}

// insertOne is SQLite's statement. There a row of its own costs no round trip, and the parameters have no names: SQLite looks each name
// up by going through all of them, which took ten times as long as storing the record.
var insertOne = sync.OnceValue(func() string {
	columns := strings.Count(recordColumns, ",") + 1
	return "INSERT INTO records (" + recordColumns + ") VALUES (" + strings.Repeat("?,", columns-1) + "?) ON CONFLICT (id) DO NOTHING"
})

// insertRecords stores records and gives those that were not in yet. A record of a lost call makes way for the call's own: those that
// did are gone, and are given too.
func (s *Store) insertRecords(ctx context.Context, tx *sql.Tx, records []usage.Record) (fresh []*usage.Record, gone []usage.Record, err error) {
	insert := s.insertChunks
	if s.engine == "sqlite" {
		insert = insertOneByOne
	}
	fresh, again, err := insert(ctx, tx, records)
	if err != nil {
		return nil, nil, err
	}
	again = slices.DeleteFunc(again, func(r *usage.Record) bool { return r.Lost })
	if len(again) == 0 {
		return fresh, nil, nil
	}
	if gone, err = deleteLost(ctx, tx, again); err != nil || len(gone) == 0 {
		return fresh, nil, err
	}
	var own []usage.Record
	for i := range gone {
		at := slices.IndexFunc(again, func(r *usage.Record) bool { return r.ID == gone[i].ID })
		own = append(own, *again[at])
	}
	more, _, err := insert(ctx, tx, own)
	return append(fresh, more...), gone, err
}

func deleteLost(ctx context.Context, tx *sql.Tx, records []*usage.Record) (gone []usage.Record, err error) {
	for chunk := range slices.Chunk(records, 500) {
		args := make([]any, len(chunk))
		for i, r := range chunk {
			args[i] = r.ID
		}
		rows, err := tx.QueryContext(ctx, "DELETE FROM records WHERE lost AND id IN ("+marks(1, len(args))+") RETURNING "+recordColumns, args...)
		if err != nil {
			return nil, fmt.Errorf("replace lost records: %w", err)
		}
		if gone, err = scanRecords(rows, gone); err != nil {
			return nil, fmt.Errorf("replace lost records: %w", err)
		}
	}
	return gone, nil
}

// scanRecords appends all rows and closes them.
func scanRecords(rows *sql.Rows, dst []usage.Record) ([]usage.Record, error) {
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	for rows.Next() {
		var r usage.Record
		if err := scanRecord(rows, &r); err != nil {
			return nil, err
		}
		dst = append(dst, r)
	}
	return dst, rows.Err()
}

// marks are n parameters from $first on.
func marks(first, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(",$"[1-min(i, 1):] + strconv.Itoa(first+i))
	}
	return b.String()
}

// insertChunks is for PostgreSQL: rows in the order of their ids, so that two writers with the same ones never wait for each other.
func (s *Store) insertChunks(ctx context.Context, tx *sql.Tx, records []usage.Record) (fresh, again []*usage.Record, err error) {
	order := make([]*usage.Record, len(records))
	for i := range records {
		order[i] = &records[i]
	}
	slices.SortStableFunc(order, func(a, b *usage.Record) int { return strings.Compare(a.ID, b.ID) })
	var args []any
	for chunk := range slices.Chunk(order, recordChunk) {
		args = args[:0]
		for _, r := range chunk {
			if args, err = recordValues(args, r); err != nil {
				return nil, nil, fmt.Errorf("insert record %s: %w", r.ID, err)
			}
		}
		text := fullInsert()
		if len(chunk) < recordChunk {
			text = insertText(len(chunk))
		}
		in, err := queryIDs(ctx, tx, text, args)
		if err != nil {
			return nil, nil, fmt.Errorf("insert records: %w", err)
		}
		for _, r := range chunk {
			if in[r.ID] {
				fresh = append(fresh, r)
				delete(in, r.ID) // should it be there twice
			} else {
				again = append(again, r)
			}
		}
	}
	return fresh, again, nil
}

func queryIDs(ctx context.Context, q querier, text string, args []any) (map[string]bool, error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what went wrong
	ids := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids[id] = true
	}
	return ids, rows.Err()
}

func insertOneByOne(ctx context.Context, tx *sql.Tx, records []usage.Record) (fresh, again []*usage.Record, err error) {
	if len(records) == 0 {
		return nil, nil, nil
	}
	insert, err := tx.PrepareContext(ctx, insertOne())
	if err != nil {
		return nil, nil, fmt.Errorf("insert records: %w", err)
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	var args []any
	for i := range records {
		if args, err = recordValues(args[:0], &records[i]); err != nil {
			return nil, nil, fmt.Errorf("insert record %s: %w", records[i].ID, err)
		}
		// A context that can end costs a goroutine for each statement.
		result, err := insert.ExecContext(context.WithoutCancel(ctx), args...)
		if err != nil {
			return nil, nil, fmt.Errorf("insert records: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil {
			return nil, nil, fmt.Errorf("insert records: %w", err)
		} else if n > 0 {
			fresh = append(fresh, &records[i])
		} else {
			again = append(again, &records[i])
		}
	}
	return fresh, again, nil
}

// InsertRecords stores records and books them, all or none. Those whose id is there already are left as they are.
func (s *Store) InsertRecords(ctx context.Context, records []usage.Record) error {
	_, err := s.AddRecords(ctx, records)
	return err
}

// AddRecords is InsertRecords, and tells how many were not there.
func (s *Store) AddRecords(ctx context.Context, records []usage.Record) (added int, err error) {
	_, err = s.booked(ctx, func(tx *sql.Tx, moved moves) ([]account.Spend, error) {
		fresh, gone, err := s.insertRecords(ctx, tx, records)
		if err != nil {
			return nil, err
		}
		added = len(fresh) - len(gone)
		return s.bookAll(ctx, tx, moved, fresh, gone)
	})
	return added, err
}

// SaveRecords stores records of a journal and the position behind them, and books what they cost, in one transaction. It gives the new
// spend of everybody who was charged. A record whose id is in already charges nobody again.
func (s *Store) SaveRecords(ctx context.Context, journal string, upTo usage.Position, records []usage.Record) ([]account.Spend, error) {
	return s.booked(ctx, func(tx *sql.Tx, moved moves) ([]account.Spend, error) {
		spends, err := s.bookIn(ctx, tx, records, moved)
		if err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO journal_position (journal, segment, position) VALUES ($1, $2, $3)
			ON CONFLICT (journal) DO UPDATE SET segment = excluded.segment, position = excluded.position`, journal, upTo.Segment, upTo.Offset)
		if err != nil {
			return nil, fmt.Errorf("save the journal's position: %w", err)
		}
		return spends, nil
	})
}

// JournalPosition is how far a journal's records are in; zero for a journal never seen.
func (s *Store) JournalPosition(ctx context.Context, journal string) (usage.Position, error) {
	var p usage.Position
	err := s.write.QueryRowContext(ctx, `SELECT segment, position FROM journal_position WHERE journal = $1`, journal).Scan(&p.Segment, &p.Offset)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return usage.Position{}, fmt.Errorf("read the journal's position: %w", err)
	}
	return p, nil
}
