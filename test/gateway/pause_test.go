package gateway

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/test/gwtest"
)

// TestStreamPauses sends streams piece by piece, so that the gateway has passed everything on before each next piece: an end that is only
// the connection's, and errors as the first or a later event.
func TestStreamPauses(t *testing.T) {
	chunk := "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"yes\"},\"finish_reason\":null}]}\n\n"
	finish := "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	start := "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n"
	fault := "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"
	pieces := map[string][]string{"ends": {chunk, finish}, "stops": {chunk}, "fails": {start, fault}, "fails-first": {fault}}
	u := gwtest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for name, list := range pieces {
			if !bytes.Contains(body, []byte(`"`+name+`"`)) {
				continue
			}
			for _, piece := range list {
				_, _ = io.WriteString(w, piece)
				_ = http.NewResponseController(w).Flush()
				runtime.Gosched()
			}
		}
	})
	var yaml strings.Builder
	yaml.WriteString("model_list:\n")
	for name := range pieces {
		provider := "openai"
		if strings.HasPrefix(name, "fails") {
			provider = "anthropic"
		}
		yaml.WriteString("- {model_name: " + name + ", litellm_params: {model: " + provider + "/" + name + ", api_base: '" + u.URL + "', api_key: k}}\n")
	}
	g := gwtest.Start(t, yaml.String())
	f := func(model, path string, status int, want, not string) {
		t.Helper()
		a := g.Post(t, path, `{"model":"`+model+`","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`)
		if a.Status != status || !bytes.Contains(a.Body, []byte(want)) || not != "" && bytes.Contains(a.Body, []byte(not)) {
			t.Errorf("%s: status %d: %s", model, a.Status, a.Body)
		}
	}
	for range 20 { // which pieces come together is chance
		f("ends", "/v1/chat/completions", 200, "data: [DONE]", "error")
		f("stops", "/v1/chat/completions", 200, `"error"`, "[DONE]")
		f("fails", "/v1/messages", 200, "overloaded_error", "message_stop")
		f("fails-first", "/v1/messages", 529, "overloaded_error", "message_start")
	}
	if strings.Contains(g.Log.String(), "panic") {
		t.Error(g.Log.String())
	}
}
