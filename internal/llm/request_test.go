package llm

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOfferedTools(t *testing.T) {
	req := &Request{
		Tools: []Tool{{Name: "f"}, {Name: "g"}, {Type: "custom", Name: "free", Raw: Raw(`{}`)}, {Type: "web_search", Name: "search"}},
	}
	f := func(c *ToolChoice, own bool, mode string, want, lost []string) {
		t.Helper()
		req.ToolChoice = c
		tools, gone := req.OfferedTools(own)
		var names []string
		for _, tool := range tools {
			names = append(names, tool.Type+":"+tool.Name)
		}
		if diff := cmp.Diff([][]string{want, lost, {mode}}, [][]string{names, gone, {c.ModeOfOffered()}}); diff != "" {
			t.Error(diff)
		}
	}
	f(nil, false, "", []string{":f", ":g", ":free"}, []string{"tools.web_search"})
	f(nil, true, "", []string{":f", ":g", "custom:free", "web_search:search"}, nil)
	f(&ToolChoice{Mode: ChoiceAllowed, Allowed: []string{"g", "free"}}, false, ChoiceAuto, []string{":g", ":free"}, nil)
	f(&ToolChoice{Mode: ChoiceAllowed, Name: "required", Allowed: []string{"f"}}, false, ChoiceRequired, []string{":f"}, nil)
	f(&ToolChoice{Mode: ChoiceTool, Name: "f"}, true, ChoiceTool, []string{":f", ":g", "custom:free", "web_search:search"}, nil)
}

func TestTurns_ends(t *testing.T) {
	said := func(role Role, text string) Message {
		return Message{Role: role, Parts: []Part{{Kind: KindText, Text: text}}}
	}
	first := UserFirst([]Message{said(RoleAssistant, "hello \n")})
	TrimEnd(first)
	if diff := cmp.Diff([]Message{said(RoleUser, "."), said(RoleAssistant, "hello")}, first); diff != "" {
		t.Error(diff)
	}
	last := []Message{said(RoleUser, "hi ")}
	TrimEnd(UserFirst(last))
	TrimEnd(nil)
	if last[0].Parts[0].Text != "hi " {
		t.Errorf("the user's words were cut: %q", last[0].Parts[0].Text)
	}
	f := func(want bool, kinds ...Kind) {
		t.Helper()
		var turns []Message
		for _, k := range kinds {
			turns = append(turns, Message{Parts: []Part{{Kind: k}}})
		}
		if AmidTools(turns) != want {
			t.Errorf("%v: %v", kinds, !want)
		}
	}
	f(true, KindText, KindToolCall, KindToolResult)
	f(false, KindText, KindReasoning, KindToolResult)
	f(false, KindToolCall, KindToolResult, KindText)
	f(false, KindToolResult)
}
