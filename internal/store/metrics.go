package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/llm"
)

// Counts is what users did.
type Counts struct {
	Prompts   int64 // new user messages
	Retrieved int64 // calls with retrieved context
	ToolCalls int64
}

func (c *Counts) add(o Counts) {
	c.Prompts += o.Prompts
	c.Retrieved += o.Retrieved
	c.ToolCalls += o.ToolCalls
}

// Tokens is what their calls used.
type Tokens struct {
	Calls  int64
	Input  int64
	Output int64
	Spend  llm.Nanos
}

func (t *Tokens) add(o Tokens) {
	t.Calls += o.Calls
	t.Input += o.Input
	t.Output += o.Output
	t.Spend += o.Spend
}

// Days are UTC days as YYYY-MM-DD, both included; "": open.
type Days struct{ From, To string }

// open says that all time is asked for.
func (d Days) open() bool { return d.From == "" && d.To == "" }

// and renders the days as further conditions on a column of dates.
func (d Days) and(column string, args []any) (string, []any) {
	text := ""
	if d.From != "" {
		args = append(args, d.From)
		text += " AND " + column + " >= $" + strconv.Itoa(len(args))
	}
	if d.To != "" {
		args = append(args, d.To)
		text += " AND " + column + " <= $" + strconv.Itoa(len(args))
	}
	return text, args
}

// moments are the days as milliseconds: from included, to not; 0: open.
func (d Days) moments() (from, to int64, err error) {
	if d.From != "" {
		t, err := time.Parse(time.DateOnly, d.From)
		if err != nil {
			return 0, 0, err
		}
		from = t.UnixMilli()
	}
	if d.To != "" {
		t, err := time.Parse(time.DateOnly, d.To)
		if err != nil {
			return 0, 0, err
		}
		to = t.AddDate(0, 0, 1).UnixMilli()
	}
	return from, to, nil
}

// UserMetrics is what one user did. First and last seen and the groups are of all time, whatever days were asked for.
type UserMetrics struct {
	User string
	Counts
	Tokens
	Groups              []string
	FirstSeen, LastSeen int64
}

// SessionMetrics is what a user did in one session.
type SessionMetrics struct {
	Session string
	Counts
	Tokens
	Tools               map[string]int64
	FirstSeen, LastSeen int64
}

// Everyone is what all users did together.
type Everyone struct {
	Users int64
	Counts
	Groups map[string]int64 // how many users are in each
}

// sumOf is the sums of columns, 0 where there are no rows.
func sumOf(columns string) string {
	var out []string
	for c := range strings.SplitSeq(columns, ", ") {
		out = append(out, "CAST(COALESCE(SUM("+c+"), 0) AS BIGINT)")
	}
	return strings.Join(out, ", ")
}

// UserMetrics tells what a user did. ErrNotFound: nobody by that name has ever been answered.
func (s *Store) UserMetrics(ctx context.Context, user string, days Days) (*UserMetrics, error) {
	m := &UserMetrics{User: user}
	var groups string
	err := s.read.QueryRowContext(ctx, `SELECT prompts, retrieved, tool_calls, first_seen, last_seen, in_groups FROM metrics_user WHERE user_id = $1`, user).
		Scan(&m.Prompts, &m.Retrieved, &m.ToolCalls, &m.FirstSeen, &m.LastSeen, &groups)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err == nil {
		m.Groups, err = unlist(groups)
	}
	if err != nil {
		return nil, fmt.Errorf("read metrics of a user: %w", err)
	}
	and, args := days.and("date", []any{user})
	var c Counts
	err = s.read.QueryRowContext(ctx, "SELECT "+sumOf(countColumns+", "+tokenColumns)+" FROM metrics_day WHERE user_id = $1"+and, args...).
		Scan(&c.Prompts, &c.Retrieved, &c.ToolCalls, &m.Calls, &m.Input, &m.Output, (*int64)(&m.Spend))
	if err != nil {
		return nil, fmt.Errorf("read metrics of a user: %w", err)
	}
	if !days.open() {
		m.Counts = c
	}
	return m, nil
}

// ToolMetrics tells how often each tool was called for a user; "": for all.
func (s *Store) ToolMetrics(ctx context.Context, user string, days Days) (map[string]int64, error) {
	scope := scopeAll
	if !days.open() {
		scope = scopeDay
	}
	and, args := days.and("name", []any{user, scope})
	rows, err := s.read.QueryContext(ctx, "SELECT tool, "+sumOf("calls")+" FROM metrics_tool WHERE user_id = $1 AND scope = $2"+and+" GROUP BY tool", args...)
	if err != nil {
		return nil, fmt.Errorf("read metrics of tools: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	out := map[string]int64{}
	for rows.Next() {
		var tool string
		var n int64
		if err := rows.Scan(&tool, &n); err != nil {
			return nil, fmt.Errorf("read metrics of tools: %w", err)
		}
		out[tool] = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read metrics of tools: %w", err)
	}
	return out, nil
}

// ModelMetrics tells what a user used of each model; "": all users.
func (s *Store) ModelMetrics(ctx context.Context, user string, days Days) (map[string]Tokens, error) {
	and, args := days.and("date", []any{user})
	rows, err := s.read.QueryContext(ctx, "SELECT model, "+sumOf(tokenColumns)+" FROM metrics_day WHERE user_id = $1"+and+" GROUP BY model", args...)
	if err != nil {
		return nil, fmt.Errorf("read metrics of models: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	out := map[string]Tokens{}
	for rows.Next() {
		var model string
		var t Tokens
		if err := rows.Scan(&model, &t.Calls, &t.Input, &t.Output, (*int64)(&t.Spend)); err != nil {
			return nil, fmt.Errorf("read metrics of models: %w", err)
		}
		out[model] = t
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read metrics of models: %w", err)
	}
	return out, nil
}

// Everyone tells what all users did together; of some days, of the users who called then.
func (s *Store) Everyone(ctx context.Context, days Days) (*Everyone, error) {
	e := &Everyone{Groups: map[string]int64{}}
	of, args := "", []any(nil)
	if !days.open() {
		and, with := days.and("date", []any{everyone})
		of, args = " WHERE user_id IN (SELECT user_id FROM metrics_day WHERE user_id <> $1"+and+")", with
		err := s.read.QueryRowContext(ctx, "SELECT "+sumOf(countColumns)+" FROM metrics_day WHERE user_id = $1"+and, args...).
			Scan(&e.Prompts, &e.Retrieved, &e.ToolCalls)
		if err != nil {
			return nil, fmt.Errorf("read metrics of all: %w", err)
		}
	}
	rows, err := s.read.QueryContext(ctx, "SELECT in_groups, COUNT(*), "+sumOf(countColumns)+" FROM metrics_user"+of+" GROUP BY in_groups", args...)
	if err != nil {
		return nil, fmt.Errorf("read metrics of all: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		var text string
		var users int64
		var c Counts
		if err := rows.Scan(&text, &users, &c.Prompts, &c.Retrieved, &c.ToolCalls); err != nil {
			return nil, fmt.Errorf("read metrics of all: %w", err)
		}
		groups, err := unlist(text)
		if err != nil {
			return nil, fmt.Errorf("read metrics of all: %w", err)
		}
		e.Users += users
		for i, g := range groups {
			if !slices.Contains(groups[:i], g) {
				e.Groups[g] += users
			}
		}
		if days.open() {
			e.Counts.add(c)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read metrics of all: %w", err)
	}
	return e, nil
}

// UserPage lists users by name, those after one at first, limit at most: for the next page, pass the last one's name. Of some days, it is
// the users who called then.
func (s *Store) UserPage(ctx context.Context, days Days, after string, limit int) ([]UserMetrics, error) {
	and, args := days.and("date", []any{after, limit})
	join := "LEFT JOIN"
	if !days.open() {
		join = "JOIN"
	}
	// The counts of a user are those of their days: every record is booked in both.
	rows, err := s.read.QueryContext(ctx, "SELECT u.user_id, u.first_seen, u.last_seen, u.in_groups, "+sumOf("d.prompts, d.retrieved, d.tool_calls, d.calls, d.input, d.output, d.spend")+
		" FROM metrics_user u "+join+" metrics_day d ON d.user_id = u.user_id"+and+
		" WHERE u.user_id > $1 GROUP BY u.user_id, u.first_seen, u.last_seen, u.in_groups ORDER BY u.user_id LIMIT $2", args...)
	if err != nil {
		return nil, fmt.Errorf("list metrics of users: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	var out []UserMetrics
	for rows.Next() {
		var m UserMetrics
		var groups string
		if err := rows.Scan(&m.User, &m.FirstSeen, &m.LastSeen, &groups, &m.Prompts, &m.Retrieved, &m.ToolCalls, &m.Calls, &m.Input, &m.Output,
			(*int64)(&m.Spend)); err != nil {
			return nil, fmt.Errorf("list metrics of users: %w", err)
		}
		if m.Groups, err = unlist(groups); err != nil {
			return nil, fmt.Errorf("list metrics of users: %w", err)
		}
		out = append(out, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list metrics of users: %w", err)
	}
	return out, nil
}

// SessionPage lists the sessions of a user that were going on in some days, those used last first, with all that was done in them. cursor
// is "" for the first page, then next of the page before; next is "" when there are no more.
func (s *Store) SessionPage(ctx context.Context, user string, days Days, limit int, cursor string) (sessions []SessionMetrics, next string, err error) {
	where, args, err := sessionWhere(user, days, cursor)
	if err != nil {
		return nil, "", err
	}
	args = append(args, limit+1)
	rows, err := s.read.QueryContext(ctx, "SELECT session, "+countColumns+", "+tokenColumns+", first_seen, last_seen FROM metrics_session WHERE "+where+
		" ORDER BY last_seen DESC, session DESC LIMIT $"+strconv.Itoa(len(args)), args...)
	if err != nil {
		return nil, "", fmt.Errorf("list metrics of sessions: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		m := SessionMetrics{Tools: map[string]int64{}}
		if err := rows.Scan(&m.Session, &m.Prompts, &m.Retrieved, &m.ToolCalls, &m.Calls, &m.Input, &m.Output, (*int64)(&m.Spend), &m.FirstSeen,
			&m.LastSeen); err != nil {
			return nil, "", fmt.Errorf("list metrics of sessions: %w", err)
		}
		sessions = append(sessions, m)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("list metrics of sessions: %w", err)
	}
	if len(sessions) > limit {
		sessions = sessions[:limit]
		last := &sessions[limit-1]
		next = strconv.FormatInt(last.LastSeen, 10) + "." + last.Session
	}
	return sessions, next, s.sessionTools(ctx, user, sessions)
}

func sessionWhere(user string, days Days, cursor string) (string, []any, error) {
	where, args := "user_id = $1", []any{user}
	from, to, err := days.moments()
	if err != nil {
		return "", nil, fmt.Errorf("list metrics of sessions: %w", err)
	}
	if from != 0 {
		args = append(args, from)
		where += " AND last_seen >= $" + strconv.Itoa(len(args))
	}
	if to != 0 {
		args = append(args, to)
		where += " AND first_seen < $" + strconv.Itoa(len(args))
	}
	if cursor != "" {
		seen, session, ok := strings.Cut(cursor, ".")
		last, err := strconv.ParseInt(seen, 10, 64)
		if !ok || err != nil {
			return "", nil, llm.Invalid("cursor", "cursor is not one of ours")
		}
		args = append(args, last, session)
		n := len(args)
		where += fmt.Sprintf(" AND (last_seen < $%d OR last_seen = $%d AND session < $%d)", n-1, n-1, n)
	}
	return where, args, nil
}

// sessionTools fills in the tools of sessions.
func (s *Store) sessionTools(ctx context.Context, user string, sessions []SessionMetrics) error {
	for chunk := range slices.Chunk(sessions, 500) {
		args := []any{user, scopeSession}
		place := make(map[string]int, len(chunk))
		for i := range chunk {
			args = append(args, chunk[i].Session)
			place[chunk[i].Session] = i
		}
		rows, err := s.read.QueryContext(ctx, "SELECT name, tool, calls FROM metrics_tool WHERE user_id = $1 AND scope = $2 AND name IN ("+
			marks(3, len(chunk))+")", args...)
		if err != nil {
			return fmt.Errorf("list tools of sessions: %w", err)
		}
		if err := scanTools(rows, chunk, place); err != nil {
			return fmt.Errorf("list tools of sessions: %w", err)
		}
	}
	return nil
}

func scanTools(rows *sql.Rows, sessions []SessionMetrics, place map[string]int) error {
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		var session, tool string
		var n int64
		if err := rows.Scan(&session, &tool, &n); err != nil {
			return err
		}
		sessions[place[session]].Tools[tool] = n
	}
	return rows.Err()
}
