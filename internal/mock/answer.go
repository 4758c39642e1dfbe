package mock

import (
	"math"
	"sort"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

// fixedText is what a Server says that was told nothing else.
const fixedText = "Hello from the mock."

// response makes the answer up.
func (x *exchange) response() *llm.Response {
	resp := &llm.Response{ID: "mock-1", Model: x.req.Model, Created: x.s.now().Unix()}
	n := int64(1)
	if x.req.N != nil && *x.req.N > 1 {
		n = min(*x.req.N, 8)
	}
	var output int64
	for i := range n {
		c := llm.Choice{Index: int(i), Stop: llm.Stop{Reason: llm.FinishStop}}
		c.Parts = x.parts()
		for j := range c.Parts {
			if call := c.Parts[j].Call; call != nil {
				c.Reason = llm.FinishToolCalls
				output += tokens(len(call.Arguments))
			}
			output += tokens(len(c.Parts[j].Text))
		}
		if limit := x.req.MaxTokens; limit != nil && *limit < output && c.Reason == llm.FinishStop && x.opt.Answer == "demo" {
			c.Parts[len(c.Parts)-1].Text = clip(c.Parts[len(c.Parts)-1].Text, int(*limit)*4)
			c.Reason, output = llm.FinishLength, *limit
		}
		resp.Choices = append(resp.Choices, c)
	}
	resp.Usage = &llm.Usage{Input: x.inputTokens(), Output: output}
	return resp
}

// parts are one candidate's content: a tool call where one is wanted, JSON where a form is asked for, else text.
func (x *exchange) parts() []llm.Part {
	if call := x.toolCall(); call != nil {
		return []llm.Part{{Kind: llm.KindToolCall, Call: call}}
	}
	var parts []llm.Part
	if r := x.req.Reasoning; r != nil && x.opt.Answer == "demo" && r.EffortWord() != "none" {
		parts = append(parts, llm.Part{Kind: llm.KindReasoning, Text: "The user said something; a short answer will do."})
	}
	return append(parts, llm.Part{Kind: llm.KindText, Text: x.text()})
}

func (x *exchange) text() string {
	if x.opt.Answer == "said" {
		return x.opt.Text
	}
	if f := x.req.Format; f != nil && f.Type == "json_schema" {
		return sample(f.Schema)
	} else if f != nil && f.Type == "json_object" {
		return `{"answer":"Hello from the mock."}`
	}
	text := fixedText
	switch x.opt.Answer {
	case "echo":
		text = x.lastUser()
	case "demo":
		text = x.demo()
	default:
		if x.opt.Text != "" {
			text = x.opt.Text
		}
	}
	if missing := x.opt.Bytes - len(text); missing > 0 {
		text += strings.Repeat(" lorem ipsum", missing/12+1)[:missing]
	}
	return text
}

// demo is what the built-in model says: enough to see that the call arrived whole.
func (x *exchange) demo() string {
	if result := x.lastResult(); result != "" {
		return "The tool answered: " + clip(result, 400)
	}
	said := x.lastUser()
	if said == "" {
		return "Hello! I am Weir's built-in demo model. Say something, and I will say it back."
	}
	return "Hello! I am Weir's built-in demo model, not a real one. You said: " + clip(said, 400)
}

// clip cuts a text to at most n bytes, at a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

func (x *exchange) lastUser() string {
	for i := len(x.req.Messages) - 1; i >= 0; i-- {
		if m := &x.req.Messages[i]; m.Role == llm.RoleUser {
			if s := llm.TextOf(m.Parts); s != "" {
				return s
			}
		}
	}
	return ""
}

// lastResult is the text of the tool results after the last assistant message, if that is what the conversation ends with.
func (x *exchange) lastResult() string {
	var out []string
	for i := len(x.req.Messages) - 1; i >= 0 && x.req.Messages[i].Role != llm.RoleAssistant; i-- {
		for j := range x.req.Messages[i].Parts {
			if r := x.req.Messages[i].Parts[j].Result; r != nil {
				text := llm.TextOf(r.Parts)
				for k := range r.Parts {
					text += string(r.Parts[k].Raw)
				}
				out = append(out, text)
			}
		}
	}
	return strings.Join(out, "; ")
}

// toolCall calls a tool when one is offered and asked for: by tool choice, or because the last user message names it. A conversation
// that ends with a tool's result gets words.
func (x *exchange) toolCall() *llm.ToolCall {
	if len(x.req.Tools) == 0 || x.lastResult() != "" || x.opt.Answer == "said" {
		return nil
	}
	choice := x.req.ToolChoice
	if choice != nil && choice.Mode == llm.ChoiceNone {
		return nil
	}
	said := strings.ToLower(x.lastUser())
	for i := range x.req.Tools {
		t := &x.req.Tools[i]
		if t.Name == "" || t.Type != "" {
			continue
		}
		wanted := choice != nil && (choice.Mode == llm.ChoiceRequired || choice.Mode == llm.ChoiceTool && choice.Name == t.Name)
		if !wanted && x.opt.Answer == "demo" {
			wanted = mentions(said, t.Name)
		}
		if wanted || x.opt.Answer != "demo" && choice == nil {
			return &llm.ToolCall{ID: "call_mock_1", Name: t.Name, Arguments: sample(t.Schema)}
		}
	}
	return nil
}

// mentions reports whether a text names a tool, by its name or by all the words of it (get_weather: "get the weather").
func mentions(said, name string) bool {
	name = strings.ToLower(name)
	if strings.Contains(said, name) {
		return true
	}
	hit := 0
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' || r == '.' })
	for _, w := range words {
		if len(w) > 3 && strings.Contains(said, w) {
			hit++
		}
	}
	return hit > 0
}

// tokens estimates the tokens of n bytes of text.
func tokens(n int) int64 { return int64(math.Ceil(float64(n) / 4)) }

func (x *exchange) inputTokens() int64 {
	n := int64(3)
	for i := range x.req.Messages {
		n += 3
		for j := range x.req.Messages[i].Parts {
			p := &x.req.Messages[i].Parts[j]
			n += tokens(len(p.Text))
			if p.Media != nil {
				n += 85
			}
		}
	}
	for i := range x.req.Tools {
		n += tokens(len(x.req.Tools[i].Schema)) + tokens(len(x.req.Tools[i].Description)) + 4
	}
	return n
}

// schema is the part of JSON schema that sample understands.
type schema struct {
	Type       any                `json:"type"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Items      *schema            `json:"items"`
	Enum       []any              `json:"enum"`
	Const      any                `json:"const"`
	AnyOf      []*schema          `json:"anyOf"`
	MinItems   int                `json:"minItems"`
	Minimum    float64            `json:"minimum"`
}

// maxDepth keeps a schema that holds itself from never ending.
const maxDepth = 12

// sample makes a JSON value up that fits a schema: the first of an enum, every property of an object, one item of a list.
func sample(raw llm.Raw) string {
	var s schema
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return "{}"
	}
	b, err := json.Marshal(s.value(0), json.Deterministic(true))
	if err != nil {
		return "{}"
	}
	return string(b)
}

func (s *schema) value(depth int) any {
	switch {
	case s == nil || depth > maxDepth:
		return nil
	case s.Const != nil:
		return s.Const
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.AnyOf) > 0:
		return s.AnyOf[0].value(depth + 1)
	}
	switch s.kind() {
	case "object":
		out := map[string]any{}
		names := make([]string, 0, len(s.Properties))
		for name := range s.Properties {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			out[name] = s.Properties[name].value(depth + 1)
		}
		return out
	case "array":
		out := []any{}
		for range max(1, s.MinItems) {
			out = append(out, s.Items.value(depth+1))
		}
		return out
	case "integer", "number":
		return max(1, s.Minimum)
	case "boolean":
		return true
	case "null":
		return nil
	}
	return "sample"
}

// kind is the schema's type, in lower case; of several, the first that isn't null.
func (s *schema) kind() string {
	switch t := s.Type.(type) {
	case string:
		return strings.ToLower(t)
	case []any:
		for _, v := range t {
			if name, ok := v.(string); ok && name != "null" {
				return strings.ToLower(name)
			}
		}
	}
	if s.Properties != nil {
		return "object"
	}
	return "string"
}
