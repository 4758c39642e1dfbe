package anthropic

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// NewStreamEncoder writes the events of one message, see llm.Served.
func (messages) NewStreamEncoder(x *llm.Exchange) llm.StreamEncoder { return &streamEncoder{x: x} }

// streamEncoder puts events into Anthropic's order, in which one block is open at a time: what comes for another block meanwhile waits.
type streamEncoder struct {
	writer
	x       *llm.Exchange
	own     bool
	started bool
	pinged  bool
	closed  bool
	calls   bool
	n       int // blocks started
	cur     *outBlock
	waiting []*outBlock // in the order of their starts
	parts   []*outBlock // by part index, the closed ones too
	usage   *llm.Usage
	tier    string
	stopped bool
	stop    llm.Stop
}

// outBlock is one part on its way out.
type outBlock struct {
	part    llm.Part
	at      int  // Anthropic's index, once open
	opened  bool // content_block_start was written
	stopped bool // its PartStop was seen
	closed  bool // content_block_stop was written
	// args is what a tool call has so far. A call whose arguments are not yet JSON stays open after its stop, since OpenAI's parallel
	// calls interleave.
	args []byte
	// free: a custom tool's call, whose free text goes out as the only string of an object.
	free bool
	// What came while another block was open.
	text      []byte
	signature string
	signedBy  llm.Dialect
	citations []llm.Citation
}

// Encode writes one event, see llm.StreamEncoder.
func (s *streamEncoder) Encode(dst []byte, e *llm.Event) []byte {
	if s.closed {
		return dst
	}
	s.b = dst
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
		s.b = Messages.EncodeStreamError(s.b, e.Err)
	case llm.EventEnd:
		s.end()
	default:
		if e.Choice == 0 {
			s.content(e)
		}
	}
	dst, s.b = s.b, nil
	return dst
}

func (s *streamEncoder) content(e *llm.Event) {
	switch e.Kind {
	case llm.EventPartStart:
		s.partStart(e)
	case llm.EventDelta:
		if b := s.block(e.Index); b != nil {
			s.delta(b, e)
		}
	case llm.EventPartStop:
		if b := s.block(e.Index); b != nil {
			b.stopped = true
			s.advance(false)
		}
	case llm.EventFinish:
		s.stop, s.stopped = e.Stop, true
	}
}

func (s *streamEncoder) block(index int) *outBlock {
	if index < 0 || index >= len(s.parts) {
		return nil
	}
	return s.parts[index]
}

// frame opens an event and its data; done closes it.
func (s *streamEncoder) frame(name string) {
	s.b = append(s.b, "event: "...)
	s.b = append(s.b, name...)
	s.b = append(s.b, "\ndata: {\"type\":\""...)
	s.b = append(s.b, name...)
	s.b = append(s.b, '"')
}

func (s *streamEncoder) done() { s.b = append(s.b, "}\n\n"...) }

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
	s.name("message")
	// messageHead opens an element of its own; the name above ends in a colon, so that no comma comes between.
	s.messageHead(head, s.x)
	s.array("content")
	s.writer.end(']')
	s.null("stop_reason")
	s.null("stop_sequence")
	s.null("stop_details")
	s.object("usage")
	s.usageFields(e.Usage, s.own)
	if s.tier != "" {
		s.str("service_tier", s.tier)
	}
	s.writer.end('}')
	if s.own {
		s.extra(head.Extra, nil)
	}
	s.writer.end('}')
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
	b := &outBlock{part: *e.Part}
	switch b.part.Kind {
	case llm.KindText, llm.KindRefusal, llm.KindReasoning:
		b.text = append(b.text, b.part.Text...)
		b.citations = b.part.Citations
		b.signature, b.signedBy = b.part.Signature, b.part.SignedBy
	case llm.KindToolCall:
		if b.part.Call == nil {
			b.part.Call = &llm.ToolCall{}
		}
		s.calls = true
		if b.free = b.part.Call.Type != ""; b.free {
			b.text = append(b.text, `{"input":"`...)
		}
		b.text = b.argument(b.text, b.part.Call.Arguments)
		b.args = append(b.args, b.text...)
	case llm.KindRedacted:
	case llm.KindNative:
		if !s.own || len(b.part.Raw) == 0 {
			b = nil
		}
	default:
		b = nil
	}
	for len(s.parts) <= e.Index && e.Index < 1<<16 {
		s.parts = append(s.parts, nil)
	}
	if e.Index < 0 || e.Index >= len(s.parts) {
		return
	}
	s.parts[e.Index] = b
	if b == nil {
		return
	}
	s.waiting = append(s.waiting, b)
	s.advance(false)
}

// argument appends a piece of a call's arguments as it goes out: free text stands inside a string.
func (b *outBlock) argument(dst []byte, piece string) []byte {
	if !b.free {
		return append(dst, piece...)
	}
	quoted, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(piece, "\uFFFD"))
	if err != nil {
		return dst
	}
	return append(dst, quoted[1:len(quoted)-1]...)
}

// advance closes the open block if nothing more can come for it and opens those that wait. With force, unfinished calls count as done.
func (s *streamEncoder) advance(force bool) {
	for {
		if s.cur == nil {
			if len(s.waiting) == 0 {
				return
			}
			s.cur, s.waiting = s.waiting[0], s.waiting[1:]
			s.flush(s.cur)
		}
		if !force && (!s.cur.stopped || !s.cur.complete()) {
			return
		}
		s.close(s.cur)
		s.cur = nil
	}
}

// complete says that a stopped block will not go on.
func (b *outBlock) complete() bool {
	if b.part.Kind != llm.KindToolCall || b.free {
		return true
	}
	args := bytes.TrimSpace(b.args)
	return bytes.HasSuffix(args, []byte{'}'}) && llm.Raw(args).IsValid()
}

func (s *streamEncoder) delta(b *outBlock, e *llm.Event) {
	if b.part.Kind == llm.KindRedacted || b.part.Kind == llm.KindNative {
		return
	}
	if b.closed {
		s.late(b, e)
		return
	}
	if b.part.Kind == llm.KindToolCall {
		n := len(b.text)
		b.text = b.argument(b.text, e.Text)
		b.args = append(b.args, b.text[n:]...)
	} else {
		b.text = append(b.text, e.Text...)
	}
	b.citations = append(b.citations[:len(b.citations):len(b.citations)], e.Citations...)
	if e.Signature != "" {
		b.signature, b.signedBy = e.Signature, e.SignedBy
	}
	if b == s.cur {
		s.flush(b)
		if b.stopped {
			s.advance(false)
		}
	}
}

// late carries what comes for a block already closed in a new block of the same kind; a finished tool call has nothing to add.
func (s *streamEncoder) late(b *outBlock, e *llm.Event) {
	if b.part.Kind == llm.KindToolCall || e.Text == "" && e.Signature == "" {
		return
	}
	more := &outBlock{part: llm.Part{Kind: b.part.Kind}, stopped: true, text: []byte(e.Text), citations: e.Citations,
		signature: e.Signature, signedBy: e.SignedBy}
	s.waiting = append(s.waiting, more)
	s.advance(false)
}

// flush writes what has come for the open block. A text block begins with its first letter: an empty one, given back by the client,
// would be refused.
func (s *streamEncoder) flush(b *outBlock) {
	textual := b.part.Kind == llm.KindText || b.part.Kind == llm.KindRefusal
	if !b.opened && textual && len(b.text) == 0 {
		return
	}
	if !b.opened {
		s.open(b)
	}
	if len(b.text) > 0 {
		switch b.part.Kind {
		case llm.KindReasoning:
			s.text(b, "thinking_delta", "thinking")
		case llm.KindToolCall:
			s.text(b, "input_json_delta", "partial_json")
		default:
			s.text(b, "text_delta", "text")
		}
		b.text = b.text[:0]
	}
	if b.signature != "" {
		if b.part.Kind == llm.KindReasoning {
			s.head(b, "signature_delta")
			s.str("signature", joinSignature(b.signature, b.signedBy))
			s.writer.end('}')
			s.done()
		}
		b.signature = ""
	}
	if textual {
		for i := range b.citations {
			if c := &b.citations[i]; citable(c) || c.From == llm.Anthropic && len(c.Raw) > 0 {
				s.head(b, "citations_delta")
				s.name("citation")
				s.citation(c)
				s.writer.end('}')
				s.done()
			}
		}
	}
	b.citations = nil
}

func (s *streamEncoder) head(b *outBlock, kind string) {
	s.frame("content_block_delta")
	s.int("index", int64(b.at))
	s.object("delta")
	s.str("type", kind)
}

func (s *streamEncoder) text(b *outBlock, kind, field string) {
	s.head(b, kind)
	s.name(field)
	s.b = appendBytes(s.b, b.text)
	s.writer.end('}')
	s.done()
}

func (s *streamEncoder) open(b *outBlock) {
	b.opened, b.at = true, s.n
	s.n++
	var input llm.Raw
	s.frame("content_block_start")
	s.int("index", int64(b.at))
	s.name("content_block")
	switch b.part.Kind {
	case llm.KindReasoning:
		s.object("")
		s.str("type", "thinking")
		s.str("thinking", "")
		s.str("signature", "")
	case llm.KindRedacted:
		s.object("")
		s.str("type", "redacted_thinking")
		s.str("data", joinSignature(b.part.Data, b.part.SignedBy))
	case llm.KindToolCall:
		s.object("")
		s.str("type", "tool_use")
		s.toolHead(b.part.Call, callID(s.x, b.at))
		s.object("input")
		s.writer.end('}')
	case llm.KindNative:
		var start llm.Raw
		start, input = splitInput(b.part.Raw)
		s.raw("", start)
	default:
		s.object("")
		s.str("type", "text")
		s.str("text", "")
	}
	if b.part.Kind != llm.KindNative {
		if s.own {
			s.extra(b.part.Extra, nil)
		}
		s.writer.end('}')
	}
	s.done()
	if !s.pinged {
		s.ping()
	}
	if len(input) > 0 {
		b.text = append(b.text[:0], input...)
		s.text(b, "input_json_delta", "partial_json")
		b.text = nil
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

func (s *streamEncoder) close(b *outBlock) {
	if b.free {
		b.text = append(b.text, `"}`...)
		s.flush(b)
	}
	b.closed = true
	if !b.opened {
		return
	}
	s.frame("content_block_stop")
	s.int("index", int64(b.at))
	s.done()
	b.part, b.args, b.text = llm.Part{Kind: b.part.Kind}, nil, nil
}

func (s *streamEncoder) end() {
	if !s.started {
		s.start(&llm.Event{})
	}
	s.closed = true
	s.advance(true)
	s.frame("message_delta")
	s.object("delta")
	s.writer.stop(s.stop, s.own, s.calls)
	s.writer.end('}')
	s.object("usage")
	s.usageFields(s.usage, s.own)
	s.writer.end('}')
	s.done()
	s.frame("message_stop")
	s.done()
}
