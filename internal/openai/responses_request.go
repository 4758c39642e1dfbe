package openai

import (
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

func respItoa(i int) string { return strconv.Itoa(i) }

// respRequest is the body of a create call; what it has no field for is kept in Extra.
type respRequest struct {
	Model             string                    `json:"model"`
	Input             jsontext.Value            `json:"input"`
	Instructions      jsontext.Value            `json:"instructions"`
	Tools             []jsontext.Value          `json:"tools"`
	ToolChoice        jsontext.Value            `json:"tool_choice"`
	ParallelToolCalls *bool                     `json:"parallel_tool_calls"`
	Stream            *bool                     `json:"stream"`
	StreamOptions     jsontext.Value            `json:"stream_options"`
	MaxOutputTokens   *int64                    `json:"max_output_tokens"`
	Temperature       *float64                  `json:"temperature"`
	TopP              *float64                  `json:"top_p"`
	TopLogprobs       *int64                    `json:"top_logprobs"`
	Include           []string                  `json:"include"`
	Store             *bool                     `json:"store"`
	Metadata          map[string]string         `json:"metadata"`
	User              string                    `json:"user"`
	SafetyIdentifier  string                    `json:"safety_identifier"`
	PromptCacheKey    string                    `json:"prompt_cache_key"`
	ServiceTier       string                    `json:"service_tier"`
	Text              *respText                 `json:"text"`
	Reasoning         *respReasoning            `json:"reasoning"`
	Background        *bool                     `json:"background"`
	Truncation        string                    `json:"truncation"`
	Extra             map[string]jsontext.Value `json:",embed"`
}

type respText struct {
	Format    *respFormat               `json:"format"`
	Verbosity string                    `json:"verbosity"`
	Extra     map[string]jsontext.Value `json:",embed"`
}

type respFormat struct {
	Type        string         `json:"type"`
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Schema      jsontext.Value `json:"schema"`
	Strict      *bool          `json:"strict"`
}

type respReasoning struct {
	Effort          string                    `json:"effort"`
	Summary         string                    `json:"summary"`
	GenerateSummary string                    `json:"generate_summary"`
	Extra           map[string]jsontext.Value `json:",embed"`
}

// DecodeRequest reads the body of POST /v1/responses. Members that only restate a default (null, background: false, truncation: disabled)
// are not kept, so that no other dialect has to speak of them; nor is stream_options, whose one member asks for padding that the gateway
// never adds.
func (responses) DecodeRequest(body []byte) (*llm.Request, error) {
	if !respIsObject(body) {
		return nil, llm.Invalid("", "the body must be a JSON object")
	}
	var in respRequest
	strict := json.JoinOptions(jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false))
	if err := respUnmarshal(body, &in, "", strict); err != nil {
		return nil, err
	}
	req := &llm.Request{
		From: llm.Responses, Model: in.Model, ParallelTools: in.ParallelToolCalls, Stream: in.Stream != nil && *in.Stream,
		MaxTokens: in.MaxOutputTokens, Temperature: in.Temperature, TopP: in.TopP, TopLogprobs: in.TopLogprobs, Store: in.Store,
		Metadata: in.Metadata, User: in.User, SafetyIdentifier: in.SafetyIdentifier, PromptCacheKey: in.PromptCacheKey,
		ServiceTier: in.ServiceTier, Extra: respNonNull(in.Extra),
	}
	if in.Background != nil && *in.Background {
		req.Extra = llm.WithExtra(req.Extra, "background", jsontext.Value("true"))
	}
	if in.Truncation != "" && in.Truncation != "disabled" {
		req.Extra = llm.WithExtra(req.Extra, "truncation", llm.Quote(in.Truncation))
	}
	if err := respDecodeInput(req, &in); err != nil {
		return nil, err
	}
	for i, raw := range in.Tools {
		t, err := respDecodeTool(raw, "tools["+respItoa(i)+"]")
		if err != nil {
			return nil, err
		}
		req.Tools = append(req.Tools, t)
	}
	if err := respDecodeToolChoice(req, in.ToolChoice); err != nil {
		return nil, err
	}
	if err := respDecodeText(req, in.Text); err != nil {
		return nil, err
	}
	if r := in.Reasoning; r != nil {
		req.Reasoning = &llm.Reasoning{Effort: r.Effort, Summary: r.Summary}
		if r.Summary == "" {
			req.Reasoning.Summary = r.GenerateSummary
		}
		if extra := respNonNull(r.Extra); extra != nil {
			req.Extra = llm.WithExtra(req.Extra, "reasoning", respObject(extra))
		}
		if *req.Reasoning == (llm.Reasoning{}) {
			req.Reasoning = nil
		}
	}
	respDecodeInclude(req, in.Include)
	return req, nil
}

// respDecodeInclude takes what the vocabulary can say out of include: log probabilities, and encrypted reasoning, which is a wish to
// have the reasoning returned.
func respDecodeInclude(req *llm.Request, include []string) {
	rest := []byte{'['}
	for _, name := range include {
		switch name {
		case "message.output_text.logprobs":
			req.Logprobs = llm.Ptr(true)
		case "reasoning.encrypted_content":
			if req.Reasoning == nil {
				req.Reasoning = &llm.Reasoning{}
			}
			req.Reasoning.Include = llm.Ptr(true)
		default:
			rest = wire.AppendString(respElem(rest), name)
		}
	}
	if len(rest) > 1 {
		req.Extra = llm.WithExtra(req.Extra, "include", append(rest, ']'))
	}
}

// respDecodeInput reads instructions and input. Items of the assistant's that follow one another are one message.
func respDecodeInput(req *llm.Request, in *respRequest) *llm.Error {
	var c respConversation
	switch in.Instructions.Kind() {
	case '"':
		c.messages = append(c.messages, llm.Message{Role: llm.RoleSystem, Instructions: true,
			Parts: []llm.Part{{Kind: llm.KindText, Text: llm.StringOf(in.Instructions)}}})
	case 'n', jsontext.KindInvalid:
	default:
		return llm.Invalid("instructions", "'instructions' must be a string")
	}
	switch in.Input.Kind() {
	case '"':
		c.messages = append(c.messages, llm.Message{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.KindText, Text: llm.StringOf(in.Input)}}})
	case '[':
		var items []jsontext.Value
		if err := respUnmarshal(in.Input, &items, "input"); err != nil {
			return err
		}
		for i, raw := range items {
			it, err := respDecodeItem(raw, "input["+respItoa(i)+"]", false)
			if err != nil {
				return err
			}
			c.add(&it)
		}
	case 'n', jsontext.KindInvalid:
		if req.Extra["previous_response_id"] == nil && req.Extra["conversation"] == nil && req.Extra["prompt"] == nil {
			return llm.Invalid("input", "Missing required parameter: 'input'.")
		}
	default:
		return llm.Invalid("input", "'input' must be a string or an array of items")
	}
	req.Messages = c.messages
	return nil
}

// respConversation gathers items into messages.
type respConversation struct {
	messages []llm.Message
	// signature of another dialect that belongs to the assistant's next part.
	signature string
	signedBy  llm.Dialect
}

func (c *respConversation) add(it *respItem) {
	var last *llm.Message
	if n := len(c.messages); n > 0 {
		last = &c.messages[n-1]
	}
	if it.of != "" {
		if it.of == respOfNext {
			c.signature, c.signedBy = it.signature, it.signedBy
		} else if last != nil && last.Role == llm.RoleAssistant && len(last.Parts) > 0 {
			p := &last.Parts[len(last.Parts)-1]
			p.Signature, p.SignedBy = it.signature, it.signedBy
		}
		return
	}
	if it.role != llm.RoleAssistant {
		c.messages = append(c.messages, llm.Message{Role: it.role, Parts: it.parts})
		return
	}
	if c.signature != "" && len(it.parts) > 0 {
		it.parts[0].Signature, it.parts[0].SignedBy = c.signature, c.signedBy
		c.signature = ""
	}
	if last == nil || last.Role != llm.RoleAssistant || it.kind == "message" && !respApart(last.Parts, it.id) {
		c.messages = append(c.messages, llm.Message{Role: llm.RoleAssistant, Parts: it.parts})
		return
	}
	last.Parts = append(last.Parts, it.parts...)
}

// respApart says that a message item called id can follow parts in one message and still be told from them.
func respApart(parts []llm.Part, id string) bool {
	if len(parts) == 0 {
		return false
	}
	p := &parts[len(parts)-1]
	return p.Kind != llm.KindText && p.Kind != llm.KindRefusal || p.ID != id
}

func respDecodeTool(raw jsontext.Value, path string) (llm.Tool, *llm.Error) {
	var in struct {
		Type        string                    `json:"type"`
		Name        string                    `json:"name"`
		Description string                    `json:"description"`
		Parameters  jsontext.Value            `json:"parameters"`
		Strict      *bool                     `json:"strict"`
		Extra       map[string]jsontext.Value `json:",embed"`
	}
	kind := respTypeOf(raw)
	switch kind {
	case "function":
	case "":
		return llm.Tool{}, llm.Invalid(path+".type", "'%s.type' is missing: give \"function\" or the name of a built-in tool", path)
	case "custom":
		if err := respUnmarshal(raw, &in, path); err != nil {
			return llm.Tool{}, err
		}
		return llm.Tool{Type: kind, Name: in.Name, Description: in.Description, Raw: raw}, nil
	default:
		return llm.Tool{Type: kind, Raw: raw}, nil
	}
	if err := respUnmarshal(raw, &in, path); err != nil {
		return llm.Tool{}, err
	}
	if in.Name == "" {
		return llm.Tool{}, llm.Invalid(path+".name", "'%s.name' is missing: in the Responses API it stands beside 'type', not inside a 'function' object", path)
	}
	t := llm.Tool{Name: in.Name, Description: in.Description, Strict: in.Strict, Extra: respNonNull(in.Extra)}
	switch in.Parameters.Kind() {
	case '{':
		t.Schema = in.Parameters
	case 'n', jsontext.KindInvalid:
	default:
		return t, llm.Invalid(path+".parameters", "'%s.parameters' must be a JSON schema, an object", path)
	}
	return t, nil
}

func respDecodeToolChoice(req *llm.Request, raw jsontext.Value) *llm.Error {
	switch raw.Kind() {
	case 'n', jsontext.KindInvalid:
		return nil
	case '"':
		mode := llm.StringOf(raw)
		switch mode {
		case "auto", "none", "required":
			req.ToolChoice = &llm.ToolChoice{Mode: mode}
			return nil
		}
		return llm.Invalid("tool_choice", "'tool_choice' is %q; it must be auto, none, required or an object that names a tool", mode)
	case '{':
	default:
		return llm.Invalid("tool_choice", "'tool_choice' must be a string or an object")
	}
	var c struct {
		Type  string           `json:"type"`
		Name  string           `json:"name"`
		Mode  string           `json:"mode"`
		Tools []jsontext.Value `json:"tools"`
	}
	if err := respUnmarshal(raw, &c, "tool_choice"); err != nil {
		return err
	}
	switch c.Type {
	case "function", "custom":
		if c.Name == "" {
			return llm.Invalid("tool_choice.name", "'tool_choice.name' is missing: name the tool to call")
		}
		req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceTool, Name: c.Name}
	case "allowed_tools":
		choice := &llm.ToolChoice{Mode: llm.ChoiceAllowed}
		if c.Mode == "required" {
			choice.Name = c.Mode
		}
		for _, t := range c.Tools {
			if kind := respTypeOf(t); kind != "function" && kind != "custom" {
				choice = &llm.ToolChoice{Raw: raw}
				break
			}
			choice.Allowed = append(choice.Allowed, respMember(t, "name"))
		}
		req.ToolChoice = choice
	case "":
		return llm.Invalid("tool_choice.type", "'tool_choice.type' is missing: give function, custom, allowed_tools or a built-in tool's type")
	default:
		req.ToolChoice = &llm.ToolChoice{Raw: raw}
	}
	return nil
}

func respDecodeText(req *llm.Request, t *respText) *llm.Error {
	if t == nil {
		return nil
	}
	req.Verbosity = t.Verbosity
	if extra := respNonNull(t.Extra); extra != nil {
		req.Extra = llm.WithExtra(req.Extra, "text", respObject(extra))
	}
	f := t.Format
	if f == nil {
		return nil
	}
	switch f.Type {
	case "text", "json_object":
		req.Format = &llm.Format{Type: f.Type}
	case "json_schema":
		if f.Schema.Kind() != '{' {
			return llm.Invalid("text.format.schema", "'text.format.schema' must be a JSON schema, an object")
		}
		req.Format = &llm.Format{Type: f.Type, Name: f.Name, Description: f.Description, Schema: f.Schema, Strict: f.Strict}
	default:
		return llm.Invalid("text.format.type", "'text.format.type' is %q; it must be text, json_object or json_schema", f.Type)
	}
	return nil
}

// respObject writes members back as an object.
func respObject(m map[string]llm.Raw) jsontext.Value {
	b := []byte{'{'}
	for _, k := range respKeys(m) {
		b = append(wire.AppendString(respComma(b), k), ':')
		b = respAppendRaw(b, m[k])
	}
	return append(b, '}')
}
