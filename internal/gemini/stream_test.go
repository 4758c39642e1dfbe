package gemini

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

func chunk(s string) llm.Frame { return llm.Frame{Data: []byte(s)} }

func text(s string) string {
	return `{"candidates":[{"content":{"parts":[{"text":"` + s + `"}],"role":"model"},"index":0}],"modelVersion":"m","responseId":"r"}`
}

func encodeAll(x *llm.Exchange, events ...llm.Event) string {
	enc := Generate.NewStreamEncoder(x)
	var out []byte
	for i := range events {
		out = enc.Encode(out, &events[i])
	}
	return string(out)
}

func TestStreamEncoder_frames(t *testing.T) {
	t.Parallel()
	head := `"modelVersion":"shown","responseId":"chat-1"`
	events := []llm.Event{
		{Kind: llm.EventStart, Start: &llm.Response{From: llm.OpenAI, ID: "chat-1", Model: "gpt"}},
		{Kind: llm.EventPartStart, Part: &llm.Part{Kind: llm.KindText}},
		{Kind: llm.EventDelta, Text: "a<b"},
		{Kind: llm.EventPing},
		{Kind: llm.EventDelta, Text: "!"},
		{Kind: llm.EventPartStop},
		// Two parallel calls whose arguments are interleaved: each comes whole, none before it is.
		{Kind: llm.EventPartStart, Index: 1, Part: &llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "1", Name: "f"}}},
		{Kind: llm.EventDelta, Index: 1, Text: `{"x":`},
		{Kind: llm.EventPartStop, Index: 1},
		{Kind: llm.EventPartStart, Index: 2, Part: &llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "2", Name: "g"}}},
		{Kind: llm.EventDelta, Index: 2, Text: `{}`},
		{Kind: llm.EventPartStop, Index: 2},
		{Kind: llm.EventDelta, Index: 1, Text: `1}`},
		{Kind: llm.EventFinish, Stop: llm.Stop{Reason: llm.FinishToolCalls, Raw: "tool_calls"}},
		{Kind: llm.EventUsage, Usage: &llm.Usage{Input: 3, Output: 4, Reasoning: 1, Total: 7}},
		{Kind: llm.EventEnd},
		{Kind: llm.EventDelta, Text: "after the end"},
	}
	chunks := []string{
		`{"candidates":[{"content":{"parts":[{"text":"a<b"}],"role":"model"},"index":0}],` + head + `}`,
		`{"candidates":[{"content":{"parts":[{"text":"!"}],"role":"model"},"index":0}],` + head + `}`,
		`{"candidates":[{"content":{"parts":[{"functionCall":{"id":"2","name":"g","args":{}}}],"role":"model"},"index":0}],` + head + `}`,
		`{"candidates":[{"content":{"parts":[{"functionCall":{"id":"1","name":"f","args":{"x":1}}}],"role":"model"},"index":0}],` + head + `}`,
		`{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":3,"thoughtsTokenCount":1,"totalTokenCount":7,"promptTokensDetails":[{"modality":"TEXT","tokenCount":3}]},` + head + `}`,
	}
	if diff := cmp.Diff("data: "+strings.Join(chunks, "\n\ndata: ")+"\n\n", encodeAll(&llm.Exchange{Model: "shown"}, events...)); diff != "" {
		t.Errorf("events: %s", diff)
	}
	if diff := cmp.Diff("["+strings.Join(chunks, ",\n")+"]", encodeAll(&llm.Exchange{Model: "shown", Array: true}, events...)); diff != "" {
		t.Errorf("array: %s", diff)
	}
	broken := encodeAll(&llm.Exchange{Array: true}, events[0], events[1], events[2], llm.Event{Kind: llm.EventError, Err: llm.Errorf(llm.ErrTimeout, "late")}, llm.Event{Kind: llm.EventEnd})
	if !strings.HasSuffix(broken, ",\n{\"error\":{\"code\":408,\"message\":\"late\",\"status\":\"DEADLINE_EXCEEDED\"}}]") {
		t.Errorf("broken: %s", broken)
	}
}

func TestStreamEncoder_citations(t *testing.T) {
	t.Parallel()
	out := encodeAll(nil,
		llm.Event{Kind: llm.EventStart, Start: &llm.Response{From: llm.OpenAI, ID: "i", Model: "m"}},
		llm.Event{Kind: llm.EventPartStart, Part: &llm.Part{Kind: llm.KindText}},
		llm.Event{Kind: llm.EventDelta, Text: "é is"},
		llm.Event{Kind: llm.EventDelta, Citations: []llm.Citation{{Kind: "url", URL: "https://e.org", Title: "E", Start: 2, End: 4}}},
		llm.Event{Kind: llm.EventFinish, Stop: llm.Stop{Reason: llm.FinishStop}}, llm.Event{Kind: llm.EventEnd})
	if want := `"groundingSupports":[{"segment":{"startIndex":3,"endIndex":5,"text":"is"},"groundingChunkIndices":[0]}]`; !strings.Contains(out, want) {
		t.Errorf("%s", out)
	}
	resp, _, _ := accumulate(t, frames([]byte(out)))
	if diff := cmp.Diff([]llm.Citation{{Kind: "url", URL: "https://e.org", Title: "E", Start: 2, End: 4, From: llm.Gemini}}, resp.Choices[0].Parts[0].Citations); diff != "" {
		t.Errorf("read back: %s", diff)
	}
}

func TestStreamDecoder_ends(t *testing.T) {
	t.Parallel()
	f := func(complete bool, reason llm.FinishReason, in ...string) {
		t.Helper()
		var fs []llm.Frame
		for _, s := range in {
			fs = append(fs, chunk(s))
		}
		resp, _, got := accumulate(t, fs)
		if got != complete {
			t.Errorf("%s: complete %v", in, got)
		}
		if len(resp.Choices) > 0 && resp.Choices[0].Reason != reason {
			t.Errorf("%s: %q", in, resp.Choices[0].Reason)
		}
	}
	stop := `{"candidates":[{"finishReason":"STOP","index":0}]}`
	f(false, "")
	f(false, "", text("a"))
	f(true, llm.FinishStop, text("a"), stop)
	f(true, llm.FinishStop, "["+text("a"), ",\r\n"+stop+"\r\n]")
	f(true, llm.FinishFilter, `{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":3}}`)
	f(true, llm.FinishFilter, text("a"), `{"candidates":[{"finishReason":"SAFETY","index":0,"safetyRatings":[]}]}`)
	f(true, llm.FinishToolCalls, `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"index":0}]}`, stop)
	f(false, llm.FinishStop, text("a"), stop, `{"candidates":[{"content":{"parts":[{"text":"b"}]},"index":1}]}`)
}

func TestStreamDecoder_bad(t *testing.T) {
	t.Parallel()
	f := func(s string) {
		t.Helper()
		_, err := Generate.NewStreamDecoder().Decode(nil, chunk(s))
		if err == nil || llm.AsError(err).Kind != llm.ErrUpstream {
			t.Errorf("%s: %v", s, err)
		}
	}
	f(`{"candidates":`)
	f(`<html>`)
	f(`{"candidates":[{"index":-1}]}`)
	f(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":5}}]}}]}`)
	f(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","willContinue":true,"partialArgs":[{"jsonPath":"$.a[999999999]","stringValue":"x"}]}}]}}]}`)
	f(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","willContinue":true,"partialArgs":[{"jsonPath":"a","stringValue":"x"}]}}]}}]}`)
	f(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","willContinue":true,"partialArgs":[{"jsonPath":"$.a","stringValue":"x"},{"jsonPath":"$.a.b","stringValue":"x"}]}}]}}]}`)
}

func TestPartialArguments(t *testing.T) {
	t.Parallel()
	yes, hello, world := true, "hel", "lo"
	tree := &argTree{}
	for _, a := range []partialArg{{JSONPath: "$.s", StringValue: &hello, WillContinue: true}, {JSONPath: "$.s", StringValue: &world},
		{JSONPath: "$['a.b'].c[0]", NumberValue: llm.Raw("1e3")}, {JSONPath: `$["a.b"].c[1].d`, BoolValue: &yes}, {JSONPath: "$.n"}} {
		if err := tree.add(&a); err != nil {
			t.Fatalf("%s: %v", a.JSONPath, err)
		}
	}
	if got, want := string(tree.appendTo(nil)), `{"s":"hello","a.b":{"c":[1e3,{"d":true}]},"n":null}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, bad := range []string{"", "$", "$.", "$[", "$[-1]", "$['x", "$x", "$.s.t", "$" + strings.Repeat(".a", 200)} {
		if tree.add(&partialArg{JSONPath: bad, StringValue: &hello}) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestTap_marks(t *testing.T) {
	t.Parallel()
	tp := Generate.NewTap()
	f := func(s string, want llm.Mark) {
		t.Helper()
		if got := tp.Frame(chunk(s)); got != want {
			t.Errorf("%s: mark %b, want %b", s, got, want)
		}
	}
	f(text("one \\\"finishReason\\\" two"), llm.MarkContent)
	f(`{"candidates":[{"content":{"parts":[{"text":"three"}]}}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":6},"modelVersion":"m"}`, llm.MarkContent)
	f(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"finishReason":"STOP"}}}]}}],"usageMetadata":{"trafficType":"ON_DEMAND"}}`, llm.MarkContent)
	f(`{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2,"thoughtsTokenCount":3,"totalTokenCount":10}}`, llm.MarkEnd)
	f(``, 0)
	f(`nonsense`, llm.MarkBad)
	seen := tp.Seen()
	want := &llm.Seen{Model: "m", ID: "r", Usage: &llm.Usage{Input: 5, Output: 5, Total: 10, Reasoning: 3, ReasoningKnown: true},
		Finish: llm.FinishToolCalls, ToolCalls: 1, Tools: []llm.ToolUse{{Name: "f", Calls: 1}}, Chars: int64(len(`one \"finishReason\" two`) + len("three") + len(`{"finishReason":"STOP"}`))}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	tp = Generate.NewTap()
	f(`{"promptFeedback":{"blockReason":"SAFETY"}}`, llm.MarkEnd)
	if tp.Seen().Finish != llm.FinishFilter {
		t.Errorf("%+v", tp.Seen())
	}
}

// TestTap_allocations: watching a chunk in the middle of a stream costs no memory.
func TestTap_allocations(t *testing.T) {
	tp := Generate.NewTap()
	fr := chunk(`{"candidates":[{"content":{"parts":[{"text":"three"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":6},"modelVersion":"m","responseId":"r"}`)
	tp.Frame(fr)
	if n := testing.AllocsPerRun(100, func() { tp.Frame(fr) }); n > 0 {
		t.Errorf("%v allocations for a chunk", n)
	}
}

func BenchmarkTap(b *testing.B) {
	tp := Generate.NewTap()
	fr := chunk(`{"candidates":[{"content":{"parts":[{"text":"three"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":6},"modelVersion":"m","responseId":"r"}`)
	b.ReportAllocs()
	for b.Loop() {
		tp.Frame(fr)
	}
}
