package metrics

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/test/gwtest"
)

// object is a JSON object, as clients build it.
type object = map[string]any

// turn is a step of a conversation: what somebody said, or the call of a tool with its result.
type turn struct {
	role string // user, assistant, call, result
	text string // for call and result: the tool's name
}

// dialect says a conversation in its words: where a request goes, and its body.
type dialect struct {
	name string
	path func(model string, stream bool) string
	body func(model string, turns []turn, tool string, stream bool) object
}

func at(path string) func(string, bool) string { return func(string, bool) string { return path } }

// messages renders turns, each by its role.
func messages(turns []turn, say map[string]func(text string) object) []object {
	var out []object
	for _, t := range turns {
		out = append(out, say[t.role](t.text))
	}
	return out
}

// with adds tools to a body where one is offered.
func with(body object, tool string, tools any) object {
	if tool != "" {
		body["tools"] = tools
	}
	return body
}

var parameters = object{"type": "object", "properties": object{"to": object{"type": "string"}}}

var dialects = []dialect{
	{"chat completions", at("/v1/chat/completions"), func(model string, turns []turn, tool string, stream bool) object {
		list := messages(turns, map[string]func(string) object{
			"user":      func(s string) object { return object{"role": "user", "content": s} },
			"assistant": func(s string) object { return object{"role": "assistant", "content": s} },
			"call": func(s string) object {
				return object{"role": "assistant", "content": nil, "tool_calls": []object{{"id": "c1", "type": "function", "function": object{"name": s, "arguments": "{}"}}}}
			},
			"result": func(string) object { return object{"role": "tool", "tool_call_id": "c1", "content": "done"} },
		})
		list = append([]object{{"role": "system", "content": "Be short."}}, list...)
		return with(object{"model": model, "messages": list, "stream": stream}, tool,
			[]object{{"type": "function", "function": object{"name": tool, "parameters": parameters}}})
	}},
	{"responses", at("/v1/responses"), func(model string, turns []turn, tool string, stream bool) object {
		list := messages(turns, map[string]func(string) object{
			"user": func(s string) object {
				return object{"role": "user", "content": []object{{"type": "input_text", "text": s}}}
			},
			"assistant": func(s string) object {
				return object{"type": "message", "role": "assistant", "content": []object{{"type": "output_text", "text": s}}}
			},
			"call": func(s string) object {
				return object{"type": "function_call", "call_id": "c1", "name": s, "arguments": "{}"}
			},
			"result": func(string) object { return object{"type": "function_call_output", "call_id": "c1", "output": "done"} },
		})
		return with(object{"model": model, "instructions": "Be short.", "input": list, "stream": stream}, tool,
			[]object{{"type": "function", "name": tool, "parameters": parameters}})
	}},
	{"messages", at("/v1/messages"), func(model string, turns []turn, tool string, stream bool) object {
		list := messages(turns, map[string]func(string) object{
			"user":      func(s string) object { return object{"role": "user", "content": []object{{"type": "text", "text": s}}} },
			"assistant": func(s string) object { return object{"role": "assistant", "content": s} },
			"call": func(s string) object {
				return object{"role": "assistant", "content": []object{{"type": "tool_use", "id": "c1", "name": s, "input": object{}}}}
			},
			"result": func(string) object {
				return object{"role": "user", "content": []object{{"type": "tool_result", "tool_use_id": "c1", "content": "done"}}}
			},
		})
		return with(object{"model": model, "system": "Be short.", "max_tokens": 100, "messages": list, "stream": stream}, tool,
			[]object{{"name": tool, "input_schema": parameters}})
	}},
	{"converse", func(model string, stream bool) string {
		return "/bedrock/model/" + model + map[bool]string{false: "/converse", true: "/converse-stream"}[stream]
	}, func(_ string, turns []turn, tool string, _ bool) object {
		text := func(role string) func(string) object {
			return func(s string) object { return object{"role": role, "content": []object{{"text": s}}} }
		}
		list := messages(turns, map[string]func(string) object{
			"user": text("user"), "assistant": text("assistant"),
			"call": func(s string) object {
				return object{"role": "assistant", "content": []object{{"toolUse": object{"toolUseId": "c1", "name": s, "input": object{}}}}}
			},
			"result": func(string) object {
				return object{"role": "user", "content": []object{{"toolResult": object{"toolUseId": "c1", "content": []object{{"text": "done"}}}}}}
			},
		})
		body := object{"messages": list, "system": []object{{"text": "Be short."}}}
		if tool != "" {
			body["toolConfig"] = object{"tools": []object{{"toolSpec": object{"name": tool, "inputSchema": object{"json": parameters}}}}}
		}
		return body
	}},
	{"generateContent", func(model string, stream bool) string {
		return "/v1beta/models/" + model + map[bool]string{false: ":generateContent", true: ":streamGenerateContent?alt=sse"}[stream]
	}, func(_ string, turns []turn, tool string, _ bool) object {
		text := func(role string) func(string) object {
			return func(s string) object { return object{"role": role, "parts": []object{{"text": s}}} }
		}
		list := messages(turns, map[string]func(string) object{
			"user": text("user"), "assistant": text("model"),
			"call": func(s string) object {
				return object{"role": "model", "parts": []object{{"functionCall": object{"name": s, "args": object{}}}}}
			},
			"result": func(s string) object {
				return object{"role": "user", "parts": []object{{"functionResponse": object{"name": s, "response": object{"ok": true}}}}}
			},
		})
		return with(object{"contents": list, "systemInstruction": object{"parts": []object{{"text": "Be short."}}}}, tool,
			[]object{{"functionDeclarations": []object{{"name": tool, "parameters": parameters}}}})
	}},
}

// chat is a client in the middle of a conversation: every call sends all that was said before.
type chat struct {
	g       *gwtest.Gateway
	d       dialect
	model   string
	stream  bool
	headers []string
	turns   []turn
}

// say sends a prompt and, if a tool is offered, the tool's result after the call that the model is then expected to make.
func (c *chat) say(t *testing.T, prompt, tool string) {
	t.Helper()
	if tool != "" {
		prompt += " with " + tool
	}
	c.turns = append(c.turns, turn{"user", prompt})
	answer := c.send(t, tool)
	if tool == "" {
		c.turns = append(c.turns, turn{"assistant", "It is done."})
		return
	}
	if !strings.Contains(answer, tool) {
		t.Fatalf("%s, streamed %v: no call of %s: %s", c.d.name, c.stream, tool, answer)
	}
	c.turns = append(c.turns, turn{"call", tool}, turn{"result", tool})
	c.send(t, tool)
	c.turns = append(c.turns, turn{"assistant", "It is done."})
}

func (c *chat) send(t *testing.T, tool string) string {
	t.Helper()
	body, err := json.Marshal(c.d.body(c.model, c.turns, tool, c.stream))
	if err != nil {
		t.Fatal(err)
	}
	a := c.g.Do(t, http.MethodPost, c.d.path(c.model, c.stream), string(body), c.headers...)
	if a.Status != 200 {
		t.Fatalf("%s, streamed %v: %d %s", c.d.name, c.stream, a.Status, a.Body)
	}
	return string(a.Body)
}

// key makes a user with groups and a key of theirs, and gives the header.
func key(t *testing.T, g *gwtest.Gateway, user string, groups ...string) string {
	t.Helper()
	list, err := json.Marshal(groups)
	if err != nil {
		t.Fatal(err)
	}
	if a := g.Post(t, "/user/new", fmt.Sprintf(`{"user_id":%q,"user_role":"internal_user","metadata":{"groups":%s},"auto_create_key":false}`, user, list)); a.Status != 200 {
		t.Fatalf("user %s: %d %s", user, a.Status, a.Body)
	}
	return keyOf(t, g, fmt.Sprintf(`{"user_id":%q}`, user))
}

func keyOf(t *testing.T, g *gwtest.Gateway, body string) string {
	t.Helper()
	a := g.Post(t, "/key/generate", body)
	var made struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(a.Body, &made); err != nil || made.Key == "" {
		t.Fatalf("key: %d %s", a.Status, a.Body)
	}
	return "Bearer " + made.Key
}
