package gemini

import (
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

type usageMetadata struct {
	PromptTokenCount        int64     `json:"promptTokenCount,omitzero"`
	CachedContentTokenCount *int64    `json:"cachedContentTokenCount,omitzero"`
	CandidatesTokenCount    int64     `json:"candidatesTokenCount,omitzero"`
	ThoughtsTokenCount      *int64    `json:"thoughtsTokenCount,omitzero"`
	ToolUsePromptTokenCount int64     `json:"toolUsePromptTokenCount,omitzero"`
	TotalTokenCount         int64     `json:"totalTokenCount,omitzero"`
	PromptTokensDetails     []details `json:"promptTokensDetails,omitzero"`
	CandidatesTokensDetails []details `json:"candidatesTokensDetails,omitzero"`
	ServiceTier             string    `json:"serviceTier,omitzero"`
	Other                   unknown   `json:",embed"`
}

type details struct {
	Modality   enum  `json:"modality"`
	TokenCount int64 `json:"tokenCount"`
}

// counted says that there are numbers in it: Vertex sends it with only its traffic type until the last chunk.
func (m *usageMetadata) counted() bool {
	return m != nil && (m.PromptTokenCount != 0 || m.CandidatesTokenCount != 0 || m.TotalTokenCount != 0 || m.ThoughtsTokenCount != nil)
}

// usage nests the counts as the vocabulary does. Google's prompt count includes cached tokens but not those of its own tools, and its
// candidates count leaves out thoughts.
func (m *usageMetadata) usage() *llm.Usage {
	if m == nil {
		return nil
	}
	u := &llm.Usage{Input: m.PromptTokenCount + m.ToolUsePromptTokenCount, ToolInput: m.ToolUsePromptTokenCount,
		Output: m.CandidatesTokenCount, Total: m.TotalTokenCount, Extra: extra(m.Other)}
	if m.ThoughtsTokenCount != nil {
		u.Reasoning, u.ReasoningKnown = *m.ThoughtsTokenCount, true
		u.Output += u.Reasoning
	}
	if m.CachedContentTokenCount != nil {
		u.CacheRead, u.CacheKnown = *m.CachedContentTokenCount, true
	}
	for _, d := range m.PromptTokensDetails {
		switch d.Modality.in(modalities) {
		case "AUDIO":
			u.InputAudio += d.TokenCount
		case "IMAGE":
			u.InputImage += d.TokenCount
		}
	}
	for _, d := range m.CandidatesTokensDetails {
		switch d.Modality.in(modalities) {
		case "AUDIO":
			u.OutputAudio += d.TokenCount
		case "IMAGE":
			u.OutputImage += d.TokenCount
		}
	}
	return u
}

// metadata is usage's inverse. native tells whether Extra is in Google's words.
func metadata(u *llm.Usage, tier string, native bool) *usageMetadata {
	if u == nil {
		return nil
	}
	m := &usageMetadata{PromptTokenCount: max(u.Input-u.ToolInput, 0), ToolUsePromptTokenCount: u.ToolInput,
		CandidatesTokenCount: u.Output, TotalTokenCount: u.Sum(), ServiceTier: tier}
	if u.Reasoning <= u.Output { // an upstream that reports more reasoning than output counts them apart already
		m.CandidatesTokenCount -= u.Reasoning
	}
	if u.Reasoning != 0 || u.ReasoningKnown && native {
		m.ThoughtsTokenCount = &u.Reasoning
	}
	if u.CacheRead != 0 || u.CacheKnown && native {
		m.CachedContentTokenCount = &u.CacheRead
	}
	m.PromptTokensDetails = split3(m.PromptTokenCount, u.InputAudio, u.InputImage)
	if u.OutputAudio+u.OutputImage > 0 {
		m.CandidatesTokensDetails = split3(m.CandidatesTokenCount, u.OutputAudio, u.OutputImage)
	}
	if native {
		m.Other = u.Extra
	}
	return m
}

func split3(total, audio, image int64) []details {
	var out []details
	for _, d := range [...]details{{"TEXT", total - audio - image}, {"AUDIO", audio}, {"IMAGE", image}} {
		if d.TokenCount > 0 {
			out = append(out, d)
		}
	}
	return out
}

// tierWord keeps only the service tiers that Google names.
func tierWord(s string) string {
	switch s = strings.ToLower(s); s {
	case "standard", "flex", "priority":
		return s
	case "default":
		return "standard"
	}
	return ""
}
