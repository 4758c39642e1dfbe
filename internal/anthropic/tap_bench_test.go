package anthropic

import (
	"testing"

	"github.com/weir-gateway/weir/internal/llm"
)

var deltaFrame = llm.Frame{Type: "content_block_delta",
	Data: []byte(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" weather in Florence\nis \"40\""}     }`)}

// A spliced stream costs no allocation for a token, and neither does writing one once the buffer has its size.
func TestAllocs(t *testing.T) {
	tap := Messages.NewTap()
	if n := testing.AllocsPerRun(100, func() { tap.Frame(deltaFrame) }); n > 0 {
		t.Errorf("tap: %v allocations a token", n)
	}
	enc := Messages.NewStreamEncoder(&llm.Exchange{})
	buf := make([]byte, 0, 1<<12)
	enc.Encode(buf, &llm.Event{Kind: llm.EventPartStart, Part: &llm.Part{Kind: llm.KindText}})
	delta := llm.Event{Kind: llm.EventDelta, Text: " weather in Florence"}
	if n := testing.AllocsPerRun(100, func() { enc.Encode(buf[:0], &delta) }); n > 0 {
		t.Errorf("encoder: %v allocations a token", n)
	}
}

func TestTap_chars(t *testing.T) {
	tap := Messages.NewTap()
	if m := tap.Frame(deltaFrame); m != llm.MarkContent || tap.Seen().Chars != int64(len(" weather in Florence\nis \"40\"")) {
		t.Errorf("marks %b, %d bytes", m, tap.Seen().Chars)
	}
	escaped := Messages.NewTap()
	escaped.Frame(llm.Frame{Type: "content_block_delta", Data: []byte(`{"index":0,"delta":{"type":"text_delta","text":"\u00e9"}}`)})
	if n := escaped.Seen().Chars; n != 2 {
		t.Errorf("an escaped letter counts %d bytes", n)
	}
	f := func(typ, data string, want llm.Mark) {
		t.Helper()
		if got := Messages.NewTap().Frame(llm.Frame{Type: typ, Data: []byte(data)}); got != want {
			t.Errorf("%s %s: %b", typ, data, got)
		}
	}
	f("ping", `{"type": "ping"}`, 0)
	f("", `{"type": "message_stop"}`, llm.MarkEnd)
	f("chunk", `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json": "{"}}`, llm.MarkContent)
	f("chunk", `{"amazon-bedrock-invocationMetrics":{"inputTokenCount":1,"firstByteLatency":2,"invocationLatency":3},"type":"message_stop"}`, llm.MarkEnd)
	f("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}`, 0)
	f("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s"}}`, 0)
	f("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"s"}}`, llm.MarkContent)
	f("error", `{"type":"error","error":{"type":"api_error","message":"m"}}`, llm.MarkError)
	f("", `{"error":{"type":"api_error","message":"m"}}`, llm.MarkError)
	f("content_block_delta", `{"type":"content_block_delta","ind`, llm.MarkBad)
	f("message_start", `{"message":[]}`, llm.MarkBad)
}

func BenchmarkTap(b *testing.B) {
	tap := Messages.NewTap()
	b.ReportAllocs()
	for b.Loop() {
		tap.Frame(deltaFrame)
	}
}

func BenchmarkStreamDecoder(b *testing.B) {
	d := Messages.NewStreamDecoder()
	var events []llm.Event
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if events, err = d.Decode(events[:0], deltaFrame); err != nil {
			b.Fatal(err)
		}
	}
}
