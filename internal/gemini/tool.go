package gemini

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

type declaration struct {
	Name                 string  `json:"name"`
	Description          string  `json:"description,omitzero"`
	Parameters           llm.Raw `json:"parameters,omitzero"`
	ParametersJSONSchema llm.Raw `json:"parametersJsonSchema,omitzero"`
	Other                unknown `json:",embed"`
}

type toolConfig struct {
	FunctionCallingConfig *callingConfig `json:"functionCallingConfig,omitzero"`
	Other                 unknown        `json:",embed"`
}

type callingConfig struct {
	Mode                 enum         `json:"mode,omitzero"`
	AllowedFunctionNames list[string] `json:"allowedFunctionNames,omitzero"`
	Other                unknown      `json:",embed"`
}

func readTools(req *llm.Request, tools list[unknown], conf *toolConfig) error {
	for i, entry := range tools {
		for _, key := range slices.Sorted(maps.Keys(entry)) {
			if camel(key) == "functionDeclarations" {
				continue
			}
			raw, err := json.Marshal(unknown{camel(key): entry[key]}, writeOptions)
			if err != nil {
				return llm.Invalid("tools", "tools[%d].%s: %v", i, key, err)
			}
			req.Tools = append(req.Tools, llm.Tool{Type: snake(camel(key)), Raw: raw})
		}
		for _, key := range [...]string{"functionDeclarations", "function_declarations"} {
			raw, ok := entry[key]
			if !ok {
				continue
			}
			var decls list[declaration]
			if err := json.Unmarshal(raw, &decls, readOptions); err != nil {
				e := badBody(err)
				e.Param = fmt.Sprintf("tools[%d].functionDeclarations", i)
				e.Message = e.Param + ": " + e.Message
				return e
			}
			for j := range decls {
				t, err := readDeclaration(&decls[j], fmt.Sprintf("tools[%d].functionDeclarations[%d]", i, j))
				if err != nil {
					return err
				}
				req.Tools = append(req.Tools, t)
			}
		}
	}
	if conf != nil {
		readChoice(req, conf)
	}
	return nil
}

func readDeclaration(d *declaration, where string) (llm.Tool, error) {
	t := llm.Tool{Name: d.Name, Description: d.Description, Extra: extra(d.Other)}
	if d.Name == "" {
		return t, llm.Invalid(where+".name", "%s.name: empty; name the function", where)
	}
	if k := d.ParametersJSONSchema.Kind(); k != 0 && k != 'n' {
		t.Schema = d.ParametersJSONSchema
	}
	if k := d.Parameters.Kind(); k != 0 && k != 'n' {
		s, err := fromSchema(d.Parameters)
		if err != nil {
			return t, llm.Invalid(where+".parameters", "%s.parameters: %v", where, err)
		}
		t.Schema = s
	}
	return t, nil
}

func readChoice(req *llm.Request, conf *toolConfig) {
	keep(req, "toolConfig.", conf.Other)
	c := conf.FunctionCallingConfig
	if c == nil {
		return
	}
	keep(req, "toolConfig.functionCallingConfig.", c.Other)
	names := []string(c.AllowedFunctionNames)
	switch mode := c.Mode.in(choiceModes); mode {
	case "", "MODE_UNSPECIFIED":
	case "NONE":
		req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceNone}
	case "ANY":
		switch len(names) {
		case 0:
			req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceRequired}
		case 1:
			req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceTool, Name: names[0]}
		default:
			req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceAllowed, Name: "required", Allowed: names}
		}
	default: // AUTO and VALIDATED
		req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceAuto}
		if len(names) > 0 {
			req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceAllowed, Allowed: names}
		}
		if mode != "AUTO" {
			req.ToolChoice.Raw = llm.Raw(`"` + mode + `"`)
			if !req.ToolChoice.Raw.IsValid() {
				req.ToolChoice.Raw = nil
			}
		}
	}
}

// writeTools gives the tools and their choice; what Gemini has no word for goes to the writer's dropped list.
func (w *partWriter) writeTools(req *llm.Request) (list[unknown], *toolConfig, error) {
	var out list[unknown]
	var decls []declaration
	for i := range req.Tools {
		t := &req.Tools[i]
		if t.Type == "custom" && t.Name != "" && !w.native {
			function := t.TakingObject()
			t = &function
		}
		if t.Type != "" && t.Type != "function" {
			if m := members(t.Raw); w.native && m != nil {
				out = append(out, m)
			} else if m := googleTool(t.Raw); m != nil {
				out = append(out, m)
			} else {
				w.drop("tools." + t.Type)
			}
			continue
		}
		d := declaration{Name: t.Name, Description: t.Description}
		if w.native {
			d.Other = t.Extra
		}
		if s, ok := toSchema(t.Schema); ok {
			d.Parameters = s
		} else {
			d.ParametersJSONSchema = t.Schema
		}
		decls = append(decls, d)
	}
	if len(decls) > 0 {
		raw, err := json.Marshal(decls, writeOptions)
		if err != nil {
			return nil, nil, llm.Invalid("tools", "tools: %v", err)
		}
		out = append(list[unknown]{{"functionDeclarations": raw}}, out...)
	}
	return out, w.writeChoice(req), nil
}

// googleTools are the members of a tool that clients of other dialects pass through as they are: {"googleSearch": {}}.
var googleTools = []string{"googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "googleMaps", "enterpriseWebSearch",
	"computerUse", "fileSearch"}

func googleTool(raw llm.Raw) unknown {
	m := members(raw)
	if len(m) != 1 {
		return nil
	}
	for k, v := range m {
		if slices.Contains(googleTools, camel(k)) {
			return unknown{camel(k): v}
		}
	}
	return nil
}

// members splits an object, nil if it isn't one.
func members(raw llm.Raw) unknown {
	if raw.Kind() != '{' {
		return nil
	}
	var m unknown
	if json.Unmarshal(raw, &m, upstreamOptions) != nil {
		return nil
	}
	return m
}

func (w *partWriter) writeChoice(req *llm.Request) *toolConfig {
	if req.ParallelTools != nil && !*req.ParallelTools {
		w.drop("parallel_tool_calls")
	}
	c := req.ToolChoice
	if c == nil {
		return nil
	}
	f := &callingConfig{}
	switch c.Mode {
	case llm.ChoiceAuto:
		f.Mode = "AUTO"
	case llm.ChoiceNone:
		f.Mode = "NONE"
	case llm.ChoiceRequired:
		f.Mode = "ANY"
	case llm.ChoiceTool:
		f.Mode, f.AllowedFunctionNames = "ANY", list[string]{c.Name}
	case llm.ChoiceAllowed:
		f.Mode, f.AllowedFunctionNames = "VALIDATED", c.Allowed
		if c.Name == "required" {
			f.Mode = "ANY"
		}
	default:
		w.drop("tool_choice")
		return nil
	}
	if w.native && c.Raw.Kind() == '"' {
		f.Mode = enum(strings.Trim(string(c.Raw), `"`))
	}
	if len(req.Tools) == 0 && !w.native {
		return nil
	}
	return &toolConfig{FunctionCallingConfig: f}
}
