package anthropic

import (
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// wireUsage is Anthropic's count, in which cached input stands beside input_tokens, not inside. In a stream a later one overrides what
// it mentions.
type wireUsage struct {
	Input      *int64 `json:"input_tokens"`
	Output     *int64 `json:"output_tokens"`
	CacheWrite *int64 `json:"cache_creation_input_tokens"`
	CacheRead  *int64 `json:"cache_read_input_tokens"`
	Creation   *struct {
		FiveMinutes int64 `json:"ephemeral_5m_input_tokens"`
		Hour        int64 `json:"ephemeral_1h_input_tokens"`
	} `json:"cache_creation"`
	Details *struct {
		Thinking *int64 `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
	ServerTools llm.Raw            `json:"server_tool_use"`
	Tier        string             `json:"service_tier"`
	Extra       map[string]llm.Raw `json:",embed"`
}

// merge takes the later report n into u. Some compatible servers repeat the input as 0 at the end: what was known stays.
func (u *wireUsage) merge(n *wireUsage) {
	if n == nil {
		return
	}
	for _, f := range [...]struct{ to, from **int64 }{
		{&u.Input, &n.Input}, {&u.Output, &n.Output}, {&u.CacheWrite, &n.CacheWrite}, {&u.CacheRead, &n.CacheRead},
	} {
		if v := *f.from; v != nil && (*v != 0 || *f.to == nil) {
			*f.to = v
		}
	}
	if n.Creation != nil {
		u.Creation = n.Creation
	}
	if n.Details != nil {
		u.Details = n.Details
	}
	if len(n.ServerTools) > 0 {
		u.ServerTools = n.ServerTools
	}
	if n.Tier != "" {
		u.Tier = n.Tier
	}
	for k, v := range n.Extra {
		u.Extra = llm.WithExtra(u.Extra, k, v)
	}
}

func value(p *int64) int64 {
	if p == nil || *p < 0 {
		return 0
	}
	return *p
}

// usage nests the counts as llm does.
func (u *wireUsage) usage() *llm.Usage {
	out := &llm.Usage{
		Output: value(u.Output), CacheRead: value(u.CacheRead), CacheWrite: value(u.CacheWrite),
		CacheKnown: u.CacheRead != nil || u.CacheWrite != nil, Extra: u.Extra,
	}
	if u.Creation != nil {
		out.CacheWrite1h = max(0, u.Creation.Hour)
		out.CacheWrite = max(out.CacheWrite, out.CacheWrite1h+max(0, u.Creation.FiveMinutes))
	}
	out.Input = value(u.Input) + out.CacheRead + out.CacheWrite
	if u.Details != nil && u.Details.Thinking != nil {
		out.Reasoning, out.ReasoningKnown = value(u.Details.Thinking), true
	}
	if list := llm.ObjectOf(u.ServerTools); list != nil {
		var s struct {
			WebSearches int64 `json:"web_search_requests"`
		}
		if wire.Unmarshal(u.ServerTools, &s) == nil {
			out.WebSearches = s.WebSearches
		}
		out.Extra = llm.WithExtra(out.Extra, serverToolsKey, u.ServerTools)
	}
	return out
}

// serverToolsKey holds the counts of the provider's own tools besides web searches, in Usage.Extra.
const serverToolsKey = "server_tool_use"

// usageFields writes the members of a usage object. Extra is written for an answer of this dialect only.
func (w *writer) usageFields(u *llm.Usage, own bool) {
	if u == nil {
		u = &llm.Usage{}
	}
	w.Int("input_tokens", max(0, u.Input-u.CacheRead-u.CacheWrite))
	w.Int("cache_creation_input_tokens", u.CacheWrite)
	w.Int("cache_read_input_tokens", u.CacheRead)
	w.Object("cache_creation")
	w.Int("ephemeral_5m_input_tokens", max(0, u.CacheWrite-u.CacheWrite1h))
	w.Int("ephemeral_1h_input_tokens", u.CacheWrite1h)
	w.End("}")
	w.Int("output_tokens", u.Output)
	if u.ReasoningKnown || u.Reasoning > 0 {
		w.Object("output_tokens_details")
		w.Int("thinking_tokens", u.Reasoning)
		w.End("}")
	}
	if raw := u.Extra[serverToolsKey]; own && raw.Kind() == '{' {
		w.Raw(serverToolsKey, raw)
	} else if u.WebSearches > 0 {
		w.Object(serverToolsKey)
		w.Int("web_search_requests", u.WebSearches)
		w.Int("web_fetch_requests", 0)
		w.End("}")
	}
	if own {
		w.Extra(u.Extra, serverToolsKey)
	}
}

// tierOf is the service tier as Anthropic's clients know it; other dialects' words have no place there.
func tierOf(tier string) string {
	switch tier {
	case "standard", "priority", "batch":
		return tier
	case "default":
		return "standard"
	}
	return ""
}
