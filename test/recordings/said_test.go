package recordings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

// said is what a request says, in no dialect: what must be the same whoever's client wrote it. Defaults, order, ids and signatures are
// left out.
type said struct {
	System string
	Turns  []turn
	Tools  map[string]m
	Choice string
	Schema any // of the answer
	Max    int64
}

// turn is one side's words: neighbouring messages of one side are one turn, and tool results are the user's.
type turn struct {
	Role  string
	Parts []string
}

func (s *said) add(role string, parts ...string) {
	// Text without a letter says nothing, and Anthropic refuses it.
	parts = slices.DeleteFunc(parts, func(p string) bool { return strings.TrimSpace(p) == "" })
	if n := len(s.Turns); n > 0 && s.Turns[n-1].Role == role {
		s.Turns[n-1].Parts = append(s.Turns[n-1].Parts, parts...)
		return
	}
	s.Turns = append(s.Turns, turn{role, parts})
}

func (s *said) tool(name, description any, schema any) {
	if s.Tools == nil {
		s.Tools = map[string]m{}
	}
	s.Tools[text(name)] = m{"description": description, "schema": plainSchema(schema)}
}

// plainSchema is a JSON schema in one spelling: types in small letters (Gemini has them in capitals), and without what only says that
// nothing else is allowed.
func plainSchema(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plainSchema(v[i])
		}
		return out
	case map[string]any:
		out := m{}
		for k, x := range v {
			switch k {
			case "additionalProperties", "$schema", "propertyOrdering":
				continue
			case "type":
				if s, ok := x.(string); ok {
					x = strings.ToLower(s)
				}
			}
			out[k] = plainSchema(x)
		}
		return out
	}
	return v
}

func callText(name string, args any) string {
	b, err := json.Marshal(args, json.Deterministic(true))
	if err != nil {
		return err.Error()
	}
	return "call " + name + " " + string(b)
}

func resultText(name, content string) string { return "result of " + name + ": " + content }

func imageText(mime, data string) string {
	return fmt.Sprintf("image %s %d %.40s", mime, len(data), data)
}

// mark shows a prompt-caching mark behind the part that has it.
func mark(part string, block any) string {
	if at(block, "cache_control") != nil {
		return part + marked
	}
	return part
}

const marked = " [cached to here]"

func hear(d llm.Dialect, body []byte) (*said, error) {
	var v m
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	s := &said{Choice: "auto"}
	switch d {
	case llm.OpenAI:
		s.chat(v)
	case llm.Responses:
		s.responses(v)
	case llm.Anthropic:
		s.messages(v)
	case llm.Gemini:
		s.gemini(v)
	}
	return s, nil
}

func (s *said) choose(word, name string) {
	switch strings.ToLower(word) {
	case "", "auto":
	case "any", "required":
		s.Choice = "required"
	case "none":
		s.Choice = "none"
	default:
		s.Choice = "tool " + name
	}
}

// content is a string or a list of parts of a chat message.
func chatContent(v any) (out []string) {
	if t := text(v); t != "" {
		return []string{t}
	}
	for _, p := range array(v) {
		if u := text(at(p, "image_url", "url")); u != "" {
			head, data, _ := strings.Cut(strings.TrimPrefix(u, "data:"), ";base64,")
			out = append(out, mark(imageText(head, data), p))
		} else {
			out = append(out, mark(text(at(p, "text")), p))
		}
	}
	return out
}

func (s *said) chat(v m) {
	names := map[string]string{}
	var system []string
	for _, msg := range array(v["messages"]) {
		parts := chatContent(at(msg, "content"))
		switch role := text(at(msg, "role")); role {
		case "system", "developer":
			for _, p := range parts {
				system = append(system, mark(p, msg))
			}
		case "assistant":
			for _, c := range array(at(msg, "tool_calls")) {
				names[text(at(c, "id"))] = text(at(c, "function", "name"))
				parts = append(parts, mark(callText(text(at(c, "function", "name")), parsed(text(at(c, "function", "arguments")))), c))
			}
			s.add("assistant", parts...)
		case "tool":
			s.add("user", mark(resultText(names[text(at(msg, "tool_call_id"))], strings.Join(parts, "\n")), msg))
		default:
			for i := range parts {
				if i == len(parts)-1 {
					parts[i] = mark(parts[i], msg)
				}
			}
			s.add("user", parts...)
		}
	}
	s.System = strings.Join(system, "\n")
	for _, t := range array(v["tools"]) {
		s.tool(at(t, "function", "name"), at(t, "function", "description"), at(t, "function", "parameters"))
	}
	if word := text(v["tool_choice"]); word != "" {
		s.choose(word, "")
	} else if v["tool_choice"] != nil {
		s.choose("tool", text(at(v, "tool_choice", "function", "name")))
	}
	s.Schema = plainSchema(at(v, "response_format", "json_schema", "schema"))
	s.Max = max(number(v["max_tokens"]), number(v["max_completion_tokens"]))
}

func (s *said) responses(v m) {
	names := map[string]string{}
	system := []string{}
	if t := text(v["instructions"]); t != "" {
		system = append(system, t)
	}
	items := array(v["input"])
	if t := text(v["input"]); t != "" {
		items = []any{m{"role": "user", "content": t}}
	}
	for _, item := range items {
		var parts []string
		if t := text(at(item, "content")); t != "" {
			parts = append(parts, t)
		}
		for _, c := range array(at(item, "content")) {
			if u := text(at(c, "image_url")); u != "" {
				head, data, _ := strings.Cut(strings.TrimPrefix(u, "data:"), ";base64,")
				parts = append(parts, imageText(head, data))
			} else {
				parts = append(parts, text(at(c, "text")))
			}
		}
		switch kind := text(at(item, "type")); kind {
		case "function_call":
			names[text(at(item, "call_id"))] = text(at(item, "name"))
			s.add("assistant", callText(text(at(item, "name")), parsed(text(at(item, "arguments")))))
		case "function_call_output":
			out := text(at(item, "output"))
			for _, c := range array(at(item, "output")) {
				out += text(at(c, "text"))
			}
			s.add("user", resultText(names[text(at(item, "call_id"))], out))
		case "reasoning", "item_reference":
		default:
			switch role := text(at(item, "role")); role {
			case "system", "developer":
				system = append(system, parts...)
			default:
				s.add(role, parts...)
			}
		}
	}
	s.System = strings.Join(system, "\n")
	for _, t := range array(v["tools"]) {
		s.tool(at(t, "name"), at(t, "description"), at(t, "parameters"))
	}
	if word := text(v["tool_choice"]); word != "" {
		s.choose(word, "")
	} else if v["tool_choice"] != nil {
		s.choose("tool", text(at(v, "tool_choice", "name")))
	}
	s.Schema = plainSchema(at(v, "text", "format", "schema"))
	s.Max = number(v["max_output_tokens"])
}

func (s *said) messages(v m) {
	names := map[string]string{}
	blocks := func(c any) []any {
		if t := text(c); t != "" {
			return []any{m{"type": "text", "text": t}}
		}
		return array(c)
	}
	var system []string
	for _, b := range blocks(v["system"]) {
		system = append(system, mark(text(at(b, "text")), b))
	}
	s.System = strings.Join(system, "\n")
	for _, msg := range array(v["messages"]) {
		for _, b := range blocks(at(msg, "content")) {
			part := ""
			switch at(b, "type") {
			case "text":
				part = text(at(b, "text"))
			case "image":
				part = imageText(text(at(b, "source", "media_type")), text(at(b, "source", "data")))
			case "tool_use":
				names[text(at(b, "id"))] = text(at(b, "name"))
				part = callText(text(at(b, "name")), at(b, "input"))
			case "tool_result":
				out := ""
				for _, c := range blocks(at(b, "content")) {
					out += text(at(c, "text"))
				}
				part = resultText(names[text(at(b, "tool_use_id"))], out)
			default:
				continue
			}
			s.add(text(at(msg, "role")), mark(part, b))
		}
	}
	for _, t := range array(v["tools"]) {
		s.tool(at(t, "name"), at(t, "description"), at(t, "input_schema"))
	}
	s.choose(text(at(v, "tool_choice", "type")), text(at(v, "tool_choice", "name")))
	s.Schema = plainSchema(at(v, "output_config", "format", "schema"))
	s.Max = number(v["max_tokens"])
}

func (s *said) gemini(v m) {
	var system []string
	for _, p := range array(at(v, "systemInstruction", "parts")) {
		system = append(system, text(at(p, "text")))
	}
	s.System = strings.Join(system, "\n")
	for _, c := range array(v["contents"]) {
		role := text(at(c, "role"))
		if role == "model" {
			role = "assistant"
		} else {
			role = "user"
		}
		for _, p := range array(at(c, "parts")) {
			switch {
			case at(p, "thought") == true:
			case at(p, "functionCall") != nil:
				s.add(role, callText(text(at(p, "functionCall", "name")), at(p, "functionCall", "args")))
			case at(p, "functionResponse") != nil:
				out := ""
				for _, x := range object(at(p, "functionResponse", "response")) { // one member, whatever it is called
					out += text(x)
				}
				s.add(role, resultText(text(at(p, "functionResponse", "name")), out))
			case at(p, "inlineData") != nil:
				s.add(role, imageText(text(at(p, "inlineData", "mimeType")), text(at(p, "inlineData", "data"))))
			default:
				s.add(role, text(at(p, "text")))
			}
		}
	}
	for _, t := range array(v["tools"]) {
		for _, f := range array(at(t, "functionDeclarations")) {
			schema := at(f, "parameters")
			if schema == nil {
				schema = at(f, "parametersJsonSchema")
			}
			s.tool(at(f, "name"), at(f, "description"), schema)
		}
	}
	config := object(at(v, "toolConfig", "functionCallingConfig"))
	if allowed := array(config["allowedFunctionNames"]); len(allowed) == 1 {
		s.choose("tool", text(allowed[0]))
	} else {
		s.choose(text(config["mode"]), "")
	}
	g := object(v["generationConfig"])
	if s.Schema = plainSchema(g["responseJsonSchema"]); s.Schema == nil {
		s.Schema = plainSchema(g["responseSchema"])
	}
	s.Max = number(g["maxOutputTokens"])
}
