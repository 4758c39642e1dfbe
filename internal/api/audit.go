package api

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

func (a *API) auditRoutes() []route {
	return []route{
		{"GET", "/audit", readers, typed(a.auditList)},
		{"GET", "/audit/{id}", readers, typed(a.auditOne)},
	}
}

type auditListIn struct {
	By     string `query:"changed_by"`
	Key    string `query:"changed_by_api_key"`
	Action string `query:"action"`
	Table  string `query:"table_name"`
	Object string `query:"object_id"`
	Team   string `query:"object_team_id"`
	Hash   string `query:"object_key_hash"`
	Start  string `query:"start_date"`
	End    string `query:"end_date"`
	Search string `query:"search"`
	Sort   string `query:"sort_by" oneof:"updated_at,changed_by,action,table_name,object_id"`
	Order  string `query:"sort_order" default:"desc" oneof:"asc,desc"`
	Page   int64  `query:"page" default:"1" min:"1"`
	Size   int64  `query:"page_size" default:"10" min:"1" max:"100"`
}

// auditList lists changes, newest first unless asked otherwise.
func (a *API) auditList(ctx context.Context, _ *caller, in *auditListIn) (any, error) {
	q := store.Query{Where: map[string]string{}, Search: map[string]string{}, Sort: in.Sort, Desc: in.Order == "desc", Limit: int(in.Size), Offset: int((in.Page - 1) * in.Size)}
	for column, v := range map[string]string{"changed_by": in.By, "action": in.Action, "table_name": in.Table, "object_id": in.Object} {
		if v != "" {
			q.Where[column] = v
		}
	}
	if in.Key != "" {
		q.Where["by_key"] = in.Key
		if in.Key != masterKey {
			q.Where["by_key"] = keyHash(in.Key)
		}
	}
	for table, id := range map[string]string{keyTable: in.Hash, "LiteLLM_TeamTable": in.Team} {
		if id == "" {
			continue
		}
		if q.Where["object_id"] != "" && q.Where["object_id"] != keyHash(id) {
			return nil, llm.Invalid("object_id", "object_id, object_team_id and object_key_hash name different objects")
		}
		q.Where["table_name"], q.Where["object_id"] = table, keyHash(id)
	}
	if in.Search != "" {
		q.Search["object_id"] = in.Search
	}
	if in.Sort == "updated_at" {
		q.Sort = "created"
	}
	var err error
	if q.From, q.To, err = auditSpan(in.Start, in.End); err != nil {
		return nil, err
	}
	rows, total, err := a.Store.Accounts().Audits.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	out := []object{}
	for i := range rows {
		out = append(out, auditRow(&rows[i]))
	}
	return object{"audit_logs": out, "total": total, "page": in.Page, "page_size": in.Size, "total_pages": pages(total, in.Size)}, nil
}

// auditSpan is from when to when, Unix milliseconds; either end may be open.
func auditSpan(start, end string) (from, to int64, err error) {
	if start != "" {
		at, _, err := parseMoment("start_date", start)
		if err != nil {
			return 0, 0, err
		}
		from = at.UnixMilli()
	}
	if end != "" {
		at, day, err := parseMoment("end_date", end)
		if err != nil {
			return 0, 0, err
		}
		if day {
			at = at.AddDate(0, 0, 1)
		}
		to = at.UnixMilli()
	}
	return from, to, nil
}

type auditOneIn struct {
	ID string `path:"id"`
}

func (a *API) auditOne(ctx context.Context, _ *caller, in *auditOneIn) (any, error) {
	row, err := get(ctx, a.Store.Accounts().Audits, in.ID)
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, notFound("id", "Audit log with ID %s not found", in.ID)
	}
	return auditRow(row), nil
}

func auditRow(row *account.Audit) object {
	value := func(v jsontext.Value) any {
		if len(v) == 0 {
			return nil
		}
		return v
	}
	return object{"id": row.ID, "updated_at": moment(row.At), "changed_by": row.By, "changed_by_api_key": row.ByKey, "action": row.Action,
		"table_name": row.Table, "object_id": row.Object, "before_value": value(row.Before), "updated_values": value(row.After)}
}
