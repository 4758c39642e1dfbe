package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// downstream is the client's side of a stream: bytes gather in it and go out when the upstream has nothing more to say for now.
type downstream struct {
	c     *call
	rc    *http.ResponseController
	buf   *[]byte     // what has gathered; nil while there is nothing, so that a slow stream holds no buffer while it waits
	head  http.Header // the upstream's, for the answer's own
	ended bool        // the stream has its terminal event or its error
}

// maxGather is how many bytes may wait for the upstream to pause before they go out anyway.
const maxGather = 32 << 10

func (c *call) downstream(head http.Header) *downstream {
	return &downstream{c: c, rc: http.NewResponseController(c.w), head: head}
}

// out is where what goes to the client is appended.
func (d *downstream) out() *[]byte {
	if d.buf == nil {
		d.buf = d.c.buffer()
	}
	return d.buf
}

// drained reports whether it is time to send what has gathered: the upstream has nothing more to say for now, or it is much.
func (d *downstream) drained(frames wire.FrameReader) bool {
	return d.buf != nil && (!frames.Buffered() || len(*d.buf) > maxGather)
}

// flush sends what has gathered. The status line goes out with the first bytes, not before: an upstream that fails at once is still
// answered with an error status.
func (d *downstream) flush() error {
	if d.buf == nil || len(*d.buf) == 0 {
		return nil
	}
	c := d.c
	if !c.sent {
		c.sent = true
		h := c.w.Header()
		c.commonHeaders(h)
		c.durationHeader(h, c.p.now())
		c.limitHeaders(h)
		c.upstreamHeaders(h, d.head)
		h["Content-Type"] = streamTypes[c.served.ContentType(true)]
		if h["Content-Type"] == nil || c.array {
			h["Content-Type"] = []string{c.streamType()}
		}
		h["Cache-Control"] = noCache
		h["X-Accel-Buffering"] = noBuffering
		c.w.WriteHeader(http.StatusOK)
	}
	_, err := c.w.Write(*d.buf)
	c.release(d.buf)
	d.buf = nil
	if err == nil {
		err = d.rc.Flush()
	}
	return err
}

func (c *call) streamType() string {
	if c.array {
		return "application/json"
	}
	return c.served.ContentType(true)
}

// Header values that are the same for every stream, so that no call allocates them.
var (
	contentJSON = []string{"application/json"}
	noCache     = []string{"no-cache"}
	noBuffering = []string{"no"}
	streamTypes = map[string][]string{
		"text/event-stream":                  {"text/event-stream; charset=utf-8"},
		"application/vnd.amazon.eventstream": {"application/vnd.amazon.eventstream"},
	}
)

// isStream reports whether the upstream answered with a stream; some ignore the wish.
func (c *call) isStream(resp *http.Response) bool {
	t := resp.Header.Get("Content-Type")
	return !strings.HasPrefix(t, "application/json") && !strings.HasPrefix(t, "text/html")
}

// frames reads the upstream's stream in its framing.
func (c *call) frames(resp *http.Response) wire.FrameReader {
	body := io.Reader(resp.Body)
	if r := c.target.Upstream.Unwrap(c.spoken, body); r != nil {
		body = r
	}
	if c.target.Upstream.EventStream(c.spoken) {
		return wire.NewEventStreamReader(body, c.snap.Settings.MaxFrame)
	}
	c.sse = sseReaders.Get().(*wire.SSEReader)
	c.sse.Reset(body)
	c.sse.Limit(c.snap.Settings.MaxFrame)
	return c.sse
}

// sseReaders are lent like buffers.
var sseReaders = sync.Pool{New: func() any { return wire.NewSSEReader(nil, 0) }}

// spliceStream passes a stream on frame by frame, byte for byte, and watches it go by.
func (c *call) spliceStream(resp *http.Response, tap llm.Tap) *llm.Error {
	if c.array {
		return c.translateStream(resp, c.speaks().NewStreamDecoder(), nil) // the same dialect, in another framing
	}
	down, frames := c.downstream(resp.Header), c.frames(resp)
	rename := c.renames()
	for {
		f, err := frames.Next()
		if err != nil {
			c.seen = *tap.Seen()
			if err == io.EOF && c.spoken == llm.Converse && c.seen.Finish != "" {
				down.ended = true // messageStop was seen: metadata comes after the end, and not from everyone who speaks Bedrock's language
			} else if err == io.EOF && !down.ended && c.saidAll() {
				out := down.out()
				*out = append(*out, "data: [DONE]\n\n"...)
				down.ended = true
				c.record()
			}
			return c.streamOver(down, err)
		}
		mark := tap.Frame(llm.Frame{Type: f.Type, Data: f.Data, Exception: f.Exception})
		switch {
		case mark&llm.MarkBad != 0:
			c.seen = *tap.Seen()
			return c.broken(down, "the upstream sent a malformed event")
		case mark&llm.MarkError != 0:
			c.seen = *tap.Seen()
			if c.dialect != llm.OpenAI && (c.sent || down.buf != nil) && !c.holdsKey(f.Raw) {
				c.passFault(down, frames, f)
			}
			return c.streamFault(down, c.seen.Err)
		}
		if mark&llm.MarkContent != 0 {
			c.firstByte()
		}
		if mark&llm.MarkEnd != 0 {
			// The record is on its way to disk before the client can know that the call is over.
			c.seen = *tap.Seen()
			down.ended = true
			c.record()
		}
		switch {
		case mark&llm.MarkUsageOnly != 0 && !c.wantUsage: // the client did not ask for it
		case rename:
			out := down.out()
			*out = c.renameFrame(*out, f)
		default:
			out := down.out()
			*out = append(*out, f.Raw...)
		}
		if down.drained(frames) {
			if err := down.flush(); err != nil {
				c.seen = *tap.Seen()
				return &llm.Error{Kind: llm.ErrClientGone, Message: "the client closed the connection", Cause: err}
			}
		}
	}
}

// passFault passes an upstream's error, and what it still sends after it, on as it came: in the same dialect nothing says it better, and
// the numbers of its events go on. OpenAI's chat is left out: LiteLLM's clients look for the status in the error.
func (c *call) passFault(down *downstream, frames wire.FrameReader, f wire.Frame) {
	c.told = true
	for more := 0; more < maxGather; more += len(f.Raw) {
		out := down.out()
		*out = append(*out, f.Raw...)
		if !frames.Buffered() && down.flush() != nil {
			return
		}
		var err error
		if f, err = frames.Next(); err != nil || c.holdsKey(f.Raw) {
			return
		}
	}
}

// holdsKey reports whether bytes of the upstream hold the credential that it was called with.
func (c *call) holdsKey(b []byte) bool {
	key := c.target.Params.APIKey.Reveal()
	return key != "" && bytes.Contains(b, []byte(key))
}

// saidAll reports whether a stream of chat completions that closed cleanly was whole without its [DONE], which some servers leave out: the
// one choice there is has its finish reason.
func (c *call) saidAll() bool {
	return c.dialect == llm.OpenAI && c.seen.Finish != "" && !c.several
}

// renameFrame appends a server-sent event with the model's name replaced; any other frame as it came.
func (c *call) renameFrame(dst []byte, f wire.Frame) []byte {
	start, end := findModel(f.Data, c.dialect)
	if start < 0 {
		return append(dst, f.Raw...)
	}
	b := c.buffer()
	*b, _ = replaceName(*b, f.Data, start, end, c.model)
	dst = wire.AppendSSE(dst, f.Type, *b)
	c.release(b)
	return dst
}

// translateStream turns the upstream's events into the client's. req is nil when both speak the same dialect.
func (c *call) translateStream(resp *http.Response, dec llm.StreamDecoder, req *llm.Request) *llm.Error {
	down, frames := c.downstream(resp.Header), c.frames(resp)
	enc := c.served.NewStreamEncoder(c.exchange(req))
	var events []llm.Event
	for {
		f, err := frames.Next()
		if err != nil {
			var complete bool
			events, complete = dec.Finish(events[:0])
			if complete && (err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF)) {
				err = io.EOF
			}
			if e := c.encodeEvents(down, enc, events); e != nil {
				return e
			}
			return c.streamOver(down, err)
		}
		events, err = dec.Decode(events[:0], llm.Frame{Type: f.Type, Data: f.Data, Exception: f.Exception})
		if err != nil {
			return c.streamFault(down, c.upstreamFault(err))
		}
		if e := c.encodeEvents(down, enc, events); e != nil {
			return e
		}
		if down.drained(frames) {
			if err := down.flush(); err != nil {
				return &llm.Error{Kind: llm.ErrClientGone, Message: "the client closed the connection", Cause: err}
			}
		}
	}
}

// encodeEvents writes events in the client's dialect and keeps the record's figures.
func (c *call) encodeEvents(down *downstream, enc llm.StreamEncoder, events []llm.Event) *llm.Error {
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case llm.EventStart:
			if e.Usage != nil {
				c.seen.Usage = e.Usage
			}
			if e.Start != nil {
				c.seen.Model = e.Start.Model
			}
		case llm.EventPartStart:
			if e.Part != nil && e.Part.Kind == llm.KindToolCall {
				c.seen.ToolCalls++
				c.seen.Use(c.tools.shownName(e.Part.Call.Name))
			}
			c.seen.Retrieved = c.seen.Retrieved || e.Part != nil && searchesFiles(e.Part)
		case llm.EventDelta:
			c.firstByte()
			c.seen.Chars += int64(len(e.Text))
		case llm.EventFinish:
			c.seen.Finish = e.Stop.Reason
		case llm.EventUsage:
			c.seen.Usage = e.Usage
		case llm.EventError:
			return c.streamFault(down, e.Err)
		case llm.EventEnd:
			down.ended = true
			c.record()
		}
		before, e := c.tools.stream(e)
		if before != nil {
			out := down.out()
			*out = enc.Encode(*out, before)
		}
		if e == nil {
			continue
		}
		if c.mergesReasoning() {
			if end := c.thinking.closing(e); end != "" {
				out := down.out()
				*out = enc.Encode(*out, &llm.Event{Kind: llm.EventDelta, Choice: e.Choice, Index: e.Index, Text: end})
			}
			if e = c.thinking.merge(e); e == nil {
				continue
			}
		}
		out := down.out()
		*out = enc.Encode(*out, e)
	}
	return nil
}

// sendEvents streams an answer that came whole.
func (c *call) sendEvents(head http.Header, answer *llm.Response, req *llm.Request) *llm.Error {
	down := c.downstream(head)
	c.seen.Chars, c.seen.ToolCalls, c.seen.Tools = 0, 0, nil // they are counted as they go out
	if e := c.encodeEvents(down, c.served.NewStreamEncoder(c.exchange(req)), answer.Events()); e != nil {
		return e
	}
	return c.streamOver(down, io.EOF)
}

// streamOver ends a stream whose upstream has nothing more: well, if the terminal event was seen, else with an error event.
func (c *call) streamOver(down *downstream, err error) *llm.Error {
	if down.ended {
		if err := down.flush(); err != nil {
			return &llm.Error{Kind: llm.ErrClientGone, Message: "the client closed the connection", Cause: err}
		}
		return nil
	}
	if err == io.EOF {
		return c.broken(down, "the upstream ended the stream before it was complete")
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || c.r.Context().Err() == nil && !isTimeout(err) {
		return c.broken(down, "the connection to the upstream broke before the answer was complete")
	}
	c.rec.Incomplete = c.sent
	e := c.transportError(err)
	_ = down.flush()
	return e
}

// broken is a stream cut short by the upstream.
func (c *call) broken(down *downstream, why string) *llm.Error {
	_ = down.flush()
	c.rec.Incomplete = true
	c.seen.Finish = llm.FinishIncomplete
	return &llm.Error{Kind: llm.ErrConnection, Upstream: true, Provider: c.target.Upstream.Provider, Message: "deployment " + c.target.ID + ": " + why}
}

// streamFault is an error the upstream sent inside a stream. What came before it reaches the client first.
func (c *call) streamFault(down *downstream, e *llm.Error) *llm.Error {
	_ = down.flush()
	c.rec.Incomplete = c.sent
	e.Upstream, e.Provider = true, c.target.Upstream.Provider
	return e
}
