package proxy

import (
	"github.com/weir-gateway/weir/internal/converse"
	"github.com/weir-gateway/weir/internal/llm"
)

// cleanToolName says, per dialect, what a tool's name becomes where the upstream allows fewer characters than clients use: Bedrock refuses
// dots and more than 64 characters, and MCP names have both.
var cleanToolName = map[llm.Dialect]func(string) string{llm.Converse: converse.ToolName}

// renames maps the names of tools as the upstream knows them to the client's own. nil: none differ.
type renames map[string]string

// renamedTools lists the tools of a request whose names change on the way.
func renamedTools(spoken llm.Dialect, req *llm.Request) renames {
	clean := cleanToolName[spoken]
	if clean == nil {
		return nil
	}
	var out renames
	for i := range req.Tools {
		if name := req.Tools[i].Name; name != "" && clean(name) != name {
			if out == nil {
				out = renames{}
			}
			out[clean(name)] = name
		}
	}
	return out
}

// restore gives the calls of an answer the names the client knows.
func (r renames) restore(answer *llm.Response) {
	if r == nil {
		return
	}
	for i := range answer.Choices {
		for j := range answer.Choices[i].Parts {
			if call := answer.Choices[i].Parts[j].Call; call != nil {
				r.restoreCall(call)
			}
		}
	}
}

func (r renames) restoreCall(call *llm.ToolCall) {
	if name, ok := r[call.Name]; ok {
		call.Name = name
	}
}
