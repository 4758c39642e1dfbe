package lisa

import (
	"encoding/csv"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/store"
)

// wantsCSV tells whether the caller asks for a table.
func wantsCSV(r *http.Request) bool {
	switch r.URL.Query().Get("format") {
	case "csv":
		return true
	case "":
		kind, _, _ := strings.Cut(r.Header.Get("Accept"), ",")
		kind, _, _ = strings.Cut(kind, ";")
		return strings.EqualFold(strings.TrimSpace(kind), "text/csv")
	}
	return false
}

// table writes an answer as CSV, page by page. The status goes out with the first page, so that what fails before is still an error.
type table struct {
	w     http.ResponseWriter
	out   *csv.Writer
	begun bool
}

func (t *table) begin(file string, head ...string) {
	h := t.w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+file+`"`)
	t.out, t.begun = csv.NewWriter(t.w), true
	_ = t.out.Write(head) // its errors are kept, see flush
}

// row writes cells. Names are the clients' own choice: one that a spreadsheet would take for a formula gets a quote before it.
func (t *table) row(cells ...string) {
	for i, c := range cells {
		if c != "" && strings.ContainsRune("=+-@\t\r", rune(c[0])) {
			cells[i] = "'" + c
		}
	}
	_ = t.out.Write(cells)
}

// flush sends what was written, and reports whether the client still listens.
func (t *table) flush() bool {
	t.out.Flush()
	return t.out.Error() == nil
}

// broke ends an answer that cannot be finished: the connection is cut, so that half a table is not taken for a whole one.
func (t *table) broke(err error) error {
	if t.begun {
		panic(http.ErrAbortHandler)
	}
	return err
}

// sessionsCSV answers with a row for each session of a user.
func (m *Metrics) sessionsCSV(w http.ResponseWriter, r *http.Request, q *query) error {
	if _, err := m.o.Store.UserMetrics(r.Context(), q.user, q.days); err != nil {
		return unknownUser(err)
	}
	t := &table{w: w}
	for cursor := q.cursor; ; {
		page, next, err := m.o.Store.SessionPage(r.Context(), q.user, q.days, someRows, cursor)
		if err != nil {
			return t.broke(err)
		}
		if !t.begun {
			t.begin("sessions.csv", "userId", "sessionId", "totalPrompts", "ragUsage", "mcpToolCallsCount", "mcpToolUsage", "requests", "promptTokens",
				"completionTokens", "cost", "firstSeen", "lastSeen")
		}
		for i := range page {
			s := &page[i]
			t.row(slices.Concat([]string{q.user, s.Session}, countCells(s.Counts), []string{toolsCell(s.Tools)}, tokenCells(s.Tokens),
				[]string{instant(s.FirstSeen).String(), instant(s.LastSeen).String()})...)
		}
		if !t.flush() || next == "" {
			return nil
		}
		cursor = next
	}
}

// usersCSV answers with a row for each user.
func (m *Metrics) usersCSV(w http.ResponseWriter, r *http.Request, q *query) error {
	t := &table{w: w}
	for after := ""; ; {
		page, err := m.o.Store.UserPage(r.Context(), q.days, after, someRows)
		if err != nil {
			return t.broke(err)
		}
		if !t.begun {
			t.begin("users.csv", "userId", "userGroups", "totalPrompts", "ragUsageCount", "mcpToolCallsCount", "requests", "promptTokens", "completionTokens",
				"cost", "firstSeen", "lastSeen")
		}
		for i := range page {
			u := &page[i]
			t.row(slices.Concat([]string{u.User, strings.Join(u.Groups, ";")}, countCells(u.Counts), tokenCells(u.Tokens),
				[]string{instant(u.FirstSeen).String(), instant(u.LastSeen).String()})...)
		}
		if !t.flush() || len(page) < someRows {
			return nil
		}
		after = page[len(page)-1].User
	}
}

func countCells(c store.Counts) []string {
	return []string{number(c.Prompts), number(c.Retrieved), number(c.ToolCalls)}
}

func tokenCells(t store.Tokens) []string {
	return []string{number(t.Calls), number(t.Input), number(t.Output), strconv.FormatFloat(t.Spend.USD(), 'f', -1, 64)}
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// toolsCell is name=calls of each tool, by name.
func toolsCell(tools map[string]int64) string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(tools)) {
		b.WriteString(";"[:min(i, 1)] + name + "=" + number(tools[name]))
	}
	return b.String()
}
