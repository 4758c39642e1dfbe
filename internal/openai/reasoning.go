package openai

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// OpenAI's own chat completions hides a model's reasoning; everybody else shows it, each in a way of its own: reasoning_content
// (DeepSeek, most others), reasoning and reasoning_details (OpenRouter), thinking_blocks with signatures (LiteLLM), thinking parts in
// the content (Mistral). All are read; reasoning_content with thinking_blocks is what clients are told.

// reasoning reads a message's reasoning into parts.
func (m *chatMessage) reasoning() []llm.Part {
	if len(m.ThinkingBlocks) > 0 {
		parts := make([]llm.Part, 0, len(m.ThinkingBlocks))
		for i := range m.ThinkingBlocks {
			parts = append(parts, m.ThinkingBlocks[i].part())
		}
		return parts
	}
	if llm.IsSet(m.ReasoningDetails) {
		if parts := detailParts(m.details()); len(parts) > 0 {
			return parts
		}
	}
	flat := string(m.ReasoningContent)
	if flat == "" {
		flat = string(m.Reasoning)
	}
	if flat == "" {
		return nil
	}
	return []llm.Part{{Kind: llm.KindReasoning, Text: flat}}
}

// keepReasoning keeps, for the same dialect, what reasoning_content and thinking_blocks would not say again: OpenRouter's form.
func (m *chatMessage) keepReasoning(extra *map[string]llm.Raw, prefix string) {
	details := llm.IsSet(m.ReasoningDetails) && string(m.ReasoningDetails) != "[]"
	if details {
		*extra = llm.WithExtra(*extra, prefix+extraDetails, m.ReasoningDetails)
		if m.ReasoningContent != "" {
			*extra = llm.WithExtra(*extra, prefix+extraFlat, llm.Quote(string(m.ReasoningContent)))
		}
	}
	if m.Reasoning != "" && (details || m.ReasoningContent == "") {
		*extra = llm.WithExtra(*extra, prefix+extraReasoning, llm.Quote(string(m.Reasoning)))
	}
}

// signCalls puts Gemini's signatures, which OpenRouter gives as encrypted details with the id of the call they belong to, on the calls.
func (m *chatMessage) signCalls(parts []llm.Part) {
	if !llm.IsSet(m.ReasoningDetails) {
		return
	}
	for _, d := range m.details() {
		if d.Type != "reasoning.encrypted" || d.signedBy() != llm.Gemini {
			continue
		}
		for i := range parts {
			if c := parts[i].Call; c != nil && c.ID == d.ID && parts[i].Signature == "" {
				parts[i].Signature, parts[i].SignedBy = d.Data, llm.Gemini
			}
		}
	}
}

func (m *chatMessage) details() []reasoningDetail {
	var out []reasoningDetail
	if wire.Unmarshal(m.ReasoningDetails, &out) != nil {
		return nil
	}
	return out
}

func (b *chatThinking) part() llm.Part {
	by := llm.Dialect(b.SignedBy)
	if by == "" {
		by = llm.Anthropic
	}
	p := llm.Part{Kind: llm.KindReasoning, Text: b.Thinking, Signature: b.Signature, ID: b.ID, Summary: b.Summary}
	if b.Type == "redacted_thinking" {
		return llm.Part{Kind: llm.KindRedacted, Data: b.Data, SignedBy: by, ID: b.ID}
	}
	if p.Signature != "" {
		p.SignedBy = by
	}
	return p
}

// signedBy is the dialect whose provider wrote a signature or encrypted data.
func (d *reasoningDetail) signedBy() llm.Dialect {
	switch {
	case strings.HasPrefix(d.Format, "openai"), strings.HasPrefix(d.Format, "xai"), strings.HasPrefix(d.Format, "azure"):
		return llm.Responses
	case strings.HasPrefix(d.Format, "google"):
		return llm.Gemini
	}
	return llm.Anthropic
}

// detailParts joins the pieces of each block of reasoning. An encrypted detail belongs to the reasoning of the same id before it.
func detailParts(details []reasoningDetail) []llm.Part {
	var parts []llm.Part
	var last *llm.Part
	for i := range details {
		d := &details[i]
		switch d.Type {
		case "reasoning.text", "reasoning.summary":
			summary := d.Type == "reasoning.summary"
			if last == nil || last.Signature != "" || last.Summary != summary || last.ID != d.ID && d.ID != "" {
				parts = append(parts, llm.Part{Kind: llm.KindReasoning, Summary: summary, ID: d.ID})
				last = &parts[len(parts)-1]
			}
			last.Text += d.Text + d.Summary
			if d.Signature != "" {
				last.Signature, last.SignedBy = d.Signature, d.signedBy()
			}
		case "reasoning.encrypted":
			by := d.signedBy()
			switch {
			case by == llm.Gemini: // belongs to a tool call, see signCalls
			case by == llm.Responses && last != nil && last.Signature == "" && (last.ID == d.ID || last.ID == "" || d.ID == ""):
				last.Signature, last.SignedBy = d.Data, by
				if last.ID == "" {
					last.ID = d.ID
				}
			case by == llm.Responses:
				parts = append(parts, llm.Part{Kind: llm.KindReasoning, ID: d.ID, Signature: d.Data, SignedBy: by})
				last = &parts[len(parts)-1]
			default:
				parts = append(parts, llm.Part{Kind: llm.KindRedacted, Data: d.Data, SignedBy: by})
				last = nil
			}
		}
	}
	return parts
}

// thinkingText reads a thinking content part: Anthropic's string or Mistral's list of text parts.
func thinkingText(v jsontext.Value) string {
	if !llm.IsSet(v) {
		return ""
	}
	if v.Kind() == '"' {
		return llm.StringOf(v)
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if wire.Unmarshal(v, &parts) != nil {
		return ""
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

// thinkingBlock appends one of LiteLLM's thinking_blocks.
func (w *writer) thinkingBlock(p *llm.Part, text string) {
	w.open('{')
	if p.Kind == llm.KindRedacted {
		w.str("type", "redacted_thinking")
		w.str("data", p.Data)
	} else {
		w.str("type", "thinking")
		w.str("thinking", text)
		w.text("signature", p.Signature)
	}
	if (p.Signature != "" || p.Kind == llm.KindRedacted) && p.SignedBy != llm.Anthropic {
		w.text("signed_by", string(p.SignedBy))
	}
	w.text("id", p.ID)
	if p.Summary {
		w.raw(`,"summary":true`)
	}
	w.raw("}")
}

// blocksNeeded tells whether reasoning parts say more than their joined text does.
func blocksNeeded(parts []llm.Part) bool {
	n := 0
	for i := range parts {
		switch p := &parts[i]; p.Kind {
		case llm.KindRedacted:
			return true
		case llm.KindReasoning:
			n++
			if p.Signature != "" || p.ID != "" || p.Summary {
				return true
			}
		}
	}
	return n > 1
}

// reasoningOut appends a message's reasoning members in the canonical form.
func (w *writer) reasoningOut(parts []llm.Part, blocks bool) {
	flat := joinReasoning(parts)
	if flat != "" {
		w.str("reasoning_content", flat)
	}
	if !blocks || !blocksNeeded(parts) {
		return
	}
	w.key("thinking_blocks")
	w.begin('[')
	for i := range parts {
		if p := &parts[i]; p.Kind == llm.KindReasoning || p.Kind == llm.KindRedacted {
			w.thinkingBlock(p, p.Text)
		}
	}
	w.raw("]")
}

func joinReasoning(parts []llm.Part) string {
	flat := ""
	for i := range parts {
		if parts[i].Kind == llm.KindReasoning {
			flat += parts[i].Text
		}
	}
	return flat
}

// detailsOut appends a message's reasoning in OpenRouter's form.
func (w *writer) detailsOut(parts []llm.Part) {
	w.text("reasoning", joinReasoning(parts))
	w.key("reasoning_details")
	w.begin('[')
	n := 0
	for i := range parts {
		p := &parts[i]
		switch {
		case p.Kind == llm.KindRedacted:
			w.detail("reasoning.encrypted", "data", p.Data, p, "", n)
		case p.Kind != llm.KindReasoning:
			continue
		case p.SignedBy == llm.Responses:
			if p.Text != "" {
				w.detail("reasoning.summary", "summary", p.Text, p, "", n)
			}
			w.detail("reasoning.encrypted", "data", p.Signature, p, "", n)
		default:
			w.detail("reasoning.text", "text", p.Text, p, p.Signature, n)
		}
		n++
	}
	w.raw("]")
}

func (w *writer) detail(typ, member, text string, p *llm.Part, signature string, n int) {
	w.open('{')
	w.str("type", typ)
	w.str(member, text)
	w.text("signature", signature)
	w.text("id", p.ID)
	switch p.SignedBy {
	case llm.Anthropic, llm.Converse:
		w.str("format", "anthropic-claude-v1")
	case llm.Responses:
		w.str("format", "openai-responses-v1")
	case llm.Gemini:
		w.str("format", "google-gemini-v1")
	}
	w.int("index", int64(n))
	w.raw("}")
}
