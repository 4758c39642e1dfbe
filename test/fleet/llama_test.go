package fleet

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/test/gwtest"
)

// TestLlama runs a real model on this machine, as the documentation tells people to: llama.cpp's server, of the built-in profile, and a model
// that the test writes. Without llama.cpp's server it is skipped, or fails where CI is set.
func TestLlama(t *testing.T) {
	server := os.Getenv("WEIR_LLAMA_SERVER")
	if server == "" {
		server, _ = exec.LookPath("llama-server")
	}
	if server == "" {
		const message = "there is no llama-server: `make test` installs one, or name yours in WEIR_LLAMA_SERVER"
		if os.Getenv("CI") != "" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	dir := t.TempDir()
	if err := os.Symlink(server, filepath.Join(dir, "llama-server")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	weights := filepath.Join(dir, "tiny.gguf")
	writeModel(t, weights, "weir")
	g := gwtest.Start(t, "")
	ok(t, g.Post(t, "/api/models", strings.Replace(definition("tiny", "llamacpp", ""), `"openai/mock"`, `"`+weights+`"`, 1)))
	awaits(t, g, "tiny", "InService")
	var said struct {
		Model   string `json:"model"`
		Choices []struct {
			Message struct {
				Content string `json:"content"`
			} `json:"message"`
			Finish string `json:"finish_reason"`
		} `json:"choices"`
		Usage struct {
			Prompt     int64 `json:"prompt_tokens"`
			Completion int64 `json:"completion_tokens"`
		} `json:"usage"`
	}
	a := chat(t, g, "tiny")
	if err := json.Unmarshal(a.Body, &said); err != nil || a.Status != http.StatusOK || len(said.Choices) != 1 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if c := said.Choices[0]; c.Message.Content != "weir" || c.Finish != "stop" || said.Model != "tiny" || said.Usage.Completion < 4 || said.Usage.Prompt < 10 {
		t.Errorf("%s", a.Body)
	}
	s := begin(t, g, "tiny")
	if <-s.done; !strings.Contains(s.text.String(), "data: [DONE]") || strings.Count(s.text.String(), `"content":"`) < 4 {
		t.Errorf("%s", s.text.String())
	}
	a = g.Post(t, "/v1/messages", `{"model":"tiny","max_tokens":20,"messages":[{"role":"user","content":"hello"}]}`)
	if a.Status != http.StatusOK || !strings.Contains(string(a.Body), `"text":"weir"`) {
		t.Errorf("over Anthropic's API: %d %s", a.Status, a.Body)
	}
	ok(t, g.Do(t, http.MethodDelete, "/api/models/tiny", ""))
	awaits(t, g, "tiny", "")
	if n := servers(t, g); n != 0 || listed(t, g, "tiny") {
		t.Errorf("%d servers of a deleted model", n)
	}
}
