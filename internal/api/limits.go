package api

import (
	"context"
	"maps"
	"slices"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// limitFields are the limits and budgets that most kinds of account take in a request.
type limitFields struct {
	MaxBudget      opt[money]                    `json:"max_budget" min:"0"`
	SoftBudget     opt[money]                    `json:"soft_budget" min:"0"`
	BudgetDuration opt[string]                   `json:"budget_duration"`
	RPM            opt[int64]                    `json:"rpm_limit" min:"0"`
	TPM            opt[int64]                    `json:"tpm_limit" min:"0"`
	Parallel       opt[int64]                    `json:"max_parallel_requests" min:"0"`
	ModelRPM       opt[map[string]int64]         `json:"model_rpm_limit"`
	ModelTPM       opt[map[string]int64]         `json:"model_tpm_limit"`
	ModelBudget    opt[map[string]modelBudgetIn] `json:"model_max_budget"`
	Windows        opt[[]windowIn]               `json:"budget_limits"`
	BudgetID       opt[string]                   `json:"budget_id"`
}

// modelBudgetIn is a model's budget; the second pair of names is LiteLLM's other spelling.
type modelBudgetIn struct {
	Limit    *money `json:"budget_limit" min:"0"`
	Period   string `json:"time_period"`
	Budget   *money `json:"max_budget" min:"0"`
	Duration string `json:"budget_duration"`
	RPM      *int64 `json:"rpm_limit" min:"0"`
	TPM      *int64 `json:"tpm_limit" min:"0"`
}

type windowIn struct {
	Duration string `json:"budget_duration" need:"true"`
	Budget   money  `json:"max_budget" need:"true" min:"0"`
}

// apply puts the fields that were given into l. Its errors name the field.
func (f *limitFields) apply(l *account.Limits) error {
	putNanos(f.MaxBudget, &l.MaxBudget)
	putNanos(f.SoftBudget, &l.SoftBudget)
	f.RPM.putPtr(&l.RPM)
	f.TPM.putPtr(&l.TPM)
	f.Parallel.putPtr(&l.Parallel)
	f.BudgetID.put(&l.BudgetID)
	if err := period("budget_duration", f.BudgetDuration.or("")); err != nil {
		return err
	}
	f.BudgetDuration.put(&l.BudgetDuration)
	for name, m := range map[string]opt[map[string]int64]{"model_rpm_limit": f.ModelRPM, "model_tpm_limit": f.ModelTPM} {
		for model, n := range m.or(nil) {
			if n < 0 {
				return llm.Invalid(name, "%s must be a non-negative finite number. Received: %d for %s", name, n, model)
			}
		}
	}
	f.ModelRPM.put(&l.ModelRPM)
	f.ModelTPM.put(&l.ModelTPM)
	if f.Windows.Set {
		l.Windows = nil
		for _, w := range f.Windows.or(nil) {
			if err := period("budget_limits", w.Duration); err != nil {
				return err
			}
			if slices.ContainsFunc(l.Windows, func(have account.Window) bool { return have.Duration == w.Duration }) {
				return llm.Invalid("budget_limits", "budget_limits has two budgets for %s", w.Duration)
			}
			l.Windows = append(l.Windows, account.Window{Duration: w.Duration, MaxBudget: llm.Nanos(w.Budget)})
		}
	}
	return f.applyModels(l)
}

func (f *limitFields) applyModels(l *account.Limits) error {
	if !f.ModelBudget.Set {
		return nil
	}
	l.ModelBudget = nil
	for model, in := range f.ModelBudget.or(nil) {
		b := account.ModelBudget{Period: in.Period, RPM: in.RPM, TPM: in.TPM}
		if b.Period == "" {
			b.Period = in.Duration
		}
		limit := in.Limit
		if limit == nil {
			limit = in.Budget
		}
		if limit == nil && b.RPM == nil && b.TPM == nil {
			return llm.Invalid("model_max_budget", "Invalid model_max_budget: %s has no budget_limit", model)
		}
		if limit == nil { // rpm and tpm alone
			putModelLimit(&l.ModelRPM, model, b.RPM)
			putModelLimit(&l.ModelTPM, model, b.TPM)
			continue
		}
		if err := period("model_max_budget", b.Period); err != nil {
			return err
		}
		b.Limit = llm.Nanos(*limit)
		if l.ModelBudget == nil {
			l.ModelBudget = map[string]account.ModelBudget{}
		}
		l.ModelBudget[model] = b
	}
	return nil
}

func putModelLimit(to *map[string]int64, model string, n *int64) {
	if n == nil {
		return
	}
	if *to = maps.Clone(*to); *to == nil {
		*to = map[string]int64{}
	}
	(*to)[model] = *n
}

func putNanos(from opt[money], to **llm.Nanos) {
	if !from.Set {
		return
	}
	*to = nil
	if from.Value != nil {
		n := llm.Nanos(*from.Value)
		*to = &n
	}
}

// period checks a duration; empty is none.
func period(field, text string) error {
	if text == "" {
		return nil
	}
	if _, err := account.ParsePeriod(text); err != nil {
		return llm.Invalid(field, "Invalid %s: %v", field, err)
	}
	return nil
}

// windows makes the budget periods of an account run by its limits: those that are new or of another length begin now, those that are gone
// end, the rest run on. Call it after the account was put; before is nil for a new one.
func (e *edit) windows(ctx context.Context, s account.Subject, before, after *account.Limits) error {
	if before == nil {
		before = &account.Limits{}
	}
	old, err := e.duration(ctx, before)
	if err != nil {
		return err
	}
	duration, err := e.duration(ctx, after)
	if err != nil {
		return err
	}
	if old != duration {
		e.start(s, "", duration)
	}
	for _, w := range before.Windows {
		if !slices.ContainsFunc(after.Windows, func(x account.Window) bool { return x.Duration == w.Duration }) {
			e.StartWindow(s, w.Duration, "", 0)
		}
	}
	for _, w := range after.Windows {
		if !slices.ContainsFunc(before.Windows, func(x account.Window) bool { return x.Duration == w.Duration }) {
			e.start(s, w.Duration, w.Duration)
		}
	}
	for model := range before.ModelBudget {
		if _, ok := after.ModelBudget[model]; !ok {
			e.start(account.Subject{Kind: s.Kind, ID: s.ID, Model: model}, "", "")
		}
	}
	for model, b := range after.ModelBudget {
		if before.ModelBudget[model].Period != b.Period {
			e.start(account.Subject{Kind: s.Kind, ID: s.ID, Model: model}, "", b.Period)
		}
	}
	return nil
}

// duration is how long an account's budget runs: its own, else that of the budget it shares.
func (e *edit) duration(ctx context.Context, l *account.Limits) (string, error) {
	if l.BudgetDuration != "" || l.BudgetID == "" {
		return l.BudgetDuration, nil
	}
	b, err := get(ctx, e.Budgets, l.BudgetID)
	if b == nil {
		return "", err
	}
	return b.BudgetDuration, nil
}

func (e *edit) start(s account.Subject, window, duration string) {
	var ends int64
	if p, err := account.ParsePeriod(duration); err == nil {
		ends = p.NextReset(e.now).UnixMilli()
	}
	e.StartWindow(s, window, duration, ends)
}

// budgetID checks that a shared budget is there.
func (e *edit) budgetID(ctx context.Context, l *account.Limits) error {
	if l.BudgetID == "" {
		return nil
	}
	b, err := get(ctx, e.Budgets, l.BudgetID)
	if err == nil && b == nil {
		return notFound("budget_id", "Budget not found, passed budget_id=%s. Create it via `/budget/new`.", l.BudgetID)
	}
	return err
}

// limitsOut are the limits as replies show them.
func limitsOut(o object, l *account.Limits) {
	o["max_budget"], o["soft_budget"] = dollars(l.MaxBudget), dollars(l.SoftBudget)
	o["budget_duration"] = text(l.BudgetDuration)
	o["rpm_limit"], o["tpm_limit"], o["max_parallel_requests"] = number(l.RPM), number(l.TPM), number(l.Parallel)
	o["model_rpm_limit"], o["model_tpm_limit"] = orNull(l.ModelRPM), orNull(l.ModelTPM)
	o["model_max_budget"] = modelBudgetsOut(l.ModelBudget)
	o["budget_id"] = text(l.BudgetID)
}

func modelBudgetsOut(in map[string]account.ModelBudget) object {
	out := object{}
	for model, b := range in {
		row := object{"budget_limit": money(b.Limit), "time_period": text(b.Period)}
		if b.RPM != nil {
			row["rpm_limit"] = *b.RPM
		}
		if b.TPM != nil {
			row["tpm_limit"] = *b.TPM
		}
		out[model] = row
	}
	return out
}

// windowsOut are the further budgets, with when each ends.
func windowsOut(l *account.Limits, s spent) any {
	if len(l.Windows) == 0 {
		return nil
	}
	var out []object
	for _, w := range l.Windows {
		out = append(out, object{"budget_duration": w.Duration, "max_budget": money(w.MaxBudget), "reset_at": moment(s.windows[w.Duration].ResetAt)})
	}
	return out
}

// withModelLimits is an account's metadata as LiteLLM shows it: with the limits per model in it.
func withModelLimits(metadata map[string]any, l *account.Limits) map[string]any {
	out := maps.Clone(metadata)
	if out == nil {
		out = map[string]any{}
	}
	if len(l.ModelRPM) > 0 {
		out["model_rpm_limit"] = l.ModelRPM
	}
	if len(l.ModelTPM) > 0 {
		out["model_tpm_limit"] = l.ModelTPM
	}
	return out
}
