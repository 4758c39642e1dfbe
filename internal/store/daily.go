package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// Dim is what sums of spend are grouped by.
type Dim string

// The dimensions of a day's sums.
const (
	ByDate       Dim = "date" // YYYY-MM-DD, UTC
	ByTag        Dim = "tag"
	ByKey        Dim = "key_hash"
	ByUser       Dim = "user_id"
	ByTeam       Dim = "team_id"
	ByOrg        Dim = "org_id"
	ByEndUser    Dim = "end_user"
	ByModel      Dim = "model" // the public name that was asked for
	ByDeployment Dim = "deployment"
	ByProvider   Dim = "provider"
	ByUpstream   Dim = "upstream"   // the provider's own name of the model
	ByOp         Dim = "op"         // llm.Op
	ByDialect    Dim = "dialect_in" // llm.Dialect of the client
)

var dims = []Dim{ByDate, ByTag, ByKey, ByUser, ByTeam, ByOrg, ByEndUser, ByModel, ByDeployment, ByProvider, ByUpstream, ByOp, ByDialect}

// Sums is what calls come to.
type Sums struct {
	Spend      llm.Nanos
	Input      int64 // tokens
	Output     int64
	Total      int64
	CacheRead  int64
	CacheWrite int64
	Calls      int64
	Failed     int64
	TimeMS     int64 // of the Timed calls together
	Timed      int64
}

// DailyQuery asks for sums over days.
type DailyQuery struct {
	From, To string           // YYYY-MM-DD, both included; "": open
	In       map[Dim][]string // the dimension is one of the values
	Not      map[Dim][]string // and none of these; "" leaves out what has none
	By       []Dim            // empty: one group of everything
	// Sort is "" (by the dimensions of By in turn), "spend", "calls", "total" or one of By. Ties go by By.
	Sort   string
	Desc   bool
	Limit  int // groups; at most 10000; 0: 10000
	Offset int
}

// Group is the sums of one combination of By's values.
type Group struct {
	Names []string // in the order of By
	Sums
}

// Daily sums up days, and says how many groups there are without Limit and Offset. A call counts once, except where tags are asked for:
// then for each of its tags.
func (s *Store) Daily(ctx context.Context, q DailyQuery) (groups []Group, total int64, err error) {
	where, args, err := q.where()
	if err != nil {
		return nil, 0, err
	}
	var by []string
	for _, d := range q.By {
		if !slices.Contains(dims, d) {
			return nil, 0, fmt.Errorf("sum up days: no dimension %q", d)
		}
		by = append(by, string(d))
	}
	order, err := q.order(by)
	if err != nil {
		return nil, 0, err
	}
	columns := strings.Join(by, ", ")
	group := ""
	if len(by) > 0 {
		group = " GROUP BY " + columns
		err := s.read.QueryRowContext(ctx, "SELECT COUNT(*) FROM (SELECT 1 AS one FROM daily WHERE "+where+group+") AS g", args...).Scan(&total)
		if err != nil {
			return nil, 0, fmt.Errorf("sum up days: %w", err)
		}
		columns += ", "
	} else {
		total = 1
	}
	if q.Limit <= 0 || q.Limit > 10_000 {
		q.Limit = 10_000
	}
	args = append(args, q.Limit, max(q.Offset, 0))
	rows, err := s.read.QueryContext(ctx, "SELECT "+columns+sumColumns+" FROM daily WHERE "+where+group+order+
		" LIMIT $"+strconv.Itoa(len(args)-1)+" OFFSET $"+strconv.Itoa(len(args)), args...)
	if err != nil {
		return nil, 0, fmt.Errorf("sum up days: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		g := Group{Names: make([]string, len(by))}
		var to []any
		for i := range g.Names {
			to = append(to, &g.Names[i])
		}
		if err := rows.Scan(append(to, (*int64)(&g.Spend), &g.Input, &g.Output, &g.Total, &g.CacheRead, &g.CacheWrite, &g.Calls, &g.Failed, &g.TimeMS,
			&g.Timed)...); err != nil {
			return nil, 0, fmt.Errorf("sum up days: %w", err)
		}
		groups = append(groups, g)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("sum up days: %w", err)
	}
	return groups, total, nil
}

// sumColumns are the fields of Sums in turn.
var sumColumns = func() string {
	var out []string
	for _, c := range []string{"spend", "input", "output", "total", "cache_read", "cache_write", "calls", "failed", "time_ms", "timed"} {
		out = append(out, "CAST(COALESCE(SUM("+c+"), 0) AS BIGINT) AS sum_"+c)
	}
	return strings.Join(out, ", ")
}()

func (q *DailyQuery) where() (string, []any, error) {
	var b strings.Builder
	var args []any
	b.WriteString("tag = ''")
	if slices.Contains(q.By, ByTag) || q.In[ByTag] != nil {
		b.Reset()
		b.WriteString("tag <> ''")
	}
	for _, d := range dims {
		if values, ok := q.In[d]; ok {
			if values == nil {
				values = []string{} // none, as in Query
			}
			args = in(&b, string(d), values, args)
		}
	}
	for _, d := range dims {
		if values := q.Not[d]; len(values) > 0 {
			b.WriteString(" AND NOT (1 = 1")
			args = in(&b, string(d), values, args)
			b.WriteString(")")
		}
	}
	for _, m := range []map[Dim][]string{q.In, q.Not} {
		for d := range m {
			if !slices.Contains(dims, d) {
				return "", nil, fmt.Errorf("sum up days: no dimension %q", d)
			}
		}
	}
	if q.From != "" {
		args = append(args, q.From)
		b.WriteString(" AND date >= $" + strconv.Itoa(len(args)))
	}
	if q.To != "" {
		args = append(args, q.To)
		b.WriteString(" AND date <= $" + strconv.Itoa(len(args)))
	}
	return b.String(), args, nil
}

func (q *DailyQuery) order(by []string) (string, error) {
	if len(by) == 0 {
		return "", nil
	}
	direction := fact(&q.Desc, " DESC", "")
	var order []string
	switch {
	case q.Sort == "spend" || q.Sort == "calls" || q.Sort == "total":
		order = append(order, "sum_"+q.Sort+direction)
		direction = ""
	case slices.Contains(by, q.Sort):
		order = append(order, q.Sort+direction)
		direction = ""
	case q.Sort != "":
		return "", fmt.Errorf("sum up days: they are not sorted by %q", q.Sort)
	}
	for _, c := range by {
		if c != q.Sort {
			order = append(order, c+direction)
		}
	}
	return " ORDER BY " + strings.Join(order, ", "), nil
}

// RecordCount is how many records have the same values of RecordCounts' columns.
type RecordCount struct {
	Day        int64 // since 1970, UTC
	Model      string
	Deployment string
	ErrorKind  llm.ErrorKind
	Calls      int64
}

// RecordCounts counts records by day, model, deployment and kind of error: what failed, and where. At most 10000 lines.
func (s *Store) RecordCounts(ctx context.Context, f RecordFilter) ([]RecordCount, error) {
	where, args := f.where()
	rows, err := s.read.QueryContext(ctx, "SELECT started / 86400000 AS day, model, deployment, error_kind, COUNT(*) FROM records WHERE "+where+
		" GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LIMIT 10000", args...)
	if err != nil {
		return nil, fmt.Errorf("count records: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	var out []RecordCount
	for rows.Next() {
		var c RecordCount
		if err := rows.Scan(&c.Day, &c.Model, &c.Deployment, (*string)(&c.ErrorKind), &c.Calls); err != nil {
			return nil, fmt.Errorf("count records: %w", err)
		}
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count records: %w", err)
	}
	return out, nil
}
