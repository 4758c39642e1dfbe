package openai

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// chatUsage is the usage object as OpenAI has it, with what others put beside it.
type chatUsage struct {
	PromptTokens     number                    `json:"prompt_tokens"`
	CompletionTokens number                    `json:"completion_tokens"`
	TotalTokens      number                    `json:"total_tokens"`
	InputTokens      number                    `json:"input_tokens"`  // servers that mix up the two APIs
	OutputTokens     number                    `json:"output_tokens"` // likewise
	PromptDetails    *promptDetails            `json:"prompt_tokens_details"`
	OutputDetails    *outputDetails            `json:"completion_tokens_details"`
	CacheHit         *number                   `json:"prompt_cache_hit_tokens"` // DeepSeek
	Cached           *number                   `json:"cached_tokens"`           // Together, Moonshot
	CacheRead        *number                   `json:"cache_read_input_tokens"` // LiteLLM
	CacheCreation    *number                   `json:"cache_creation_input_tokens"`
	ReasoningTokens  *number                   `json:"reasoning_tokens"` // Perplexity
	SearchQueries    number                    `json:"num_search_queries"`
	ServerTools      *serverTools              `json:"server_tool_use"`
	Extra            map[string]jsontext.Value `json:",embed"`
}

type promptDetails struct {
	CachedTokens        *number        `json:"cached_tokens"`
	CacheWriteTokens    number         `json:"cache_write_tokens"`
	CacheCreationTokens number         `json:"cache_creation_tokens"` // LiteLLM
	CacheCreation       *cacheCreation `json:"cache_creation_token_details"`
	AudioTokens         number         `json:"audio_tokens"`
	ImageTokens         number         `json:"image_tokens"`
}

type cacheCreation struct {
	Hour number `json:"ephemeral_1h_input_tokens"`
}

type outputDetails struct {
	ReasoningTokens *number `json:"reasoning_tokens"`
	AudioTokens     number  `json:"audio_tokens"`
	ImageTokens     number  `json:"image_tokens"`
	Accepted        number  `json:"accepted_prediction_tokens"`
	Rejected        number  `json:"rejected_prediction_tokens"`
}

type serverTools struct {
	WebSearches number `json:"web_search_requests"`
}

// decodeUsage reads a usage object; nil if there is none to read.
func decodeUsage(raw jsontext.Value) *llm.Usage {
	if !llm.IsSet(raw) || raw.Kind() != '{' {
		return nil
	}
	var in chatUsage
	if wire.Unmarshal(raw, &in) != nil {
		return nil
	}
	u := &llm.Usage{
		Input: int64(in.PromptTokens + in.InputTokens), Output: int64(in.CompletionTokens + in.OutputTokens), Total: int64(in.TotalTokens),
		WebSearches: int64(in.SearchQueries), Extra: plainExtra(in.Extra),
	}
	if d := in.PromptDetails; d != nil {
		u.CacheWrite = int64(max(d.CacheWriteTokens, d.CacheCreationTokens))
		u.InputAudio, u.InputImage = int64(d.AudioTokens), int64(d.ImageTokens)
		if d.CachedTokens != nil {
			u.CacheRead, u.CacheKnown = int64(*d.CachedTokens), true
		}
		if d.CacheCreation != nil {
			u.CacheWrite1h = int64(d.CacheCreation.Hour)
		}
	}
	for _, n := range []*number{in.CacheHit, in.Cached, in.CacheRead} {
		if n != nil {
			u.CacheRead, u.CacheKnown = max(u.CacheRead, int64(*n)), true
		}
	}
	if in.CacheCreation != nil {
		u.CacheWrite = max(u.CacheWrite, int64(*in.CacheCreation))
	}
	if d := in.OutputDetails; d != nil {
		u.OutputAudio, u.OutputImage = int64(d.AudioTokens), int64(d.ImageTokens)
		u.Accepted, u.Rejected = int64(d.Accepted), int64(d.Rejected)
		if d.ReasoningTokens != nil {
			u.Reasoning, u.ReasoningKnown = int64(*d.ReasoningTokens), true
		}
	}
	if in.ReasoningTokens != nil && !u.ReasoningKnown {
		u.Reasoning, u.ReasoningKnown = int64(*in.ReasoningTokens), true
	}
	if in.ServerTools != nil {
		u.WebSearches = max(u.WebSearches, int64(in.ServerTools.WebSearches))
	}
	nestReasoning(u)
	return u
}

// nestReasoning repairs the counts of providers that report reasoning beside completion_tokens instead of within (xAI), or only in the
// total (Gemini's compatible endpoint).
func nestReasoning(u *llm.Usage) {
	outside := u.Total - u.Input - u.Output
	switch {
	case outside <= 0:
	case u.Input == 0 && u.Output == 0: // embeddings of servers that give a total only
		u.Input = outside
	case outside == u.Reasoning:
		u.Output += outside
	case u.Reasoning == 0 && !u.ReasoningKnown:
		u.Output += outside
		u.Reasoning, u.ReasoningKnown = outside, true
	}
}

// usage appends a usage object.
func (w *writer) usage(u *llm.Usage, extra bool) {
	w.begin('{')
	w.int("prompt_tokens", u.Input)
	w.int("completion_tokens", u.Output)
	w.int("total_tokens", u.Sum())
	if u.CacheKnown || u.CacheRead+u.CacheWrite+u.CacheWrite1h+u.InputAudio+u.InputImage > 0 {
		w.raw(`,"prompt_tokens_details":{`)
		w.int("cached_tokens", u.CacheRead)
		w.int("audio_tokens", u.InputAudio)
		if u.InputImage > 0 {
			w.int("image_tokens", u.InputImage)
		}
		if u.CacheWrite > 0 {
			w.int("cache_write_tokens", u.CacheWrite)
		}
		if u.CacheWrite1h > 0 {
			w.raw(`,"cache_creation_token_details":{`)
			w.int("ephemeral_5m_input_tokens", u.CacheWrite-u.CacheWrite1h)
			w.int("ephemeral_1h_input_tokens", u.CacheWrite1h)
			w.raw("}")
		}
		w.raw("}")
	}
	if u.ReasoningKnown || u.Reasoning+u.OutputAudio+u.OutputImage+u.Accepted+u.Rejected > 0 {
		w.raw(`,"completion_tokens_details":{`)
		w.int("reasoning_tokens", u.Reasoning)
		w.int("audio_tokens", u.OutputAudio)
		w.int("accepted_prediction_tokens", u.Accepted)
		w.int("rejected_prediction_tokens", u.Rejected)
		if u.OutputImage > 0 {
			w.int("image_tokens", u.OutputImage)
		}
		w.raw("}")
	}
	if u.CacheWrite+u.CacheRead > 0 && u.CacheKnown { // LiteLLM's names, which its clients read
		w.int("cache_creation_input_tokens", u.CacheWrite)
		w.int("cache_read_input_tokens", u.CacheRead)
	}
	if u.WebSearches > 0 {
		w.raw(`,"server_tool_use":{`)
		w.int("web_search_requests", u.WebSearches)
		w.raw("}")
	}
	if extra {
		w.extra(u.Extra)
	}
	w.raw("}")
}
