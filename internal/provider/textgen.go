package provider

import (
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// generate speaks the text-generation API of Hugging Face's servers (TGI) and of the containers that copy it on SageMaker: one prompt in,
// one text out.
type generate struct {
	// streamField: streaming is asked for in the body (SageMaker), not by the path.
	streamField bool
}

var _ llm.Spoken = generate{}

type generateBody struct {
	Inputs     string             `json:"inputs"`
	Parameters generateParameters `json:"parameters"`
	Stream     bool               `json:"stream,omitzero"`
}

type generateParameters struct {
	MaxNewTokens *int64   `json:"max_new_tokens,omitzero"`
	Temperature  *float64 `json:"temperature,omitzero"`
	TopP         *float64 `json:"top_p,omitzero"`
	TopK         *int64   `json:"top_k,omitzero"`
	Seed         *int64   `json:"seed,omitzero"`
	Stop         []string `json:"stop,omitzero"`
	Frequency    *float64 `json:"frequency_penalty,omitzero"`
	Repetition   llm.Raw  `json:"repetition_penalty,omitzero"`
	DoSample     *bool    `json:"do_sample,omitzero"`
	FullText     *bool    `json:"return_full_text,omitzero"`
	Details      bool     `json:"details,omitzero"`
	InputDetails bool     `json:"decoder_input_details,omitzero"`
}

// EncodeRequest implements llm.Spoken.
func (g generate) EncodeRequest(dst []byte, req *llm.Request, _ *llm.Target) ([]byte, []string, error) {
	var d drops
	prompt := promptOf(req, &d)
	if prompt == "" {
		return dst, nil, llm.Invalid("messages", "messages: no text; this upstream generates from text alone")
	}
	b := generateBody{Inputs: prompt, Stream: req.Stream && g.streamField}
	p := &b.Parameters
	*p = generateParameters{MaxNewTokens: req.MaxTokens, Temperature: req.Temperature, TopP: req.TopP, TopK: req.TopK, Seed: req.Seed,
		Stop: req.Stop, Frequency: req.FrequencyPenalty, Details: true, InputDetails: !req.Stream}
	if g.streamField { // containers differ in what they know beside the common parameters
		p.Details, p.InputDetails, p.FullText = false, false, llm.Ptr(false)
	}
	switch {
	case p.Temperature != nil && *p.Temperature == 0: // refused by TGI: it means no sampling
		p.Temperature, p.DoSample = nil, llm.Ptr(false)
	case p.Temperature != nil || p.TopP != nil || p.TopK != nil:
		p.DoSample = llm.Ptr(true)
	}
	if p.TopP != nil && *p.TopP >= 1 { // must be below 1, and 1 is what it is without
		p.TopP = nil
	}
	if v, ok := req.Extra["repetition_penalty"]; ok && v.Kind() == '0' {
		p.Repetition = v
	}
	d.extras(req, "repetition_penalty")
	d.when(req.N != nil && *req.N > 1, "n")
	d.when(req.MinP != nil, "min_p")
	d.when(req.PresencePenalty != nil, "presence_penalty")
	d.when(req.LogitBias != nil, "logit_bias")
	d.when(req.Logprobs != nil && *req.Logprobs, "logprobs")
	d.when(req.TopLogprobs != nil, "top_logprobs")
	d.when(len(req.Tools) > 0, "tools")
	d.when(req.ToolChoice != nil, "tool_choice")
	d.when(req.Format != nil && req.Format.Type != "text", "response_format")
	d.when(req.Reasoning != nil, "reasoning_effort")
	commonDrops(req, &d)
	out, err := appendObject(dst, b, "messages")
	return out, d, err
}

// promptOf writes a conversation as one text: a lone user message as it is, anything longer as a script that ends where the model goes on.
func promptOf(req *llm.Request, d *drops) string {
	if len(req.Messages) == 1 && req.Messages[0].Role == llm.RoleUser {
		return messageText(&req.Messages[0], d)
	}
	names := map[llm.Role]string{llm.RoleUser: "User: ", llm.RoleTool: "Tool: ", llm.RoleAssistant: "Assistant: "}
	var b strings.Builder
	for i := range req.Messages {
		m := &req.Messages[i]
		text := messageText(m, d)
		if text == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(names[m.Role])
		b.WriteString(text)
	}
	if b.Len() == 0 {
		return ""
	}
	b.WriteString("\n\nAssistant:")
	return b.String()
}

func messageText(m *llm.Message, d *drops) string {
	var b strings.Builder
	for i := range m.Parts {
		p := &m.Parts[i]
		switch {
		case p.Kind == llm.KindText, p.Kind == llm.KindRefusal:
			b.WriteString(p.Text)
		case p.Kind == llm.KindToolResult:
			b.WriteString(resultText(p.Result, d))
		case p.Kind == llm.KindToolCall:
			b.WriteString(p.Call.Name + "(" + p.Call.Arguments + ")")
		case p.Kind == llm.KindReasoning, p.Kind == llm.KindRedacted:
		case p.Media != nil && p.Media.Text != "":
			b.WriteString(p.Media.Text)
		default:
			d.add("messages." + string(p.Kind))
		}
	}
	return b.String()
}

type generated struct {
	Text    *string          `json:"generated_text"`
	Alt     *string          `json:"generation"`
	Outputs *string          `json:"outputs"`
	Details *generateDetails `json:"details"`
	Error   string           `json:"error"`
}

type generateDetails struct {
	Finish    string           `json:"finish_reason"`
	Generated *int64           `json:"generated_tokens"`
	Input     *int64           `json:"input_length"`
	Prefill   []jsontext.Value `json:"prefill"`
}

func (g *generated) text() (string, bool) {
	for _, t := range []*string{g.Text, g.Alt, g.Outputs} {
		if t != nil {
			return *t, true
		}
	}
	return "", false
}

func (d *generateDetails) stop() llm.Stop {
	if d == nil {
		return llm.Stop{Reason: llm.FinishStop}
	}
	switch d.Finish {
	case "length":
		return llm.Stop{Reason: llm.FinishLength, Raw: d.Finish}
	case "stop_sequence":
		return llm.Stop{Reason: llm.FinishSequence, Raw: d.Finish}
	}
	return llm.Stop{Reason: llm.FinishStop, Raw: d.Finish}
}

// usage is nil unless both sides are known: half of it would pass for the whole.
func (d *generateDetails) usage() *llm.Usage {
	if d == nil || d.Generated == nil {
		return nil
	}
	in := int64(len(d.Prefill))
	if d.Input != nil {
		in = *d.Input
	}
	if in == 0 {
		return nil
	}
	return &llm.Usage{Input: in, Output: *d.Generated}
}

// DecodeResponse implements llm.Spoken. The answer is an object, or a list of one or of a list of one.
func (generate) DecodeResponse(body []byte) (*llm.Response, error) {
	v := jsontext.Value(body)
	for range 2 {
		if v.Kind() == '[' {
			var list []jsontext.Value
			if err := json.Unmarshal(v, &list, upstreamJSON); err != nil || len(list) == 0 {
				return nil, unreadable("text-generation", err)
			}
			v = list[0]
		}
	}
	var a generated
	if err := json.Unmarshal(v, &a, upstreamJSON); err != nil {
		return nil, unreadable("text-generation", err)
	}
	text, ok := a.text()
	if !ok {
		if m := messageIn(v); m != "" {
			return nil, &llm.Error{Kind: llm.ErrUpstream, Upstream: true, Message: m}
		}
		return nil, unreadable("text-generation", nil)
	}
	return &llm.Response{Usage: a.Details.usage(), Choices: []llm.Choice{{
		Parts: []llm.Part{{Kind: llm.KindText, Text: text}}, Stop: a.Details.stop()}}}, nil
}

// DecodeError implements llm.Spoken.
func (generate) DecodeError(status int, h http.Header, body []byte) *llm.Error {
	return plainError(status, h, body)
}

// NewTap implements llm.Spoken.
func (g generate) NewTap() llm.Tap { return newTap(g) }

// NewStreamDecoder implements llm.Spoken.
func (generate) NewStreamDecoder() llm.StreamDecoder { return &generateStream{} }

type generateStream struct {
	begun, done bool
}

type generateEvent struct {
	generated
	Token *struct {
		Text    string `json:"text"`
		Special bool   `json:"special"`
	} `json:"token"`
}

// Decode implements llm.StreamDecoder. Each event is a token; the last brings the whole text again, and details if they were asked for.
func (s *generateStream) Decode(dst []llm.Event, f llm.Frame) ([]llm.Event, error) {
	if s.done || string(f.Data) == "[DONE]" {
		return dst, nil
	}
	var e generateEvent
	if err := json.Unmarshal(f.Data, &e, upstreamJSON); err != nil {
		return dst, &llm.Error{Kind: llm.ErrUpstream, Upstream: true, Message: "the upstream sent an event that can't be read", Cause: err}
	}
	whole, last := e.text()
	if e.Token == nil && !last {
		if m := messageIn(f.Data); m != "" {
			s.done = true
			return append(dst, llm.Event{Kind: llm.EventError, Err: &llm.Error{Kind: llm.ErrUpstream, Upstream: true, Message: m}}), nil
		}
		return dst, nil
	}
	first := !s.begun
	if first {
		s.begun = true
		dst = append(dst, llm.Event{Kind: llm.EventStart, Start: &llm.Response{}},
			llm.Event{Kind: llm.EventPartStart, Part: &llm.Part{Kind: llm.KindText}})
	}
	switch {
	case e.Token != nil && !e.Token.Special && e.Token.Text != "":
		dst = append(dst, llm.Event{Kind: llm.EventDelta, Text: e.Token.Text})
	case e.Token == nil && first && whole != "": // a container that streams in one piece
		dst = append(dst, llm.Event{Kind: llm.EventDelta, Text: whole})
	}
	if !last && e.Details == nil {
		return dst, nil
	}
	s.done = true
	dst = append(dst, llm.Event{Kind: llm.EventPartStop}, llm.Event{Kind: llm.EventFinish, Stop: e.Details.stop()})
	if u := e.Details.usage(); u != nil {
		dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: u})
	}
	return append(dst, llm.Event{Kind: llm.EventEnd}), nil
}

// Finish implements llm.StreamDecoder.
func (s *generateStream) Finish(dst []llm.Event) ([]llm.Event, bool) { return dst, s.done }
