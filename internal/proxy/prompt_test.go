package proxy

import (
	"testing"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// asked is a call as far as prompts are concerned.
func asked(tb testing.TB, d llm.Dialect, op llm.Op, body string) *call {
	tb.Helper()
	c := &call{endpoint: endpoint{dialect: d, op: op}, doc: &wire.Doc{}, body: []byte(body)}
	if err := wire.Scan(c.doc, c.body, wire.Limits{}); err != nil {
		tb.Fatalf("%s: %v", body, err)
	}
	return c
}

func TestPrompts(t *testing.T) {
	f := func(d llm.Dialect, body string, want int64, marked bool) {
		t.Helper()
		if n, m := asked(t, d, llm.OpChat, body).prompts(); n != want || m != marked {
			t.Errorf("%s %s: %d, %v; want %d, %v", d, body, n, m, want, marked)
		}
	}
	const user, assistant = `{"role":"user","content":"hi"}`, `{"role":"assistant","content":"ho"}`
	f(llm.OpenAI, `{"messages":[`+user+`]}`, 1, false)
	f(llm.OpenAI, `{"messages":[{"role":"system","content":"s"},`+user+`,`+user+`]}`, 2, false)
	f(llm.OpenAI, `{"messages":[`+user+`,`+assistant+`,`+user+`]}`, 1, false)
	f(llm.OpenAI, `{"messages":[`+user+`,`+assistant+`,`+user+`,{"role":"developer","content":"d"}]}`, 1, false)
	f(llm.OpenAI, `{"messages":[`+user+`,{"role":"assistant","tool_calls":[]},{"role":"tool","tool_call_id":"c","content":"x"}]}`, 0, false)
	f(llm.OpenAI, `{"messages":[`+user+`,{"role":"assistant","tool_calls":[]},{"role":"function","name":"c","content":"x"},`+user+`]}`, 1, false)
	f(llm.OpenAI, `{"messages":[{"content":"role: user","role":"assistant"},{"content":[{"type":"text","text":"a\"b\\"}],"role":"user"}]}`, 1, false)
	f(llm.OpenAI, `{"messages":[]}`, 0, false)
	f(llm.OpenAI, `{"messages":"hi"}`, 1, false) // the upstream will refuse it, and then nothing is counted
	f(llm.OpenAI, `{"messages":{}}`, 0, false)
	f(llm.OpenAI, `{"messages":[1,"a",null,[],{}]}`, 0, false)
	f(llm.OpenAI, `{}`, 0, false)

	// The beginning of the answer put there by the client, and what the model said itself before it paused.
	f(llm.Anthropic, `{"messages":[`+user+`,`+assistant+`,`+user+`,`+assistant+`]}`, 1, false)
	f(llm.Anthropic, `{"messages":[`+user+`,{"role":"assistant","content":[{"type":"text","text":"{"}]}]}`, 1, false)
	f(llm.Anthropic, `{"messages":[`+user+`,{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"server_tool_use","id":"s"}]}]}`, 0, false)
	f(llm.OpenAI, `{"messages":[`+user+`,{"role":"assistant","content":"a","tool_calls":[{}]}]}`, 0, false)

	f(llm.Anthropic, `{"messages":[`+user+`,{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"x"},{"type":"text","text":"reminder"}]}]}`, 0, false)
	f(llm.Converse, `{"messages":[{"role":"user","content":[{"toolResult":{}}]},{"role":"user","content":[{"text":"more"}]}]}`, 1, false)
	f(llm.Gemini, `{"contents":[{"parts":[{"text":"a"}]}]}`, 1, false)
	f(llm.Gemini, `{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{}}]},{"role":"user","parts":[{"function_response":{}}]}]}`, 0, false)
	f(llm.Responses, `{"input":"file context: x"}`, 1, true)
	f(llm.Responses, `{"input":[{"role":"user","content":"a"},{"type":"reasoning"},{"type":"function_call_output"},{"type":"message","role":"user","content":"b"}]}`, 1, false)
	f(llm.Responses, `{"input":[{"role":"user","content":"a"},{"type":"function_call_output"}]}`, 0, false)

	f(llm.OpenAI, `{"messages":[{"role":"user","content":"File context: a"},`+assistant+`,`+user+`]}`, 1, false)
	f(llm.OpenAI, `{"messages":[{"role":"user","content":"a: FILE CONTEXT:\nb"}]}`, 1, true)
	f(llm.OpenAI, `{"messages":[{"role":"user","content":[{"type":"text","text":"file Context: b"},{"type":"text","text":"q"}]}]}`, 1, true)
	f(llm.OpenAI, `{"messages":[{"role":"user","content":"file context of it: b"}]}`, 1, false)
	f(llm.OpenAI, `{"messages":[{"role":"system","content":"File context: b"},`+user+`]}`, 1, false)

	if n, _ := asked(t, llm.OpenAI, llm.OpCompletion, `{"prompt":["a","b"]}`).prompts(); n != 1 {
		t.Errorf("%d prompts of a completion", n)
	}
}

// TestThread holds that the turns of a conversation have one thread, and others have others.
func TestThread(t *testing.T) {
	f := func(same bool, d llm.Dialect, a, b string) {
		t.Helper()
		x, y := asked(t, d, llm.OpChat, a).thread(), asked(t, d, llm.OpChat, b).thread()
		if x == 0 || y == 0 || (x == y) != same {
			t.Errorf("%x and %x, want the same: %v\n%s\n%s", x, y, same, a, b)
		}
	}
	f(true, llm.OpenAI, `{"messages":[{"role":"user","content":"a"}]}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}`)
	f(false, llm.OpenAI, `{"messages":[{"role":"user","content":"a"}]}`, `{"messages":[{"role":"user","content":"b"}]}`)
	f(false, llm.OpenAI, `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"}]}`, `{"messages":[{"role":"user","content":"a"}]}`)
	f(true, llm.Anthropic, `{"system":"s","messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}]}`,
		`{"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`)
	f(false, llm.Anthropic, `{"system":"ab","messages":[{"role":"user","content":"c"}]}`, `{"system":"a","messages":[{"role":"user","content":"bc"}]}`)
	f(false, llm.OpenAI, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}`,
		`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"y"}}]}]}`)
	f(true, llm.Responses, `{"conversation":"conv_1","input":"a"}`, `{"conversation":"conv_1","input":"b"}`)
	f(true, llm.Responses, `{"instructions":"s","input":"a"}`, `{"instructions":"s","input":[{"role":"user","content":"a"},{"type":"reasoning"}]}`)
	f(true, llm.Gemini, `{"contents":[{"parts":[{"text":"a"}]}]}`, `{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[]}]}`)
	if x := asked(t, llm.Responses, llm.OpChat, `{"previous_response_id":"r","input":"a"}`).thread(); x != 0 {
		t.Errorf("%x where the provider has the history", x)
	}
}

// FuzzPrompts holds that no body makes the scanners panic or run on, in any dialect.
func FuzzPrompts(f *testing.F) {
	for _, seed := range []string{`{"messages":[{"role":"user","content":"File context: a"},{"role":"assistant","content":[{"text":"b"}]}]}`,
		`{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]}]}`, `{"contents":[{"parts":[{"functionResponse":{}}]}]}`,
		`{"prompt":["a",1]}`, `{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"toolResult":{}}]}]}`, `{"messages":[[]],"input":{},"contents":""}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		doc := &wire.Doc{}
		if wire.Scan(doc, body, wire.Limits{}) != nil {
			return
		}
		for _, d := range llm.Dialects {
			for _, op := range []llm.Op{llm.OpChat, llm.OpCompletion} {
				c := &call{endpoint: endpoint{dialect: d, op: op}, doc: doc, body: body}
				if n, marked := c.prompts(); n < 0 || n > int64(len(body)) || marked && n == 0 {
					t.Errorf("%s %s: %d, %v: %q", d, op, n, marked, body)
				}
				c.thread()
			}
		}
	})
}

// TestMeter_allocatesNothing holds that counting costs no memory.
func TestMeter_allocatesNothing(t *testing.T) {
	c := asked(t, llm.Anthropic, llm.OpChat, `{"system":"s","messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}`)
	c.answered, c.rec.Status = true, 200
	if n := testing.AllocsPerRun(100, func() {
		c.turn = c.readTurn()
		c.meter()
	}); n != 0 || c.rec.Prompts != 1 || c.rec.Thread == 0 {
		t.Errorf("%v allocations, %+v", n, c.rec)
	}
}
