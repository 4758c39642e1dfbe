package fleet

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/test/gwtest"
)

// TestWeaknesses holds that what LISA itself does wrong at /v2/serve is done right here. Other places hold the rest of what the contract lists:
//
//	groups of models are enforced                        TestGroups
//	a limit is one limit, however many serve             test/replicas
//	updates (a) to (k), and creates at once              internal/lisa: TestExternal, TestUpdate_*, TestKey, TestTogether
//	a delete at any time, and its end                    internal/fleet: TestDelete, TestLife_property
//	windows across midnight, and what comes next         internal/fleet: TestSchedule_on, TestSchedule_next
//	warm-up and cooldown of the scaling policy           internal/host/ecs: the tests of what is made
//	metrics: what counts, who reads, pages, at once      test/metrics
func TestWeaknesses(t *testing.T) {
	up := gwtest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Of-The-Upstream", "yes")
		switch {
		case strings.HasSuffix(r.URL.Path, "/audio/transcriptions"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"text":"spoken"}`)
		case strings.Contains(string(body), "too long"):
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":{"message":"the prompt is too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`)
		default:
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, `data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
		}
	})
	g := gwtest.Start(t, fmt.Sprintf(`
model_list:
  - model_name: m
    litellm_params: {model: openai/up, api_key: k, api_base: %q}
`, up.URL+"/v1"))
	message := func(a *gwtest.Answer) string {
		var out struct {
			Error struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		_ = json.Unmarshal(a.Body, &out) // no error object has no message
		return out.Error.Message
	}
	say := func(text string, stream bool, headers ...string) *gwtest.Answer {
		t.Helper()
		return g.Post(t, "/v2/serve/chat/completions", fmt.Sprintf(`{"model":"m","stream":%v,"messages":[{"role":"user","content":%q}]}`, stream, text), headers...)
	}
	for _, stream := range []bool{false, true} { // (a) the body of an error was dropped
		if a := say("too long", stream); a.Status != http.StatusBadRequest || !strings.Contains(message(a), "the prompt is too long") {
			t.Errorf("an upstream's error, stream %v: %d %s", stream, a.Status, a.Body)
		}
	}
	// (b) a stream had no content type and nothing of the upstream's head
	if a := say("hello", true); a.Status != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/event-stream") ||
		a.Header.Get("Llm_provider-X-Of-The-Upstream") != "yes" || !strings.Contains(string(a.Body), "data: [DONE]") {
		t.Errorf("a stream: %d %v %s", a.Status, a.Header, a.Body)
	}
	// (d) clients of OpenAI's SDK were not told in its form that the key is wrong
	if a := say("hello", false, "Authorization", "Bearer sk-wrong"); a.Status != http.StatusUnauthorized || message(a) == "" {
		t.Errorf("a wrong key: %d %s", a.Status, a.Body)
	}
	// (f) a form was read as JSON
	form := "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--b--\r\n"
	if a := g.Post(t, "/v2/serve/audio/transcriptions", form, "Content-Type", "multipart/form-data; boundary=b"); a.Status != http.StatusOK || string(a.Body) != `{"text":"spoken"}` {
		t.Errorf("a transcription: %d %s", a.Status, a.Body)
	}
	// (g) HEAD was not allowed
	for _, path := range []string{"/v2/serve/models", "/api/models"} {
		if a := g.Do(t, http.MethodHead, path, ""); a.Status != http.StatusOK {
			t.Errorf("HEAD %s: %d", path, a.Status)
		}
	}
}

// TestWeaknesses_schedule holds that a model that its schedule stops is neither listed nor called, and is both once it is started again: with
// LISA it stays registered.
func TestWeaknesses_schedule(t *testing.T) {
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	began := time.Now()
	var ahead atomic.Int64 // of noon, in ns
	now := func() time.Time { return noon.Add(time.Duration(ahead.Load()) + time.Since(began)) }
	g := gwtest.StartIn(t, t.TempDir(), config(t), app.Options{Now: now})
	ok(t, g.Post(t, "/api/models", definition("m", "mock", "")))
	awaits(t, g, "m", "InService")
	ok(t, g.Post(t, "/api/models/m/schedule", `{"scheduleType":"RECURRING","recurringSchedule":{"startTime":"22:00","stopTime":"14:00"}}`)) // over midnight
	if a := chat(t, g, "m"); a.Status != http.StatusOK || !listed(t, g, "m") {
		t.Errorf("within its hours: %d %s", a.Status, a.Body)
	}
	ahead.Store(int64(2 * time.Hour))
	awaits(t, g, "m", "Stopped")
	if a := chat(t, g, "m"); a.Status != http.StatusNotFound || listed(t, g, "m") {
		t.Errorf("stopped by its schedule: %d %s", a.Status, a.Body)
	}
	ahead.Store(int64(10 * time.Hour))
	awaits(t, g, "m", "InService")
	if a := chat(t, g, "m"); a.Status != http.StatusOK || !listed(t, g, "m") {
		t.Errorf("started by its schedule: %d %s", a.Status, a.Body)
	}
}
