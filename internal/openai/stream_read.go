package openai

import (
	"bytes"
	"slices"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// NewStreamDecoder implements llm.Spoken.
func (chat) NewStreamDecoder() llm.StreamDecoder { return &streamDecoder{} }

// streamDecoder reads chat completions chunks, and legacy completions chunks, which differ in where the text stands.
//
// Reasons to stop and usage are held back until the stream ends: providers send more deltas after a finish reason, finish twice, and
// report usage with the last delta, in a chunk of its own, or in every chunk.
type streamDecoder struct {
	events  []llm.Event
	started bool
	done    bool // nothing more will be said: [DONE] or an error was seen
	failed  bool // it was an error
	choices []*choiceState
	usage   *llm.Usage
	cited   bool
}

// choiceState is one candidate's stream. A closed part is remembered, since deltas of parallel calls may interleave.
type choiceState struct {
	index    int
	next     int // index of the next part
	open     int // index of the open part, -1 none
	kind     llm.Kind
	text     string // of the open reasoning part, to recognize the block that repeats it
	last     int    // index of the last text part, -1 none
	calls    []callState
	refused  bool
	signed   bool
	stop     llm.Stop
	finished bool
}

type callState struct {
	upstream int64 // the upstream's index, -1 unknown
	id       string
	part     int
}

var doneData = []byte("[DONE]")

// Decode implements llm.StreamDecoder.
func (s *streamDecoder) Decode(dst []llm.Event, f llm.Frame) ([]llm.Event, error) {
	data := bytes.TrimSpace(f.Data)
	if s.done || len(data) == 0 {
		return dst, nil
	}
	if bytes.Equal(data, doneData) {
		s.done = true
		s.events = dst
		s.flush(true)
		return s.take(), nil
	}
	var in chatAnswer
	if err := wire.Unmarshal(data, &in); err != nil {
		s.done, s.failed = true, true
		return dst, unread(data, err)
	}
	s.events = dst
	if f.Type == "error" || llm.IsSet(in.Error) {
		s.fail(inbandError(data))
		return s.take(), nil
	}
	if in.Choices == nil && !llm.IsSet(in.Usage) && (in.Object == "error" || llm.IsSet(in.Extra["detail"]) || llm.IsSet(in.Extra["message"])) {
		s.fail(inbandError(data))
		return s.take(), nil
	}
	if u := in.usage(); u != nil {
		s.usage = u
	}
	if len(in.Choices) > 0 {
		s.start(&in)
	}
	for i := range in.Choices {
		if err := s.choice(&in.Choices[i]); err != nil {
			s.done, s.failed = true, true
			return s.take(), unread(data, err)
		}
	}
	s.cite(&in)
	return s.take(), nil
}

// Finish implements llm.StreamDecoder. Without [DONE], which some servers leave out, an answer is whole if every candidate has its
// finish reason.
func (s *streamDecoder) Finish(dst []llm.Event) ([]llm.Event, bool) {
	if s.done {
		return dst, !s.failed
	}
	s.done = true
	s.events = dst
	complete := len(s.choices) > 0
	for _, c := range s.choices {
		complete = complete && c.finished
	}
	s.flush(complete)
	return s.take(), complete
}

func (s *streamDecoder) take() []llm.Event {
	out := s.events
	s.events = nil
	return out
}

func (s *streamDecoder) emit(e llm.Event) { s.events = append(s.events, e) }

func (s *streamDecoder) fail(e *llm.Error) {
	s.done, s.failed = true, true
	if s.usage != nil {
		s.emit(llm.Event{Kind: llm.EventUsage, Usage: s.usage})
	}
	s.emit(llm.Event{Kind: llm.EventError, Err: e})
}

func (s *streamDecoder) start(in *chatAnswer) {
	if s.started {
		return
	}
	s.started = true
	s.emit(llm.Event{Kind: llm.EventStart, Start: in.head()})
}

// flush emits what was held back; complete says that the answer is whole.
func (s *streamDecoder) flush(complete bool) {
	if complete && !s.started {
		s.start(&chatAnswer{})
	}
	for _, c := range s.choices {
		s.close(c)
		if !c.finished && !complete {
			continue
		}
		if c.stop.Reason == "" || c.stop.Reason == llm.FinishStop {
			switch {
			case len(c.calls) > 0:
				c.stop.Reason = llm.FinishToolCalls
			case c.refused:
				c.stop.Reason = llm.FinishRefusal
			default:
				c.stop.Reason = llm.FinishStop
			}
		}
		s.emit(llm.Event{Kind: llm.EventFinish, Choice: c.index, Stop: c.stop})
	}
	if s.usage != nil {
		s.emit(llm.Event{Kind: llm.EventUsage, Usage: s.usage})
	}
	if complete {
		s.emit(llm.Event{Kind: llm.EventEnd})
	}
}

func (s *streamDecoder) state(index int) *choiceState {
	for _, c := range s.choices {
		if c.index == index {
			return c
		}
	}
	c := &choiceState{index: index, open: -1, last: -1}
	s.choices = append(s.choices, c)
	return c
}

func (s *streamDecoder) choice(in *chatChoice) error {
	c := s.state(int(in.Index))
	m := in.Delta
	if m == nil {
		m = in.Message
	}
	if m == nil {
		m = &chatMessage{}
	}
	if in.Text != nil && in.Delta == nil {
		m.Content.text = *in.Text
	}
	s.reasoning(c, m)
	if err := s.content(c, in, m); err != nil {
		return err
	}
	if m.Refusal != "" {
		c.refused = true
		s.text(c, llm.KindRefusal, m.Refusal)
	}
	if err := s.media(c, m); err != nil {
		return err
	}
	for i := range m.ToolCalls {
		s.call(c, &m.ToolCalls[i])
	}
	if f := m.FunctionCall; f != nil {
		s.call(c, &chatCall{Index: new(number), Function: f})
	}
	if in.FinishReason != "" {
		stop := in.stop(nil)
		if !c.finished || stop.Reason != llm.FinishStop {
			c.stop = stop
		}
		c.finished = true
	}
	return nil
}

// begin opens a part, closing the one before it.
func (s *streamDecoder) begin(c *choiceState, p *llm.Part) int {
	s.close(c)
	c.open, c.kind = c.next, p.Kind
	c.next++
	if p.Kind == llm.KindText {
		c.last = c.open
	}
	s.emit(llm.Event{Kind: llm.EventPartStart, Choice: c.index, Index: c.open, Part: p})
	return c.open
}

func (s *streamDecoder) close(c *choiceState) {
	if c.open < 0 {
		return
	}
	s.emit(llm.Event{Kind: llm.EventPartStop, Choice: c.index, Index: c.open})
	c.open, c.kind, c.text, c.signed = -1, "", "", false
}

// text appends to the open part of the kind, or opens one.
func (s *streamDecoder) text(c *choiceState, kind llm.Kind, text string) {
	if text == "" {
		return
	}
	if c.kind != kind || c.open < 0 {
		s.begin(c, &llm.Part{Kind: kind})
	}
	s.emit(llm.Event{Kind: llm.EventDelta, Choice: c.index, Index: c.open, Text: text})
}

func (s *streamDecoder) content(c *choiceState, in *chatChoice, m *chatMessage) error {
	first := len(s.events)
	if !m.Content.list {
		s.text(c, llm.KindText, m.Content.text)
	}
	for i := range m.Content.parts {
		p, err := m.Content.parts[i].decode("choices.delta.content")
		if err != nil {
			return err
		}
		switch p.Kind {
		case llm.KindText:
			s.text(c, llm.KindText, p.Text)
		case llm.KindReasoning:
			s.thought(c, p.Text)
			s.sign(c, p.Signature, p.SignedBy)
		default:
			s.begin(c, &p)
			s.close(c)
		}
	}
	if l := decodeLogprobs(in.Logprobs); l != nil {
		s.logprobs(c, first, l)
	}
	if cs := decodeAnnotations(m.Annotations); cs != nil && c.last >= 0 {
		s.emit(llm.Event{Kind: llm.EventDelta, Choice: c.index, Index: c.last, Citations: cs})
	}
	if x := (&chatMessage{ProviderFields: m.ProviderFields}); c.last >= 0 && llm.IsSet(m.ProviderFields) {
		probe := []llm.Part{{Kind: llm.KindText}}
		if x.signText(probe); probe[0].Signature != "" {
			s.emit(llm.Event{Kind: llm.EventDelta, Choice: c.index, Index: c.last, Signature: probe[0].Signature, SignedBy: llm.Gemini})
		}
	}
	return nil
}

// logprobs rides on the text that came with it, or on the last text part.
func (s *streamDecoder) logprobs(c *choiceState, first int, l []llm.TokenLogprob) {
	for i := len(s.events) - 1; i >= first; i-- {
		if s.events[i].Kind == llm.EventDelta {
			s.events[i].Logprobs = l
			return
		}
	}
	s.emit(llm.Event{Kind: llm.EventDelta, Choice: c.index, Index: max(c.last, 0), Logprobs: l})
}

func (s *streamDecoder) media(c *choiceState, m *chatMessage) error {
	if a := m.Audio; a != nil {
		if c.kind != llm.KindAudio {
			s.begin(c, &llm.Part{Kind: llm.KindAudio, Media: &llm.Media{ID: a.ID}})
		}
		if a.Data != "" || a.Transcript != "" {
			s.emit(llm.Event{Kind: llm.EventDelta, Choice: c.index, Index: c.open, Data: a.Data, Transcript: a.Transcript})
		}
	}
	for i := range m.Images {
		p, err := m.Images[i].decode("choices.delta.images")
		if err != nil {
			return err
		}
		s.begin(c, &p)
		s.close(c)
	}
	return nil
}

// call reads a piece of a tool call. What starts a new call is a new index, or a new id, since some servers number all calls 0.
func (s *streamDecoder) call(c *choiceState, in *chatCall) {
	p, err := in.decode("choices.delta.tool_calls")
	if err != nil { // a piece of nothing, as some servers end a call
		return
	}
	at := c.find(in, &p)
	if at < 0 {
		text := p.Call.Arguments
		p.Call.Arguments = ""
		if p.Call.ID == "" {
			p.Call.ID = newCallID()
		}
		n := callState{upstream: -1, id: in.ID, part: s.begin(c, &p)}
		if in.Index != nil {
			n.upstream = int64(*in.Index)
		}
		c.calls = append(c.calls, n)
		if text != "" {
			s.emit(llm.Event{Kind: llm.EventDelta, Choice: c.index, Index: n.part, Text: text})
		}
		return
	}
	e := llm.Event{Kind: llm.EventDelta, Choice: c.index, Index: c.calls[at].part, Text: p.Call.Arguments, Signature: p.Signature, SignedBy: p.SignedBy}
	if e.Text != "" || e.Signature != "" {
		s.emit(e)
	}
}

// find gives the place of the call that a piece continues, -1 if it begins one.
func (c *choiceState) find(in *chatCall, p *llm.Part) int {
	for i, known := range slices.Backward(c.calls) {
		switch {
		case in.Index != nil && known.upstream != int64(*in.Index):
		case in.ID != "" && known.id != in.ID && known.id != "":
			return -1
		case in.Index == nil && in.ID == "" && p.Call.Name != "":
			return -1 // no index, no id, but a name: servers that send calls whole
		default:
			return i
		}
	}
	return -1
}

// cite puts the citations that Perplexity and xAI repeat in every chunk on the text, once.
func (s *streamDecoder) cite(in *chatAnswer) {
	if s.cited || len(s.choices) == 0 || s.choices[0].last < 0 {
		return
	}
	if cs := in.citeURLs(); len(cs) > 0 {
		s.cited = true
		s.emit(llm.Event{Kind: llm.EventDelta, Choice: s.choices[0].index, Index: s.choices[0].last, Citations: cs})
	}
}

// reasoning reads all the forms in which a delta tells thoughts; those that repeat each other count once.
func (s *streamDecoder) reasoning(c *choiceState, m *chatMessage) {
	flat := string(m.ReasoningContent)
	if flat == "" {
		flat = string(m.Reasoning)
	}
	s.thought(c, flat)
	for i := range m.ThinkingBlocks {
		p := m.ThinkingBlocks[i].part()
		if p.Kind == llm.KindRedacted {
			s.begin(c, &p)
			s.close(c)
			continue
		}
		s.thinkingBlock(c, &p, flat != "")
	}
	if llm.IsSet(m.ReasoningDetails) {
		s.reasoningDetails(c, m, flat != "")
	}
}

// thinkingBlock reads one entry of thinking_blocks: LiteLLM's piece of text beside the same in reasoning_content, a signature alone, or
// our own whole block that closes the part whose text it repeats.
func (s *streamDecoder) thinkingBlock(c *choiceState, p *llm.Part, told bool) {
	open := c.kind == llm.KindReasoning && c.open >= 0 && !c.signed
	switch {
	case p.Text == "" && p.Signature == "":
		if p.ID != "" || p.Summary {
			s.begin(c, &llm.Part{Kind: llm.KindReasoning, ID: p.ID, Summary: p.Summary})
		}
		return
	case told, open && p.Text == "":
	case open && p.Text == c.text:
		if p.Signature == "" { // an unsigned whole block: its part ends here
			s.close(c)
		}
	default:
		if open && p.Signature != "" {
			s.close(c)
		}
		s.thought(c, p.Text)
	}
	if p.Signature == "" {
		return
	}
	if c.kind != llm.KindReasoning || c.open < 0 || c.signed {
		s.begin(c, &llm.Part{Kind: llm.KindReasoning, ID: p.ID, Summary: p.Summary})
	}
	s.sign(c, p.Signature, p.SignedBy)
}

func (s *streamDecoder) reasoningDetails(c *choiceState, m *chatMessage, told bool) {
	for _, d := range m.details() {
		if !told {
			s.thought(c, d.Text+d.Summary)
		}
		if d.Signature != "" {
			s.sign(c, d.Signature, d.signedBy())
		}
		if d.Type != "reasoning.encrypted" || d.Data == "" {
			continue
		}
		switch by := d.signedBy(); by {
		case llm.Responses:
			if c.kind != llm.KindReasoning || c.open < 0 || c.signed {
				s.begin(c, &llm.Part{Kind: llm.KindReasoning, ID: d.ID})
			}
			s.sign(c, d.Data, by)
		case llm.Anthropic:
			s.begin(c, &llm.Part{Kind: llm.KindRedacted, Data: d.Data, SignedBy: by})
			s.close(c)
		case llm.Gemini:
			for _, call := range c.calls {
				if call.id == d.ID {
					s.emit(llm.Event{Kind: llm.EventDelta, Choice: c.index, Index: call.part, Signature: d.Data, SignedBy: by})
				}
			}
		}
	}
}

// thought appends reasoning text; after a signature a new part begins.
func (s *streamDecoder) thought(c *choiceState, text string) {
	if text == "" {
		return
	}
	if c.signed {
		s.close(c)
	}
	s.text(c, llm.KindReasoning, text)
	c.text += text
}

func (s *streamDecoder) sign(c *choiceState, signature string, by llm.Dialect) {
	if signature == "" || c.kind != llm.KindReasoning || c.open < 0 {
		return
	}
	c.signed = true
	s.emit(llm.Event{Kind: llm.EventDelta, Choice: c.index, Index: c.open, Signature: signature, SignedBy: by})
}
