package api

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

func (a *API) budgetRoutes() []route {
	return []route{
		{"POST", "/budget/new", admins, typed(a.budgetNew)},
		{"POST", "/budget/update", admins, typed(a.budgetUpdate)},
		{"POST", "/budget/info", readers, typed(a.budgetInfo)},
		{"GET", "/budget/settings", readers, typed(a.budgetSettings)},
		{"GET", "/budget/list", readers, typed(a.budgetList)},
		{"POST", "/budget/delete", admins, typed(a.budgetDelete)},
	}
}

// budgetTable is what audit rows call budgets.
const budgetTable = "LiteLLM_BudgetTable"

// budgetExtras are fields of a budget that are kept and shown, and not acted on.
var budgetExtras = []string{"tpd_limit", "allowed_models", "temp_budget_increase", "temp_budget_expiry"}

// budgetOut is a budget as it stands in the row of what it bounds; s is what that has spent.
func (a *API) budgetOut(b *account.Budget, s spent) object {
	o := object{
		"budget_id": b.ID, "max_budget": dollars(b.MaxBudget), "soft_budget": dollars(b.SoftBudget),
		"max_parallel_requests": number(b.Parallel), "tpm_limit": number(b.TPM), "rpm_limit": number(b.RPM), "tpd_limit": nil,
		"model_max_budget": nil, "budget_duration": text(b.BudgetDuration), "budget_reset_at": a.resetOut(s, b.BudgetDuration),
		"allowed_models": []string{}, "temp_budget_increase": nil, "temp_budget_expiry": nil, "created_at": moment(b.Created),
	}
	if len(b.ModelBudget) > 0 {
		o["model_max_budget"] = modelBudgetsOut(b.ModelBudget)
	}
	extrasOut(o, b.Extra, budgetExtras)
	return o
}

// resetOut is when a running window ends; before the first call, when the first will.
func (a *API) resetOut(s spent, duration string) any {
	p, err := account.ParsePeriod(duration)
	switch {
	case err != nil:
		return nil
	case s.resetAt != 0:
		return moment(s.resetAt)
	}
	return moment(p.NextReset(a.Now().In(a.Zone)).UnixMilli())
}

func extrasOut(o object, x account.Extra, names []string) {
	for _, name := range names {
		if value, ok := x[name]; ok {
			o[name] = value
		}
	}
}

// putExtra keeps a field that was given; null forgets it. The map is replaced, not changed: what was read before stays as it was.
func putExtra[T any](x *account.Extra, name string, o opt[T]) {
	if !o.Set {
		return
	}
	next := account.Extra{}
	for k, v := range *x {
		next[k] = v
	}
	delete(next, name)
	if o.Value != nil {
		if text, err := json.Marshal(*o.Value, json.Deterministic(true)); err == nil {
			next[name] = jsontext.Value(text)
		}
	}
	*x = next
}

// budgetRow is a budget as LiteLLM stores it.
func (a *API) budgetRow(b *account.Budget, s spent) object {
	o := a.budgetOut(b, s)
	o["created_by"], o["updated_at"], o["updated_by"] = text(b.CreatedBy), moment(b.Updated), text(b.UpdatedBy)
	for _, relation := range []string{"organization", "projects", "keys", "end_users", "tags", "model_access_groups", "team_membership", "organization_membership"} {
		o[relation] = nil
	}
	return o
}

type budgetIn struct {
	limitFields            // budget_id is the budget's own
	TPD         opt[int64] `json:"tpd_limit" min:"0"`
}

func (in *budgetIn) put(b *account.Budget) error {
	fields := in.limitFields
	fields.BudgetID = opt[string]{}
	putExtra(&b.Extra, "tpd_limit", in.TPD)
	return fields.apply(&b.Limits)
}

func (a *API) budgetNew(ctx context.Context, c *caller, in *budgetIn) (any, error) {
	b := &account.Budget{ID: in.BudgetID.or("")}
	if err := checkID("budget_id", b.ID); err != nil {
		return nil, err
	}
	err := a.edit(ctx, c, func(e *edit) error {
		if have, err := get(ctx, e.Budgets, b.ID); err != nil {
			return err
		} else if have != nil {
			return llm.Invalid("budget_id", "Budget with budget_id=%s already exists", b.ID)
		}
		return e.makeBudget(ctx, b, in.put)
	})
	if err != nil {
		return nil, err
	}
	return a.budgetRow(b, spent{}), nil
}

// makeBudget writes a new budget; an empty id is made up.
func (e *edit) makeBudget(ctx context.Context, b *account.Budget, put func(*account.Budget) error) error {
	if b.ID == "" {
		b.ID = uuid()
	}
	if err := put(b); err != nil {
		return err
	}
	e.stamp(&b.Stamp)
	if err := e.Budgets.Put(ctx, b); err != nil {
		return err
	}
	return e.audit(ctx, "created", budgetTable, b.ID, nil, b)
}

// changeBudget lets put change a budget, and the running windows of all that it bounds.
func (e *edit) changeBudget(ctx context.Context, id string, put func(*account.Budget) error) (*account.Budget, error) {
	b, err := get(ctx, e.Budgets, id)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, notFound("budget_id", "Budget not found, passed budget_id=%s", id)
	}
	before := *b
	if err := put(b); err != nil {
		return nil, err
	}
	e.stamp(&b.Stamp)
	if err := e.Budgets.Put(ctx, b); err != nil {
		return nil, err
	}
	if before.BudgetDuration != b.BudgetDuration || len(before.ModelBudget)+len(b.ModelBudget)+len(before.Windows)+len(b.Windows) > 0 {
		if err := e.rewind(ctx, &before, b); err != nil {
			return nil, err
		}
	}
	return b, e.audit(ctx, "updated", budgetTable, b.ID, before, b)
}

// rewind makes the windows of all that a budget bounds run by what it says now.
func (e *edit) rewind(ctx context.Context, before, after *account.Budget) error {
	return e.bounded(ctx, before.ID, func(s account.Subject, l *account.Limits, _ func() error) error {
		was, is := filled(*l, before), filled(*l, after)
		return e.windows(ctx, s, &was, &is)
	})
}

// filled is what holds for an account: its own limits, and a budget's where it has none.
func filled(l account.Limits, b *account.Budget) account.Limits {
	if b == nil {
		return l
	}
	l = l.Or(b.Limits)
	l.BudgetID = "" // nothing more is to be looked up
	return l
}

// effective is what holds for an account with the budget it names.
func (e *edit) effective(ctx context.Context, l account.Limits) (account.Limits, error) {
	b, err := get(ctx, e.Budgets, l.BudgetID)
	return filled(l, b), err
}

// rebound makes the budget periods of an account run by what holds for it after f, which changes it and writes its row. before are its limits
// as they were; of a new account, none.
func (e *edit) rebound(ctx context.Context, s account.Subject, before account.Limits, after *account.Limits, f func() error) error {
	was, err := e.effective(ctx, before)
	if err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	is, err := e.effective(ctx, *after)
	if err != nil {
		return err
	}
	return e.windows(ctx, s, &was, &is)
}

// bounded calls f for everything that a budget bounds: its subject, its own limits, and how to write it back after they were changed.
func (e *edit) bounded(ctx context.Context, budget string, f func(account.Subject, *account.Limits, func() error) error) error {
	subject := func(kind account.Kind, id string) account.Subject { return account.Subject{Kind: kind, ID: id} }
	return errors.Join(
		eachBound(ctx, e.Keys, "budget_id", budget, func(k *account.Key, save func() error) error {
			return f(subject(account.OfKey, k.Hash), &k.Limits, save)
		}),
		eachBound(ctx, e.Users, "budget_id", budget, func(u *account.User, save func() error) error {
			return f(subject(account.OfUser, u.ID), &u.Limits, save)
		}),
		eachBound(ctx, e.Teams, "budget_id", budget, func(t *account.Team, save func() error) error {
			return f(subject(account.OfTeam, t.ID), &t.Limits, save)
		}),
		eachBound(ctx, e.Members, "budget_id", budget, func(m *account.Member, save func() error) error {
			return f(subject(account.OfMember, account.MemberID(m.TeamID, m.UserID)), &m.Limits, save)
		}),
		eachBound(ctx, e.Orgs, "budget_id", budget, func(o *account.Organization, save func() error) error {
			return f(subject(account.OfOrg, o.ID), &o.Limits, save)
		}),
		eachBound(ctx, e.Customers, "budget_id", budget, func(c *account.Customer, save func() error) error {
			return f(subject(account.OfCustomer, c.ID), &c.Limits, save)
		}),
		eachBound(ctx, e.Tags, "budget_id", budget, func(t *account.Tag, save func() error) error {
			return f(subject(account.OfTag, t.Name), &t.Limits, save)
		}),
		e.boundMembers(ctx, budget, f),
	)
}

// boundMembers are the members of the teams whose members' budget this is: it fills in what their own limits leave open.
func (e *edit) boundMembers(ctx context.Context, budget string, f func(account.Subject, *account.Limits, func() error) error) error {
	teams, _, err := e.Teams.Find(ctx, store.Query{Where: map[string]string{"member_budget_id": budget}})
	if err != nil {
		return err
	}
	for _, t := range teams {
		members, _, err := e.Members.Find(ctx, store.Query{Where: map[string]string{"team_id": t.ID}})
		if err != nil {
			return err
		}
		for i := range members {
			own, err := e.effective(ctx, members[i].Limits)
			if err != nil {
				return err
			}
			if err := f(memberSubject(&members[i]), &own, func() error { return nil }); err != nil {
				return err
			}
		}
	}
	return nil
}

func eachBound[T any](ctx context.Context, rows store.Rows[T], column, budget string, f func(*T, func() error) error) error {
	found, _, err := rows.Find(ctx, store.Query{Where: map[string]string{column: budget}})
	if err != nil {
		return err
	}
	for i := range found {
		if err := f(&found[i], func() error { return rows.Put(ctx, &found[i]) }); err != nil {
			return err
		}
	}
	return nil
}

// madeFor marks, among a budget's Extra, the one account that it was made for. Such a budget changes and ends with the account; one that
// somebody made by /budget/new is shared, and an account's own limits never change it.
const madeFor = "made_for"

func ownerOf(s account.Subject) string { return string(s.Kind) + ":" + s.ID }

func isOwn(b *account.Budget, s account.Subject) bool {
	owner, err := jsontext.AppendQuote(nil, ownerOf(s))
	return err == nil && b != nil && slices.Equal(b.Extra[madeFor], owner)
}

// ownBudget changes the limits of an account that keeps them in a budget row, and returns the row's id. A shared budget stays as it is: the
// account gets one of its own that begins as a copy.
func (e *edit) ownBudget(ctx context.Context, s account.Subject, id string, put func(*account.Limits) error) (string, error) {
	change := func(b *account.Budget) error { return put(&b.Limits) }
	have, err := get(ctx, e.Budgets, id)
	if err != nil {
		return "", err
	}
	if isOwn(have, s) {
		_, err := e.changeBudget(ctx, id, change)
		return id, err
	}
	b := &account.Budget{}
	if have != nil {
		b.Limits = have.Limits
	}
	owner := ownerOf(s)
	putExtra(&b.Extra, madeFor, opt[string]{true, &owner})
	err = e.makeBudget(ctx, b, change)
	return b.ID, err
}

// withoutID applies the limits of a request but for budget_id.
func (f *limitFields) withoutID(l *account.Limits) error {
	fields := *f
	fields.BudgetID = opt[string]{}
	return fields.apply(l)
}

// split tells an account's limits that belong in a budget row from those by model, which stay with the account.
func split(l account.Limits) (row, rest account.Limits) {
	rest = account.Limits{ModelRPM: l.ModelRPM, ModelTPM: l.ModelTPM, BudgetID: l.BudgetID}
	l.ModelRPM, l.ModelTPM, l.BudgetID = nil, nil, ""
	return l, rest
}

// fold moves limits that stand in the account itself, as other parts of the program may write them, into its budget row.
func (e *edit) fold(ctx context.Context, s account.Subject, l *account.Limits) error {
	row, rest := split(*l)
	if reflect.DeepEqual(row, account.Limits{}) {
		return nil
	}
	id, err := e.ownBudget(ctx, s, rest.BudgetID, func(have *account.Limits) error {
		*have = filled(row, &account.Budget{Limits: *have})
		return nil
	})
	rest.BudgetID = id
	*l = rest
	return err
}

// budgetOf is the budget_id and litellm_budget_table of an account: null without limits.
func (a *API) budgetOf(l account.Limits, budgets map[string]account.Budget, s spent, show func(*account.Budget, spent) object) (id, table any) {
	b, ok := budgets[l.BudgetID]
	if row, _ := split(l); !reflect.DeepEqual(row, account.Limits{}) {
		b.Limits, ok = filled(row, &b), true
	}
	if !ok {
		return nil, nil
	}
	return text(b.ID), show(&b, s)
}

// budgeted reads what accounts of a kind have spent, by id, and the budgets they name; of gives an account's id and its budget's.
func budgeted[T any](ctx context.Context, a *API, kind account.Kind, all []T, of func(*T) (id, budget string)) (map[string]spent, map[string]account.Budget, error) {
	ids, budgetIDs := make([]string, len(all)), make([]string, len(all))
	for i := range all {
		ids[i], budgetIDs[i] = of(&all[i])
	}
	spends, err := a.spends(ctx, kind, ids...)
	if err != nil {
		return nil, nil, err
	}
	budgets := map[string]account.Budget{}
	err = index(ctx, budgets, a.Store.Accounts().Budgets, budgetIDs, func(b *account.Budget) string { return b.ID })
	return spends, budgets, err
}

// dropBudget deletes a budget that was made for the account that is going.
func (e *edit) dropBudget(ctx context.Context, s account.Subject, id string) error {
	b, err := get(ctx, e.Budgets, id)
	if err != nil || !isOwn(b, s) {
		return err
	}
	if _, err := e.Budgets.Delete(ctx, id); err != nil {
		return err
	}
	return e.audit(ctx, "deleted", budgetTable, id, b, nil)
}

// namesLimits says whether a request mentions any limit that a budget row keeps.
func (f *limitFields) namesLimits() bool {
	return f.MaxBudget.Set || f.SoftBudget.Set || f.BudgetDuration.Set || f.RPM.Set || f.TPM.Set || f.Parallel.Set ||
		f.ModelBudget.Set || f.ModelRPM.Set || f.ModelTPM.Set || f.Windows.Set
}

// setsLimits says whether a request sets any limit that a budget row keeps.
func (f *limitFields) setsLimits() bool {
	return f.MaxBudget.Value != nil || f.SoftBudget.Value != nil || f.BudgetDuration.or("") != "" || f.RPM.Value != nil ||
		f.TPM.Value != nil || f.Parallel.Value != nil || len(f.ModelBudget.or(nil)) > 0 || len(f.ModelRPM.or(nil)) > 0 ||
		len(f.ModelTPM.or(nil)) > 0 || len(f.Windows.or(nil)) > 0
}

func (a *API) budgetUpdate(ctx context.Context, c *caller, in *budgetIn) (any, error) {
	if in.BudgetID.or("") == "" {
		return nil, faults{{Type: "missing", Loc: []any{"body", "budget_id"}, Msg: "Field required"}}
	}
	var b *account.Budget
	err := a.edit(ctx, c, func(e *edit) (err error) {
		b, err = e.changeBudget(ctx, *in.BudgetID.Value, in.put)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a.budgetRow(b, spent{}), nil
}

type budgetInfoIn struct {
	IDs []string `json:"budgets" need:"true"`
}

func (a *API) budgetInfo(ctx context.Context, _ *caller, in *budgetInfoIn) (any, error) {
	if len(in.IDs) == 0 {
		return nil, llm.Invalid("budgets", "Specify list of budget id's to query. Passed in=%v", in.IDs)
	}
	found, err := a.Store.Accounts().Budgets.List(ctx, in.IDs...)
	if err != nil {
		return nil, err
	}
	return a.budgetRows(found), nil
}

func (a *API) budgetRows(budgets []account.Budget) []object {
	out := make([]object, 0, len(budgets))
	for i := range budgets {
		out = append(out, a.budgetRow(&budgets[i], spent{}))
	}
	return out
}

func (a *API) budgetList(ctx context.Context, _ *caller, _ *struct{}) (any, error) {
	found, _, err := a.Store.Accounts().Budgets.Find(ctx, store.Query{})
	if err != nil {
		return nil, err
	}
	return a.budgetRows(found), nil
}

type budgetSettingsIn struct {
	ID string `query:"budget_id" need:"true"`
}

// budgetSettings is a budget as a form shows it.
func (a *API) budgetSettings(ctx context.Context, _ *caller, in *budgetSettingsIn) (any, error) {
	b, err := get(ctx, a.Store.Accounts().Budgets, in.ID)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, notFound("budget_id", "Budget not found, passed budget_id=%s", in.ID)
	}
	row := a.budgetRow(b, spent{})
	var out []object
	for _, f := range []struct{ name, kind, description string }{
		{"max_parallel_requests", "Integer", "calls at a time"},
		{"tpm_limit", "Integer", "tokens a minute"},
		{"rpm_limit", "Integer", "requests a minute"},
		{"budget_duration", "String", "how long a budget lasts before it begins anew: 30s, 30m, 30h, 30d, 1mo"},
		{"max_budget", "Float", "USD that may be spent in a budget_duration"},
		{"soft_budget", "Float", "USD beyond which alerts are sent"},
	} {
		out = append(out, object{"field_name": f.name, "field_type": f.kind, "field_description": f.description,
			"field_value": row[f.name], "stored_in_db": row[f.name] != nil, "field_default_value": nil, "premium_field": false, "nested_fields": nil})
	}
	return out, nil
}

type budgetDeleteIn struct {
	ID string `json:"id" need:"true"`
}

// budgetDelete deletes a budget, and its name from all that it bounded.
func (a *API) budgetDelete(ctx context.Context, c *caller, in *budgetDeleteIn) (any, error) {
	var b *account.Budget
	err := a.edit(ctx, c, func(e *edit) (err error) {
		if b, err = get(ctx, e.Budgets, in.ID); err != nil {
			return err
		}
		if b == nil {
			return notFound("id", "Budget not found, passed id=%s", in.ID)
		}
		if err := e.rewind(ctx, b, &account.Budget{ID: b.ID}); err != nil {
			return err
		}
		if err := e.bounded(ctx, b.ID, func(_ account.Subject, l *account.Limits, save func() error) error {
			l.BudgetID = ""
			return save()
		}); err != nil {
			return err
		}
		if err := e.unbindOthers(ctx, b.ID); err != nil {
			return err
		}
		if _, err := e.Budgets.Delete(ctx, b.ID); err != nil {
			return err
		}
		return e.audit(ctx, "deleted", budgetTable, b.ID, b, nil)
	})
	if err != nil {
		return nil, err
	}
	return a.budgetRow(b, spent{}), nil
}

// unbindOthers takes a budget's name from what has no spend of its own: organizations' members, and teams whose members' budget it is.
func (e *edit) unbindOthers(ctx context.Context, id string) error {
	return errors.Join(
		eachBound(ctx, e.OrgMembers, "budget_id", id, func(m *account.OrgMember, save func() error) error {
			m.BudgetID = ""
			return save()
		}),
		eachBound(ctx, e.Teams, "member_budget_id", id, func(t *account.Team, save func() error) error {
			t.MemberBudgetID = ""
			return save()
		}),
	)
}

// maxID is the longest id or name in bytes.
const maxID = 256

// checkID refuses ids that can't be shown in one line or joined to others.
func checkID(field, id string) error {
	if len(id) > maxID {
		return llm.Invalid(field, "%s is longer than %d bytes", field, maxID)
	}
	for _, r := range id {
		if r < ' ' || r == 0x7f {
			return llm.Invalid(field, "%s holds a control character", field)
		}
	}
	return nil
}
