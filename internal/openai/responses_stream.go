package openai

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// NewStreamDecoder starts reading one stream.
func (responses) NewStreamDecoder() llm.StreamDecoder { return &respDecoder{} }

// respEvent is any event of a stream.
type respEvent struct {
	Type       string         `json:"type"`
	Output     int            `json:"output_index"`
	Content    int            `json:"content_index"`
	Summary    int            `json:"summary_index"`
	Delta      string         `json:"delta"`
	Text       string         `json:"text"`
	Refusal    string         `json:"refusal"`
	Arguments  string         `json:"arguments"`
	Input      string         `json:"input"`
	Logprobs   []respLogprob  `json:"logprobs"`
	Item       jsontext.Value `json:"item"`
	Annotation jsontext.Value `json:"annotation"`
	Response   jsontext.Value `json:"response"`
}

// respPartKey names a part of the stream: item, then position in its content or summary.
type respPartKey struct {
	item, at int
	of       byte // 't' text and refusal, 's' summary, 'r' reasoning text, 'c' call, 'n' native
}

// respPart is what has been told of a part.
type respPart struct {
	index     int
	kind      llm.Kind
	sent      int    // bytes
	sum       uint64 // FNV-1a of the bytes sent
	citations int
}

// respDecoder keeps lengths and checksums, not texts: whatever the closing events say beyond what was streamed is told then, so that an upstream that
// skips deltas loses nothing.
type respDecoder struct {
	started, ended bool
	next           int // index of the next part
	open           int // index of the open part plus one; 0: none
	parts          map[respPartKey]*respPart
	items          map[int]*respItemState
	calls, refused bool
	signature      string // sealed, for the next part
	signedBy       llm.Dialect
	event          respEvent // the one being read
}

type respItemState struct {
	id, phase string
	done      bool
}

// Decode appends the events of one frame.
func (d *respDecoder) Decode(dst []llm.Event, f llm.Frame) ([]llm.Event, error) {
	data := bytes.TrimSpace(f.Data)
	if d.ended || len(data) == 0 || string(data) == "[DONE]" {
		return dst, nil
	}
	kind := respEventType(f)
	if !respKnown(kind) {
		if kind == "" && respIsObject(data) {
			return d.untyped(dst, data)
		}
		if !respIsObject(data) {
			return dst, respBroken(nil)
		}
		return dst, nil
	}
	data = respClean(data)
	if kind == "error" {
		return d.fail(dst, respEventError(data)), nil
	}
	d.event = respEvent{}
	e := &d.event
	if err := respUnmarshal(data, e, ""); err != nil {
		return dst, respBroken(err)
	}
	switch kind {
	case "response.created", "response.in_progress", "response.queued":
		return d.start(dst, e.Response)
	case "response.completed", "response.incomplete", "response.failed", "response.done", "response.cancelled":
		return d.end(dst, e.Response, strings.TrimPrefix(kind, "response."))
	case "response.output_item.added":
		return d.itemAdded(dst, e)
	case "response.output_item.done":
		return d.itemDone(dst, e)
	}
	return d.delta(dst, e, kind), nil
}

// respKnown says that the event carries something; the progress of native tools and whatever the future brings does not.
func respKnown(kind string) bool {
	switch kind {
	case "error", "response.created", "response.in_progress", "response.queued", "response.completed", "response.incomplete", "response.failed",
		"response.done", "response.cancelled",
		"response.output_item.added", "response.output_item.done", "response.output_text.delta", "response.output_text.done",
		"response.output_text.annotation.added", "response.refusal.delta", "response.refusal.done",
		"response.function_call_arguments.delta", "response.function_call_arguments.done",
		"response.custom_tool_call_input.delta", "response.custom_tool_call_input.done",
		"response.reasoning_summary_text.delta", "response.reasoning_summary_text.done", "response.reasoning_summary_part.added",
		"response.reasoning_text.delta", "response.reasoning_text.done":
		return true
	}
	return false
}

// untyped reads an object that is no event: an error object as gateways put it into a stream, or not this dialect at all.
func (d *respDecoder) untyped(dst []llm.Event, data []byte) ([]llm.Event, error) {
	var e struct {
		Error jsontext.Value `json:"error"`
	}
	if err := respUnmarshal(data, &e, ""); err != nil || !llm.IsSet(e.Error) {
		return dst, respBroken(err)
	}
	return d.fail(dst, respInband(respClean(e.Error))), nil
}

func (d *respDecoder) fail(dst []llm.Event, err *llm.Error) []llm.Event {
	d.ended = true
	return append(dst, llm.Event{Kind: llm.EventError, Err: err})
}

// respEventError reads an error event: its members stand in it, or in an error object of its own.
func respEventError(data []byte) *llm.Error {
	var e struct {
		Error jsontext.Value `json:"error"`
	}
	if respUnmarshal(data, &e, "") == nil && llm.IsSet(e.Error) {
		return respInband(e.Error)
	}
	err := respInband(data)
	if err.Type == "error" {
		err.Type = ""
	}
	return err
}

func (d *respDecoder) start(dst []llm.Event, raw jsontext.Value) ([]llm.Event, error) {
	if d.started {
		return dst, nil
	}
	var b respBody
	if len(raw) > 0 {
		if err := respUnmarshal(raw, &b, "response"); err != nil {
			return dst, respBroken(err)
		}
	}
	d.started = true
	return append(dst, llm.Event{Kind: llm.EventStart, Start: b.head()}), nil
}

func (d *respDecoder) end(dst []llm.Event, raw jsontext.Value, status string) ([]llm.Event, error) {
	if len(raw) == 0 {
		return dst, respBroken(nil)
	}
	b, err := respReadBody(raw)
	if err != nil {
		if err.Kind == llm.ErrUpstream {
			return dst, err
		}
		return d.fail(dst, err), nil
	}
	if !d.started {
		d.started = true
		dst = append(dst, llm.Event{Kind: llm.EventStart, Start: b.head()})
	}
	if len(d.items) == 0 { // nothing was streamed: it is all here
		for i, raw := range b.Output {
			var err error
			if dst, err = d.itemDone(dst, &respEvent{Output: i, Item: raw}); err != nil {
				return dst, err
			}
		}
	}
	dst = d.stop(dst)
	if b.Status != "" {
		status = b.Status
	}
	dst = append(dst, llm.Event{Kind: llm.EventFinish, Stop: respStop(status, b.reason(), d.calls, d.refused)})
	if u := b.Usage.usage(); u != nil {
		dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: u})
	}
	d.ended = true
	return append(dst, llm.Event{Kind: llm.EventEnd}), nil
}

// Finish tells whether the stream was whole. It holds nothing back: the dialect has terminal events.
func (d *respDecoder) Finish(dst []llm.Event) ([]llm.Event, bool) { return dst, d.ended }

// stop closes the open part.
func (d *respDecoder) stop(dst []llm.Event) []llm.Event {
	if d.open == 0 {
		return dst
	}
	dst = append(dst, llm.Event{Kind: llm.EventPartStop, Index: d.open - 1})
	d.open = 0
	return dst
}

// begin opens a part.
func (d *respDecoder) begin(dst []llm.Event, key respPartKey, p *llm.Part) ([]llm.Event, *respPart) {
	if !d.started {
		d.started = true
		dst = append(dst, llm.Event{Kind: llm.EventStart, Start: &llm.Response{From: llm.Responses}})
	}
	dst = d.stop(dst)
	if d.signature != "" {
		p.Signature, p.SignedBy = d.signature, d.signedBy
		d.signature = ""
	}
	part := &respPart{index: d.next, kind: p.Kind}
	if d.parts == nil {
		d.parts = map[respPartKey]*respPart{}
	}
	d.parts[key] = part
	d.next++
	d.open = part.index + 1
	d.calls = d.calls || p.Kind == llm.KindToolCall
	d.refused = d.refused || p.Kind == llm.KindRefusal
	return append(dst, llm.Event{Kind: llm.EventPartStart, Index: part.index, Part: p}), part
}

func (d *respDecoder) item(i int) *respItemState {
	s := d.items[i]
	if s == nil {
		s = &respItemState{}
		if d.items == nil {
			d.items = map[int]*respItemState{}
		}
		d.items[i] = s
	}
	return s
}

// content finds a part of a message or reasoning item, or opens it.
func (d *respDecoder) content(dst []llm.Event, key respPartKey, kind llm.Kind) ([]llm.Event, *respPart) {
	if p := d.parts[key]; p != nil {
		return dst, p
	}
	s := d.item(key.item)
	p := &llm.Part{Kind: kind, ID: s.id, Summary: key.of == 's'}
	if s.phase != "" && key.of == 't' {
		p.Extra = llm.WithExtra(nil, "phase", llm.Quote(s.phase))
	}
	return d.begin(dst, key, p)
}

func (p *respPart) text(dst []llm.Event, text string, logprobs []llm.TokenLogprob) []llm.Event {
	if text == "" && logprobs == nil {
		return dst
	}
	p.sent += len(text)
	p.sum = respSum(p.sum, text)
	return append(dst, llm.Event{Kind: llm.EventDelta, Index: p.index, Text: text, Logprobs: logprobs})
}

// respSum goes on with an FNV-1a checksum.
func respSum(sum uint64, text string) uint64 {
	if sum == 0 {
		sum = 14695981039346656037
	}
	for i := 0; i < len(text); i++ {
		sum = (sum ^ uint64(text[i])) * 1099511628211
	}
	return sum
}

// rest tells what the whole text has beyond what was streamed. A whole that does not begin with what was streamed is left alone: what has
// been told cannot be taken back.
func (p *respPart) rest(dst []llm.Event, whole string) []llm.Event {
	if len(whole) <= p.sent || p.sent > 0 && respSum(0, whole[:p.sent]) != p.sum {
		return dst
	}
	return p.text(dst, whole[p.sent:], nil)
}

func (d *respDecoder) delta(dst []llm.Event, e *respEvent, kind string) []llm.Event {
	var p *respPart
	key := respPartKey{item: e.Output, at: e.Content}
	switch kind {
	case "response.output_text.delta", "response.output_text.done", "response.output_text.annotation.added":
		key.of = 't'
		dst, p = d.content(dst, key, llm.KindText)
	case "response.refusal.delta", "response.refusal.done":
		key.of = 't'
		dst, p = d.content(dst, key, llm.KindRefusal)
	case "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done":
		key.of, key.at = 's', e.Summary
		dst, p = d.content(dst, key, llm.KindReasoning)
	case "response.reasoning_text.delta", "response.reasoning_text.done":
		key.of = 'r'
		dst, p = d.content(dst, key, llm.KindReasoning)
	default: // arguments and input of calls
		if p = d.parts[respPartKey{item: e.Output, of: 'c'}]; p == nil {
			return dst
		}
	}
	switch {
	case strings.HasSuffix(kind, ".delta"):
		return p.text(dst, e.Delta, respLogprobs(e.Logprobs))
	case kind == "response.output_text.annotation.added":
		p.citations++
		return append(dst, llm.Event{Kind: llm.EventDelta, Index: p.index, Citations: []llm.Citation{respCitation(e.Annotation)}})
	case strings.HasSuffix(kind, ".done"):
		return p.rest(dst, e.Text+e.Refusal+e.Arguments+e.Input)
	}
	return dst
}

func (d *respDecoder) itemAdded(dst []llm.Event, e *respEvent) ([]llm.Event, error) {
	var it struct {
		Type  string `json:"type"`
		ID    string `json:"id"`
		Phase string `json:"phase"`
	}
	if err := respUnmarshal(e.Item, &it, "item"); err != nil {
		return dst, respBroken(err)
	}
	s := d.item(e.Output)
	s.id, s.phase = it.ID, it.Phase
	if it.Type != "function_call" && it.Type != "custom_tool_call" {
		return dst, nil
	}
	call, err := respAnswerItem(e.Item, "item")
	if err != nil {
		return dst, respBroken(err)
	}
	return d.call(dst, e.Output, &call.parts[0]), nil
}

// call opens a call's part and tells its arguments as far as they are known.
func (d *respDecoder) call(dst []llm.Event, item int, p *llm.Part) []llm.Event {
	key := respPartKey{item: item, of: 'c'}
	args := p.Call.Arguments
	part := d.parts[key]
	if part == nil {
		p.Call.Arguments = ""
		dst, part = d.begin(dst, key, p)
	}
	return part.rest(dst, args)
}

// itemDone takes the finished item, tells what of it is not known yet, and closes it.
func (d *respDecoder) itemDone(dst []llm.Event, e *respEvent) ([]llm.Event, error) {
	it, err := respAnswerItem(e.Item, "item")
	if err != nil {
		return dst, respBroken(err)
	}
	s := d.item(e.Output)
	if s.done {
		return dst, nil
	}
	s.done = true
	if s.id == "" {
		s.id = it.id
	}
	switch {
	case it.of == respOfNext:
		d.signature, d.signedBy = it.signature, it.signedBy
	case it.of == respOfPrevious:
		if d.next > 0 {
			dst = append(dst, llm.Event{Kind: llm.EventDelta, Index: d.next - 1, Signature: it.signature, SignedBy: it.signedBy})
		}
	case len(it.parts) == 0:
	case it.parts[0].Kind == llm.KindNative || it.parts[0].Kind == llm.KindRedacted || it.parts[0].Kind == llm.KindToolResult:
		dst, _ = d.begin(dst, respPartKey{item: e.Output, of: 'n'}, &it.parts[0])
	case it.parts[0].Kind == llm.KindToolCall:
		dst = d.call(dst, e.Output, &it.parts[0])
	default:
		dst = d.settle(dst, e.Output, &it)
	}
	return d.stop(dst), nil
}

// settle tells what the parts of a finished message or reasoning item have beyond what was streamed of them.
func (d *respDecoder) settle(dst []llm.Event, item int, it *respItem) []llm.Event {
	var at [128]int // per kind of key, how many parts have been seen
	for i := range it.parts {
		whole := &it.parts[i]
		key := respPartKey{item: item, of: 't'}
		if whole.Kind == llm.KindReasoning {
			key.of = 'r'
			if whole.Summary {
				key.of = 's'
			}
		}
		key.at = at[key.of]
		at[key.of]++
		part := d.parts[key]
		if part == nil && whole.Kind == llm.KindReasoning && whole.Text == "" && i > 0 && whole.Signature == "" {
			continue
		}
		if part == nil {
			head := *whole
			head.Text, head.Citations, head.Signature, head.SignedBy = "", nil, "", ""
			dst, part = d.begin(dst, key, &head)
		}
		dst = part.rest(dst, whole.Text)
		if extra := whole.Citations; len(extra) > part.citations {
			dst = append(dst, llm.Event{Kind: llm.EventDelta, Index: part.index, Citations: extra[part.citations:]})
			part.citations = len(extra)
		}
		if whole.Signature != "" {
			dst = append(dst, llm.Event{Kind: llm.EventDelta, Index: part.index, Signature: whole.Signature, SignedBy: whole.SignedBy})
		}
	}
	return dst
}

// respEventType is the event's name: from its event line, else from its own type member.
func respEventType(f llm.Frame) string {
	if f.Type != "" && f.Type != "message" {
		return f.Type
	}
	const prefix = `{"type":"`
	data := bytes.TrimSpace(f.Data)
	if rest, ok := bytes.CutPrefix(data, []byte(prefix)); ok {
		if i := bytes.IndexByte(rest, '"'); i >= 0 {
			return string(rest[:i])
		}
	}
	return respTypeOf(data)
}
