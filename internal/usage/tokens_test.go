package usage

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/llm"
)

func TestEstimate(t *testing.T) {
	f := func(text string, want int64) {
		t.Helper()
		if got := Estimate("gpt-4o", text); got != want {
			t.Errorf("Estimate(%.20q) = %d, want %d", text, got, want)
		}
	}
	f("", 0)
	f("hello world", 2)
	f("Hello, world!", 4)
	f("\xff\xfe", 1)
	f("Привет, мир", 4)
	if n := Estimate("", strings.Repeat("hello world ", 100_000)); n < 190_000 || n > 210_000 {
		t.Errorf("a long text has %d tokens", n)
	}
	if n := EstimateChars(10); n != 3 {
		t.Errorf("10 bytes are %d", n)
	}
}

func TestEstimateRequest(t *testing.T) {
	text := func(s string) []llm.Part { return []llm.Part{{Kind: llm.KindText, Text: s}} }
	f := func(req *llm.Request, want int64) {
		t.Helper()
		if got := EstimateRequest(req); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	f(nil, 0)
	f(&llm.Request{}, 0)
	f(&llm.Request{Messages: []llm.Message{{Role: llm.RoleUser, Parts: text("hello world")}}}, 2+perMessage+perReply)
	f(&llm.Request{Messages: []llm.Message{{Parts: []llm.Part{{Kind: llm.KindImage, Media: &llm.Media{URL: "https://a/b.png"}}}}}},
		perImage+perMessage+perReply)
	f(&llm.Request{Messages: []llm.Message{{Parts: []llm.Part{{Kind: llm.KindToolResult, Result: &llm.ToolResult{Parts: text("hello world")}}}}}},
		2+perMessage+perReply)
	f(&llm.Request{Tools: []llm.Tool{{Name: "hello"}}}, 1+perTool+perReply)
	if n := EstimateResponse(&llm.Response{Choices: []llm.Choice{{Parts: text("hello world")}, {Parts: text("hello")}}}); n != 3 {
		t.Errorf("answer: %d", n)
	}
}
