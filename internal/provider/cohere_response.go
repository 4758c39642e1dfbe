package provider

import (
	"cmp"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

type cohereAnswer struct {
	ID      string          `json:"id"`
	Message *cohereReply    `json:"message"`
	Finish  string          `json:"finish_reason"`
	Usage   *cohereUsage    `json:"usage"`
	Logs    []cohereLogprob `json:"logprobs"`
}

type cohereReply struct {
	Content   []cohereContent  `json:"content"`
	ToolPlan  string           `json:"tool_plan"`
	Calls     []cohereCall     `json:"tool_calls"`
	Citations []jsontext.Value `json:"citations"`
}

type cohereContent struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Thinking string `json:"thinking"`
}

type cohereLogprob struct {
	Text     string    `json:"text"`
	Logprobs []float64 `json:"logprobs"`
}

type cohereUsage struct {
	Tokens *struct {
		Input  float64 `json:"input_tokens"`
		Output float64 `json:"output_tokens"`
	} `json:"tokens"`
	Billed *struct {
		Input  float64 `json:"input_tokens"`
		Output float64 `json:"output_tokens"`
	} `json:"billed_units"`
	Cached *float64 `json:"cached_tokens"`
}

func (u *cohereUsage) usage() *llm.Usage {
	if u == nil {
		return nil
	}
	out := &llm.Usage{}
	switch {
	case u.Tokens != nil:
		out.Input, out.Output = int64(u.Tokens.Input), int64(u.Tokens.Output)
	case u.Billed != nil:
		out.Input, out.Output = int64(u.Billed.Input), int64(u.Billed.Output)
	default:
		return nil
	}
	if u.Cached != nil {
		out.CacheRead, out.CacheKnown = int64(*u.Cached), true
	}
	return out
}

// cohereFinish maps Cohere's reasons.
func cohereFinish(raw string) llm.Stop {
	reasons := map[string]llm.FinishReason{"COMPLETE": llm.FinishStop, "STOP_SEQUENCE": llm.FinishSequence, "MAX_TOKENS": llm.FinishLength,
		"TOOL_CALL": llm.FinishToolCalls, "ERROR_TOXIC": llm.FinishFilter, "ERROR_LIMIT": llm.FinishContext, "ERROR": llm.FinishError, "TIMEOUT": llm.FinishError}
	r, ok := reasons[raw]
	if !ok {
		r = llm.FinishStop
	}
	return llm.Stop{Reason: r, Raw: raw}
}

// cohereCitation reads a citation. Its place is one in the generated text, which is what a url citation has; sources without an address
// are named without a place.
func cohereCitation(raw jsontext.Value) (out []llm.Citation) {
	var c struct {
		Start   int64  `json:"start"`
		End     int64  `json:"end"`
		Text    string `json:"text"`
		Sources []struct {
			ID       string `json:"id"`
			Document struct {
				URL   string `json:"url"`
				Title string `json:"title"`
			} `json:"document"`
		} `json:"sources"`
	}
	if json.Unmarshal(raw, &c, upstreamJSON) != nil {
		return nil
	}
	for _, s := range c.Sources {
		if s.Document.URL != "" {
			out = append(out, llm.Citation{Kind: "url", URL: s.Document.URL, Title: cmp.Or(s.Document.Title, s.ID), CitedText: c.Text, Start: c.Start, End: c.End})
			continue
		}
		out = append(out, llm.Citation{Kind: "search_result", Title: cmp.Or(s.Document.Title, s.ID), CitedText: c.Text})
	}
	return out
}

// DecodeResponse implements llm.Spoken. The plan that goes before tool calls is neither the answer nor the model's reasoning; it is kept
// among the extras.
func (cohereChat) DecodeResponse(body []byte) (*llm.Response, error) {
	var a cohereAnswer
	if err := json.Unmarshal(body, &a, upstreamJSON); err != nil {
		if m := messageIn(body); m != "" { // "message" is a text in errors
			return nil, &llm.Error{Kind: llm.ErrUpstream, Upstream: true, Message: m}
		}
		return nil, unreadable("chat", err)
	}
	if a.Message == nil {
		return nil, unreadable("chat", nil)
	}
	c := llm.Choice{Stop: cohereFinish(a.Finish)}
	for _, p := range a.Message.Content {
		switch p.Type {
		case "text":
			c.Parts = append(c.Parts, llm.Part{Kind: llm.KindText, Text: p.Text})
		case "thinking":
			c.Parts = append(c.Parts, llm.Part{Kind: llm.KindReasoning, Text: p.Thinking})
		}
	}
	for _, raw := range a.Message.Citations {
		for i := len(c.Parts) - 1; i >= 0; i-- {
			if c.Parts[i].Kind == llm.KindText {
				c.Parts[i].Citations = append(c.Parts[i].Citations, cohereCitation(raw)...)
				break
			}
		}
	}
	for _, call := range a.Message.Calls {
		c.Parts = append(c.Parts, llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: call.ID, Name: call.Function.Name, Arguments: arguments(call.Function.Arguments)}})
	}
	for _, l := range a.Logs {
		if len(l.Logprobs) > 0 {
			c.Logprobs = append(c.Logprobs, llm.TokenLogprob{Token: l.Text, Logprob: l.Logprobs[0]})
		}
	}
	if a.Message.ToolPlan != "" {
		c.Extra = map[string]llm.Raw{"tool_plan": quote(nil, a.Message.ToolPlan)}
	}
	return &llm.Response{ID: a.ID, Choices: []llm.Choice{c}, Usage: a.Usage.usage()}, nil
}

// arguments of a call without any come as nothing or as null; a client wants an object.
func arguments(s string) string {
	if s == "" || s == "null" {
		return "{}"
	}
	return s
}

// cohereStream decodes one stream.
type cohereStream struct {
	next int         // position of the next part
	text map[int]int // Cohere's index of open content -> ours
	last int         // the last text part, -1 before the first
	call map[int]*openCall
	done bool
}

type openCall struct {
	index int
	wrote bool
	null  bool // "null" came and is held back: it may be all
}

// NewStreamDecoder implements llm.Spoken.
func (cohereChat) NewStreamDecoder() llm.StreamDecoder {
	return &cohereStream{text: map[int]int{}, call: map[int]*openCall{}, last: -1}
}

type cohereEvent struct {
	Type    string         `json:"type"`
	ID      string         `json:"id"`
	Index   int            `json:"index"`
	Message jsontext.Value `json:"message"`
	Delta   struct {
		Finish  string       `json:"finish_reason"`
		Usage   *cohereUsage `json:"usage"`
		Error   string       `json:"error"`
		Message struct {
			Content   jsontext.Value `json:"content"`
			Calls     jsontext.Value `json:"tool_calls"`
			Citations jsontext.Value `json:"citations"`
		} `json:"message"`
	} `json:"delta"`
}

// Decode implements llm.StreamDecoder.
func (s *cohereStream) Decode(dst []llm.Event, f llm.Frame) ([]llm.Event, error) {
	if string(f.Data) == "[DONE]" {
		return dst, nil
	}
	var e cohereEvent
	if err := json.Unmarshal(f.Data, &e, upstreamJSON); err != nil {
		return dst, &llm.Error{Kind: llm.ErrUpstream, Upstream: true, Message: "the upstream sent an event that can't be read", Cause: err}
	}
	switch e.Type {
	case "message-start":
		return append(dst, llm.Event{Kind: llm.EventStart, Start: &llm.Response{ID: e.ID}}), nil
	case "content-start", "content-delta":
		return s.content(dst, &e), nil
	case "content-end":
		if i, ok := s.text[e.Index]; ok {
			delete(s.text, e.Index)
			dst = append(dst, llm.Event{Kind: llm.EventPartStop, Index: i})
		}
	case "citation-start":
		if c := cohereCitation(e.Delta.Message.Citations); len(c) > 0 && s.last >= 0 {
			dst = append(dst, llm.Event{Kind: llm.EventDelta, Index: s.last, Citations: c})
		}
	case "tool-call-start", "tool-call-delta", "tool-call-end":
		return s.toolCall(dst, &e), nil
	case "message-end":
		return s.end(dst, &e), nil
	case "", "error":
		if m := messageIn(f.Data); m != "" {
			return append(dst, llm.Event{Kind: llm.EventError, Err: &llm.Error{Kind: llm.ErrUpstream, Upstream: true, Message: m}}), nil
		}
	}
	return dst, nil
}

func (s *cohereStream) content(dst []llm.Event, e *cohereEvent) []llm.Event {
	var c cohereContent
	if e.Delta.Message.Content.Kind() != '{' || json.Unmarshal(e.Delta.Message.Content, &c, upstreamJSON) != nil {
		return dst
	}
	i, open := s.text[e.Index]
	if !open {
		i = s.next
		s.next++
		s.text[e.Index] = i
		kind := llm.KindText
		if c.Type == "thinking" || c.Thinking != "" {
			kind = llm.KindReasoning
		} else {
			s.last = i
		}
		dst = append(dst, llm.Event{Kind: llm.EventPartStart, Index: i, Part: &llm.Part{Kind: kind}})
	}
	if text := c.Text + c.Thinking; text != "" {
		dst = append(dst, llm.Event{Kind: llm.EventDelta, Index: i, Text: text})
	}
	return dst
}

func (s *cohereStream) toolCall(dst []llm.Event, e *cohereEvent) []llm.Event {
	var c cohereCall
	if e.Delta.Message.Calls.Kind() == '{' && json.Unmarshal(e.Delta.Message.Calls, &c, upstreamJSON) != nil {
		return dst
	}
	o := s.call[e.Index]
	if e.Type == "tool-call-start" && o == nil {
		o = &openCall{index: s.next}
		s.next++
		s.call[e.Index] = o
		dst = append(dst, llm.Event{Kind: llm.EventPartStart, Index: o.index, Part: &llm.Part{Kind: llm.KindToolCall,
			Call: &llm.ToolCall{ID: c.ID, Name: c.Function.Name}}})
	}
	if o == nil {
		return dst
	}
	text := c.Function.Arguments
	switch {
	case text == "null" && !o.wrote && !o.null:
		o.null, text = true, ""
	case text != "" && o.null:
		o.null, text = false, "null"+text
	}
	if e.Type == "tool-call-end" && !o.wrote && text == "" {
		text = "{}"
	}
	if text != "" {
		o.wrote = true
		dst = append(dst, llm.Event{Kind: llm.EventDelta, Index: o.index, Text: text})
	}
	if e.Type == "tool-call-end" {
		delete(s.call, e.Index)
		dst = append(dst, llm.Event{Kind: llm.EventPartStop, Index: o.index})
	}
	return dst
}

func (s *cohereStream) end(dst []llm.Event, e *cohereEvent) []llm.Event {
	s.done = true
	stop := cohereFinish(e.Delta.Finish)
	if stop.Reason == llm.FinishError {
		return append(dst, llm.Event{Kind: llm.EventError, Err: &llm.Error{Kind: llm.ErrUpstream, Upstream: true,
			Message: cmp.Or(e.Delta.Error, "the upstream ended its answer with "+stop.Raw)}})
	}
	dst = append(dst, llm.Event{Kind: llm.EventFinish, Stop: stop})
	if u := e.Delta.Usage.usage(); u != nil {
		dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: u})
	}
	return append(dst, llm.Event{Kind: llm.EventEnd})
}

// Finish implements llm.StreamDecoder: message-end is the terminal event.
func (s *cohereStream) Finish(dst []llm.Event) ([]llm.Event, bool) { return dst, s.done }
