package llm

// EventKind says what an Event tells.
type EventKind uint8

// Event kinds, in the order a well-formed stream has them: Start, then per part PartStart, Delta..., PartStop, then Finish per choice,
// Usage, End. Parts of one choice do not overlap, except that a late Delta may name a part already stopped (OpenAI may interleave
// parallel tool calls). Ping and Error may come anywhere; nothing follows End or Error.
const (
	EventStart EventKind = iota + 1
	EventPartStart
	EventDelta
	EventPartStop
	EventFinish
	EventUsage // cumulative: the last one counts
	EventPing
	EventError
	EventEnd // the upstream's terminal event was seen: the answer is complete
)

// Event is one step of a streamed answer, in no dialect. It is valid until the next call of the decoder that made it, unless a
// field's own comment says otherwise; strings and Raw values are copies and may be kept.
type Event struct {
	Kind EventKind
	// Choice and Index say where: candidate number and position of the part within it, both from 0, Index counting up without gaps.
	Choice int
	Index  int

	// Part, at PartStart, is the part's head: its kind and what is known before its content (a call's id and name, a redacted
	// block's data, a native block's Raw). A part that comes whole (an image, a native block) has its content here and no Delta.
	Part *Part

	// Of a Delta: Text is appended to the part's text, or to a tool call's arguments. Signature and Citations are set once known.
	Text      string
	Signature string
	SignedBy  Dialect
	Citations []Citation
	Logprobs  []TokenLogprob
	// Data is base64 appended to Media.Data (OpenAI's streamed audio); Transcript to Media.Transcript.
	Data       string
	Transcript string
	// Raw is a native delta for a native part.
	Raw Raw

	Stop  Stop      // Finish
	Usage *Usage    // Usage, and Start where the upstream tells the input early
	Start *Response // Start: ID, Model, Created, ServiceTier, SystemFingerprint, Extra; no choices
	Err   *Error    // Error
}

// Frame is one framed piece of a stream: a server-sent event (Type from its event line, Data joined) or an AWS event-stream message
// (Type from :event-type or :exception-type). The bytes belong to the reader and are valid until its next call.
type Frame struct {
	Type string
	Data []byte
	// Exception says that the frame is an AWS exception, not an event.
	Exception bool
}

// Accumulator builds the whole Response from a stream's events. The zero value is ready; not safe for concurrent use.
type Accumulator struct {
	resp  Response
	done  bool
	err   *Error
	at    map[[2]int]int // choice, index -> position in Parts
	index map[int]int    // choice -> position in Choices
}

// Add takes the next event.
func (a *Accumulator) Add(e *Event) {
	switch e.Kind {
	case EventStart:
		if e.Start != nil {
			choices, usage := a.resp.Choices, a.resp.Usage
			a.resp = *e.Start
			a.resp.Choices, a.resp.Usage = choices, usage
		}
		if e.Usage != nil {
			a.resp.Usage = e.Usage
		}
	case EventPartStart:
		c := a.choice(e.Choice)
		if a.at == nil {
			a.at = map[[2]int]int{}
		}
		a.at[[2]int{e.Choice, e.Index}] = len(c.Parts)
		p := *e.Part
		if p.Call != nil {
			call := *p.Call
			p.Call = &call
		}
		if p.Media != nil {
			m := *p.Media
			p.Media = &m
		}
		c.Parts = append(c.Parts, p)
	case EventDelta:
		a.delta(e)
	case EventFinish:
		a.choice(e.Choice).Stop = e.Stop
	case EventUsage:
		a.resp.Usage = e.Usage
	case EventError:
		a.err = e.Err
	case EventEnd:
		a.done = true
	}
}

func (a *Accumulator) delta(e *Event) {
	c := a.choice(e.Choice)
	c.Logprobs = append(c.Logprobs, e.Logprobs...)
	i, ok := a.at[[2]int{e.Choice, e.Index}]
	if !ok {
		return
	}
	p := &c.Parts[i]
	if p.Kind == KindToolCall {
		p.Call.Arguments += e.Text
	} else {
		p.Text += e.Text
	}
	if e.Signature != "" {
		p.Signature, p.SignedBy = e.Signature, e.SignedBy
	}
	p.Citations = append(p.Citations, e.Citations...)
	if e.Data != "" || e.Transcript != "" {
		if p.Media == nil {
			p.Media = &Media{}
		}
		p.Media.Data += e.Data
		p.Media.Transcript += e.Transcript
	}
}

func (a *Accumulator) choice(n int) *Choice {
	if i, ok := a.index[n]; ok {
		return &a.resp.Choices[i]
	}
	if a.index == nil {
		a.index = map[int]int{}
	}
	a.index[n] = len(a.resp.Choices)
	a.resp.Choices = append(a.resp.Choices, Choice{Index: n})
	return &a.resp.Choices[len(a.resp.Choices)-1]
}

// Response is what has come so far. It shares memory with the accumulator.
func (a *Accumulator) Response() *Response { return &a.resp }

// Complete reports whether the terminal event was seen, and the error event if there was one.
func (a *Accumulator) Complete() (bool, *Error) { return a.done && a.err == nil, a.err }

// Events turns a whole answer into the stream that would have carried it, each part in one Delta: for a client that asked to stream
// from an upstream that can't.
func (r *Response) Events() []Event {
	head := *r
	head.Choices, head.Usage = nil, nil
	out := []Event{{Kind: EventStart, Start: &head}}
	for ci := range r.Choices {
		c := &r.Choices[ci]
		logprobs := c.Logprobs
		for i := range c.Parts {
			p := c.Parts[i] // a copy: the head goes without the content that follows as a delta
			d := Event{Kind: EventDelta, Choice: c.Index, Index: i, Signature: p.Signature, SignedBy: p.SignedBy, Citations: p.Citations}
			switch p.Kind {
			case KindText, KindReasoning, KindRefusal:
				d.Text = p.Text
				p.Text, p.Citations = "", nil
				if p.Kind == KindReasoning {
					p.Signature, p.SignedBy = "", ""
				} else {
					d.Signature, d.SignedBy = "", ""
				}
				if p.Kind == KindText {
					d.Logprobs, logprobs = logprobs, nil
				}
			case KindToolCall:
				call := *p.Call
				d.Text, d.Signature, d.SignedBy = call.Arguments, "", ""
				call.Arguments = ""
				p.Call = &call
			default:
				d = Event{}
			}
			out = append(out, Event{Kind: EventPartStart, Choice: c.Index, Index: i, Part: &p})
			if d.Kind != 0 && (d.Text != "" || d.Signature != "" || d.Citations != nil || d.Logprobs != nil) {
				out = append(out, d)
			}
			out = append(out, Event{Kind: EventPartStop, Choice: c.Index, Index: i})
		}
		out = append(out, Event{Kind: EventFinish, Choice: c.Index, Stop: c.Stop})
	}
	if r.Usage != nil {
		out = append(out, Event{Kind: EventUsage, Usage: r.Usage})
	}
	return append(out, Event{Kind: EventEnd})
}
