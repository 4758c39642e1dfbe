package converse

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

const sonnet = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"

func said(role llm.Role, parts ...llm.Part) llm.Message { return llm.Message{Role: role, Parts: parts} }

func line(s string) llm.Part { return llm.Part{Kind: llm.KindText, Text: s} }

// Only the user shows things: what another dialect's assistant showed is left out by name, what it spoke is kept as its words.
func TestEncodeRequest_assistantMedia(t *testing.T) {
	f := func(p llm.Part, want string, dropped []string) {
		t.Helper()
		req := &llm.Request{From: llm.OpenAI, Messages: []llm.Message{
			said(llm.RoleUser, line("draw")), said(llm.RoleAssistant, p, line("here")), said(llm.RoleUser, line("thanks")),
		}}
		body, got, err := Converse.EncodeRequest(nil, req, &llm.Target{Model: sonnet})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(dropped, got); diff != "" {
			t.Error(diff)
		}
		if !strings.Contains(string(body), `{"role":"assistant","content":[`+want+`]}`) {
			t.Errorf("%s lacks %s", body, want)
		}
	}
	image := &llm.Media{MIME: "image/png", Data: "iVBORw0KGgo="}
	f(llm.Part{Kind: llm.KindImage, Media: image}, `{"text":"here"}`, []string{"messages.image_url"})
	f(llm.Part{Kind: llm.KindImage, Media: &llm.Media{URL: "https://example.com/a.png"}}, `{"text":"here"}`, []string{"messages.image_url"})
	f(llm.Part{Kind: llm.KindDocument, Media: &llm.Media{MIME: "text/plain", Text: "x"}}, `{"text":"here"}`, []string{"messages.file"})
	f(llm.Part{Kind: llm.KindAudio, Media: &llm.Media{ID: "audio_1"}}, `{"text":"here"}`, []string{"messages.input_audio"})
	f(llm.Part{Kind: llm.KindAudio, Media: &llm.Media{MIME: "audio/wav", Data: "UklGRg==", Transcript: "la la"}}, `{"text":"la la"},{"text":"here"}`, nil)

	own := &llm.Request{From: llm.Converse, Messages: []llm.Message{said(llm.RoleUser, line("draw")), said(llm.RoleAssistant, llm.Part{Kind: llm.KindImage, Media: image})}}
	body, got, err := Converse.EncodeRequest(nil, own, &llm.Target{Model: "some.model"})
	if err != nil || len(got) > 0 || !strings.Contains(string(body), `"assistant","content":[{"image":`) {
		t.Errorf("a Converse client is taken at its word: %s, dropped %v, error %v", body, got, err)
	}
}

// A call and its result keep one id, in the letters that the model takes.
func TestEncodeRequest_callIDs(t *testing.T) {
	f := func(model, id, want string) {
		t.Helper()
		req := &llm.Request{From: llm.OpenAI, Tools: []llm.Tool{{Name: "f"}}, Messages: []llm.Message{
			said(llm.RoleUser, line("go")),
			said(llm.RoleAssistant, llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: id, Name: "f"}}),
			said(llm.RoleTool, llm.Part{Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: id, Parts: []llm.Part{line("1")}}}),
		}}
		body, _, err := Converse.EncodeRequest(nil, req, &llm.Target{Model: model})
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(body), `"toolUseId":"`+want+`"`); n != 2 {
			t.Errorf("%d of 2 ids are %s in %s", n, want, body)
		}
	}
	f(sonnet, "call_1-A", "call_1-A")
	f(sonnet, "functions.f:0", "functions_f_0_d6bdd4de")
	f("moonshot.kimi-k2-thinking", "functions.f:0", "functions.f:0")
	f("moonshot.kimi-k2-thinking", "é", "__4a99557e")
}

// A thinking budget is part of maxTokens: the limit leaves room beyond it, and there is one even if the client set none.
func TestEncodeRequest_thinkingBudget(t *testing.T) {
	f := func(limit *int64, maxOutput int64, effort, want string) {
		t.Helper()
		req := &llm.Request{From: llm.OpenAI, MaxTokens: limit, Reasoning: &llm.Reasoning{Effort: effort}, Messages: []llm.Message{said(llm.RoleUser, line("why"))}}
		body, _, err := Converse.EncodeRequest(nil, req, &llm.Target{Model: sonnet, MaxOutput: maxOutput})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(body), want) {
			t.Errorf("%s lacks %s", body, want)
		}
	}
	f(nil, 0, "high", `"inferenceConfig":{"maxTokens":20480},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":16384}}`)
	f(nil, 64000, "low", `"maxTokens":6144}`)
	f(nil, 8192, "high", `"maxTokens":8192},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":4096}}`)
	f(llm.Ptr(int64(100)), 64000, "low", `"maxTokens":2148}`)
	f(llm.Ptr(int64(9000)), 64000, "low", `"maxTokens":9000}`)
	f(nil, 64000, "none", `"messages":[{"role":"user","content":[{"text":"why"}]}]}`)
}
