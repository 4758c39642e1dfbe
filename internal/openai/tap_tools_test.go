package openai

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

// TestTap_tools holds which calls the taps name, in whole answers and in streams.
func TestTap_tools(t *testing.T) {
	f := func(speaks llm.Spoken, body string, frames []string, retrieved bool, want ...llm.ToolUse) {
		t.Helper()
		whole, stream := speaks.NewTap(), speaks.NewTap()
		if err := whole.Body([]byte(body)); err != nil {
			t.Fatal(err)
		}
		for _, data := range frames {
			if m := stream.Frame(llm.Frame{Data: []byte(data)}); m&(llm.MarkBad|llm.MarkError) != 0 {
				t.Fatalf("%s: %v", data, m)
			}
		}
		for _, s := range []*llm.Seen{whole.Seen(), stream.Seen()} {
			if d := cmp.Diff(want, s.Tools); d != "" || s.Retrieved != retrieved {
				t.Errorf("retrieved %v, %s\n%s", s.Retrieved, d, body)
			}
		}
	}
	f(Chat, `{"id":"1","choices":[{"message":{"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"function","function":{"name":"f","arguments":"{}"}},
		{"id":"c","type":"custom","custom":{"name":"g","input":"x"}}]},"finish_reason":"tool_calls"}]}`,
		[]string{`{"id":"1","choices":[{"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}}]}`,
			`{"id":"1","choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"name\":1}"}}]}}]}`,
			`{"id":"1","choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"f","arguments":"{}"}}]}}]}`,
			`{"id":"1","choices":[{"delta":{"tool_calls":[{"index":2,"id":"c","type":"custom","custom":{"name":"g","input":"x"}}]}}]}`, `[DONE]`},
		false, llm.ToolUse{Name: "f", Calls: 2}, llm.ToolUse{Name: "g", Calls: 1})
	f(Chat, `{"id":"1","choices":[{"message":{"function_call":{"name":"f","arguments":"{}"},"tool_calls":null},"finish_reason":"function_call"}]}`,
		[]string{`{"id":"1","choices":[{"delta":{"function_call":{"name":"f","arguments":""}}}]}`, `{"id":"1","choices":[{"delta":{"function_call":{"arguments":"{}"}}}]}`},
		false, llm.ToolUse{Name: "f", Calls: 1})
	const output = `{"type":"file_search_call","id":"fs","queries":["q"]},{"type":"mcp_call","id":"m","name":"roll","server_label":"dice","arguments":"{}"},` +
		`{"type":"function_call","id":"fc","call_id":"c","name":"f","arguments":"{}"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]}`
	f(Responses, `{"id":"r","object":"response","status":"completed","model":"m","output":[`+output+`]}`, []string{
		`{"type":"response.created","response":{"id":"r","model":"m"}}`,
		`{"type":"response.output_item.added","output_index":0,"item":{"type":"file_search_call","id":"fs"}}`,
		`{"type":"response.output_item.added","output_index":1,"item":{"type":"mcp_call","id":"m","name":"roll"}}`,
		`{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","id":"fc","name":"f"}}`,
		`{"type":"response.completed","response":{"id":"r","status":"completed","output":[` + output + `]}}`},
		true, llm.ToolUse{Name: "roll", Calls: 1}, llm.ToolUse{Name: "f", Calls: 1})
}
