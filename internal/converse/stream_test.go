package converse

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// lines are frames as an event's name and payload.
func lines(t *testing.T, b []byte) []string {
	t.Helper()
	var out []string
	frames := wire.NewEventStreamReader(bytes.NewReader(b), 0)
	for f, err := frames.Next(); err == nil; f, err = frames.Next() {
		out = append(out, f.Type+" "+string(f.Data))
	}
	return out
}

func frame(line string) llm.Frame {
	name, data, _ := strings.Cut(line, " ")
	return llm.Frame{Type: name, Data: []byte(data), Exception: strings.HasSuffix(name, "Exception")}
}

// TestEncodeStream shows the events that a client sees, with parts that overlap and a usage that never comes.
func TestEncodeStream(t *testing.T) {
	events := []llm.Event{
		{Kind: llm.EventStart, Start: &llm.Response{From: llm.OpenAI}},
		{Kind: llm.EventPartStart, Index: 0, Part: &llm.Part{Kind: llm.KindText}},
		{Kind: llm.EventPartStop, Index: 0},
		{Kind: llm.EventPartStart, Index: 1, Part: &llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "a", Name: "f"}}},
		{Kind: llm.EventDelta, Index: 1, Text: `{"x":`},
		{Kind: llm.EventPartStop, Index: 1},
		{Kind: llm.EventPartStart, Index: 2, Part: &llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{Name: "g"}}},
		{Kind: llm.EventDelta, Index: 2, Text: `{}`},
		{Kind: llm.EventPing},
		{Kind: llm.EventDelta, Index: 1, Text: `1}`},
		{Kind: llm.EventPartStop, Index: 2},
		{Kind: llm.EventDelta, Index: 0, Text: "late"},
		{Kind: llm.EventFinish, Stop: llm.Stop{Reason: llm.FinishStop}},
		{Kind: llm.EventEnd},
		{Kind: llm.EventPing},
	}
	enc := Converse.NewStreamEncoder(exchange())
	var b []byte
	for i := range events {
		b = enc.Encode(b, &events[i])
	}
	want := []string{
		`messageStart {"role":"assistant"}`,
		`contentBlockStart {"start":{"toolUse":{"toolUseId":"a","name":"f"}},"contentBlockIndex":0}`,
		`contentBlockDelta {"delta":{"toolUse":{"input":"{\"x\":"}},"contentBlockIndex":0}`,
		`contentBlockDelta {"delta":{"toolUse":{"input":"1}"}},"contentBlockIndex":0}`,
		`contentBlockStop {"contentBlockIndex":0}`,
		`contentBlockStart {"start":{"toolUse":{"toolUseId":"tooluse_call_1_1","name":"g"}},"contentBlockIndex":1}`,
		`contentBlockDelta {"delta":{"toolUse":{"input":"{}"}},"contentBlockIndex":1}`,
		`contentBlockStop {"contentBlockIndex":1}`,
		`contentBlockDelta {"delta":{"text":"late"},"contentBlockIndex":2}`,
		`contentBlockStop {"contentBlockIndex":2}`,
		`messageStop {"stopReason":"tool_use"}`,
		`metadata {"usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0},"metrics":{"latencyMs":1500}}`,
	}
	if diff := cmp.Diff(want, lines(t, b)); diff != "" {
		t.Error(diff)
	}
	if err := loadModel(t).stream(b); err != nil {
		t.Error(err)
	}
}

// TestDecodeStream reads streams that are not as they should be.
func TestDecodeStream(t *testing.T) {
	f := func(name, stream, want string, complete bool) {
		t.Helper()
		dec, tap := Converse.NewStreamDecoder(), Converse.NewTap()
		var got []string
		var ended, failed bool
		note := func(events []llm.Event) {
			for _, e := range events {
				switch e.Kind {
				case llm.EventStart:
					got = append(got, "start")
				case llm.EventPartStart:
					got = append(got, string(e.Part.Kind)+string(e.Part.Raw))
				case llm.EventDelta:
					got = append(got, "+"+e.Text)
				case llm.EventPartStop:
					got = append(got, "/")
				case llm.EventFinish:
					got = append(got, string(e.Stop.Reason))
				case llm.EventUsage:
					got = append(got, "usage")
				case llm.EventError:
					got = append(got, string(e.Err.Kind))
				case llm.EventEnd:
					got = append(got, "end")
				}
			}
		}
		for line := range strings.SplitSeq(stream, "\n") {
			mark := tap.Frame(frame(line))
			ended, failed = ended || mark&llm.MarkEnd != 0, failed || mark&(llm.MarkBad|llm.MarkError) != 0
			events, err := dec.Decode(nil, frame(line))
			note(events)
			if err != nil {
				got = append(got, string(llm.AsError(err).Kind))
				break
			}
		}
		events, whole := dec.Finish(nil)
		note(events)
		if s := strings.Join(got, " "); s != want || whole != complete {
			t.Errorf("%s: got %s, complete %t\nwant %s", name, s, whole, want)
		}
		if told := strings.Contains(stream, "metadata"); ended != (complete && told) {
			t.Errorf("%s: the tap saw the end: %t", name, ended)
		}
		if wrong := strings.Contains(want, "upstream") || strings.Contains(want, "rate_limit") || strings.Contains(want, "unavailable"); failed != wrong {
			t.Errorf("%s: the tap saw a fault: %t", name, failed)
		}
	}
	const usage = `metadata {"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}`
	f("no start, no stops", `contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"a"}}
contentBlockDelta {"contentBlockIndex":1,"delta":{"text":"b"}}
messageStop {"stopReason":"end_turn"}
`+usage, "start text +a text +b / / stop usage end", true)
	f("usage first", usage+"\n"+`messageStop {"stopReason":"max_tokens"}`, "start length usage end", true)
	f("no usage", `messageStart {"role":"assistant"}
messageStop {"stopReason":"tool_use"}`, "start tool_calls end", true)
	f("short", `messageStart {"role":"assistant"}
contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"a"}}`, "start text +a", false)
	f("usage alone", usage, "", false)
	f("thrown", `messageStart {"role":"assistant"}
throttlingException {"message":"slow"}
messageStop {"stopReason":"end_turn"}`, "start rate_limit", false)
	f("thrown at once", `serviceUnavailableException {"message":"gone"}`, "unavailable", false)
	f("malformed", `messageStart {"role":"assistant"}
messageStop {"stopReason":`, "start upstream", false)
	f("news", `messageStart {"role":"assistant"}
somethingNew {"a":1}
messageStop {"stopReason":"end_turn"}
`+usage, "start stop usage end", true)
	f("no arguments", `contentBlockStart {"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"a","name":"f"}}}
contentBlockDelta {"contentBlockIndex":0,"delta":{"toolUse":{"input":""}}}
contentBlockStop {"contentBlockIndex":0}
messageStop {"stopReason":"tool_use"}
`+usage, "start tool_call +{} / tool_calls usage end", true)
	f("answer by a tool", `contentBlockStart {"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"a","name":"weir_structured_answer"}}}
contentBlockDelta {"contentBlockIndex":0,"delta":{"toolUse":{"input":"{\"n\":1}"}}}
contentBlockStop {"contentBlockIndex":0}
messageStop {"stopReason":"tool_use"}
`+usage, `start text +{"n":1} / stop usage end`, true)
	f("the provider's own tool", `contentBlockStart {"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"a","name":"web","type":"server_tool_use"}}}
contentBlockDelta {"contentBlockIndex":0,"delta":{"toolUse":{"input":"{\"q\":1}"}}}
contentBlockStop {"contentBlockIndex":0}
contentBlockStart {"contentBlockIndex":1,"start":{"toolResult":{"toolUseId":"a","type":"r"}}}
contentBlockDelta {"contentBlockIndex":1,"delta":{"toolResult":[{"text":"x"}]}}
contentBlockStop {"contentBlockIndex":1}
messageStop {"stopReason":"end_turn"}
`+usage, `start native{"toolUse":{"toolUseId":"a","name":"web","type":"server_tool_use","input":{"q":1}}} / `+
		`native{"toolResult":{"toolUseId":"a","type":"r","content":[{"text":"x"}]}} / stop usage end`, true)
	f("half characters", `contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"a\ud83d"}}
messageStop {"stopReason":"end_turn"}
`+usage, "start text +a\uFFFD / stop usage end", true)
	f("a picture", `contentBlockStart {"contentBlockIndex":0,"start":{"image":{"format":"png"}}}
contentBlockDelta {"contentBlockIndex":0,"delta":{"image":{"source":{"bytes":"AAAA"}}}}
contentBlockStop {"contentBlockIndex":0}
messageStop {"stopReason":"end_turn"}
`+usage, "start image / stop usage end", true)
}

// TestDecodeResponse_answerTool turns the call that stands for a structured answer back into text.
func TestDecodeResponse_answerTool(t *testing.T) {
	resp, err := Converse.DecodeResponse([]byte(`{"output":{"message":{"role":"assistant","content":[
		{"toolUse":{"toolUseId":"a","name":"weir_structured_answer","input":{"n": 1}}}]}},"stopReason":"tool_use"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := llm.Choice{Parts: []llm.Part{{Kind: llm.KindText, Text: `{"n":1}`}}, Stop: llm.Stop{Reason: llm.FinishStop, Raw: "end_turn"}}
	if diff := cmp.Diff(want, resp.Choices[0]); diff != "" {
		t.Error(diff)
	}
}

// TestTap_content checks that the clock of the first token stops at content, not at what stands around it.
func TestTap_content(t *testing.T) {
	f := func(line string, want llm.Mark, chars int64) {
		t.Helper()
		tap := Converse.NewTap()
		if got := tap.Frame(frame(line)); got != want || tap.Seen().Chars != chars {
			t.Errorf("%s: mark %d, %d bytes", line, got, tap.Seen().Chars)
		}
	}
	f(`messageStart {"role":"assistant","p":"abc"}`, 0, 0)
	f(`contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"a\"b"},"p":"abcdef"}`, llm.MarkContent, 3)
	f(`contentBlockDelta {"contentBlockIndex":0,"delta":{"text":"\u00e9"}}`, llm.MarkContent, 2)
	f(`contentBlockDelta {"contentBlockIndex":0,"delta":{"text":""},"p":"abcdef"}`, 0, 0)
	f(`contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}}`, llm.MarkContent, 2)
	f(`contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"x"}}}`, 0, 0)
	f(`contentBlockDelta {"contentBlockIndex":0,"delta":{"toolUse":{"input":"{"}}}`, llm.MarkContent, 1)
	f(`contentBlockDelta {"contentBlockIndex":0,"delta":{"citation":{"sourceContent":[{"text":"x"}]}}}`, 0, 0)
	f(`contentBlockStart {"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"a","name":"f"}}}`, llm.MarkContent, 0)
	f(`contentBlockDelta nonsense`, llm.MarkBad, 0)
	f(`metadata {"usage":7}`, llm.MarkBad, 0)
}
