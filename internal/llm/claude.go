package llm

import (
	"strconv"
	"strings"
)

// Claude is the version of a Claude model in tenths, 46 is 4.6, which says what the model takes wherever it runs. 0 is another model, or one
// whose name does not tell: such a one is asked in the oldest way, which all of them know.
type Claude int

// ClaudeOf reads names such as claude-3-7-sonnet-20250219, us.anthropic.claude-opus-4-6-v1, claude-sonnet-4@20250514 and claude-sonnet-5.
func ClaudeOf(model string) Claude {
	_, name, ok := strings.Cut(strings.ToLower(model), "claude-")
	if !ok {
		return 0
	}
	words := strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("-.@:_/", r) })
	for i, w := range words {
		major, err := strconv.Atoi(strings.TrimPrefix(w, "v"))
		if err != nil || major > 99 {
			continue
		}
		minor := 0
		if i+1 < len(words) {
			if n, err := strconv.Atoi(words[i+1]); err == nil && n < 10 {
				minor = n
			}
		}
		return Claude(major*10 + minor)
	}
	return 0
}

// Thinks says that the model may think; an unknown one may.
func (c Claude) Thinks() bool { return c == 0 || c >= 37 }

// Adaptive says that the model is asked by effort and decides itself; older ones want a budget in tokens.
func (c Claude) Adaptive() bool { return c >= 46 }

// Quiet says that the model hides its thoughts unless asked to summarise them.
func (c Claude) Quiet() bool { return c >= 47 }

// NoSampling says that temperature, top_p and top_k are refused.
func (c Claude) NoSampling() bool { return c >= 47 }

// OneSampling says that temperature and top_p are refused together.
func (c Claude) OneSampling() bool { return c >= 41 }

// Structured says that JSON schemas are enforced, for tools on demand.
func (c Claude) Structured() bool { return c >= 45 }

// Effort is an effort in the words that the model has.
func (c Claude) Effort(word string) string {
	switch {
	case word == "minimal":
		return "low"
	case word == "xhigh" && c < 47:
		return "high"
	}
	return word
}

// ShowsThoughts says whether the client will see the model's thoughts: chat and Converse clients always do, the others if they asked.
func (r *Request) ShowsThoughts() bool {
	t := r.Reasoning
	switch {
	case t == nil:
		return false
	case t.Include != nil:
		return *t.Include
	case t.Summary == "omitted":
		return false
	}
	return r.From == OpenAI || r.From == Converse || t.Summary != ""
}
