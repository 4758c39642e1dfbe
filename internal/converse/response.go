package converse

import (
	"encoding/base64"
	"strconv"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

type wireResponse struct {
	Output *struct {
		Message *struct {
			Content []llm.Raw `json:"content"`
		} `json:"message"`
	} `json:"output"`
	StopReason string             `json:"stopReason"`
	Usage      *wireUsage         `json:"usage"`
	Metrics    llm.Raw            `json:"metrics"`
	Fields     llm.Raw            `json:"additionalModelResponseFields"`
	Tier       *wireTier          `json:"serviceTier"`
	Extra      map[string]llm.Raw `json:",embed"`
}

// DecodeResponse reads a whole answer. Stop.Details holds additionalModelResponseFields; Extra the trace and what else Bedrock adds.
func (dialect) DecodeResponse(body []byte) (*llm.Response, error) {
	var w wireResponse
	if err := wire.Unmarshal(body, &w); err != nil {
		return nil, unreadable(err)
	}
	if e := w.broken(body); e != nil {
		return nil, e
	}
	resp := &llm.Response{From: llm.Converse, Extra: w.Extra}
	if len(w.Extra) == 0 {
		resp.Extra = nil
	}
	if w.Tier != nil {
		resp.ServiceTier = w.Tier.Type
	}
	if w.Usage != nil {
		resp.Usage = w.Usage.usage()
	}
	c := llm.Choice{}
	if w.Output != nil && w.Output.Message != nil {
		parts, e := (reader{lenient: true}).content(w.Output.Message.Content, "output.message.content")
		if e != nil {
			return nil, unreadable(e)
		}
		c.Parts = parts
	}
	answered, called := false, false
	for i := range c.Parts {
		p := &c.Parts[i]
		switch {
		case p.Kind != llm.KindToolCall:
		case p.Call.Name == AnswerTool:
			*p = llm.Part{Kind: llm.KindText, Text: p.Call.Arguments}
			answered = true
		default:
			called = true
		}
	}
	c.Stop = stopOf(w.StopReason, w.Fields, answered && !called)
	resp.Choices = []llm.Choice{c}
	return resp, nil
}

// broken says that the body is an error, or no answer at all.
func (w *wireResponse) broken(body []byte) *llm.Error {
	if w.Output != nil || w.StopReason != "" {
		return nil
	}
	if llm.IsSet(w.Extra["message"]) || llm.IsSet(w.Extra["Message"]) || llm.IsSet(w.Extra["__type"]) {
		return Converse.DecodeError(502, nil, body)
	}
	return unreadable(nil)
}

func unreadable(cause error) *llm.Error {
	return &llm.Error{Kind: llm.ErrUpstream, Message: "the upstream's answer is not a Converse response", Upstream: true, Cause: cause}
}

var reasons = map[string]llm.FinishReason{
	"end_turn": llm.FinishStop, "tool_use": llm.FinishToolCalls, "max_tokens": llm.FinishLength, "stop_sequence": llm.FinishSequence,
	"guardrail_intervened": llm.FinishFilter, "content_filtered": llm.FinishFilter, "malformed_model_output": llm.FinishMalformed,
	"malformed_tool_use": llm.FinishMalformed, "model_context_window_exceeded": llm.FinishContext,
}

// stopOf reads why an answer ended; answered says that a call of AnswerTool, and no other, ended it.
func stopOf(word string, fields llm.Raw, answered bool) llm.Stop {
	s := llm.Stop{Raw: word, Reason: reasons[word]}
	switch {
	case word == "tool_use" && answered:
		s.Raw, s.Reason = "end_turn", llm.FinishStop
	case s.Reason == "":
		s.Reason = llm.FinishStop
	}
	if llm.IsSet(fields) {
		s.Details = fields.Clone()
		o := llm.ObjectOf(fields)
		if s.Sequence = llm.StringOf(o.Get("stop_sequence")); s.Sequence == "" {
			s.Sequence = llm.StringOf(llm.ObjectOf(o.Get("delta")).Get("stop_sequence"))
		}
	}
	return s
}

// stopWord is Bedrock's word for why an answer ended. calls says that it has tool calls: clients run them only on tool_use.
func stopWord(s llm.Stop, own, calls bool) string {
	if _, ok := reasons[s.Raw]; ok && own {
		return s.Raw
	}
	switch s.Reason {
	case llm.FinishToolCalls:
		return "tool_use"
	case llm.FinishLength:
		return "max_tokens"
	case llm.FinishSequence:
		return "stop_sequence"
	case llm.FinishFilter, llm.FinishRefusal:
		return "content_filtered"
	case llm.FinishContext:
		return "model_context_window_exceeded"
	case llm.FinishMalformed:
		return "malformed_tool_use"
	case llm.FinishError:
		return "malformed_model_output"
	}
	if calls {
		return "tool_use"
	}
	return "end_turn"
}

// responseFields writes additionalModelResponseFields: as an upstream of this dialect sent them, else the stop sequence where the client
// asked for it.
func (w *writer) responseFields(s llm.Stop, own bool) {
	switch {
	case own && llm.IsSet(s.Details):
		w.Raw("additionalModelResponseFields", s.Details)
	case s.Sequence != "":
		w.Object("additionalModelResponseFields")
		w.Str("stop_sequence", s.Sequence)
		w.End("}")
	}
}

// EncodeResponse appends a whole answer: the first choice, Converse has no others.
func (dialect) EncodeResponse(dst []byte, resp *llm.Response, x *llm.Exchange) []byte {
	w := newWriter(dst)
	own := resp.From == llm.Converse
	var c llm.Choice
	if len(resp.Choices) > 0 {
		c = resp.Choices[0]
	}
	calls := false
	w.Object("")
	w.Object("output")
	w.Object("message")
	w.Str("role", "assistant")
	w.Array("content")
	for i := range c.Parts {
		p := &c.Parts[i]
		calls = calls || p.Kind == llm.KindToolCall
		w.answerPart(p, own, x, i)
	}
	w.End("]}}")
	w.Str("stopReason", stopWord(c.Stop, own, calls))
	w.usage(resp.Usage, own)
	w.metrics(x)
	w.responseFields(c.Stop, own)
	w.tier(resp.ServiceTier)
	if own {
		w.Extra(resp.Extra)
	}
	w.End("}")
	return w.Buf
}

func (w *writer) metrics(x *llm.Exchange) {
	w.Object("metrics")
	w.Int("latencyMs", latency(x))
	w.End("}")
}

func latency(x *llm.Exchange) int64 {
	if x == nil || x.Now == nil || x.Started.IsZero() {
		return 0
	}
	return max(0, x.Now().Sub(x.Started).Milliseconds())
}

// tier writes the service tier, if Bedrock has that one.
func (w *writer) tier(tier string) {
	switch tier {
	case "standard":
		tier = "default"
	case "priority", "default", "flex", "reserved":
	default:
		return
	}
	w.Object(tierKey)
	w.Str("type", tier)
	w.End("}")
}

// callID is a tool call's id, or one made from the gateway's own where the upstream gave none.
func callID(id string, x *llm.Exchange, n int) string {
	if id != "" {
		return id
	}
	if x != nil {
		id = x.ID
	}
	return toolID("tooluse_" + id + "_" + strconv.Itoa(n))
}

// answerPart writes one part of an answer; what Bedrock has no block for is left out.
func (w *writer) answerPart(p *llm.Part, own bool, x *llm.Exchange, n int) {
	switch p.Kind {
	case llm.KindText, llm.KindRefusal:
		if p.Text != "" {
			w.text(p.Text, p.Citations)
		}
	case llm.KindJSON:
		w.text(string(p.Raw), nil)
	case llm.KindReasoning:
		w.reasoning(p.Text, llm.JoinSignature(p.Signature, p.SignedBy, llm.Converse))
	case llm.KindRedacted:
		w.redacted(joinRedacted(p.Data, p.SignedBy))
	case llm.KindToolCall:
		if p.Call != nil {
			w.toolUse(callID(p.Call.ID, x, n), p.Call.Name, p.Call.ArgumentsObject())
		}
	case llm.KindNative:
		if own && len(p.Raw) > 0 {
			w.Raw("", p.Raw)
		}
	case llm.KindImage, llm.KindAudio, llm.KindVideo, llm.KindDocument:
		w.answerMedia(p, own)
	}
}

// answerMedia writes a file that came whole; of a sound in no known format, its words.
func (w *writer) answerMedia(p *llm.Part, own bool) {
	if p.Media == nil {
		return
	}
	m := *p.Media
	if mime, data, ok := splitDataURL(m.URL); ok {
		m.MIME, m.Data, m.URL = mime, data, ""
	}
	word := wordOf(p.Kind, &m)
	_, err := base64.StdEncoding.DecodeString(m.Data)
	if p.Kind == llm.KindDocument && !own || word == "" || m.URL != "" && !own || m.URL == "" && (m.Data == "" || err != nil) {
		if m.Transcript != "" {
			w.text(m.Transcript, nil)
		}
		return
	}
	c := *p
	c.Media = &m
	w.Object("")
	name := m.Name
	if name == "" {
		name = "document"
	}
	w.media(&c, word, name)
	w.End("}")
}
