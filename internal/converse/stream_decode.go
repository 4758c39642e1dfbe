package converse

import (
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// NewStreamDecoder reads one ConverseStream, see llm.Spoken.
func (dialect) NewStreamDecoder() llm.StreamDecoder {
	return &streamDecoder{blocks: map[int64]*inBlock{}}
}

// streamDecoder follows a stream. Usage waits for the stop reason, which some servers send after it.
type streamDecoder struct {
	started  bool
	stopped  bool // messageStop was seen
	done     bool
	n        int // parts begun
	blocks   map[int64]*inBlock
	open     []*inBlock // in order
	called   bool
	answered bool
	usage    *llm.Usage
}

// inBlock is a content block on its way in. Blocks that llm has no deltas for are gathered and come whole.
type inBlock struct {
	at    int
	kind  llm.Kind
	input bool // some of a call's input came
	whole bool
	head  llm.Object // of a gathered tool block: toolUse or toolResult
	name  string     // its member's name
	text  []byte     // its input
	list  []llm.Raw
	media *llm.Media
}

type wireDelta struct {
	Text     *string         `json:"text"`
	Use      *wireInputDelta `json:"toolUse"`
	Result   []llm.Raw       `json:"toolResult"`
	Citation llm.Raw         `json:"citation"`
	Image    *struct {
		Source *wireSource `json:"source"`
	} `json:"image"`
	Reasoning *struct {
		Text      *string `json:"text"`
		Signature *string `json:"signature"`
		Redacted  *string `json:"redactedContent"`
	} `json:"reasoningContent"`
}

type wireInputDelta struct {
	Input string `json:"input"`
}

type wireStart struct {
	Use    llm.Raw `json:"toolUse"`
	Result llm.Raw `json:"toolResult"`
	Image  *struct {
		Format string `json:"format"`
	} `json:"image"`
}

type wireMetadata struct {
	Usage       *wireUsage `json:"usage"`
	Trace       llm.Raw    `json:"trace"`
	Performance llm.Raw    `json:"performanceConfig"`
	Tier        llm.Raw    `json:"serviceTier"`
}

// Decode reads one event, see llm.StreamDecoder. Events nobody here knows are passed over.
func (d *streamDecoder) Decode(dst []llm.Event, f llm.Frame) ([]llm.Event, error) {
	if d.done {
		return dst, nil
	}
	if f.Exception {
		d.done = true
		return append(dst, llm.Event{Kind: llm.EventError, Err: exception(f)}), nil
	}
	switch f.Type {
	case "messageStart":
		return d.start(dst), nil
	case "contentBlockStart":
		var w struct {
			Index int64     `json:"contentBlockIndex"`
			Start wireStart `json:"start"`
		}
		if err := wire.Unmarshal(f.Data, &w); err != nil {
			return dst, badFrame(f.Type, err)
		}
		return d.blockStart(d.start(dst), w.Index, &w.Start), nil
	case "contentBlockDelta":
		var w struct {
			Index int64     `json:"contentBlockIndex"`
			Delta wireDelta `json:"delta"`
		}
		if err := wire.Unmarshal(f.Data, &w); err != nil {
			return dst, badFrame(f.Type, err)
		}
		return d.delta(d.start(dst), w.Index, &w.Delta), nil
	case "contentBlockStop":
		var w struct {
			Index int64 `json:"contentBlockIndex"`
		}
		if err := wire.Unmarshal(f.Data, &w); err != nil {
			return dst, badFrame(f.Type, err)
		}
		return d.blockStop(dst, w.Index), nil
	case "messageStop":
		var w struct {
			StopReason string  `json:"stopReason"`
			Fields     llm.Raw `json:"additionalModelResponseFields"`
		}
		if err := wire.Unmarshal(f.Data, &w); err != nil {
			return dst, badFrame(f.Type, err)
		}
		return d.stop(d.start(dst), w.StopReason, w.Fields), nil
	case "metadata":
		var w wireMetadata
		if err := wire.Unmarshal(f.Data, &w); err != nil {
			return dst, badFrame(f.Type, err)
		}
		d.metadata(&w)
		if d.stopped {
			return d.end(dst), nil
		}
		return dst, nil
	}
	if !llm.Raw(f.Data).IsValid() {
		return dst, badFrame(f.Type, nil)
	}
	return dst, nil
}

func badFrame(kind string, err error) *llm.Error {
	return &llm.Error{Kind: llm.ErrUpstream, Message: "the upstream sent a " + kind + " event that can't be read", Upstream: true, Cause: err}
}

func (d *streamDecoder) start(dst []llm.Event) []llm.Event {
	if d.started {
		return dst
	}
	d.started = true
	return append(dst, llm.Event{Kind: llm.EventStart, Start: &llm.Response{From: llm.Converse}})
}

func (d *streamDecoder) blockStart(dst []llm.Event, index int64, w *wireStart) []llm.Event {
	switch {
	case llm.IsSet(w.Use):
		o := llm.ObjectOf(w.Use)
		if llm.StringOf(o.Get("type")) == "server_tool_use" {
			d.gather(index, "toolUse", o)
			return dst
		}
		name := llm.StringOf(o.Get("name"))
		if name == AnswerTool {
			d.answered = true
			return d.begin(dst, index, &llm.Part{Kind: llm.KindText})
		}
		d.called = true
		return d.begin(dst, index, &llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: llm.StringOf(o.Get("toolUseId")), Name: name}})
	case llm.IsSet(w.Result):
		d.gather(index, "toolResult", llm.ObjectOf(w.Result))
	case w.Image != nil:
		b := d.gather(index, "", nil)
		b.media = &llm.Media{MIME: mimeOf(llm.KindImage, w.Image.Format)}
	}
	return dst
}

func (d *streamDecoder) begin(dst []llm.Event, index int64, p *llm.Part) []llm.Event {
	b := &inBlock{at: d.n, kind: p.Kind}
	d.n++
	d.blocks[index] = b
	d.open = append(d.open, b)
	return append(dst, llm.Event{Kind: llm.EventPartStart, Index: b.at, Part: p})
}

func (d *streamDecoder) gather(index int64, name string, head llm.Object) *inBlock {
	b := &inBlock{whole: true, name: name, head: head}
	d.blocks[index] = b
	d.open = append(d.open, b)
	return b
}

// inPart is the open block of that kind, begun where there is none.
func (d *streamDecoder) inPart(dst []llm.Event, index int64, kind llm.Kind) ([]llm.Event, *inBlock) {
	if b := d.blocks[index]; b != nil && (b.kind == kind || b.whole) {
		return dst, b
	}
	dst = d.blockStop(dst, index)
	dst = d.begin(dst, index, &llm.Part{Kind: kind})
	return dst, d.blocks[index]
}

func (d *streamDecoder) delta(dst []llm.Event, index int64, w *wireDelta) []llm.Event {
	var b *inBlock
	switch {
	case w.Text != nil, llm.IsSet(w.Citation):
		if *orEmpty(w.Text) == "" && !llm.IsSet(w.Citation) {
			return dst
		}
		dst, b = d.inPart(dst, index, llm.KindText)
		e := llm.Event{Kind: llm.EventDelta, Index: b.at, Text: *orEmpty(w.Text)}
		if llm.IsSet(w.Citation) {
			if c, err := (reader{lenient: true}).citation(w.Citation, ""); err == nil {
				e.Citations = []llm.Citation{c}
			}
		}
		if b.whole {
			return dst
		}
		return append(dst, e)
	case w.Use != nil:
		return d.input(dst, index, w.Use.Input)
	case w.Reasoning != nil:
		r := w.Reasoning
		if r.Redacted != nil {
			p := &llm.Part{Kind: llm.KindRedacted}
			p.Data, p.SignedBy = splitRedacted(*r.Redacted)
			return d.begin(d.blockStop(dst, index), index, p)
		}
		if *orEmpty(r.Text) == "" && *orEmpty(r.Signature) == "" {
			return dst
		}
		dst, b = d.inPart(dst, index, llm.KindReasoning)
		e := llm.Event{Kind: llm.EventDelta, Index: b.at, Text: *orEmpty(r.Text)}
		e.Signature, e.SignedBy = splitSignature(*orEmpty(r.Signature))
		return append(dst, e)
	case w.Result != nil:
		if b = d.blocks[index]; b != nil && b.whole {
			for _, r := range w.Result {
				b.list = append(b.list, r.Clone())
			}
		}
	case w.Image != nil && w.Image.Source != nil:
		if b = d.blocks[index]; b != nil && b.media != nil {
			b.media.Data += *orEmpty(w.Image.Source.Bytes)
			if uri := llm.StringOf(llm.ObjectOf(w.Image.Source.S3).Get("uri")); uri != "" {
				b.media.URL = uri
			}
		}
	}
	return dst
}

func orEmpty(s *string) *string {
	if s == nil {
		return new(string)
	}
	return s
}

// input takes a piece of a tool's input. One that belongs to no call is lost: nobody could run it.
func (d *streamDecoder) input(dst []llm.Event, index int64, s string) []llm.Event {
	b := d.blocks[index]
	switch {
	case b == nil || s == "":
	case b.whole:
		b.text = append(b.text, s...)
	default:
		b.input = true
		dst = append(dst, llm.Event{Kind: llm.EventDelta, Index: b.at, Text: s})
	}
	return dst
}

func (d *streamDecoder) blockStop(dst []llm.Event, index int64) []llm.Event {
	b := d.blocks[index]
	if b == nil {
		return dst
	}
	delete(d.blocks, index)
	return d.close(dst, b)
}

func (d *streamDecoder) close(dst []llm.Event, b *inBlock) []llm.Event {
	for i := range d.open {
		if d.open[i] == b {
			d.open = append(d.open[:i], d.open[i+1:]...)
			break
		}
	}
	if b.whole {
		p := b.part()
		b.at = d.n
		d.n++
		dst = append(dst, llm.Event{Kind: llm.EventPartStart, Index: b.at, Part: p})
	}
	if b.kind == llm.KindToolCall && !b.input {
		// A call without arguments comes without input; whoever reads them as JSON wants an object.
		dst = append(dst, llm.Event{Kind: llm.EventDelta, Index: b.at, Text: "{}"})
	}
	return append(dst, llm.Event{Kind: llm.EventPartStop, Index: b.at})
}

// part is a gathered block as a part.
func (b *inBlock) part() *llm.Part {
	if b.media != nil {
		return &llm.Part{Kind: llm.KindImage, Media: b.media}
	}
	if b.name == "toolUse" {
		input := llm.Raw(strings.TrimSpace(string(b.text)))
		if len(input) == 0 {
			input = llm.Raw("{}")
		} else if !input.IsValid() {
			input = llm.Quote(string(b.text))
		}
		b.head = b.head.With("input", input)
	} else {
		w := wire.Writer{Buf: []byte{'['}}
		for _, r := range b.list {
			w.Raw("", r)
		}
		w.End("]")
		b.head = b.head.With("content", w.Buf)
	}
	return &llm.Part{Kind: llm.KindNative, Raw: llm.Object{}.Add(b.name, b.head.Raw()).Raw()}
}

func (d *streamDecoder) stop(dst []llm.Event, word string, fields llm.Raw) []llm.Event {
	if d.stopped {
		return dst
	}
	for len(d.open) > 0 {
		dst = d.close(dst, d.open[0])
	}
	clear(d.blocks)
	d.stopped = true
	dst = append(dst, llm.Event{Kind: llm.EventFinish, Stop: stopOf(word, fields, d.answered && !d.called)})
	if d.usage != nil {
		return d.end(dst)
	}
	return dst
}

func (d *streamDecoder) metadata(w *wireMetadata) {
	u := &llm.Usage{}
	if w.Usage != nil {
		u = w.Usage.usage()
	}
	for name, v := range map[string]llm.Raw{traceKey: w.Trace, performanceKey: w.Performance, tierKey: w.Tier} {
		if llm.IsSet(v) {
			u.Extra = llm.WithExtra(u.Extra, name, v.Clone())
		}
	}
	d.usage = u
}

func (d *streamDecoder) end(dst []llm.Event) []llm.Event {
	d.done = true
	if d.usage != nil {
		dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: d.usage})
	}
	return append(dst, llm.Event{Kind: llm.EventEnd})
}

// Finish ends a stream that closed after its stop reason without telling its usage; it is complete.
func (d *streamDecoder) Finish(dst []llm.Event) ([]llm.Event, bool) {
	if d.stopped && !d.done {
		dst = d.end(dst)
	}
	return dst, d.stopped
}
