package anthropic

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

func TestDecodeRequest_namesTheField(t *testing.T) {
	f := func(body, param string) {
		t.Helper()
		_, err := Messages.DecodeRequest([]byte(body))
		if err == nil {
			t.Fatalf("%s was read", body)
		}
		e := llm.AsError(err)
		if e.Kind != llm.ErrInvalid || e.Param != param || e.Message == "" || e.HTTPStatus() != 400 {
			t.Errorf("%s\n%q: %s (%s)", body, e.Param, e.Message, e.Kind)
		}
	}
	content := func(blocks string) string {
		return `{"max_tokens":1,"messages":[{"role":"user","content":"a"},{"role":"user","content":[` + blocks + `]}]}`
	}
	f(``, "")
	f(`{"model":`, "model")
	f(`[]`, "")
	f(`{"max_tokens":1}`, "messages")
	f(`{"max_tokens":1,"messages":[]}`, "messages")
	f(`{"max_tokens":1,"messages":"hi"}`, "messages")
	f(`{"messages":[{"role":"user","content":"hi"}]}`, "max_tokens")
	f(`{"max_tokens":-1,"messages":[{"role":"user","content":"hi"}]}`, "max_tokens")
	f(`{"max_tokens":"1","messages":[{"role":"user","content":"hi"}]}`, "max_tokens")
	f(`{"max_tokens":1,"temperature":"hot","messages":[{"role":"user","content":"hi"}]}`, "temperature")
	f(`{"max_tokens":1,"messages":[{"role":"tool","content":"hi"}]}`, "messages.0.role")
	f(`{"max_tokens":1,"messages":[{"content":"hi"}]}`, "messages.0.role")
	f(`{"max_tokens":1,"messages":[{"role":7,"content":"hi"}]}`, "messages.0.role")
	f(`{"max_tokens":1,"messages":[{"role":"user"}]}`, "messages.0.content")
	f(`{"max_tokens":1,"messages":[{"role":"user","content":5}]}`, "messages.0.content")
	f(content(`5`), "messages.1.content.0")
	f(content(`{"type":"text","text":"a"},{"text":"hi"}`), "messages.1.content.1.type")
	f(content(`{"type":"text"}`), "messages.1.content.0.text")
	f(content(`{"type":"text","text":{}}`), "messages.1.content.0.text")
	f(content(`{"type":"image"}`), "messages.1.content.0.source")
	f(content(`{"type":"image","source":{"type":"blob"}}`), "messages.1.content.0.source.type")
	f(content(`{"type":"image","source":{"type":"base64","media_type":"image/png"}}`), "messages.1.content.0.source.data")
	f(content(`{"type":"tool_use","id":"a","name":"f","input":"{}"}`), "messages.1.content.0.input")
	f(content(`{"type":"tool_result","content":"x"}`), "messages.1.content.0.tool_use_id")
	f(content(`{"type":"tool_result","tool_use_id":"a","content":[{"type":"text"}]}`), "messages.1.content.0.content.0.text")
	f(`{"max_tokens":1,"system":[{"type":"text"}],"messages":[{"role":"user","content":"hi"}]}`, "system.0.text")
	f(`{"max_tokens":1,"messages":[{"role":"user","content":"hi"}],"tools":[{"name":"f"}]}`, "tools.0.input_schema")
	f(`{"max_tokens":1,"messages":[{"role":"user","content":"hi"}],"tool_choice":{"type":"required"}}`, "tool_choice.type")
	f(`{"max_tokens":1,"messages":[{"role":"user","content":"hi"}],"thinking":{"type":"enabled"}}`, "thinking.budget_tokens")
	f(`{"max_tokens":1,"messages":[{"role":"user","content":"hi"}],"output_config":{"format":{"type":"json"}}}`, "output_config.format.type")
	f(`{"max_tokens":1,"messages":[{"role":"user","content":"hi"}],"metadata":{"user_id":5}}`, "metadata.user_id")
}

// What another dialect's request becomes.
func TestEncodeRequest_foreign(t *testing.T) {
	f := func(req *llm.Request, target llm.Target, want string, dropped ...string) {
		t.Helper()
		req.From = llm.OpenAI
		if req.Messages == nil {
			req.Messages = []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.KindText, Text: "hi"}}}}
		}
		body, got, err := Messages.EncodeRequest(nil, req, &target)
		if err != nil {
			t.Fatal(err)
		}
		want = strings.ReplaceAll(want, "$HI", `"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]`)
		if string(body) != want {
			t.Errorf("got  %s\nwant %s", body, want)
		}
		if diff := cmp.Diff(dropped, got); diff != "" {
			t.Errorf("dropped: %s", diff)
		}
	}
	old, sonnet := llm.Target{Model: "claude-sonnet-4-20250514", MaxOutput: 64000}, llm.Target{Model: "claude-sonnet-4-6"}
	newest := llm.Target{Model: "us.anthropic.claude-opus-4-7-v1:0"}
	tools := []llm.Tool{{Name: "f"}, {Name: "g", Schema: llm.Raw(`{"properties":{}}`), Strict: llm.Ptr(true)}}

	f(&llm.Request{}, old, `{"model":"claude-sonnet-4-20250514","max_tokens":64000,$HI}`)
	f(&llm.Request{}, llm.Target{}, `{"max_tokens":4096,$HI}`)
	f(&llm.Request{MaxTokens: llm.Ptr(int64(100000)), Stream: true, User: "u"}, old,
		`{"model":"claude-sonnet-4-20250514","max_tokens":64000,$HI,"metadata":{"user_id":"u"},"stream":true}`)

	// sampling
	f(&llm.Request{Temperature: llm.Ptr(1.7), Seed: llm.Ptr(int64(1)), N: llm.Ptr(int64(2)), Stop: []string{"\n", "END"}, Logprobs: llm.Ptr(false),
		PresencePenalty: llm.Ptr(0.5), FrequencyPenalty: llm.Ptr(0.0), Extra: map[string]llm.Raw{"x": llm.Raw("1")}}, llm.Target{},
		`{"max_tokens":4096,$HI,"stop_sequences":["END"],"temperature":1}`, "stop", "temperature", "x", "presence_penalty", "seed", "n")
	f(&llm.Request{Temperature: llm.Ptr(0.5), TopP: llm.Ptr(0.9)}, sonnet, `{"model":"claude-sonnet-4-6","max_tokens":4096,$HI,"temperature":0.5}`, "top_p")
	f(&llm.Request{Temperature: llm.Ptr(0.5), TopP: llm.Ptr(1.0), TopK: llm.Ptr(int64(3))}, newest,
		`{"model":"us.anthropic.claude-opus-4-7-v1:0","max_tokens":4096,$HI}`, "temperature", "top_k")
	f(&llm.Request{ServiceTier: "default"}, llm.Target{}, `{"max_tokens":4096,$HI,"service_tier":"standard_only"}`)
	f(&llm.Request{ServiceTier: "flex"}, llm.Target{}, `{"max_tokens":4096,$HI}`, "service_tier")

	// reasoning
	f(&llm.Request{Reasoning: &llm.Reasoning{Effort: "low"}, MaxTokens: llm.Ptr(int64(1000)), Temperature: llm.Ptr(0.0), TopK: llm.Ptr(int64(5))}, old,
		`{"model":"claude-sonnet-4-20250514","max_tokens":3048,$HI,"thinking":{"type":"enabled","budget_tokens":2048}}`, "temperature", "top_k")
	f(&llm.Request{Reasoning: &llm.Reasoning{Budget: llm.Ptr(int64(100000))}, MaxTokens: llm.Ptr(int64(1000))}, old,
		`{"model":"claude-sonnet-4-20250514","max_tokens":64000,$HI,"thinking":{"type":"enabled","budget_tokens":63000}}`)
	f(&llm.Request{Reasoning: &llm.Reasoning{Effort: "minimal"}}, sonnet,
		`{"model":"claude-sonnet-4-6","max_tokens":4096,$HI,"thinking":{"type":"adaptive"},"output_config":{"effort":"low"}}`)
	f(&llm.Request{Reasoning: &llm.Reasoning{Effort: "xhigh"}}, newest,
		`{"model":"us.anthropic.claude-opus-4-7-v1:0","max_tokens":4096,$HI,"thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"xhigh"}}`)
	f(&llm.Request{Reasoning: &llm.Reasoning{Effort: "none"}}, old, `{"model":"claude-sonnet-4-20250514","max_tokens":64000,$HI}`)
	f(&llm.Request{Reasoning: &llm.Reasoning{Effort: "none"}}, newest,
		`{"model":"us.anthropic.claude-opus-4-7-v1:0","max_tokens":4096,$HI,"thinking":{"type":"disabled"}}`)
	f(&llm.Request{Reasoning: &llm.Reasoning{Effort: "high"}}, llm.Target{Model: "claude-3-5-sonnet-20241022"},
		`{"model":"claude-3-5-sonnet-20241022","max_tokens":4096,$HI}`, "reasoning_effort")

	// tools
	const f1 = `{"name":"f","input_schema":{"type":"object","properties":{}}}`
	f(&llm.Request{Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ChoiceRequired}, ParallelTools: llm.Ptr(false)}, llm.Target{Model: "claude-opus-4-5"},
		`{"model":"claude-opus-4-5","max_tokens":4096,$HI,"tools":[`+f1+`,{"name":"g","input_schema":{"type":"object","properties":{},"additionalProperties":false},"strict":true}],"tool_choice":{"type":"any","disable_parallel_tool_use":true}}`)
	f(&llm.Request{Tools: tools[:1], ParallelTools: llm.Ptr(true)}, llm.Target{}, `{"max_tokens":4096,$HI,"tools":[`+f1+`]}`)
	f(&llm.Request{Tools: tools[:1], ParallelTools: llm.Ptr(false)}, llm.Target{},
		`{"max_tokens":4096,$HI,"tools":[`+f1+`],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}`)
	f(&llm.Request{Tools: tools, ToolChoice: &llm.ToolChoice{Mode: llm.ChoiceAllowed, Name: "required", Allowed: []string{"f"}}}, llm.Target{},
		`{"max_tokens":4096,$HI,"tools":[`+f1+`],"tool_choice":{"type":"any"}}`)
	f(&llm.Request{Tools: tools[:1], ToolChoice: &llm.ToolChoice{Mode: llm.ChoiceTool, Name: "f"}, Reasoning: &llm.Reasoning{Effort: "low"}}, sonnet,
		`{"model":"claude-sonnet-4-6","max_tokens":4096,$HI,"tools":[`+f1+`],"tool_choice":{"type":"auto"},"thinking":{"type":"adaptive"},"output_config":{"effort":"low"}}`, "tool_choice")
	f(&llm.Request{Tools: []llm.Tool{{Type: "web_search", Raw: llm.Raw(`{}`)}}, ToolChoice: &llm.ToolChoice{Mode: llm.ChoiceRequired}}, llm.Target{},
		`{"max_tokens":4096,$HI}`, "tools.web_search", "tool_choice")

	// the form of the answer
	f(&llm.Request{Format: &llm.Format{Type: "json_object"}}, llm.Target{}, `{"max_tokens":4096,$HI}`, "response_format")
	f(&llm.Request{Format: &llm.Format{Type: "json_schema", Name: "n", Schema: llm.Raw(`{"type":"object","properties":{"z":{"type":"integer","minimum":1},"a":{"type":"array","items":{"type":"object"}}}}`)}}, llm.Target{},
		`{"max_tokens":4096,$HI,"output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"z":{"type":"integer","description":"{\"minimum\":1}"},"a":{"type":"array","items":{"type":"object","additionalProperties":false}}},"additionalProperties":false}}}}`)
}

func TestEncodeRequest_conversation(t *testing.T) {
	f := func(messages []llm.Message, want string, dropped ...string) {
		t.Helper()
		req := &llm.Request{From: llm.OpenAI, Messages: messages}
		body, got, err := Messages.EncodeRequest(nil, req, &llm.Target{})
		if err != nil {
			t.Fatal(err)
		}
		want = `{"max_tokens":4096,` + strings.ReplaceAll(want, "$ID", toolID("call|1")) + `}`
		if string(body) != want {
			t.Errorf("got  %s\nwant %s", body, want)
		}
		if diff := cmp.Diff(dropped, got); diff != "" {
			t.Errorf("dropped: %s", diff)
		}
	}
	say := func(role llm.Role, texts ...string) llm.Message {
		m := llm.Message{Role: role}
		for _, s := range texts {
			m.Parts = append(m.Parts, llm.Part{Kind: llm.KindText, Text: s})
		}
		return m
	}
	part := func(role llm.Role, parts ...llm.Part) llm.Message { return llm.Message{Role: role, Parts: parts} }
	const dot = `"messages":[{"role":"user","content":[{"type":"text","text":"."}]}`
	f([]llm.Message{say(llm.RoleSystem, "a"), say(llm.RoleUser, "b"), say(llm.RoleDeveloper, "c"), say(llm.RoleUser, "d", " \n")},
		`"system":[{"type":"text","text":"a"},{"type":"text","text":"c"}],"messages":[{"role":"user","content":[{"type":"text","text":"b"},{"type":"text","text":"d"}]}]`)
	f([]llm.Message{say(llm.RoleAssistant, "Hello! \n")}, dot+`,{"role":"assistant","content":[{"type":"text","text":"Hello!"}]}]`)
	f([]llm.Message{say(llm.RoleSystem, "only")}, `"system":[{"type":"text","text":"only"}],`+dot+`]`)

	// calls and results: ids, broken arguments, results first, foreign thoughts left out
	f([]llm.Message{say(llm.RoleUser, "go"),
		part(llm.RoleAssistant, llm.Part{Kind: llm.KindReasoning, Text: "hm", Signature: "x", SignedBy: llm.Gemini},
			llm.Part{Kind: llm.KindReasoning, Text: "ok", Signature: "y", SignedBy: llm.Converse},
			llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "call|1", Name: "f"}},
			llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "call_2", Name: "g", Arguments: "{bro"}}),
		part(llm.RoleTool, llm.Part{Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: "call|1", Parts: []llm.Part{{Kind: llm.KindJSON, Raw: llm.Raw(`{"t":40}`)}}}}),
		say(llm.RoleUser, "and?"),
		part(llm.RoleTool, llm.Part{Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: "call_2", IsError: true}}),
	}, `"messages":[{"role":"user","content":[{"type":"text","text":"go"}]},{"role":"assistant","content":[{"type":"thinking","thinking":"ok","signature":"y"},`+
		`{"type":"tool_use","id":"$ID","name":"f","input":{}},{"type":"tool_use","id":"call_2","name":"g","input":{"input":"{bro"}}]},`+
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"$ID","content":[{"type":"text","text":"{\"t\":40}"}]},`+
		`{"type":"tool_result","tool_use_id":"call_2","is_error":true},{"type":"text","text":"and?"}]}]`)

	// media
	media := func(kind llm.Kind, m llm.Media) llm.Part { return llm.Part{Kind: kind, Media: &m} }
	f([]llm.Message{part(llm.RoleUser,
		media(llm.KindImage, llm.Media{URL: "data:image/jpg;base64,/9j/4A=="}), media(llm.KindImage, llm.Media{Data: "UklGRg=="}),
		media(llm.KindImage, llm.Media{URL: "https://example.com/a"}), media(llm.KindImage, llm.Media{URL: "gs://b/a"}),
		media(llm.KindDocument, llm.Media{MIME: "text/csv", Data: "YSxi", Name: "t.csv"}), media(llm.KindDocument, llm.Media{FileID: "file-1"}),
		media(llm.KindDocument, llm.Media{Data: "JVBERi0="}), media(llm.KindDocument, llm.Media{MIME: "application/msword", Data: "AA=="}),
		media(llm.KindAudio, llm.Media{Data: "AA=="}), llm.Part{Kind: llm.KindNative, Raw: llm.Raw(`{"type":"web_search_call"}`)},
	)}, `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"/9j/4A=="}},`+
		`{"type":"image","source":{"type":"base64","media_type":"image/webp","data":"UklGRg=="}},{"type":"image","source":{"type":"url","url":"https://example.com/a"}},`+
		`{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a,b"},"title":"t.csv"},`+
		`{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}}]}]`,
		"messages.image_url", "messages.file.file_id", "messages.file", "messages.input_audio", "messages.web_search_call")
}

// With a budget, thinking can't be on when the tool loop came without its signed thought.
func TestEncodeRequest_thoughtlessToolLoop(t *testing.T) {
	f := func(model string, signed bool, want bool) {
		t.Helper()
		call := []llm.Part{{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "a", Name: "f"}}}
		if signed {
			call = append([]llm.Part{{Kind: llm.KindReasoning, Text: "t", Signature: "s", SignedBy: llm.Anthropic}}, call...)
		}
		req := &llm.Request{From: llm.OpenAI, Reasoning: &llm.Reasoning{Effort: "low"}, Messages: []llm.Message{
			{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.KindText, Text: "go"}}}, {Role: llm.RoleAssistant, Parts: call},
			{Role: llm.RoleTool, Parts: []llm.Part{{Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: "a"}}}},
		}}
		body, dropped, _ := Messages.EncodeRequest(nil, req, &llm.Target{Model: model})
		if got := strings.Contains(string(body), `"thinking":{`); got != want || want == (len(dropped) > 0) {
			t.Errorf("%s: %s %q", model, body, dropped)
		}
	}
	f("claude-sonnet-4-5", false, false)
	f("claude-sonnet-4-5", true, true)
	f("claude-sonnet-4-6", false, true)
}

// Blocks that other dialects can say only in part come back whole in this one.
func TestRequest_keepsBlocks(t *testing.T) {
	f := func(block, plain string) {
		t.Helper()
		body := `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[` + block + `]}]}`
		req, err := Messages.DecodeRequest([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if p := req.Messages[0].Parts[0]; plain != "" && (p.Media == nil || p.Media.Text != plain) {
			t.Errorf("%+v", p)
		}
		got, _, _ := Messages.EncodeRequest(nil, req, &llm.Target{Model: "m"})
		if diff := cmp.Diff(body, string(got)); diff != "" {
			t.Error(diff)
		}
	}
	f(`{"type":"search_result","source":"https://example.com","title":"T","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"citations":{"enabled":true},"cache_control":{"type":"ephemeral"}}`, "a\n\nb")
	f(`{"type":"document","source":{"type":"content","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"url","url":"u"}}]},"title":"t"}`, "a")
	f(`{"type":"document","source":{"type":"content","content":"a"}}`, "a")
	f(`{"type":"container_upload","file_id":"f"}`, "")
	f(`{"type":"thinking","thinking":"unsigned","signature":""}`, "")
	f(`{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"},"new_field":{"a":[1]}}`, "")
}

// A Converse client that wants no thoughts shown gets none, though it is one of those that always see them.
func TestEncodeRequest_thoughtsOmitted(t *testing.T) {
	f := func(summary string, want bool) {
		t.Helper()
		req := &llm.Request{From: llm.Converse, Reasoning: &llm.Reasoning{Budget: llm.Ptr(int64(-1)), Summary: summary},
			Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.KindText, Text: "why"}}}}}
		body, _, err := Messages.EncodeRequest(nil, req, &llm.Target{Model: "claude-opus-4-7"})
		if err != nil || strings.Contains(string(body), `"display":"summarized"`) != want {
			t.Errorf("%q: %s %v", summary, body, err)
		}
	}
	f("", true)
	f("omitted", false)
}
