package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/usage"
)

// RecordFilter chooses records; empty fields choose all.
type RecordFilter struct {
	ID         string
	RequestID  string
	Key        string // hash
	KeyAlias   string
	User       string
	Team       string
	Org        string
	EndUser    string
	Model      string
	Deployment string
	Provider   string
	Upstream   string // the provider's own name of the model
	Session    string
	Tag        string
	ErrorKind  llm.ErrorKind
	Status     int
	Keys       []string // one of these; nil: any, empty: none
	Users      []string
	Teams      []string
	From, To   int64      // started, Unix milliseconds: From included, To not
	MinCost    *llm.Nanos // at least
	MaxCost    *llm.Nanos // at most
	Failed     *bool      // with or without an error
	Lost       *bool      // made up for a replica that never came back
}

// where renders the filter as conditions that all must hold.
func (f *RecordFilter) where() (text string, args []any) {
	var b strings.Builder
	b.WriteString("1 = 1")
	and := func(condition string, value any) {
		args = append(args, value)
		b.WriteString(" AND " + condition + " $" + strconv.Itoa(len(args)))
	}
	for _, c := range []struct{ column, value string }{{"id", f.ID}, {"key_hash", f.Key}, {"key_alias", f.KeyAlias},
		{"user_id", f.User}, {"team_id", f.Team}, {"org_id", f.Org}, {"end_user", f.EndUser}, {"model", f.Model}, {"deployment", f.Deployment},
		{"provider", f.Provider}, {"upstream", f.Upstream}, {"session", f.Session}, {"error_kind", string(f.ErrorKind)}} {
		if c.value == "" {
			continue
		}
		and(c.column+" =", c.value)
		if c.column == "org_id" || c.column == "end_user" || c.column == "session" {
			b.WriteString(" AND " + c.column + " <> ''") // as the index says
		}
	}
	if f.RequestID != "" {
		args = append(args, f.RequestID)
		n := strconv.Itoa(len(args)) // each side has its index
		b.WriteString(" AND (id = $" + n + " AND request_id = $" + n + " OR request_id = $" + n + " AND request_id <> id)")
	}
	for _, c := range []struct {
		column string
		values []string
	}{{"key_hash", f.Keys}, {"user_id", f.Users}, {"team_id", f.Teams}} {
		args = in(&b, c.column, c.values, args)
	}
	if f.Tag != "" {
		and(`tags LIKE`, "%"+likeEscape.Replace(string(jsonText(f.Tag)))+"%")
		b.WriteString(` ESCAPE '\'`)
	}
	if f.Status != 0 {
		and("status =", int64(f.Status))
	}
	if f.From != 0 {
		and("started >=", f.From)
	}
	if f.To != 0 {
		and("started <", f.To)
	}
	if f.MinCost != nil {
		and("cost >=", int64(*f.MinCost))
	}
	if f.MaxCost != nil {
		and("cost <=", int64(*f.MaxCost))
	}
	b.WriteString(fact(f.Failed, " AND error_kind <> ''", " AND error_kind = ''"))
	b.WriteString(fact(f.Lost, " AND lost", " AND NOT lost"))
	return b.String(), args
}

func fact(is *bool, yes, no string) string {
	switch {
	case is == nil:
		return ""
	case *is:
		return yes
	}
	return no
}

var likeEscape = strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`)

// jsonText is a string as it stands in a list that was written as JSON.
func jsonText(s string) []byte {
	b, err := json.Marshal(strings.ToValidUTF8(s, "\ufffd"))
	if err != nil {
		return nil // no string of valid UTF-8 is refused
	}
	return b
}

// in adds that the column is one of the values; nil values say nothing.
func in(b *strings.Builder, column string, values []string, args []any) []any {
	if values == nil {
		return args
	}
	if len(values) == 0 {
		b.WriteString(" AND 1 = 0")
		return args
	}
	b.WriteString(" AND " + column + " IN (" + marks(len(args)+1, len(values)) + ")")
	for _, v := range values {
		args = append(args, v)
	}
	return args
}

// Page is a part of a list.
type Page struct {
	Sort   string // "" or started: by age; ended, cost, total, input, output, model, status, first_byte
	Desc   bool
	Limit  int // at most 1000; 0: 1000
	Offset int
}

// RecordPage lists a page of records, and how many there are.
func (s *Store) RecordPage(ctx context.Context, f RecordFilter, p Page) (records []usage.Record, total int64, err error) {
	where, args := f.where()
	if err := s.read.QueryRowContext(ctx, "SELECT COUNT(*) FROM records WHERE "+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count records: %w", err)
	}
	switch p.Sort {
	case "":
		p.Sort = "started"
	case "started", "ended", "cost", "total", "input", "output", "model", "status", "first_byte":
	default:
		return nil, 0, fmt.Errorf("list records: they are not sorted by %q", p.Sort)
	}
	if total <= int64(p.Offset) {
		return nil, total, nil
	}
	direction := fact(&p.Desc, " DESC", "")
	if p.Limit <= 0 || p.Limit > 1000 {
		p.Limit = 1000
	}
	args = append(args, p.Limit, max(p.Offset, 0))
	rows, err := s.read.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM records WHERE %s ORDER BY %s%s, id%s LIMIT $%d OFFSET $%d", recordColumns, where,
		p.Sort, direction, direction, len(args)-1, len(args)), args...)
	if err != nil {
		return nil, 0, fmt.Errorf("list records: %w", err)
	}
	if records, err = scanRecords(rows, nil); err != nil {
		return nil, 0, fmt.Errorf("list records: %w", err)
	}
	return records, total, nil
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

// LastUsed is when each of these keys was last used, in Unix milliseconds; a key that never was is not in it. However many calls a key has
// made, it costs one look into the index.
func (s *Store) LastUsed(ctx context.Context, keys ...string) (map[string]int64, error) {
	out := map[string]int64{}
	for chunk := range slices.Chunk(keys, 500) {
		args := make([]any, len(chunk))
		for i, k := range chunk {
			args[i] = k
		}
		rows, err := s.read.QueryContext(ctx, `SELECT id, (SELECT MAX(started) FROM records WHERE key_hash = keys.id) FROM keys WHERE id IN (`+
			marks(1, len(chunk))+`)`, args...)
		if err != nil {
			return nil, fmt.Errorf("last uses of keys: %w", err)
		}
		for rows.Next() {
			var key string
			var used sql.NullInt64
			if err := rows.Scan(&key, &used); err != nil {
				rows.Close()
				return nil, fmt.Errorf("last uses of keys: %w", err)
			}
			if used.Valid {
				out[key] = used.Int64
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, fmt.Errorf("last uses of keys: %w", err)
		}
	}
	return out, nil
}
