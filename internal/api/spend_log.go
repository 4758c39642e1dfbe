package api

import (
	"context"
	"time"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
)

type spendLogsIn struct {
	days
	Key       string `query:"api_key"`
	User      string `query:"user_id"`
	RequestID string `query:"request_id"`
	Summarize bool   `query:"summarize" default:"true"`
	Page      int64  `query:"page" default:"1" min:"1"`
	Size      int64  `query:"page_size" default:"1000" min:"1" max:"1000"`
}

// spendLogs lists calls, newest first, a page of a thousand at most, or sums them up by day.
func (a *API) spendLogs(ctx context.Context, c *caller, in *spendLogsIn) (any, error) {
	f := store.RecordFilter{User: in.User}
	if in.Key != "" {
		f.Keys = []string{keyHash(in.Key)}
	}
	if in.RequestID != "" {
		records, err := a.recordsOf(ctx, c, in.RequestID)
		if err != nil {
			return nil, err
		}
		return a.logRows(ctx, records)
	}
	if in.Start != "" || in.End != "" {
		if err := in.check(); err != nil {
			return nil, err
		}
		if in.Summarize {
			return a.dailyLogs(ctx, c, in)
		}
		f.From, f.To = in.bounds()
	}
	c.ownRecords(&f)
	records, _, err := a.Store.RecordPage(ctx, f, store.Page{Desc: true, Limit: int(in.Size), Offset: int((in.Page - 1) * in.Size)})
	if err != nil {
		return nil, err
	}
	return a.logRows(ctx, records)
}

// recordsOf are the calls with an id, as the client or the gateway knows it: mostly one, but a client may use an id again.
func (a *API) recordsOf(ctx context.Context, c *caller, id string) ([]usage.Record, error) {
	for _, f := range []store.RecordFilter{{RequestID: id}, {ID: id}} {
		c.ownRecords(&f)
		records, _, err := a.Store.RecordPage(ctx, f, store.Page{Desc: true, Limit: 100})
		if err != nil || len(records) > 0 {
			return records, err
		}
	}
	return nil, nil
}

// dailyLogs sums calls up by day: what each key, user and model spent. From the first day with a call on, every day has an entry.
func (a *API) dailyLogs(ctx context.Context, c *caller, in *spendLogsIn) (any, error) {
	narrow := map[store.Dim][]string{}
	if in.Key != "" {
		narrow[store.ByKey] = []string{keyHash(in.Key)}
	}
	if in.User != "" {
		narrow[store.ByUser] = []string{in.User}
	}
	rows, err := a.allDays(ctx, store.DailyQuery{From: in.Start, To: in.End, In: c.own(narrow),
		By: []store.Dim{store.ByDate, store.ByKey, store.ByUser, store.ByProvider, store.ByUpstream, store.ByModel}})
	if err != nil || len(rows) == 0 {
		return []object{}, err
	}
	type sums struct {
		total               llm.Nanos
		keys, users, models map[string]llm.Nanos
	}
	byDay := map[string]*sums{}
	for i := range rows {
		g := &rows[i]
		d := byDay[g.Names[0]]
		if d == nil {
			d = &sums{keys: map[string]llm.Nanos{}, users: map[string]llm.Nanos{}, models: map[string]llm.Nanos{}}
			byDay[g.Names[0]] = d
		}
		d.total += g.Spend
		d.keys[keyName(g.Names[1])] += g.Spend
		d.users[g.Names[2]] += g.Spend
		d.models[modelPath(g.Names[3], g.Names[4], g.Names[5])] += g.Spend
	}
	out := []object{}
	day, err := time.Parse(time.DateOnly, rows[0].Names[0])
	if err != nil {
		return nil, err
	}
	for name := rows[0].Names[0]; name <= in.End && len(out) < maxPadded; name = day.Format(time.DateOnly) {
		o := object{"spend": 0, "users": object{}, "models": object{}}
		if d := byDay[name]; d != nil {
			o = object{"spend": money(d.total), "users": amounts(d.users), "models": amounts(d.models)}
			for key, spent := range d.keys {
				o[key] = money(spent)
			}
		}
		o["startTime"] = name
		out = append(out, o)
		day = day.AddDate(0, 0, 1)
	}
	return out, nil
}

func amounts(m map[string]llm.Nanos) object {
	out := object{}
	for name, n := range m {
		out[name] = money(n)
	}
	return out
}

// maxGroups bounds what one answer is made of.
const maxGroups = 100_000

// allDays is every group of a query; too many of them are refused rather than cut, so that sums are right or not given.
func (a *API) allDays(ctx context.Context, q store.DailyQuery) ([]store.Group, error) {
	var out []store.Group
	for {
		q.Offset = len(out)
		rows, total, err := a.Store.Daily(ctx, q)
		if err != nil {
			return nil, err
		}
		if total > maxGroups {
			return nil, llm.Invalid("start_date", "there is too much between start_date and end_date for one answer: ask for fewer days")
		}
		if out = append(out, rows...); len(rows) == 0 || int64(len(out)) >= total {
			return out, nil
		}
	}
}

// logQuery is the filters of the paged views of single calls.
type logQuery struct {
	moments
	Key        string     `query:"api_key"`
	User       string     `query:"user_id"`
	RequestID  string     `query:"request_id"`
	Session    string     `query:"session_id"`
	Team       string     `query:"team_id"`
	MinSpend   opt[money] `query:"min_spend"`
	MaxSpend   opt[money] `query:"max_spend"`
	Status     string     `query:"status_filter" oneof:"success,failure"`
	Model      string     `query:"model"`
	ModelID    string     `query:"model_id"`
	ModelGroup string     `query:"model_group"`
	KeyAlias   string     `query:"key_alias"`
	EndUser    string     `query:"end_user"`
	ErrorCode  opt[int64] `query:"error_code"`
	Sort       string     `query:"sort_by" default:"startTime" oneof:"startTime,endTime,spend,total_tokens,prompt_tokens,completion_tokens,model,status"`
	Order      string     `query:"sort_order" default:"desc" oneof:"asc,desc"`
	Page       int64      `query:"page" default:"1" min:"1"`
}

type spendLogsV2In struct {
	logQuery
	Size int64 `query:"page_size" default:"50" min:"1" max:"1000"`
}

func (a *API) spendLogsV2(ctx context.Context, c *caller, in *spendLogsV2In) (any, error) {
	return a.logPage(ctx, c, &in.logQuery, in.Size)
}

type spendLogsUIIn struct {
	logQuery
	Size int64 `query:"page_size" default:"50" min:"1" max:"100"`
}

func (a *API) spendLogsUI(ctx context.Context, c *caller, in *spendLogsUIIn) (any, error) {
	return a.logPage(ctx, c, &in.logQuery, in.Size)
}

var logOrder = map[string]string{"startTime": "started", "endTime": "ended", "spend": "cost", "total_tokens": "total", "prompt_tokens": "input",
	"completion_tokens": "output", "model": "model", "status": "status"}

func (a *API) logPage(ctx context.Context, c *caller, in *logQuery, size int64) (any, error) {
	f := store.RecordFilter{User: in.User, RequestID: in.RequestID, Session: in.Session, Team: in.Team, Deployment: in.ModelID, Model: in.ModelGroup,
		KeyAlias: in.KeyAlias, EndUser: in.EndUser, Status: int(in.ErrorCode.or(0)), MinCost: (*llm.Nanos)(in.MinSpend.Value), MaxCost: (*llm.Nanos)(in.MaxSpend.Value)}
	if in.RequestID == "" && in.Session == "" || in.Start != "" || in.End != "" {
		var err error
		if f.From, f.To, err = in.bounds(); err != nil {
			return nil, err
		}
	}
	if in.Key != "" {
		f.Keys = []string{keyHash(in.Key)}
	}
	if f.Model == "" {
		f.Provider, f.Upstream, f.Model = splitModel(in.Model)
	}
	if in.Status != "" {
		failed := in.Status == "failure"
		f.Failed = &failed
	}
	if leads, err := a.leads(ctx, c, in.Team); err != nil {
		return nil, err
	} else if !leads {
		c.ownRecords(&f)
	}
	records, total, err := a.Store.RecordPage(ctx, f, store.Page{Sort: logOrder[in.Sort], Desc: in.Order == "desc", Limit: int(size), Offset: int((in.Page - 1) * size)})
	if err != nil {
		return nil, err
	}
	rows, err := a.logRows(ctx, records)
	if err != nil {
		return nil, err
	}
	return object{"data": rows, "total": total, "page": in.Page, "page_size": size, "total_pages": pages(total, size), "total_is_capped": false}, nil
}

type spendLogOneIn struct {
	ID string `path:"request_id"`
}

// spendLogOne is what was said in a call, were it kept.
func (a *API) spendLogOne(ctx context.Context, c *caller, in *spendLogOneIn) (any, error) {
	records, err := a.recordsOf(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, notFound("request_id", "no call has the id %s", in.ID)
	}
	return object{"messages": object{}, "response": object{}, "proxy_server_request": object{}}, nil
}

type spendLogsSessionIn struct {
	Session string `query:"session_id" need:"true"`
	Page    int64  `query:"page" default:"1" min:"1"`
	Size    int64  `query:"page_size" default:"50" min:"1" max:"100"`
}

// spendLogsSession lists the calls of one session in their order.
func (a *API) spendLogsSession(ctx context.Context, c *caller, in *spendLogsSessionIn) (any, error) {
	return a.logPage(ctx, c, &logQuery{Session: in.Session, Page: in.Page, Sort: "startTime", Order: "asc"}, in.Size)
}
