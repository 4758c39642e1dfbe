package proxy

import (
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/converse"
	"github.com/weir-gateway/weir/internal/llm"
)

// cleanToolName says, per dialect, what a tool's name becomes where the upstream allows fewer characters than clients use: Bedrock refuses
// dots and more than 64 characters, and MCP names have both.
var cleanToolName = map[llm.Dialect]func(string) string{llm.Converse: converse.ToolName}

// toolbox knows what of a request's tools the upstream sees otherwise than the client: names it refuses, and tools whose input is free text
// (Codex's apply_patch), which all but OpenAI's own models get as a function with one text argument. nil: nothing differs.
type toolbox struct {
	names map[string]string // by the upstream's name, the client's
	free  map[string]bool   // by the client's name: the input is free text
	open  map[[2]int]string // arguments of free text in a stream so far, by choice and part
}

// freeSchema is what a tool whose input is free text takes as a function.
const freeSchema = `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}`

// newToolbox lists what changes on the way. Where the upstream speaks chat completions without being OpenAI, which alone knows tools of free
// text there, it makes functions of them in the request.
func newToolbox(spoken llm.Dialect, upstream []llm.Dialect, req *llm.Request) *toolbox {
	var b *toolbox
	clean := cleanToolName[spoken]
	native := slices.Contains(upstream, llm.Responses)
	for i := range req.Tools {
		t := &req.Tools[i]
		renamed := clean != nil && t.Name != "" && clean(t.Name) != t.Name
		free := t.Type == "custom" && t.Name != "" && !native
		if (renamed || free) && b == nil {
			b = &toolbox{names: map[string]string{}, free: map[string]bool{}, open: map[[2]int]string{}}
		}
		if renamed {
			b.names[clean(t.Name)] = t.Name
		}
		if free {
			b.free[t.Name] = true
			if spoken == llm.OpenAI {
				*t = llm.Tool{Name: t.Name, Description: t.Description, Schema: llm.Raw(freeSchema), Cache: t.Cache}
			}
		}
	}
	if b != nil && len(b.free) > 0 && spoken == llm.OpenAI {
		b.wrapCalls(req)
	}
	return b
}

// wrapCalls makes the request's earlier calls of such tools calls of the functions they became.
func (b *toolbox) wrapCalls(req *llm.Request) {
	for i := range req.Messages {
		for j := range req.Messages[i].Parts {
			p := &req.Messages[i].Parts[j]
			if p.Call != nil && p.Call.Type == "custom" {
				input, err := json.Marshal(map[string]string{"input": p.Call.Arguments})
				if err == nil {
					p.Call.Type, p.Call.Arguments = "", string(input)
				}
			}
			if p.Result != nil && p.Result.Type == "custom" {
				p.Result.Type = ""
			}
		}
	}
}

// freeText takes the text out of a function's one argument; a model that wrote something else is passed on as it is.
func freeText(arguments string) string {
	var in struct {
		Input *string `json:"input"`
	}
	if json.Unmarshal([]byte(arguments), &in) != nil || in.Input == nil {
		return arguments
	}
	return *in.Input
}

// shownName is the client's name of a tool that the upstream calls.
func (b *toolbox) shownName(name string) string {
	if b != nil && b.names[name] != "" {
		return b.names[name]
	}
	return name
}

// restore gives the calls of an answer the names and forms the client knows.
func (b *toolbox) restore(answer *llm.Response) {
	if b == nil {
		return
	}
	for i := range answer.Choices {
		for j := range answer.Choices[i].Parts {
			if call := answer.Choices[i].Parts[j].Call; call != nil && b.restoreCall(call) {
				call.Arguments = freeText(call.Arguments)
			}
		}
	}
}

// restoreCall does so for a call's head, and reports whether its input is free text.
func (b *toolbox) restoreCall(call *llm.ToolCall) bool {
	if b == nil {
		return false
	}
	if name, ok := b.names[call.Name]; ok {
		call.Name = name
	}
	if b.free[call.Name] {
		call.Type = "custom"
		return true
	}
	return false
}

// stream does the same for the events of one stream: it gives the event as the client is to see it, nil for one to leave out, and before
// it the text of a free input, which can be taken out of its JSON only when that is whole.
func (b *toolbox) stream(e *llm.Event) (before, shown *llm.Event) {
	if b == nil {
		return nil, e
	}
	at := [2]int{e.Choice, e.Index}
	switch e.Kind {
	case llm.EventPartStart:
		if e.Part != nil && e.Part.Kind == llm.KindToolCall && b.restoreCall(e.Part.Call) {
			b.open[at] = e.Part.Call.Arguments
			e.Part.Call.Arguments = ""
		}
	case llm.EventDelta:
		if _, free := b.open[at]; free {
			b.open[at] += e.Text
			return nil, nil
		}
	case llm.EventPartStop:
		if text, free := b.open[at]; free {
			delete(b.open, at)
			return &llm.Event{Kind: llm.EventDelta, Choice: e.Choice, Index: e.Index, Text: freeText(text)}, e
		}
	}
	return nil, e
}
