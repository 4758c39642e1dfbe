package proxy

import "github.com/weir-gateway/weir/internal/llm"

// What merge_reasoning_content_in_choices writes around reasoning, for clients that show nothing but text.
const (
	thinkOpen  = "<think>"
	thinkClose = "</think>\n\n"
)

// mergesReasoning reports whether the deployment wants reasoning shown as text, and the client's dialect is the one that asks for it so.
func (c *call) mergesReasoning() bool {
	return c.dialect == llm.OpenAI && c.target.Params.MergeReasoning
}

// mergeReasoning turns the reasoning of a whole answer into text.
func mergeReasoning(answer *llm.Response) {
	for i := range answer.Choices {
		for j := range answer.Choices[i].Parts {
			if p := &answer.Choices[i].Parts[j]; p.Kind == llm.KindReasoning && p.Text != "" {
				*p = llm.Part{Kind: llm.KindText, Text: thinkOpen + p.Text + thinkClose}
			}
		}
	}
}

// reasoningMerger does the same for the events of one stream.
type reasoningMerger struct {
	open map[[2]int]bool // choice and part of the reasoning being shown
}

// merge gives the event as the client is to see it, with the text that goes before or after it; nil: the event has nothing to show.
func (m *reasoningMerger) merge(e *llm.Event) *llm.Event {
	at := [2]int{e.Choice, e.Index}
	switch {
	case e.Kind == llm.EventPartStart && e.Part.Kind == llm.KindReasoning:
		if m.open == nil {
			m.open = map[[2]int]bool{}
		}
		m.open[at] = false
		return &llm.Event{Kind: llm.EventPartStart, Choice: e.Choice, Index: e.Index, Part: &llm.Part{Kind: llm.KindText}}
	case e.Kind == llm.EventDelta:
		shown, ours := m.open[at]
		if !ours {
			return e
		}
		if e.Text == "" {
			return nil
		}
		text := e.Text
		if !shown {
			text, m.open[at] = thinkOpen+text, true
		}
		return &llm.Event{Kind: llm.EventDelta, Choice: e.Choice, Index: e.Index, Text: text}
	}
	return e
}

// closing is the text that ends a reasoning part, empty for any other event.
func (m *reasoningMerger) closing(e *llm.Event) string {
	at := [2]int{e.Choice, e.Index}
	if e.Kind != llm.EventPartStop || !m.open[at] {
		return ""
	}
	delete(m.open, at)
	return thinkClose
}
