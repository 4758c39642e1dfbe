package usage

import (
	"strings"
)

// Lookup finds a model's entry: under provider/model, then under the bare model if the entry is that provider's; then the same for the
// model without what providers and people add to a name (a region, a date, a revision). An empty provider takes any.
func (p *Prices) Lookup(provider, model string) (*Price, bool) {
	for _, t := range []*table{p.user, p.base()} {
		if t == nil {
			continue
		}
		if found, ok := t.spelled(provider, model); ok {
			return found, true
		}
		for _, name := range spellings(provider, model) {
			if found, ok := t.spelled(provider, name); ok {
				return found, true
			}
		}
	}
	return nil, false
}

// spelled finds a model under just this name.
func (t *table) spelled(provider, name string) (*Price, bool) {
	if provider != "" {
		if found, ok := t.price(provider + "/" + name); ok {
			return found, true
		}
	}
	found, ok := t.price(name)
	if !ok || !sameProvider(found.Provider, provider) {
		return nil, false
	}
	return found, true
}

// sameProvider says that an entry is the provider's own. The map has families (bedrock_converse, vertex_ai-language-models).
func sameProvider(entry, provider string) bool {
	if provider == "" || entry == "" || entry == provider {
		return true
	}
	family := func(a, b string) bool {
		rest, ok := strings.CutPrefix(a, b)
		return ok && (rest[0] == '_' || rest[0] == '-')
	}
	if family(entry, provider) || family(provider, entry) {
		return true
	}
	return providerAlias[provider] == entry || providerAlias[entry] == provider
}

// providerAlias pairs prefixes of model names with the map's word for who is paid.
var providerAlias = map[string]string{
	"text-completion-openai": "openai", "custom_openai": "openai", "openai_like": "openai", "azure_text": "azure",
	"text-completion-codestral": "codestral", "cohere_chat": "cohere", "sagemaker_chat": "sagemaker", "ollama_chat": "ollama",
	"ai21_chat": "ai21", "vertex_ai_beta": "vertex_ai",
}

// spellings lists the names a model may be under, the most exact first.
func spellings(provider, model string) []string {
	var out []string
	add := func(s string) {
		if s == "" {
			return
		}
		for _, have := range out {
			if have == s {
				return
			}
		}
		out = append(out, s)
	}
	add(model)
	if rest, ok := strings.CutPrefix(model, provider+"/"); ok && provider != "" {
		add(rest)
	}
	// Each step works on what the steps before found, so that they combine.
	for _, step := range []func(string) string{strings.ToLower, arnTail, routePrefix, fineTuned, versionTail, region, dateTail} {
		for _, s := range out[:len(out):len(out)] {
			add(step(s))
		}
	}
	return out
}

// arnTail is the model id within an AWS ARN.
func arnTail(s string) string {
	if !strings.HasPrefix(s, "arn:") {
		return ""
	}
	return s[strings.LastIndexByte(s, '/')+1:]
}

// routePrefix strips words that choose a way to the model (bedrock/converse/, models/, openai/responses/), then its AWS region.
func routePrefix(s string) string {
	for _, prefix := range []string{"converse/", "converse_like/", "invoke/", "models/", "responses/", "publishers/google/models/",
		"publishers/anthropic/models/"} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return rest
		}
	}
	head, rest, ok := strings.Cut(s, "/")
	if ok && strings.Count(head, "-") >= 2 && head[len(head)-1] >= '0' && head[len(head)-1] <= '9' && strings.Contains(rest, ".") {
		return rest
	}
	return ""
}

// fineTuned is the base of a fine-tuned OpenAI model: ft:gpt-4o-mini-2024-07-18:org::id is priced as ft:gpt-4o-mini-2024-07-18.
func fineTuned(s string) string {
	if rest, ok := strings.CutPrefix(s, "ft:"); ok {
		base, _, _ := strings.Cut(rest, ":")
		return "ft:" + base
	}
	return ""
}

// versionTail strips Vertex's @revision and tags such as :free or -latest.
func versionTail(s string) string {
	if i := strings.IndexByte(s, '@'); i > 0 {
		return s[:i]
	}
	if rest, ok := strings.CutSuffix(s, "-latest"); ok {
		return rest
	}
	if i := strings.LastIndexByte(s, ':'); i > 0 && !strings.HasPrefix(s, "ft:") && !strings.HasPrefix(s, "arn:") {
		// Bedrock's throughput variants: ...-v1:0:200k; a plain :0 belongs to the name.
		if strings.Count(s, ":") > 1 || len(s)-i > 3 {
			return s[:i]
		}
	}
	return ""
}

// region strips Bedrock's cross-region prefix.
func region(s string) string {
	head, rest, ok := strings.Cut(s, ".")
	if !ok {
		return ""
	}
	switch head {
	case "us", "eu", "apac", "ap", "au", "jp", "ca", "sa", "global", "us-gov":
		return rest
	}
	return ""
}

// dateTail strips a date: -2024-07-18 or -20250929, and on Bedrock what follows it.
func dateTail(s string) string {
	digits := func(t string) bool {
		for _, c := range t {
			if c < '0' || c > '9' {
				return false
			}
		}
		return t != ""
	}
	if n := len(s); n > 11 && s[n-11] == '-' && s[n-6] == '-' && s[n-3] == '-' && digits(s[n-10:n-6]) && digits(s[n-5:n-3]) && digits(s[n-2:]) {
		return s[:n-11]
	}
	if n := len(s); n > 9 && s[n-9] == '-' && digits(s[n-8:]) {
		return s[:n-9]
	}
	return ""
}
