package litellm

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// moment is a timestamp column: Unix milliseconds, 0 for null.
type moment int64

// UnmarshalJSON reads it as to_jsonb writes it; without a zone it is UTC.
func (m *moment) UnmarshalJSON(b []byte) error {
	*m = 0
	var s *string
	if err := json.Unmarshal(b, &s); err != nil || s == nil {
		return err
	}
	for _, layout := range []string{"2006-01-02T15:04:05", time.RFC3339} {
		if t, err := time.Parse(layout, *s); err == nil {
			*m = moment(t.UnixMilli())
			return nil
		}
	}
	return fmt.Errorf("%q is no time", *s)
}

func nanos(usd float64) llm.Nanos { return llm.Nanos(math.Round(usd * 1e9)) }

func nanosOf(usd *float64) *llm.Nanos {
	if usd == nil {
		return nil
	}
	n := nanos(*usd)
	return &n
}

// limitsRow are the columns that bound an account, in whatever table.
type limitsRow struct {
	MaxBudget   *float64           `json:"max_budget"`
	SoftBudget  *float64           `json:"soft_budget"`
	Duration    string             `json:"budget_duration"`
	ResetAt     moment             `json:"budget_reset_at"`
	Parallel    *int64             `json:"max_parallel_requests"`
	TPM         *int64             `json:"tpm_limit"`
	RPM         *int64             `json:"rpm_limit"`
	ModelBudget jsontext.Value     `json:"model_max_budget"`
	Windows     jsontext.Value     `json:"budget_limits"`
	BudgetID    string             `json:"budget_id"`
	Spend       float64            `json:"spend"`
	ModelSpend  map[string]float64 `json:"model_spend"`
}

type stampRow struct {
	Created   moment `json:"created_at"`
	CreatedBy string `json:"created_by"`
	Updated   moment `json:"updated_at"`
	UpdatedBy string `json:"updated_by"`
}

func (s stampRow) stamp() account.Stamp {
	return account.Stamp{Created: int64(s.Created), CreatedBy: s.CreatedBy, Updated: int64(s.Updated), UpdatedBy: s.UpdatedBy}
}

func (im *importer) limits(of string, r *limitsRow) account.Limits {
	l := account.Limits{MaxBudget: nanosOf(r.MaxBudget), SoftBudget: nanosOf(r.SoftBudget), BudgetDuration: im.duration(of, r.Duration), RPM: r.RPM,
		TPM: r.TPM, Parallel: r.Parallel, BudgetID: r.BudgetID}
	if l.BudgetID != "" && im.budgets[l.BudgetID] == nil {
		im.note("%s: its budget %q does not exist; it has none now", of, l.BudgetID)
		l.BudgetID = ""
	}
	im.modelBudgets(of, r.ModelBudget, &l)
	var windows []struct {
		Duration  string  `json:"budget_duration"`
		MaxBudget float64 `json:"max_budget"`
	}
	if err := decode(r.Windows, &windows); err != nil {
		im.note("%s: budget_limits are left out: %v", of, err)
	}
	for _, w := range windows {
		if d := im.duration(of, w.Duration); d != "" {
			l.Windows = append(l.Windows, account.Window{Duration: d, MaxBudget: nanos(w.MaxBudget)})
		}
	}
	return l
}

// modelBudgets reads {model: {budget_limit, time_period, ...}}, or older {model: dollars}.
func (im *importer) modelBudgets(of string, text jsontext.Value, l *account.Limits) {
	var all map[string]jsontext.Value
	if err := decode(text, &all); err != nil {
		im.note("%s: model_max_budget is left out: %v", of, err)
	}
	for _, model := range slices.Sorted(maps.Keys(all)) {
		var b struct {
			Limit    *float64 `json:"budget_limit"`
			Period   string   `json:"time_period"`
			Budget   *float64 `json:"max_budget"`
			Duration string   `json:"budget_duration"`
			RPM      *int64   `json:"rpm_limit"`
			TPM      *int64   `json:"tpm_limit"`
		}
		if all[model].Kind() == '0' {
			b.Limit = new(float64)
			if err := json.Unmarshal(all[model], b.Limit); err != nil {
				im.note("%s: model_max_budget of %s is left out: %v", of, model, err)
				continue
			}
		} else if err := decode(all[model], &b); err != nil {
			im.note("%s: model_max_budget of %s is left out: %v", of, model, err)
			continue
		}
		if b.Limit == nil {
			b.Limit = b.Budget
		}
		if b.Period == "" {
			b.Period = b.Duration
		}
		if b.Limit == nil {
			setRate(&l.ModelRPM, model, b.RPM)
			setRate(&l.ModelTPM, model, b.TPM)
			continue
		}
		if l.ModelBudget == nil {
			l.ModelBudget = map[string]account.ModelBudget{}
		}
		l.ModelBudget[model] = account.ModelBudget{Limit: nanos(*b.Limit), Period: im.duration(of, b.Period), RPM: b.RPM, TPM: b.TPM}
	}
}

func setRate(to *map[string]int64, model string, n *int64) {
	if n == nil {
		return
	}
	if *to == nil {
		*to = map[string]int64{}
	}
	(*to)[model] = *n
}

// duration checks a period; one that nobody can read never ends.
func (im *importer) duration(of, text string) string {
	if text == "" {
		return ""
	}
	if _, err := account.ParsePeriod(text); err != nil {
		im.note("%s: the duration %q is not one of ours; its budget is never reset now", of, text)
		return ""
	}
	return text
}

// decode reads a JSON column, which older versions wrote as a text that holds JSON. Null and nothing leave out as it is.
func decode(v jsontext.Value, out any) error {
	if len(v) > 0 && v.Kind() == '"' {
		var text string
		if err := json.Unmarshal(v, &text); err != nil {
			return err
		}
		v = jsontext.Value(text)
	}
	if len(v) == 0 || v.Kind() == 'n' {
		return nil
	}
	return json.Unmarshal(v, out)
}

// metadata reads a metadata column and takes the settings out that have fields of their own here.
func (im *importer) metadata(of string, v jsontext.Value, l *account.Limits) (meta map[string]any, tags []string) {
	var split struct {
		RPM  map[string]int64 `json:"model_rpm_limit"`
		TPM  map[string]int64 `json:"model_tpm_limit"`
		Tags []string         `json:"tags"`
	}
	if err := decode(v, &meta); err != nil {
		im.note("%s: its metadata is left out: %v", of, err)
		return nil, nil
	}
	if err := decode(v, &split); err != nil {
		im.note("%s: limits and tags within its metadata stay there unused: %v", of, err)
		return meta, nil
	}
	for model, n := range split.RPM {
		setRate(&l.ModelRPM, model, &n)
	}
	for model, n := range split.TPM {
		setRate(&l.ModelTPM, model, &n)
	}
	for _, name := range []string{"model_rpm_limit", "model_tpm_limit", "tags"} {
		delete(meta, name)
	}
	return meta, split.Tags
}

// extras are the columns among names that hold something.
func extras(fields map[string]jsontext.Value, names ...string) account.Extra {
	var out account.Extra
	for _, name := range names {
		switch string(fields[name]) {
		case "", "null", "{}", "[]", `""`, "false":
			continue
		}
		if out == nil {
			out = account.Extra{}
		}
		out[name] = fields[name]
	}
	return out
}

// booking is what LiteLLM says that an account has spent.
func (im *importer) booking(s account.Subject, r *limitsRow, l *account.Limits) booking {
	b := booking{subject: s, spent: r.Spend, duration: l.BudgetDuration, reset: r.ResetAt, windows: l.Windows, models: l.ModelBudget, byModel: r.ModelSpend}
	if shared := im.budgets[l.BudgetID]; shared != nil && b.duration == "" {
		b.duration, b.reset = shared.Duration, shared.ResetAt
	}
	return b
}
