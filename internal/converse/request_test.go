package converse

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

const (
	claude45 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
	claude37 = "us.anthropic.claude-3-7-sonnet-20250219-v1:0"
	claude47 = "global.anthropic.claude-opus-4-7"
	nova1    = "amazon.nova-lite-v1:0"
	nova2    = "us.amazon.nova-2-lite-v1:0"
	gptOSS   = "openai.gpt-oss-120b-1:0"
	llama    = "meta.llama3-1-8b-instruct-v1:0"
	mistral  = "mistral.mistral-large-2402-v1:0"
)

func user(parts ...llm.Part) llm.Message { return llm.Message{Role: llm.RoleUser, Parts: parts} }

func says(s string) llm.Part { return llm.Part{Kind: llm.KindText, Text: s} }

func called(id, name, args string) llm.Message {
	return llm.Message{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: id, Name: name, Arguments: args}}}}
}

func returned(id, s string) llm.Message {
	return llm.Message{Role: llm.RoleTool, Parts: []llm.Part{{Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: id, Parts: []llm.Part{says(s)}}}}}
}

// TestEncodeRequest_foreign shows what becomes of other dialects' requests: the members beside messages, unless the row is about these.
func TestEncodeRequest_foreign(t *testing.T) {
	f := func(name, model string, req llm.Request, want string, dropped ...string) {
		t.Helper()
		req.From = llm.OpenAI
		withMessages := strings.Contains(want, `"messages"`)
		if req.Messages == nil {
			req.Messages = []llm.Message{user(says("hi"))}
		}
		body, lost, err := Converse.EncodeRequest(nil, &req, &llm.Target{Model: model})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		o := llm.ObjectOf(body)
		if !withMessages {
			o = o.Without("messages")
		}
		got, expect := o.Raw(), llm.Raw(want)
		for _, v := range []*llm.Raw{&got, &expect} {
			if err := v.Canonicalize(); err != nil {
				t.Fatalf("%s: %v: %s", name, err, *v)
			}
		}
		if string(got) != string(expect) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, expect)
		}
		if diff := cmp.Diff(dropped, lost); diff != "" {
			t.Errorf("%s: dropped: %s", name, diff)
		}
	}
	budget := func(n int64) *llm.Reasoning { return &llm.Reasoning{Budget: &n} }
	effort := func(s string) *llm.Reasoning { return &llm.Reasoning{Effort: s} }
	weather := llm.Tool{Name: "weather", Schema: llm.Raw(`{"type":"object"}`)}
	weatherSpec := `{"toolSpec":{"name":"weather","inputSchema":{"json":{"type":"object"}}}}`
	schema := &llm.Format{Type: "json_schema", Name: "a", Schema: llm.Raw(`{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}`)}

	f("sampling", claude37, llm.Request{MaxTokens: llm.Ptr(int64(9)), Temperature: llm.Ptr(0.5), TopP: llm.Ptr(0.5), Stop: []string{"x", " "}},
		`{"inferenceConfig":{"maxTokens":9,"temperature":0.5,"topP":0.5,"stopSequences":["x"]},
		"additionalModelResponseFieldPaths":["/stop_sequence","/delta/stop_sequence"]}`, "stop")
	f("too hot", nova1, llm.Request{Temperature: llm.Ptr(1.5), TopP: llm.Ptr(0.5)}, `{"inferenceConfig":{"temperature":1,"topP":0.5}}`, "temperature")
	f("one of two", claude45, llm.Request{Temperature: llm.Ptr(0.5), TopP: llm.Ptr(0.5)}, `{"inferenceConfig":{"temperature":0.5}}`, "top_p")
	f("no sampling", claude47, llm.Request{Temperature: llm.Ptr(0.5), TopK: llm.Ptr(int64(3))}, `{}`, "temperature", "top_k")
	f("top_k", claude45, llm.Request{TopK: llm.Ptr(int64(3))}, `{"additionalModelRequestFields":{"top_k":3}}`)
	f("top_k of Nova", nova1, llm.Request{TopK: llm.Ptr(int64(3))}, `{"additionalModelRequestFields":{"inferenceConfig":{"topK":3}}}`)
	f("top_k of Llama", llama, llm.Request{TopK: llm.Ptr(int64(3))}, `{}`, "top_k")

	f("budget", claude37, llm.Request{Reasoning: budget(2000), MaxTokens: llm.Ptr(int64(1000)), Temperature: llm.Ptr(0.2)},
		`{"inferenceConfig":{"maxTokens":3000},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2000}}}`, "temperature")
	f("effort as budget", claude45, llm.Request{Reasoning: effort("low")},
		`{"inferenceConfig":{"maxTokens":6144},"additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2048}}}`)
	f("adaptive", claude47, llm.Request{Reasoning: effort("high")},
		`{"outputConfig":{"effort":"high"},"additionalModelRequestFields":{"thinking":{"type":"adaptive","display":"summarized"}}}`)
	f("off", claude47, llm.Request{Reasoning: effort("none")}, `{"additionalModelRequestFields":{"thinking":{"type":"disabled"}}}`)
	f("not asked", claude37, llm.Request{Reasoning: effort("none")}, `{}`)
	f("Nova thinks", nova2, llm.Request{Reasoning: effort("high")},
		`{"additionalModelRequestFields":{"reasoningConfig":{"type":"enabled","maxReasoningEffort":"high"}}}`)
	f("Nova's highest effort knows no limit", nova2, llm.Request{Reasoning: effort("high"), MaxTokens: llm.Ptr(int64(5))},
		`{"inferenceConfig":{"maxTokens":5},"additionalModelRequestFields":{"reasoningConfig":{"type":"enabled","maxReasoningEffort":"medium"}}}`)
	f("Nova 1 does not", nova1, llm.Request{Reasoning: effort("high")}, `{}`, "reasoning_effort")
	f("gpt-oss", gptOSS, llm.Request{Reasoning: budget(40000)}, `{"additionalModelRequestFields":{"reasoning_effort":"high"}}`)

	f("strict", claude45, llm.Request{Tools: []llm.Tool{{Name: "f", Strict: llm.Ptr(true)}}},
		`{"toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object","properties":{},"additionalProperties":false}},"strict":true}}]}}`)
	f("named", claude45, llm.Request{Tools: []llm.Tool{weather}, ToolChoice: &llm.ToolChoice{Mode: llm.ChoiceTool, Name: "weather"}},
		`{"toolConfig":{"tools":[`+weatherSpec+`],"toolChoice":{"tool":{"name":"weather"}}}}`)
	f("named by leaving out the rest", mistral, llm.Request{Tools: []llm.Tool{weather, {Name: "other"}}, ToolChoice: &llm.ToolChoice{Mode: llm.ChoiceTool, Name: "weather"}},
		`{"toolConfig":{"tools":[`+weatherSpec+`],"toolChoice":{"any":{}}}}`)
	f("no choice", llama, llm.Request{Tools: []llm.Tool{weather}, ToolChoice: &llm.ToolChoice{Mode: llm.ChoiceRequired}},
		`{"toolConfig":{"tools":[`+weatherSpec+`]}}`, "tool_choice")
	f("none", claude45, llm.Request{Tools: []llm.Tool{weather}, ToolChoice: &llm.ToolChoice{Mode: llm.ChoiceNone}}, `{}`)
	f("allowed", claude45, llm.Request{Tools: []llm.Tool{weather, {Name: "other"}}, ToolChoice: &llm.ToolChoice{Mode: llm.ChoiceAllowed, Name: "required", Allowed: []string{"weather"}}},
		`{"toolConfig":{"tools":[`+weatherSpec+`],"toolChoice":{"any":{}}}}`)
	f("one at a time", claude45, llm.Request{Tools: []llm.Tool{weather}, ParallelTools: llm.Ptr(false)},
		`{"toolConfig":{"tools":[`+weatherSpec+`]},"additionalModelRequestFields":{"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}}`)
	f("one at a time, elsewhere", nova1, llm.Request{Tools: []llm.Tool{weather}, ParallelTools: llm.Ptr(false)},
		`{"toolConfig":{"tools":[`+weatherSpec+`]}}`, "parallel_tool_calls")
	f("tools of the history", claude45, llm.Request{Messages: []llm.Message{user(says("hi")), called("1", "weather", `{"a":1}`), returned("1", "sun")},
		ToolChoice: &llm.ToolChoice{Mode: llm.ChoiceNone}},
		`{"toolConfig":{"tools":[{"toolSpec":{"name":"weather","inputSchema":{"json":{"type":"object","properties":{}}}}}]}}`, "tool_choice")

	f("schema", claude45, llm.Request{Format: schema}, `{"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"name":"a","schema":
		"{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"description\":\"{\\\"minimum\\\":1}\"}},\"additionalProperties\":false}"}}}}}`)
	f("schema by a tool", nova1, llm.Request{Format: schema}, `{"toolConfig":{"tools":[{"toolSpec":{"name":"weir_structured_answer",
		"description":"Gives the answer. Call it to answer; write no other text.","inputSchema":{"json":`+string(schema.Schema)+`}}}],
		"toolChoice":{"tool":{"name":"weir_structured_answer"}}}}`)
	f("schema of no object", nova1, llm.Request{Format: &llm.Format{Type: "json_schema", Schema: llm.Raw(`{"type":"array"}`)}}, `{}`, "response_format")
	f("schema nowhere", llama, llm.Request{Format: schema}, `{}`, "response_format")
	f("json_object", claude45, llm.Request{Format: &llm.Format{Type: "json_object"}}, `{}`, "response_format")

	f("account", claude45, llm.Request{ServiceTier: "flex", Metadata: map[string]string{"a": "b", "é": "c"}, User: "u", Seed: llm.Ptr(int64(1)), N: llm.Ptr(int64(2))},
		`{"serviceTier":{"type":"flex"},"requestMetadata":{"a":"b"}}`, "metadata", "seed", "user", "n")
	long := strings.Repeat("a", 256)
	f("metadata as long as may be", claude45, llm.Request{Metadata: map[string]string{long: long, "empty": ""}}, `{"requestMetadata":{"`+long+`":"`+long+`","empty":""}}`)
	f("longer metadata", claude45, llm.Request{Metadata: map[string]string{long + "a": "", "a": long + "a", "": "a"}}, `{}`, "metadata")
	f("borrowed", claude45, llm.Request{Extra: map[string]llm.Raw{"guardrailConfig": llm.Raw(`{"trace":"enabled"}`), "foo": llm.Raw("1"),
		additionalKey: llm.Raw(`{"anthropic_beta":["b"],"session_id":"s"}`)}},
		`{"guardrailConfig":{"trace":"enabled"},"additionalModelRequestFields":{"anthropic_beta":["b"]}}`, "foo")

	f("system alone", claude45, llm.Request{Messages: []llm.Message{{Role: llm.RoleDeveloper, Parts: []llm.Part{says("be kind")}}}},
		`{"system":[{"text":"be kind"}],"messages":[{"role":"user","content":[{"text":"."}]}]}`)
	f("turns", claude45, llm.Request{Messages: []llm.Message{user(says("a")), user(says(""), says("b")), {Role: llm.RoleAssistant, Parts: []llm.Part{says("c \n")}}}},
		`{"messages":[{"role":"user","content":[{"text":"a"},{"text":"b"}]},{"role":"assistant","content":[{"text":"c"}]}]}`)
	f("cache", nova1, llm.Request{Messages: []llm.Message{user(llm.Part{Kind: llm.KindText, Text: "a", Cache: &llm.CacheMark{TTL: "1h"}})}},
		`{"messages":[{"role":"user","content":[{"text":"a"},{"cachePoint":{"type":"default"}}]}]}`)
	f("no cache", llama, llm.Request{Messages: []llm.Message{user(llm.Part{Kind: llm.KindText, Text: "a", Cache: &llm.CacheMark{}})}},
		`{"messages":[{"role":"user","content":[{"text":"a"}]}]}`, "cache_control")
	pdf := llm.Part{Kind: llm.KindDocument, Media: &llm.Media{Data: "JVBERi0x", Name: "my_report (1).pdf"}}
	f("documents", nova1, llm.Request{Messages: []llm.Message{user(pdf, pdf, llm.Part{Kind: llm.KindDocument, Media: &llm.Media{Text: "abc"}})}},
		`{"messages":[{"role":"user","content":[{"document":{"format":"pdf","name":"my report (1)","source":{"bytes":"JVBERi0x"}}},
		{"document":{"format":"pdf","name":"my report (1) (2)","source":{"bytes":"JVBERi0x"}}},
		{"document":{"format":"txt","name":"document","source":{"bytes":"YWJj"}}},{"text":"See the attached document."}]}]}`)
	f("media", claude45, llm.Request{Messages: []llm.Message{user(
		llm.Part{Kind: llm.KindImage, Media: &llm.Media{URL: "data:image/jpg;base64,/9j/"}},
		llm.Part{Kind: llm.KindImage, Media: &llm.Media{URL: "s3://b/k.webp"}}, llm.Part{Kind: llm.KindImage, Media: &llm.Media{MIME: "image/tiff", Data: "AAAA"}},
		llm.Part{Kind: llm.KindAudio, Media: &llm.Media{MIME: "audio/wav", Data: "AAAA"}}, llm.Part{Kind: llm.KindDocument, Media: &llm.Media{FileID: "file-1"}})}},
		`{"messages":[{"role":"user","content":[{"image":{"format":"jpeg","source":{"bytes":"/9j/"}}},{"image":{"format":"webp","source":{"s3Location":{"uri":"s3://b/k.webp"}}}}]}]}`,
		"messages.image_url", "messages.input_audio", "messages.file.file_id")
	f("thoughts", claude45, llm.Request{Messages: []llm.Message{user(says("a")), {Role: llm.RoleAssistant, Parts: []llm.Part{
		{Kind: llm.KindReasoning, Text: "mine", Signature: "s", SignedBy: llm.Anthropic}, {Kind: llm.KindReasoning, Text: "unsigned"},
		{Kind: llm.KindReasoning, Text: "other", Signature: "s", SignedBy: llm.Gemini}, says("b")}}}},
		`{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"mine","signature":"s"}}},{"text":"b"}]}]}`)
	f("names", claude45, llm.Request{Tools: []llm.Tool{weather}, Messages: []llm.Message{user(says("a")), called("a/b", "my.tool", "not json"), returned("a/b", "ok")}},
		`{"toolConfig":{"tools":[`+weatherSpec+`]},"messages":[{"role":"user","content":[{"text":"a"}]},
		{"role":"assistant","content":[{"toolUse":{"toolUseId":"a_b_c14cddc0","name":"my_tool_bca2c361","input":{"input":"not json"}}}]},
		{"role":"user","content":[{"toolResult":{"toolUseId":"a_b_c14cddc0","content":[{"text":"ok"}]}}]}]}`)
}

// TestDecodeRequest_errors checks that a bad body is refused with the field's name.
func TestDecodeRequest_errors(t *testing.T) {
	f := func(body, param string) {
		t.Helper()
		_, err := Converse.DecodeRequest([]byte(body))
		if err == nil {
			t.Errorf("%s: no error", body)
			return
		}
		if e := llm.AsError(err); e.Kind != llm.ErrInvalid || e.Param != param || e.Message == "" {
			t.Errorf("%s: got %s at %q: %s", body, e.Kind, e.Param, e.Message)
		}
	}
	block := func(s string) string { return `{"messages":[{"role":"user","content":[{"text":"a"},` + s + `]}]}` }
	f(`{`, "")
	f(`{}`, "messages")
	f(`{"messages":"x"}`, "messages")
	f(`{"messages":[{"content":[]}]}`, "messages.0.role")
	f(`{"messages":[{"role":"bot","content":[]}]}`, "messages.0.role")
	f(`{"messages":[{"role":"user"}]}`, "messages.0.content")
	f(`{"messages":[{"role":"user","content":"hi"}]}`, "messages.0.content")
	f(block(`{"text":1}`), "messages.0.content.1.text")
	f(block(`{}`), "messages.0.content.1")
	f(block(`{"text":"a","image":{}}`), "messages.0.content.1")
	f(block(`{"image":{"format":"bmp","source":{"bytes":"AAAA"}}}`), "messages.0.content.1.image.format")
	f(block(`{"image":{"format":"png"}}`), "messages.0.content.1.image.source")
	f(block(`{"image":{"format":"png","source":{"bytes":"?"}}}`), "messages.0.content.1.image.source.bytes")
	f(block(`{"image":{"format":"png","source":{"s3Location":{"uri":"http://a"}}}}`), "messages.0.content.1.image.source.s3Location.uri")
	f(block(`{"toolUse":{"name":"f"}}`), "messages.0.content.1.toolUse.toolUseId")
	f(block(`{"toolResult":{"toolUseId":"a","status":"bad"}}`), "messages.0.content.1.toolResult.status")
	f(block(`{"toolResult":{"toolUseId":"a","content":[{"text":[]}]}}`), "messages.0.content.1.toolResult.content.0.text")
	f(block(`{"reasoningContent":{}}`), "messages.0.content.1.reasoningContent")
	msgs := `{"messages":[{"role":"user","content":[{"text":"a"}]}],`
	f(msgs+`"inferenceConfig":{"maxTokens":"1"}}`, "inferenceConfig.maxTokens")
	f(msgs+`"inferenceConfig":{"maxTokens":0}}`, "inferenceConfig.maxTokens")
	f(msgs+`"toolConfig":{"tools":[{"toolSpec":{"name":"f"}}]}}`, "toolConfig.tools.0.toolSpec.inputSchema.json")
	f(msgs+`"toolConfig":{"tools":[],"toolChoice":{}}}`, "toolConfig.toolChoice")
	f(msgs+`"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"x"}}}}}`, "outputConfig.textFormat.structure.jsonSchema.schema")
	f(msgs+`"additionalModelRequestFields":[]}`, "additionalModelRequestFields")
}

// TestDecodeRequest_additional checks what is understood of additionalModelRequestFields, all of which stays where it is.
func TestDecodeRequest_additional(t *testing.T) {
	f := func(fields string, want llm.Request) {
		t.Helper()
		req, err := Converse.DecodeRequest([]byte(`{"messages":[{"role":"user","content":[{"text":"a"}]}],"additionalModelRequestFields":` + fields + `}`))
		if err != nil {
			t.Error(err)
			return
		}
		if string(req.Extra[additionalKey]) != fields {
			t.Errorf("extra is %s", req.Extra[additionalKey])
		}
		req.From, req.Messages, req.Extra = "", nil, nil
		if diff := cmp.Diff(&want, req); diff != "" {
			t.Errorf("%s: %s", fields, diff)
		}
	}
	f(`{"session_id":"s","enable_history":true,"anthropic_beta":["x"]}`, llm.Request{})
	f(`{"top_k":3,"thinking":{"type":"enabled","budget_tokens":1024}}`, llm.Request{TopK: llm.Ptr(int64(3)), Reasoning: &llm.Reasoning{Budget: llm.Ptr(int64(1024))}})
	f(`{"thinking":{"type":"adaptive","display":"omitted"},"output_config":{"effort":"max"}}`,
		llm.Request{Reasoning: &llm.Reasoning{Budget: llm.Ptr(int64(-1)), Summary: "omitted", Effort: "max"}})
	f(`{"thinking":{"type":"disabled"}}`, llm.Request{Reasoning: &llm.Reasoning{Budget: llm.Ptr(int64(0))}})
	f(`{"reasoning_effort":"low","seed":4,"presence_penalty":0.5}`,
		llm.Request{Reasoning: &llm.Reasoning{Effort: "low"}, Seed: llm.Ptr(int64(4)), PresencePenalty: llm.Ptr(0.5)})
	f(`{"inferenceConfig":{"topK":9},"reasoningConfig":{"type":"enabled","maxReasoningEffort":"high"}}`,
		llm.Request{TopK: llm.Ptr(int64(9)), Reasoning: &llm.Reasoning{Effort: "high"}})
	f(`{"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}`, llm.Request{ParallelTools: llm.Ptr(false)})
	f(`{"top_k":"three","thinking":7}`, llm.Request{})
}

// TestEncodeRequest_url checks that an address Bedrock can't fetch is refused by name, and that the caller is told beforehand.
func TestEncodeRequest_url(t *testing.T) {
	p := llm.Part{Kind: llm.KindImage, Media: &llm.Media{URL: "https://example.com/a.png?secret=1"}}
	if !NeedsInline(&p) {
		t.Error("the caller is not told")
	}
	req := &llm.Request{From: llm.OpenAI, Messages: []llm.Message{user(says("look"), p)}}
	_, _, err := Converse.EncodeRequest(nil, req, &llm.Target{Model: claude45})
	e := llm.AsError(err)
	if e.Kind != llm.ErrInvalid || e.Param != "messages.0.content.1.image" || strings.Contains(e.Message, "secret") {
		t.Errorf("got %+v", e)
	}
	for _, p := range []llm.Part{says("a"), {Kind: llm.KindImage, Media: &llm.Media{URL: "s3://b/k"}}, {Kind: llm.KindImage, Media: &llm.Media{Data: "AAAA"}}} {
		if NeedsInline(&p) {
			t.Errorf("%+v", p)
		}
	}
}

// TestEncodeRequest_own checks that a Converse client's request goes on with its own words, the gateway's left out.
func TestEncodeRequest_own(t *testing.T) {
	const body = `{"messages":[{"role":"user","content":[{"guardContent":{"text":{"text":"a","qualifiers":["query"]}}},
		{"searchResult":{"source":"s","title":"t","content":[{"text":"x"},{"text":"y"}]}},{"cachePoint":{"type":"default","ttl":"5m"}},
		{"document":{"format":"txt","name":"my_doc","source":{"content":[{"text":"p"},{"text":"q"}]}}},{"newThing":{"n":1.50}}]}],
		"toolConfig":{"tools":[{"systemTool":{"name":"nova_grounding"}},{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}]},
		"promptVariables":{"v":{"text":"x"}},"performanceConfig":{"latency":"optimized"},"outputConfig":{"effort":"high"},
		"additionalModelRequestFields":{"big":12345678901234567890,"session_id":"s","enable_history":true,"thinking":{"type":"enabled","budget_tokens":9}},
		"additionalModelResponseFieldPaths":["/x"],"modelId":"m"}`
	req, err := Converse.DecodeRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	out, dropped, err := Converse.EncodeRequest(nil, req, &llm.Target{Model: nova2})
	if err != nil || len(dropped) > 0 {
		t.Fatalf("dropped %v, error %v", dropped, err)
	}
	want := strings.NewReplacer(`"session_id":"s","enable_history":true,`, "", `,"modelId":"m"`, "").Replace(body)
	got, expect := sorted(t, out), sorted(t, []byte(want))
	if got != expect {
		t.Errorf(" got %s\nwant %s", got, expect)
	}
}

// sorted is a body with its members in order and its numbers as they stand.
func sorted(t *testing.T, body []byte) string {
	t.Helper()
	var walk func(v llm.Raw) llm.Raw
	walk = func(v llm.Raw) llm.Raw {
		o := llm.ObjectOf(v)
		if o == nil {
			return llm.Raw(compact(v))
		}
		m := map[string]llm.Raw{}
		for _, x := range o {
			m[x.Name] = walk(x.Value)
		}
		w := writer{}
		w.Object("")
		w.Extra(m)
		w.End("}")
		return w.Buf
	}
	return string(walk(body))
}
