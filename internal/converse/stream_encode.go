package converse

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// NewStreamEncoder writes the events of one ConverseStream, see llm.Served.
func (dialect) NewStreamEncoder(x *llm.Exchange) llm.StreamEncoder { return &streamEncoder{x: x} }

// streamEncoder puts events into Bedrock's order: messageStart, then block after block, one open at a time (what comes for another block
// meanwhile waits), messageStop and metadata. Where nobody told the usage, metadata has zeros: SDKs and programs rely on its being there.
type streamEncoder struct {
	out     []byte // frames
	w       writer // the payload being written
	x       *llm.Exchange
	own     bool
	started bool
	closed  bool
	calls   bool
	n       int // blocks begun
	cur     *outBlock
	waiting []*outBlock // in the order of their starts
	parts   []*outBlock // by part index, the closed ones too
	usage   *llm.Usage
	tier    string
	extra   map[string]llm.Raw
	stop    llm.Stop
}

// outBlock is one part on its way out.
type outBlock struct {
	part    llm.Part
	at      int  // Bedrock's index, once open
	opened  bool // it has an index
	stopped bool // its PartStop was seen
	closed  bool // contentBlockStop was written
	// args is what a tool call has so far. A call whose arguments are not yet JSON stays open after its stop, since OpenAI's parallel
	// calls interleave.
	args []byte
	// free: a custom tool's call, whose free text goes out as the only string of an object.
	free bool
	// What came and is not written.
	text      []byte
	signature string
	signedBy  llm.Dialect
	citations []llm.Citation
}

// maxParts bounds the parts of one answer.
const maxParts = 1 << 16

// Encode writes one event, see llm.StreamEncoder.
func (s *streamEncoder) Encode(dst []byte, e *llm.Event) []byte {
	if s.closed {
		return dst
	}
	s.out = dst
	switch e.Kind {
	case llm.EventStart:
		if e.Start != nil {
			s.own, s.tier, s.extra = e.Start.From == llm.Converse, e.Start.ServiceTier, e.Start.Extra
		}
		if e.Usage != nil {
			s.usage = e.Usage
		}
		s.start()
	case llm.EventUsage:
		if e.Usage != nil {
			s.usage = e.Usage
		}
	case llm.EventError:
		s.closed = true
		s.out = Converse.EncodeStreamError(s.out, e.Err)
	case llm.EventEnd:
		s.end()
	case llm.EventPing:
	default:
		if e.Choice == 0 {
			s.content(e)
		}
	}
	dst, s.out = s.out, nil
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
		s.stop = e.Stop
	}
}

func (s *streamEncoder) block(index int) *outBlock {
	if index < 0 || index >= len(s.parts) {
		return nil
	}
	return s.parts[index]
}

// event begins a payload; send closes and frames it.
func (s *streamEncoder) event() {
	s.w.b = append(s.w.b[:0], '{')
	s.w.from = 0
}

func (s *streamEncoder) send(name string) {
	s.w.end('}')
	s.out = wire.AppendEvent(s.out, name, s.w.b)
}

func (s *streamEncoder) start() {
	if s.started {
		return
	}
	s.started = true
	s.event()
	s.w.str("role", "assistant")
	s.send("messageStart")
}

func (s *streamEncoder) partStart(e *llm.Event) {
	if e.Part == nil || e.Index < 0 || e.Index >= maxParts {
		return
	}
	s.start()
	b := newBlock(e.Part, s.own)
	for len(s.parts) <= e.Index {
		s.parts = append(s.parts, nil)
	}
	s.parts[e.Index] = b
	if b == nil {
		return
	}
	s.calls = s.calls || b.part.Kind == llm.KindToolCall
	s.waiting = append(s.waiting, b)
	s.advance(false)
}

// newBlock is nil for a part that Bedrock's streams have no block for.
func newBlock(p *llm.Part, own bool) *outBlock {
	b := &outBlock{part: *p}
	switch p.Kind {
	case llm.KindText, llm.KindRefusal, llm.KindReasoning:
		b.text = append(b.text, p.Text...)
		b.citations, b.signature, b.signedBy = p.Citations, p.Signature, p.SignedBy
	case llm.KindJSON:
		b.part.Kind = llm.KindText
		b.text = append(b.text, p.Raw...)
	case llm.KindToolCall:
		if p.Call == nil {
			b.part.Call = &llm.ToolCall{}
		}
		if b.free = b.part.Call.Type != ""; b.free {
			b.text = append(b.text, `{"input":"`...)
		}
		b.text = b.argument(b.text, b.part.Call.Arguments)
		b.args = append(b.args, b.text...)
	case llm.KindRedacted:
	case llm.KindAudio:
		b.part.Kind = llm.KindText // no sound in streams: its words
		if p.Media != nil {
			b.text = append(b.text, p.Media.Transcript...)
		}
	case llm.KindImage:
		if p.Media == nil {
			return nil
		}
		m := *p.Media
		if mime, data, ok := splitDataURL(m.URL); ok {
			m.MIME, m.Data, m.URL = mime, data, ""
		}
		b.part.Media = &m
		if m.Data == "" && (!own || m.URL == "") || wordOf(llm.KindImage, &m) == "" {
			return nil
		}
	case llm.KindNative:
		if !own || llm.ObjectOf(p.Raw).Get("toolUse") == nil && llm.ObjectOf(p.Raw).Get("toolResult") == nil {
			return nil
		}
	default:
		return nil
	}
	return b
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

// argument appends a piece of a part's text as it goes out: a custom call's stands inside a string.
func (b *outBlock) argument(dst []byte, piece string) []byte {
	if !b.free {
		return append(dst, piece...)
	}
	quoted := appendString(nil, piece)
	return append(dst, quoted[1:len(quoted)-1]...)
}

// complete says that a stopped block will not go on.
func (b *outBlock) complete() bool {
	return b.part.Kind != llm.KindToolCall || b.free || llm.Raw(b.args).IsValid()
}

func (s *streamEncoder) delta(b *outBlock, e *llm.Event) {
	switch b.part.Kind {
	case llm.KindRedacted, llm.KindNative, llm.KindImage:
		return
	}
	if b.closed {
		s.late(b, e)
		return
	}
	n := len(b.text)
	b.text = b.argument(b.text, e.Text)
	b.text = append(b.text, e.Transcript...)
	if b.part.Kind == llm.KindToolCall {
		b.args = append(b.args, b.text[n:]...)
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
	if b.part.Kind == llm.KindToolCall || e.Text == "" && e.Signature == "" && e.Transcript == "" {
		return
	}
	more := &outBlock{part: llm.Part{Kind: b.part.Kind}, stopped: true, text: []byte(e.Text + e.Transcript), citations: e.Citations,
		signature: e.Signature, signedBy: e.SignedBy}
	s.waiting = append(s.waiting, more)
	s.advance(false)
}

// flush writes what has come for the open block. A block begins with its first content: an empty text, given back by the client, would be
// refused.
func (s *streamEncoder) flush(b *outBlock) {
	switch b.part.Kind {
	case llm.KindToolCall:
		if !b.opened {
			s.open(b)
			s.blockStart(b, func(w *writer) {
				w.object("toolUse")
				w.str("toolUseId", callID(b.part.Call.ID, s.x, b.at))
				w.str("name", b.part.Call.Name)
				w.end('}')
			})
		}
		if len(b.text) > 0 {
			s.blockDelta(b, func(w *writer) { w.object("toolUse"); w.bytes("input", b.text); w.end('}') })
		}
	case llm.KindReasoning:
		if len(b.text) > 0 {
			s.reasoning(b, func(w *writer) { w.bytes("text", b.text) })
		}
		if b.signature != "" {
			s.reasoning(b, func(w *writer) { w.str("signature", joinSignature(b.signature, b.signedBy)) })
			b.signature = ""
		}
	case llm.KindRedacted:
		if !b.opened {
			s.reasoning(b, func(w *writer) { w.str("redactedContent", joinRedacted(b.part.Data, b.part.SignedBy)) })
		}
	case llm.KindImage, llm.KindNative:
		if !b.opened {
			s.whole(b)
		}
	default:
		// Bedrock tells the source before the words.
		for i := range b.citations {
			if c := &b.citations[i]; citable(c) {
				s.blockDelta(b, func(w *writer) { w.name("citation"); w.citation(c) })
			}
		}
		b.citations = nil
		if len(b.text) > 0 {
			s.blockDelta(b, func(w *writer) { w.bytes("text", b.text) })
		}
	}
	b.text = b.text[:0]
}

// bytes writes a string that is held as bytes.
func (w *writer) bytes(name string, v []byte) {
	w.name(name)
	w.b, _ = jsontext.AppendQuote(w.b, v) // the error tells of bytes that are not UTF-8, which were replaced
}

func (s *streamEncoder) open(b *outBlock) {
	if !b.opened {
		b.opened, b.at = true, s.n
		s.n++
	}
}

func (s *streamEncoder) blockStart(b *outBlock, body func(*writer)) {
	s.open(b)
	s.event()
	s.w.object("start")
	body(&s.w)
	s.w.end('}')
	s.w.int("contentBlockIndex", int64(b.at))
	s.send("contentBlockStart")
}

func (s *streamEncoder) blockDelta(b *outBlock, body func(*writer)) {
	s.open(b)
	s.event()
	s.w.object("delta")
	body(&s.w)
	s.w.end('}')
	s.w.int("contentBlockIndex", int64(b.at))
	s.send("contentBlockDelta")
}

func (s *streamEncoder) reasoning(b *outBlock, body func(*writer)) {
	s.blockDelta(b, func(w *writer) { w.object("reasoningContent"); body(w); w.end('}') })
}

// whole writes a block that came at once: an image, or a call or result of a tool that the provider runs.
func (s *streamEncoder) whole(b *outBlock) {
	if m := b.part.Media; b.part.Kind == llm.KindImage {
		word := wordOf(llm.KindImage, m)
		s.blockStart(b, func(w *writer) { w.object("image"); w.str("format", word); w.end('}') })
		s.blockDelta(b, func(w *writer) {
			w.object("image")
			w.object("source")
			if m.Data != "" {
				w.str("bytes", m.Data)
			} else {
				w.object("s3Location")
				w.str("uri", m.URL)
				w.end('}')
			}
			w.b = append(w.b, "}}"...)
		})
		return
	}
	o := llm.ObjectOf(b.part.Raw)
	name, content := "toolUse", "input"
	if o.Get(name) == nil {
		name, content = "toolResult", "content"
	}
	inner := llm.ObjectOf(o.Get(name))
	value := inner.Get(content)
	head := inner.Without(content).Raw()
	s.blockStart(b, func(w *writer) { w.raw(name, head) })
	switch {
	case name == "toolResult" && value.Kind() == '[':
		s.blockDelta(b, func(w *writer) { w.raw(name, value) })
	case name == "toolUse" && llm.IsSet(value):
		s.blockDelta(b, func(w *writer) { w.object(name); w.str("input", string(value)); w.end('}') })
	}
}

func (s *streamEncoder) close(b *outBlock) {
	if b.free {
		b.text = append(b.text, `"}`...)
		s.flush(b)
	}
	b.closed = true
	if b.part.Kind == llm.KindToolCall && len(b.args) == 0 {
		b.text = append(b.text, "{}"...)
		s.flush(b)
	}
	if b.opened {
		s.event()
		s.w.int("contentBlockIndex", int64(b.at))
		s.send("contentBlockStop")
	}
	b.part, b.args, b.text = llm.Part{Kind: b.part.Kind}, nil, nil
}

func (s *streamEncoder) end() {
	s.closed = true
	s.start()
	s.advance(true)
	s.event()
	s.w.str("stopReason", stopWord(s.stop, s.own, s.calls))
	s.w.responseFields(s.stop, s.own)
	s.send("messageStop")
	s.event()
	s.w.usage(s.usage, s.own)
	s.w.metrics(s.x)
	s.trailer()
	s.send("metadata")
}

// trailer writes what stands beside the usage: from a stream it came with the usage, from a whole answer with its head.
func (s *streamEncoder) trailer() {
	var extra map[string]llm.Raw
	if s.own && s.usage != nil {
		extra = s.usage.Extra
	}
	for _, k := range [...]string{traceKey, performanceKey} {
		v := extra[k]
		if s.own && !llm.IsSet(v) {
			v = s.extra[k]
		}
		if llm.IsSet(v) {
			s.w.raw(k, v)
		}
	}
	if v := extra[tierKey]; llm.IsSet(v) {
		s.w.raw(tierKey, v)
	} else {
		s.w.tier(s.tier)
	}
}
