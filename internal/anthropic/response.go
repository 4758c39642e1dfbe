package anthropic

import (
	"strconv"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

type wireMessageObject struct {
	ID           string             `json:"id"`
	Type         string             `json:"type"`
	Role         string             `json:"role"`
	Model        string             `json:"model"`
	Content      llm.Raw            `json:"content"`
	StopReason   *string            `json:"stop_reason"`
	StopSequence *string            `json:"stop_sequence"`
	StopDetails  llm.Raw            `json:"stop_details"`
	Usage        *wireUsage         `json:"usage"`
	Error        llm.Raw            `json:"error"`
	Extra        map[string]llm.Raw `json:",embed"`
}

// DecodeResponse reads a whole message, see llm.Spoken.
func (messages) DecodeResponse(body []byte) (*llm.Response, error) {
	var m wireMessageObject
	if err := wire.Unmarshal(body, &m); err != nil {
		return nil, unreadable(err)
	}
	if e := notMessage(&m, body); e != nil {
		return nil, e
	}
	resp := m.head()
	r := reader{upstream: true}
	c := llm.Choice{Stop: stopOf(m.StopReason, m.StopSequence, m.StopDetails)}
	if llm.IsSet(m.Content) {
		parts, e := r.content(m.Content, "content")
		if e != nil {
			return nil, unreadable(e)
		}
		c.Parts = parts
	}
	resp.Choices = []llm.Choice{c}
	if m.Usage != nil {
		resp.Usage = m.Usage.usage()
	}
	return resp, nil
}

func unreadable(err error) *llm.Error {
	return &llm.Error{Kind: llm.ErrUpstream, Upstream: true, Message: "the provider's answer is not an Anthropic message", Cause: err}
}

// notMessage tells an error inside a 200, and what is no answer of this dialect at all.
func notMessage(m *wireMessageObject, body []byte) *llm.Error {
	switch {
	case m.Type == "error", m.Type == "" && m.Error.Kind() == '{':
		return inbandError(body)
	case m.Type != "message" && m.Content.Kind() != '[':
		return unreadable(nil)
	}
	return nil
}

// head is the answer without its content and usage.
func (m *wireMessageObject) head() *llm.Response {
	resp := &llm.Response{From: llm.Anthropic, ID: m.ID, Model: m.Model, Extra: m.Extra}
	if m.Usage != nil {
		resp.ServiceTier = m.Usage.Tier
	}
	return resp
}

var reasons = []struct {
	word   string
	reason llm.FinishReason
}{
	{"end_turn", llm.FinishStop}, {"stop_sequence", llm.FinishSequence}, {"max_tokens", llm.FinishLength},
	{"tool_use", llm.FinishToolCalls}, {"pause_turn", llm.FinishPause}, {"refusal", llm.FinishRefusal},
	{"model_context_window_exceeded", llm.FinishContext}, {"refusal", llm.FinishFilter},
}

func reasonOf(word string) llm.FinishReason {
	for _, r := range reasons {
		if r.word == word {
			return r.reason
		}
	}
	return llm.FinishStop
}

func stopOf(reason, sequence *string, details llm.Raw) llm.Stop {
	s := llm.Stop{Reason: llm.FinishStop}
	if reason != nil {
		s.Raw = *reason
		s.Reason = reasonOf(s.Raw)
	}
	if sequence != nil {
		s.Sequence = *sequence
	}
	if details.Kind() == '{' {
		s.Details = details
	}
	return s
}

// stopWord is Anthropic's word for why the answer ended. Some providers call it a plain stop when they call tools.
func stopWord(s llm.Stop, own, calls bool) string {
	if own && s.Raw != "" && reasonOf(s.Raw) == s.Reason {
		return s.Raw
	}
	if calls && (s.Reason == llm.FinishStop || s.Reason == "") {
		return "tool_use"
	}
	for _, r := range reasons {
		if r.reason == s.Reason {
			return r.word
		}
	}
	return "end_turn"
}

// EncodeResponse writes a whole message: the first choice, since Anthropic's answers have one. See llm.Served.
func (messages) EncodeResponse(dst []byte, resp *llm.Response, x *llm.Exchange) []byte {
	w := newWriter(dst)
	own := resp.From == llm.Anthropic
	var c llm.Choice
	if len(resp.Choices) > 0 {
		c = resp.Choices[0]
	}
	w.messageHead(resp, x)
	w.Array("content")
	calls := false
	for i := range c.Parts {
		calls = calls || c.Parts[i].Kind == llm.KindToolCall
		w.answerPart(&c.Parts[i], own, callID(x, i))
	}
	w.End("]")
	w.stop(c.Stop, own, calls)
	w.Object("usage")
	w.usageFields(resp.Usage, own)
	if tier := tierOf(resp.ServiceTier); tier != "" {
		w.Str("service_tier", tier)
	}
	w.End("}")
	if own {
		w.Extra(resp.Extra)
	}
	w.End("}")
	return w.Buf
}

// messageHead opens a message object and writes its first members.
func (w *writer) messageHead(resp *llm.Response, x *llm.Exchange) {
	id, model := resp.ID, resp.Model
	if x != nil {
		if x.Model != "" {
			model = x.Model
		}
		if id == "" {
			id = x.ID
		}
	}
	w.Object("")
	w.Str("id", id)
	w.Str("type", "message")
	w.Str("role", "assistant")
	w.Str("model", model)
}

func (w *writer) stop(s llm.Stop, own, calls bool) {
	w.Str("stop_reason", stopWord(s, own, calls))
	w.strOrNull("stop_sequence", s.Sequence)
	if own {
		w.Raw("stop_details", s.Details)
	} else {
		w.Null("stop_details")
	}
}

// callID makes an id for a tool call whose provider gave none.
func callID(x *llm.Exchange, i int) string {
	id := "call"
	if x != nil && x.ID != "" {
		id = x.ID
	}
	return toolID("toolu_" + id + "_" + strconv.Itoa(i))
}

// answerPart writes one block of an answer; nothing for what a client of this dialect can't read.
func (w *writer) answerPart(p *llm.Part, own bool, fallbackID string) {
	switch p.Kind {
	case llm.KindText, llm.KindRefusal:
		if p.Text == "" {
			return
		}
		w.Object("")
		w.Str("type", "text")
		w.Str("text", p.Text)
		w.citations(p.Citations, false)
	case llm.KindReasoning:
		w.Object("")
		w.Str("type", "thinking")
		w.Str("thinking", p.Text)
		w.Str("signature", llm.JoinSignature(p.Signature, p.SignedBy, llm.Anthropic))
	case llm.KindRedacted:
		w.Object("")
		w.Str("type", "redacted_thinking")
		w.Str("data", llm.JoinSignature(p.Data, p.SignedBy, llm.Anthropic))
	case llm.KindToolCall:
		w.Object("")
		w.Str("type", "tool_use")
		w.toolHead(p.Call, fallbackID)
		w.Raw("input", p.Call.ArgumentsObject())
	case llm.KindNative:
		if own {
			w.Raw("", p.Raw)
		}
		return
	default:
		return
	}
	if own {
		w.Extra(p.Extra)
	}
	w.End("}")
}

func (w *writer) toolHead(c *llm.ToolCall, fallbackID string) {
	id := c.ID
	if id == "" {
		id = fallbackID
	}
	w.Str("id", id)
	w.Str("name", c.Name)
}
