package api

import (
	"context"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
)

func (a *API) tagRoutes() []route {
	return []route{
		{"POST", "/tag/new", admins, typed(a.tagNew)},
		{"POST", "/tag/update", admins, typed(a.tagUpdate)},
		{"POST", "/tag/info", readers, typed(a.tagInfo)},
		{"GET", "/tag/list", readers, typed(a.tagList)},
		{"POST", "/tag/delete", admins, typed(a.tagDelete)},
	}
}

// tagTable is what audit rows call tags.
const tagTable = "LiteLLM_TagTable"

type tagIn struct {
	Name        string        `json:"name" need:"true"`
	Description opt[string]   `json:"description"`
	Models      opt[[]string] `json:"models"`
	limitFields
}

func tagSubject(name string) account.Subject {
	return account.Subject{Kind: account.OfTag, ID: name}
}

// tagOut is a tag without its budget.
func tagOut(t *account.Tag) object {
	models := object{}
	for _, m := range t.Models {
		models[m] = m
	}
	return object{"name": t.Name, "description": text(t.Description), "models": list(t.Models), "model_info": models,
		"created_at": moment(t.Created), "updated_at": moment(t.Updated), "created_by": text(t.CreatedBy)}
}

// tagsOut are tags with their budgets.
func (a *API) tagsOut(ctx context.Context, all []account.Tag) ([]object, error) {
	spends, budgets, err := budgeted(ctx, a, account.OfTag, all, func(r *account.Tag) (id, budget string) { return r.Name, r.BudgetID })
	if err != nil {
		return nil, err
	}
	out := make([]object, 0, len(all))
	for i := range all {
		row, s := tagOut(&all[i]), spends[all[i].Name]
		row["spend"] = money(s.now)
		if _, table := a.budgetOf(all[i].Limits, budgets, s, a.budgetRow); table != nil {
			row["litellm_budget_table"] = table
		}
		out = append(out, row)
	}
	return out, nil
}

// put changes a tag and writes the row; before is nil for a new one.
func (in *tagIn) put(ctx context.Context, e *edit, before, t *account.Tag) error {
	in.Description.put(&t.Description)
	in.Models.put(&t.Models)
	for _, m := range t.Models {
		if err := customerID("models", m); err != nil {
			return err
		}
	}
	if in.BudgetID.or("") != "" && in.setsLimits() {
		return llm.Invalid("budget_id", "Set either a budget_id or max_budget and its siblings, not both")
	}
	var was account.Limits
	if before != nil {
		was = before.Limits
	}
	err := e.rebound(ctx, tagSubject(t.Name), was, &t.Limits, func() error {
		if err := e.boundBy(ctx, tagSubject(t.Name), &t.Limits, &in.limitFields); err != nil {
			return err
		}
		e.stamp(&t.Stamp)
		return e.Tags.Put(ctx, t)
	})
	if err != nil {
		return err
	}
	return written(ctx, e, tagTable, t.Name, before, t)
}

func (a *API) tagNew(ctx context.Context, c *caller, in *tagIn) (any, error) {
	if err := customerID("name", in.Name); err != nil {
		return nil, err
	}
	t := &account.Tag{Name: in.Name}
	err := a.edit(ctx, c, func(e *edit) error {
		if have, err := get(ctx, e.Tags, in.Name); err != nil {
			return err
		} else if have != nil {
			return &detail{status: 400, text: "Tag " + in.Name + " already exists", bare: true}
		}
		return in.put(ctx, e, nil, t)
	})
	if err != nil {
		return nil, err
	}
	return object{"message": "Tag " + t.Name + " created successfully", "tag": tagOut(t)}, nil
}

// noTag is an unknown tag.
func noTag(name string) error {
	return &detail{status: 404, text: "Tag " + name + " not found", bare: true}
}

func (a *API) tagUpdate(ctx context.Context, c *caller, in *tagIn) (any, error) {
	var t *account.Tag
	err := a.edit(ctx, c, func(e *edit) (err error) {
		if t, err = get(ctx, e.Tags, in.Name); err != nil {
			return err
		}
		if t == nil {
			return noTag(in.Name)
		}
		before := *t
		return in.put(ctx, e, &before, t)
	})
	if err != nil {
		return nil, err
	}
	return object{"message": "Tag " + t.Name + " updated successfully", "tag": tagOut(t)}, nil
}

type tagInfoIn struct {
	Names []string `json:"names" need:"true"`
}

func (a *API) tagInfo(ctx context.Context, _ *caller, in *tagInfoIn) (any, error) {
	found, err := a.Store.Accounts().Tags.List(ctx, in.Names...)
	if err != nil {
		return nil, err
	}
	rows, err := a.tagsOut(ctx, found)
	if err != nil {
		return nil, err
	}
	out := object{}
	for i := range found {
		out[found[i].Name] = rows[i]
	}
	for _, name := range in.Names {
		if out[name] == nil {
			return nil, &detail{status: 404, text: "Tags not found: ['" + name + "']", bare: true}
		}
	}
	return out, nil
}

func (a *API) tagList(ctx context.Context, _ *caller, _ *struct{}) (any, error) {
	found, _, err := a.Store.Accounts().Tags.Find(ctx, store.Query{})
	if err != nil {
		return nil, err
	}
	return a.tagsOut(ctx, found)
}

type tagDeleteIn struct {
	Name string `json:"name" need:"true"`
}

func (a *API) tagDelete(ctx context.Context, c *caller, in *tagDeleteIn) (any, error) {
	err := a.edit(ctx, c, func(e *edit) error {
		t, err := get(ctx, e.Tags, in.Name)
		if err != nil {
			return err
		}
		if t == nil {
			return noTag(in.Name)
		}
		if err := e.dropBudget(ctx, tagSubject(t.Name), t.BudgetID); err != nil {
			return err
		}
		if _, err := e.Tags.Delete(ctx, t.Name); err != nil {
			return err
		}
		return e.audit(ctx, "deleted", tagTable, t.Name, t, nil)
	})
	if err != nil {
		return nil, err
	}
	return object{"message": "Tag " + in.Name + " deleted successfully"}, nil
}
