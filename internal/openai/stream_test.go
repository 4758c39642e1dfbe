package openai

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

// sample is an answer that thinks, speaks and calls a tool.
func sample() *llm.Response {
	return &llm.Response{
		From: llm.Anthropic, ID: "msg_1", Model: "claude", Choices: []llm.Choice{{
			Parts: []llm.Part{
				{Kind: llm.KindReasoning, Text: "why", Signature: "sig", SignedBy: llm.Anthropic},
				{Kind: llm.KindText, Text: "so"},
				{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "call_1", Name: "f", Arguments: `{"a":1}`}},
				{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "call_2", Name: "g"}},
			},
			Stop: llm.Stop{Reason: llm.FinishToolCalls, Raw: "tool_use"},
		}},
		Usage: &llm.Usage{Input: 11, Output: 5}, ServiceTier: "standard",
	}
}

func TestStreamEncoder_bytes(t *testing.T) {
	x := &llm.Exchange{Model: "m", Started: time.Unix(1700000000, 0), StreamUsage: true}
	head := `data: {"id":"msg_1","object":"chat.completion.chunk","created":1700000000,"model":"m","service_tier":"default","choices":[`
	delta := func(d string) string { return head + `{"index":0,"delta":{` + d + `},"finish_reason":null}]}` }
	want := strings.Join([]string{
		head + `{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`,
		delta(`"reasoning_content":"why"`),
		delta(`"thinking_blocks":[{"type":"thinking","thinking":"why","signature":"sig"}]`),
		delta(`"content":"so"`),
		delta(`"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]`),
		delta(`"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":1}"}}]`),
		delta(`"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":""}}]`),
		delta(`"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]`),
		head + `{"index":0,"delta":{},"logprobs":null,"finish_reason":"tool_calls"}]}`,
		head + `],"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16}}`,
		"data: [DONE]", "",
	}, "\n\n")
	if d := cmp.Diff(want, string(writeStream(Chat.NewStreamEncoder(x), sample().Events()))); d != "" {
		t.Error(d)
	}
	x.StreamUsage = false
	want = strings.Replace(want, head+`],"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16}}`+"\n\n", "", 1)
	if d := cmp.Diff(want, string(writeStream(Chat.NewStreamEncoder(x), sample().Events()))); d != "" {
		t.Error(d)
	}
}

func TestStreamEncoder_error(t *testing.T) {
	events := []llm.Event{
		{Kind: llm.EventStart, Start: &llm.Response{ID: "1"}},
		{Kind: llm.EventError, Err: llm.Errorf(llm.ErrConnection, "cut off")},
		{Kind: llm.EventEnd},
	}
	want := `data: {"error":{"message":"cut off","type":null,"param":null,"code":"500"}}` + "\n\n"
	for _, enc := range []llm.StreamEncoder{Chat.NewStreamEncoder(&llm.Exchange{}), Completions.NewStreamEncoder(&llm.Exchange{})} {
		if out := string(writeStream(enc, events)); !strings.HasSuffix(out, want) || strings.Contains(out, "[DONE]") {
			t.Error(out)
		}
	}
}

func TestEncodeResponse_bytes(t *testing.T) {
	want := `{"id":"msg_1","object":"chat.completion","created":1700000000,"model":"m","service_tier":"default","choices":[{"index":0,` +
		`"message":{"role":"assistant","content":"so","refusal":null,"reasoning_content":"why",` +
		`"thinking_blocks":[{"type":"thinking","thinking":"why","signature":"sig"}],` +
		`"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},` +
		`{"id":"call_2","type":"function","function":{"name":"g","arguments":"{}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],` +
		`"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16}}`
	got := string(Chat.EncodeResponse(nil, sample(), &llm.Exchange{Model: "m", Started: time.Unix(1700000000, 0)}))
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestTap_marks(t *testing.T) {
	tap := Chat.NewTap()
	f := func(data string, want llm.Mark) {
		t.Helper()
		if got := tap.Frame(llm.Frame{Data: []byte(data)}); got != want {
			t.Errorf("%s: mark %b, want %b", data, got, want)
		}
	}
	f(`{"id":"1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`, 0)
	f(`{"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"h\u00e9 \"error\": \"x\""},"finish_reason":null}],"usage":null}`, llm.MarkContent)
	f(`{"id":"1","model":"m","choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": null}], "usage": null}`, 0)
	f(`{"id":"1","choices":[{"delta":{"reasoning_content":"why"},"finish_reason":null}]}`, llm.MarkContent)
	f(`{"id":"1","choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}`, llm.MarkContent)
	f(`{"id":"1","choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]},"finish_reason":null}]}`, llm.MarkContent)
	f(`{"id":"1","choices":[{"delta":{},"finish_reason":"tool_calls"}]}`, 0)
	f(`{"id":"1","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`, llm.MarkUsageOnly)
	f(`{"id":"1","choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`, llm.MarkUsageOnly)
	f(`{"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`, 0)
	f(`[DONE]`, llm.MarkEnd)
	f(`{"id": "x", "choices": [{"delta": {"con`, llm.MarkBad)
	f(`{not json}`, llm.MarkBad)
	f(`<html>`, llm.MarkBad)
	f(`{"error":{"message":"boom","type":"server_error"}}`, llm.MarkError)
	s := tap.Seen()
	if s.ID != "1" || s.Model != "m" || s.Usage.Input != 1 || s.ToolCalls != 1 || s.Err == nil || s.Finish != llm.FinishToolCalls || s.Chars != 16+3+2 {
		t.Errorf("%+v", s)
	}
}

func TestCompletions_bothWays(t *testing.T) {
	f := func(body string, want string) {
		t.Helper()
		r, err := Completions.DecodeRequest([]byte(body))
		if err != nil {
			t.Error(err)
			return
		}
		out, dropped, err := Completions.EncodeRequest(nil, r, &llm.Target{Model: "up"})
		if err != nil || string(out) != want || dropped != nil {
			t.Errorf("%v %v\ngot  %s\nwant %s", dropped, err, out, want)
		}
	}
	f(`{"model":"m","prompt":"Say hi","max_tokens":5,"logprobs":1,"echo":true,"suffix":"z"}`, `{"model":"up","prompt":"Say hi","max_tokens":5,"logprobs":1,"echo":true,"suffix":"z"}`)
	f(`{"model":"m","prompt":["a","b"]}`, `{"model":"up","prompt":["a","b"]}`)
	f(`{"model":"m","prompt":[1,2,3],"stream":true}`, `{"model":"up","prompt":[1,2,3],"stream":true,"stream_options":{"include_usage":true}}`)
	f(`{"model":"m","prompt":[[1],[2]]}`, `{"model":"up","prompt":[[1],[2]]}`)

	// A chat model answers a list of prompts as a conversation of several user messages; what chat never had is lost.
	r, err := Completions.DecodeRequest([]byte(`{"prompt":["a","b"],"suffix":"z"}`))
	if err != nil {
		t.Fatal(err)
	}
	out, dropped, err := Chat.EncodeRequest(nil, r, &llm.Target{Model: "up"})
	if want := `{"model":"up","messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}`; err != nil || string(out) != want || len(dropped) != 1 {
		t.Error(string(out), dropped, err)
	}
	// A conversation becomes a transcript on an upstream of this kind.
	talk := &llm.Request{From: llm.Anthropic, Messages: []llm.Message{
		{Role: llm.RoleSystem, Parts: user("Be brief.")[0].Parts}, user("Hi")[0], {Role: llm.RoleAssistant, Parts: user("Hello")[0].Parts}, user("Bye")[0],
	}}
	out, _, err = Completions.EncodeRequest(nil, talk, &llm.Target{Model: "up"})
	if want := `{"model":"up","prompt":"Be brief.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: Bye\n\nAssistant:"}`; err != nil || string(out) != want {
		t.Error(string(out), err)
	}
	if _, err := Completions.DecodeRequest([]byte(`{"model":"m"}`)); err == nil || llm.AsError(err).Message != "/completions: Missing required parameter: 'prompt'." {
		t.Error(err)
	}
}

func TestCompletions_replies(t *testing.T) {
	resp := &llm.Response{From: llm.OpenAI, ID: "cmpl-1", Created: 1, Model: "m", Usage: &llm.Usage{Input: 1, Output: 2, Total: 3}, Choices: []llm.Choice{{
		Parts:    []llm.Part{{Kind: llm.KindText, Text: "so"}},
		Stop:     llm.Stop{Reason: llm.FinishLength, Raw: "length"},
		Logprobs: []llm.TokenLogprob{{Token: "so", Logprob: -1, Top: []llm.TokenLogprob{{Token: "no", Logprob: -2}}}},
	}}}
	body := Completions.EncodeResponse(nil, resp, &llm.Exchange{})
	got, err := Completions.DecodeResponse(body)
	if d := cmp.Diff(resp, got); d != "" || err != nil {
		t.Error(err, d, string(body))
	}
	resp.Choices[0].Logprobs = nil
	acc, _, err := readStream(writeStream(Completions.NewStreamEncoder(&llm.Exchange{StreamUsage: true}), resp.Events()), Completions.NewStreamDecoder(), Completions.NewTap())
	if d := cmp.Diff(resp, acc.Response()); d != "" || err != nil {
		t.Error(err, d)
	}
}

func TestEmbeddings_errors(t *testing.T) {
	f := func(body, param string) {
		t.Helper()
		_, err := Embeddings.DecodeEmbedRequest([]byte(body))
		if err == nil || llm.AsError(err).Param != param {
			t.Errorf("%s: %v", body, err)
		}
	}
	f(`{"model":"m"}`, "input")
	f(`{"model":"m","input":{}}`, "input")
	f(`{"model":"m","input":["a",1]}`, "input")
	f(`{"model":"m","input":"a","encoding_format":"hex"}`, "encoding_format")
	f(`{"model":`, "request_body")
}

func TestChat_headers(t *testing.T) {
	if Chat.ContentType(true) != "text/event-stream" || Chat.ContentType(false) != "application/json" {
		t.Error("content types")
	}
	h := http.Header{}
	if out := Chat.EncodeError(nil, h, llm.Invalid("messages", "no")); !bytes.Contains(out, []byte(`"param":"messages"`)) || len(h) != 0 {
		t.Error(string(out), h)
	}
}

func FuzzStreamDecoder(f *testing.F) {
	f.Add(writeStream(Chat.NewStreamEncoder(&llm.Exchange{StreamUsage: true}), sample().Events()))
	f.Add(stream(`{"choices":[{"delta":{"tool_calls":[{"function":{"name":"a","arguments":{}}}],"reasoning_details":[{"type":"reasoning.encrypted","data":"x","format":"openai-responses-v1"}]}}]}`))
	f.Add(stream(`{"choices":[{"index":1,"text":"x","logprobs":{"tokens":["a"]},"finish_reason":"stop"}],"x_groq":{"usage":{"prompt_tokens":1}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, events, err := readStream(body, Chat.NewStreamDecoder(), Chat.NewTap())
		if e := wellFormed(events); e != nil {
			t.Errorf("%v\n%s", e, body)
		}
		if err != nil {
			return
		}
		// What was read can be written, and what is written can be read.
		for _, enc := range []llm.StreamEncoder{Chat.NewStreamEncoder(&llm.Exchange{StreamUsage: true}), Completions.NewStreamEncoder(&llm.Exchange{})} {
			if _, _, err := readStream(writeStream(enc, events), Chat.NewStreamDecoder(), Chat.NewTap()); err != nil {
				t.Errorf("%v\nfrom %s", err, body)
			}
		}
	})
}

func FuzzDecodeResponse(f *testing.F) {
	f.Add(Chat.EncodeResponse(nil, sample(), &llm.Exchange{}))
	f.Add([]byte(`{"id":"1","choices":[{"text":"x","logprobs":{"tokens":["a"],"token_logprobs":[-1],"top_logprobs":[{"a":-1}]}}],"usage":{"prompt_tokens":"1","total_tokens":5}}`))
	f.Add([]byte(`{"data":[{"index":0,"embedding":"AAAAAA=="},{"index":0,"embedding":[1e-7]}],"usage":{"total_tokens":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		x := &llm.Exchange{}
		Chat.NewTap().Body(body)
		if r, err := Chat.DecodeResponse(body); err == nil {
			if out := Chat.EncodeResponse(nil, r, x); !valid(out) {
				t.Errorf("not JSON: %s", out)
			}
		}
		if r, err := Completions.DecodeResponse(body); err == nil {
			if out := Completions.EncodeResponse(nil, r, x); !valid(out) {
				t.Errorf("not JSON: %s", out)
			}
		}
		if r, err := Embeddings.DecodeEmbed(body); err == nil {
			if out := Embeddings.EncodeEmbedResponse(nil, r, nil, "m"); !valid(out) {
				t.Errorf("not JSON: %s", out)
			}
		}
	})
}

// valid allows what an upstream's own members may hold.
func valid(out []byte) bool {
	return llm.Raw(out).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

func BenchmarkStreamEncoder(b *testing.B) {
	enc := Chat.NewStreamEncoder(&llm.Exchange{ID: "1", Model: "m"})
	buf := enc.Encode(nil, &llm.Event{Kind: llm.EventPartStart, Part: &llm.Part{Kind: llm.KindText}})
	delta := &llm.Event{Kind: llm.EventDelta, Text: " tokens of text"}
	b.ReportAllocs()
	for b.Loop() {
		buf = enc.Encode(buf[:0], delta)
	}
}

func BenchmarkTap(b *testing.B) {
	tap := Chat.NewTap()
	f := llm.Frame{Data: []byte(`{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" tokens"},"logprobs":null,"finish_reason":null}],"usage":null}`)}
	tap.Frame(f)
	b.ReportAllocs()
	for b.Loop() {
		if tap.Frame(f) != llm.MarkContent {
			b.Fatal("no content")
		}
	}
}

func BenchmarkStreamDecoder(b *testing.B) {
	d := Chat.NewStreamDecoder()
	f := llm.Frame{Data: []byte(`{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" tokens"},"logprobs":null,"finish_reason":null}],"usage":null}`)}
	var events []llm.Event
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if events, err = d.Decode(events[:0], f); err != nil {
			b.Fatal(err)
		}
	}
}
