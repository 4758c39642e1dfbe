package anthropic

import (
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// NewStreamEncoder writes the events of one message, see llm.Served.
func (messages) NewStreamEncoder(x *llm.Exchange) llm.StreamEncoder {
	s := &streamEncoder{x: x}
	s.blocks.Writer = s
	return s
}

// streamEncoder puts events into Anthropic's order, in which one block is open at a time.
type streamEncoder struct {
	writer
	x       *llm.Exchange
	own     bool
	started bool
	pinged  bool
	closed  bool
	calls   bool
	n       int // blocks started
	blocks  llm.Blocks
	usage   *llm.Usage
	tier    string
	stop    llm.Stop
}

// Encode writes one event, see llm.StreamEncoder.
func (s *streamEncoder) Encode(dst []byte, e *llm.Event) []byte {
	if s.closed {
		return dst
	}
	s.Buf = dst
	switch e.Kind {
	case llm.EventStart:
		s.start(e)
	case llm.EventPing:
		s.ping()
	case llm.EventUsage:
		if e.Usage != nil {
			s.usage = e.Usage
		}
	case llm.EventError:
		s.closed = true
		s.Buf = Messages.EncodeStreamError(s.Buf, e.Err)
	case llm.EventEnd:
		s.end()
	default:
		if e.Choice == 0 {
			s.content(e)
		}
	}
	dst, s.Buf = s.Buf, nil
	return dst
}

func (s *streamEncoder) content(e *llm.Event) {
	switch e.Kind {
	case llm.EventPartStart:
		s.partStart(e)
	case llm.EventDelta:
		s.blocks.Delta(e)
	case llm.EventPartStop:
		s.blocks.Stop(e.Index)
	case llm.EventFinish:
		s.stop = e.Stop
	}
}

// frame opens an event and its data; done closes it.
func (s *streamEncoder) frame(name string) {
	s.Buf = append(s.Buf, "event: "...)
	s.Buf = append(s.Buf, name...)
	s.Buf = append(s.Buf, "\ndata: {\"type\":\""...)
	s.Buf = append(s.Buf, name...)
	s.Buf = append(s.Buf, '"')
}

func (s *streamEncoder) done() { s.Buf = append(s.Buf, "}\n\n"...) }

func (s *streamEncoder) start(e *llm.Event) {
	if s.started {
		return
	}
	s.started = true
	head := e.Start
	if head == nil {
		head = &llm.Response{}
	}
	s.own, s.usage, s.tier = head.From == llm.Anthropic, e.Usage, tierOf(head.ServiceTier)
	s.frame("message_start")
	s.Name("message")
	// messageHead opens an element of its own; the name above ends in a colon, so that no comma comes between.
	s.messageHead(head, s.x)
	s.Array("content")
	s.End("]")
	s.Null("stop_reason")
	s.Null("stop_sequence")
	s.Null("stop_details")
	s.Object("usage")
	s.usageFields(e.Usage, s.own)
	if s.tier != "" {
		s.Str("service_tier", s.tier)
	}
	s.End("}")
	if s.own {
		s.Extra(head.Extra)
	}
	s.End("}")
	s.done()
}

func (s *streamEncoder) ping() {
	if !s.started {
		s.start(&llm.Event{})
	}
	s.pinged = true
	s.frame("ping")
	s.done()
}

func (s *streamEncoder) partStart(e *llm.Event) {
	if e.Part == nil {
		return
	}
	if !s.started {
		s.start(&llm.Event{})
	}
	switch e.Part.Kind {
	case llm.KindToolCall:
		s.calls = true
	case llm.KindText, llm.KindRefusal, llm.KindReasoning, llm.KindRedacted:
	case llm.KindNative:
		if !s.own || len(e.Part.Raw) == 0 {
			return
		}
	default:
		return
	}
	s.blocks.Start(e.Index, *e.Part)
}

// Flush writes what has come for the open block, see llm.BlockWriter. A text block begins with its first letter: an empty one, given back
// by the client, would be refused.
func (s *streamEncoder) Flush(b *llm.Block) {
	textual := b.Part.Kind == llm.KindText || b.Part.Kind == llm.KindRefusal
	if !b.Begun && textual && len(b.Text) == 0 {
		return
	}
	if !b.Begun {
		s.open(b)
	}
	if len(b.Text) > 0 {
		switch b.Part.Kind {
		case llm.KindReasoning:
			s.text(b, "thinking_delta", "thinking")
		case llm.KindToolCall:
			s.text(b, "input_json_delta", "partial_json")
		default:
			s.text(b, "text_delta", "text")
		}
		b.Text = b.Text[:0]
	}
	if b.Signature != "" {
		if b.Part.Kind == llm.KindReasoning {
			s.head(b, "signature_delta")
			s.Str("signature", llm.JoinSignature(b.Signature, b.SignedBy, llm.Anthropic))
			s.End("}")
			s.done()
		}
		b.Signature = ""
	}
	if textual {
		for i := range b.Citations {
			if c := &b.Citations[i]; citable(c) || c.From == llm.Anthropic && len(c.Raw) > 0 {
				s.head(b, "citations_delta")
				s.Name("citation")
				s.citation(c)
				s.End("}")
				s.done()
			}
		}
	}
	b.Citations = nil
}

func (s *streamEncoder) head(b *llm.Block, kind string) {
	s.frame("content_block_delta")
	s.Int("index", int64(b.At))
	s.Object("delta")
	s.Str("type", kind)
}

func (s *streamEncoder) text(b *llm.Block, kind, field string) {
	s.head(b, kind)
	s.Name(field)
	s.Buf = wire.AppendString(s.Buf, b.Text)
	s.End("}")
	s.done()
}

func (s *streamEncoder) open(b *llm.Block) {
	b.Begun, b.At = true, s.n
	s.n++
	var input llm.Raw
	s.frame("content_block_start")
	s.Int("index", int64(b.At))
	s.Name("content_block")
	switch b.Part.Kind {
	case llm.KindReasoning:
		s.Object("")
		s.Str("type", "thinking")
		s.Str("thinking", "")
		s.Str("signature", "")
	case llm.KindRedacted:
		s.Object("")
		s.Str("type", "redacted_thinking")
		s.Str("data", llm.JoinSignature(b.Part.Data, b.Part.SignedBy, llm.Anthropic))
	case llm.KindToolCall:
		s.Object("")
		s.Str("type", "tool_use")
		s.toolHead(b.Part.Call, callID(s.x, b.At))
		s.Object("input")
		s.End("}")
	case llm.KindNative:
		var start llm.Raw
		start, input = splitInput(b.Part.Raw)
		s.Raw("", start)
	default:
		s.Object("")
		s.Str("type", "text")
		s.Str("text", "")
	}
	if b.Part.Kind != llm.KindNative {
		if s.own {
			s.Extra(b.Part.Extra)
		}
		s.End("}")
	}
	s.done()
	if !s.pinged {
		s.ping()
	}
	if len(input) > 0 {
		b.Text = append(b.Text[:0], input...)
		s.text(b, "input_json_delta", "partial_json")
		b.Text = nil
	}
}

// splitInput takes the input out of a server tool's call, which travels as deltas.
func splitInput(raw llm.Raw) (start, input llm.Raw) {
	list := llm.ObjectOf(raw)
	input = list.Get("input")
	if input.Kind() != '{' || len(input) <= 2 {
		return raw, nil
	}
	return list.With("input", llm.Raw("{}")).Raw(), input
}

// Close writes the end of a block, see llm.BlockWriter.
func (s *streamEncoder) Close(b *llm.Block) {
	if b.Begun {
		s.frame("content_block_stop")
		s.Int("index", int64(b.At))
		s.done()
	}
}

func (s *streamEncoder) end() {
	if !s.started {
		s.start(&llm.Event{})
	}
	s.closed = true
	s.blocks.End()
	s.frame("message_delta")
	s.Object("delta")
	s.writer.stop(s.stop, s.own, s.calls)
	s.End("}")
	s.Object("usage")
	s.usageFields(s.usage, s.own)
	s.End("}")
	s.done()
	s.frame("message_stop")
	s.done()
}
