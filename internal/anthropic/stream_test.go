package anthropic

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

// checkOrder holds a stream to the order that Anthropic's clients expect: one block open at a time, indexes without gaps, the stop
// reason once, the end last, and in every event's name its type.
func checkOrder(t *testing.T, frames []llm.Frame) {
	t.Helper()
	var names []string
	open, next := int64(-1), int64(0)
	for i, f := range frames {
		var ev streamEvent
		if err := json.Unmarshal(f.Data, &ev); err != nil || ev.Type != f.Type {
			t.Fatalf("event %q: %s: %v", f.Type, f.Data, err)
		}
		if (i == 0) != (ev.Type == "message_start") || (i == len(frames)-1) != (ev.Type == "message_stop" || ev.Type == "error") {
			t.Errorf("%s at %d of %d", ev.Type, i, len(frames))
		}
		names = append(names, ev.Type)
		switch ev.Type {
		case "content_block_start":
			if open >= 0 || ev.Index != next {
				t.Errorf("block %d starts while %d is open, next is %d", ev.Index, open, next)
			}
			open = ev.Index
			next++
		case "content_block_delta":
			if ev.Index != open {
				t.Errorf("delta for %d while %d is open", ev.Index, open)
			}
		case "content_block_stop":
			if ev.Index != open {
				t.Errorf("stop of %d while %d is open", ev.Index, open)
			}
			open = -1
		case "message_delta":
			if open >= 0 {
				t.Errorf("message_delta while %d is open", open)
			}
		}
	}
	if n := len(names); n < 2 || names[n-1] == "message_stop" && names[n-2] != "message_delta" {
		t.Errorf("ends with %q", names)
	}
}

func encodeEvents(t *testing.T, x *llm.Exchange, events []llm.Event) (string, []llm.Frame) {
	t.Helper()
	enc := Messages.NewStreamEncoder(x)
	var b []byte
	for i := range events {
		b = enc.Encode(b, &events[i])
	}
	ex := &exchange{}
	ex.Response.Body = string(b)
	return string(b), ex.frames(t)
}

func call(id, name string) *llm.Part {
	return &llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: id, Name: name}}
}

func TestStreamEncoder_text(t *testing.T) {
	got, frames := encodeEvents(t, &llm.Exchange{Model: "mine", ID: "req_1"}, []llm.Event{
		{Kind: llm.EventStart, Start: &llm.Response{From: llm.OpenAI, Model: "gpt"}},
		{Kind: llm.EventPartStart, Part: &llm.Part{Kind: llm.KindText}},
		{Kind: llm.EventDelta, Text: "Hel\"lo"},
		{Kind: llm.EventPartStop},
		{Kind: llm.EventFinish, Stop: llm.Stop{Reason: llm.FinishStop, Raw: "stop"}},
		{Kind: llm.EventUsage, Usage: &llm.Usage{Input: 10, CacheRead: 4, Output: 3}},
		{Kind: llm.EventEnd},
		{Kind: llm.EventPing},
	})
	checkOrder(t, frames)
	want := `event: message_start
data: {"type":"message_start","message":{"id":"req_1","type":"message","role":"assistant","model":"mine","content":[],"stop_reason":null,"stop_sequence":null,"stop_details":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":0}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel\"lo"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null,"stop_details":null},"usage":{"input_tokens":6,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":3}}

event: message_stop
data: {"type":"message_stop"}

`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Parallel calls of OpenAI may interleave: what comes for another block waits, what comes for a closed one is not lost.
func TestStreamEncoder_interleaved(t *testing.T) {
	f := func(events []llm.Event, want ...string) {
		t.Helper()
		all := append([]llm.Event{{Kind: llm.EventStart, Start: &llm.Response{From: llm.OpenAI}}}, events...)
		all = append(all, llm.Event{Kind: llm.EventEnd})
		_, frames := encodeEvents(t, &llm.Exchange{ID: "r"}, all)
		checkOrder(t, frames)
		var got []string
		for _, p := range decodeFrames(t, frames).Choices[0].Parts {
			if p.Call != nil {
				got = append(got, p.Call.ID+" "+p.Call.Name+p.Call.Arguments)
			} else {
				got = append(got, string(p.Kind)+" "+p.Text+p.Signature)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	start := func(i int, p *llm.Part) llm.Event { return llm.Event{Kind: llm.EventPartStart, Index: i, Part: p} }
	delta := func(i int, s string) llm.Event { return llm.Event{Kind: llm.EventDelta, Index: i, Text: s} }
	stop := func(i int) llm.Event { return llm.Event{Kind: llm.EventPartStop, Index: i} }
	f([]llm.Event{
		start(0, call("a", "f")), stop(0), start(1, call("b", "g")), delta(1, `{"x":`), delta(0, `{"y"`), delta(1, `1}`), stop(1), delta(0, `:2}`),
	}, `a f{"y":2}`, `b g{"x":1}`)
	f([]llm.Event{start(0, call("a", "f")), stop(0), start(1, call("b", "g")), stop(1)}, "a f{}", "b g{}")
	f([]llm.Event{start(0, call("", "f")), delta(0, "{broken"), stop(0)}, "toolu_r_0 f{broken")
	text := &llm.Part{Kind: llm.KindText}
	f([]llm.Event{start(0, text), delta(0, "a"), stop(0), start(1, call("a", "f")), delta(1, "{"), delta(0, "late"), delta(1, "}"), stop(1)},
		"text a", "a f{}", "text late")
	f([]llm.Event{start(0, text), stop(0), start(1, &llm.Part{Kind: llm.KindImage, Media: &llm.Media{}}), stop(1), start(2, text), delta(2, "b")}, "text b")
	f([]llm.Event{start(0, &llm.Part{Kind: llm.KindReasoning, Text: "hm"}), stop(0), start(1, text), delta(1, "b"), stop(1),
		{Kind: llm.EventDelta, Signature: "s", SignedBy: llm.Gemini}}, "reasoning hm", "text b", "reasoning s")
	f([]llm.Event{{Kind: llm.EventPartStart, Choice: 1, Part: text}, {Kind: llm.EventDelta, Choice: 1, Text: "other"}})
}

// A call whose arguments are JSON, though no object, will not go on: the next one does not wait for the answer's end.
func TestStreamEncoder_oddArguments(t *testing.T) {
	enc := Messages.NewStreamEncoder(&llm.Exchange{})
	var b []byte
	for _, e := range []llm.Event{
		{Kind: llm.EventPartStart, Part: call("a", "f")}, {Kind: llm.EventDelta, Text: "[]"}, {Kind: llm.EventPartStop},
		{Kind: llm.EventPartStart, Index: 1, Part: call("b", "g")},
	} {
		b = enc.Encode(b, &e)
	}
	if !strings.Contains(string(b), `"id":"b"`) {
		t.Errorf("the second call waits: %s", b)
	}
}

func TestStreamEncoder_error(t *testing.T) {
	got, frames := encodeEvents(t, nil, []llm.Event{
		{Kind: llm.EventStart, Start: &llm.Response{}},
		{Kind: llm.EventError, Err: llm.Errorf(llm.ErrOverloaded, "busy")},
		{Kind: llm.EventEnd},
	})
	if !strings.HasSuffix(got, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n") {
		t.Error(got)
	}
	checkOrder(t, frames)
}

// A client gives back signatures of other providers, which must not be taken for Anthropic's.
func TestSignature_foreign(t *testing.T) {
	resp := &llm.Response{From: llm.Gemini, Choices: []llm.Choice{{Parts: []llm.Part{
		{Kind: llm.KindReasoning, Text: "hm", Signature: "AbC=", SignedBy: llm.Gemini},
		{Kind: llm.KindRedacted, Data: "enc", SignedBy: llm.Responses},
	}}}}
	got, err := Messages.DecodeResponse(Messages.EncodeResponse(nil, resp, &llm.Exchange{}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(resp.Choices[0].Parts, got.Choices[0].Parts); diff != "" {
		t.Error(diff)
	}
}

func sse(s string) []llm.Frame {
	var out []llm.Frame
	for line := range strings.Lines(s) {
		out = append(out, llm.Frame{Data: []byte(strings.TrimSpace(line))})
	}
	return out
}

func TestStreamDecoder_compatible(t *testing.T) {
	f := func(stream string, want *expected) {
		t.Helper()
		if diff := cmp.Diff(want, project(decodeFrames(t, sse(stream)))); diff != "" {
			t.Errorf("%s\n%s", stream, diff)
		}
	}
	want := &expected{Text: "hi", Finish: "end_turn", Blocks: []string{"text"}, Model: "m"}
	want.Usage.Input, want.Usage.Output = 7, 2
	// usage at the end only, no block start, OpenAI's end
	f(`{"type":"message_start","message":{"id":"1","type":"message","role":"assistant","content":[],"model":"m","stop_reason":null}}
{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}
{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":7,"output_tokens":2}}
[DONE]`, want)
	// input first, repeated as zero
	f(`{"type":"message_start","message":{"model":"m","usage":{"input_tokens":7,"output_tokens":0}}}
{"type":"content_block_start","index":5,"content_block":{"type":"text"}}
{"type":"content_block_delta","index":5,"delta":{"type":"text_delta","text":"hi"}}
{"type":"content_block_stop","index":5}
{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"output_tokens":2}}
{"type":"some_new_event"}
{"type":"message_stop"}`, want)
	// a call whose start brings its input, and a native block that grows
	call := &expected{Finish: "tool_use", Model: "m", Blocks: []string{"tool_use", "compaction"}, ToolCalls: []toolCall{{"a", "f", map[string]any{"x": 1.0}}}}
	f(`{"type":"message_start","message":{"model":"m"}}
{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{"x":1}}}
{"type":"content_block_start","index":1,"content_block":{"type":"compaction","content":null}}
{"type":"content_block_delta","index":1,"delta":{"type":"compaction_delta","content":"so far"}}
{"type":"message_delta","delta":{"stop_reason":"tool_use"}}
{"type":"message_stop"}`, call)
}

// A server may cut a character in two between its deltas: each half is a replacement character, not the end of the stream.
func TestStreamDecoder_halfCharacters(t *testing.T) {
	resp := decodeFrames(t, sse(`{"type":"message_start","message":{}}
{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}
{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\ud83d"}}
{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\ude00b"}}
{"type":"message_stop"}`))
	if got := resp.Choices[0].Parts[0].Text; got != "a\uFFFD\uFFFDb" {
		t.Errorf("%q", got)
	}
}

func TestStreamDecoder_native(t *testing.T) {
	resp := decodeFrames(t, sse(`{"type":"message_start","message":{}}
{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}
{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"q\":"}}
{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"1}"}}
{"type":"content_block_stop","index":0}
{"type":"content_block_start","index":1,"content_block":{"type":"noted","text":"a","citations":[]}}
{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"b"}}
{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"n":1}}}
{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"n":2}}}
{"type":"content_block_delta","index":1,"delta":{"type":"x_delta","level":3}}
{"type":"content_block_stop","index":1}
{"type":"message_stop"}`))
	var got []string
	for _, p := range resp.Choices[0].Parts {
		got = append(got, string(p.Raw))
	}
	want := []string{`{"type":"server_tool_use","id":"s","name":"web_search","input":{"q":1}}`,
		`{"type":"noted","text":"ab","citations":[{"n":1},{"n":2}],"level":3}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestStreamDecoder_broken(t *testing.T) {
	f := func(stream string, kind llm.ErrorKind, status int) {
		t.Helper()
		d, tap := Messages.NewStreamDecoder(), Messages.NewTap()
		var events []llm.Event
		var got *llm.Error
		var marks llm.Mark
		for _, fr := range sse(stream) {
			var err error
			if events, err = d.Decode(events, fr); err != nil {
				got = llm.AsError(err)
			}
			marks |= tap.Frame(fr)
		}
		if i := slices.IndexFunc(events, func(e llm.Event) bool { return e.Kind == llm.EventError }); i >= 0 {
			got = events[i].Err
		}
		if kind == "" {
			if _, complete := d.Finish(nil); complete || got != nil {
				t.Errorf("complete %v, %v", complete, got)
			}
			return
		}
		if got == nil || got.Kind != kind || got.HTTPStatus() != status || marks&(llm.MarkError|llm.MarkBad) == 0 {
			t.Errorf("%s: %+v, marks %b", stream, got, marks)
		}
	}
	const start = `{"type":"message_start","message":{"model":"m"}}` + "\n"
	f(start+`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, llm.ErrOverloaded, 529)
	f(start+`{"error":{"type":"rate_limit_error","message":"slow"}}`, llm.ErrRateLimit, 429)
	f(start+`{"type":"message_delta","delta":`, llm.ErrUpstream, 502)
	f(start+`not json`, llm.ErrUpstream, 502)
	f(start+`{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`, "", 0)
	f(start, "", 0)

	d := Messages.NewStreamDecoder()
	events, err := d.Decode(nil, llm.Frame{Type: "throttlingException", Data: []byte(`{"message":"Too many tokens"}`), Exception: true})
	if err != nil || events[0].Err.Kind != llm.ErrRateLimit || events[0].Err.Message != "Too many tokens" {
		t.Errorf("%+v %v", events, err)
	}
}
