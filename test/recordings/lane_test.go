package recordings

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/test/gwtest"
)

// providers are the deployments behind a lane: each upstream speaks one dialect only, under whatever model name the client asks for.
var providers = map[llm.Dialect]string{
	llm.OpenAI:    "{model: 'hosted_vllm/*', api_base: '%s/v1', api_key: sk-up}",
	llm.Responses: "{model: 'openai/responses/*', api_base: '%s/v1', api_key: sk-up}",
	llm.Anthropic: "{model: 'anthropic/*', api_base: '%s', api_key: sk-up}",
	llm.Converse: "{model: 'bedrock/converse/*', aws_bedrock_runtime_endpoint: '%s', aws_region_name: us-east-1, " +
		"aws_access_key_id: AKIDEXAMPLE, aws_secret_access_key: secret}",
	llm.Gemini: "{model: 'gemini/*', api_base: '%s', api_key: sk-up}",
}

// lane is a gateway in front of an upstream of one dialect, which answers with what is loaded. One call at a time.
type lane struct {
	g *gwtest.Gateway

	mu    sync.Mutex
	reply *exchange
	seen  []gwtest.Seen // since reply was loaded
}

func newLane(t *testing.T, d llm.Dialect) *lane {
	t.Helper()
	l := &lane{}
	up := gwtest.NewUpstream(t, l.answer)
	l.g = gwtest.Start(t, "model_list:\n- model_name: '*'\n  litellm_params: "+fmt.Sprintf(providers[d], up.URL)+"\n")
	return l
}

func (l *lane) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	l.mu.Lock()
	x := l.reply
	l.seen = append(l.seen, gwtest.Seen{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header, Body: body})
	l.mu.Unlock()
	kind := x.Type
	if kind == "" || strings.Contains(kind, "REDACTED") {
		switch {
		case !x.Stream:
			kind = "application/json"
		case x.Dialect == llm.Converse:
			kind = "application/vnd.amazon.eventstream"
		default:
			kind = "text/event-stream"
		}
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(x.Status)
	_, _ = w.Write(x.Reply) // a gateway that hangs up fails the test by what it then answers
}

// call sends one request through the gateway while the upstream answers with x, and gives the answer and what arrived upstream.
func (l *lane) call(t *testing.T, p problem, x *exchange, path string, body []byte) (*gwtest.Answer, *gwtest.Seen) {
	t.Helper()
	l.mu.Lock()
	l.reply, l.seen = x, nil
	l.mu.Unlock()
	a := l.g.Post(t, path, string(body))
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) != 1 {
		p("the upstream was called %d times: the client got %d %.500s", len(l.seen), a.Status, a.Body)
		return a, nil
	}
	return a, &l.seen[0]
}

// route is where a client of the dialect sends a call.
func route(d llm.Dialect, o op, model string, stream, batch bool) string {
	model = url.PathEscape(model)
	switch d {
	case llm.OpenAI:
		return map[op]string{opChat: "/v1/chat/completions", opComplete: "/v1/completions", opEmbed: "/v1/embeddings"}[o]
	case llm.Responses:
		return "/v1/responses"
	case llm.Anthropic:
		return "/v1/messages"
	case llm.Converse:
		if stream {
			return "/bedrock/model/" + model + "/converse-stream"
		}
		return "/bedrock/model/" + model + "/converse"
	}
	path := "/v1beta/models/" + model
	switch {
	case o == opEmbed && batch:
		return path + ":batchEmbedContents"
	case o == opEmbed:
		return path + ":embedContent"
	case stream:
		return path + ":streamGenerateContent?alt=sse"
	}
	return path + ":generateContent"
}

// ask is a minimal request in the dialect: a question, and the tools that the recorded reply calls.
func ask(t *testing.T, d llm.Dialect, x *exchange) []byte {
	t.Helper()
	type m = map[string]any
	type list = []any
	var tools list
	seen := map[string]bool{}
	schema := m{"type": "object", "properties": m{"a": m{"type": "string"}}}
	if x.Want != nil {
		for _, c := range x.Want.Calls {
			if seen[c.Name] {
				continue
			}
			seen[c.Name] = true
			switch d {
			case llm.OpenAI:
				tools = append(tools, m{"type": "function", "function": m{"name": c.Name, "parameters": schema}})
			case llm.Responses:
				tools = append(tools, m{"type": "function", "name": c.Name, "parameters": schema, "strict": false})
			case llm.Anthropic:
				tools = append(tools, m{"name": c.Name, "input_schema": schema})
			case llm.Converse:
				tools = append(tools, m{"toolSpec": m{"name": c.Name, "inputSchema": m{"json": schema}}})
			case llm.Gemini:
				tools = append(tools, m{"functionDeclarations": list{m{"name": c.Name, "parametersJsonSchema": schema}}})
			}
		}
	}
	var body m
	switch d {
	case llm.OpenAI:
		body = m{"model": x.Model, "messages": list{m{"role": "user", "content": "go on"}}}
		if x.Stream {
			body["stream"], body["stream_options"] = true, m{"include_usage": true}
		}
	case llm.Responses:
		body = m{"model": x.Model, "input": "go on", "stream": x.Stream}
	case llm.Anthropic:
		body = m{"model": x.Model, "max_tokens": 1000, "stream": x.Stream, "messages": list{m{"role": "user", "content": "go on"}}}
	case llm.Converse:
		body = m{"messages": list{m{"role": "user", "content": list{m{"text": "go on"}}}}}
		if tools != nil {
			body["toolConfig"], tools = m{"tools": tools}, nil
		}
	case llm.Gemini:
		body = m{"contents": list{m{"role": "user", "parts": list{m{"text": "go on"}}}}}
	}
	if tools != nil {
		body["tools"] = tools
	}
	if x.Op == opEmbed && d == llm.OpenAI {
		body = m{"model": x.Model, "input": list{"one"}}
	}
	if x.Op == opComplete {
		delete(body, "messages")
		body["prompt"] = "go on"
	}
	b, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// asksUsage reports whether an OpenAI streaming request wants the usage chunk.
func asksUsage(request []byte) bool {
	var v struct {
		StreamOptions struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	return json.Unmarshal(request, &v) == nil && v.StreamOptions.IncludeUsage
}

// withoutUsageChunk removes the events that hold usage and no choice, which only a client that asked is sent.
func withoutUsageChunk(stream []byte) []byte {
	var out []byte
	for _, event := range bytes.SplitAfter(stream, []byte("\n\n")) {
		var v struct {
			Choices *[]any `json:"choices"`
			Usage   any    `json:"usage"`
		}
		data, _ := bytes.CutPrefix(bytes.TrimSpace(event), []byte("data:"))
		if json.Unmarshal(data, &v) == nil && v.Usage != nil && v.Choices != nil && len(*v.Choices) == 0 {
			continue
		}
		out = append(out, event...)
	}
	return out
}
