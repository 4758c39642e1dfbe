package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/usage"
)

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
	if records, err = scanRecords(rows, nil); err != nil {
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
