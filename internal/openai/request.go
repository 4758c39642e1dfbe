package openai

import (
	"encoding/base64"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// Extra keys under which a decoded request remembers in which of several forms the client said something, so that the same dialect
// says it again in that form.
const (
	extraFunctions = "functions" // the deprecated functions parameter, whose answers come as function_call
	extraReasoning = "reasoning" // OpenRouter's object, or a message's member of that name
	extraThinking  = "thinking"
	extraDetails   = "reasoning_details"
	extraFlat      = "reasoning_content"
	extraCache     = "cache_control"
	extraLegacy    = "function_call" // a call or result in the deprecated form
)

// DecodeRequest implements llm.Served.
func (chat) DecodeRequest(body []byte) (*llm.Request, error) {
	var in chatRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, badRequest(err)
	}
	if in.Messages == nil {
		return nil, llm.Invalid("messages", "/chat/completions: Missing required parameter: 'messages'.")
	}
	if len(in.Messages) == 0 {
		return nil, llm.Invalid("messages", "Invalid 'messages': empty list. Send at least one message.")
	}
	req := in.request(in.Extra)
	req.ParallelTools, req.Store = in.ParallelToolCalls, in.Store
	req.Logprobs, req.TopLogprobs = in.Logprobs, in.TopLogprobs.ptr()
	req.Verbosity, req.Modalities, req.ServiceTier = in.Verbosity, in.Modalities, in.ServiceTier
	req.SafetyIdentifier, req.PromptCacheKey = in.SafetyIdentifier, in.PromptCacheKey
	req.MaxTokens = in.MaxCompletionTokens.ptr()
	if req.MaxTokens == nil {
		req.MaxTokens = in.MaxTokens.ptr()
	}
	if in.Audio != nil {
		req.Audio = &llm.AudioOutput{Voice: in.Audio.Voice, Format: in.Audio.Format}
	}
	if err := decodeStreamOptions(req, in.StreamOptions); err != nil {
		return nil, err
	}
	for _, step := range []func(*llm.Request, *chatRequest) *llm.Error{
		decodeMetadata, decodeReasoningParams, decodeFormat, decodeTools, decodeToolChoice, decodeMessages,
	} {
		if err := step(req, &in); err != nil {
			return nil, err
		}
	}
	return req, nil
}

func decodeStreamOptions(req *llm.Request, options map[string]jsontext.Value) *llm.Error {
	rest := map[string]llm.Raw{}
	for k, v := range options {
		if k != "include_usage" {
			rest[k] = v
			continue
		}
		if err := json.Unmarshal(v, &req.StreamUsage); err != nil {
			return llm.Invalid("stream_options.include_usage", "Invalid type for 'stream_options.include_usage': it must be true or false.")
		}
	}
	if len(rest) > 0 {
		w := writer{}
		w.begin('{')
		w.extra(rest)
		w.raw("}")
		req.Extra = llm.WithExtra(req.Extra, "stream_options", w.b)
	}
	return nil
}

// decodeMetadata reads metadata if it is OpenAI's map of strings; LiteLLM's clients put anything there, which travels as it is.
func decodeMetadata(req *llm.Request, in *chatRequest) *llm.Error {
	if !llm.IsSet(in.Metadata) {
		return nil
	}
	if json.Unmarshal(in.Metadata, &req.Metadata) != nil {
		req.Metadata = nil
		req.Extra = llm.WithExtra(req.Extra, "metadata", in.Metadata)
	}
	return nil
}

// decodeReasoningParams reads reasoning_effort, OpenRouter's reasoning object and Anthropic's thinking object, in that order of weight.
func decodeReasoningParams(req *llm.Request, in *chatRequest) *llm.Error {
	type params struct {
		Effort    string         `json:"effort"`
		Summary   string         `json:"summary"`
		MaxTokens *number        `json:"max_tokens"`
		Enabled   *bool          `json:"enabled"`
		Exclude   *bool          `json:"exclude"`
		Extra     jsontext.Value `json:",embed"`
	}
	var r llm.Reasoning
	given := false
	read := func(name string, v jsontext.Value) *llm.Error {
		var p params
		if v.Kind() == '"' {
			p.Effort = llm.StringOf(v)
		} else if err := json.Unmarshal(v, &p); err != nil {
			return llm.Invalid(name, "Invalid type for '%s': it must be an effort or an object with one.", name)
		}
		given = true
		if r.Effort == "" {
			r.Effort = p.Effort
		}
		r.Summary, r.Budget = p.Summary, p.MaxTokens.ptr()
		switch {
		case p.Enabled == nil || r.Effort != "" || r.Budget != nil:
		case *p.Enabled:
			r.Budget = llm.Ptr(int64(-1))
		default:
			r.Budget = llm.Ptr(int64(0))
		}
		if p.Exclude != nil {
			r.Include = llm.Ptr(!*p.Exclude)
		}
		return nil
	}
	if llm.IsSet(in.ReasoningEffort) {
		if err := read("reasoning_effort", in.ReasoningEffort); err != nil {
			return err
		}
	}
	if llm.IsSet(in.Reasoning) {
		if err := read("reasoning", in.Reasoning); err != nil {
			return err
		}
		req.Extra = llm.WithExtra(req.Extra, extraReasoning, in.Reasoning)
	}
	if llm.IsSet(in.Thinking) {
		given = true
		if err := decodeThinkingParam(req, &r, in.Thinking); err != nil {
			return err
		}
	}
	if given {
		req.Reasoning = &r
	}
	return nil
}

func decodeThinkingParam(req *llm.Request, r *llm.Reasoning, v jsontext.Value) *llm.Error {
	var p struct {
		Type   string                    `json:"type"`
		Budget *number                   `json:"budget_tokens"`
		Extra  map[string]jsontext.Value `json:",embed"`
	}
	if err := json.Unmarshal(v, &p); err != nil {
		return llm.Invalid("thinking", "Invalid type for 'thinking': it must be an object like {\"type\": \"enabled\", \"budget_tokens\": 4096}.")
	}
	switch {
	case p.Type == "disabled":
		r.Budget = llm.Ptr(int64(0))
	case p.Type == "enabled" && p.Budget != nil:
		r.Budget = p.Budget.ptr()
	case p.Type == "enabled", p.Type == "adaptive", p.Type == "auto":
		r.Budget = llm.Ptr(int64(-1))
	default:
		return llm.Invalid("thinking.type", "Invalid value for 'thinking.type': %q. Use enabled, disabled or adaptive.", p.Type)
	}
	if p.Type == "adaptive" || p.Type == "auto" || len(p.Extra) > 0 {
		req.Extra = llm.WithExtra(req.Extra, extraThinking, v)
	}
	return nil
}

func decodeFormat(req *llm.Request, in *chatRequest) *llm.Error {
	f := in.ResponseFormat
	if f == nil {
		return nil
	}
	req.Format = &llm.Format{Type: f.Type}
	switch f.Type {
	case "text", "json_object":
		return nil
	case "json_schema":
	default:
		return llm.Invalid("response_format.type", "Invalid value for 'response_format.type': %q. Use text, json_object or json_schema.", f.Type)
	}
	if f.JSONSchema == nil {
		return llm.Invalid("response_format.json_schema", "Missing required parameter: 'response_format.json_schema'.")
	}
	s := f.JSONSchema
	req.Format.Name, req.Format.Description, req.Format.Strict = s.Name, s.Description, s.Strict
	if llm.IsSet(s.Schema) {
		req.Format.Schema = s.Schema
	}
	return nil
}

func decodeTools(req *llm.Request, in *chatRequest) *llm.Error {
	for i, raw := range in.Tools {
		at := "tools[" + strconv.Itoa(i) + "]"
		var t chatTool
		if raw.Kind() != '{' {
			return llm.Invalid(at, "Invalid type for '%s': it must be an object, got %s.", at, kindWord(raw.Kind()))
		}
		if err := json.Unmarshal(raw, &t); err != nil {
			e := badRequest(err)
			e.Message = strings.Replace(e.Message, "'"+e.Param+"'", "'"+at+"."+e.Param+"'", 1)
			e.Param = at + "." + e.Param
			return e
		}
		tool, err := t.tool(raw, at)
		if err != nil {
			return err
		}
		req.Tools = append(req.Tools, tool)
	}
	if in.Functions == nil {
		return nil
	}
	for i := range in.Functions {
		at := "functions[" + strconv.Itoa(i) + "]"
		tool, err := in.Functions[i].tool(at)
		if err != nil {
			return err
		}
		req.Tools = append(req.Tools, tool)
	}
	req.Extra = llm.WithExtra(req.Extra, extraFunctions, llm.Raw("true"))
	return nil
}

func (t *chatTool) tool(raw jsontext.Value, at string) (llm.Tool, *llm.Error) {
	switch {
	case (t.Type == "function" || t.Type == "") && t.Function != nil:
		out, err := t.Function.tool(at + ".function")
		out.Extra = plainExtra(t.Extra)
		if t.CacheControl != nil {
			out.Cache = &llm.CacheMark{TTL: t.CacheControl.TTL}
		}
		return out, err
	case t.Type == "function":
		return llm.Tool{}, llm.Invalid(at+".function", "Missing required parameter: '%s.function'.", at)
	case t.Type == "custom" && t.Custom != nil:
		if t.Custom.Name == "" {
			return llm.Tool{}, llm.Invalid(at+".custom.name", "Missing required parameter: '%s.custom.name'.", at)
		}
		return llm.Tool{Type: "custom", Name: t.Custom.Name, Description: t.Custom.Description, Raw: raw}, nil
	}
	out := llm.Tool{Type: t.Type, Name: t.Name, Description: t.Description, Raw: raw}
	if out.Type == "" { // LiteLLM's {"googleSearch": {}}
		if keys := sortedKeys(t.Extra); len(keys) > 0 {
			out.Type = keys[0]
		} else {
			return out, llm.Invalid(at+".type", "Missing required parameter: '%s.type'.", at)
		}
	}
	return out, nil
}

func (f *chatFunction) tool(at string) (llm.Tool, *llm.Error) {
	if f.Name == "" {
		return llm.Tool{}, llm.Invalid(at+".name", "Missing required parameter: '%s.name'.", at)
	}
	t := llm.Tool{Name: f.Name, Description: f.Description, Strict: f.Strict}
	if llm.IsSet(f.Parameters) {
		if f.Parameters.Kind() != '{' {
			return t, llm.Invalid(at+".parameters", "Invalid type for '%s.parameters': it must be a JSON schema, an object.", at)
		}
		t.Schema = f.Parameters
	}
	if f.CacheControl != nil {
		t.Cache = &llm.CacheMark{TTL: f.CacheControl.TTL}
	}
	return t, nil
}

func decodeToolChoice(req *llm.Request, in *chatRequest) *llm.Error {
	v, param := in.ToolChoice, "tool_choice"
	if !llm.IsSet(v) {
		v, param = in.FunctionCall, "function_call"
	}
	if !llm.IsSet(v) {
		return nil
	}
	var c struct {
		Type     string            `json:"type"`
		Name     string            `json:"name"`
		Function *chatFunction     `json:"function"`
		Custom   *chatCustomTool   `json:"custom"`
		Allowed  *chatAllowedTools `json:"allowed_tools"`
	}
	if v.Kind() == '"' {
		c.Type = llm.StringOf(v)
	} else if err := json.Unmarshal(v, &c, json.DefaultOptionsV2(), wire.Loose); err != nil || v.Kind() != '{' {
		return llm.Invalid(param, "Invalid type for '%s': it must be none, auto, required or an object that names a tool.", param)
	}
	choice := &llm.ToolChoice{Mode: c.Type}
	switch {
	case c.Type == "auto", c.Type == "none", c.Type == "required":
	case c.Type == "any":
		choice.Mode = llm.ChoiceRequired
	case c.Type == "function" && c.Function != nil && c.Function.Name != "":
		choice.Mode, choice.Name = llm.ChoiceTool, c.Function.Name
	case c.Type == "custom" && c.Custom != nil && c.Custom.Name != "":
		choice.Mode, choice.Name, choice.Raw = llm.ChoiceTool, c.Custom.Name, v
	case (c.Type == "tool" || c.Type == "function" || c.Type == "" && param == "function_call") && c.Name != "":
		choice.Mode, choice.Name = llm.ChoiceTool, c.Name
	case c.Type == "allowed_tools" && c.Allowed != nil:
		choice.Mode = llm.ChoiceAllowed
		if c.Allowed.Mode == llm.ChoiceRequired {
			choice.Name = llm.ChoiceRequired
		}
		for _, t := range c.Allowed.Tools {
			choice.Allowed = append(choice.Allowed, t.name())
		}
	default:
		return llm.Invalid(param, "Invalid value for '%s'. Use none, auto, required or {\"type\": \"function\", \"function\": {\"name\": ...}}.", param)
	}
	req.ToolChoice = choice
	return nil
}

type chatAllowedTools struct {
	Mode  string            `json:"mode"`
	Tools []chatAllowedTool `json:"tools"`
}

type chatAllowedTool struct {
	Type     string          `json:"type"`
	Function *chatFunction   `json:"function"`
	Custom   *chatCustomTool `json:"custom"`
}

func (t *chatAllowedTool) name() string {
	switch {
	case t.Function != nil:
		return t.Function.Name
	case t.Custom != nil:
		return t.Custom.Name
	}
	return t.Type
}

// dataURI takes apart data:<mime>[;charset=...][;base64],<data>. Text that is not base64 becomes it.
func dataURI(s string) (mime, data string, ok bool) {
	head, data, ok := strings.Cut(s, ",")
	head, isData := strings.CutPrefix(head, "data:")
	if !ok || !isData {
		return "", "", false
	}
	mime, params, _ := strings.Cut(head, ";")
	if params == "base64" || strings.HasSuffix(params, ";base64") {
		return mime, data, true
	}
	plain, err := url.PathUnescape(data)
	if err != nil {
		return "", "", false
	}
	return mime, base64.StdEncoding.EncodeToString([]byte(plain)), true
}

// mimeOf guesses a document's type from its name.
func mimeOf(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".txt":
		return "text/plain"
	case ".md":
		return "text/markdown"
	case ".csv":
		return "text/csv"
	case ".html", ".htm":
		return "text/html"
	case ".docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	case ".xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	}
	return "application/pdf"
}
