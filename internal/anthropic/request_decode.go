package anthropic

import (
	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

type wireRequest struct {
	Model         string             `json:"model"`
	MaxTokens     *int64             `json:"max_tokens"`
	Messages      *[]wireMessage     `json:"messages"`
	System        llm.Raw            `json:"system"`
	Tools         []llm.Raw          `json:"tools"`
	ToolChoice    *wireToolChoice    `json:"tool_choice"`
	Thinking      llm.Raw            `json:"thinking"`
	OutputConfig  llm.Raw            `json:"output_config"`
	OutputFormat  llm.Raw            `json:"output_format"`
	StopSequences []string           `json:"stop_sequences"`
	Stream        bool               `json:"stream"`
	Temperature   *float64           `json:"temperature"`
	TopP          *float64           `json:"top_p"`
	TopK          *int64             `json:"top_k"`
	Metadata      llm.Raw            `json:"metadata"`
	ServiceTier   string             `json:"service_tier"`
	Extra         map[string]llm.Raw `json:",embed"`
}

type wireMessage struct {
	Role    string             `json:"role"`
	Content llm.Raw            `json:"content"`
	Extra   map[string]llm.Raw `json:",embed"`
}

type wireToolChoice struct {
	Type            string `json:"type"`
	Name            string `json:"name"`
	DisableParallel *bool  `json:"disable_parallel_tool_use"`
}

type wireTool struct {
	Type         *string            `json:"type"`
	Name         string             `json:"name"`
	Description  string             `json:"description"`
	InputSchema  llm.Raw            `json:"input_schema"`
	Strict       *bool              `json:"strict"`
	CacheControl *cacheControl      `json:"cache_control"`
	Extra        map[string]llm.Raw `json:",embed"`
}

// DecodeRequest reads a client's Messages body. A missing model is the caller's to judge: Bedrock and Vertex have it in the path.
func (messages) DecodeRequest(body []byte) (*llm.Request, error) {
	req, err := decodeRequest(body)
	if err != nil {
		return nil, err
	}
	if req.MaxTokens == nil {
		return nil, llm.Invalid("max_tokens", "Field required: the most tokens to generate, such as 1024")
	}
	return req, nil
}

func decodeRequest(body []byte) (*llm.Request, error) {
	var w wireRequest
	if err := json.Unmarshal(body, &w); err != nil {
		return nil, badField(err, "")
	}
	switch {
	case w.Messages == nil:
		return nil, llm.Invalid("messages", "Field required: a list of messages, such as [{\"role\": \"user\", \"content\": \"Hello\"}]")
	case len(*w.Messages) == 0:
		return nil, llm.Invalid("messages", "at least one message is required")
	case w.MaxTokens != nil && *w.MaxTokens < 0:
		return nil, llm.Invalid("max_tokens", "Input should be greater than or equal to 0")
	}
	req := &llm.Request{
		From: llm.Anthropic, Model: w.Model, Stream: w.Stream, MaxTokens: w.MaxTokens, Temperature: w.Temperature, TopP: w.TopP,
		TopK: w.TopK, Stop: w.StopSequences, ServiceTier: w.ServiceTier, Extra: w.Extra,
	}
	for _, step := range []func(*llm.Request, *wireRequest) *llm.Error{
		decodeConversation, decodeTools, decodeThinking, decodeOutput, decodeMetadata,
	} {
		if e := step(req, &w); e != nil {
			return nil, e
		}
	}
	return req, nil
}

func decodeConversation(req *llm.Request, w *wireRequest) *llm.Error {
	r := reader{}
	if llm.IsSet(w.System) {
		parts, e := r.content(w.System, "system")
		if e != nil {
			return e
		}
		req.Messages = append(req.Messages, llm.Message{Role: llm.RoleSystem, Parts: parts})
	}
	for i, m := range *w.Messages {
		path := at("messages", i)
		role := llm.Role(m.Role)
		switch role {
		case llm.RoleUser, llm.RoleAssistant, llm.RoleSystem:
		case "":
			return llm.Invalid(path+".role", "Field required: \"user\" or \"assistant\"")
		default:
			return llm.Invalid(path+".role", "Input should be \"user\" or \"assistant\", not %q", m.Role)
		}
		if len(m.Content) == 0 {
			return llm.Invalid(path+".content", "Field required: a string or a list of content blocks")
		}
		parts, e := r.content(m.Content, path+".content")
		if e != nil {
			return e
		}
		req.Messages = append(req.Messages, llm.Message{Role: role, Parts: parts, Extra: m.Extra})
	}
	return nil
}

func decodeTools(req *llm.Request, w *wireRequest) *llm.Error {
	r := reader{}
	for i, raw := range w.Tools {
		path := at("tools", i)
		var t wireTool
		if e := r.unmarshal(raw, &t, path); e != nil {
			return e
		}
		tool := llm.Tool{Name: t.Name, Cache: t.CacheControl.mark()}
		if t.Type != nil && *t.Type != "custom" {
			tool.Type, tool.Raw = *t.Type, raw
			req.Tools = append(req.Tools, tool)
			continue
		}
		if t.Name == "" {
			return llm.Invalid(path+".name", "Field required")
		}
		if t.InputSchema.Kind() != '{' {
			return llm.Invalid(path+".input_schema", "Field required: a JSON schema, such as {\"type\": \"object\", \"properties\": {}}")
		}
		tool.Description, tool.Schema, tool.Strict, tool.Extra = t.Description, t.InputSchema, t.Strict, t.Extra
		req.Tools = append(req.Tools, tool)
	}
	if c := w.ToolChoice; c != nil {
		switch c.Type {
		case "auto":
			req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceAuto}
		case "any":
			req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceRequired}
		case "none":
			req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceNone}
		case "tool":
			if c.Name == "" {
				return llm.Invalid("tool_choice.name", "Field required: the tool to call")
			}
			req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceTool, Name: c.Name}
		default:
			return llm.Invalid("tool_choice.type", "Input tag %q does not match any of the expected tags: auto, any, tool, none", c.Type)
		}
		if c.DisableParallel != nil {
			req.ParallelTools = llm.Ptr(!*c.DisableParallel)
		}
	}
	return nil
}

// decodeThinking reads thinking; a kind that nobody here knows stays as it is for Anthropic alone.
func decodeThinking(req *llm.Request, w *wireRequest) *llm.Error {
	if !llm.IsSet(w.Thinking) {
		return nil
	}
	var t struct {
		Type    string `json:"type"`
		Budget  *int64 `json:"budget_tokens"`
		Display string `json:"display"`
	}
	if e := (reader{}).unmarshal(w.Thinking, &t, "thinking"); e != nil {
		return e
	}
	r := &llm.Reasoning{Summary: t.Display}
	switch t.Type {
	case "enabled":
		if t.Budget == nil {
			return llm.Invalid("thinking.budget_tokens", "Field required: at least 1024 and less than max_tokens")
		}
		if *t.Budget < 1 {
			return llm.Invalid("thinking.budget_tokens", "Input should be greater than or equal to 1024")
		}
		r.Budget = t.Budget
	case "disabled":
		r.Budget = llm.Ptr(int64(0))
	case "adaptive":
		r.Budget = llm.Ptr(int64(-1))
	case "":
		return llm.Invalid("thinking.type", "Field required: enabled, disabled or adaptive")
	default:
		req.Extra = llm.WithExtra(req.Extra, "thinking", w.Thinking)
		return nil
	}
	req.Reasoning = r
	return nil
}

// decodeOutput reads output_config, and output_format, which is its older name for the format.
func decodeOutput(req *llm.Request, w *wireRequest) *llm.Error {
	format, path := w.OutputFormat, "output_format"
	if llm.IsSet(w.OutputConfig) {
		var c struct {
			Effort *string            `json:"effort"`
			Format llm.Raw            `json:"format"`
			Extra  map[string]llm.Raw `json:",embed"`
		}
		if e := (reader{}).unmarshal(w.OutputConfig, &c, "output_config"); e != nil {
			return e
		}
		if c.Effort != nil {
			if req.Reasoning == nil {
				req.Reasoning = &llm.Reasoning{}
			}
			req.Reasoning.Effort = *c.Effort
		}
		if len(c.Format) > 0 {
			format, path = c.Format, "output_config.format"
		}
		if len(c.Extra) > 0 {
			req.Extra = llm.WithExtra(req.Extra, outputConfigKey, llm.SortedObject(c.Extra).Raw())
		}
	}
	if !llm.IsSet(format) {
		return nil
	}
	var f struct {
		Type   string  `json:"type"`
		Schema llm.Raw `json:"schema"`
	}
	if e := (reader{}).unmarshal(format, &f, path); e != nil {
		return e
	}
	if f.Type != "json_schema" {
		return llm.Invalid(path+".type", "Input should be \"json_schema\", not %q", f.Type)
	}
	if f.Schema.Kind() != '{' {
		return llm.Invalid(path+".schema", "Field required: a JSON schema")
	}
	req.Format = &llm.Format{Type: "json_schema", Schema: f.Schema}
	return nil
}

// outputConfigKey holds what output_config has besides effort and format.
const outputConfigKey = "output_config"

func decodeMetadata(req *llm.Request, w *wireRequest) *llm.Error {
	if !llm.IsSet(w.Metadata) {
		return nil
	}
	var m struct {
		UserID *string            `json:"user_id"`
		Extra  map[string]llm.Raw `json:",embed"`
	}
	if e := (reader{}).unmarshal(w.Metadata, &m, "metadata"); e != nil {
		return e
	}
	if m.UserID != nil {
		req.User = *m.UserID
	}
	if len(m.Extra) > 0 {
		req.Extra = llm.WithExtra(req.Extra, metadataKey, llm.SortedObject(m.Extra).Raw())
	}
	return nil
}

// metadataKey holds what metadata has besides user_id.
const metadataKey = "metadata"
