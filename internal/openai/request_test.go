package openai

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

func TestDecodeRequest_errors(t *testing.T) {
	f := func(body, param, message string) {
		t.Helper()
		_, err := Chat.DecodeRequest([]byte(body))
		if err == nil {
			t.Errorf("%s: accepted", body)
			return
		}
		e := llm.AsError(err)
		if e.Kind != llm.ErrInvalid || e.Param != param || !strings.Contains(e.Message, message) {
			t.Errorf("%s\ngot  %s: %q: %s\nwant %q: %s", body, e.Kind, e.Param, e.Message, param, message)
		}
	}
	f(`{"model":`, "request_body", "Invalid JSON payload")
	f(``, "request_body", "Invalid JSON payload")
	f(`[]`, "request_body", "must be an object, got a list")
	f(`{"model":"m","model":"n"}`, "model", "given twice")
	f(`{"model":"m"}`, "messages", "/chat/completions: Missing required parameter: 'messages'.")
	f(`{"messages":[]}`, "messages", "at least one message")
	f(`{"messages":"hi"}`, "messages", "must be a list, got a string")
	f(`{"messages":["hi"]}`, "messages[0]", "must be an object, got a string")
	f(`{"messages":[{"role":"user","content":"hi"},{"role":"user","content":7}]}`, "messages[1].content", "must be a string or a list of content parts")
	f(`{"messages":[{"role":"king","content":"hi"}]}`, "messages[0].role", "Use system, developer, user, assistant or tool")
	f(`{"messages":[{"role":"user","content":[{"type":"text"}]}]}`, "messages[0].content[0].text", "Missing required parameter")
	f(`{"messages":[{"role":"user","content":[{"type":"text","text":7}]}]}`, "messages[0].content[0].text", "must be a string, got a number")
	f(`{"messages":[{"role":"user","content":[{"text":"x"}]}]}`, "messages[0].content[0].type", "Missing required parameter")
	f(`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":7}]}]}`, "messages[0].content[0].image_url", "must be an object with a url")
	f(`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x"}}]}]}`, "messages[0].content[0].image_url.url", "data:image/png;base64")
	f(`{"messages":[{"role":"user","content":[{"type":"file","file":{}}]}]}`, "messages[0].content[0].file", "file_data")
	f(`{"messages":[{"role":"tool","content":"x"}]}`, "messages[0].tool_call_id", "Missing required parameter")
	f(`{"messages":[{"role":"assistant","tool_calls":[{"id":"1"}]}]}`, "messages[0].tool_calls[0].function", "Missing required parameter")
	hi := `{"messages":[{"role":"user","content":"hi"}],`
	f(hi+`"temperature":"hot"}`, "temperature", "must be a number, got a string")
	f(hi+`"max_tokens":1.5}`, "max_tokens", "must be a whole number")
	f(hi+`"stream":"true"}`, "stream", "must be true or false, got a string")
	f(hi+`"stop":7}`, "stop", "must be a string or a list of strings")
	f(hi+`"tools":[7]}`, "tools[0]", "must be an object")
	f(hi+`"tools":[{"type":"function"}]}`, "tools[0].function", "Missing required parameter")
	f(hi+`"tools":[{"type":"function","function":{"name":7}}]}`, "tools[0].function.name", "'tools[0].function.name': it must be a string")
	f(hi+`"tools":[{"type":"function","function":{"name":"a","parameters":[]}}]}`, "tools[0].function.parameters", "JSON schema")
	f(hi+`"tool_choice":{"type":"function"}}`, "tool_choice", "Use none, auto, required")
	f(hi+`"tool_choice":7}`, "tool_choice", "none, auto, required")
	f(hi+`"response_format":{"type":"xml"}}`, "response_format.type", "json_schema")
	f(hi+`"response_format":{"type":"json_schema"}}`, "response_format.json_schema", "Missing required parameter")
	f(hi+`"thinking":{"type":"hard"}}`, "thinking.type", "enabled, disabled or adaptive")
	f(hi+`"stream_options":{"include_usage":7}}`, "stream_options.include_usage", "true or false")
}

func TestDecodeRequest_lenient(t *testing.T) {
	f := func(body string, check func(*llm.Request) bool) {
		t.Helper()
		r, err := Chat.DecodeRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],` + body + `}`))
		if err != nil || !check(r) {
			t.Errorf("%s: %v %+v", body, err, r)
		}
	}
	f(`"max_tokens":100.0`, func(r *llm.Request) bool { return *r.MaxTokens == 100 })
	f(`"max_tokens":5,"max_completion_tokens":6`, func(r *llm.Request) bool { return *r.MaxTokens == 6 })
	f(`"metadata":"not-a-dict"`, func(r *llm.Request) bool { return string(r.Extra["metadata"]) == `"not-a-dict"` })
	f(`"metadata":{"a":"b"}`, func(r *llm.Request) bool { return r.Metadata["a"] == "b" && r.Extra == nil })
	f(`"tool_choice":"any"`, func(r *llm.Request) bool { return r.ToolChoice.Mode == llm.ChoiceRequired })
	f(`"temperature":null,"stop":null,"tools":null,"unknown":null`, func(r *llm.Request) bool { return r.Temperature == nil && r.Extra == nil })
	f(`"reasoning":{"enabled":true}`, func(r *llm.Request) bool { return *r.Reasoning.Budget == -1 })
	f(`"reasoning":{"effort":"low","exclude":true}`, func(r *llm.Request) bool { return r.Reasoning.Effort == "low" && !*r.Reasoning.Include })
	f(`"reasoning_effort":{"effort":"low","summary":"auto"}`, func(r *llm.Request) bool { return r.Reasoning.Summary == "auto" })
	f(`"thinking":{"type":"disabled"}`, func(r *llm.Request) bool { return *r.Reasoning.Budget == 0 })
}

// encode writes a request for a provider and gives it back as a JSON value.
func encode(t *testing.T, r *llm.Request, target llm.Target) (map[string]any, []string) {
	t.Helper()
	body, dropped, err := Chat.EncodeRequest(nil, r, &target)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	slices.Sort(dropped)
	return v, dropped
}

func user(text string) []llm.Message {
	return []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.KindText, Text: text}}}}
}

func TestEncodeRequest_provinces(t *testing.T) {
	f := func(r llm.Request, target llm.Target, want map[string]any, dropped ...string) {
		t.Helper()
		if r.Messages == nil {
			r.Messages = user("hi")
		}
		got, lost := encode(t, &r, target)
		delete(got, "model")
		if want["messages"] == nil {
			delete(got, "messages")
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if !slices.Equal(lost, dropped) {
			t.Errorf("dropped %v, want %v", lost, dropped)
		}
	}
	many := llm.Request{From: llm.Anthropic, MaxTokens: llm.Ptr(int64(9)), Temperature: llm.Ptr(0.5), TopK: llm.Ptr(int64(3)), Stop: []string{"x"}}
	f(many, llm.Target{Model: "o3-mini", Provider: "openai"}, map[string]any{"max_completion_tokens": 9.0}, "stop", "temperature", "top_k")
	f(many, llm.Target{Model: "gpt-4o", Provider: "openai"}, map[string]any{"max_tokens": 9.0, "temperature": 0.5, "stop": []any{"x"}}, "top_k")
	f(many, llm.Target{Model: "llama", Provider: "vllm"}, map[string]any{"max_tokens": 9.0, "temperature": 0.5, "stop": []any{"x"}, "top_k": 3.0})
	f(llm.Request{From: llm.OpenAI, Seed: llm.Ptr(int64(4)), User: "u", Stream: true}, llm.Target{Model: "m", Provider: "mistral"},
		map[string]any{"random_seed": 4.0, "stream": true}, "user")
	f(llm.Request{Stream: true}, llm.Target{Model: "m", Provider: "groq"},
		map[string]any{"stream": true, "stream_options": map[string]any{"include_usage": true}})
	thinks := llm.Request{From: llm.Anthropic, Reasoning: &llm.Reasoning{Budget: llm.Ptr(int64(10000))}}
	f(thinks, llm.Target{Model: "gpt-5", Provider: "openai"}, map[string]any{"reasoning_effort": "medium"})
	f(thinks, llm.Target{Model: "gpt-4o", Provider: "openai"}, map[string]any{}, "reasoning_effort")
	f(thinks, llm.Target{Model: "x", Provider: "xai", Reasons: llm.Ptr(false)}, map[string]any{}, "reasoning_effort")
	thinks.From = llm.OpenAI
	f(thinks, llm.Target{Model: "glm", Provider: "zai"}, map[string]any{"thinking": map[string]any{"type": "enabled", "budget_tokens": 10000.0}})
	f(llm.Request{From: llm.Anthropic, Tools: []llm.Tool{{Type: "web_search_20250305", Name: "web_search", Raw: llm.Raw(`{}`)}}, Extra: map[string]llm.Raw{"container": llm.Raw("1")}},
		llm.Target{Model: "m", Provider: "openai"}, map[string]any{}, "container", "tools.web_search_20250305")
	f(llm.Request{Messages: []llm.Message{{Role: llm.RoleDeveloper, Parts: user("d")[0].Parts}}}, llm.Target{Provider: "groq"},
		map[string]any{"messages": []any{map[string]any{"role": "system", "content": "d"}}})
	f(llm.Request{Messages: []llm.Message{{Role: llm.RoleDeveloper, Parts: user("d")[0].Parts}}}, llm.Target{Provider: "azure"},
		map[string]any{"messages": []any{map[string]any{"role": "developer", "content": "d"}}})
	f(llm.Request{From: llm.Responses, Tools: []llm.Tool{{Type: "custom", Name: "sh", Raw: llm.Raw(`{"type":"custom","name":"sh","format":{"type":"grammar","syntax":"lark","definition":"d"}}`)}}},
		llm.Target{Provider: "openai"}, map[string]any{"tools": []any{map[string]any{"type": "custom", "custom": map[string]any{
			"name": "sh", "format": map[string]any{"type": "grammar", "grammar": map[string]any{"syntax": "lark", "definition": "d"}}}}}})
}

// A tool result can hold only text here: what else it holds is shown by a user message after the run of results.
func TestEncodeRequest_toolResults(t *testing.T) {
	r := llm.Request{From: llm.Anthropic, Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{
		{Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: "1", Parts: []llm.Part{{Kind: llm.KindImage, Media: &llm.Media{MIME: "image/png", Data: "aGk="}}}}},
		{Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: "2", IsError: true, Parts: []llm.Part{{Kind: llm.KindText, Text: "boom"}}}},
		{Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: "3", Parts: []llm.Part{{Kind: llm.KindJSON, Raw: llm.Raw(`{"a":1}`)}}}},
		{Kind: llm.KindText, Text: "go on"},
	}}}}
	got, dropped := encode(t, &r, llm.Target{Provider: "openai"})
	want := []any{
		map[string]any{"role": "tool", "tool_call_id": "1", "content": "The result is attached in the next user message."},
		map[string]any{"role": "tool", "tool_call_id": "2", "content": "Error: boom"},
		map[string]any{"role": "tool", "tool_call_id": "3", "content": `{"a":1}`},
		map[string]any{"role": "user", "content": []any{
			map[string]any{"type": "text", "text": "Attached by the result of tool call 1:"},
			map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/png;base64,aGk="}},
		}},
		map[string]any{"role": "user", "content": "go on"},
	}
	if d := cmp.Diff(want, got["messages"]); d != "" || dropped != nil {
		t.Error(d, dropped)
	}
}

// Earlier reasoning goes back in the form that each provider takes.
func TestEncodeRequest_earlierReasoning(t *testing.T) {
	f := func(provider string, want map[string]any, dropped ...string) {
		t.Helper()
		r := llm.Request{From: llm.Anthropic, Messages: []llm.Message{{Role: llm.RoleAssistant, Parts: []llm.Part{
			{Kind: llm.KindReasoning, Text: "why", Signature: "sig", SignedBy: llm.Anthropic}, {Kind: llm.KindText, Text: "so"},
		}}}}
		got, lost := encode(t, &r, llm.Target{Provider: provider})
		m := got["messages"].([]any)[0].(map[string]any)
		delete(m, "role")
		if d := cmp.Diff(want, m); d != "" || !slices.Equal(lost, dropped) {
			t.Errorf("%s: %v %s", provider, lost, d)
		}
	}
	f("openai", map[string]any{"content": "so"}, "reasoning_content")
	f("groq", map[string]any{"content": "so", "reasoning": "why"})
	f("litellm_proxy", map[string]any{"content": "so", "reasoning_content": "why",
		"thinking_blocks": []any{map[string]any{"type": "thinking", "thinking": "why", "signature": "sig"}}})
	f("openrouter", map[string]any{"content": "so", "reasoning": "why", "reasoning_details": []any{
		map[string]any{"type": "reasoning.text", "text": "why", "signature": "sig", "format": "anthropic-claude-v1", "index": 0.0}}})
	f("mistral", map[string]any{"content": []any{
		map[string]any{"type": "thinking", "thinking": []any{map[string]any{"type": "text", "text": "why"}}}, map[string]any{"type": "text", "text": "so"}}})
}

// The deprecated functions parameter works both ways, and its answers come in its form.
func TestFunctions_deprecated(t *testing.T) {
	body := `{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},` +
		`{"role":"function","name":"f","content":"42"}],"functions":[{"name":"f","parameters":{"type":"object"}}],"function_call":{"name":"f"}}`
	r, err := Chat.DecodeRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	call, result := r.Messages[1].Parts[0].Call, r.Messages[2].Parts[0].Result
	if call.ID == "" || call.ID != result.CallID || r.Tools[0].Name != "f" || r.ToolChoice.Name != "f" {
		t.Errorf("%+v %+v", call, result)
	}
	var want map[string]any
	if err := json.Unmarshal([]byte(body), &want); err != nil {
		t.Fatal(err)
	}
	got, _ := encode(t, r, llm.Target{Model: "m"})
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	x := &llm.Exchange{Request: r, Model: "m"}
	resp := &llm.Response{Choices: []llm.Choice{{
		Parts: []llm.Part{{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "1", Name: "f", Arguments: "{}"}}}, Stop: llm.Stop{Reason: llm.FinishToolCalls},
	}}}
	for _, out := range []string{string(Chat.EncodeResponse(nil, resp, x)), string(writeStream(Chat.NewStreamEncoder(x), resp.Events()))} {
		if !strings.Contains(out, `"function_call":{"name":"f","arguments":`) || !strings.Contains(out, `"finish_reason":"function_call"`) || strings.Contains(out, "tool_calls") {
			t.Error(out)
		}
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}],"tools":[{"type":"function","function":{"name":"a","parameters":{}}}],"tool_choice":"auto"}`))
	f.Add([]byte(`{"messages":[{"role":"assistant","thinking_blocks":[{"type":"thinking","thinking":"x","signature":"s"}],"tool_calls":[{"id":"1","function":{"name":"a","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"x"}],"stop":"x","reasoning":{"enabled":true}}`))
	f.Add([]byte(`{"prompt":["a","b"],"logprobs":1,"echo":true}`))
	f.Add([]byte(`{"input":[[1,2],[3]],"encoding_format":"base64"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		target := &llm.Target{Model: "m"}
		valid := func(out []byte, err error) {
			if err == nil && !llm.Raw(out).IsValid() {
				t.Errorf("from %s\nnot JSON: %s", body, out)
			}
		}
		if r, err := Chat.DecodeRequest(body); err == nil {
			for _, provider := range []string{"", "openai", "mistral", "openrouter"} {
				target.Provider = provider
				out, _, err := Chat.EncodeRequest(nil, r, target)
				valid(out, err)
			}
			out, _, err := Completions.EncodeRequest(nil, r, target)
			valid(out, err)
		}
		if r, err := Completions.DecodeRequest(body); err == nil {
			out, _, err := Completions.EncodeRequest(nil, r, target)
			valid(out, err)
			out, _, err = Chat.EncodeRequest(nil, r, target)
			valid(out, err)
		}
		if r, err := Embeddings.DecodeEmbedRequest(body); err == nil {
			out, _, err := Embeddings.EncodeEmbed(nil, r, target)
			valid(out, err)
		}
	})
}
