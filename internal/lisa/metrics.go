package lisa

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// MetricsOptions is what the metrics routes need. Store and Identify are required.
type MetricsOptions struct {
	Store *store.Store
	// Identify finds who calls.
	Identify func(*http.Request) (*auth.Principal, *llm.Error)
	Log      *slog.Logger // nil: slog.Default
}

// Metrics answers LISA's metrics routes: what users did, as the store has booked it from their calls. Safe for concurrent use.
//
// /metrics/users/all is all users together. The user who is called "all", and one whose name no path can hold, is asked for with
// ?userId=all on /metrics/users.
type Metrics struct {
	o MetricsOptions
}

// NewMetrics makes the routes.
func NewMetrics(o MetricsOptions) *Metrics {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Metrics{o}
}

// Register adds the routes to mux under a prefix such as /api, or at its root if that is empty.
func (m *Metrics) Register(mux *http.ServeMux, prefix string) {
	for path, everyone := range metricsRoutes {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			mux.HandleFunc(method+" "+prefix+path, func(w http.ResponseWriter, r *http.Request) { m.serve(w, r, everyone) })
		}
	}
}

// metricsRoutes are the paths of users' metrics, all read with GET, and whether they are about everyone; openapi.json describes the same ones.
var metricsRoutes = map[string]bool{"/metrics/users": false, "/metrics/users/all": true, "/metrics/users/{userId...}": false}

func (m *Metrics) serve(w http.ResponseWriter, r *http.Request, everyone bool) {
	harden(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		m.fail(w, r, &problem{status: http.StatusMethodNotAllowed, name: "MethodNotAllowedError", message: "The method " + r.Method + " is not allowed here."})
		return
	}
	p, refused := m.o.Identify(r)
	if refused != nil {
		m.fail(w, r, refused)
		return
	}
	q, err := readQuery(r, everyone)
	if err == nil {
		err = q.allowed(p)
	}
	if err != nil {
		m.fail(w, r, err)
		return
	}
	answer := m.user
	switch {
	case q.all && q.csv:
		answer = m.usersCSV
	case q.all:
		answer = m.all
	case q.csv:
		answer = m.sessionsCSV
	}
	if err := answer(w, r, q); err != nil {
		m.fail(w, r, err)
	}
}

// query is what is asked for.
type query struct {
	user   string
	all    bool
	days   store.Days
	limit  int // sessions a page
	cursor string
	csv    bool
}

const (
	maxUser  = 1024 // bytes of a user's id
	maxPage  = 10_000
	someRows = 1000 // sessions a page, where the caller does not say, and rows at a time in CSV
)

func readQuery(r *http.Request, everyone bool) (*query, error) {
	v := r.URL.Query()
	q := &query{user: r.PathValue("userId"), limit: someRows, cursor: v.Get("cursor"), csv: wantsCSV(r)}
	if v.Has("userId") {
		q.user = v.Get("userId")
	} else {
		q.all = everyone
	}
	if q.user == "" && !q.all {
		return nil, wrong("userId", "Missing userId parameter")
	}
	if len(q.user) > maxUser || !utf8.ValidString(q.user) || containsControl(q.user) {
		return nil, wrong("userId", "Invalid userId parameter")
	}
	for _, d := range []struct {
		name string
		to   *string
	}{{"from", &q.days.From}, {"to", &q.days.To}} {
		*d.to = v.Get(d.name)
		if _, err := time.Parse(time.DateOnly, *d.to); *d.to != "" && err != nil {
			return nil, wrong(d.name, d.name+" must be a date, YYYY-MM-DD")
		}
	}
	if q.days.From != "" && q.days.To != "" && q.days.From > q.days.To {
		return nil, wrong("from", "from must not be after to")
	}
	if s := v.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPage {
			return nil, wrong("limit", "limit must be a number from 1 to "+strconv.Itoa(maxPage))
		}
		q.limit = n
	}
	if f := v.Get("format"); f != "" && f != "csv" && f != "json" {
		return nil, wrong("format", "format must be csv or json")
	}
	return q, nil
}

func wrong(field, message string) *problem {
	return &problem{http.StatusBadRequest, "InvalidInputError", message, []detail{{field, message}}}
}

func containsControl(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return true
		}
	}
	return false
}

// allowed lets administrators see everything and users themselves. A key that belongs to nobody has no metrics of its own: what it is called
// proves nothing.
func (q *query) allowed(p *auth.Principal) error {
	if p.Admin || p.Role == account.ProxyAdminViewer || !q.all && p.UserID != "" && p.UserID == q.user {
		return nil
	}
	return &problem{status: http.StatusForbidden, name: "AuthorizationError", message: "User does not have permission to read the metrics of others."}
}

// userBody is a user's metrics: the fields of LISA's documentation in their order, and ours behind them.
type userBody struct {
	Prompts  tally            `json:"totalPrompts"`
	RAG      tally            `json:"ragUsageCount"`
	Calls    tally            `json:"mcpToolCallsCount"`
	Tools    map[string]tally `json:"mcpToolUsage"`
	Groups   []string         `json:"userGroups"`
	Sessions sessionList      `json:"sessionMetrics"`
	First    instant          `json:"firstSeen"`
	Last     instant          `json:"lastSeen"`
	used
	Models map[string]used `json:"modelUsage"`
	Next   string          `json:"nextCursor,omitempty"`
}

// used is what calls used; the cost is in USD.
type used struct {
	Calls  int64   `json:"requests"`
	Input  int64   `json:"promptTokens"`
	Output int64   `json:"completionTokens"`
	Cost   float64 `json:"cost"`
}

func usedOf(t store.Tokens) used { return used{t.Calls, t.Input, t.Output, t.Spend.USD()} }

type sessionBody struct {
	RAG     tally            `json:"ragUsage"`
	Tools   map[string]tally `json:"mcpToolUsage"`
	Prompts tally            `json:"totalPrompts"`
	Calls   tally            `json:"mcpToolCallsCount"`
	used
	First instant `json:"firstSeen"`
	Last  instant `json:"lastSeen"`
}

// sessionList is an object of sessions, those used last first.
type sessionList []store.SessionMetrics

// MarshalJSONTo writes the object.
func (l sessionList) MarshalJSONTo(e *jsontext.Encoder) error {
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for i := range l {
		s := &l[i]
		if err := e.WriteToken(jsontext.String(s.Session)); err != nil {
			return err
		}
		body := sessionBody{tally(s.Retrieved), counts(s.Tools), tally(s.Prompts), tally(s.ToolCalls), usedOf(s.Tokens), instant(s.FirstSeen), instant(s.LastSeen)}
		if err := json.MarshalEncode(e, body, json.Deterministic(true)); err != nil {
			return err
		}
	}
	return e.WriteToken(jsontext.EndObject)
}

// allBody is everyone's metrics.
type allBody struct {
	Users        int64            `json:"totalUniqueUsers"`
	Prompts      tally            `json:"totalPrompts"`
	RAG          tally            `json:"totalRagUsage"`
	RAGPercent   jsontext.Value   `json:"ragUsagePercentage"`
	Calls        tally            `json:"totalMCPToolCalls"`
	CallsPercent jsontext.Value   `json:"mcpToolCallsPercentage"`
	Tools        map[string]tally `json:"mcpToolUsage"`
	Groups       map[string]int64 `json:"userGroups"`
	used
	Models map[string]used `json:"modelUsage"`
}

// tally is a counter, with the fraction that LISA's have.
type tally int64

// MarshalJSONTo writes the number.
func (c tally) MarshalJSONTo(e *jsontext.Encoder) error {
	return e.WriteValue(jsontext.Value(strconv.FormatInt(int64(c), 10) + ".0"))
}

func counts(m map[string]int64) map[string]tally {
	out := make(map[string]tally, len(m))
	for k, n := range m {
		out[k] = tally(n)
	}
	return out
}

// percent is a part of a whole, not rounded; 0 of nothing.
func percent(part, whole int64) jsontext.Value {
	if whole == 0 {
		return jsontext.Value("0")
	}
	b := strconv.AppendFloat(nil, float64(part)/float64(whole)*100, 'f', -1, 64)
	for _, c := range b {
		if c == '.' {
			return b
		}
	}
	return append(b, ".0"...)
}

// instant is a time in Unix milliseconds, written as LISA does: UTC, in microseconds, without a zone.
type instant int64

func (m instant) String() string {
	return time.UnixMilli(int64(m)).UTC().Format("2006-01-02T15:04:05.000000")
}

// MarshalJSONTo writes the time as a text.
func (m instant) MarshalJSONTo(e *jsontext.Encoder) error {
	return e.WriteToken(jsontext.String(m.String()))
}

// user answers with one user's metrics.
func (m *Metrics) user(w http.ResponseWriter, r *http.Request, q *query) error {
	ctx, s := r.Context(), m.o.Store
	u, err := s.UserMetrics(ctx, q.user, q.days)
	if err != nil {
		return unknownUser(err)
	}
	tools, err := s.ToolMetrics(ctx, q.user, q.days)
	if err != nil {
		return err
	}
	models, err := m.models(r, q.user, q.days)
	if err != nil {
		return err
	}
	sessions, next, err := s.SessionPage(ctx, q.user, q.days, q.limit, q.cursor)
	if err != nil {
		return err
	}
	return m.reply(w, http.StatusOK, map[string]userBody{q.user: {tally(u.Prompts), tally(u.Retrieved), tally(u.ToolCalls), counts(tools), u.Groups, sessions,
		instant(u.FirstSeen), instant(u.LastSeen), usedOf(u.Tokens), models, next}})
}

func unknownUser(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return &problem{status: http.StatusNotFound, name: "UserNotFoundError", message: "User not found in metrics database"}
	}
	return err
}

func (m *Metrics) models(r *http.Request, user string, days store.Days) (map[string]used, error) {
	models, err := m.o.Store.ModelMetrics(r.Context(), user, days)
	out := make(map[string]used, len(models))
	for name, t := range models {
		out[name] = usedOf(t)
	}
	return out, err
}

// all answers with everyone's metrics.
func (m *Metrics) all(w http.ResponseWriter, r *http.Request, q *query) error {
	e, err := m.o.Store.Everyone(r.Context(), q.days)
	if err != nil {
		return err
	}
	tools, err := m.o.Store.ToolMetrics(r.Context(), "", q.days)
	if err != nil {
		return err
	}
	models, err := m.models(r, "", q.days)
	if err != nil {
		return err
	}
	var sum used
	for _, u := range models {
		sum.Calls += u.Calls
		sum.Input += u.Input
		sum.Output += u.Output
		sum.Cost += u.Cost
	}
	return m.reply(w, http.StatusOK, allBody{e.Users, tally(e.Prompts), tally(e.Retrieved), percent(e.Retrieved, e.Prompts), tally(e.ToolCalls),
		percent(e.ToolCalls, e.Prompts), counts(tools), e.Groups, sum, models})
}

// reply writes the envelope that LISA's functions answer with, whose status is the real one here.
func (m *Metrics) reply(w http.ResponseWriter, status int, body any) error {
	b, err := json.Marshal(struct {
		Status int `json:"statusCode"`
		Body   any `json:"body"`
	}{status, body}, json.Deterministic(true))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b)
	return nil
}

func (m *Metrics) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.status >= http.StatusInternalServerError {
		m.o.Log.ErrorContext(r.Context(), "metrics call failed", "path", r.URL.Path, "error", err)
	}
	if p.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	err = m.reply(w, p.status, struct {
		Error   string   `json:"error"`
		Message string   `json:"message"`
		Details []detail `json:"details,omitempty"`
	}{p.name, p.message, p.details})
	if err != nil {
		m.o.Log.ErrorContext(r.Context(), "metrics error not encoded", "path", r.URL.Path, "error", err)
	}
}
