package converse

import (
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// NewStreamEncoder writes the events of one ConverseStream, see llm.Served.
func (dialect) NewStreamEncoder(x *llm.Exchange) llm.StreamEncoder {
	s := &streamEncoder{x: x}
	s.blocks.Writer = s
	return s
}

// streamEncoder puts events into Bedrock's order: messageStart, then block after block, one open at a time, messageStop and metadata. Where
// nobody told the usage, metadata has zeros: SDKs and programs rely on its being there.
type streamEncoder struct {
	out     []byte // frames
	w       writer // the payload being written
	x       *llm.Exchange
	own     bool
	started bool
	closed  bool
	calls   bool
	n       int // blocks begun
	blocks  llm.Blocks
	usage   *llm.Usage
	tier    string
	extra   map[string]llm.Raw
	stop    llm.Stop
}

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
		s.blocks.Delta(e)
	case llm.EventPartStop:
		s.blocks.Stop(e.Index)
	case llm.EventFinish:
		s.stop = e.Stop
	}
}

// event begins a payload; send closes and frames it.
func (s *streamEncoder) event() {
	s.w.Buf = append(s.w.Buf[:0], '{')
}

func (s *streamEncoder) send(name string) {
	s.w.End("}")
	s.out = wire.AppendEvent(s.out, name, s.w.Buf)
}

func (s *streamEncoder) start() {
	if s.started {
		return
	}
	s.started = true
	s.event()
	s.w.Str("role", "assistant")
	s.send("messageStart")
}

func (s *streamEncoder) partStart(e *llm.Event) {
	if e.Part == nil {
		return
	}
	s.start()
	if p, ok := streamable(*e.Part, s.own); ok {
		s.calls = s.calls || p.Kind == llm.KindToolCall
		s.blocks.Start(e.Index, p)
	}
}

// streamable is the part in a form that Bedrock's streams have a block for; ok is false if there is none.
func streamable(p llm.Part, own bool) (_ llm.Part, ok bool) {
	switch p.Kind {
	case llm.KindText, llm.KindRefusal, llm.KindReasoning, llm.KindToolCall, llm.KindRedacted:
		return p, true
	case llm.KindJSON:
		return llm.Part{Kind: llm.KindText, Text: string(p.Raw)}, true
	case llm.KindAudio: // no sound in streams: its words
		words := llm.Part{Kind: llm.KindText}
		if p.Media != nil {
			words.Text = p.Media.Transcript
		}
		return words, true
	case llm.KindImage:
		if p.Media == nil {
			return p, false
		}
		m := *p.Media
		if mime, data, ok := splitDataURL(m.URL); ok {
			m.MIME, m.Data, m.URL = mime, data, ""
		}
		p.Media = &m
		return p, (m.Data != "" || own && m.URL != "") && wordOf(llm.KindImage, &m) != ""
	case llm.KindNative:
		o := llm.ObjectOf(p.Raw)
		return p, own && (o.Get("toolUse") != nil || o.Get("toolResult") != nil)
	}
	return p, false
}

// Flush writes what has come for the open block, see llm.BlockWriter. A block begins with its first content: an empty text, given back by
// the client, would be refused.
func (s *streamEncoder) Flush(b *llm.Block) {
	switch b.Part.Kind {
	case llm.KindToolCall:
		if !b.Begun {
			s.open(b)
			s.blockStart(b, func(w *writer) {
				w.Object("toolUse")
				w.Str("toolUseId", callID(b.Part.Call.ID, s.x, b.At))
				w.Str("name", b.Part.Call.Name)
				w.End("}")
			})
		}
		if len(b.Text) > 0 {
			s.blockDelta(b, func(w *writer) { w.Object("toolUse"); w.Bytes("input", b.Text); w.End("}") })
		}
	case llm.KindReasoning:
		if len(b.Text) > 0 {
			s.reasoning(b, func(w *writer) { w.Bytes("text", b.Text) })
		}
		if b.Signature != "" {
			s.reasoning(b, func(w *writer) { w.Str("signature", llm.JoinSignature(b.Signature, b.SignedBy, llm.Converse)) })
			b.Signature = ""
		}
	case llm.KindRedacted:
		if !b.Begun {
			s.reasoning(b, func(w *writer) { w.Str("redactedContent", joinRedacted(b.Part.Data, b.Part.SignedBy)) })
		}
	case llm.KindImage, llm.KindNative:
		if !b.Begun {
			s.whole(b)
		}
	default:
		// Bedrock tells the source before the words.
		for i := range b.Citations {
			if c := &b.Citations[i]; citable(c) {
				s.blockDelta(b, func(w *writer) { w.Name("citation"); w.citation(c) })
			}
		}
		b.Citations = nil
		if len(b.Text) > 0 {
			s.blockDelta(b, func(w *writer) { w.Bytes("text", b.Text) })
		}
	}
	b.Text = b.Text[:0]
}

func (s *streamEncoder) open(b *llm.Block) {
	if !b.Begun {
		b.Begun, b.At = true, s.n
		s.n++
	}
}

func (s *streamEncoder) blockStart(b *llm.Block, body func(*writer)) {
	s.open(b)
	s.event()
	s.w.Object("start")
	body(&s.w)
	s.w.End("}")
	s.w.Int("contentBlockIndex", int64(b.At))
	s.send("contentBlockStart")
}

func (s *streamEncoder) blockDelta(b *llm.Block, body func(*writer)) {
	s.open(b)
	s.event()
	s.w.Object("delta")
	body(&s.w)
	s.w.End("}")
	s.w.Int("contentBlockIndex", int64(b.At))
	s.send("contentBlockDelta")
}

func (s *streamEncoder) reasoning(b *llm.Block, body func(*writer)) {
	s.blockDelta(b, func(w *writer) { w.Object("reasoningContent"); body(w); w.End("}") })
}

// whole writes a block that came at once: an image, or a call or result of a tool that the provider runs.
func (s *streamEncoder) whole(b *llm.Block) {
	if m := b.Part.Media; b.Part.Kind == llm.KindImage {
		word := wordOf(llm.KindImage, m)
		s.blockStart(b, func(w *writer) { w.Object("image"); w.Str("format", word); w.End("}") })
		s.blockDelta(b, func(w *writer) {
			w.Object("image")
			w.Object("source")
			if m.Data != "" {
				w.Str("bytes", m.Data)
			} else {
				w.Object("s3Location")
				w.Str("uri", m.URL)
				w.End("}")
			}
			w.End("}}")
		})
		return
	}
	o := llm.ObjectOf(b.Part.Raw)
	name, content := "toolUse", "input"
	if o.Get(name) == nil {
		name, content = "toolResult", "content"
	}
	inner := llm.ObjectOf(o.Get(name))
	value := inner.Get(content)
	head := inner.Without(content).Raw()
	s.blockStart(b, func(w *writer) { w.Raw(name, head) })
	switch {
	case name == "toolResult" && value.Kind() == '[':
		s.blockDelta(b, func(w *writer) { w.Raw(name, value) })
	case name == "toolUse" && llm.IsSet(value):
		s.blockDelta(b, func(w *writer) { w.Object(name); w.Str("input", string(value)); w.End("}") })
	}
}

// Close writes the end of a block, see llm.BlockWriter.
func (s *streamEncoder) Close(b *llm.Block) {
	if b.NoArguments() {
		b.Text = append(b.Text, "{}"...)
		s.Flush(b)
	}
	if b.Begun {
		s.event()
		s.w.Int("contentBlockIndex", int64(b.At))
		s.send("contentBlockStop")
	}
}

func (s *streamEncoder) end() {
	s.closed = true
	s.start()
	s.blocks.End()
	s.event()
	s.w.Str("stopReason", stopWord(s.stop, s.own, s.calls))
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
			s.w.Raw(k, v)
		}
	}
	if v := extra[tierKey]; llm.IsSet(v) {
		s.w.Raw(tierKey, v)
	} else {
		s.w.tier(s.tier)
	}
}
