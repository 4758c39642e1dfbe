package api

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

// customerRoutes are those of end users, under both of their names.
func (a *API) customerRoutes() []route {
	var out []route
	for _, noun := range []string{"/customer", "/end_user"} {
		out = append(out,
			route{"POST", noun + "/new", admins, typed(a.customerNew)},
			route{"POST", noun + "/update", admins, typed(a.customerUpdate)},
			route{"POST", noun + "/delete", admins, typed(a.customerDelete)},
			route{"POST", noun + "/block", admins, typed(a.customerBlock)},
			route{"POST", noun + "/unblock", admins, typed(a.customerUnblock)},
			route{"GET", noun + "/info", readers, typed(a.customerInfo)},
			route{"GET", noun + "/list", readers, typed(a.customerList)},
		)
	}
	return out
}

// customerTable is what audit rows call customers.
const customerTable = "LiteLLM_EndUserTable"

// customerFields are what a customer may be given when made and when changed.
type customerFields struct {
	Alias   opt[string] `json:"alias"`
	Blocked opt[bool]   `json:"blocked"`
	limitFields
	Region     opt[string]         `json:"allowed_model_region" oneof:"eu,us"`
	Default    opt[string]         `json:"default_model"`
	Models     opt[[]string]       `json:"models"`
	Permission opt[map[string]any] `json:"object_permission"`
}

// customerExtras are kept and shown, and not acted on.
var customerExtras = []string{"models", "object_permission"}

func customerSubject(id string) account.Subject {
	return account.Subject{Kind: account.OfCustomer, ID: id}
}

// customersOut are the rows of customers.
func (a *API) customersOut(ctx context.Context, all ...account.Customer) ([]object, error) {
	spends, budgets, err := budgeted(ctx, a, account.OfCustomer, all, func(r *account.Customer) (id, budget string) { return r.ID, r.BudgetID })
	if err != nil {
		return nil, err
	}
	out := make([]object, 0, len(all))
	for i := range all {
		u, s := &all[i], spends[all[i].ID]
		o := object{
			"user_id": u.ID, "alias": text(u.Alias), "blocked": u.Blocked, "spend": money(s.now),
			"allowed_model_region": text(u.Region), "default_model": text(u.DefaultModel), "models": []string{},
			"object_permission_id": nil, "object_permission": nil,
		}
		o["budget_id"], o["litellm_budget_table"] = a.budgetOf(u.Limits, budgets, s, a.budgetOut)
		extrasOut(o, u.Extra, customerExtras)
		out = append(out, o)
	}
	return out, nil
}

func (a *API) customerOut(ctx context.Context, u *account.Customer) (any, error) {
	rows, err := a.customersOut(ctx, *u)
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// put changes a customer and writes the row; before is nil for a new one.
func (f *customerFields) put(ctx context.Context, e *edit, before, u *account.Customer) error {
	if f.BudgetID.or("") != "" && f.setsLimits() {
		return llm.Invalid("budget_id", "Set either a budget_id or max_budget and its siblings, not both")
	}
	f.Alias.put(&u.Alias)
	f.Blocked.put(&u.Blocked)
	f.Region.put(&u.Region)
	f.Default.put(&u.DefaultModel)
	putExtra(&u.Extra, "models", f.Models)
	putExtra(&u.Extra, "object_permission", f.Permission)
	if err := checkID("alias", u.Alias); err != nil {
		return err
	}
	return e.putCustomer(ctx, before, u, &f.limitFields)
}

func (e *edit) putCustomer(ctx context.Context, before, u *account.Customer, f *limitFields) error {
	var was account.Limits
	if before != nil {
		was = before.Limits
	}
	err := e.rebound(ctx, customerSubject(u.ID), was, &u.Limits, func() error {
		if err := e.boundBy(ctx, customerSubject(u.ID), &u.Limits, f); err != nil {
			return err
		}
		e.stamp(&u.Stamp)
		return e.Customers.Put(ctx, u)
	})
	if err != nil {
		return err
	}
	if before != nil && before.Blocked != u.Blocked {
		return e.audit(ctx, blockWord(u.Blocked), customerTable, u.ID, before, u)
	}
	return written(ctx, e, customerTable, u.ID, before, u)
}

func blockWord(blocked bool) string {
	if blocked {
		return "blocked"
	}
	return "unblocked"
}

// boundBy gives an account that keeps its limits in a budget row the shared budget that a request names, or the limits it sets.
func (e *edit) boundBy(ctx context.Context, s account.Subject, l *account.Limits, f *limitFields) error {
	if f.BudgetID.Set {
		next := f.BudgetID.or("")
		if next != l.BudgetID {
			if err := e.dropBudget(ctx, s, l.BudgetID); err != nil {
				return err
			}
		}
		l.BudgetID = next
		if err := e.budgetID(ctx, l); err != nil {
			return err
		}
	}
	row, _ := split(*l)
	if !f.setsLimits() && (!f.namesLimits() || l.BudgetID == "" && reflect.DeepEqual(row, account.Limits{})) {
		return nil
	}
	if err := e.fold(ctx, s, l); err != nil {
		return err
	}
	id, err := e.ownBudget(ctx, s, l.BudgetID, f.withoutID)
	l.BudgetID = id
	return err
}

type customerNewIn struct {
	ID string `json:"user_id" need:"true"`
	customerFields
	Spend opt[money] `json:"spend" min:"0"`
}

func (a *API) customerNew(ctx context.Context, c *caller, in *customerNewIn) (any, error) {
	if err := customerID("user_id", in.ID); err != nil {
		return nil, err
	}
	u := &account.Customer{ID: in.ID}
	err := a.edit(ctx, c, func(e *edit) error {
		if have, err := get(ctx, e.Customers, in.ID); err != nil {
			return err
		} else if have != nil {
			return &llm.Error{Kind: llm.ErrInvalid, Type: "bad_request", Param: "user_id", Message: "Customer already exists, passed user_id=" + in.ID +
				". Please pass a new user_id."}
		}
		if in.Spend.Value != nil {
			e.SetSpent(customerSubject(u.ID), llm.Nanos(*in.Spend.Value))
		}
		return in.put(ctx, e, nil, u)
	})
	if err != nil {
		return nil, err
	}
	return a.customerOut(ctx, u)
}

func customerID(field, id string) error {
	if id == "" {
		return llm.Invalid(field, "%s is empty", field)
	}
	return checkID(field, id)
}

type customerUpdateIn struct {
	ID string `json:"user_id" need:"true"`
	customerFields
}

func (a *API) customerUpdate(ctx context.Context, c *caller, in *customerUpdateIn) (any, error) {
	var u *account.Customer
	err := a.edit(ctx, c, func(e *edit) (err error) {
		if u, err = e.customer(ctx, in.ID); err != nil {
			return err
		}
		before := *u
		return in.put(ctx, e, &before, u)
	})
	if err != nil {
		return nil, err
	}
	return a.customerOut(ctx, u)
}

// noCustomer is an unknown customer.
func noCustomer(field, id string) error {
	return &llm.Error{Kind: llm.ErrNotFound, Type: "not_found", Param: field, Message: "End User Id=" + id + " does not exist in db"}
}

// customer is a customer by id. One who was only ever named in calls has no row yet, and begins with an empty one.
func (e *edit) customer(ctx context.Context, id string) (*account.Customer, error) {
	u, err := get(ctx, e.Customers, id)
	if err != nil || u != nil {
		return u, err
	}
	seen, err := e.Spends(ctx, customerSubject(id))
	if err != nil {
		return nil, err
	}
	if !hasSpent(seen) {
		return nil, noCustomer("user_id", id)
	}
	return &account.Customer{ID: id}, nil
}

// hasSpent says whether anything was spent since the books of an id were last closed.
func hasSpent(rows []account.Spend) bool {
	return slices.ContainsFunc(rows, func(s account.Spend) bool { return s.Spent() != 0 })
}

type customerIDsIn struct {
	IDs []string `json:"user_ids" need:"true"`
}

// customerBlock refuses the customers' calls from now on, those who never called included.
func (a *API) customerBlock(ctx context.Context, c *caller, in *customerIDsIn) (any, error) {
	all, err := a.setBlocked(ctx, c, in.IDs, true)
	if err != nil {
		return nil, err
	}
	rows, err := a.customersOut(ctx, all...)
	if err != nil {
		return nil, err
	}
	return object{"blocked_users": rows}, nil
}

func (a *API) customerUnblock(ctx context.Context, c *caller, in *customerIDsIn) (any, error) {
	all, err := a.setBlocked(ctx, c, in.IDs, false)
	if err != nil {
		return nil, err
	}
	still := []string{} // those of the call that are blocked after it
	for i := range all {
		if all[i].Blocked {
			still = append(still, all[i].ID)
		}
	}
	return object{"blocked_users": still}, nil
}

func (a *API) setBlocked(ctx context.Context, c *caller, ids []string, blocked bool) (all []account.Customer, err error) {
	if len(ids) == 0 {
		return nil, llm.Invalid("user_ids", "user_ids is empty")
	}
	err = a.edit(ctx, c, func(e *edit) error {
		for _, id := range ids {
			if err := customerID("user_ids", id); err != nil {
				return err
			}
			u, err := get(ctx, e.Customers, id)
			if err != nil {
				return err
			}
			var before *account.Customer
			switch {
			case u != nil:
				old := *u
				before = &old
			case blocked:
				u = &account.Customer{ID: id}
			default:
				return noCustomer("user_ids", id)
			}
			u.Blocked = blocked
			if err := e.putCustomer(ctx, before, u, &limitFields{}); err != nil {
				return err
			}
			all = append(all, *u)
		}
		return nil
	})
	return all, err
}

// customerDelete deletes customers and the budgets that were made for them. All or none.
func (a *API) customerDelete(ctx context.Context, c *caller, in *customerIDsIn) (any, error) {
	if len(in.IDs) == 0 {
		return nil, llm.Invalid("user_ids", "user_ids is empty")
	}
	ids := slices.Compact(slices.Sorted(slices.Values(in.IDs)))
	err := a.edit(ctx, c, func(e *edit) error {
		for _, id := range ids {
			u, err := get(ctx, e.Customers, id)
			if err != nil {
				return err
			}
			if u == nil {
				return noCustomer("user_ids", id)
			}
			if err := e.dropBudget(ctx, customerSubject(id), u.BudgetID); err != nil {
				return err
			}
			if _, err := e.Customers.Delete(ctx, id); err != nil {
				return err
			}
			if err := e.audit(ctx, "deleted", customerTable, id, u, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{"deleted_customers": len(ids), "message": "Successfully deleted customers with ids: " + strings.Join(ids, ", ")}, nil
}

type customerInfoIn struct {
	ID string `query:"end_user_id" need:"true"`
}

func (a *API) customerInfo(ctx context.Context, _ *caller, in *customerInfoIn) (any, error) {
	u, err := get(ctx, a.Store.Accounts().Customers, in.ID)
	if err != nil {
		return nil, err
	}
	if u == nil { // named in calls only
		seen, err := a.Store.Spends(ctx, customerSubject(in.ID))
		if err != nil {
			return nil, err
		}
		if !hasSpent(seen) {
			return nil, noCustomer("end_user_id", in.ID)
		}
		u = &account.Customer{ID: in.ID}
	}
	return a.customerOut(ctx, u)
}

type customerListIn struct {
	Page int64 `query:"page" default:"1" min:"1"`
	Size int64 `query:"page_size" default:"1000" min:"1" max:"1000"`
}

func (a *API) customerList(ctx context.Context, _ *caller, in *customerListIn) (any, error) {
	all, _, err := a.Store.Accounts().Customers.Find(ctx, store.Query{Limit: int(in.Size), Offset: int((in.Page - 1) * in.Size)})
	if err != nil {
		return nil, err
	}
	return a.customersOut(ctx, all...)
}
