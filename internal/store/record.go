package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/usage"
)

// recordColumns are the table's columns in the order of recordValues and scanRecord.
const recordColumns = `id, request_id, started, first_byte, ended, key_hash, key_alias, user_id, team_id, org_id, end_user, model, deployment,
	provider, upstream, api_base, dialect_in, dialect_out, op, stream, status, error_kind, incomplete, client_gone, attempts, input, output, total,
	cache_read, cache_write, cache_write_1h, reasoning, input_audio, output_audio, input_image, output_image, tool_input, web_searches, accepted,
	rejected, estimated, reasoning_known, cache_known, cost, priced, session, tags, dropped`

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
	u := &r.Usage
	return append(dst, r.ID, r.RequestID, r.Start, r.FirstByte, r.End, r.Key, r.KeyAlias, r.User, r.Team, r.Org, r.EndUser, r.Model, r.Deployment,
		r.Provider, r.Upstream, r.APIBase, string(r.In), string(r.Out), string(r.Op), r.Stream, int64(r.Status), string(r.ErrorKind), r.Incomplete,
		r.ClientGone, int64(r.Attempts), u.Input, u.Output, u.Total, u.CacheRead, u.CacheWrite, u.CacheWrite1h, u.Reasoning, u.InputAudio,
		u.OutputAudio, u.InputImage, u.OutputImage, u.ToolInput, u.WebSearches, u.Accepted, u.Rejected, u.Estimated, u.ReasoningKnown, u.CacheKnown,
		int64(r.Cost), r.Priced, r.Session, tags, dropped), nil
}

func scanRecord(rows *sql.Rows, r *usage.Record) error {
	u := &r.Usage
	var tags, dropped string
	err := rows.Scan(&r.ID, &r.RequestID, &r.Start, &r.FirstByte, &r.End, &r.Key, &r.KeyAlias, &r.User, &r.Team, &r.Org, &r.EndUser, &r.Model,
		&r.Deployment, &r.Provider, &r.Upstream, &r.APIBase, (*string)(&r.In), (*string)(&r.Out), (*string)(&r.Op), &r.Stream, &r.Status,
		(*string)(&r.ErrorKind), &r.Incomplete, &r.ClientGone, &r.Attempts, &u.Input, &u.Output, &u.Total, &u.CacheRead, &u.CacheWrite,
		&u.CacheWrite1h, &u.Reasoning, &u.InputAudio, &u.OutputAudio, &u.InputImage, &u.OutputImage, &u.ToolInput, &u.WebSearches, &u.Accepted,
		&u.Rejected, &u.Estimated, &u.ReasoningKnown, &u.CacheKnown, (*int64)(&r.Cost), &r.Priced, &r.Session, &tags, &dropped)
	if err != nil {
		return err
	}
	if r.Tags, err = unlist(tags); err != nil {
		return err
	}
	r.Dropped, err = unlist(dropped)
	return err
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
	b.WriteString(" ON CONFLICT (id) DO NOTHING")
	return b.String()
}

// insertOne is SQLite's statement. There a row of its own costs no round trip, and the parameters have no names: SQLite looks each name
// up by going through all of them, which took ten times as long as storing the record.
var insertOne = sync.OnceValue(func() string {
	columns := strings.Count(recordColumns, ",") + 1
	return "INSERT INTO records (" + recordColumns + ") VALUES (" + strings.Repeat("?,", columns-1) + "?) ON CONFLICT (id) DO NOTHING"
})

func (s *Store) insertRecords(ctx context.Context, tx *sql.Tx, records []usage.Record) error {
	if s.engine == "sqlite" {
		return insertOneByOne(ctx, tx, records)
	}
	var args []any
	for len(records) > 0 {
		n := min(len(records), recordChunk)
		args = args[:0]
		for i := range records[:n] {
			var err error
			if args, err = recordValues(args, &records[i]); err != nil {
				return fmt.Errorf("insert record %s: %w", records[i].ID, err)
			}
		}
		text := fullInsert()
		if n < recordChunk {
			text = insertText(n)
		}
		if _, err := tx.ExecContext(ctx, text, args...); err != nil {
			return fmt.Errorf("insert records: %w", err)
		}
		records = records[n:]
	}
	return nil
}

func insertOneByOne(ctx context.Context, tx *sql.Tx, records []usage.Record) (err error) {
	if len(records) == 0 {
		return nil
	}
	insert, err := tx.PrepareContext(ctx, insertOne())
	if err != nil {
		return fmt.Errorf("insert records: %w", err)
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	var args []any
	for i := range records {
		if args, err = recordValues(args[:0], &records[i]); err != nil {
			return fmt.Errorf("insert record %s: %w", records[i].ID, err)
		}
		if _, err = insert.ExecContext(context.WithoutCancel(ctx), args...); err != nil {
			return fmt.Errorf("insert records: %w", err)
		}
	}
	return nil
}

// InsertRecords stores records, all or none. Those whose id is there already are left as they are.
func (s *Store) InsertRecords(ctx context.Context, records []usage.Record) error {
	return s.tx(ctx, func(tx *sql.Tx) error { return s.insertRecords(ctx, tx, records) })
}

// SaveRecords stores records of a journal and the position behind them, in one transaction.
func (s *Store) SaveRecords(ctx context.Context, journal string, upTo usage.Position, records []usage.Record) error {
	return s.tx(ctx, func(tx *sql.Tx) error {
		if err := s.insertRecords(ctx, tx, records); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO journal_position (journal, segment, position) VALUES ($1, $2, $3)
			ON CONFLICT (journal) DO UPDATE SET segment = excluded.segment, position = excluded.position`, journal, upTo.Segment, upTo.Offset)
		if err != nil {
			return fmt.Errorf("save the journal's position: %w", err)
		}
		return nil
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

// RecordFilter chooses records; empty fields choose all.
type RecordFilter struct {
	ID         string
	RequestID  string
	Key        string // hash
	User       string
	Team       string
	EndUser    string
	Model      string
	Deployment string
	Session    string
	From, To   int64 // started, Unix milliseconds: From included, To not
	Failed     *bool // with or without an error
}

// where renders the filter as conditions that all must hold.
func (f *RecordFilter) where() (text string, args []any) {
	var b strings.Builder
	b.WriteString("1 = 1")
	and := func(condition string, value any) {
		args = append(args, value)
		b.WriteString(" AND " + condition + " $" + strconv.Itoa(len(args)))
	}
	for _, c := range []struct{ column, value string }{{"id", f.ID}, {"request_id", f.RequestID}, {"key_hash", f.Key}, {"user_id", f.User},
		{"team_id", f.Team}, {"end_user", f.EndUser}, {"model", f.Model}, {"deployment", f.Deployment}, {"session", f.Session}} {
		if c.value != "" {
			and(c.column+" =", c.value)
		}
	}
	if f.From != 0 {
		and("started >=", f.From)
	}
	if f.To != 0 {
		and("started <", f.To)
	}
	if f.Failed != nil {
		if *f.Failed {
			b.WriteString(" AND error_kind <> ''")
		} else {
			b.WriteString(" AND error_kind = ''")
		}
	}
	return b.String(), args
}

// Records lists records, newest first, limit at most. cursor is "" for the first page, then next of the page before; next is "" when
// there are no more.
func (s *Store) Records(ctx context.Context, f RecordFilter, limit int, cursor string) (records []usage.Record, next string, err error) {
	where, args := f.where()
	if cursor != "" {
		started, id, ok := strings.Cut(cursor, ".")
		at, err := strconv.ParseInt(started, 10, 64)
		if !ok || err != nil {
			return nil, "", llm.Invalid("cursor", "cursor is not one of ours")
		}
		args = append(args, at, id)
		n := len(args)
		where += fmt.Sprintf(" AND (started < $%d OR started = $%d AND id < $%d)", n-1, n-1, n)
	}
	limit = min(max(limit, 1), 1000)
	args = append(args, limit+1)
	rows, err := s.read.QueryContext(ctx, "SELECT "+recordColumns+" FROM records WHERE "+where+
		" ORDER BY started DESC, id DESC LIMIT $"+strconv.Itoa(len(args)), args...)
	if err != nil {
		return nil, "", fmt.Errorf("list records: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		var r usage.Record
		if err := scanRecord(rows, &r); err != nil {
			return nil, "", fmt.Errorf("list records: %w", err)
		}
		records = append(records, r)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("list records: %w", err)
	}
	if len(records) > limit {
		records = records[:limit]
		last := &records[limit-1]
		next = strconv.FormatInt(last.Start, 10) + "." + last.ID
	}
	return records, next, nil
}

// RecordSum is what the records of a filter come to.
type RecordSum struct {
	Calls  int64
	Failed int64
	Input  int64
	Output int64
	Cost   llm.Nanos
}

// SumRecords adds up the records of a filter.
func (s *Store) SumRecords(ctx context.Context, f RecordFilter) (RecordSum, error) {
	where, args := f.where()
	var sum RecordSum
	err := s.read.QueryRowContext(ctx, `SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN error_kind <> '' THEN 1 ELSE 0 END), 0) AS BIGINT),
		CAST(COALESCE(SUM(input), 0) AS BIGINT), CAST(COALESCE(SUM(output), 0) AS BIGINT), CAST(COALESCE(SUM(cost), 0) AS BIGINT)
		FROM records WHERE `+where, args...).Scan(&sum.Calls, &sum.Failed, &sum.Input, &sum.Output, (*int64)(&sum.Cost))
	if err != nil {
		return RecordSum{}, fmt.Errorf("sum records: %w", err)
	}
	return sum, nil
}
