package openai

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

func TestResponses_requestErrors(t *testing.T) {
	f := func(body, param, says string) {
		t.Helper()
		_, err := Responses.DecodeRequest([]byte(body))
		if err == nil {
			t.Errorf("%s: no error", body)
			return
		}
		e := llm.AsError(err)
		if e.Kind != llm.ErrInvalid || e.Param != param || !strings.Contains(e.Message, says) {
			t.Errorf("%s: %s, param %q: %s", body, e.Kind, e.Param, e.Message)
		}
	}
	f(`{"model":"m"}`, "input", "Missing required parameter: 'input'.")
	f(`{"model":"m","input":null}`, "input", "Missing")
	f(`[]`, "", "JSON object")
	f(`{"model":"m","input":"x"`, "", "not valid JSON")
	f(`{"model":"m","input":"x","input":"y"}`, "input", "twice")
	f(`{"model":"m","input":7}`, "input", "string or an array")
	f(`{"model":7,"input":"x"}`, "model", "a number")
	f(`{"model":"m","input":"x","temperature":"hot"}`, "temperature", "a string")
	f(`{"model":"m","input":"x","metadata":{"a":1}}`, "metadata.a", "a number")
	f(`{"model":"m","input":"x","instructions":["y"]}`, "instructions", "must be a string")
	f(`{"model":"m","input":[7]}`, "input[0]", "a number")
	f(`{"model":"m","input":[{"content":"x"}]}`, "input[0].type", "neither a 'type' nor a 'role'")
	f(`{"model":"m","input":[{"role":"tool","content":"x"}]}`, "input[0].role", "function_call_output")
	f(`{"model":"m","input":[{"role":"user"}]}`, "input[0].content", "missing")
	f(`{"model":"m","input":[{"role":"user","content":{}}]}`, "input[0].content", "array of content parts")
	f(`{"model":"m","input":[{"role":"user","content":"x"},{"role":"user","content":[{"type":"input_text","text":"x"},{"type":"image_url"}]}]}`,
		"input[1].content[1].type", "input_image")
	f(`{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":{"url":"x"}}]}]}`, "input[0].content[0].image_url", "an object")
	f(`{"model":"m","input":[{"role":"user","content":[{"type":"input_image"}]}]}`, "input[0].content[0].image_url", "data URL")
	f(`{"model":"m","input":[{"role":"user","content":[{"type":"input_file"}]}]}`, "input[0].content[0].file_data", "file_url")
	f(`{"model":"m","input":[{"role":"user","content":[{"type":"input_audio"}]}]}`, "input[0].content[0].input_audio", "'format'")
	f(`{"model":"m","input":[{"type":"function_call","name":"f","arguments":"{}"}]}`, "input[0].call_id", "missing")
	f(`{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f","arguments":{}}]}`, "input[0].arguments", "an object")
	f(`{"model":"m","input":[{"type":"function_call_output","output":"x"}]}`, "input[0].call_id", "missing")
	f(`{"model":"m","input":[{"type":"function_call_output","call_id":"c"}]}`, "input[0].output", "missing")
	f(`{"model":"m","input":"x","tools":[{"name":"f"}]}`, "tools[0].type", "missing")
	f(`{"model":"m","input":"x","tools":[{"type":"function","function":{"name":"f"}}]}`, "tools[0].name", "beside 'type'")
	f(`{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":[]}]}`, "tools[0].parameters", "JSON schema")
	f(`{"model":"m","input":"x","tool_choice":"any"}`, "tool_choice", "required")
	f(`{"model":"m","input":"x","tool_choice":{"type":"function"}}`, "tool_choice.name", "missing")
	f(`{"model":"m","input":"x","tool_choice":{}}`, "tool_choice.type", "missing")
	f(`{"model":"m","input":"x","tool_choice":7}`, "tool_choice", "must be")
	f(`{"model":"m","input":"x","text":{"format":{"type":"xml"}}}`, "text.format.type", "json_schema")
	f(`{"model":"m","input":"x","text":{"format":{"type":"json_schema","name":"n"}}}`, "text.format.schema", "object")
}

func TestResponses_stateful(t *testing.T) {
	f := func(body, param string) {
		t.Helper()
		req, err := Responses.DecodeRequest([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			return
		}
		e := Responses.Stateful(req)
		if param == "" {
			if e != nil {
				t.Errorf("%s: %v", body, e)
			}
		} else if e == nil || e.Param != param || e.HTTPStatus() != 400 {
			t.Errorf("%s: %v", body, e)
		}
	}
	f(`{"model":"m","input":"x","previous_response_id":null,"conversation":null,"background":false,"truncation":"disabled"}`, "")
	f(`{"model":"m","previous_response_id":"resp_1"}`, "previous_response_id")
	f(`{"model":"m","input":"x","conversation":"conv_1"}`, "conversation")
	f(`{"model":"m","prompt":{"id":"pmpt_1"}}`, "prompt")
	f(`{"model":"m","input":"x","background":true}`, "background")
	f(`{"model":"m","input":[{"type":"item_reference","id":"msg_1"}]}`, "input")
	f(`{"model":"m","input":[{"id":"msg_1"}]}`, "input")
}

// respEncoded is the JSON of a request for a Responses upstream, without the model.
func respEncoded(t *testing.T, req *llm.Request, provider string) (map[string]any, []string) {
	t.Helper()
	b, dropped, err := Responses.EncodeRequest(nil, req, &llm.Target{Model: "m", Provider: provider})
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	delete(v, "model")
	return v, dropped
}

func TestResponses_foreignRequest(t *testing.T) {
	f := func(req *llm.Request, want string, wantDropped ...string) {
		t.Helper()
		got, dropped := respEncoded(t, req, "openai")
		var w any
		if err := json.Unmarshal([]byte(want), &w); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(w, any(got)); d != "" {
			t.Errorf("-want +got\n%s", d)
		}
		slices.Sort(dropped)
		if !slices.Equal(dropped, wantDropped) {
			t.Errorf("dropped %v, want %v", dropped, wantDropped)
		}
	}
	text := func(role llm.Role, s string) llm.Message {
		return llm.Message{Role: role, Parts: []llm.Part{{Kind: llm.KindText, Text: s}}}
	}
	f(&llm.Request{From: llm.OpenAI, Messages: []llm.Message{text("system", "s"), text("user", "u"), text("developer", "d")},
		MaxTokens: llm.Ptr[int64](5), Seed: llm.Ptr[int64](1), Stop: []string{"x"}, N: llm.Ptr[int64](2), LogitBias: map[string]float64{"1": 1},
		PresencePenalty: llm.Ptr(0.5), FrequencyPenalty: llm.Ptr(0.0), TopK: llm.Ptr[int64](3), Extra: map[string]llm.Raw{"foo": llm.Raw("1")},
		Logprobs: llm.Ptr(true), TopLogprobs: llm.Ptr[int64](2), Reasoning: &llm.Reasoning{Effort: "low"}},
		`{"input":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"developer","content":"d"}],"max_output_tokens":16,
		"top_logprobs":2,"store":false,"reasoning":{"effort":"low"},"include":["reasoning.encrypted_content","message.output_text.logprobs"]}`,
		"foo", "logit_bias", "n", "presence_penalty", "seed", "stop", "top_k")
	f(&llm.Request{From: llm.Anthropic, Store: llm.Ptr(true), ServiceTier: "standard_only", Reasoning: &llm.Reasoning{Budget: llm.Ptr[int64](9000)},
		Messages: []llm.Message{text("user", "u"), {Role: "assistant", Parts: []llm.Part{
			{Kind: llm.KindReasoning, Text: "t", Signature: "sig", SignedBy: llm.Anthropic},
			{Kind: llm.KindRedacted, Data: "d", SignedBy: llm.Anthropic},
			{Kind: llm.KindText, Text: "a"},
			{Kind: llm.KindReasoning, Text: "mine", Signature: "enc", SignedBy: llm.Responses},
			{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "c1", Name: "f"}},
			{Kind: llm.KindNative, Raw: llm.Raw(`{"type":"server_tool_use"}`)},
		}}, {Role: "user", Parts: []llm.Part{
			{Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: "c1", Parts: []llm.Part{
				{Kind: llm.KindText, Text: "see"}, {Kind: llm.KindImage, Media: &llm.Media{Data: "/9j/4AAQ"}}}}},
			{Kind: llm.KindDocument, Media: &llm.Media{MIME: "application/pdf", Data: "JVBE"}},
			{Kind: llm.KindDocument, Media: &llm.Media{Text: "clear", Name: "n.txt"}},
		}}}},
		`{"input":[{"role":"user","content":"u"},{"role":"assistant","content":"a"},
		{"type":"reasoning","summary":[{"type":"summary_text","text":"mine"}],"encrypted_content":"enc"},
		{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},
		{"type":"function_call_output","call_id":"c1","output":[{"type":"input_text","text":"see"},
			{"type":"input_image","image_url":"data:image/jpeg;base64,/9j/4AAQ","detail":"auto"}]},
		{"role":"user","content":[{"type":"input_file","file_data":"data:application/pdf;base64,JVBE","filename":"document.pdf"},
			{"type":"input_text","text":"n.txt\n\nclear"}]}],
		"store":true,"reasoning":{"effort":"medium","summary":"auto"},"service_tier":"default"}`, "messages.server_tool_use")
	f(&llm.Request{From: llm.OpenAI, Messages: []llm.Message{text("user", "u"),
		{Role: "assistant", Parts: []llm.Part{{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "c1", Name: "sql", Arguments: "SELECT", Type: "custom"}}}},
		{Role: "tool", Parts: []llm.Part{{Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: "c1", Parts: []llm.Part{{Kind: llm.KindJSON, Raw: llm.Raw(`{"a":1}`)}}}}}}},
		Tools: []llm.Tool{{Name: "f"}, {Name: "g", Schema: llm.Raw(`{"type":"object"}`), Strict: llm.Ptr(true)},
			{Type: "custom", Name: "sql", Raw: llm.Raw(`{"type":"custom","custom":{"name":"sql","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"x"}}}}`)},
			{Type: "web_search_20250305", Raw: llm.Raw(`{"type":"web_search_20250305"}`)}},
		ToolChoice: &llm.ToolChoice{Mode: llm.ChoiceAllowed, Name: "required", Allowed: []string{"f", "sql"}},
		Format:     &llm.Format{Type: "json_schema", Schema: llm.Raw(`{"type":"object"}`)}, Verbosity: "low"},
		`{"input":[{"role":"user","content":"u"},{"type":"custom_tool_call","call_id":"c1","name":"sql","input":"SELECT"},
		{"type":"custom_tool_call_output","call_id":"c1","output":"{\"a\":1}"}],
		"tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{}},"strict":false},
		{"type":"function","name":"g","parameters":{"type":"object"},"strict":true},
		{"type":"custom","name":"sql","format":{"type":"grammar","syntax":"lark","definition":"x"}}],
		"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"f"},{"type":"custom","name":"sql"}]},
		"text":{"format":{"type":"json_schema","name":"response","schema":{"type":"object"}},"verbosity":"low"},"store":false}`,
		"tools.web_search_20250305")
	f(&llm.Request{From: llm.Gemini, Messages: []llm.Message{text("user", "u")}, Tools: []llm.Tool{{Type: "google_search", Raw: llm.Raw(`{}`)}},
		ToolChoice: &llm.ToolChoice{Mode: llm.ChoiceRequired}}, `{"input":[{"role":"user","content":"u"}],"store":false}`, "tools.google_search")
}

func TestResponses_unsayable(t *testing.T) {
	f := func(p llm.Part) {
		t.Helper()
		_, _, err := Responses.EncodeRequest(nil, &llm.Request{Messages: []llm.Message{{Role: "user", Parts: []llm.Part{p}}}}, &llm.Target{})
		if e := llm.AsError(err); err == nil || e.Kind != llm.ErrInvalid || e.Param != "messages[0].content[0]" {
			t.Errorf("%+v: %v", p.Media, err)
		}
	}
	f(llm.Part{Kind: llm.KindVideo, Media: &llm.Media{Data: "x"}})
	f(llm.Part{Kind: llm.KindImage, Media: &llm.Media{URL: "s3://b/k"}})
	f(llm.Part{Kind: llm.KindDocument, Media: &llm.Media{URL: "gs://b/k"}})
}

// respLines gives a stream's events, one a line: type and the members that place it.
func respLines(t *testing.T, stream string) (lines []string) {
	t.Helper()
	for i, f := range respFrames(t, stream) {
		var e struct {
			Type    string         `json:"type"`
			Seq     int            `json:"sequence_number"`
			Output  *int           `json:"output_index"`
			Content *int           `json:"content_index"`
			Summary *int           `json:"summary_index"`
			Delta   string         `json:"delta"`
			Item    jsontext.Value `json:"item"`
		}
		if err := json.Unmarshal(f.Data, &e); err != nil || e.Seq != i || e.Type != f.Type {
			t.Fatalf("event %d: %v: %s", i, err, f.Data)
		}
		line := strings.TrimPrefix(e.Type, "response.")
		for _, n := range []*int{e.Output, e.Content, e.Summary} {
			if n != nil {
				line += fmt.Sprintf(" %d", *n)
			}
		}
		if e.Delta != "" {
			line += " " + e.Delta
		}
		if e.Item != nil {
			line += " " + respTypeOf(e.Item)
		}
		lines = append(lines, line)
	}
	return lines
}

// respOrder encodes events and compares the lines of what comes out.
func respOrder(t *testing.T, want string, events ...llm.Event) {
	t.Helper()
	enc := Responses.NewStreamEncoder(respExchange("m"))
	var out []byte
	for i := range events {
		out = enc.Encode(out, &events[i])
	}
	if d := cmp.Diff(strings.Split(strings.ReplaceAll(strings.TrimSpace(want), "\t", ""), "\n"), respLines(t, string(out))); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func respPartStart(i int, p llm.Part) llm.Event {
	return llm.Event{Kind: llm.EventPartStart, Index: i, Part: &p}
}

func respTextDelta(i int, s string) llm.Event {
	return llm.Event{Kind: llm.EventDelta, Index: i, Text: s}
}

func respCallPart(id, kind string) llm.Part {
	return llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: id, Name: "f", Type: kind}}
}

var (
	respStart = llm.Event{Kind: llm.EventStart, Start: &llm.Response{From: llm.OpenAI, ID: "x"}}
	respEnd   = llm.Event{Kind: llm.EventEnd}
)

func TestResponses_streamOrder(t *testing.T) {
	part, delta := respPartStart, respTextDelta
	stop := func(i int) llm.Event { return llm.Event{Kind: llm.EventPartStop, Index: i} }
	finish := llm.Event{Kind: llm.EventFinish, Stop: llm.Stop{Reason: llm.FinishStop}}
	respOrder(t, `created
	in_progress
	output_item.added 0 reasoning
	reasoning_summary_part.added 0 0
	reasoning_summary_text.delta 0 0 hm
	reasoning_summary_text.done 0 0
	reasoning_summary_part.done 0 0
	output_item.done 0 reasoning
	output_item.added 1 message
	content_part.added 1 0
	output_text.delta 1 0 he
	output_text.delta 1 0 llo
	output_text.annotation.added 1 0
	output_text.done 1 0
	content_part.done 1 0
	output_item.done 1 message
	output_item.added 2 function_call
	function_call_arguments.delta 2 {"a":
	function_call_arguments.delta 2 1}
	function_call_arguments.done 2
	output_item.done 2 function_call
	completed`,
		respStart, part(0, llm.Part{Kind: llm.KindReasoning}), delta(0, "hm"), stop(0),
		part(1, llm.Part{Kind: llm.KindText}), delta(1, "he"), llm.Event{Kind: llm.EventPing}, delta(1, "llo"),
		llm.Event{Kind: llm.EventDelta, Index: 1, Citations: []llm.Citation{{Kind: "url", URL: "https://e.x/"}}}, stop(1),
		part(2, respCallPart("c", "")), delta(2, `{"a":`), delta(2, `1}`), stop(2), finish, llm.Event{Kind: llm.EventUsage, Usage: &llm.Usage{}}, respEnd)
	// Parallel calls whose arguments come interleaved.
	respOrder(t, `created
	in_progress
	output_item.added 0 function_call
	function_call_arguments.delta 0 {"a"
	output_item.added 1 function_call
	function_call_arguments.delta 1 {}
	function_call_arguments.delta 0 :1}
	function_call_arguments.done 0
	output_item.done 0 function_call
	function_call_arguments.done 1
	output_item.done 1 function_call
	completed`,
		respStart, part(0, respCallPart("c", "")), delta(0, `{"a"`), stop(0), part(1, respCallPart("d", "")), delta(1, "{}"), delta(0, ":1}"), stop(1), finish, respEnd)
}

func TestResponses_streamOrderOdd(t *testing.T) {
	part, delta := respPartStart, respTextDelta
	finish := llm.Event{Kind: llm.EventFinish, Stop: llm.Stop{Reason: llm.FinishStop}}
	// Text that goes on after a call is another message; arguments nobody wrote are an empty object.
	respOrder(t, `created
	in_progress
	output_item.added 0 message
	content_part.added 0 0
	output_text.delta 0 0 a
	output_text.done 0 0
	content_part.done 0 0
	output_item.done 0 message
	output_item.added 1 function_call
	output_item.added 2 message
	content_part.added 2 0
	output_text.delta 2 0 b
	function_call_arguments.delta 1 {}
	function_call_arguments.done 1
	output_item.done 1 function_call
	output_text.done 2 0
	content_part.done 2 0
	output_item.done 2 message
	incomplete`,
		respStart, part(0, llm.Part{Kind: llm.KindText}), delta(0, "a"), part(1, respCallPart("c", "")), delta(0, "b"),
		llm.Event{Kind: llm.EventFinish, Stop: llm.Stop{Reason: llm.FinishLength}}, respEnd)
	respOrder(t, `created
	in_progress
	output_item.added 0 message
	content_part.added 0 0
	refusal.delta 0 0 no
	error
	failed`,
		respStart, part(0, llm.Part{Kind: llm.KindRefusal}), delta(0, "no"), llm.Event{Kind: llm.EventError, Err: llm.Errorf(llm.ErrOverloaded, "busy")}, respEnd)
	respOrder(t, `created
	in_progress
	output_item.added 0 custom_tool_call
	custom_tool_call_input.delta 0 SELECT
	custom_tool_call_input.done 0
	output_item.done 0 custom_tool_call
	completed`,
		respStart, part(0, respCallPart("c", "custom")), delta(0, "SELECT"), finish, respEnd)
	own := respStart
	own.Start = &llm.Response{From: llm.Responses, ID: "resp_1"}
	respOrder(t, `created
	in_progress
	output_item.added 0 reasoning
	reasoning_text.delta 0 0 raw
	reasoning_text.done 0 0
	output_item.done 0 reasoning
	output_item.added 1 web_search_call
	output_item.done 1 web_search_call
	failed`,
		own, part(0, llm.Part{Kind: llm.KindReasoning, ID: "rs_1"}), delta(0, "raw"),
		part(1, llm.Part{Kind: llm.KindNative, Raw: llm.Raw("{\"type\":\n\"web_search_call\"}")}),
		llm.Event{Kind: llm.EventFinish, Stop: llm.Stop{Reason: llm.FinishMalformed}}, respEnd)
}

func TestResponses_echo(t *testing.T) {
	req, err := Responses.DecodeRequest([]byte(`{"model":"shown","instructions":"Be brief","input":"hi","tools":[{"type":"function","name":"f"},
		{"type":"web_search"}],"tool_choice":"required","parallel_tool_calls":false,"max_output_tokens":50,"temperature":0.3,"metadata":{"a":"b"},
		"user":"u1","text":{"format":{"type":"json_object"},"verbosity":"low"},"reasoning":{"effort":"low","summary":"auto"},"truncation":"auto",
		"safety_identifier":"s","prompt_cache_key":"k","top_p":0.5,"top_logprobs":1}`))
	if err != nil {
		t.Fatal(err)
	}
	x := respExchange("shown")
	x.Request = req
	resp := &llm.Response{From: llm.Anthropic, ID: "msg_1", Model: "upstream", Choices: []llm.Choice{{Stop: llm.Stop{Reason: llm.FinishStop}}}}
	var got, want any
	if err := json.Unmarshal(Responses.EncodeResponse(nil, resp, x), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"id":"resp_77","object":"response","created_at":1000000000,"completed_at":1000000001,"status":"completed",
		"error":null,"incomplete_details":null,"model":"shown","background":false,"instructions":"Be brief","max_output_tokens":50,
		"max_tool_calls":null,"metadata":{"a":"b"},"parallel_tool_calls":false,"previous_response_id":null,"prompt_cache_key":"k",
		"reasoning":{"effort":"low","summary":"auto"},"safety_identifier":"s","service_tier":"default","store":false,"temperature":0.3,
		"text":{"format":{"type":"json_object"},"verbosity":"low"},"tool_choice":"required",
		"tools":[{"type":"function","name":"f","parameters":null,"strict":false},{"type":"web_search"}],
		"top_logprobs":1,"top_p":0.5,"truncation":"auto","user":"u1","output":[],
		"usage":{"input_tokens":0,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":0,
		"output_tokens_details":{"reasoning_tokens":0},"total_tokens":0}}`), &want); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestResponses_annotations(t *testing.T) {
	f := func(c llm.Citation, want string) {
		t.Helper()
		if got := string(respAppendCitation(nil, &c)); got != want {
			t.Errorf("got %s want %s", got, want)
		}
	}
	f(respCitation(llm.Raw(`{"type":"url_citation","url":"https://e.x/"}`)),
		`{"end_index":0,"start_index":0,"title":"","type":"url_citation","url":"https://e.x/"}`)
	f(respCitation(llm.Raw(`{"type":"container_file_citation","file_id":"f","new":1}`)), `{"type":"container_file_citation","file_id":"f","new":1}`)
	f(llm.Citation{Kind: "url", URL: "https://e.x/", Title: "t", Start: 1, End: 2},
		`{"type":"url_citation","start_index":1,"end_index":2,"url":"https://e.x/","title":"t"}`)
	f(llm.Citation{Kind: "page", Title: "doc.pdf", Document: 2, CitedText: "x"}, `{"type":"file_citation","file_id":"","index":2,"filename":"doc.pdf"}`)
}

// An upstream that leaves deltas, or everything but the end, out.
func TestResponses_terseStreams(t *testing.T) {
	f := func(stream string, want ...llm.Part) {
		t.Helper()
		resp, events, failed, _ := respReadStream(t, stream)
		if failed != nil {
			t.Fatal(failed)
		}
		respWellFormed(t, events)
		if d := cmp.Diff(want, resp.Choices[0].Parts); d != "" {
			t.Errorf("-want +got\n%s", d)
		}
	}
	event := func(kind, members string) string {
		return "event: response." + kind + "\ndata: {\"type\":\"response." + kind + "\"," + strings.ReplaceAll(members, "\n", "") + "}\n\n"
	}
	text := llm.Part{Kind: llm.KindText, ID: "m1", Text: "hello"}
	message := `{"type":"message","id":"m1","role":"assistant","content":[{"type":"output_text","text":"hello","annotations":[]}]}`
	f(event("completed", `"response":{"id":"r","object":"response","status":"completed","output":[`+message+`]}`), text)
	f(event("output_item.done", `"output_index":0,"item":`+message)+event("completed", `"response":{"object":"response","output":[`+message+`]}`), text)
	f(event("output_item.added", `"output_index":0,"item":{"type":"message","id":"m1","role":"assistant","content":[]}`)+
		event("output_text.delta", `"output_index":0,"content_index":0,"delta":"he"`)+
		event("output_text.done", `"output_index":0,"content_index":0,"text":"hello"`)+
		event("something.new", `"x":1`)+
		event("output_item.done", `"output_index":0,"item":`+message)+
		event("completed", `"response":{"object":"response","output":[]}`), text)
	f(event("completed", `"response":{"output":[{"type":"message","id":"m1","content":[{"type":"output_hologram","x":1},{"type":"output_text","text":"hello"}]},
		{"type":"message","content":null},{"type":"function_call","id":"f1","name":"f","arguments":"{}"}]}`), text,
		llm.Part{Kind: llm.KindToolCall, ID: "f1", Call: &llm.ToolCall{ID: "f1", Name: "f", Arguments: "{}"}})
	f(event("output_item.added", `"output_index":3,"item":{"type":"function_call","id":"f1","call_id":"c1","name":"f","arguments":""}`)+
		event("function_call_arguments.done", `"output_index":3,"arguments":"{}"`)+
		event("completed", `"response":{"object":"response","status":"completed"}`),
		llm.Part{Kind: llm.KindToolCall, ID: "f1", Call: &llm.ToolCall{ID: "c1", Name: "f", Arguments: "{}"}})
}

func TestResponses_brokenStreams(t *testing.T) {
	f := func(kind, data string, want llm.ErrorKind) {
		t.Helper()
		frame := llm.Frame{Type: kind, Data: []byte(data)}
		events, err := Responses.NewStreamDecoder().Decode(nil, frame)
		tap := Responses.NewTap()
		mark := tap.Frame(frame)
		if want == llm.ErrUpstream {
			if err == nil || llm.AsError(err).Kind != want {
				t.Errorf("%s: %v %v", data, events, err)
			}
			return
		}
		if err != nil || len(events) == 0 || events[len(events)-1].Kind != llm.EventError || events[len(events)-1].Err.Kind != want {
			t.Errorf("%s: %v %v", data, events, err)
		}
		if mark&llm.MarkError == 0 || tap.Seen().Err == nil || tap.Seen().Err.Kind != want {
			t.Errorf("%s: mark %b, %v", data, mark, tap.Seen().Err)
		}
	}
	f("response.completed", `{"type":"response.completed"`, llm.ErrUpstream)
	f("response.completed", `{"type":"response.completed"}`, llm.ErrUpstream)
	f("", `{"object":"chat.completion.chunk","choices":[]}`, llm.ErrUpstream)
	f("", `oops`, llm.ErrUpstream)
	f("error", `{"type":"error","code":"rate_limit_exceeded","message":"slow down","param":null,"sequence_number":1}`, llm.ErrRateLimit)
	f("", `{"type":"error","error":{"code":"server_error","message":"m"}}`, llm.ErrInternal)
	f("", `{"error":{"message":"m","code":"context_length_exceeded"}}`, llm.ErrContextWindow)
	f("response.failed", `{"type":"response.failed","response":{"object":"response","status":"failed","error":{"code":"invalid_prompt","message":"m"}}}`, llm.ErrInvalid)
	f("response.failed", `{"type":"response.failed","response":{"object":"response","status":"failed","error":null}}`, llm.ErrInternal)
}

func TestResponses_streamError(t *testing.T) {
	out := string(Responses.EncodeStreamError(nil, &llm.Error{Kind: llm.ErrTimeout, Message: "idle\n\"x\""}))
	want := "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":\"server_error\",\"message\":\"idle\\n\\\"x\\\"\",\"param\":null," +
		"\"error\":{\"type\":\"invalid_request_error\",\"code\":\"server_error\",\"message\":\"idle\\n\\\"x\\\"\",\"param\":null}}\n\n"
	if out != want {
		t.Errorf("got %s", out)
	}
}

func TestResponses_tapMarks(t *testing.T) {
	tap := Responses.NewTap()
	f := func(kind, data string, want llm.Mark) {
		t.Helper()
		if got := tap.Frame(llm.Frame{Type: kind, Data: []byte(data)}); got != want {
			t.Errorf("%s: mark %b, want %b", data, got, want)
		}
	}
	f("response.created", `{"type":"response.created","response":{"id":"r1","model":"m"}}`, 0)
	f("response.output_text.delta", `{"type":"response.output_text.delta","delta":"a\"\u00e9"}`, llm.MarkContent)
	f("", `{"delta": "hello","type":"response.reasoning_text.delta"}`, llm.MarkContent)
	f("response.output_text.done", `{"type":"response.output_text.done","text":"abc"}`, 0)
	f("response.output_item.added", `{"type":"response.output_item.added","item":{"type":"function_call"}}`, 0)
	f("response.something.new", `{"type":"response.something.new"}`, 0)
	f("", `[DONE]`, 0)
	f("", `<html>`, llm.MarkBad)
	if s := tap.Seen(); s.ID != "r1" || s.Model != "m" || s.Chars != 9 || s.ToolCalls != 1 {
		t.Errorf("%+v", s)
	}
	f("response.incomplete", `{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}}`, llm.MarkEnd)
	if s := tap.Seen(); s.Finish != llm.FinishLength || s.Usage.Sum() != 7 {
		t.Errorf("%+v", s)
	}
}

func TestResponses_deltaAllocations(t *testing.T) {
	enc := Responses.NewStreamEncoder(respExchange("m"))
	dst := enc.Encode(nil, &llm.Event{Kind: llm.EventPartStart, Part: &llm.Part{Kind: llm.KindText}})
	dst = append(dst, make([]byte, 1<<20)...)[:0]
	e := &llm.Event{Kind: llm.EventDelta, Text: "hello"}
	if n := testing.AllocsPerRun(200, func() { dst = enc.Encode(dst[:0], e) }); n > 0.1 {
		t.Errorf("%v allocations a delta", n)
	}
	tap := Responses.NewTap()
	f := llm.Frame{Type: "response.output_text.delta", Data: []byte(`{"type":"response.output_text.delta","delta":"hello"}`)}
	if n := testing.AllocsPerRun(200, func() { tap.Frame(f) }); n > 0 {
		t.Errorf("%v allocations a tapped delta", n)
	}
}
