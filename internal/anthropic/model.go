package anthropic

import (
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// generation is what a Claude model's name says of its abilities. Versions count in tenths: 46 is 4.6. Unknown names that are not
// Claude's (compatible servers have their own models) have version 0 and are asked in the oldest way, which all of them know.
type generation struct{ version int }

// generationOf reads names such as claude-3-7-sonnet-20250219, us.anthropic.claude-opus-4-6-v1, claude-sonnet-4@20250514 and
// claude-sonnet-5.
func generationOf(model string) generation {
	_, name, ok := strings.Cut(strings.ToLower(model), "claude-")
	if !ok {
		return generation{}
	}
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '.' || r == '@' || r == ':' || r == '_' || r == '/' })
	for i, w := range words {
		major, err := strconv.Atoi(w)
		if err != nil || major > 99 {
			continue
		}
		minor := 0
		if i+1 < len(words) {
			if n, err := strconv.Atoi(words[i+1]); err == nil && n < 10 {
				minor = n
			}
		}
		return generation{major*10 + minor}
	}
	return generation{}
}

// claude says that the model is known.
func (g generation) claude() bool { return g.version > 0 }

// thinks says that the model may think; an unknown one may.
func (g generation) thinks() bool { return !g.claude() || g.version >= 37 }

// adaptive says that the model is asked by effort and decides itself; older ones want a budget in tokens.
func (g generation) adaptive() bool { return g.version >= 46 }

// quiet says that the model hides its thoughts unless asked to summarise them.
func (g generation) quiet() bool { return g.version >= 47 }

// noSampling says that temperature, top_p and top_k are refused.
func (g generation) noSampling() bool { return g.version >= 47 }

// oneSampling says that temperature and top_p are refused together.
func (g generation) oneSampling() bool { return g.version >= 41 }

// structured says that JSON schemas are enforced: for tools on demand.
func (g generation) structured() bool { return g.version >= 45 }

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
	g := generationOf(t.Model)
	budget, said := r.BudgetTokens()
	switch {
	case !said:
		return th, true
	case budget == 0:
		// Models that think unless told otherwise are told; the older ones do not think unless asked.
		if g.adaptive() {
			th.kind = "disabled"
		}
		return th, true
	case !g.thinks(), t.Reasons != nil && !*t.Reasons:
		return th, false
	case g.adaptive():
		th.kind, th.effort, th.display = "adaptive", effortFor(r.EffortWord(), g), displayFor(req, g)
		return th, true
	case budget < 0:
		budget = defaultBudget
	}
	th.kind, th.budget = "enabled", max(budget, minBudget)
	return th, true
}

func effortFor(word string, g generation) string {
	switch word {
	case "minimal":
		return "low"
	case "xhigh":
		if g.version < 47 {
			return "high"
		}
	}
	return word
}

// displayFor says whether the client will see thoughts: chat and Converse clients always do, the others if they asked.
func displayFor(req *llm.Request, g generation) string {
	r := req.Reasoning
	shown := req.From == llm.OpenAI || req.From == llm.Converse || r.Summary != ""
	if r.Include != nil {
		shown = *r.Include
	}
	if shown && g.quiet() {
		return "summarized"
	}
	return ""
}
