package openai

import (
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// What the providers that speak this dialect do not take, as far as it is known to end in a 400 or 422. A provider that is not listed is
// sent everything: most ignore what they don't know.

// unspoken lists request parameters by provider.
var unspoken = map[string][]string{
	"openai":       {"top_k", "min_p"},
	"azure":        {"top_k", "min_p"},
	"groq":         {"top_k", "min_p", "logprobs", "top_logprobs", "logit_bias", "messages.name", "prompt_cache_key", "safety_identifier", "verbosity"},
	"cerebras":     {"top_k", "min_p", "logit_bias", "frequency_penalty", "presence_penalty", "safety_identifier", "verbosity", "store"},
	"deepseek":     {"top_k", "min_p"},
	"xai":          {"top_k", "min_p", "logit_bias"},
	"mistral":      mistralUnspoken,
	"codestral":    mistralUnspoken,
	"fireworks_ai": {"safety_identifier", "verbosity", "store"},
}

var mistralUnspoken = []string{
	"top_k", "min_p", "logit_bias", "logprobs", "top_logprobs", "user", "service_tier", "store", "verbosity", "safety_identifier",
	"prompt_cache_key", "messages.name",
}

// province is what the encoder knows of the target beside its model.
type province struct {
	t *llm.Target
	// own is OpenAI itself or Azure: it has the developer role and max_completion_tokens.
	own bool
	// strict providers refuse members they don't know within messages and tools.
	strict bool
	// reasons: a reasoning model of OpenAI's.
	reasons bool
	// fixed: one that refuses sampling parameters as well.
	fixed bool
}

func provinceOf(t *llm.Target) province {
	p := province{t: t}
	switch t.Provider {
	case "openai", "azure":
		p.own, p.strict = true, true
		model := t.Model[strings.LastIndexByte(t.Model, '/')+1:]
		p.reasons = hasAnyPrefix(model, "o1", "o3", "o4", "gpt-5", "codex-") && !strings.HasPrefix(model, "gpt-5-chat")
		if t.Reasons != nil && *t.Reasons {
			p.reasons = true
		}
		p.fixed = p.reasons && !strings.HasPrefix(model, "gpt-5.")
	case "groq", "cerebras", "mistral", "codestral", "fireworks_ai":
		p.strict = true
	}
	return p
}

func (p *province) mistral() bool { return p.t.Provider == "mistral" || p.t.Provider == "codestral" }

// details tells whether the provider takes reasoning back as reasoning_details.
func (p *province) details() bool {
	switch p.t.Provider {
	case "openrouter", "vercel_ai_gateway", "vercel":
		return true
	}
	return false
}

// flatReasoning is the name under which the provider takes earlier reasoning back, empty if it does not.
func (p *province) flatReasoning() string {
	switch p.t.Provider {
	case "openai", "azure", "fireworks_ai":
		return ""
	case "groq", "cerebras":
		return "reasoning"
	}
	return "reasoning_content"
}

func (p *province) takes(param string) bool { return !slices.Contains(unspoken[p.t.Provider], param) }

// refusesEffort tells whether reasoning_effort is known to be refused: the model does not think.
func (p *province) refusesEffort() bool {
	if p.t.Reasons != nil {
		return !*p.t.Reasons
	}
	model := p.t.Model[strings.LastIndexByte(p.t.Model, '/')+1:]
	return p.own && hasAnyPrefix(model, "gpt-3", "gpt-4", "chatgpt", "gpt-5-chat")
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
