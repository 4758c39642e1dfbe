package captures

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// upstream is testdata/mock.py in Go: the provider that LiteLLM stood in front of when the captures were made. It answers with the same
// fields; only white space and the order of fields differ.
type upstream struct {
	addr string

	mu    sync.Mutex
	seen  []sent
	flaky map[string]int
}

// sent is one request as the upstream got it.
type sent struct {
	method, path string
	header       http.Header
	body         any
}

type object = map[string]any

func startUpstream(t *testing.T) *upstream {
	u := &upstream{flaky: map[string]int{}}
	s := httptest.NewServer(u)
	t.Cleanup(s.Close)
	u.addr = strings.TrimPrefix(s.URL, "http://")
	return u
}

// take gives the requests since the last call.
func (u *upstream) take() []sent {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.seen
	u.seen = nil
	return s
}

// arrived are the requests since the last call of take.
func (u *upstream) arrived() []sent {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen
}

var openaiHeaders = map[string]string{
	"x-request-id": "req-mock-0001", "openai-organization": "org-mock", "openai-processing-ms": "7", "openai-version": "2020-10-01",
	"x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "499", "x-ratelimit-limit-tokens": "200000",
	"x-ratelimit-remaining-tokens": "199984", "x-ratelimit-reset-requests": "120ms", "x-ratelimit-reset-tokens": "6ms", "x-custom-upstream": "abc",
}

var anthropicHeaders = map[string]string{
	"request-id": "req_mock_a1", "anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49",
	"anthropic-ratelimit-tokens-limit": "40000", "anthropic-ratelimit-tokens-remaining": "39000",
}

var words = []string{"Hello", " from", " the", " mock", "."}

const text = "Hello from the mock."

const created = 1700000000

var chatUsage = object{"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16,
	"prompt_tokens_details":     object{"cached_tokens": 4, "audio_tokens": 0},
	"completion_tokens_details": object{"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}}

// openaiErrors are status, message, type, code and param.
var openaiErrors = map[string][5]any{
	"err-400":         {400, "Invalid value for 'temperature': must be <= 2.", "invalid_request_error", nil, "temperature"},
	"err-400-context": {400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens. Please reduce the length of the messages.", "invalid_request_error", "context_length_exceeded", "messages"},
	"err-400-policy":  {400, "Your request was rejected as a result of our safety system.", "invalid_request_error", "content_policy_violation", nil},
	"err-401":         {401, "Incorrect API key provided: sk-up. You can find your API key at the provider.", "invalid_request_error", "invalid_api_key", nil},
	"err-402":         {402, "Payment required.", "billing_error", "payment_required", nil},
	"err-403":         {403, "You are not allowed to sample from this model.", "invalid_request_error", "forbidden", nil},
	"err-404":         {404, "The model `err-404` does not exist or you do not have access to it.", "invalid_request_error", "model_not_found", nil},
	"err-405":         {405, "Method not allowed.", "invalid_request_error", nil, nil},
	"err-408":         {408, "Request timed out upstream.", "timeout", "timeout", nil},
	"err-409":         {409, "Conflict.", "invalid_request_error", nil, nil},
	"err-413":         {413, "Request too large.", "invalid_request_error", "request_too_large", nil},
	"err-422":         {422, "Unprocessable: bad field.", "invalid_request_error", nil, "messages"},
	"err-429":         {429, "Rate limit reached for requests.", "requests", "rate_limit_exceeded", nil},
	"err-429-ra":      {429, "Rate limit reached for requests.", "requests", "rate_limit_exceeded", nil},
	"err-429-quota":   {429, "You exceeded your current quota, please check your plan and billing details.", "insufficient_quota", "insufficient_quota", nil},
	"err-500":         {500, "The server had an error while processing your request.", "server_error", nil, nil},
	"err-502":         {502, "Bad gateway.", "server_error", nil, nil},
	"err-503":         {503, "The engine is currently overloaded.", "server_error", "overloaded", nil},
	"err-504":         {504, "Gateway timeout.", "server_error", nil, nil},
	"err-529":         {529, "Overloaded.", "overloaded_error", nil, nil},
	"err-418":         {418, "I'm a teapot.", "teapot_error", "teapot", nil},
}

var anthropicErrors = map[string][3]any{
	"err-429": {429, "rate_limit_error", "This request would exceed your rate limit."}, "err-529": {529, "overloaded_error", "Overloaded"},
	"err-400": {400, "invalid_request_error", "max_tokens: must be greater than 0"}, "err-401": {401, "authentication_error", "invalid x-api-key"},
	"err-400-context": {400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"},
	"err-404":         {404, "not_found_error", "model: err-404"}, "err-500": {500, "api_error", "Internal server error"},
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var body any
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		body = object{"_multipart": string(raw)}
	} else if len(raw) > 0 && json.Unmarshal(raw, &body) != nil {
		body = object{"_raw": string(raw)}
	}
	u.mu.Lock()
	u.seen = append(u.seen, sent{r.Method, r.URL.RequestURI(), r.Header.Clone(), body})
	u.mu.Unlock()
	b, _ := body.(object)
	model, _ := b["model"].(string)
	path := strings.TrimPrefix(r.URL.Path, "/v1")
	if path != "/messages" && path != "/messages/count_tokens" && u.fails(w, model) {
		return
	}
	if (model == "slow" || model == "slow-8") && !wait(r, 8*time.Second) {
		return
	}
	handlers := map[string]func(http.ResponseWriter, *http.Request, object, string){
		"/chat/completions": chat, "/completions": completion, "/embeddings": embeddings, "/messages": messages, "/responses": responses,
		"/rerank": rerank, "/v2/rerank": rerank,
	}
	fixed := map[string]string{
		"/moderations":          `{"id":"modr-mock-0001","model":"omni-moderation-latest","results":[{"flagged":false,"categories":{"hate":false,"violence":false},"category_scores":{"hate":0.01,"violence":0.02},"category_applied_input_types":{"hate":["text"],"violence":["text"]}}]}`,
		"/images/generations":   `{"created":1700000000,"data":[{"url":"http://example.invalid/i.png","revised_prompt":"x"}],"usage":{"input_tokens":5,"output_tokens":10,"total_tokens":15,"input_tokens_details":{"text_tokens":5,"image_tokens":0}}}`,
		"/audio/transcriptions": `{"text":"hello from the mock"}`,
		"/models":               `{"object":"list","data":[{"id":"up-a","object":"model","created":1700000000,"owned_by":"mock"},{"id":"up-b","object":"model","created":1700000000,"owned_by":"mock"}]}`,
	}
	switch h := handlers[path]; {
	case h != nil:
		h(w, r, b, model)
	case fixed[path] != "":
		write(w, 200, openaiHeaders, "application/json; charset=utf-8", fixed[path])
	case path == "/messages/count_tokens":
		write(w, 200, map[string]string{"request-id": "req_mock_a1"}, "application/json; charset=utf-8", `{"input_tokens":14}`)
	case path == "/audio/speech":
		write(w, 200, openaiHeaders, "audio/mpeg", "ID3mock-audio-bytes")
	default:
		reply(w, 404, openaiHeaders, errorBody(fmt.Sprintf("Unknown request URL: %s %s.", r.Method, r.URL.Path), "invalid_request_error", nil, "unknown_url"))
	}
}

// wait is a pause that a client that leaves ends.
func wait(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func errorBody(message, kind any, param, code any) object {
	return object{"error": object{"message": message, "type": kind, "param": param, "code": code}}
}

// fails answers for the models that name a failure.
func (u *upstream) fails(w http.ResponseWriter, model string) bool {
	if n, ok := strings.CutPrefix(model, "flaky-"); ok {
		u.mu.Lock()
		u.flaky[model]++
		k := u.flaky[model]
		u.mu.Unlock()
		if limit, err := strconv.Atoi(n); err != nil || k > limit {
			return false
		}
		model = "err-500"
	}
	switch model {
	case "err-503-html":
		write(w, 503, nil, "text/html; charset=utf-8", "<html><body><h1>503 Service Unavailable</h1></body></html>")
	case "err-500-empty":
		write(w, 500, nil, "application/octet-stream", "")
	case "ok-html":
		write(w, 200, nil, "text/html; charset=utf-8", "<html>not json</html>")
	case "ok-badjson":
		write(w, 200, nil, "application/json; charset=utf-8", `{"id": "chatcmpl-mock", "choi`)
	case "ok-errbody":
		reply(w, 200, nil, errorBody("error inside a 200", "server_error", nil, nil))
	case "ok-nochoices":
		reply(w, 200, nil, object{"id": "chatcmpl-mock-0001", "object": "chat.completion", "created": created, "model": model, "choices": []any{}, "usage": chatUsage})
	default:
		e, ok := openaiErrors[model]
		if !ok {
			return false
		}
		if model == "err-429-ra" {
			w.Header().Set("retry-after", "17")
		}
		reply(w, e[0].(int), openaiHeaders, errorBody(e[1], e[2], e[4], e[3]))
	}
	return true
}

func write(w http.ResponseWriter, status int, headers map[string]string, kind, body string) {
	for name, v := range headers {
		w.Header().Set(name, v)
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func reply(w http.ResponseWriter, status int, headers map[string]string, v any) {
	write(w, status, headers, "application/json; charset=utf-8", encode(v))
}

func encode(v any) string {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// stream writes events; cut > 0 breaks the connection before that one, delay passes between two.
func stream(w http.ResponseWriter, r *http.Request, headers map[string]string, events []string, delay time.Duration, cut int) {
	h := map[string]string{"cache-control": "no-cache"}
	for name, v := range headers {
		h[name] = v
	}
	write(w, 200, h, "text/event-stream; charset=utf-8", "")
	rc := http.NewResponseController(w)
	for i, e := range events {
		if cut > 0 && i == cut {
			_ = rc.Flush()
			panic(http.ErrAbortHandler)
		}
		if i > 0 && delay > 0 && !wait(r, delay) {
			return
		}
		_, _ = io.WriteString(w, e)
		_ = rc.Flush()
	}
}

func list(b object, key string) []any { l, _ := b[key].([]any); return l }

// wantsTool says whether the conversation offers tools and has no result yet, and the first tool's name.
func wantsTool(b object) (string, bool) {
	tools := list(b, "tools")
	if len(tools) == 0 || b["tool_choice"] == "none" {
		return "", false
	}
	for _, m := range list(b, "messages") {
		if m.(object)["role"] == "tool" {
			return "", false
		}
	}
	f, _ := tools[0].(object)["function"].(object)
	name, _ := f["name"].(string)
	return name, true
}

func chat(w http.ResponseWriter, r *http.Request, b object, model string) {
	tool, called := wantsTool(b)
	n := 1
	if v, ok := b["n"].(float64); ok {
		n = int(v)
	}
	shown := model
	if strings.HasPrefix(model, "gpt-") {
		shown += "-2024-07-18"
	}
	if b["stream"] == true {
		chatStream(w, r, b, model, shown, tool, called, n)
		return
	}
	var choices []any
	for i := range n {
		message, finish := object{"role": "assistant", "content": text, "refusal": nil, "annotations": []any{}}, "stop"
		if called {
			message["content"], finish = nil, "tool_calls"
			message["tool_calls"] = []any{object{"id": "call_mock_1", "type": "function", "function": object{"name": tool, "arguments": `{"city": "Paris"}`}}}
		}
		if model == "reason" {
			message["reasoning_content"] = "Let me think"
		}
		if model == "extra" {
			message["weird_field"] = object{"a": 1}
		}
		choices = append(choices, object{"index": i, "message": message, "logprobs": nil, "finish_reason": finish})
	}
	out := object{"id": "chatcmpl-mock-0001", "object": "chat.completion", "created": created, "model": shown, "choices": choices,
		"usage": chatUsage, "service_tier": "default", "system_fingerprint": "fp_mock"}
	if model == "no-usage" {
		delete(out, "usage")
	}
	if model == "extra" {
		out["extra_top"] = object{"b": 2}
	}
	reply(w, 200, openaiHeaders, out)
}

func chatStream(w http.ResponseWriter, r *http.Request, b object, model, shown, tool string, called bool, n int) {
	options, _ := b["stream_options"].(object)
	include := options["include_usage"] == true
	head := object{"id": "chatcmpl-mock-0001", "object": "chat.completion.chunk", "created": created, "model": shown, "service_tier": "default", "system_fingerprint": "fp_mock"}
	chunk := func(i int, delta object, finish any) string {
		d := object{"choices": []any{object{"index": i, "delta": delta, "logprobs": nil, "finish_reason": finish}}}
		for k, v := range head {
			d[k] = v
		}
		if include {
			d["usage"] = nil
		}
		return "data: " + encode(d) + "\n\n"
	}
	var events []string
	if called {
		events = append(events, chunk(0, object{"role": "assistant", "content": nil, "refusal": nil,
			"tool_calls": []any{object{"index": 0, "id": "call_mock_1", "type": "function", "function": object{"name": tool, "arguments": ""}}}}, nil))
		for _, part := range []string{`{"ci`, `ty": `, `"Paris"}`} {
			events = append(events, chunk(0, object{"tool_calls": []any{object{"index": 0, "function": object{"arguments": part}}}}, nil))
		}
		events = append(events, chunk(0, object{}, "tool_calls"))
	}
	for i := 0; i < n && !called; i++ {
		events = append(events, chunk(i, object{"role": "assistant", "content": "", "refusal": nil}, nil))
		if model == "reason" {
			events = append(events, chunk(i, object{"reasoning_content": "Let me"}, nil), chunk(i, object{"reasoning_content": " think"}, nil))
		}
		for _, t := range words {
			events = append(events, chunk(i, object{"content": t}, nil))
		}
		events = append(events, chunk(i, object{}, "stop"))
	}
	var delay time.Duration
	switch model {
	case "stream-err":
		stream(w, r, openaiHeaders, append(events[:3:3], "data: "+encode(errorBody("The server had an error mid-stream.", "server_error", nil, nil))+"\n\n"), 0, 0)
		return
	case "stream-cut":
		stream(w, r, openaiHeaders, events, 0, 3)
		return
	case "stream-slow":
		delay = 1200 * time.Millisecond
	case "stream-comments":
		events = append([]string{": keep-alive\n\n"}, events...)
	}
	if delay == 0 && include {
		head["choices"], head["usage"] = []any{}, chatUsage
		events = append(events, "data: "+encode(head)+"\n\n")
	}
	if delay == 0 {
		events = append(events, "data: [DONE]\n\n")
	}
	stream(w, r, openaiHeaders, events, delay, 0)
}

func completion(w http.ResponseWriter, r *http.Request, b object, model string) {
	usage := object{"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
	with := func(choices []any, usage any) object {
		o := object{"id": "cmpl-mock-0001", "object": "text_completion", "created": created, "model": model, "choices": choices}
		if usage != nil {
			o["usage"] = usage
		}
		return o
	}
	choice := func(t string, finish any) []any {
		return []any{object{"text": t, "index": 0, "logprobs": nil, "finish_reason": finish}}
	}
	if b["stream"] != true {
		reply(w, 200, openaiHeaders, with(choice(text, "stop"), usage))
		return
	}
	var events []string
	for _, t := range words {
		events = append(events, "data: "+encode(with(choice(t, nil), nil))+"\n\n")
	}
	events = append(events, "data: "+encode(with(choice("", "stop"), nil))+"\n\n")
	if options, _ := b["stream_options"].(object); options["include_usage"] == true {
		events = append(events, "data: "+encode(with([]any{}, usage))+"\n\n")
	}
	stream(w, r, openaiHeaders, append(events, "data: [DONE]\n\n"), 0, 0)
}

func embeddings(w http.ResponseWriter, _ *http.Request, b object, model string) {
	k := 1
	if l := list(b, "input"); len(l) > 0 {
		if _, tokens := l[0].(float64); !tokens {
			k = len(l)
		}
	}
	vector := []float32{0.1, -0.2, 0.3, 0.4}
	var shown any = vector
	if b["encoding_format"] == "base64" {
		var raw []byte
		for _, f := range vector {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
		}
		shown = base64.StdEncoding.EncodeToString(raw)
	}
	var data []any
	for i := range k {
		data = append(data, object{"object": "embedding", "index": i, "embedding": shown})
	}
	reply(w, 200, openaiHeaders, object{"object": "list", "data": data, "model": model, "usage": object{"prompt_tokens": 6, "total_tokens": 6}})
}

func rerank(w http.ResponseWriter, _ *http.Request, b object, _ string) {
	docs := list(b, "documents")
	n := len(docs)
	if v, ok := b["top_n"].(float64); ok {
		n = min(n, int(v))
	}
	var results []any
	for i, d := range docs[:n] {
		res := object{"index": i, "relevance_score": math.Round(90-10*float64(i)) / 100}
		if b["return_documents"] == true {
			t := d
			if o, ok := d.(object); ok {
				t = o["text"]
			}
			res["document"] = object{"text": t}
		}
		results = append(results, res)
	}
	reply(w, 200, openaiHeaders, object{"id": "rerank-mock-0001", "results": results,
		"meta": object{"api_version": object{"version": "2"}, "billed_units": object{"search_units": 1}}})
}
