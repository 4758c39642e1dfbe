package anthropic

import (
	"github.com/weir-gateway/weir/internal/llm"
)

const (
	minBudget        = 1024
	defaultMaxTokens = 4096
	defaultBudget    = 8192 // where a model without adaptive thinking shall decide itself: medium
)

// thinking is what is asked of the model's reasoning, in Anthropic's terms.
type thinking struct {
	kind    string // enabled, adaptive, disabled; empty: not said
	budget  int64  // with enabled
	display string // summarized, omitted; empty: not said
	effort  string // output_config.effort
}

// on says that the model will think, with what that forbids: a forced tool, a temperature, top_k.
func (t thinking) on() bool { return t.kind == "enabled" || t.kind == "adaptive" }

// thinkingOf translates the reasoning of a request for the model. A client of this dialect is taken at its word.
func thinkingOf(req *llm.Request, t *llm.Target) (th thinking, ok bool) {
	r := req.Reasoning
	if r == nil {
		return th, true
	}
	if req.From == llm.Anthropic {
		th.effort, th.display = r.Effort, r.Summary
		switch {
		case r.Budget == nil:
			th.display = ""
		case *r.Budget == 0:
			th.kind = "disabled"
		case *r.Budget < 0:
			th.kind = "adaptive"
		default:
			th.kind, th.budget = "enabled", *r.Budget
		}
		return th, true
	}
	claude := llm.ClaudeOf(t.Model)
	budget, said := r.BudgetTokens()
	switch {
	case !said:
		return th, true
	case budget == 0:
		// Models that think unless told otherwise are told; the older ones do not think unless asked.
		if claude.Adaptive() {
			th.kind = "disabled"
		}
		return th, true
	case !claude.Thinks(), t.Reasons != nil && !*t.Reasons:
		return th, false
	case claude.Adaptive():
		th.kind, th.effort = "adaptive", claude.Effort(r.EffortWord())
		if claude.Quiet() && req.ShowsThoughts() {
			th.display = "summarized"
		}
		return th, true
	case budget < 0:
		budget = defaultBudget
	}
	th.kind, th.budget = "enabled", max(budget, minBudget)
	return th, true
}
