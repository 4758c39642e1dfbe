package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/usage"
)

// everyone is the user_id of the rows of metrics_day and metrics_tool that hold all users' sums.
const everyone = ""

// Scopes of metrics_tool.
const (
	scopeAll     = "all"
	scopeDay     = "day"
	scopeSession = "session"
)

// meter is what a batch of records adds to users' metrics, by the tables' keys.
type meter struct {
	users    map[string]*meterUser
	days     map[[3]string]*meterSums // user, date, model
	sessions map[[2]string]*meterSession
	tools    map[[4]string]int64 // user, scope, name, tool
}

type meterUser struct {
	Counts
	first, last int64
	groups      []string
	groupsAt    int64
}

type meterSums struct {
	Counts
	Tokens
}

type meterSession struct {
	meterSums
	first, last int64
}

func newMeter() meter {
	return meter{map[string]*meterUser{}, map[[3]string]*meterSums{}, map[[2]string]*meterSession{}, map[[4]string]int64{}}
}

// at is the value of a key, made if there is none.
func at[K comparable, V any](m map[K]*V, k K) *V {
	v := m[k]
	if v == nil {
		v = new(V)
		m[k] = v
	}
	return v
}

// add counts a record, or with sign -1 takes it back. Only records of lost calls are ever taken back; nobody knows what those asked, so
// that they count for what they cost alone.
func (m *meter) add(r *usage.Record, sign int64) {
	who := r.Person()
	answered := !r.Lost && (r.Status < 400 || r.Prompts > 0)
	if who == "" || !answered && r.Cost == 0 && r.Usage.Sum() == 0 {
		return
	}
	c := countsOf(r)
	t := Tokens{Calls: sign, Input: sign * r.Usage.Input, Output: sign * r.Usage.Output, Spend: llm.Nanos(sign) * r.Cost}
	date := (&day{number: floorDiv(r.Start, 86_400_000)}).date()
	for _, id := range [...]string{who, everyone} {
		d := at(m.days, [3]string{id, date, r.Model})
		d.Counts.add(c)
		d.Tokens.add(t)
	}
	if !answered {
		return
	}
	m.addUser(who, r, c)
	session := r.SessionID()
	if session != "" {
		s := at(m.sessions, [2]string{who, session})
		s.Counts.add(c)
		s.Tokens.add(t)
		s.first, s.last = span(s.first, s.last, r.Start)
	}
	for i := range r.Tools {
		name, n := r.Tools[i].Name, r.Tools[i].Calls
		m.tools[[4]string{who, scopeAll, "", name}] += n
		m.tools[[4]string{who, scopeDay, date, name}] += n
		m.tools[[4]string{everyone, scopeAll, "", name}] += n
		m.tools[[4]string{everyone, scopeDay, date, name}] += n
		if session != "" {
			m.tools[[4]string{who, scopeSession, session, name}] += n
		}
	}
}

func (m *meter) addUser(who string, r *usage.Record, c Counts) {
	u := at(m.users, who)
	u.Counts.add(c)
	u.first, u.last = span(u.first, u.last, r.Start)
	if len(r.Groups) > 0 && r.Start >= u.groupsAt {
		u.groups, u.groupsAt = r.Groups, r.Start
	}
}

func countsOf(r *usage.Record) (c Counts) {
	if r.Lost {
		return c
	}
	c.Prompts = r.Prompts
	if r.Retrieved {
		c.Retrieved = 1
	}
	for i := range r.Tools {
		c.ToolCalls += r.Tools[i].Calls
	}
	return c
}

// span is the time from first to last with one more moment in it; 0, 0 holds none.
func span(first, last, moment int64) (int64, int64) {
	if first == 0 && last == 0 {
		return moment, moment
	}
	return min(first, moment), max(last, moment)
}

// plus is the assignments that add excluded's columns to those that are there.
func plus(table, columns string) string {
	var sets []string
	for c := range strings.SplitSeq(columns, ", ") {
		sets = append(sets, c+" = "+table+"."+c+" + excluded."+c)
	}
	return strings.Join(sets, ", ")
}

// reach is the assignments that widen a row's time to excluded's.
func reach(table string) string {
	return "first_seen = CASE WHEN excluded.first_seen < " + table + ".first_seen THEN excluded.first_seen ELSE " + table + ".first_seen END, " +
		"last_seen = CASE WHEN excluded.last_seen > " + table + ".last_seen THEN excluded.last_seen ELSE " + table + ".last_seen END"
}

const (
	countColumns = "prompts, retrieved, tool_calls"
	tokenColumns = "calls, input, output, spend"
)

var (
	addMetricsUser = " ON CONFLICT (user_id) DO UPDATE SET " + plus("metrics_user", countColumns) + ", " + reach("metrics_user") +
		", in_groups = CASE WHEN excluded.groups_at > 0 AND excluded.groups_at >= metrics_user.groups_at THEN excluded.in_groups ELSE metrics_user.in_groups END" +
		", groups_at = CASE WHEN excluded.groups_at > metrics_user.groups_at THEN excluded.groups_at ELSE metrics_user.groups_at END"
	addMetricsDay     = " ON CONFLICT (user_id, date, model) DO UPDATE SET " + plus("metrics_day", countColumns+", "+tokenColumns)
	addMetricsSession = " ON CONFLICT (user_id, session) DO UPDATE SET " + plus("metrics_session", countColumns+", "+tokenColumns) + ", " + reach("metrics_session")
	addMetricsTool    = " ON CONFLICT (user_id, scope, name, tool) DO UPDATE SET " + plus("metrics_tool", "calls")
)

// save books what add counted, table by table and each in the order of its keys, see booked.
func (m *meter) save(ctx context.Context, tx *sql.Tx, engine string) error {
	users, err := m.userRows()
	if err != nil {
		return fmt.Errorf("book metrics: %w", err)
	}
	for _, step := range []struct {
		into, tail string
		rows       iter.Seq[[]any]
	}{
		{"metrics_user (user_id, " + countColumns + ", first_seen, last_seen, in_groups, groups_at)", addMetricsUser, slices.Values(users)},
		{"metrics_day (user_id, date, model, " + countColumns + ", " + tokenColumns + ")", addMetricsDay, m.dayRows()},
		{"metrics_session (user_id, session, " + countColumns + ", " + tokenColumns + ", first_seen, last_seen)", addMetricsSession, m.sessionRows()},
		{"metrics_tool (user_id, scope, name, tool, calls)", addMetricsTool, m.toolRows()},
	} {
		if err := upsert(ctx, tx, engine, step.into, step.tail, step.rows, nil); err != nil {
			return fmt.Errorf("book metrics: %w", err)
		}
	}
	return nil
}

func (m *meter) userRows() (rows [][]any, err error) {
	for _, id := range sortedKeys(m.users, strings.Compare) {
		u := m.users[id]
		groups, err := list(u.groups)
		if err != nil {
			return nil, err
		}
		rows = append(rows, []any{id, u.Prompts, u.Retrieved, u.ToolCalls, u.first, u.last, groups, u.groupsAt})
	}
	return rows, nil
}

func (m *meter) dayRows() iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		for _, k := range sortedKeys(m.days, compareArrays) {
			d := m.days[k]
			if *d != (meterSums{}) && !yield([]any{k[0], k[1], k[2], d.Prompts, d.Retrieved, d.ToolCalls, d.Calls, d.Input, d.Output, int64(d.Spend)}) {
				return
			}
		}
	}
}

func (m *meter) sessionRows() iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		for _, k := range sortedKeys(m.sessions, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
			s := m.sessions[k]
			if !yield([]any{k[0], k[1], s.Prompts, s.Retrieved, s.ToolCalls, s.Calls, s.Input, s.Output, int64(s.Spend), s.first, s.last}) {
				return
			}
		}
	}
}

func (m *meter) toolRows() iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		for _, k := range sortedKeys(m.tools, func(a, b [4]string) int { return slices.Compare(a[:], b[:]) }) {
			if !yield([]any{k[0], k[1], k[2], k[3], m.tools[k]}) {
				return
			}
		}
	}
}

func compareArrays(a, b [3]string) int { return slices.Compare(a[:], b[:]) }

func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	return keys
}
