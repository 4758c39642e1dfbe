package gateway

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/test/gwtest"
)

// TestFreeformTools holds that a tool whose input is free text (Codex's apply_patch) works on models that know only functions: it goes up as
// a function with one text argument and comes back as the custom tool call the client waits for, its history too.
func TestFreeformTools(t *testing.T) {
	const patch = "*** Begin Patch\n\"quoted\"\n*** End Patch"
	arguments := fmt.Sprintf(`{"input":%q}`, patch)
	chat := func(w http.ResponseWriter, stream bool) {
		if !stream {
			gwtest.JSON(200, `{"id":"x","object":"chat.completion","model":"up","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"apply_patch","arguments":`+fmt.Sprintf("%q", arguments)+`}}]},"finish_reason":"tool_calls"}]}`)(w, nil)
			return
		}
		var b strings.Builder
		b.WriteString(`data: {"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"apply_patch","arguments":""}}]}}]}` + "\n\n")
		for i := 0; i < len(arguments); i += 7 {
			fmt.Fprintf(&b, "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":%q}}]}}]}\n\n", arguments[i:min(i+7, len(arguments))])
		}
		b.WriteString("data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n")
		gwtest.SSE(b.String())(w, nil)
	}
	for _, stream := range []bool{false, true} {
		up := gwtest.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) { chat(w, stream) })
		g := gwtest.Start(t, "model_list:\n- {model_name: m, litellm_params: {model: groq/up, api_base: '"+up.URL+"', api_key: k}}\n")
		a := g.Post(t, "/v1/responses", fmt.Sprintf(`{"model":"m","stream":%v,"input":[{"type":"message","role":"user","content":"patch it"},
			{"type":"custom_tool_call","call_id":"c0","name":"apply_patch","input":"old"},{"type":"custom_tool_call_output","call_id":"c0","output":"done"}],
			"tools":[{"type":"custom","name":"apply_patch","description":"d","format":{"type":"grammar","syntax":"lark","definition":"start: x"}}]}`, stream))
		if a.Status != 200 || !bytes.Contains(a.Body, []byte(`"type":"custom_tool_call"`)) || !bytes.Contains(a.Body, []byte(fmt.Sprintf(`"input":%q`, patch))) {
			t.Errorf("stream %v: %d %s", stream, a.Status, a.Body)
		}
		sent := up.Last(t).Body
		if !bytes.Contains(sent, []byte(`"type":"function"`)) || bytes.Contains(sent, []byte("custom")) || !bytes.Contains(sent, []byte(`{\"input\":\"old\"}`)) {
			t.Errorf("stream %v: sent %s", stream, sent)
		}
		g.Stop(t)
	}
}
