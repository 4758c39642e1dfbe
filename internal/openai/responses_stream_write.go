package openai

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// NewStreamEncoder starts writing one stream.
func (responses) NewStreamEncoder(x *llm.Exchange) llm.StreamEncoder { return &respWriter{x: x} }

// respWriter turns the parts of the first candidate into items. Reasoning paragraphs of one item, and texts that follow one another, share
// an item; all else has one each. A part is closed not when it stops but when the next one starts: until then a late signature or
// citation finds it open. A call whose arguments are not yet whole stays open beside those that follow, for its rest may come late.
type respWriter struct {
	x     *llm.Exchange
	quiet bool // only the finished response is wanted

	head           *llm.Response
	own            bool   // the answer comes from this dialect: ids, native items and Extra are ours
	id, suffix     string // the response's id, and what items' ids are made of
	echo           []byte // what the response repeats of the request
	seq            int64
	output         [][]byte // finished items by output_index; nil: open
	cur            *respOpen
	calls          []*respOpen // open calls that are not cur
	parts          map[int]*respOpen
	stop           llm.Stop
	usage          *llm.Usage
	started, ended bool
	refused        bool // a refusal was written
}

// respOpen is an item under construction.
type respOpen struct {
	kind   string // message, reasoning, function_call, custom_tool_call
	id     string
	group  string // the upstream's id of the item
	index  int    // output_index
	closed bool
	phase  jsontext.Value

	// The open content or summary part; the text of a call is its arguments.
	part     llm.Kind // "": none is open
	summary  bool
	at       int // content_index or summary_index
	texts    int // content parts begun
	sums     int // summary parts begun
	text     []byte
	notes    []byte // annotations
	nnotes   int
	logprobs []byte

	content   []byte // finished content parts
	summaries []byte
	callID    string
	name      string
	extra     map[string]llm.Raw
	signature string // encrypted_content of a reasoning item
	late      string // sealed signature to follow a message or call
}

// Encode appends the bytes for one event.
func (w *respWriter) Encode(dst []byte, e *llm.Event) []byte {
	if w.ended || e.Choice != 0 && e.Kind != llm.EventError && e.Kind != llm.EventEnd {
		return dst
	}
	if !w.started && e.Kind != llm.EventPing {
		dst = w.start(dst, e)
	}
	switch e.Kind {
	case llm.EventStart:
		if e.Usage != nil {
			w.usage = e.Usage
		}
	case llm.EventPartStart:
		dst = w.partStart(dst, e)
	case llm.EventDelta:
		dst = w.delta(dst, e)
	case llm.EventFinish:
		w.stop = e.Stop
		dst = w.closeAll(dst)
	case llm.EventUsage:
		w.usage = e.Usage
	case llm.EventEnd:
		dst = w.closeAll(dst)
		status, reason := w.status()
		w.ended = true
		dst = w.begin(dst, "response."+status)
		dst = w.response(respKey(dst, "response"), status, reason, respFailure(status))
		dst = w.finish(dst)
	case llm.EventError:
		w.ended = true
		if !w.quiet {
			dst = respAppendErrorEvent(dst, e.Err, w.seq)
			w.seq++
		}
		dst = w.begin(dst, "response.failed")
		dst = w.response(respKey(dst, "response"), "failed", "", e.Err)
		dst = w.finish(dst)
	}
	return dst
}

// begin appends an event up to its own members. It is cheap to call for a quiet writer, whose bytes go nowhere.
func (w *respWriter) begin(dst []byte, name string) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	dst = append(dst, "\ndata: {\"type\":\""...)
	dst = append(dst, name...)
	dst = append(dst, `","sequence_number":`...)
	dst = strconv.AppendInt(dst, w.seq, 10)
	w.seq++
	return dst
}

func (w *respWriter) finish(dst []byte) []byte { return append(dst, "}\n\n"...) }

// beginItem is begin with the item that the event is about.
func (w *respWriter) beginItem(dst []byte, name string, o *respOpen) []byte {
	dst = w.begin(dst, name)
	dst = append(dst, `,"item_id":"`...)
	dst = append(dst, o.id...)
	dst = append(dst, `","output_index":`...)
	return strconv.AppendInt(dst, int64(o.index), 10)
}

func respInto(dst []byte, member string, n int) []byte {
	dst = append(dst, member...)
	return strconv.AppendInt(dst, int64(n), 10)
}

func (w *respWriter) start(dst []byte, e *llm.Event) []byte {
	w.started = true
	w.head = &llm.Response{}
	if e.Kind == llm.EventStart && e.Start != nil {
		w.head = e.Start
	}
	w.own = w.head.From == llm.Responses
	w.suffix = respAlnum(w.x.ID)
	if w.suffix == "" {
		w.suffix = respAlnum(w.head.ID)
	}
	if w.suffix == "" {
		w.suffix = strconv.FormatInt(w.created(), 16)
	}
	w.id = "resp_" + w.suffix
	if w.own && w.head.ID != "" {
		w.id = w.head.ID
	}
	w.echo = w.appendEcho(nil)
	if w.quiet {
		return dst
	}
	for _, name := range []string{"response.created", "response.in_progress"} {
		dst = w.begin(dst, name)
		dst = w.response(respKey(dst, "response"), "in_progress", "", nil)
		dst = w.finish(dst)
	}
	return dst
}

// respAlnum keeps the letters and digits of an id, without its prefix.
func respAlnum(id string) string {
	if _, rest, ok := strings.Cut(id, "_"); ok {
		id = rest
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, id)
}

// open begins an item.
func (w *respWriter) open(dst []byte, kind, prefix string, p *llm.Part) ([]byte, *respOpen) {
	o := &respOpen{kind: kind, index: len(w.output), group: p.ID}
	w.output = append(w.output, nil)
	o.id = prefix + w.suffix + respTwo(o.index)
	if w.own && p.ID != "" && respPlain(p.ID) {
		o.id = p.ID
	}
	if w.own {
		o.extra = p.Extra
		o.phase = p.Extra["phase"]
	}
	if p.Call != nil {
		o.callID, o.name = p.Call.ID, p.Call.Name
		if o.callID == "" {
			o.callID = "call_" + w.suffix + respTwo(o.index)
		}
	}
	w.cur = o
	dst = w.begin(dst, "response.output_item.added")
	dst = respInto(dst, `,"output_index":`, o.index)
	dst = w.item(append(dst, `,"item":`...), o, "in_progress")
	return w.finish(dst), o
}

// respPlain says that an id needs no quoting.
func respPlain(id string) bool {
	for i := 0; i < len(id); i++ {
		if c := id[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func respTwo(n int) string {
	if n < 10 {
		return "0" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

func (w *respWriter) partStart(dst []byte, e *llm.Event) []byte {
	p := e.Part
	var o *respOpen
	switch p.Kind {
	case llm.KindText, llm.KindRefusal, llm.KindAudio:
		dst, o = w.message(dst, p)
	case llm.KindReasoning:
		dst, o = w.reasoning(dst, p)
	case llm.KindToolCall:
		dst = w.leave(dst)
		if p.Signature != "" && p.SignedBy != llm.Responses {
			dst = w.sealedItem(dst, respSeal(p.SignedBy, respOfNext, p.Signature))
		}
		if p.Call.Type == "custom" {
			dst, o = w.open(dst, "custom_tool_call", "ctc_", p)
		} else {
			dst, o = w.open(dst, "function_call", "fc_", p)
		}
	default:
		dst = w.leave(dst)
		dst = w.whole(dst, p)
	}
	if o == nil {
		return dst
	}
	if w.parts == nil {
		w.parts = map[int]*respOpen{}
	}
	w.parts[e.Index] = o
	head := llm.Event{Kind: llm.EventDelta, Index: e.Index, Text: p.Text, Citations: p.Citations}
	if p.Call != nil {
		head.Text = p.Call.Arguments
	} else {
		head.Signature, head.SignedBy = p.Signature, p.SignedBy
	}
	if p.Kind == llm.KindAudio && p.Media != nil {
		head.Transcript = p.Media.Transcript
	}
	if head.Text != "" || head.Citations != nil || head.Signature != "" || head.Transcript != "" {
		dst = w.deltaTo(dst, o, &head)
	}
	return dst
}

// message finds the message item that a text belongs to, or opens one, and begins a content part in it.
func (w *respWriter) message(dst []byte, p *llm.Part) ([]byte, *respOpen) {
	o := w.cur
	if o == nil || o.closed || o.kind != "message" || o.group != p.ID || o.late != "" {
		dst = w.leave(dst)
		dst, o = w.open(dst, "message", "msg_", p)
	} else {
		dst = w.closePart(dst, o)
	}
	o.part, o.at = llm.KindText, o.texts
	if p.Kind == llm.KindRefusal {
		o.part, w.refused = llm.KindRefusal, true
	}
	o.texts++
	dst = w.beginItem(dst, "response.content_part.added", o)
	dst = respInto(dst, `,"content_index":`, o.at)
	dst = o.appendPart(append(dst, `,"part":`...), "")
	return w.finish(dst), o
}

// reasoning finds the item that a paragraph belongs to, or opens one. Its part begins with its first text: encrypted reasoning has none.
// Thoughts of other dialects are shown as a summary, which is what clients of this one display.
func (w *respWriter) reasoning(dst []byte, p *llm.Part) ([]byte, *respOpen) {
	o := w.cur
	if o == nil || o.closed || o.kind != "reasoning" || o.group != p.ID || p.ID == "" || o.signature != "" {
		dst = w.leave(dst)
		dst, o = w.open(dst, "reasoning", "rs_", p)
	} else {
		dst = w.closePart(dst, o)
	}
	o.summary = p.Summary || !w.own
	o.part = ""
	if w.own && p.Summary {
		return w.beginThought(dst, o), o
	}
	return dst, o
}

func (w *respWriter) beginThought(dst []byte, o *respOpen) []byte {
	o.part = llm.KindReasoning
	if !o.summary {
		o.at = o.texts
		o.texts++
		return dst
	}
	o.at = o.sums
	o.sums++
	dst = w.beginItem(dst, "response.reasoning_summary_part.added", o)
	dst = respInto(dst, `,"summary_index":`, o.at)
	dst = append(dst, `,"part":{"type":"summary_text","text":""}`...)
	return w.finish(dst)
}

func (w *respWriter) delta(dst []byte, e *llm.Event) []byte {
	o := w.parts[e.Index]
	if o == nil {
		return dst
	}
	if o.closed && e.Text != "" && (o.kind == "message" || o.kind == "reasoning") {
		// The text goes on after its item was closed: it goes on in another.
		p := &llm.Part{Kind: llm.KindText}
		if o.kind == "reasoning" {
			p.Kind = llm.KindReasoning
		}
		dst = w.partStart(dst, &llm.Event{Index: e.Index, Part: p})
		o = w.parts[e.Index]
	}
	if o.closed {
		return dst
	}
	return w.deltaTo(dst, o, e)
}

func (w *respWriter) deltaTo(dst []byte, o *respOpen, e *llm.Event) []byte {
	text := e.Text
	if e.Transcript != "" {
		text += e.Transcript
	}
	if text != "" {
		dst = w.text(dst, o, text, e.Logprobs)
	} else if len(e.Logprobs) > 0 && o.part == llm.KindText {
		dst = w.text(dst, o, "", e.Logprobs)
	}
	for i := range e.Citations {
		dst = w.annotation(dst, o, &e.Citations[i])
	}
	if e.Signature != "" {
		if o.kind == "reasoning" {
			o.signature = respSeal(e.SignedBy, respOfReasoning, e.Signature)
		} else if e.SignedBy != llm.Responses {
			o.late = respSeal(e.SignedBy, respOfPrevious, e.Signature)
		}
	}
	return dst
}

// text appends the delta event of whatever o is.
func (w *respWriter) text(dst []byte, o *respOpen, text string, logprobs []llm.TokenLogprob) []byte {
	if o.kind == "reasoning" && o.part == "" {
		dst = w.beginThought(dst, o)
	}
	o.text = append(o.text, text...)
	switch {
	case o.kind == "function_call":
		dst = w.beginItem(dst, "response.function_call_arguments.delta", o)
	case o.kind == "custom_tool_call":
		dst = w.beginItem(dst, "response.custom_tool_call_input.delta", o)
	case o.kind == "reasoning" && o.summary:
		dst = w.beginItem(dst, "response.reasoning_summary_text.delta", o)
		dst = respInto(dst, `,"summary_index":`, o.at)
	case o.kind == "reasoning":
		dst = w.beginItem(dst, "response.reasoning_text.delta", o)
		dst = respInto(dst, `,"content_index":`, o.at)
	case o.part == llm.KindRefusal:
		dst = w.beginItem(dst, "response.refusal.delta", o)
		dst = respInto(dst, `,"content_index":`, o.at)
	default:
		dst = w.beginItem(dst, "response.output_text.delta", o)
		dst = respInto(dst, `,"content_index":`, o.at)
		dst = append(dst, `,"delta":`...)
		dst = wire.AppendString(dst, text)
		dst = append(dst, `,"logprobs":[`...)
		if len(logprobs) > 0 {
			if len(o.logprobs) == 0 {
				o.logprobs = append(o.logprobs, '[')
			}
			o.logprobs = respAppendLogprobs(o.logprobs, logprobs, true)
			dst = respAppendLogprobs(dst, logprobs, false)
		}
		return append(dst, "]}\n\n"...)
	}
	dst = append(dst, `,"delta":`...)
	dst = wire.AppendString(dst, text)
	return w.finish(dst)
}

// annotation appends a citation of the open text.
func (w *respWriter) annotation(dst []byte, o *respOpen, c *llm.Citation) []byte {
	if o.kind != "message" || o.part != llm.KindText {
		return dst
	}
	if len(o.notes) == 0 {
		o.notes = append(o.notes, '[')
	}
	cited := *c
	if cited.URL != "" && cited.Kind != "url" || cited.Kind == "url" && cited.End == 0 {
		// The place in the answer is not known: the text so far.
		cited.Kind, cited.Start, cited.End = "url", 0, int64(len([]rune(string(o.text))))
	}
	o.notes = respAppendCitation(respElem(o.notes), &cited)
	dst = w.beginItem(dst, "response.output_text.annotation.added", o)
	dst = respInto(dst, `,"content_index":`, o.at)
	dst = respInto(dst, `,"annotation_index":`, o.nnotes)
	dst = respAppendCitation(append(dst, `,"annotation":`...), &cited)
	o.nnotes++
	return w.finish(dst)
}

// whole writes a part that has no deltas as an item of its own; nothing for what this dialect has no item for.
func (w *respWriter) whole(dst []byte, p *llm.Part) []byte {
	switch {
	case p.Kind == llm.KindNative && w.own && respIsObject(p.Raw):
		dst, o := w.reserve(dst, nil)
		w.output[o] = respAppendRaw(nil, p.Raw)
		return w.itemEvents(dst, o, w.output[o])
	case p.Kind == llm.KindToolResult && w.own && p.Result != nil:
		enc := respEncoder{req: &llm.Request{From: llm.Responses}, own: true}
		item, err := enc.result(nil, p, 0, 0)
		if err != nil {
			return dst
		}
		dst, o := w.reserve(dst, item)
		return w.itemEvents(dst, o, item)
	case p.Kind == llm.KindRedacted:
		return w.sealedItem(dst, respSeal(p.SignedBy, respOfRedacted, p.Data))
	case p.Kind == llm.KindImage && p.Media != nil && p.Media.Data != "":
		item := respKeyString([]byte(`{"type":"image_generation_call"`), "id", "ig_"+w.suffix+respTwo(len(w.output)))
		item = respKeyString(item, "status", "completed")
		item = append(respKeyString(item, "result", p.Media.Data), '}')
		dst, o := w.reserve(dst, item)
		return w.itemEvents(dst, o, item)
	}
	return dst
}

// sealedItem writes a reasoning item that only carries what the upstream wants back.
func (w *respWriter) sealedItem(dst []byte, sealed string) []byte {
	item := respKeyString([]byte(`{"type":"reasoning"`), "id", "rs_"+w.suffix+respTwo(len(w.output)))
	item = append(item, `,"summary":[]`...)
	item = append(respKeyString(item, "encrypted_content", sealed), '}')
	dst, o := w.reserve(dst, item)
	return w.itemEvents(dst, o, item)
}

func (w *respWriter) reserve(dst []byte, item []byte) ([]byte, int) {
	w.output = append(w.output, item)
	return dst, len(w.output) - 1
}

// itemEvents appends the two events of an item that comes whole.
func (w *respWriter) itemEvents(dst []byte, index int, item []byte) []byte {
	for _, name := range []string{"response.output_item.added", "response.output_item.done"} {
		dst = w.begin(dst, name)
		dst = respInto(dst, `,"output_index":`, index)
		dst = append(append(dst, `,"item":`...), item...)
		dst = w.finish(dst)
	}
	return dst
}

// leave closes the current item, unless it is a call still missing some of its arguments.
func (w *respWriter) leave(dst []byte) []byte {
	o := w.cur
	if o == nil || o.closed {
		return dst
	}
	w.cur = nil
	if o.kind == "function_call" && !jsontext.Value(o.text).IsValid() {
		w.calls = append(w.calls, o)
		return dst
	}
	return w.close(dst, o, "completed")
}

// closeAll closes what is open: calls in the order they began, then the current item, which a cut-off answer leaves incomplete.
func (w *respWriter) closeAll(dst []byte) []byte {
	for _, o := range w.calls {
		dst = w.close(dst, o, "completed")
	}
	w.calls = nil
	if o := w.cur; o != nil && !o.closed {
		status := "completed"
		if s, _ := w.status(); s == "incomplete" {
			status = s
		}
		dst = w.close(dst, o, status)
	}
	w.cur = nil
	return dst
}
