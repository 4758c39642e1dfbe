package converse

import (
	"strconv"

	"github.com/weir-gateway/weir/internal/llm"
)

// thinking is what is asked of the model's reasoning, in Bedrock's and the model's terms.
type thinking struct {
	fields llm.Object // for additionalModelRequestFields
	effort string     // outputConfig.effort
	budget int64      // tokens of maxTokens that are for thinking
	claude bool       // a Claude model will think
}

// forbids says that the model will not have a forced tool, a temperature or top_k beside its thinking.
func (t thinking) forbids() bool { return t.claude }

const (
	minBudget     = 1024
	defaultBudget = 8192 // where a model without adaptive thinking shall decide itself: medium
	defaultAnswer = 4096 // room for the answer beyond a budget, where the client set no limit
)

// reasoning settles what is asked of the model's thinking. What it can't be asked is dropped.
func (e *encoder) reasoning() {
	r := e.req.Reasoning
	if r == nil {
		return
	}
	if e.own && e.asSaid(r) {
		return
	}
	budget, said := r.BudgetTokens()
	switch {
	case !said:
		return
	case budget == 0:
		switch {
		case e.f.version.Adaptive(): // it thinks unless told otherwise; older ones do not think unless asked
			e.think.fields = llm.Object{}.Add("thinking", llm.Raw(`{"type":"disabled"}`))
		case e.f.maker == "gpt-oss":
			e.drop("reasoning_effort")
		}
		return
	case !e.f.thinks(), e.t.Reasons != nil && !*e.t.Reasons:
		e.drop("reasoning_effort")
		return
	}
	switch e.f.maker {
	case "nova":
		e.think.fields = llm.Object{}.Add("reasoningConfig", llm.Raw(`{"type":"enabled","maxReasoningEffort":"`+e.novaEffort(r.EffortWord())+`"}`))
	case "gpt-oss":
		e.think.fields = llm.Object{}.Add("reasoning_effort", llm.Quote(threeWords(r.EffortWord())))
	default:
		e.claudeThinking(r, budget)
	}
}

// asSaid leaves the reasoning of a Converse client as it wrote it; false says that it stands nowhere in its additional fields.
func (e *encoder) asSaid(r *llm.Reasoning) bool {
	a := readAdditional(llm.ObjectOf(e.req.Extra[additionalKey]))
	switch {
	case a.reasoning == nil && r.Budget == nil && r.Summary == "" && r.Effort != "":
		e.think.effort = r.Effort
		return true
	case a.reasoning == nil:
		return false
	case a.reasoning.Effort != r.Effort:
		e.think.effort = r.Effort
	}
	return true
}

func (e *encoder) claudeThinking(r *llm.Reasoning, budget int64) {
	display := ""
	if e.f.version.Quiet() && e.req.ShowsThoughts() {
		display = `,"display":"summarized"`
	}
	if e.f.version.Adaptive() {
		e.think = thinking{claude: true, effort: e.f.version.Effort(r.EffortWord())}
		e.think.fields = llm.Object{}.Add("thinking", llm.Raw(`{"type":"adaptive"`+display+`}`))
		return
	}
	if llm.AmidTools(e.messages) { // this client did not keep the thought that led to its tool calls
		e.drop("reasoning_effort")
		return
	}
	if budget < 0 {
		budget = defaultBudget
	}
	budget = max(budget, minBudget)
	if limit := e.t.MaxOutput; limit > 0 && budget >= limit {
		if budget = limit / 2; budget < minBudget {
			e.drop("reasoning_effort")
			return
		}
	}
	e.think = thinking{claude: true, budget: budget}
	e.think.fields = llm.Object{}.Add("thinking", llm.Raw(`{"type":"enabled","budget_tokens":`+strconv.FormatInt(budget, 10)+`}`))
}

func threeWords(word string) string {
	switch word {
	case "minimal", "low":
		return "low"
	case "high", "xhigh", "max":
		return "high"
	}
	return "medium"
}

// novaEffort keeps Nova from its highest effort where the client set what that forbids.
func (e *encoder) novaEffort(word string) string {
	word = threeWords(word)
	if word == "high" && (e.req.MaxTokens != nil || e.req.Temperature != nil || e.req.TopP != nil) {
		return "medium"
	}
	return word
}

// additional writes additionalModelRequestFields: the client's own, less what is the gateway's, and what has no other place.
func (e *encoder) additional(count bool) {
	var o llm.Object
	raw := e.req.Extra[additionalKey]
	if e.own || e.req.From == llm.OpenAI {
		o = llm.ObjectOf(raw).Without("session_id", "enable_history")
	}
	given := len(o) > 0
	said := readAdditional(o)
	if k := e.req.TopK; k != nil && (said.topK == nil || *said.topK != *k) {
		o = e.topK(o, *k)
	}
	for _, m := range e.think.fields {
		o = o.With(m.Name, m.Value)
	}
	if p := e.req.ParallelTools; p != nil && !*p && said.parallel == nil && len(e.tools) > 0 {
		if e.f.serial() && (e.choice.word == "" || e.choice.word == "auto") && !e.answer {
			o = o.With("tool_choice", llm.Raw(`{"type":"auto","disable_parallel_tool_use":true}`))
		} else if !e.answer {
			e.drop("parallel_tool_calls")
		}
	}
	if count {
		o = o.Without("top_k", "topK", "inferenceConfig", "metadata", "user")
	}
	switch {
	case len(o) > 0:
		e.Raw(additionalKey, o.Raw())
	case e.own && llm.IsSet(raw) && !given && len(llm.ObjectOf(raw)) == 0:
		e.Raw(additionalKey, llm.Raw("{}"))
	}
}

func (e *encoder) topK(o llm.Object, k int64) llm.Object {
	name := e.f.topK()
	switch {
	case name == "", !e.own && (e.f.version.NoSampling() || e.think.forbids() || k < 1):
		e.drop("top_k")
	case name == "topK":
		inner := llm.ObjectOf(o.Get("inferenceConfig")).With("topK", llm.Raw(strconv.FormatInt(k, 10)))
		o = o.With("inferenceConfig", inner.Raw())
	default:
		o = o.With(name, llm.Raw(strconv.FormatInt(k, 10)))
	}
	return o
}
