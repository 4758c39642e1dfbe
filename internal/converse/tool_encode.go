package converse

import (
	"slices"

	"github.com/weir-gateway/weir/internal/llm"
)

// AnswerTool is the tool whose arguments are the answer, for models that don't enforce a schema otherwise. The decoders turn a call of it
// back into text.
const AnswerTool = "weir_structured_answer"

// choice is toolChoice: auto, any or tool with a name; empty: not said.
type choice struct{ word, name string }

// offer settles the tools that the model may see.
func (e *encoder) offer() {
	c := e.req.ToolChoice
	history := e.calls()
	if !e.own && c != nil && c.Mode == llm.ChoiceNone && len(history) == 0 {
		e.structure()
		return // none may be called: none is offered
	}
	tools, lost := e.req.OfferedTools(e.own)
	e.tools = tools
	for _, name := range lost {
		e.drop(name)
	}
	if len(e.tools) == 0 {
		// Bedrock wants a toolConfig wherever the conversation has calls or results.
		for _, name := range history {
			e.tools = append(e.tools, llm.Tool{Name: name, Schema: llm.Raw(`{"type":"object","properties":{}}`)})
		}
	}
	e.structure()
}

// structure adds the tool that stands for the answer's schema, if the model needs it and can be made to call it.
func (e *encoder) structure() {
	f := e.req.Format
	_, named := e.f.chooses()
	if e.own || f == nil || f.Type != "json_schema" || f.Schema.Kind() != '{' || e.f.structured() || !named ||
		e.f.maker != "claude" && e.f.maker != "nova" {
		return
	}
	if t := llm.ObjectOf(f.Schema).Get("type"); llm.IsSet(t) && llm.StringOf(t) != "object" {
		return // arguments are an object
	}
	description := f.Description
	if description == "" {
		description = "Gives the answer. Call it to answer; write no other text."
	}
	e.answer = true
	e.tools = append(e.tools, llm.Tool{Name: AnswerTool, Description: description, Schema: f.Schema})
}

// calls are the names of the tools in the conversation, in order, each once.
func (e *encoder) calls() []string {
	var names []string
	for i := range e.messages {
		for j := range e.messages[i].Parts {
			p := &e.messages[i].Parts[j]
			switch {
			case p.Call != nil && !slices.Contains(names, p.Call.Name):
				names = append(names, p.Call.Name)
			case p.Result != nil && len(names) == 0:
				names = append(names, "unknown") // a result whose call is not there
			}
		}
	}
	if len(names) > 1 && names[0] == "unknown" {
		names = names[1:]
	}
	return names
}

// choose settles toolChoice with what the model and its reasoning allow.
func (e *encoder) choose() {
	c := e.req.ToolChoice
	mode, name := c.ModeOfOffered(), ""
	if c != nil {
		name = c.Name
	}
	if e.own {
		e.choice = map[string]choice{llm.ChoiceAuto: {"auto", ""}, llm.ChoiceRequired: {"any", ""}, llm.ChoiceTool: {"tool", name}}[mode]
		return
	}
	if e.answer {
		e.mustAnswer(mode)
		return
	}
	required, named := e.f.chooses()
	forced := mode == llm.ChoiceRequired || mode == llm.ChoiceTool
	switch {
	case mode == "":
	case mode == llm.ChoiceNone:
		if len(e.tools) > 0 {
			e.drop("tool_choice") // the conversation's calls need their tools
		}
	case len(e.tools) == 0:
		if forced {
			e.drop("tool_choice")
		}
	case mode == llm.ChoiceAuto:
		e.choice = choice{"auto", ""}
	case !forced, e.think.forbids(), !required, mode == llm.ChoiceTool && !e.offers(name):
		e.drop("tool_choice")
	case mode == llm.ChoiceRequired:
		e.choice = choice{"any", ""}
	case named:
		e.choice = choice{"tool", name}
	default: // any of one
		e.tools = slices.DeleteFunc(slices.Clone(e.tools), func(t llm.Tool) bool { return t.Name != name })
		e.choice = choice{"any", ""}
	}
}

// offers says that the model sees a tool of that name.
func (e *encoder) offers(name string) bool {
	return slices.ContainsFunc(e.tools, func(t llm.Tool) bool { return t.Name == name })
}

// mustAnswer makes the model call AnswerTool, or any tool where the client has its own and may want them called.
func (e *encoder) mustAnswer(mode string) {
	switch {
	case e.think.forbids():
		return // it is asked to by the tool's description
	case len(e.tools) == 1 || mode == llm.ChoiceNone:
		e.choice = choice{"tool", AnswerTool}
	default:
		e.choice = choice{"any", ""}
	}
}

func (e *encoder) writeTools() {
	if len(e.tools) == 0 {
		return
	}
	e.Object("toolConfig")
	e.Array("tools")
	for i := range e.tools {
		e.tool(&e.tools[i])
	}
	e.End("]")
	if e.choice.word != "" {
		e.Object("toolChoice")
		e.Object(e.choice.word)
		if e.choice.name != "" {
			e.Str("name", ToolName(e.choice.name))
		}
		e.End("}}")
	}
	e.End("}")
}

func (e *encoder) tool(t *llm.Tool) {
	mark := t.Cache
	if !e.own {
		mark = e.cacheFor(mark)
	}
	if t.Type != "" {
		e.Raw("", t.Raw)
	} else {
		e.Object("")
		e.Object("toolSpec")
		e.Str("name", ToolName(t.Name))
		if t.Description != "" {
			e.Str("description", t.Description)
		}
		schema, strict := t.Schema, t.Strict != nil && *t.Strict
		if !e.own {
			schema = llm.ObjectSchema(schema)
			if strict && !e.f.structured() {
				e.drop("tools.strict")
				strict = false
			} else if strict && e.f.claude() {
				schema = llm.ClosedSchema(schema)
			}
			e.dropExtra("tools.", t.Extra)
		}
		e.Object("inputSchema")
		e.Raw("json", schema)
		e.End("}")
		switch {
		case e.own && t.Strict != nil:
			e.Bool("strict", *t.Strict)
		case strict:
			e.Bool("strict", true)
		}
		if e.own {
			e.Extra(t.Extra)
		}
		e.End("}}")
	}
	if mark != nil {
		e.cachePoint(mark.TTL)
	}
}
