package converse

import (
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

type wireRequest struct {
	Messages   []wireMessage      `json:"messages"`
	System     []llm.Raw          `json:"system"`
	Inference  *wireInference     `json:"inferenceConfig"`
	ToolConfig *wireToolConfig    `json:"toolConfig"`
	Metadata   map[string]string  `json:"requestMetadata"`
	Tier       *wireTier          `json:"serviceTier"`
	Output     llm.Raw            `json:"outputConfig"`
	Extra      map[string]llm.Raw `json:",embed"`
}

type wireMessage struct {
	Role    string             `json:"role"`
	Content *[]llm.Raw         `json:"content"`
	Extra   map[string]llm.Raw `json:",embed"`
}

type wireInference struct {
	MaxTokens   *int64             `json:"maxTokens"`
	Temperature *float64           `json:"temperature"`
	TopP        *float64           `json:"topP"`
	Stop        []string           `json:"stopSequences"`
	Extra       map[string]llm.Raw `json:",embed"`
}

type wireTier struct {
	Type string `json:"type"`
}

type wireToolConfig struct {
	Tools  []llm.Raw `json:"tools"`
	Choice llm.Raw   `json:"toolChoice"`
}

// Names in Request.Extra that are not passed on word for word.
const (
	additionalKey = "additionalModelRequestFields"
	outputKey     = "outputConfig"    // what it has besides the format and the effort
	inferenceKey  = "inferenceConfig" // what it has that Bedrock's model of it doesn't
	modelKey      = "modelId"         // in the path; some clients repeat it in the body
	pathsKey      = "additionalModelResponseFieldPaths"
)

// DecodeRequest reads a client's body of either operation. Model and Stream are left to the caller, who knows the path.
func (dialect) DecodeRequest(body []byte) (*llm.Request, error) {
	var w wireRequest
	if err := json.Unmarshal(body, &w); err != nil {
		return nil, badField(err, "")
	}
	req := &llm.Request{From: llm.Converse, Metadata: w.Metadata, Extra: w.Extra}
	delete(req.Extra, modelKey)
	if w.Tier != nil {
		req.ServiceTier = w.Tier.Type
	}
	for _, step := range []func(*llm.Request, *wireRequest) *llm.Error{
		decodeConversation, decodeInference, decodeTools, decodeOutput, decodeAdditional,
	} {
		if e := step(req, &w); e != nil {
			return nil, e
		}
	}
	if len(req.Extra) == 0 {
		req.Extra = nil
	}
	return req, nil
}

func decodeConversation(req *llm.Request, w *wireRequest) *llm.Error {
	r := reader{}
	if len(w.System) > 0 {
		parts, e := r.content(w.System, "system")
		if e != nil {
			return e
		}
		req.Messages = append(req.Messages, llm.Message{Role: llm.RoleSystem, Parts: parts})
	}
	if len(w.Messages) == 0 && !llm.IsSet(req.Extra["promptVariables"]) && len(w.System) == 0 {
		return llm.Invalid("messages", `the field is required: a list such as [{"role": "user", "content": [{"text": "Hello"}]}]`)
	}
	for i := range w.Messages {
		m := &w.Messages[i]
		path := at("messages", i)
		role := llm.Role(m.Role)
		switch role {
		case llm.RoleUser, llm.RoleAssistant, llm.RoleSystem:
		case "":
			return llm.Invalid(path+".role", "the field is required: user or assistant")
		default:
			return llm.Invalid(path+".role", "the value must be user or assistant, not %q", m.Role)
		}
		if m.Content == nil {
			return llm.Invalid(path+".content", `the field is required: a list of blocks such as [{"text": "Hello"}]`)
		}
		parts, e := r.content(*m.Content, path+".content")
		if e != nil {
			return e
		}
		req.Messages = append(req.Messages, llm.Message{Role: role, Parts: parts, Extra: m.Extra})
	}
	return nil
}

func decodeInference(req *llm.Request, w *wireRequest) *llm.Error {
	c := w.Inference
	if c == nil {
		return nil
	}
	if c.MaxTokens != nil && *c.MaxTokens < 1 {
		return llm.Invalid("inferenceConfig.maxTokens", "the value must be at least 1")
	}
	req.MaxTokens, req.Temperature, req.TopP, req.Stop = c.MaxTokens, c.Temperature, c.TopP, c.Stop
	if len(c.Extra) > 0 {
		req.Extra = llm.WithExtra(req.Extra, inferenceKey, llm.SortedObject(c.Extra).Raw())
	}
	return nil
}

type wireTool struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Schema      *struct {
		JSON llm.Raw `json:"json"`
	} `json:"inputSchema"`
	Strict *bool              `json:"strict"`
	Extra  map[string]llm.Raw `json:",embed"`
}

func decodeTools(req *llm.Request, w *wireRequest) *llm.Error {
	if w.ToolConfig == nil {
		return nil
	}
	r := reader{}
	for i, raw := range w.ToolConfig.Tools {
		path := at("toolConfig.tools", i)
		var t struct {
			Spec   *wireTool       `json:"toolSpec"`
			System *wireTool       `json:"systemTool"`
			Point  *wireCachePoint `json:"cachePoint"`
		}
		if e := r.unmarshal(raw, &t, path); e != nil {
			return e
		}
		switch {
		case t.Spec != nil:
			if t.Spec.Name == "" {
				return llm.Invalid(path+".toolSpec.name", "the field is required")
			}
			tool := llm.Tool{Name: t.Spec.Name, Description: t.Spec.Description, Strict: t.Spec.Strict, Extra: t.Spec.Extra}
			if t.Spec.Schema == nil || t.Spec.Schema.JSON.Kind() != '{' {
				return llm.Invalid(path+".toolSpec.inputSchema.json", `the field is required: a JSON schema such as {"type": "object", "properties": {}}`)
			}
			tool.Schema = t.Spec.Schema.JSON
			req.Tools = append(req.Tools, tool)
		case t.Point != nil && len(req.Tools) > 0 && req.Tools[len(req.Tools)-1].Cache == nil:
			req.Tools[len(req.Tools)-1].Cache = &llm.CacheMark{TTL: t.Point.TTL}
		case t.Point != nil:
			req.Tools = append(req.Tools, llm.Tool{Type: "cachePoint", Raw: raw})
		case t.System != nil:
			req.Tools = append(req.Tools, llm.Tool{Type: "systemTool", Name: t.System.Name, Raw: raw})
		case len(llm.ObjectOf(raw)) == 1:
			req.Tools = append(req.Tools, llm.Tool{Type: llm.ObjectOf(raw)[0].Name, Raw: raw})
		default:
			return llm.Invalid(path, "a tool has one member: toolSpec, systemTool or cachePoint")
		}
	}
	return decodeChoice(req, w.ToolConfig.Choice)
}

func decodeChoice(req *llm.Request, raw llm.Raw) *llm.Error {
	if !llm.IsSet(raw) {
		return nil
	}
	var c struct {
		Auto llm.Raw `json:"auto"`
		Any  llm.Raw `json:"any"`
		Tool *struct {
			Name string `json:"name"`
		} `json:"tool"`
	}
	const path = "toolConfig.toolChoice"
	if e := (reader{}).unmarshal(raw, &c, path); e != nil {
		return e
	}
	switch {
	case c.Tool != nil && c.Tool.Name == "":
		return llm.Invalid(path+".tool.name", "the field is required: the tool to call")
	case c.Tool != nil:
		req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceTool, Name: c.Tool.Name}
	case llm.IsSet(c.Any):
		req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceRequired}
	case llm.IsSet(c.Auto):
		req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceAuto}
	default:
		return llm.Invalid(path, `the value must have one of auto, any and tool, such as {"auto": {}}`)
	}
	return nil
}

func decodeOutput(req *llm.Request, w *wireRequest) *llm.Error {
	if !llm.IsSet(w.Output) {
		return nil
	}
	var o struct {
		Effort string `json:"effort"`
		Format *struct {
			Type      string `json:"type"`
			Structure struct {
				Schema *struct {
					Schema      string `json:"schema"`
					Name        string `json:"name"`
					Description string `json:"description"`
				} `json:"jsonSchema"`
			} `json:"structure"`
		} `json:"textFormat"`
		Extra map[string]llm.Raw `json:",embed"`
	}
	if e := (reader{}).unmarshal(w.Output, &o, outputKey); e != nil {
		return e
	}
	if o.Effort != "" {
		req.Reasoning = &llm.Reasoning{Effort: o.Effort}
	}
	if len(o.Extra) > 0 {
		req.Extra = llm.WithExtra(req.Extra, outputKey, llm.ObjectOf(w.Output).Without("effort", "textFormat").Raw())
	}
	if o.Format == nil {
		return nil
	}
	const path = "outputConfig.textFormat"
	s := o.Format.Structure.Schema
	switch {
	case o.Format.Type != "json_schema":
		return llm.Invalid(path+".type", "the value must be json_schema, not %q", o.Format.Type)
	case s == nil:
		return llm.Invalid(path+".structure.jsonSchema", "the field is required")
	}
	schema := llm.Raw(s.Schema)
	if !schema.IsValid() || schema.Kind() != '{' {
		return llm.Invalid(path+".structure.jsonSchema.schema", "the value must be a JSON schema written as a string")
	}
	req.Format = &llm.Format{Type: "json_schema", Name: s.Name, Description: s.Description, Schema: schema}
	return nil
}

// decodeAdditional understands what additionalModelRequestFields says that other dialects say too. The whole stays in Extra.
func decodeAdditional(req *llm.Request, w *wireRequest) *llm.Error {
	raw := req.Extra[additionalKey]
	if !llm.IsSet(raw) {
		return nil
	}
	if raw.Kind() != '{' {
		return llm.Invalid(additionalKey, "the value must be an object")
	}
	a := readAdditional(llm.ObjectOf(raw))
	req.TopK, req.MinP, req.Seed, req.User = a.topK, a.minP, a.seed, a.user
	req.FrequencyPenalty, req.PresencePenalty, req.ParallelTools = a.frequency, a.presence, a.parallel
	if a.reasoning != nil {
		if a.reasoning.Effort == "" && req.Reasoning != nil {
			a.reasoning.Effort = req.Reasoning.Effort
		}
		req.Reasoning = a.reasoning
	}
	return nil
}

// additional is what additionalModelRequestFields says in words that we know.
type additional struct {
	topK, seed                *int64
	minP, frequency, presence *float64
	user                      string
	reasoning                 *llm.Reasoning
	parallel                  *bool
}

// reasoningNames are the members that ask for reasoning, each in its models' own way.
var reasoningNames = []string{"thinking", "reasoning_config", "reasoningConfig", "reasoning_effort", "output_config"}

// readAdditional leaves out what has another form than expected: it is the model's to judge.
func readAdditional(o llm.Object) additional {
	var a additional
	for _, m := range o {
		switch m.Name {
		case "top_k", "topK", "k":
			a.topK = whole(m.Value)
		case "inferenceConfig": // Nova's own
			a.topK = whole(llm.ObjectOf(m.Value).Get("topK"))
		case "seed":
			a.seed = whole(m.Value)
		case "min_p":
			a.minP = number(m.Value)
		case "frequency_penalty":
			a.frequency = number(m.Value)
		case "presence_penalty":
			a.presence = number(m.Value)
		case "user":
			a.user = llm.StringOf(m.Value)
		case "metadata":
			if id := llm.StringOf(llm.ObjectOf(m.Value).Get("user_id")); id != "" {
				a.user = id
			}
		case "tool_choice":
			if d := llm.ObjectOf(m.Value).Get("disable_parallel_tool_use"); d.Kind() == 't' || d.Kind() == 'f' {
				a.parallel = llm.Ptr(d.Kind() == 'f')
			}
		}
		if slices.Contains(reasoningNames, m.Name) {
			a.reason(m)
		}
	}
	return a
}

func (a *additional) reason(m llm.Member) {
	r := a.reasoning
	if r == nil {
		r = &llm.Reasoning{}
	}
	o := llm.ObjectOf(m.Value)
	switch m.Name {
	case "reasoning_effort":
		r.Effort = llm.StringOf(m.Value)
	case "output_config":
		r.Effort = llm.StringOf(o.Get("effort"))
	default:
		switch llm.StringOf(o.Get("type")) {
		case "enabled":
			r.Budget = whole(o.Get("budget_tokens"))
			if e := llm.StringOf(o.Get("maxReasoningEffort")); e != "" {
				r.Effort = e
			} else if r.Budget == nil && m.Name == "reasoningConfig" {
				r.Effort = "medium"
			}
		case "disabled":
			r.Budget = llm.Ptr(int64(0))
		case "adaptive":
			r.Budget = llm.Ptr(int64(-1))
		case "":
			if e := llm.StringOf(m.Value); e != "" { // reasoning_config: "high"
				r.Effort = e
			}
		}
		r.Summary = llm.StringOf(o.Get("display"))
	}
	if *r != (llm.Reasoning{}) {
		a.reasoning = r
	}
}

func whole(raw llm.Raw) *int64 {
	if raw.Kind() != '0' {
		return nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

func number(raw llm.Raw) *float64 {
	if raw.Kind() != '0' {
		return nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return nil
	}
	return &f
}
