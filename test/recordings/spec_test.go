package recordings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

// schemas are OpenAI's own descriptions of its replies.
var schemas = sync.OnceValue(func() map[string]m {
	var v map[string]m
	if err := readJSON("testdata/specs/openai.json", &v); err != nil {
		panic(err)
	}
	return v
})

// failing gives the ways in which a value fails a schema. Each is a class: the path without list positions, and what is wrong there.
func failing(v any, schema m, path string) []string {
	for schema["$ref"] != nil {
		schema = schemas()[text(schema["$ref"])]
	}
	if v == nil && schema["nullable"] == true {
		return nil
	}
	var out []string
	for _, s := range array(schema["allOf"]) {
		out = append(out, failing(v, object(s), path)...)
	}
	for _, word := range []string{"anyOf", "oneOf"} { // its oneOf is not meant: branches overlap
		if branches := array(schema[word]); branches != nil {
			out = append(out, best(v, branches, path)...)
		}
	}
	if t := schema["type"]; t != nil && !typed(v, t) {
		return append(out, fmt.Sprintf("%s: %s where %v belongs", path, kindOf(v), t))
	}
	if e := array(schema["enum"]); e != nil && !slices.Contains(e, v) {
		out = append(out, fmt.Sprintf("%s: %v is not listed", path, v))
	}
	if c, ok := schema["const"]; ok && c != v {
		out = append(out, fmt.Sprintf("%s: %v is not %v", path, v, c))
	}
	switch v := v.(type) {
	case map[string]any:
		out = append(out, failingObject(v, schema, path)...)
	case []any:
		if n, ok := schema["minItems"].(float64); ok && len(v) < int(n) {
			out = append(out, path+": too few")
		}
		if items := object(schema["items"]); items != nil {
			for _, x := range v {
				out = append(out, failing(x, items, path+"[]")...)
			}
		}
	case float64:
		if n, ok := schema["minimum"].(float64); ok && v < n {
			out = append(out, path+": too small")
		}
		if n, ok := schema["maximum"].(float64); ok && v > n {
			out = append(out, path+": too big")
		}
	case string:
		if n, ok := schema["minLength"].(float64); ok && len(v) < int(n) {
			out = append(out, path+": too short")
		}
	}
	return out
}

func failingObject(v, schema m, path string) (out []string) {
	for _, name := range array(schema["required"]) {
		if _, ok := v[text(name)]; !ok {
			out = append(out, fmt.Sprintf("%s: %s is missing", path, name))
		}
	}
	properties := object(schema["properties"])
	for name, x := range v {
		if s := object(properties[name]); s != nil {
			out = append(out, failing(x, s, path+"."+name)...)
		} else if more := object(schema["additionalProperties"]); more != nil {
			out = append(out, failing(x, more, path+".*")...)
		} else if schema["additionalProperties"] == false {
			out = append(out, fmt.Sprintf("%s: %s is unknown", path, name))
		}
	}
	return out
}

// best tries branches and gives the failures of the one that comes nearest. Where branches name their type, only those of the value's own
// type are tried.
func best(v any, branches []any, path string) (out []string) {
	kind := text(at(v, "type"))
	var fitting []any
	for _, b := range branches {
		if kind != "" && slices.Contains(typesOf(object(b)), kind) {
			fitting = append(fitting, b)
		}
	}
	if fitting == nil {
		fitting = branches
	}
	for i, b := range fitting {
		f := failing(v, object(b), path)
		if len(f) == 0 {
			return nil
		}
		if i == 0 || len(f) < len(out) {
			out = f
		}
	}
	return out
}

// typesOf are the values that a schema's property "type" may have.
func typesOf(schema m) (out []string) {
	for schema["$ref"] != nil {
		schema = schemas()[text(schema["$ref"])]
	}
	property := object(at(schema, "properties", "type"))
	for _, x := range array(property["enum"]) {
		out = append(out, text(x))
	}
	if s := text(property["const"]); s != "" {
		out = append(out, s)
	}
	for _, word := range []string{"anyOf", "oneOf", "allOf"} {
		for _, b := range array(schema[word]) {
			out = append(out, typesOf(object(b))...)
		}
	}
	return out
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

func typed(v, t any) bool {
	if list := array(t); list != nil {
		return slices.ContainsFunc(list, func(t any) bool { return typed(v, t) })
	}
	k := kindOf(v)
	return k == t || k == "integer" && t == "number"
}

// allowed are the failures of replies that OpenAI itself gave, by schema: its description is stricter than it is.
var allowed = sync.OnceValue(func() map[string]bool {
	all, _ := corpus()
	out := map[string]bool{
		// The description has custom tools in whole answers and in requests, but forgot them in streams.
		"CreateChatCompletionStreamResponse.choices[].delta.tool_calls[].type: custom is not listed": true,
	}
	for _, x := range all {
		if x.Status != 200 || x.Op != opChat || strings.HasPrefix(x.Name, "vercel-ai/") /* many are shortened */ || x.Provider != "openai" && x.Provider != "azure" || x.Dialect != llm.OpenAI && x.Dialect != llm.Responses {
			continue
		}
		for _, f := range openaiFailures(x.Dialect, x.Stream, x.Reply) {
			out[f] = true
		}
	}
	return out
})

var inEvent = regexp.MustCompile(`^response\.(created|in_progress|completed|incomplete|failed)\.response\b`)

// openaiFailures checks a reply or each event of a stream.
func openaiFailures(d llm.Dialect, stream bool, body []byte) (out []string) {
	name := map[llm.Dialect][2]string{
		llm.OpenAI:    {"CreateChatCompletionResponse", "CreateChatCompletionStreamResponse"},
		llm.Responses: {"Response", "ResponseStreamEvent"},
	}[d]
	check := func(v any, schema string) {
		path := schema
		if schema == "ResponseStreamEvent" {
			path = text(at(v, "type"))
		}
		for _, f := range failing(v, schemas()[schema], path) {
			f = inEvent.ReplaceAllString(f, "Response") // one object, whichever event brings it
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	if !stream {
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			return []string{err.Error()}
		}
		check(v, name[0])
		return out
	}
	for _, e := range (&reader{}).events(d, body) {
		if e.Name != "[DONE]" {
			check(any(e.Data), name[1])
		}
	}
	return out
}

// strange gives what is wrong with a reply that the gateway wrote, by the published descriptions of its dialect.
func strange(d llm.Dialect, stream bool, body []byte) (out []string) {
	switch d {
	case llm.OpenAI, llm.Responses:
		for _, f := range openaiFailures(d, stream, body) {
			if !allowed()[f] {
				out = append(out, "schema: "+f)
			}
		}
	case llm.Converse:
		if stream {
			for _, e := range (&reader{}).awsEvents(body) {
				out = append(out, walk(m{e.Name: any(e.Data)}, "ConverseStreamOutput", "event")...)
			}
			return out
		}
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			return []string{err.Error()}
		}
		return walk(v, "ConverseResponse", "reply")
	}
	return out
}

// shape is a type of AWS's model.
type shape struct {
	Type     string            `json:"type"`
	Members  map[string]string `json:"members"`
	Required []string          `json:"required"`
	Union    bool              `json:"union"`
	Document bool              `json:"document"`
	Enum     []string          `json:"enum"`
	Member   string            `json:"member"`
	Value    string            `json:"value"`
}

var shapes = sync.OnceValue(func() map[string]shape {
	var v map[string]shape
	if err := readJSON("testdata/specs/bedrock.json", &v); err != nil {
		panic(err)
	}
	return v
})

// walk compares a value with AWS's model strictly: unknown and missing members, types, enumerations, unions of one.
func walk(v any, name, path string) (out []string) {
	s := shapes()[name]
	bad := func(format string, args ...any) { out = append(out, "model: "+path+": "+fmt.Sprintf(format, args...)) }
	want := map[string]string{"structure": "object", "map": "object", "list": "array", "string": "string", "blob": "string", "integer": "integer",
		"long": "integer", "boolean": "boolean", "double": "number", "float": "number", "timestamp": "number"}[s.Type]
	if s.Document {
		return nil
	}
	if !typed(v, want) {
		bad("%s where %s belongs", kindOf(v), want)
		return out
	}
	switch s.Type {
	case "structure":
		o := object(v)
		for _, r := range s.Required {
			if _, ok := o[r]; !ok {
				bad("%s is missing", r)
			}
		}
		if s.Union && len(o) != 1 {
			bad("a union of %d members", len(o))
		}
		for k, x := range o {
			if member, ok := s.Members[k]; ok {
				out = append(out, walk(x, member, path+"."+k)...)
			} else {
				bad("%s is unknown", k)
			}
		}
	case "list":
		for _, x := range array(v) {
			out = append(out, walk(x, s.Member, path+"[]")...)
		}
	case "map":
		for _, x := range object(v) {
			out = append(out, walk(x, s.Value, path+".*")...)
		}
	case "string":
		if s.Enum != nil && !slices.Contains(s.Enum, text(v)) {
			bad("%s is not one of %s", v, strings.Join(s.Enum, " "))
		}
	}
	return out
}

// TestStrange: the checks find what is wrong.
func TestStrange(t *testing.T) {
	f := func(d llm.Dialect, stream bool, body string, want ...string) {
		t.Helper()
		got := strange(d, stream, []byte(body))
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
	f(llm.OpenAI, false, `{"id":"x","object":"chat.completion","created":"now","model":"m","choices":[{"index":0,"finish_reason":"done",
		"message":{"role":"user","content":null,"refusal":null},"logprobs":null}]}`,
		"schema: CreateChatCompletionResponse.choices[].finish_reason: done is not listed",
		"schema: CreateChatCompletionResponse.choices[].message.role: user is not listed",
		"schema: CreateChatCompletionResponse.created: string where integer belongs")
	f(llm.Responses, true, "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"output_index\":0,"+
		"\"content_index\":0,\"delta\":\"a\",\"logprobs\":[]}\n\n", "schema: response.output_text.delta: item_id is missing")
	f(llm.Converse, false, `{"output":{"message":{"role":"assistant","content":[{"text":"a","toolUse":{"toolUseId":"i","name":"n","input":{}}}]}},
		"stopReason":"done","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1.5},"more":1}`,
		"model: reply.metrics.latencyMs: number where integer belongs", "model: reply.output.message.content[]: a union of 2 members",
		"model: reply.stopReason: done is not one of "+strings.Join(shapes()["StopReason"].Enum, " "), "model: reply: more is unknown")
}
