// Package gateway tests the whole gateway from outside: real sockets on both sides, the same program that people run.
package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/mock"
	"github.com/weir-gateway/weir/test/gwtest"
)

// mockServer runs `weir mock` in-process.
func mockServer(t *testing.T, o mock.Options) string {
	t.Helper()
	s := httptest.NewServer(mock.New(o, nil))
	t.Cleanup(s.Close)
	return s.URL
}

// config gives a model per dialect, m-<dialect>, each on an upstream that speaks only that one, all at the mock.
func config(mockURL string) string {
	return fmt.Sprintf(`
model_list:
- model_name: m-openai
  litellm_params: {model: hosted_vllm/up, api_base: %[1]s/v1, api_key: sk-up}
- model_name: m-responses
  litellm_params: {model: openai/responses/up, api_base: %[1]s/v1, api_key: sk-up}
- model_name: m-anthropic
  litellm_params: {model: anthropic/up, api_base: %[1]s, api_key: sk-up}
- model_name: m-converse
  litellm_params: {model: bedrock/up, aws_bedrock_runtime_endpoint: %[1]s, aws_region_name: us-east-1, aws_access_key_id: AKIDEXAMPLE, aws_secret_access_key: secret}
- model_name: m-gemini
  litellm_params: {model: gemini/up, api_base: %[1]s, api_key: sk-up}
- model_name: passthrough/*
  litellm_params: {model: hosted_vllm/*, api_base: %[1]s/v1, api_key: sk-up}
- model_name: claude-style/*
  litellm_params: {model: anthropic/*, api_base: %[1]s, api_key: sk-up}
`, mockURL)
}

var dialects = []string{"openai", "responses", "anthropic", "converse", "gemini"}

// ask builds the path and body of "say hello" in a client's dialect.
func ask(dialect, model string, stream bool) (path, body string) {
	s := fmt.Sprint(stream)
	switch dialect {
	case "openai":
		return "/v1/chat/completions", `{"model":"` + model + `","stream":` + s + `,"messages":[{"role":"user","content":"hello"}]}`
	case "responses":
		return "/v1/responses", `{"model":"` + model + `","stream":` + s + `,"input":"hello"}`
	case "anthropic":
		return "/v1/messages", `{"model":"` + model + `","stream":` + s + `,"max_tokens":100,"messages":[{"role":"user","content":"hello"}]}`
	case "converse":
		path = "/bedrock/model/" + model + "/converse"
		if stream {
			path += "-stream"
		}
		return path, `{"messages":[{"role":"user","content":[{"text":"hello"}]}]}`
	}
	path = "/v1beta/models/" + model + ":generateContent"
	if stream {
		path = "/v1beta/models/" + model + ":streamGenerateContent?alt=sse"
	}
	return path, `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`
}

// TestPairs sends "hello" from each dialect to each dialect, streamed and not.
func TestPairs(t *testing.T) {
	g := gwtest.Start(t, config(mockServer(t, mock.Options{})))
	for _, in := range dialects {
		for _, out := range dialects {
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s-over-%s-stream-%v", in, out, stream), func(t *testing.T) {
					path, body := ask(in, "m-"+out, stream)
					a := g.Post(t, path, body)
					if a.Status != http.StatusOK {
						t.Fatalf("status %d: %s", a.Status, a.Body)
					}
					for _, word := range []string{"Hello", "from", "the", "mock."} {
						if !bytes.Contains(a.Body, []byte(word)) {
							t.Errorf("the answer lacks %q: %s", word, a.Body)
						}
					}
					if want := terminal[in]; stream && !bytes.Contains(a.Body, []byte(want)) {
						t.Errorf("the stream lacks its end %q: %s", want, a.Body)
					}
				})
			}
		}
	}
}

// terminal is what a complete stream of a dialect holds.
var terminal = map[string]string{
	"openai": "data: [DONE]", "responses": "event: response.completed", "anthropic": "event: message_stop", "converse": "messageStop",
	"gemini": `"finishReason":"STOP"`,
}

// TestDemo asks the built-in model in every dialect, with nothing configured.
func TestDemo(t *testing.T) {
	g := gwtest.Start(t, "")
	for _, in := range dialects {
		for _, stream := range []bool{false, true} {
			path, body := ask(in, "demo", stream)
			a := g.Post(t, path, body)
			if a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte("demo")) {
				t.Errorf("%s stream %v: status %d: %s", in, stream, a.Status, a.Body)
			}
		}
	}
	tool := g.Post(t, "/v1/chat/completions", `{"model":"demo","messages":[{"role":"user","content":"what is the weather in Paris?"}],
		"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]}`)
	if !bytes.Contains(tool.Body, []byte(`"name":"get_weather"`)) || !bytes.Contains(tool.Body, []byte(`"finish_reason":"tool_calls"`)) {
		t.Errorf("demo did not call the tool: %s", tool.Body)
	}
}

// TestSpliceKeepsBytes holds that what the gateway does not know goes through untouched, both ways.
func TestSpliceKeepsBytes(t *testing.T) {
	const answer = `{"id":"x","object":"chat.completion","model":"up","weird":{"b":1,"a":[1.0, 2e3]},"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}`
	up := gwtest.NewUpstream(t, gwtest.JSON(http.StatusOK, answer))
	g := gwtest.Start(t, config(up.URL))
	a := g.Post(t, "/v1/chat/completions", `{ "model":"passthrough/up", "zeta":  [1.50], "tags":["mine"], "messages":[{"role":"user","content":"h\u00e9"}] , "alpha":null}`)
	if string(a.Body) != strings.Replace(answer, `"model":"up"`, `"model":"passthrough/up"`, 1) {
		t.Errorf("answer changed:\n%s\n%s", a.Body, answer)
	}
	want := `{ "model":"up", "zeta":  [1.50], "messages":[{"role":"user","content":"h\u00e9"}] , "alpha":null}`
	if got := string(up.Last(t).Body); got != want {
		t.Errorf("upstream got\n%s\nwant\n%s", got, want)
	}
}

// TestUsageChunk holds that usage is always asked for, and its chunk kept from a client that did not ask.
func TestUsageChunk(t *testing.T) {
	url := mockServer(t, mock.Options{})
	g := gwtest.Start(t, config(url))
	path, body := ask("openai", "m-openai", true)
	if a := g.Post(t, path, body); bytes.Contains(a.Body, []byte(`"usage":{`)) {
		t.Errorf("a usage chunk for a client that did not ask: %s", a.Body)
	}
	body = strings.Replace(body, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1)
	if a := g.Post(t, path, body); !bytes.Contains(a.Body, []byte(`"usage":{`)) {
		t.Errorf("no usage chunk for a client that asked: %s", a.Body)
	}
}

// TestFaults holds that a stream that goes wrong ends with an error event in the client's dialect, never as if it had succeeded.
func TestFaults(t *testing.T) {
	g := gwtest.Start(t, config(mockServer(t, mock.Options{})))
	for _, fault := range []string{"cut", "malformed", "unterminated", "error"} {
		for _, model := range []string{"passthrough/x%3Ffault=" + fault, "claude-style/x%3Ffault=" + fault} {
			for _, in := range dialects {
				t.Run(fault+"-"+model+"-"+in, func(t *testing.T) {
					name := strings.ReplaceAll(model, "%3F", "?")
					if in == "converse" || in == "gemini" {
						name = strings.ReplaceAll(strings.ReplaceAll(model, "%3F", "%3F"), "/", "%2F")
					}
					path, body := ask(in, name, true)
					a := g.Post(t, path, body)
					if a.Status == http.StatusOK && bytes.Contains(a.Body, []byte(terminal[in])) && fault != "malformed" {
						t.Errorf("ends as if it had succeeded: %s", a.Body)
					}
					if !bytes.Contains(bytes.ToLower(a.Body), []byte("error")) && !bytes.Contains(a.Body, []byte("xception")) {
						t.Errorf("status %d without an error: %s", a.Status, a.Body)
					}
				})
			}
		}
	}
}

// TestStatusFaults holds that an upstream's status and Retry-After reach the client, in every pair.
func TestStatusFaults(t *testing.T) {
	g := gwtest.Start(t, config(mockServer(t, mock.Options{})))
	for _, model := range []string{"passthrough/x?fault=429&retry_after=17", "claude-style/x?fault=429&retry_after=17"} {
		for _, in := range []string{"openai", "responses", "anthropic"} {
			path, body := ask(in, model, false)
			a := g.Post(t, path, body)
			if a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "17" {
				t.Errorf("%s to %s: status %d, retry-after %q: %s", in, model, a.Status, a.Header.Get("Retry-After"), a.Body)
			}
		}
	}
}

// TestBadInput holds that every mistake is a 4xx that names the field, in the dialect of the route.
func TestBadInput(t *testing.T) {
	g := gwtest.Start(t, config(mockServer(t, mock.Options{})))
	f := func(path, body string, status int, substr string, headers ...string) {
		t.Helper()
		a := g.Post(t, path, body, headers...)
		if a.Status != status || !strings.Contains(string(a.Body), substr) {
			t.Errorf("%s %.60s: status %d, want %d with %q: %s", path, body, a.Status, status, substr, a.Body)
		}
		var v any
		if err := json.Unmarshal(a.Body, &v); err != nil {
			t.Errorf("%s %.60s: the error is not JSON: %s", path, body, a.Body)
		}
	}
	const chat = "/v1/chat/completions"
	f(chat, `{"model":`, 400, "Invalid JSON")
	f(chat, `{"model":"m-openai","model":"m-gemini","messages":[]}`, 400, "model")
	f(chat, `{"Model":"m-openai","messages":[]}`, 400, "Model")
	f(chat, `{"messages":[]}`, 400, "model")
	f(chat, `{"model":7,"messages":[]}`, 400, "model")
	f(chat, `{"model":"nope","messages":[]}`, 400, "nope")
	f(chat, `{"model":"m-openai","stream":"yes","messages":[]}`, 400, "stream")
	f(chat, `{"model":"m-anthropic","messages":[{"role":"user","content":7}]}`, 400, "messages[0]")
	f(chat, `{"model":"m-openai","api_base":"http://127.0.0.1:1","messages":[]}`, 401, "api_base")
	f(chat, strings.Repeat("[", 100000), 400, "")
	f(chat, `{"model":"m-openai","messages":[]}`, 401, "No api key", "Authorization", "")
	f(chat, `{"model":"m-openai","messages":[]}`, 401, "Invalid proxy server token", "Authorization", "Bearer sk-nope-nope-nope")
	f(chat, `{"model":"m-openai","messages":[]}`, 415, "Content-Encoding", "Content-Encoding", "br")
	f(chat, `not gzip`, 400, "gzip", "Content-Encoding", "gzip")
	f("/v1/messages", `{"model":"nope","max_tokens":1,"messages":[]}`, 400, `"type":"error"`)
	f("/bedrock/model/nope/converse", `{"messages":[]}`, 400, "nope")
	f("/v1beta/models/nope:generateContent", `{"contents":[]}`, 400, "INVALID_ARGUMENT")
	f("/v1/responses", `{"model":"m-openai","input":"x","previous_response_id":"resp_1"}`, 400, "previous_response_id")
	f("/v1/nope", `{}`, 404, "Not Found")
	if a := g.Get(t, chat); a.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET %s: %d", chat, a.Status)
	}
}

// TestMergeReasoning holds that a deployment may have reasoning shown as text, streamed and not.
func TestMergeReasoning(t *testing.T) {
	const whole = `{"id":"x","object":"chat.completion","model":"up","choices":[{"index":0,"message":{"role":"assistant","reasoning_content":"hmm","content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`
	const stream = "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"reasoning_content\":\"h\"}}]}\n\n" +
		"data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"mm\"}}]}\n\n" +
		"data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"yes\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
	up := gwtest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if bytes.Contains(b, []byte(`"stream":true`)) {
			gwtest.SSE(stream)(w, r)
			return
		}
		gwtest.JSON(http.StatusOK, whole)(w, r)
	})
	g := gwtest.Start(t, strings.Replace(config(up.URL), "model: hosted_vllm/up,", "model: hosted_vllm/up, merge_reasoning_content_in_choices: true,", 1))
	path, body := ask("openai", "m-openai", false)
	var answer struct {
		Choices []struct {
			Message struct {
				Content string `json:"content"`
			} `json:"message"`
		} `json:"choices"`
	}
	if a := g.Post(t, path, body); json.Unmarshal(a.Body, &answer) != nil || len(answer.Choices) != 1 || answer.Choices[0].Message.Content != "<think>hmm</think>\n\nyes" {
		t.Errorf("whole: %s", a.Body)
	}
	_, body = ask("openai", "m-openai", true)
	text := ""
	a := g.Post(t, path, body)
	for _, line := range strings.Split(string(a.Body), "\n") {
		var chunk struct {
			Choices []struct {
				Delta struct {
					Content string `json:"content"`
				} `json:"delta"`
			} `json:"choices"`
		}
		if data, ok := strings.CutPrefix(line, "data: {"); ok && json.Unmarshal([]byte("{"+data), &chunk) == nil && len(chunk.Choices) > 0 {
			text += chunk.Choices[0].Delta.Content
		}
	}
	if text != "<think>hmm</think>\n\nyes" {
		t.Errorf("streamed: %q from %s", text, a.Body)
	}
}

// TestToolNames holds that a name the upstream refuses is changed on the way there and back again, streamed and not.
func TestToolNames(t *testing.T) {
	g := gwtest.Start(t, config(mockServer(t, mock.Options{Answer: "demo"})))
	const name = "mcp.server.with.dots.and.a.name.that.is.much.longer.than.bedrock.allows.it.to.be"
	for _, stream := range []string{"false", "true"} {
		a := g.Post(t, "/v1/chat/completions", `{"model":"m-converse","stream":`+stream+`,"messages":[{"role":"user","content":"go"}],"tool_choice":"required",
			"tools":[{"type":"function","function":{"name":"`+name+`","parameters":{"type":"object","properties":{}}}}]}`)
		if a.Status != http.StatusOK || !bytes.Contains(a.Body, []byte(`"`+name+`"`)) {
			t.Errorf("stream %s: %d %s", stream, a.Status, a.Body)
		}
	}
}
