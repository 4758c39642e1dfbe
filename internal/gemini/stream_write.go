package gemini

import (
	"maps"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

type streamEncoder struct {
	x      *llm.Exchange
	head   *llm.Response
	native bool
	array  bool
	began  bool
	closed bool
	held   map[[2]int]*llm.Part // calls and media whose content is still coming
	kinds  map[[2]int]llm.Kind
	texts  map[[2]int]*strings.Builder
	cited  map[int]*groundingMetadata
	cites  []lateCitation
	stops  []choiceStop
	usage  *llm.Usage
}

type lateCitation struct {
	at [2]int
	c  llm.Citation
}

type choiceStop struct {
	choice int
	stop   llm.Stop
}

// NewStreamEncoder writes a stream: server-sent events, or one JSON array where the client did not ask for alt=sse.
func (dialect) NewStreamEncoder(x *llm.Exchange) llm.StreamEncoder {
	return &streamEncoder{x: x, array: x != nil && x.Array, head: &llm.Response{}, held: map[[2]int]*llm.Part{},
		kinds: map[[2]int]llm.Kind{}, texts: map[[2]int]*strings.Builder{}}
}

// Encode writes one event: a chunk per delta of text, calls whole, and at the end a chunk with reasons, sources and usage.
func (s *streamEncoder) Encode(dst []byte, e *llm.Event) []byte {
	if s.closed {
		return dst
	}
	at := [2]int{e.Choice, e.Index}
	switch e.Kind {
	case llm.EventStart:
		if e.Start != nil {
			s.head, s.native = e.Start, e.Start.From == llm.Gemini
		}
		s.usage = e.Usage
	case llm.EventPartStart:
		return s.start(dst, at, e.Part)
	case llm.EventDelta:
		return s.delta(dst, at, e)
	case llm.EventPartStop:
		if p := s.held[at]; p != nil && (p.Call == nil || llm.Raw(p.Call.Arguments).IsValid() && llm.Raw(p.Call.Arguments).Kind() == '{') {
			return s.release(dst, at)
		}
	case llm.EventFinish:
		s.stops = append(s.stops, choiceStop{e.Choice, e.Stop})
		return s.releaseAll(dst, e.Choice)
	case llm.EventUsage:
		s.usage = e.Usage
	case llm.EventError:
		s.closed = true
		return s.frame(dst, compact(Generate.EncodeError(nil, nil, e.Err)), true)
	case llm.EventEnd:
		dst = s.releaseAll(dst, -1)
		s.closed = true
		return s.final(dst)
	}
	return dst
}

func (s *streamEncoder) start(dst []byte, at [2]int, p *llm.Part) []byte {
	if p == nil {
		return dst
	}
	s.kinds[at] = p.Kind
	switch p.Kind {
	case llm.KindText, llm.KindReasoning, llm.KindRefusal:
		if p.Text == "" && p.Signature == "" {
			return dst
		}
		s.remember(at, p.Text)
		return s.parts(dst, at[0], p, nil)
	case llm.KindToolCall:
		if p.Call == nil {
			return dst
		}
		held := *p
		call := *p.Call
		held.Call = &call
		s.held[at] = &held
		return dst
	}
	if m := p.Media; m != nil && m.Data == "" && m.URL == "" && m.FileID == "" && m.Text == "" {
		held := *p
		media := *m
		held.Media = &media
		s.held[at] = &held
		return dst
	}
	return s.parts(dst, at[0], p, nil)
}

func (s *streamEncoder) remember(at [2]int, text string) {
	if s.kinds[at] != llm.KindText || text == "" {
		return
	}
	b := s.texts[at]
	if b == nil {
		b = &strings.Builder{}
		s.texts[at] = b
	}
	b.WriteString(text)
}

func (s *streamEncoder) delta(dst []byte, at [2]int, e *llm.Event) []byte {
	if p := s.held[at]; p != nil {
		switch {
		case p.Call != nil:
			p.Call.Arguments += e.Text
			if e.Signature != "" {
				p.Signature, p.SignedBy = e.Signature, e.SignedBy
			}
		case p.Media != nil:
			p.Media.Data += e.Data
		}
		return dst
	}
	for _, c := range e.Citations {
		s.cites = append(s.cites, lateCitation{at, c})
	}
	kind := s.kinds[at]
	switch kind {
	case llm.KindText, llm.KindReasoning, llm.KindRefusal:
	default:
		return dst
	}
	if e.SignedBy != llm.Gemini && e.Text == "" && len(e.Logprobs) == 0 {
		return dst
	}
	s.remember(at, e.Text)
	return s.parts(dst, at[0], &llm.Part{Kind: kind, Text: e.Text, Signature: e.Signature, SignedBy: e.SignedBy}, e.Logprobs)
}

// release writes what was held back.
func (s *streamEncoder) release(dst []byte, at [2]int) []byte {
	p := s.held[at]
	delete(s.held, at)
	if p.Media != nil && p.Media.Data == "" {
		return dst
	}
	return s.parts(dst, at[0], p, nil)
}

// releaseAll writes all that is held of a choice, or of every one (-1), in order.
func (s *streamEncoder) releaseAll(dst []byte, choice int) []byte {
	if len(s.held) == 0 {
		return dst
	}
	for _, at := range slices.SortedFunc(maps.Keys(s.held), func(a, b [2]int) int { return slices.Compare(a[:], b[:]) }) {
		if choice < 0 || at[0] == choice {
			dst = s.release(dst, at)
		}
	}
	return dst
}

// parts writes a chunk with one part of a candidate.
func (s *streamEncoder) parts(dst []byte, choice int, p *llm.Part, logprobs []llm.TokenLogprob) []byte {
	w := &partWriter{native: s.native, answer: true, gen: 30}
	out, err := w.write(nil, p, "content")
	if err != nil {
		return dst
	}
	if len(out) == 0 {
		if len(logprobs) == 0 {
			return dst
		}
		empty := ""
		out = []part{{Text: &empty}}
	}
	b := newBody(s.head, s.x)
	b.Candidates = []candidate{{Content: &content{Parts: out, Role: "model"}, Index: choice, LogprobsResult: writeLogprobs(logprobs)}}
	return s.body(dst, b, false)
}

// final writes the last chunk: every candidate's reason, the sources and the usage.
func (s *streamEncoder) final(dst []byte) []byte {
	b := newBody(s.head, s.x)
	b.UsageMetadata = s.metadata()
	s.ground()
	for _, st := range s.stops {
		if f := feedbackOf(st.stop, s.native); f != nil {
			b.PromptFeedback = f
			continue
		}
		empty := ""
		c := candidate{Content: &content{Parts: []part{{Text: &empty}}, Role: "model"}, Index: st.choice,
			FinishReason: enum(finishWord(st.stop, s.native))}
		if s.native {
			c.details(st.stop)
		}
		if g := s.cited[st.choice]; g != nil {
			c.GroundingMetadata = g.raw()
		}
		b.Candidates = append(b.Candidates, c)
	}
	return s.body(dst, b, true)
}

// ground places the citations, which need the whole text to count in bytes.
func (s *streamEncoder) ground() {
	for _, l := range s.cites {
		if s.cited == nil {
			s.cited = map[int]*groundingMetadata{}
		}
		g := s.cited[l.at[0]]
		if g == nil {
			g = &groundingMetadata{}
			s.cited[l.at[0]] = g
		}
		text := ""
		if b := s.texts[l.at]; b != nil {
			text = b.String()
		}
		g.add(&l.c, l.at[1], text)
	}
}

// metadata is what is known of the usage so far, with the service tier that Google has in it.
func (s *streamEncoder) metadata() *usageMetadata {
	tier := tierWord(s.head.ServiceTier)
	if s.usage == nil && tier != "" {
		return &usageMetadata{ServiceTier: tier}
	}
	return metadata(s.usage, tier, s.native)
}

func (s *streamEncoder) body(dst []byte, b *responseBody, last bool) []byte {
	if !s.began {
		if s.native {
			b.Other = s.head.Extra
		}
		if b.UsageMetadata == nil {
			b.UsageMetadata = s.metadata()
		}
	}
	raw, err := appendJSON(nil, b)
	if err != nil {
		s.closed = true
		return s.frame(dst, Generate.EncodeError(nil, nil, &llm.Error{Kind: llm.ErrInternal, Message: "the answer can't be written", Cause: err}), true)
	}
	return s.frame(dst, raw, last)
}

func (s *streamEncoder) frame(dst, raw []byte, last bool) []byte {
	if !s.array {
		s.began = true
		return wire.AppendSSE(dst, "", raw)
	}
	if s.began {
		dst = append(dst, ",\n"...)
	} else {
		dst = append(dst, '[')
	}
	s.began = true
	dst = append(dst, raw...)
	if last {
		dst = append(dst, ']')
	}
	return dst
}
