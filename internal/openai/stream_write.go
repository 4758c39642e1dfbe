package openai

import (
	"strconv"

	"github.com/weir-gateway/weir/internal/llm"
)

// NewStreamEncoder implements llm.Served.
func (chat) NewStreamEncoder(x *llm.Exchange) llm.StreamEncoder {
	return &streamEncoder{x: x, legacy: legacyClient(x)}
}

// streamEncoder writes chat completions chunks: the role, deltas, one finish chunk a candidate, the usage chunk if asked for, [DONE].
type streamEncoder struct {
	x       *llm.Exchange
	legacy  bool
	head    []byte // everything of a chunk before its choices
	extra   map[string]llm.Raw
	same    bool
	usage   *llm.Usage
	choices []*choiceWriter
	closed  bool
}

// choiceWriter is what must be known of one candidate's earlier deltas.
type choiceWriter struct {
	index   int
	parts   map[int]*partWriter
	calls   int
	thought *partWriter // the reasoning part before this one, while its block is not written
	refused bool
}

type partWriter struct {
	part llm.Part
	call int    // index among the tool calls
	text []byte // of a reasoning part: its block, written when it is signed, repeats it
	any  bool   // a delta was written
	done bool   // the block was written
}

// Encode implements llm.StreamEncoder.
func (s *streamEncoder) Encode(dst []byte, e *llm.Event) []byte {
	if s.closed {
		return dst
	}
	w := writer{dst}
	switch e.Kind {
	case llm.EventStart:
		s.start(&w, e.Start)
		s.choice(&w, 0)
		if e.Usage != nil {
			s.usage = e.Usage
		}
	case llm.EventPartStart:
		s.partStart(&w, s.choice(&w, e.Choice), e)
	case llm.EventDelta:
		s.delta(&w, s.choice(&w, e.Choice), e)
	case llm.EventPartStop:
		s.partStop(&w, s.choice(&w, e.Choice), e)
	case llm.EventFinish:
		s.finish(&w, s.choice(&w, e.Choice), &e.Stop)
	case llm.EventUsage:
		s.usage = e.Usage
	case llm.EventError:
		s.closed = true
		return chat{}.EncodeStreamError(dst, e.Err)
	case llm.EventEnd:
		s.end(&w)
	}
	return w.b
}

// start prepares the head that all chunks share.
func (s *streamEncoder) start(w *writer, r *llm.Response) {
	if s.head != nil {
		return
	}
	h := writer{make([]byte, 0, 256)}
	h.raw("data: {")
	h.str("id", answerID(r, s.x, "chatcmpl-"))
	h.raw(`,"object":"chat.completion.chunk"`)
	h.int("created", createdAt(r, s.x))
	h.str("model", shownModel(r, s.x))
	if r != nil {
		h.text("system_fingerprint", r.SystemFingerprint)
		h.text("service_tier", shownTier(r))
		if s.same = r.From == llm.OpenAI; s.same {
			s.extra = r.Extra
		}
	}
	s.head = h.b
}

// choice finds a candidate; its first chunk tells the role.
func (s *streamEncoder) choice(w *writer, index int) *choiceWriter {
	if s.head == nil {
		s.start(w, nil)
	}
	for _, c := range s.choices {
		if c.index == index {
			return c
		}
	}
	c := &choiceWriter{index: index, parts: map[int]*partWriter{}}
	s.choices = append(s.choices, c)
	w.raw(string(s.head))
	if len(s.extra) > 0 {
		w.extra(s.extra)
		s.extra = nil
	}
	w.raw(`,"choices":[{"index":`)
	w.b = strconv.AppendInt(w.b, int64(index), 10)
	w.raw(`,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}` + "\n\n")
	return c
}

// open starts a chunk up to the inside of its delta.
func (s *streamEncoder) open(w *writer, c *choiceWriter) {
	w.b = append(w.b, s.head...)
	w.raw(`,"choices":[{"index":`)
	w.b = strconv.AppendInt(w.b, int64(c.index), 10)
	w.raw(`,"delta":{`)
}

const chunkEnd = `},"finish_reason":null}]}` + "\n\n"

func (s *streamEncoder) partStart(w *writer, c *choiceWriter, e *llm.Event) {
	p := &partWriter{part: *e.Part}
	c.parts[e.Index] = p
	switch p.part.Kind {
	case llm.KindReasoning:
		s.apart(w, c)
		c.thought = p
		if p.part.ID != "" || p.part.Summary {
			s.open(w, c)
			w.raw(`"thinking_blocks":[`)
			w.thinkingBlock(&llm.Part{Kind: p.part.Kind, ID: p.part.ID, Summary: p.part.Summary}, "")
			w.raw("]" + chunkEnd)
		}
		if p.part.Text != "" {
			s.think(w, c, p, p.part.Text)
		}
		if p.part.Signature != "" {
			s.block(w, c, p)
		}
	case llm.KindRedacted:
		s.apart(w, c)
		s.block(w, c, p)
	case llm.KindText, llm.KindRefusal:
		s.said(w, c, &p.part, p.part.Text, nil)
		s.citations(w, c, p.part.Citations)
		s.textSignature(w, c, &p.part)
	case llm.KindToolCall:
		p.call = c.calls
		c.calls++
		s.callStart(w, c, p)
	case llm.KindAudio:
		if m := p.part.Media; m != nil {
			s.open(w, c)
			w.key("audio")
			w.audio(m, false)
			w.raw(chunkEnd)
		}
	case llm.KindImage:
		if m := p.part.Media; m != nil && (m.URL != "" || m.Data != "") {
			s.open(w, c)
			w.images([]llm.Part{p.part})
			w.raw(chunkEnd)
		}
	}
}

func (s *streamEncoder) delta(w *writer, c *choiceWriter, e *llm.Event) {
	p := c.parts[e.Index]
	if p == nil {
		return
	}
	switch p.part.Kind {
	case llm.KindText, llm.KindRefusal:
		s.said(w, c, &p.part, e.Text, e.Logprobs)
		s.citations(w, c, e.Citations)
		if e.Signature != "" {
			p.part.Signature, p.part.SignedBy = e.Signature, e.SignedBy
			s.textSignature(w, c, &p.part)
		}
	case llm.KindReasoning:
		if e.Text != "" {
			s.think(w, c, p, e.Text)
		}
		if e.Signature != "" {
			p.part.Signature, p.part.SignedBy = e.Signature, e.SignedBy
			s.block(w, c, p)
		}
	case llm.KindToolCall:
		if e.Text != "" {
			s.arguments(w, c, p, e.Text)
		}
		if e.Signature != "" && e.SignedBy == llm.Gemini {
			s.open(w, c)
			w.raw(`"tool_calls":[{"index":`)
			w.b = strconv.AppendInt(w.b, int64(p.call), 10)
			w.raw(`,"function":{},"extra_content":{"google":{"thought_signature":`)
			w.quote(e.Signature)
			w.raw(`}}}]` + chunkEnd)
		}
	case llm.KindAudio:
		if e.Data != "" || e.Transcript != "" {
			s.open(w, c)
			w.key("audio")
			w.audio(&llm.Media{Data: e.Data, Transcript: e.Transcript}, false)
			w.raw(chunkEnd)
		}
	}
}

// said appends a piece of text or refusal.
func (s *streamEncoder) said(w *writer, c *choiceWriter, p *llm.Part, text string, logprobs []llm.TokenLogprob) {
	if text == "" && logprobs == nil {
		return
	}
	c.thought = nil
	s.open(w, c)
	if p.Kind == llm.KindRefusal {
		c.refused = true
		w.raw(`"refusal":`)
	} else {
		w.raw(`"content":`)
	}
	w.quote(text)
	if logprobs == nil {
		w.raw(chunkEnd)
		return
	}
	w.raw(`},"logprobs":`)
	w.logprobs(logprobs)
	w.raw(`,"finish_reason":null}]}` + "\n\n")
}

func (s *streamEncoder) citations(w *writer, c *choiceWriter, cs []llm.Citation) {
	for i := range cs {
		if annotates(&cs[i]) {
			s.open(w, c)
			w.annotations([]llm.Part{{Citations: cs}})
			w.raw(chunkEnd)
			return
		}
	}
}

func (s *streamEncoder) textSignature(w *writer, c *choiceWriter, p *llm.Part) {
	if p.Kind == llm.KindText && p.Signature != "" && p.SignedBy == llm.Gemini {
		s.open(w, c)
		w.raw(`"provider_specific_fields":{"thought_signatures":[`)
		w.quote(p.Signature)
		w.raw("]}" + chunkEnd)
	}
}

func (s *streamEncoder) think(w *writer, c *choiceWriter, p *partWriter, text string) {
	p.text = append(p.text, text...)
	s.open(w, c)
	w.raw(`"reasoning_content":`)
	w.quote(text)
	w.raw(chunkEnd)
}

// block writes a reasoning part's thinking block, which repeats its text: clients that add up the blocks of a stream, and our own
// decoder, get the whole with its signature.
func (s *streamEncoder) block(w *writer, c *choiceWriter, p *partWriter) {
	if p.done {
		return
	}
	p.done = true
	s.open(w, c)
	w.raw(`"thinking_blocks":[`)
	w.thinkingBlock(&p.part, string(p.text))
	w.raw("]" + chunkEnd)
}

// apart keeps a reasoning part from the one that follows it: an unsigned one gets its block now, which ends it.
func (s *streamEncoder) apart(w *writer, c *choiceWriter) {
	if p := c.thought; p != nil && !p.done && len(p.text) > 0 {
		s.block(w, c, p)
	}
	c.thought = nil
}

func (s *streamEncoder) callStart(w *writer, c *choiceWriter, p *partWriter) {
	c.thought = nil
	call := p.part.Call
	s.open(w, c)
	if s.legacy {
		w.raw(`"function_call":{"name":`)
		w.quote(call.Name)
		w.raw(`,"arguments":`)
		w.quote(call.Arguments)
		w.raw("}" + chunkEnd)
		p.any = call.Arguments != ""
		return
	}
	w.raw(`"tool_calls":[{"index":`)
	w.b = strconv.AppendInt(w.b, int64(p.call), 10)
	w.str("id", call.ID)
	if call.Type == "custom" {
		w.raw(`,"type":"custom","custom":{"name":`)
		w.quote(call.Name)
		w.raw(`,"input":`)
	} else {
		w.raw(`,"type":"function","function":{"name":`)
		w.quote(call.Name)
		w.raw(`,"arguments":`)
	}
	w.quote(call.Arguments)
	w.raw("}")
	if p.part.Signature != "" && p.part.SignedBy == llm.Gemini {
		w.raw(`,"extra_content":{"google":{"thought_signature":`)
		w.quote(p.part.Signature)
		w.raw("}}")
	}
	w.raw("}]" + chunkEnd)
	p.any = call.Arguments != ""
}

func (s *streamEncoder) arguments(w *writer, c *choiceWriter, p *partWriter, text string) {
	p.any = true
	s.open(w, c)
	if s.legacy {
		w.raw(`"function_call":{"arguments":`)
		w.quote(text)
		w.raw("}" + chunkEnd)
		return
	}
	w.raw(`"tool_calls":[{"index":`)
	w.b = strconv.AppendInt(w.b, int64(p.call), 10)
	if p.part.Call.Type == "custom" {
		w.raw(`,"custom":{"input":`)
	} else {
		w.raw(`,"function":{"arguments":`)
	}
	w.quote(text)
	w.raw("}}]" + chunkEnd)
}

func (s *streamEncoder) partStop(w *writer, c *choiceWriter, e *llm.Event) {
	p := c.parts[e.Index]
	if p == nil || p.part.Kind != llm.KindToolCall || p.any || p.part.Call.Type == "custom" {
		return
	}
	s.arguments(w, c, p, "{}") // clients parse the arguments, and nothing is not JSON
}

func (s *streamEncoder) finish(w *writer, c *choiceWriter, stop *llm.Stop) {
	w.b = append(w.b, s.head...)
	w.raw(`,"choices":[{"index":`)
	w.b = strconv.AppendInt(w.b, int64(c.index), 10)
	w.raw(`,"delta":{},"logprobs":null`)
	w.finish(stop, c.refused, s.legacy && c.calls > 0)
	w.raw("}]}\n\n")
}

func (s *streamEncoder) end(w *writer) {
	s.closed = true
	if s.x.StreamUsage && s.usage != nil {
		if s.head == nil {
			s.start(w, nil)
		}
		w.b = append(w.b, s.head...)
		w.raw(`,"choices":[],"usage":`)
		w.usage(s.usage, s.same)
		w.raw("}\n\n")
	}
	w.raw("data: [DONE]\n\n")
}
