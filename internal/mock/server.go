// Package mock is an upstream without a model: it serves all five dialects as a provider would, with fixed, echoed or made-up answers,
// at a chosen pace and with faults on demand.
//
// `weir mock` runs it for load tests, our tests and benchmarks run against it, and Weir's built-in demo model is a Server in Demo mode
// served in-process. It is built from the served halves of the dialects and imports no more of the gateway than those.
package mock

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/anthropic"
	"github.com/weir-gateway/weir/internal/converse"
	"github.com/weir-gateway/weir/internal/gemini"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/openai"
)

// Options say how a Server answers. A request may override any of them behind a question mark in its model's name:
// "gpt-x?chunks=100&pace=10ms&fault=cut" (keys as in Override).
type Options struct {
	// Answer is "fixed" (Text), "said" (Text and nothing else, whatever tools or forms are asked for), "echo" (the last user message) or
	// "demo" (see Demo). Empty: fixed.
	Answer string
	// Text of a fixed answer; empty: "Hello from the mock.". Bytes pads it to a length.
	Text  string
	Bytes int
	// Latency passes before the answer's head, TTFT before the first chunk, Pace between chunks.
	Latency, TTFT, Pace time.Duration
	// Chunks is how many pieces a streamed text comes in; 0: one per word.
	Chunks int
	// Fault goes wrong on purpose, see Faults.
	Fault string
	// RetryAfter is the header of a status fault, in seconds; 0: none.
	RetryAfter int
}

// Faults lists what Options.Fault may be, with what it does.
var Faults = []struct{ Name, Does string }{
	{"<status>", "answer with this HTTP status (400 to 599) and the dialect's error body"},
	{"reset", "close the connection without an answer"},
	{"hang", "never answer"},
	{"stall", "stop in the middle of the stream and keep the connection open"},
	{"cut", "close the connection in the middle of the stream"},
	{"malformed", "send a chunk that is not JSON in the middle of the stream, or such a body"},
	{"unterminated", "end the stream cleanly without its terminal event"},
	{"error", "send the dialect's error event in the middle of the stream"},
	{"nousage", "report no usage"},
}

// maxBody bounds what a client may send.
const maxBody = 256 << 20

// Server answers as a provider would. Safe for concurrent use.
type Server struct {
	defaults Options
	now      func() time.Time
}

// New makes a Server; now tells the time and may be nil.
func New(defaults Options, now func() time.Time) *Server {
	if now == nil {
		now = time.Now
	}
	return &Server{defaults: defaults, now: now}
}

var served = map[llm.Dialect]llm.Served{
	llm.OpenAI: openai.Chat, llm.Responses: openai.Responses, llm.Anthropic: anthropic.Messages, llm.Converse: converse.Converse,
	llm.Gemini: gemini.Generate,
}

// exchange is one request on its way.
type exchange struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	dialect llm.Dialect
	served  llm.Served
	req     *llm.Request
	opt     Options
	array   bool
}

// ServeHTTP answers a provider's call. A path that no dialect has is a 404.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // the client is gone
	}
	if s.other(w, r, body) {
		return
	}
	x := &exchange{s: s, w: w, r: r, opt: s.defaults}
	model, stream, ok := x.match(r.URL)
	if !ok {
		http.Error(w, `{"detail":"Not Found"}`, http.StatusNotFound)
		return
	}
	req, err := x.served.DecodeRequest(body)
	if err != nil {
		x.fail(llm.AsError(err))
		return
	}
	if model != "" {
		req.Model, req.Stream = model, stream
	}
	if name, over, found := strings.Cut(req.Model, "?"); found {
		if err := x.opt.Override(over); err != nil {
			x.fail(llm.Invalid("model", "%v", err))
			return
		}
		req.Model = name
	}
	x.req = req
	x.answer()
}

// match finds the dialect of a path, with model and stream where they are in it.
func (x *exchange) match(u *url.URL) (model string, stream, ok bool) {
	path := u.EscapedPath()
	switch {
	case strings.HasSuffix(path, "/chat/completions"):
		x.dialect = llm.OpenAI
	case strings.HasSuffix(path, "/completions"):
		x.dialect, x.served = llm.OpenAI, openai.Completions
		return "", false, true
	case strings.HasSuffix(path, "/responses"):
		x.dialect = llm.Responses
	case strings.HasSuffix(path, "/messages"):
		x.dialect = llm.Anthropic
	case strings.HasSuffix(path, "/converse"), strings.HasSuffix(path, "/converse-stream"):
		x.dialect, stream = llm.Converse, strings.HasSuffix(path, "-stream")
		_, id, _ := strings.Cut(path[:strings.LastIndexByte(path, '/')], "/model/")
		model, _ = url.PathUnescape(id)
	case strings.HasSuffix(path, ":generateContent"), strings.HasSuffix(path, ":streamGenerateContent"):
		x.dialect, stream = llm.Gemini, strings.HasSuffix(path, ":streamGenerateContent")
		x.array = stream && u.Query().Get("alt") != "sse"
		path = path[:strings.LastIndexByte(path, ':')]
		model, _ = url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:])
	default:
		return "", false, false
	}
	x.served = served[x.dialect]
	return model, stream, true
}

// Override reads "key=value&..." with the keys answer, text, bytes, latency, ttft, pace, chunks, fault, retry_after into o.
func (o *Options) Override(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	for key := range values {
		v := values.Get(key)
		switch key {
		case "answer":
			o.Answer = v
		case "text":
			o.Text = v
		case "bytes":
			o.Bytes, err = strconv.Atoi(v)
		case "latency":
			o.Latency, err = time.ParseDuration(v)
		case "ttft":
			o.TTFT, err = time.ParseDuration(v)
		case "pace":
			o.Pace, err = time.ParseDuration(v)
		case "chunks":
			o.Chunks, err = strconv.Atoi(v)
		case "fault":
			o.Fault = v
		case "retry_after":
			o.RetryAfter, err = strconv.Atoi(v)
		default:
			err = llm.Invalid("model", "the mock has no option %q", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// answer waits, goes wrong if asked to, and replies.
func (x *exchange) answer() {
	if !x.wait(x.opt.Latency) {
		return
	}
	switch status, err := strconv.Atoi(x.opt.Fault); {
	case err == nil && status >= 400 && status <= 599:
		if x.opt.RetryAfter > 0 {
			x.w.Header().Set("Retry-After", strconv.Itoa(x.opt.RetryAfter))
		}
		x.fail(&llm.Error{Kind: llm.KindOf(status), Status: status, Message: "the mock was asked to fail with " + x.opt.Fault})
		return
	case x.opt.Fault == "reset":
		panic(http.ErrAbortHandler)
	case x.opt.Fault == "hang":
		<-x.r.Context().Done()
		return
	}
	resp := x.response()
	if x.opt.Fault == "nousage" {
		resp.Usage = nil
	}
	if x.req.Stream {
		x.stream(resp)
		return
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("X-Request-Id", resp.ID)
	if x.opt.Fault == "malformed" {
		_, _ = io.WriteString(x.w, `{"id": "broken", "choi`)
		return
	}
	_, _ = x.w.Write(x.served.EncodeResponse(nil, resp, x.context()))
}

func (x *exchange) context() *llm.Exchange {
	return &llm.Exchange{Request: x.req, Model: x.req.Model, ID: "mock-1", Started: x.s.now(), Now: x.s.now, StreamUsage: x.req.StreamUsage, Array: x.array}
}

func (x *exchange) fail(e *llm.Error) {
	h := x.w.Header()
	body := x.served.EncodeError(nil, h, e)
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	x.w.WriteHeader(e.HTTPStatus())
	_, _ = x.w.Write(body)
}

// wait passes time, and reports whether the client is still there after it.
func (x *exchange) wait(d time.Duration) bool {
	return sleep(x.r.Context(), d)
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// stream sends the answer's events at the asked pace, with a fault in the middle if one was asked for.
func (x *exchange) stream(resp *llm.Response) {
	rc := http.NewResponseController(x.w)
	contentType := x.served.ContentType(true)
	if x.array {
		contentType = "application/json"
	}
	x.w.Header().Set("Content-Type", contentType)
	x.w.Header().Set("X-Request-Id", resp.ID)
	if !x.wait(x.opt.TTFT) {
		return
	}
	enc := x.served.NewStreamEncoder(x.context())
	events := x.split(resp.Events())
	middle := len(events) / 2
	var out []byte
	for i := range events {
		if i == middle && !x.fault(rc) {
			return
		}
		if x.opt.Fault == "unterminated" && events[i].Kind >= llm.EventFinish {
			return
		}
		if events[i].Kind == llm.EventDelta && i > 0 && !x.wait(x.opt.Pace) {
			return
		}
		out = enc.Encode(out[:0], &events[i])
		if len(out) == 0 {
			continue
		}
		if _, err := x.w.Write(out); err != nil {
			return
		}
		if events[i].Kind == llm.EventDelta {
			_ = rc.Flush()
		}
	}
}

// fault does what was asked in the middle of a stream, and reports whether the stream goes on.
func (x *exchange) fault(rc *http.ResponseController) bool {
	switch x.opt.Fault {
	case "cut":
		_ = rc.Flush()
		panic(http.ErrAbortHandler)
	case "stall":
		_ = rc.Flush()
		<-x.r.Context().Done()
		return false
	case "malformed":
		_, _ = io.WriteString(x.w, "data: {\"broken\n\n")
		return true
	case "error":
		_, _ = x.w.Write(x.served.EncodeStreamError(nil, llm.Errorf(llm.ErrOverloaded, "the mock was asked to fail in the middle")))
		return false
	}
	return true
}

// split cuts every text delta into the asked number of pieces, or into words.
func (x *exchange) split(events []llm.Event) []llm.Event {
	out := make([]llm.Event, 0, len(events)+x.opt.Chunks)
	for _, e := range events {
		if e.Kind != llm.EventDelta || len(e.Text) < 2 {
			out = append(out, e)
			continue
		}
		pieces := pieces(e.Text, x.opt.Chunks)
		for i, p := range pieces {
			d := llm.Event{Kind: llm.EventDelta, Choice: e.Choice, Index: e.Index, Text: p}
			if i == len(pieces)-1 {
				d.Signature, d.SignedBy, d.Citations, d.Logprobs = e.Signature, e.SignedBy, e.Citations, e.Logprobs
			}
			out = append(out, d)
		}
	}
	return out
}

// pieces cuts a text into n runs of whole characters, or, for n = 0, before each space.
func pieces(text string, n int) []string {
	if n <= 0 {
		var out []string
		for len(text) > 0 {
			i := strings.IndexByte(text[1:], ' ') + 1
			if i == 0 {
				i = len(text)
			}
			out = append(out, text[:i])
			text = text[i:]
		}
		return out
	}
	runes := []rune(text)
	n = min(n, len(runes))
	out := make([]string, 0, n)
	for i := range n {
		out = append(out, string(runes[i*len(runes)/n:(i+1)*len(runes)/n]))
	}
	return out
}
