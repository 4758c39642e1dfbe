package openai

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

// stream makes a server-sent stream of JSON lines.
func stream(lines ...string) []byte {
	return []byte("data: " + strings.Join(lines, "\n\ndata: ") + "\n\n")
}

// outline is a response in short: thoughts in <>, signatures after !, calls as name(arguments).
func outline(r *llm.Response) string {
	var b strings.Builder
	for i, c := range r.Choices {
		if i > 0 {
			b.WriteString(" || ")
		}
		for _, p := range c.Parts {
			switch p.Kind {
			case llm.KindText:
				b.WriteString(p.Text)
			case llm.KindReasoning:
				b.WriteString("<" + p.Text + ">")
			case llm.KindRedacted:
				b.WriteString("<#" + p.Data + ">")
			case llm.KindRefusal:
				b.WriteString("no:" + p.Text)
			case llm.KindToolCall:
				b.WriteString(p.Call.Name + "(" + p.Call.Arguments + ")")
			default:
				b.WriteString("[" + string(p.Kind) + "]")
			}
			if p.Signature != "" {
				b.WriteString("!" + p.Signature + "@" + string(p.SignedBy))
			}
			for _, c := range p.Citations {
				b.WriteString("^" + c.URL)
			}
			b.WriteString(" ")
		}
		b.WriteString("| " + string(c.Reason))
	}
	return b.String()
}

// What compatible providers do that OpenAI does not.
func TestStreamDecoder_quirks(t *testing.T) {
	f := func(name, want string, lines ...string) {
		t.Helper()
		acc, events, err := readStream(stream(lines...), Chat.NewStreamDecoder(), Chat.NewTap())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if complete, e := acc.Complete(); !complete || e != nil {
			t.Errorf("%s: complete %v, %v", name, complete, e)
		}
		if got := outline(acc.Response()); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
		if err := wellFormed(events); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("no [DONE], no role", "Hi | stop", `{"id":"1","choices":[{"delta":{"content":"Hi"}}]}`, `{"id":"1","choices":[{"delta":{},"finish_reason":"stop"}]}`)
	f("deltas after the finish reason", "Hi there | stop",
		`{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}`, `{"choices":[{"index":0,"delta":{"content":" there"}}]}`, `[DONE]`)
	f("calls without index or id", "a({}) b({\"x\":1}) | tool_calls",
		`{"choices":[{"delta":{"tool_calls":[{"function":{"name":"a","arguments":"{}"}}]}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"function":{"name":"b","arguments":{"x":1}}}]},"finish_reason":"stop"}]}`, `[DONE]`)
	f("all calls have index 0", "a({}) b({}) | tool_calls",
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"1","function":{"name":"a","arguments":"{}"}}]}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"2","function":{"name":"b","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`, `[DONE]`)
	f("id and name repeated", "a({\"x\":1}) | tool_calls",
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"1","function":{"name":"a","arguments":"{\"x\""}}]}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"1","function":{"name":"a","arguments":":1}"}}]},"finish_reason":"tool_calls"}]}`, `[DONE]`)
	f("interleaved calls", "a({\"x\":1}) b({\"y\":2}) | tool_calls",
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"1","function":{"name":"a","arguments":"{\"x\":"}},{"index":1,"id":"2","function":{"name":"b","arguments":"{\"y\":"}}]}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}},{"index":1,"function":{"arguments":"2}"}}]},"finish_reason":"tool_calls"}]}`, `[DONE]`)
	f("Mistral's thinking", "<why> so | stop",
		`{"choices":[{"index":0,"delta":{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"why"}]}]}}]}`,
		`{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"so"}]},"finish_reason":"stop"}]}`, `[DONE]`)
	f("LiteLLM's thinking blocks", "<why>!sig@anthropic <#xx> so | stop",
		`{"choices":[{"index":0,"delta":{"reasoning_content":"wh","thinking_blocks":[{"type":"thinking","thinking":"wh","signature":null}]}}]}`,
		`{"choices":[{"index":0,"delta":{"reasoning_content":"y","thinking_blocks":[{"type":"thinking","thinking":"y"}]}}]}`,
		`{"choices":[{"index":0,"delta":{"reasoning_content":"","thinking_blocks":[{"type":"thinking","thinking":"","signature":"sig"}]}}]}`,
		`{"choices":[{"index":0,"delta":{"thinking_blocks":[{"type":"redacted_thinking","data":"xx"}]}}]}`,
		`{"choices":[{"index":0,"delta":{"content":"so"},"finish_reason":"stop"}]}`, `[DONE]`)
	f("OpenRouter's details", "<why>!sig@anthropic so | stop",
		`{"choices":[{"delta":{"content":"","reasoning":"why","reasoning_details":[{"type":"reasoning.text","text":"why","format":"anthropic-claude-v1"}]}}]}`,
		`{"choices":[{"delta":{"content":"","reasoning_details":[{"type":"reasoning.text","signature":"sig","format":"anthropic-claude-v1"}]}}]}`,
		`{"choices":[{"delta":{"content":"so"},"finish_reason":"stop"}]}`, `{"choices":[{"delta":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`, `[DONE]`)
	f("Gemini's signature on a call", "a({})!sig@gemini | tool_calls",
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"1","type":"function","function":{"name":"a","arguments":"{}"},"extra_content":{"google":{"thought_signature":"sig"}}}]},"finish_reason":"tool_calls"}]}`, `[DONE]`)
	f("the deprecated function_call", "a({}) | tool_calls", `{"choices":[{"delta":{"function_call":{"name":"a","arguments":""}}}]}`,
		`{"choices":[{"delta":{"function_call":{"arguments":"{}"}},"finish_reason":null}]}`, `{"choices":[{"delta":{},"finish_reason":"function_call"}]}`, `[DONE]`)
	f("Perplexity's citations", "so ^https://a^https://b | stop", `{"citations":["https://a","https://b"],"choices":[{"delta":{"content":"so"}}]}`,
		`{"citations":["https://a","https://b"],"choices":[{"delta":{"content":" "},"finish_reason":"stop"}]}`, `[DONE]`)
	f("a refusal", "no:never | refusal", `{"choices":[{"delta":{"refusal":"never"}}]}`, `{"choices":[{"delta":{},"finish_reason":"stop"}]}`, `[DONE]`)
	f("Azure's first chunk", "Hi | stop", `{"id":"","model":"","choices":[],"prompt_filter_results":[]}`, `{"id":"1","model":"m","choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}`, `[DONE]`)
	f("two candidates", "a | length || b | stop", `{"choices":[{"index":0,"delta":{"content":"a"}}]}`, `{"choices":[{"index":1,"delta":{"content":"b"}}]}`,
		`{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`, `{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}`, `[DONE]`)
}

func TestStreamDecoder_usage(t *testing.T) {
	f := func(name string, want llm.Usage, line string) {
		t.Helper()
		tap := Chat.NewTap()
		acc, _, err := readStream(stream(`{"id":"1","choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}],"usage":null}`, line, `[DONE]`), Chat.NewStreamDecoder(), tap)
		if err != nil {
			t.Fatal(err)
		}
		got := acc.Response().Usage
		if got == nil {
			t.Errorf("%s: none", name)
			return
		}
		if !cmp.Equal(tap.Seen().Usage, got) {
			t.Errorf("%s: the tap saw %+v", name, tap.Seen().Usage)
		}
		got.Extra = nil
		if d := cmp.Diff(&want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	f("OpenAI", llm.Usage{Input: 11, Output: 5, Total: 16, CacheRead: 4, CacheKnown: true, ReasoningKnown: true},
		`{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":0}}}`)
	f("Groq", llm.Usage{Input: 11, Output: 5, Total: 16}, `{"choices":[{"delta":{}}],"x_groq":{"id":"r","usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16,"queue_time":0.1}}}`)
	f("DeepSeek", llm.Usage{Input: 11, Output: 5, Total: 16, CacheRead: 8, CacheKnown: true},
		`{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":3}}`)
	f("xAI counts reasoning beside the output", llm.Usage{Input: 11, Output: 105, Total: 116, Reasoning: 100, ReasoningKnown: true},
		`{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":116,"completion_tokens_details":{"reasoning_tokens":100}}}`)
	f("Gemini counts it in the total alone", llm.Usage{Input: 11, Output: 105, Total: 116, Reasoning: 100, ReasoningKnown: true},
		`{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":116}}`)
	f("LiteLLM", llm.Usage{Input: 15, Output: 6, Total: 21, CacheRead: 3, CacheWrite: 2, CacheKnown: true},
		`{"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":15,"completion_tokens":6,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":3,"cache_creation_tokens":2},"cache_creation_input_tokens":2,"cache_read_input_tokens":3}}`)
}

func TestStreamDecoder_failures(t *testing.T) {
	f := func(name string, kind llm.ErrorKind, lines ...string) {
		t.Helper()
		acc, events, err := readStream(stream(lines...), Chat.NewStreamDecoder(), Chat.NewTap())
		var e *llm.Error
		if err != nil {
			e = llm.AsError(err)
		} else if _, e = acc.Complete(); e == nil {
			t.Errorf("%s: no error", name)
			return
		}
		if e.Kind != kind {
			t.Errorf("%s: %s %s", name, e.Kind, e.Message)
		}
		for _, ev := range events {
			if ev.Kind == llm.EventEnd {
				t.Errorf("%s: ended as if whole", name)
			}
		}
	}
	first := `{"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]}`
	f("error object", llm.ErrInternal, first, `{"error":{"message":"The server had an error mid-stream.","type":"server_error","param":null,"code":null}}`)
	f("OpenRouter's error beside choices", llm.ErrRateLimit, first, `{"id":"1","error":{"code":429,"message":"slow down"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}`)
	f("vLLM's error", llm.ErrInvalid, first, `{"object":"error","message":"bad","type":"invalid_request_error","code":400}`)
	f("malformed", llm.ErrUpstream, first, `{"id": "x", "choices": [{"delta": {"con`)
	f("not JSON", llm.ErrUpstream, first, `<html>`)
	d := Chat.NewStreamDecoder()
	if _, err := d.Decode(nil, llm.Frame{Data: []byte("<html>")}); err == nil {
		t.Error("no error")
	}
	if _, complete := d.Finish(nil); complete {
		t.Error("complete after malformed data")
	}
	// A stream that just stops is not complete.
	acc, _, err := readStream(stream(first), Chat.NewStreamDecoder(), Chat.NewTap())
	if complete, _ := acc.Complete(); err != nil || complete {
		t.Errorf("cut: complete %v, %v", complete, err)
	}
}

func TestDecodeResponse_quirks(t *testing.T) {
	f := func(name, body, want string) {
		t.Helper()
		r, err := Chat.DecodeResponse([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := outline(r); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
	f("empty choices", `{"id":"1","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`, "")
	f("stop though it calls", `{"choices":[{"message":{"content":null,"tool_calls":[{"id":"1","function":{"name":"a","arguments":{"x":1}}}]},"finish_reason":"stop"}]}`, `a({"x":1}) | tool_calls`)
	f("Mistral's content list", `{"choices":[{"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"why"}]},{"type":"text","text":"so"}]},"finish_reason":"stop"}]}`, "<why> so | stop")
	f("details encrypted", `{"choices":[{"message":{"content":"so","reasoning":"sum","reasoning_details":[{"type":"reasoning.summary","summary":"sum","id":"rs_1","format":"openai-responses-v1"},{"type":"reasoning.encrypted","data":"xx","id":"rs_1","format":"openai-responses-v1"}]},"finish_reason":"stop"}]}`,
		"<sum>!xx@responses so | stop")
	f("details of a call", `{"choices":[{"message":{"content":null,"tool_calls":[{"id":"c1","function":{"name":"a","arguments":"{}"}}],"reasoning_details":[{"type":"reasoning.encrypted","data":"xx","id":"c1","format":"google-gemini-v1"}]},"finish_reason":"tool_calls"}]}`,
		"a({})!xx@gemini | tool_calls")
	f("stop string", `{"choices":[{"message":{"content":"so"},"finish_reason":"stop","stop_reason":"END"}]}`, "so | stop_sequence")
	f("stop token", `{"choices":[{"message":{"content":"so"},"finish_reason":"stop","stop_reason":128009}]}`, "so | stop")
	f("no finish reason", `{"choices":[{"message":{"content":"so"},"finish_reason":null}]}`, "so | stop")
	f("images", `{"choices":[{"message":{"content":"so","images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}]},"finish_reason":"stop"}]}`, "so [image] | stop")
}

func TestDecodeResponse_failures(t *testing.T) {
	f := func(body string, kind llm.ErrorKind, status int) {
		t.Helper()
		_, err := Chat.DecodeResponse([]byte(body))
		if err == nil {
			t.Errorf("%s: no error", body)
			return
		}
		if e := llm.AsError(err); e.Kind != kind || e.HTTPStatus() != status {
			t.Errorf("%s: %s %d", body, e.Kind, e.HTTPStatus())
		}
		if e := Chat.NewTap().Body([]byte(body)); e == nil || e.Kind != kind {
			t.Errorf("%s: the tap says %v", body, e)
		}
	}
	f(`<html>not json</html>`, llm.ErrUpstream, 500)
	f(`{"id": "x", "choices": [`, llm.ErrUpstream, 500)
	f(``, llm.ErrUpstream, 500)
	f(`{}`, llm.ErrUpstream, 500)
	f(`"text"`, llm.ErrUpstream, 500)
	f(`{"error":{"message":"error inside a 200","type":"server_error","param":null,"code":null}}`, llm.ErrInternal, 500)
	f(`{"error":{"message":"slow down","code":429}}`, llm.ErrRateLimit, 429)
	f(`{"object":"error","message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}`, llm.ErrContextWindow, 400)
}

// Bytes that are not UTF-8 do not get through to a client, in members nobody here understands either.
func TestDecodeResponse_badBytes(t *testing.T) {
	resp, err := Chat.DecodeResponse([]byte("{\"id\":\"1\",\"odd\":{\"a\":\"\xff\"},\"choices\":[{\"message\":{\"content\":\"b\xff\"},\"finish_reason\":\"stop\"}]}"))
	if err != nil {
		t.Fatal(err)
	}
	if out := Chat.EncodeResponse(nil, resp, &llm.Exchange{}); !jsontext.Value(out).IsValid() || !strings.Contains(string(out), "\"odd\":{\"a\":\"\uFFFD\"}") {
		t.Errorf("%q", out)
	}
}
