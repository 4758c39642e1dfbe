package api

import (
	"context"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

func (a *API) spendRoutes() []route {
	return []route{
		{"GET", "/spend/logs", anyone, typed(a.spendLogs)},
		{"GET", "/spend/logs/v2", anyone, typed(a.spendLogsV2)},
		{"GET", "/spend/logs/ui", anyone, typed(a.spendLogsUI)},
		{"GET", "/spend/logs/session/ui", anyone, typed(a.spendLogsSession)},
		{"GET", "/spend/logs/ui/{request_id}", anyone, typed(a.spendLogOne)},
		{"GET", "/spend/keys", anyone, typed(a.spendKeys)},
		{"GET", "/spend/users", anyone, typed(a.spendUsers)},
		{"GET", "/spend/tags", anyone, typed(a.spendTags)},
		{"POST", "/spend/calculate", anyone, typed(a.spendCalculate)},
		{"POST", "/cost/estimate", anyone, typed(a.costEstimate)},
		{"GET", "/provider/budgets", readers, typed(a.providerBudgets)},
		{"GET", "/global/spend", anyone, typed(a.globalSpend)},
		{"GET", "/global/spend/logs", anyone, typed(a.globalSpendLogs)},
		{"GET", "/global/spend/keys", anyone, typed(a.globalSpendKeys)},
		{"GET", "/global/spend/teams", anyone, typed(a.globalSpendTeams)},
		{"GET", "/global/spend/models", anyone, typed(a.globalSpendModels)},
		{"POST", "/global/spend/end_users", anyone, typed(a.globalSpendEndUsers)},
		{"GET", "/global/spend/provider", anyone, typed(a.globalSpendProviders)},
		{"GET", "/global/spend/tags", anyone, typed(a.globalSpendTags)},
		{"GET", "/global/spend/all_tag_names", anyone, typed(a.globalTagNames)},
		{"GET", "/global/spend/report", anyone, typed(a.spendReport)},
		{"GET", "/key/spend/report", anyone, typed(a.keyReport)},
		{"GET", "/user/spend/report", anyone, typed(a.userReport)},
		{"GET", "/team/spend/report", anyone, typed(a.teamReport)},
		{"GET", "/organization/spend/report", anyone, typed(a.orgReport)},
		{"POST", "/global/spend/reset", admins, typed(a.globalSpendReset)},
		{"POST", "/global/spend/refresh", admins, typed(a.globalSpendRefresh)},
		{"GET", "/global/all_end_users", anyone, typed(a.globalEndUsers)},
	}
}

// own narrows sums down to what the caller may see: everything for those who see everything, else what its user spent with whatever key,
// or, for a key of no user, what that key spent.
func (c *caller) own(in map[store.Dim][]string) map[store.Dim][]string {
	if in == nil {
		in = map[store.Dim][]string{}
	}
	switch {
	case c.reader():
	case c.user != "":
		in[store.ByUser] = []string{c.user}
	default:
		in[store.ByKey] = []string{c.key}
	}
	return in
}

// ownRecords is own for records.
func (c *caller) ownRecords(f *store.RecordFilter) {
	switch {
	case c.reader():
	case c.user != "":
		f.User, f.Users = c.user, nil
	default:
		f.Keys = []string{c.key}
	}
}

// leads says whether the caller is an admin of the team.
func (a *API) leads(ctx context.Context, c *caller, team string) (bool, error) {
	if c.user == "" || team == "" {
		return false, nil
	}
	m, err := get(ctx, a.Store.Accounts().Members, account.MemberID(team, c.user))
	return m != nil && m.Role == "admin", err
}

// keyHash is a key's hash, whether the key or the hash is given; the master key's calls are booked on no key.
func keyHash(key string) string {
	switch {
	case key == masterKey:
		return ""
	case strings.HasPrefix(key, "sk-"):
		return auth.Hash(key)
	}
	return key
}

// keyName is keyHash undone for replies.
func keyName(hash string) string {
	if hash == "" {
		return masterKey
	}
	return hash
}

// days is a span of whole UTC days, both included.
type days struct {
	Start string `query:"start_date"`
	End   string `query:"end_date"`
}

// check parses the days; both are needed.
func (d *days) check() error {
	if d.Start == "" || d.End == "" {
		return &detail{status: 400, text: "Please provide start_date and end_date"}
	}
	from, err := time.Parse(time.DateOnly, firstTen(d.Start))
	to, err2 := time.Parse(time.DateOnly, firstTen(d.End))
	if err != nil || err2 != nil {
		return &detail{status: 400, text: "start_date and end_date must be valid YYYY-MM-DD dates"}
	}
	if to.Before(from) {
		return &detail{status: 400, text: "end_date is before start_date"}
	}
	d.Start, d.End = from.Format(time.DateOnly), to.Format(time.DateOnly)
	return nil
}

// orLast fills in the last n days where neither end is given.
func (d *days) orLast(n int, now time.Time) error {
	if d.Start == "" && d.End == "" {
		d.Start, d.End = now.UTC().AddDate(0, 0, -n).Format(time.DateOnly), now.UTC().Format(time.DateOnly)
	}
	return d.check()
}

// firstTen is the date of a text that may go on with a time of day.
func firstTen(s string) string {
	if len(s) > 10 && (s[10] == ' ' || s[10] == 'T') {
		return s[:10]
	}
	return s
}

// bounds are the days in Unix milliseconds: from included, to not. The days are checked.
func (d *days) bounds() (from, to int64) {
	first, _ := time.Parse(time.DateOnly, d.Start)
	last, _ := time.Parse(time.DateOnly, d.End)
	return first.UnixMilli(), last.AddDate(0, 0, 1).UnixMilli()
}

// maxPadded bounds answers that have an entry for every day, whether anything happened or not.
const maxPadded = 1500

// moments is a span between two points in time, as the views of single calls take it: YYYY-MM-DD HH:MM:SS, or days.
type moments struct {
	Start string `query:"start_date"`
	End   string `query:"end_date"`
}

// bounds are the moments in Unix milliseconds; a bare end day is included whole.
func (m *moments) bounds() (from, to int64, err error) {
	if m.Start == "" || m.End == "" {
		return 0, 0, &llm.Error{Kind: llm.ErrInvalid, Type: "bad_request", Param: "None", Message: "Start date and end date are required"}
	}
	start, _, err := parseMoment("start_date", m.Start)
	if err != nil {
		return 0, 0, err
	}
	end, day, err := parseMoment("end_date", m.End)
	if err != nil {
		return 0, 0, err
	}
	if day {
		end = end.AddDate(0, 0, 1)
	} else {
		end = end.Add(time.Second) // to the end of the second that is named
	}
	if end.Before(start) {
		return 0, 0, llm.Invalid("end_date", "end_date is before start_date")
	}
	return start.UnixMilli(), end.UnixMilli(), nil
}

func parseMoment(field, s string) (at time.Time, day bool, err error) {
	for _, layout := range []string{time.DateTime, time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.UTC(), layout == time.DateOnly, nil
		}
	}
	return at, false, llm.Invalid(field, "%s must be YYYY-MM-DD HH:MM:SS or YYYY-MM-DD. Received: %s", field, s)
}

// aliases are names for people, by id; what was deleted keeps its name.
func (a *API) teamAliases(ctx context.Context, ids []string) (map[string]string, error) {
	out := map[string]string{}
	rows, err := a.Store.Accounts().Teams.List(ctx, ids...)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		out[rows[i].ID] = rows[i].Alias
	}
	gone, err := a.archived(ctx, store.Teams, missingFrom(ids, out))
	for id, d := range gone {
		out[id] = d.Alias
	}
	return out, err
}

// archived are deleted accounts of a kind, the last of each id.
func (a *API) archived(ctx context.Context, kind store.Kind, ids []string) (map[string]store.Deleted, error) {
	out := map[string]store.Deleted{}
	for len(ids) > 0 {
		n := min(len(ids), 500)
		rows, _, err := a.Store.Accounts().Archive.Find(ctx, store.Query{Where: map[string]string{"kind": string(kind)},
			In: map[string][]string{"object_id": ids[:n]}})
		if err != nil {
			return nil, err
		}
		for _, d := range rows {
			if d.At >= out[d.ID].At {
				out[d.ID] = d
			}
		}
		ids = ids[n:]
	}
	return out, nil
}

func missingFrom[T any](ids []string, have map[string]T) []string {
	var out []string
	for _, id := range ids {
		if _, ok := have[id]; !ok && id != "" {
			out = append(out, id)
		}
	}
	return out
}

// keyFacts is what views of spend tell of a key beside its hash.
type keyFacts struct {
	alias, name, user, team, email string
	exists                         bool
}

// keyFacts looks keys up, deleted ones too, with their users' addresses.
func (a *API) keyFacts(ctx context.Context, hashes []string) (map[string]keyFacts, error) {
	out := map[string]keyFacts{}
	rows, err := a.Store.Accounts().Keys.List(ctx, hashes...)
	if err != nil {
		return nil, err
	}
	var users []string
	for i := range rows {
		k := &rows[i]
		out[k.Hash] = keyFacts{alias: k.Alias, name: k.Name, user: k.UserID, team: k.TeamID, exists: true}
		users = append(users, k.UserID)
	}
	gone, err := a.archived(ctx, store.Keys, missingFrom(hashes, out))
	if err != nil {
		return nil, err
	}
	for id, d := range gone {
		out[id] = keyFacts{alias: d.Alias, user: d.UserID, team: d.TeamID}
		users = append(users, d.UserID)
	}
	found, err := a.users(ctx, users)
	for hash, f := range out {
		if u := found[f.user]; u != nil {
			f.email = u.Email
			out[hash] = f
		}
	}
	return out, err
}

func (a *API) users(ctx context.Context, ids []string) (map[string]*account.User, error) {
	rows, err := a.Store.Accounts().Users.List(ctx, unique(ids)...)
	out := make(map[string]*account.User, len(rows))
	for i := range rows {
		out[rows[i].ID] = &rows[i]
	}
	return out, err
}

// unique is the texts that are not empty, each once.
func unique(list []string) []string {
	var out []string
	seen := map[string]bool{"": true}
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
