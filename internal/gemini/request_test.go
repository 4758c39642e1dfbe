package gemini

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weir-gateway/weir/internal/llm"
)

// foreign is the conversation of a recorded Gemini call as an OpenAI client has it: results in messages of their own, calls with ids,
// JSON schemas in lower case.
func foreign(t *testing.T, body string) *llm.Request {
	t.Helper()
	req, err := Generate.DecodeRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	req.From = llm.OpenAI
	var out []llm.Message
	for _, m := range req.Messages {
		if len(m.Parts) > 0 && m.Parts[0].Kind == llm.KindToolResult {
			for _, p := range m.Parts {
				r := *p.Result
				r.Name = ""
				out = append(out, llm.Message{Role: llm.RoleTool, Parts: []llm.Part{{Kind: llm.KindToolResult, Result: &r}}})
			}
			continue
		}
		for i := range m.Parts {
			m.Parts[i].Signature, m.Parts[i].SignedBy = "", ""
		}
		out = append(out, m)
	}
	req.Messages = out
	if f := req.Format; f != nil && f.Schema != nil {
		f.Strict = llm.Ptr(true)
		f.Schema = llm.Raw(strings.ReplaceAll(string(f.Schema), `"type":"object"`, `"type":"object","additionalProperties":false`))
	}
	for i := range req.Tools {
		s := string(req.Tools[i].Schema)
		req.Tools[i].Schema = llm.Raw(`{"$schema":"https://json-schema.org/draft/2020-12/schema","additionalProperties":false,` + s[1:])
	}
	return req
}

// unsigned drops the proofs that a foreign conversation can't have.
func unsigned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "thoughtSignature")
		for _, x := range v {
			unsigned(x)
		}
	case []any:
		for _, x := range v {
			unsigned(x)
		}
	}
	return v
}

// TestRequest_asGooglesClient: a conversation from another dialect reaches Gemini as Google's own client sent it.
func TestRequest_asGooglesClient(t *testing.T) {
	t.Parallel()
	n := 0
	for path, xs := range loadRecordings(t, "testdata/recordings/charmbracelet-fantasy") {
		for i := range xs {
			n++
			req := foreign(t, xs[i].Request.Body)
			out, dropped, err := Generate.EncodeRequest(nil, req, &llm.Target{Model: modelIn(xs[i].Request.URL)})
			if err != nil || len(dropped) > 0 {
				t.Fatalf("%s: %v, dropped %v", path, err, dropped)
			}
			want, got := unsigned(canonJSON(t, []byte(xs[i].Request.Body))), unsigned(canonJSON(t, out))
			if strings.Contains(path, "TestGoogleThinking/gemini-3") {
				// Their client sends a budget to Gemini 3, which Google keeps for compatibility; ours says a level, as documented.
				delete(want.(map[string]any)["generationConfig"].(map[string]any), "thinkingConfig")
				delete(got.(map[string]any)["generationConfig"].(map[string]any), "thinkingConfig")
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-theirs +ours):\n%s", path, diff)
			}
		}
	}
	if n < 8 {
		t.Errorf("only %d requests", n)
	}
}

func encoded(t *testing.T, req *llm.Request, target llm.Target) (map[string]any, []string) {
	t.Helper()
	out, dropped, err := Generate.EncodeRequest(nil, req, &target)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m, dropped
}

func user(text string) llm.Message {
	return llm.Message{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.KindText, Text: text}}}
}

func TestRequest_thinking(t *testing.T) {
	t.Parallel()
	f := func(model string, r *llm.Reasoning, want string, wantDropped ...string) {
		t.Helper()
		m, dropped := encoded(t, &llm.Request{From: llm.OpenAI, Messages: []llm.Message{user("x")}, Reasoning: r}, llm.Target{Model: model})
		got := ""
		if g, ok := m["generationConfig"].(map[string]any); ok {
			raw, err := json.Marshal(g["thinkingConfig"], json.Deterministic(true))
			if err != nil {
				t.Fatal(err)
			}
			got = string(raw)
		}
		if got != want {
			t.Errorf("%s %+v: got %s, want %s", model, r, got, want)
		}
		if diff := cmp.Diff(wantDropped, dropped); diff != "" {
			t.Errorf("%s: dropped %s", model, diff)
		}
	}
	f("gemini-2.5-flash", &llm.Reasoning{Effort: "low"}, `{"includeThoughts":true,"thinkingBudget":2048}`)
	f("gemini-2.5-flash", &llm.Reasoning{Effort: "none"}, `{"thinkingBudget":0}`)
	f("gemini-2.5-pro", &llm.Reasoning{Effort: "none"}, `{"thinkingBudget":128}`)
	f("gemini-2.5-pro", &llm.Reasoning{Budget: llm.Ptr(int64(100000))}, `{"includeThoughts":true,"thinkingBudget":32768}`)
	f("models/gemini-2.5-flash-lite", &llm.Reasoning{Budget: llm.Ptr(int64(100))}, `{"includeThoughts":true,"thinkingBudget":512}`)
	f("gemini-2.5-flash", &llm.Reasoning{Budget: llm.Ptr(int64(-1))}, `{"includeThoughts":true,"thinkingBudget":-1}`)
	f("gemini-3-pro-preview", &llm.Reasoning{Effort: "medium"}, `{"includeThoughts":true,"thinkingLevel":"MEDIUM"}`)
	f("gemini-3.5-flash", &llm.Reasoning{Effort: "none"}, `{"thinkingLevel":"MINIMAL"}`)
	f("gemini-3-pro-preview", &llm.Reasoning{Budget: llm.Ptr(int64(20000))}, `{"includeThoughts":true,"thinkingLevel":"HIGH"}`)
	f("gemini-flash-latest", &llm.Reasoning{Effort: "low", Summary: "omitted"}, `{"thinkingLevel":"LOW"}`)
	f("gemini-2.0-flash", &llm.Reasoning{Effort: "low"}, "", "reasoning_effort")
}

// TestRequest_signatures: Gemini 3 refuses unsigned calls, so the first of each turn says that it is not to be checked.
func TestRequest_signatures(t *testing.T) {
	t.Parallel()
	call := func(id string) llm.Part {
		return llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: id, Name: "f", Arguments: "{}"}}
	}
	f := func(model string, first llm.Part, want ...string) {
		t.Helper()
		req := &llm.Request{From: llm.Anthropic, Messages: []llm.Message{user("x"), {Role: llm.RoleAssistant, Parts: []llm.Part{first, call("b")}}}}
		out, _, err := Generate.EncodeRequest(nil, req, &llm.Target{Model: model})
		if err != nil {
			t.Fatal(err)
		}
		var b requestBody
		if err := json.Unmarshal(out, &b); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range b.Contents[1].Parts {
			got = append(got, p.ThoughtSignature)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", model, diff)
		}
	}
	signed, foreign := call("a"), call("a")
	signed.Signature, signed.SignedBy = "c2ln", llm.Gemini
	foreign.Signature, foreign.SignedBy = "xyz", llm.Anthropic
	f("gemini-3-pro-preview", call("a"), skipSignature, "")
	f("gemini-3-pro-preview", foreign, skipSignature, "")
	f("gemini-3-pro-preview", signed, "c2ln", "")
	f("gemini-2.5-pro", foreign, "", "")
}

func TestRequest_dropped(t *testing.T) {
	t.Parallel()
	req := &llm.Request{From: llm.OpenAI, Messages: []llm.Message{user("x")}, LogitBias: map[string]float64{"1": 2}, User: "u", MinP: llm.Ptr(0.1),
		ParallelTools: llm.Ptr(false), Metadata: map[string]string{"Team": "A"}, Stop: []string{"1", "2", "3", "4", "5", "6"},
		Tools:      []llm.Tool{{Type: "web_search_preview", Raw: llm.Raw(`{"type":"web_search_preview"}`)}, {Type: "custom", Raw: llm.Raw(`{"googleSearch":{}}`)}},
		ToolChoice: &llm.ToolChoice{Mode: "auto"}, Store: llm.Ptr(true), Verbosity: "low",
		Extra: unknown{"safety_settings": llm.Raw(`[]`), "prediction": llm.Raw(`{}`)}}
	m, dropped := encoded(t, req, llm.Target{Model: "gemini-2.5-pro", Provider: "gemini"})
	want := []string{"stop", "tools.web_search_preview", "parallel_tool_calls", "metadata", "prediction", "min_p", "logit_bias", "verbosity", "user", "store"}
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(dropped))); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	if _, ok := m["safetySettings"]; !ok {
		t.Error("safety_settings did not get through")
	}
	if diff := cmp.Diff([]any{map[string]any{"googleSearch": map[string]any{}}}, m["tools"]); diff != "" {
		t.Errorf("tools: %s", diff)
	}
	req = &llm.Request{From: llm.OpenAI, Messages: []llm.Message{user("x")}, Metadata: map[string]string{"team": "a-1"}}
	m, dropped = encoded(t, req, llm.Target{Model: "gemini-2.5-pro", Provider: "vertex_ai"})
	if len(dropped) > 0 || m["labels"] == nil {
		t.Errorf("labels %v, dropped %v", m["labels"], dropped)
	}
}

func TestRequest_freeText(t *testing.T) {
	t.Parallel()
	req := &llm.Request{From: llm.Responses, Messages: []llm.Message{user("x")}, Tools: []llm.Tool{{Type: "custom", Name: "apply_patch",
		Description: "d", Raw: llm.Raw(`{"type":"custom","name":"apply_patch"}`)}}}
	m, dropped := encoded(t, req, llm.Target{Model: "gemini-2.5-pro", Provider: "gemini"})
	want := []any{map[string]any{"functionDeclarations": []any{map[string]any{"name": "apply_patch", "description": "d", "parameters": map[string]any{
		"type": "OBJECT", "properties": map[string]any{"input": map[string]any{"type": "STRING"}}, "required": []any{"input"}}}}}}
	if diff := cmp.Diff(want, m["tools"]); diff != "" || len(dropped) > 0 {
		t.Errorf("dropped %v; tools (-want +got):\n%s", dropped, diff)
	}
}

func TestRequest_limits(t *testing.T) {
	t.Parallel()
	m, dropped := encoded(t, &llm.Request{From: llm.OpenAI, Messages: []llm.Message{user("x")}, MaxTokens: llm.Ptr(int64(100000)), Seed: llm.Ptr(int64(1)<<40 + 7)},
		llm.Target{Model: "gemini-2.5-pro", MaxOutput: 65536})
	if diff := cmp.Diff(map[string]any{"maxOutputTokens": 65536.0, "seed": 7.0}, m["generationConfig"]); diff != "" || len(dropped) > 0 {
		t.Errorf("dropped %v\n%s", dropped, diff)
	}
}

// TestRequest_turns: results have a turn of their own, media follow them before Gemini 3, other providers' reasoning stays out.
func TestRequest_turns(t *testing.T) {
	t.Parallel()
	image := llm.Part{Kind: llm.KindImage, Media: &llm.Media{MIME: "image/png", Data: "aGk="}}
	req := &llm.Request{From: llm.Anthropic, Messages: []llm.Message{
		{Role: llm.RoleSystem, Parts: []llm.Part{{Kind: llm.KindText, Text: "s"}}},
		user("a"), user("b"),
		{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.KindReasoning, Text: "hm", Signature: "s", SignedBy: llm.Anthropic},
			{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "1", Name: "f", Arguments: `{"q":1}`}}}},
		{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.KindText, Text: "and"}, {Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: "1",
			IsError: true, Parts: []llm.Part{{Kind: llm.KindText, Text: "no"}, image}}}}},
	}}
	f := func(model, want string) {
		t.Helper()
		out, _, err := Generate.EncodeRequest(nil, req, &llm.Target{Model: model})
		if err != nil {
			t.Fatal(err)
		}
		if string(out) != want {
			t.Errorf("%s:\ngot  %s\nwant %s", model, out, want)
		}
	}
	head := `{"contents":[{"parts":[{"text":"a"},{"text":"b"}],"role":"user"},{"parts":[{"functionCall":{"id":"1","name":"f","args":{"q":1}}`
	tail := `,{"parts":[{"text":"and"}],"role":"user"}],"systemInstruction":{"parts":[{"text":"s"}],"role":"user"}}`
	inline := `{"inlineData":{"mimeType":"image/png","data":"aGk="}}`
	f("gemini-2.5-pro", head+`}],"role":"model"},{"parts":[{"functionResponse":{"id":"1","name":"f","response":{"error":"no"}}},`+inline+`],"role":"user"}`+tail)
	f("gemini-3-pro", head+`,"thoughtSignature":"`+skipSignature+`"}],"role":"model"},{"parts":[{"functionResponse":{"id":"1","name":"f","response":{"error":"no"},"parts":[`+inline+`]}}],"role":"user"}`+tail)
}

func TestDecodeRequest_errors(t *testing.T) {
	t.Parallel()
	f := func(body, param string) {
		t.Helper()
		_, err := Generate.DecodeRequest([]byte(body))
		e := llm.AsError(err)
		if err == nil || e.Kind != llm.ErrInvalid || e.Param != param || e.Message == "" {
			t.Errorf("%s: got %q: %v, want %q", body, e.Param, err, param)
		}
	}
	f(`{}`, "contents")
	f(`[]`, "")
	f(`{"contents":[{"parts":[{"text":"x"}]},{"parts":[{"inlineData":{"mimeType":"image/png","data":"not base64!"}}]}]}`, "contents[1].parts[0].inlineData.data")
	f(`{"contents":[{"parts":[{"inline_data":{"mime_type":"image/png","data":""}}]}]}`, "contents[0].parts[0].inlineData.data")
	f(`{"contents":[{"role":"assistant","parts":[{"text":"x"}]}]}`, "contents[0].role")
	f(`{"contents":[{"parts":[]}]}`, "contents[0].parts")
	f(`{"contents":[{"parts":[{}]}]}`, "contents[0].parts[0]")
	f(`{"contents":[{"parts":[{"text":"x","functionCall":{"name":"f"}}]}]}`, "contents[0].parts[0]")
	f(`{"contents":[{"parts":[{"functionCall":{"name":"f","args":[1]}}]}]}`, "contents[0].parts[0].functionCall.args")
	f(`{"contents":[{"parts":[{"functionResponse":{"name":"f","response":"x"}}]}]}`, "contents[0].parts[0].functionResponse.response")
	f(`{"contents":[{"parts":[{"fileData":{"mimeType":"a/b"}}]}]}`, "contents[0].parts[0].fileData.fileUri")
	f(`{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"temperature":"hot"}}`, "generationConfig.temperature")
	f(`{"contents":[{"parts":[{"text":5}]}]}`, "contents[0].parts[0].text")
	f(`{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":1.5}}`, "generationConfig.maxOutputTokens")
	f(`{"contents":[{"parts":[{"text":"x"}]}],"tools":[{"functionDeclarations":[{"description":"no name"}]}]}`, "tools[0].functionDeclarations[0].name")
	f(`{"contents":[{"parts":[{"text":"x"}]}],"tools":[{"functionDeclarations":[{"name":"f","parameters":"x"}]}]}`, "tools[0].functionDeclarations[0].parameters")
	f(`{"contents":[{"parts":[{"text":"x"}]}],"contents":[]}`, "contents")
}

// TestDecodeRequest_spellings: snake_case, bare elements for lists and enumerations by number are what Google's parser takes too.
func TestDecodeRequest_spellings(t *testing.T) {
	t.Parallel()
	want, err := Generate.DecodeRequest([]byte(`{"contents":[{"role":"user","parts":[{"text":"x"},{"fileData":{"mimeType":"image/png","fileUri":"gs://b/c"}}]}],
		"systemInstruction":{"parts":[{"text":"s"}]},"generationConfig":{"maxOutputTokens":5,"topK":40,"stopSequences":["e"],"thinkingConfig":{"thinkingLevel":"LOW"}},
		"tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"a_b":{"type":"STRING","nullable":true}}}}]},{"googleSearch":{}}],
		"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},"safetySettings":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Generate.DecodeRequest([]byte(`{"contents":{"role":"USER","parts":[{"text":"x"},{"file_data":{"mime_type":"image/png","file_uri":"gs://b/c"}}]},
		"system_instruction":{"parts":{"text":"s"}},"generation_config":{"max_output_tokens":"5","top_k":40.0,"stop_sequences":"e","thinking_config":{"thinking_level":"low"}},
		"tools":[{"function_declarations":{"name":"f","parameters":{"type":6,"properties":{"a_b":{"type":"string","nullable":true}}}}},{"google_search":{}}],
		"tool_config":{"function_calling_config":{"mode":2,"allowed_function_names":["f"]}},"safety_settings":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-camel +snake):\n%s", diff)
	}
	if s := string(got.Tools[0].Schema); s != `{"type":"object","properties":{"a_b":{"type":["string","null"]}}}` {
		t.Errorf("schema %s", s)
	}
}

// TestDecodeRequest_ids: calls without ids get unique, stable ones; results find them by name in order, and none goes back to Gemini.
func TestDecodeRequest_ids(t *testing.T) {
	t.Parallel()
	body := `{"contents":[{"parts":[{"text":"x"}],"role":"user"},` +
		`{"parts":[{"functionCall":{"name":"f","args":{"n":1}}},{"functionCall":{"name":"g","args":{}}},{"functionCall":{"name":"f","args":{"n":2}}}],"role":"model"},` +
		`{"parts":[{"functionResponse":{"name":"g","response":{"result":"g"}}},{"functionResponse":{"name":"f","response":{"result":"f1"}}},{"functionResponse":{"name":"f","response":{"result":"f2"}}}],"role":"user"},` +
		`{"parts":[{"functionCall":{"name":"f","args":{"n":1}}}],"role":"model"},` +
		`{"parts":[{"functionResponse":{"name":"f","response":{"result":"f3"}}}],"role":"user"}]}`
	req, err := Generate.DecodeRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]string{}
	for _, m := range req.Messages {
		for _, p := range m.Parts {
			if p.Result != nil {
				answers[p.Result.CallID] = llm.TextOf(p.Result.Parts)
			}
		}
	}
	calls := req.Messages[1].Parts
	got := []string{answers[calls[0].Call.ID], answers[calls[1].Call.ID], answers[calls[2].Call.ID], answers[req.Messages[3].Parts[0].Call.ID]}
	if diff := cmp.Diff([]string{"f1", "g", "f2", "f3"}, got); diff != "" || len(answers) != 4 {
		t.Errorf("%s %v", diff, answers)
	}
	again, err := Generate.DecodeRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(req, again); diff != "" {
		t.Errorf("ids are not stable: %s", diff)
	}
	out, _, err := Generate.EncodeRequest(nil, req, &llm.Target{Model: "gemini-2.5-pro"})
	if err != nil || string(out) != body {
		t.Errorf("%v\ngot  %s\nwant %s", err, out, body)
	}
}

func TestNeedsInline(t *testing.T) {
	t.Parallel()
	f := func(url string, want bool) {
		t.Helper()
		if got := NeedsInline(&llm.Part{Kind: llm.KindImage, Media: &llm.Media{URL: url}}); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
	f("https://example.org/a.png", true)
	f("http://example.org/a.png", true)
	f("gs://bucket/a.png", false)
	f("https://www.youtube.com/watch?v=1", false)
	f("https://youtu.be/1", false)
	f("https://youtube.com.example.org/1", true)
	f("https://generativelanguage.googleapis.com/v1beta/files/abc", false)
	f("", false)
	if NeedsInline(&llm.Part{Kind: llm.KindText}) {
		t.Error("text needs nothing")
	}
}
