package anthropic

import (
	"bytes"
	"maps"
	"slices"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

type streamEvent struct {
	Type    string             `json:"type"`
	Message *wireMessageObject `json:"message"`
	Index   int64              `json:"index"`
	Block   llm.Raw            `json:"content_block"`
	Delta   streamDelta        `json:"delta"`
	Usage   *wireUsage         `json:"usage"`
	Error   llm.Raw            `json:"error"`
}

type streamDelta struct {
	Type         string             `json:"type"`
	Text         string             `json:"text"`
	Thinking     string             `json:"thinking"`
	Signature    string             `json:"signature"`
	PartialJSON  string             `json:"partial_json"`
	Citation     llm.Raw            `json:"citation"`
	StopReason   *string            `json:"stop_reason"`
	StopSequence *string            `json:"stop_sequence"`
	StopDetails  llm.Raw            `json:"stop_details"`
	Extra        map[string]llm.Raw `json:",embed"`
}

// NewStreamDecoder reads the events of one message, see llm.Spoken.
func (messages) NewStreamDecoder() llm.StreamDecoder { return &streamDecoder{} }

type streamDecoder struct {
	usage    wireUsage
	started  bool
	finished bool // a stop reason was seen
	ended    bool
	open     []*openBlock
	next     int // our index of the next part
}

// openBlock is a content block that has started and not stopped.
type openBlock struct {
	at    int64 // Anthropic's index
	index int   // ours
	kind  llm.Kind
	input llm.Raw // a tool call's input as its start gave it; counts if no delta brings another
	wrote bool
	whole llm.Object // a native block, held back until it is whole
	json  []byte     // its input so far
	grown []grown    // its strings that deltas add to
}

type grown struct {
	name string
	text []byte
}

// Decode reads one frame, see llm.StreamDecoder.
func (d *streamDecoder) Decode(dst []llm.Event, f llm.Frame) ([]llm.Event, error) {
	if d.ended {
		return dst, nil
	}
	if f.Exception {
		d.ended = true
		return append(dst, llm.Event{Kind: llm.EventError, Err: exception(f)}), nil
	}
	data := bytes.TrimSpace(f.Data)
	if len(data) == 0 {
		return dst, nil
	}
	if string(data) == "[DONE]" { // some compatible servers end as OpenAI does
		if d.finished {
			return d.end(dst), nil
		}
		return dst, nil
	}
	var ev streamEvent
	if err := wire.Unmarshal(data, &ev); err != nil {
		d.ended = true
		return dst, unreadable(err)
	}
	if ev.Type == "" {
		ev.Type = f.Type
	}
	switch ev.Type {
	case "message_start":
		return d.start(dst, ev.Message), nil
	case "content_block_start":
		return d.blockStart(dst, &ev)
	case "content_block_delta":
		return d.delta(dst, &ev)
	case "content_block_stop":
		return d.stopBlock(d.start(dst, nil), ev.Index), nil
	case "message_delta":
		return d.messageDelta(dst, &ev), nil
	case "message_stop":
		return d.end(d.start(dst, nil)), nil
	case "ping":
		return append(dst, llm.Event{Kind: llm.EventPing}), nil
	case "error":
		d.ended = true
		return append(dst, llm.Event{Kind: llm.EventError, Err: inbandError(data)}), nil
	}
	if ev.Error.Kind() == '{' {
		d.ended = true
		return append(dst, llm.Event{Kind: llm.EventError, Err: inbandError(data)}), nil
	}
	return dst, nil
}

// Finish reports whether the terminal event was seen.
func (d *streamDecoder) Finish(dst []llm.Event) ([]llm.Event, bool) { return dst, d.ended }

// start emits the first event once; a server that forgets it, or repeats it, is forgiven.
func (d *streamDecoder) start(dst []llm.Event, m *wireMessageObject) []llm.Event {
	if d.started {
		return dst
	}
	d.started = true
	e := llm.Event{Kind: llm.EventStart, Start: &llm.Response{From: llm.Anthropic}}
	if m != nil {
		e.Start = m.head()
		if m.Usage != nil {
			d.usage.merge(m.Usage)
			e.Usage = d.usage.usage()
		}
	}
	return append(dst, e)
}

func (d *streamDecoder) find(index int64) *openBlock {
	for _, b := range d.open {
		if b.at == index {
			return b
		}
	}
	return nil
}

func (d *streamDecoder) blockStart(dst []llm.Event, ev *streamEvent) ([]llm.Event, error) {
	dst = d.start(dst, nil)
	dst = d.stopBlock(dst, ev.Index)
	p, e := reader{upstream: true}.part(startable(ev.Block), "content_block")
	if e != nil {
		d.ended = true
		return dst, unreadable(e)
	}
	b := &openBlock{at: ev.Index, kind: p.Kind}
	d.open = append(d.open, b)
	if p.Kind == llm.KindNative || p.Kind == llm.KindDocument || p.Kind == llm.KindImage || p.Kind == llm.KindToolResult {
		b.kind, b.whole = llm.KindNative, llm.ObjectOf(ev.Block)
		return dst, nil
	}
	delta := llm.Event{Kind: llm.EventDelta, Text: p.Text, Citations: p.Citations}
	switch p.Kind {
	case llm.KindToolCall:
		b.input = llm.Raw(p.Call.Arguments)
		p.Call.Arguments = ""
	case llm.KindReasoning:
		if p.Signature != "" {
			delta.Signature, delta.SignedBy = p.Signature, p.SignedBy
		}
		p.Signature, p.SignedBy = "", ""
	}
	p.Text, p.Citations = "", nil
	b.index = d.next
	d.next++
	dst = append(dst, llm.Event{Kind: llm.EventPartStart, Index: b.index, Part: &p})
	if delta.Text != "" || delta.Signature != "" || len(delta.Citations) > 0 {
		delta.Index = b.index
		dst = append(dst, delta)
	}
	return dst, nil
}

// startable gives a block the members that some servers leave out of its start.
func startable(raw llm.Raw) llm.Raw {
	list := llm.ObjectOf(raw)
	var name string
	switch llm.StringOf(list.Get("type")) {
	case "text":
		name = "text"
	case "thinking":
		name = "thinking"
	default:
		return raw
	}
	if list.Get(name).Kind() == '"' {
		return raw
	}
	return list.With(name, llm.Raw(`""`)).Raw()
}

func (d *streamDecoder) delta(dst []llm.Event, ev *streamEvent) ([]llm.Event, error) {
	b := d.find(ev.Index)
	if b == nil {
		head := map[string]string{"text_delta": "text", "thinking_delta": "thinking"}[ev.Delta.Type]
		if head == "" {
			return dst, nil
		}
		// A server that forgot to start its block: the delta says what it is.
		start := &streamEvent{Index: ev.Index, Block: llm.Raw(`{"type":"` + head + `"}`)}
		var err error
		if dst, err = d.blockStart(dst, start); err != nil {
			return dst, err
		}
		b = d.find(ev.Index)
	}
	if b.whole != nil {
		b.add(&ev.Delta)
		return dst, nil
	}
	e := llm.Event{Kind: llm.EventDelta, Index: b.index}
	switch ev.Delta.Type {
	case "text_delta":
		e.Text = ev.Delta.Text
	case "thinking_delta":
		e.Text = ev.Delta.Thinking
	case "input_json_delta":
		e.Text = ev.Delta.PartialJSON
		b.wrote = b.wrote || e.Text != ""
	case "signature_delta":
		if ev.Delta.Signature != "" {
			e.Signature, e.SignedBy = llm.SplitSignature(ev.Delta.Signature, llm.Anthropic)
		}
	case "citations_delta":
		if len(ev.Delta.Citation) == 0 {
			return dst, nil
		}
		c, bad := reader{upstream: true}.citation(ev.Delta.Citation, "citation")
		if bad != nil {
			d.ended = true
			return dst, unreadable(bad)
		}
		e.Citations = []llm.Citation{c}
	}
	if e.Text == "" && e.Signature == "" && e.Citations == nil {
		return dst, nil
	}
	return append(dst, e), nil
}

// add puts a delta into a native block: strings grow, citations gather, anything else is the new value.
func (b *openBlock) add(d *streamDelta) {
	b.json = append(b.json, d.PartialJSON...)
	b.grow("text", d.Text)
	b.grow("thinking", d.Thinking)
	b.grow("signature", d.Signature)
	if len(d.Citation) > 0 {
		list := bytes.TrimSpace(b.whole.Get("citations"))
		w := wire.Writer{Buf: []byte{'['}}
		if len(list) > 2 && list[0] == '[' {
			w.Buf = append(w.Buf, list[1:len(list)-1]...)
		}
		w.Raw("", d.Citation)
		b.whole = b.whole.With("citations", append(w.Buf, ']'))
	}
	for _, k := range slices.Sorted(maps.Keys(d.Extra)) {
		if v := d.Extra[k]; v.Kind() == '"' {
			b.grow(k, llm.StringOf(v))
		} else {
			b.whole = b.whole.With(k, v)
		}
	}
}

func (b *openBlock) grow(name, more string) {
	if more == "" {
		return
	}
	for i := range b.grown {
		if b.grown[i].name == name {
			b.grown[i].text = append(b.grown[i].text, more...)
			return
		}
	}
	b.grown = append(b.grown, grown{name, []byte(llm.StringOf(b.whole.Get(name)) + more)})
}

// stopBlock ends a block if it is open.
func (d *streamDecoder) stopBlock(dst []llm.Event, index int64) []llm.Event {
	for i, b := range d.open {
		if b.at != index {
			continue
		}
		d.open = append(d.open[:i], d.open[i+1:]...)
		return d.close(dst, b)
	}
	return dst
}

func (d *streamDecoder) close(dst []llm.Event, b *openBlock) []llm.Event {
	switch {
	case b.whole != nil:
		for _, g := range b.grown {
			b.whole = b.whole.With(g.name, wire.AppendString(nil, g.text))
		}
		if llm.Raw(b.json).IsValid() {
			b.whole = b.whole.With("input", b.json)
		}
		b.index = d.next
		d.next++
		p := native(b.whole.Raw())
		dst = append(dst, llm.Event{Kind: llm.EventPartStart, Index: b.index, Part: &p})
	case b.kind == llm.KindToolCall && !b.wrote:
		dst = append(dst, llm.Event{Kind: llm.EventDelta, Index: b.index, Text: string(b.input)})
	}
	return append(dst, llm.Event{Kind: llm.EventPartStop, Index: b.index})
}

func (d *streamDecoder) closeAll(dst []llm.Event) []llm.Event {
	for _, b := range d.open {
		dst = d.close(dst, b)
	}
	d.open = nil
	return dst
}

func (d *streamDecoder) messageDelta(dst []llm.Event, ev *streamEvent) []llm.Event {
	dst = d.start(dst, nil)
	if ev.Delta.StopReason != nil && !d.finished {
		d.finished = true
		dst = d.closeAll(dst)
		stop := stopOf(ev.Delta.StopReason, ev.Delta.StopSequence, ev.Delta.StopDetails)
		dst = append(dst, llm.Event{Kind: llm.EventFinish, Stop: stop})
	}
	if ev.Usage != nil {
		d.usage.merge(ev.Usage)
		dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: d.usage.usage()})
	}
	return dst
}

func (d *streamDecoder) end(dst []llm.Event) []llm.Event {
	dst = d.closeAll(dst)
	if !d.finished {
		dst = append(dst, llm.Event{Kind: llm.EventFinish, Stop: llm.Stop{Reason: llm.FinishStop}})
	}
	d.ended = true
	return append(dst, llm.Event{Kind: llm.EventEnd})
}

// exception reads an AWS exception frame, in which Bedrock reports a stream that failed.
func exception(f llm.Frame) *llm.Error {
	status := map[string]int{
		"throttlingException": 429, "validationException": 400, "serviceUnavailableException": 503, "modelTimeoutException": 408,
		"accessDeniedException": 403, "resourceNotFoundException": 404, "modelStreamErrorException": 424,
	}[f.Type]
	if status == 0 {
		status = 500
	}
	e := Messages.DecodeError(status, nil, f.Data)
	e.Body = nil
	if e.Type == "" {
		e.Type = f.Type
	}
	return e
}
