package gemini

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

type streamDecoder struct {
	started bool
	ended   bool
	choices []*choiceReader
	usage   *usageMetadata
	blocked *llm.Stop
}

// choiceReader is the state of one candidate.
type choiceReader struct {
	index    int
	reader   partReader
	parts    int      // begun so far
	open     llm.Kind // of the part that still may grow, empty: none
	signed   bool     // that part has its signature
	lastText int      // index of the last text part, -1 none
	text     strings.Builder
	args     *argTree // of the function call being streamed
	whole    llm.Raw  // its arguments where they came in one piece after all
	calls    bool
	finished bool
	stop     llm.Stop
}

// NewStreamDecoder starts reading a stream of server-sent events, or of the elements of one JSON array.
func (dialect) NewStreamDecoder() llm.StreamDecoder { return &streamDecoder{} }

// object strips what an array's framing leaves around an element.
func object(data []byte) []byte { return bytes.Trim(data, "[], \r\n\t") }

// Decode reads one chunk.
func (d *streamDecoder) Decode(dst []llm.Event, f llm.Frame) ([]llm.Event, error) {
	data := object(f.Data)
	if len(data) == 0 || d.ended || string(data) == "DONE" {
		return dst, nil
	}
	var b responseBody
	if err := json.Unmarshal(data, &b, upstreamOptions); err != nil {
		return dst, &llm.Error{Kind: llm.ErrUpstream, Message: "the upstream's stream has a chunk that is not a generateContent response", Cause: err}
	}
	if len(b.Error) > 0 {
		d.ended = true
		return append(dst, llm.Event{Kind: llm.EventError, Err: errorIn(data)}), nil
	}
	if !d.started {
		d.started = true
		e := llm.Event{Kind: llm.EventStart, Start: b.head()}
		if b.UsageMetadata.counted() {
			e.Usage = b.UsageMetadata.usage()
		}
		dst = append(dst, e)
	}
	if b.UsageMetadata.counted() {
		d.usage = b.UsageMetadata
	}
	if stop, ok := blocked(b.PromptFeedback); ok {
		d.blocked = &stop
	}
	for i := range b.Candidates {
		c, err := d.choice(&b, b.Candidates[i].Index)
		if err != nil {
			return dst, err
		}
		if dst, err = c.candidate(dst, &b.Candidates[i]); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// maxChoices bounds what an upstream can make us keep.
const maxChoices = 128

func (d *streamDecoder) choice(b *responseBody, index int) (*choiceReader, error) {
	for _, c := range d.choices {
		if c.index == index {
			return c, nil
		}
	}
	if index < 0 || len(d.choices) >= maxChoices {
		return nil, llm.Errorf(llm.ErrUpstream, "the upstream's stream has a candidate with index %d", index)
	}
	c := &choiceReader{index: index, lastText: -1, reader: partReader{prefix: idPrefix(b, index)}}
	d.choices = append(d.choices, c)
	return c, nil
}

func (c *choiceReader) candidate(dst []llm.Event, in *candidate) ([]llm.Event, error) {
	logprobs := in.LogprobsResult.tokens()
	if in.Content != nil {
		for i := range in.Content.Parts {
			var err error
			if dst, err = c.part(dst, &in.Content.Parts[i]); err != nil {
				return dst, err
			}
		}
	}
	if logprobs != nil && c.lastText >= 0 {
		dst = append(dst, llm.Event{Kind: llm.EventDelta, Choice: c.index, Index: c.lastText, Logprobs: logprobs})
	}
	if found := citations(in); len(found) > 0 && c.lastText >= 0 {
		e := llm.Event{Kind: llm.EventDelta, Choice: c.index, Index: c.lastText}
		for _, f := range found {
			f.Start, f.End = runes(c.text.String(), f.Start), runes(c.text.String(), f.End)
			e.Citations = append(e.Citations, f.Citation)
		}
		dst = append(dst, e)
	}
	if in.FinishReason != "" {
		c.finished = true
		c.stop = stopOf(in, c.calls)
	}
	return dst, nil
}

func (c *choiceReader) part(dst []llm.Event, p *part) ([]llm.Event, error) {
	if p.FunctionCall != nil && (c.args != nil || p.FunctionCall.Name == "" || p.FunctionCall.WillContinue) {
		return c.streamedCall(dst, p)
	}
	out, ok, err := readAnswerPart(&c.reader, p)
	if err != nil || !ok {
		return dst, err
	}
	if out.Kind != llm.KindText && out.Kind != llm.KindReasoning {
		dst = c.begin(c.close(dst), &out)
		if out.Kind == llm.KindToolCall {
			c.calls = true
			call := *out.Call
			args := call.Arguments
			call.Arguments = ""
			out.Call = &call
			dst = append(dst, c.delta(args))
		}
		return c.close(dst), nil
	}
	if c.open != out.Kind || c.signed && out.Signature != "" {
		dst = c.begin(c.close(dst), &llm.Part{Kind: out.Kind})
	}
	e := c.delta(out.Text)
	e.Signature, e.SignedBy = out.Signature, out.SignedBy
	c.signed = c.signed || out.Signature != ""
	if out.Kind == llm.KindText {
		c.text.WriteString(out.Text)
	}
	return append(dst, e), nil
}

func (c *choiceReader) begin(dst []llm.Event, p *llm.Part) []llm.Event {
	c.open, c.signed = p.Kind, p.Signature != ""
	if p.Kind == llm.KindText {
		c.lastText = c.parts
	}
	c.parts++
	return append(dst, llm.Event{Kind: llm.EventPartStart, Choice: c.index, Index: c.parts - 1, Part: p})
}

func (c *choiceReader) delta(text string) llm.Event {
	return llm.Event{Kind: llm.EventDelta, Choice: c.index, Index: c.parts - 1, Text: text}
}

// close ends the open part; a call whose arguments were streamed gets them here, whole.
func (c *choiceReader) close(dst []llm.Event) []llm.Event {
	if c.open == "" {
		return dst
	}
	if c.args != nil {
		args := string(c.args.appendTo(nil))
		if c.whole != nil {
			args = string(c.whole)
		}
		dst = append(dst, c.delta(args))
		c.args, c.whole = nil, nil
	}
	c.open = ""
	return append(dst, llm.Event{Kind: llm.EventPartStop, Choice: c.index, Index: c.parts - 1})
}

// streamedCall takes a piece of a function call: the name first, then arguments by path, at last a piece that does not continue.
func (c *choiceReader) streamedCall(dst []llm.Event, p *part) ([]llm.Event, error) {
	f := p.FunctionCall
	if f.Name != "" {
		dst = c.close(dst)
		head := part{FunctionCall: &functionCall{ID: f.ID, Name: f.Name}, ThoughtSignature: p.ThoughtSignature}
		out, _, err := readAnswerPart(&c.reader, &head)
		if err != nil {
			return dst, err
		}
		out.Call.Arguments = ""
		dst = c.begin(dst, &out)
		c.calls, c.args = true, &argTree{}
	}
	if c.args == nil {
		return dst, nil // the tail of a call that is over
	}
	for i := range f.PartialArgs {
		if err := c.args.add(&f.PartialArgs[i]); err != nil {
			return dst, &llm.Error{Kind: llm.ErrUpstream, Message: "the upstream's stream has function arguments that can't be put together", Cause: err}
		}
	}
	if f.Args.Kind() == '{' {
		c.whole = f.Args
	}
	if !f.WillContinue {
		dst = c.close(dst)
	}
	return dst, nil
}

// Finish says the ends: Gemini has no terminal event, so an answer is whole when every candidate gave its finish reason.
func (d *streamDecoder) Finish(dst []llm.Event) ([]llm.Event, bool) {
	if d.ended {
		return dst, false
	}
	d.ended = true
	whole := len(d.choices) > 0
	for _, c := range d.choices {
		dst = c.close(dst)
		if !c.finished {
			whole = false
			continue
		}
		dst = append(dst, llm.Event{Kind: llm.EventFinish, Choice: c.index, Stop: c.stop})
	}
	if d.blocked != nil && len(d.choices) == 0 {
		dst = append(dst, llm.Event{Kind: llm.EventFinish, Stop: *d.blocked})
		whole = true
	}
	if d.usage != nil {
		dst = append(dst, llm.Event{Kind: llm.EventUsage, Usage: d.usage.usage()})
	}
	if whole {
		dst = append(dst, llm.Event{Kind: llm.EventEnd})
	}
	return dst, whole
}
