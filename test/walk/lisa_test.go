package walk

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/test/gwtest"
)

// lisa is a gateway with LISA's doors.
type lisa struct {
	*testing.T
	serve, admin *gwtest.Gateway // the user door; the admin door
	gate         string          // model servers come up once this file is there
}

// openLISA starts a gateway whose vLLM is the project's own mock. What is at AWS is not asked for: the examples name models that nobody has.
func openLISA(t *testing.T) *lisa {
	t.Helper()
	gate := filepath.Join(t.TempDir(), "gate")
	command := fmt.Sprintf("until [ -e %s ]; do sleep 0.02; done; exec %s mock --host 127.0.0.1 --port {port}", gate, weir)
	env := map[string]string{"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "AWS_REGION": "us-east-1"}
	g := gwtest.StartIn(t, t.TempDir(), fmt.Sprintf(`
fleet:
  probe_external: false
  process:
    profiles:
      vllm: {command: [sh, -c, %q], health: /health}
`, command), app.Options{Env: func(name string) string { return env[name] }})
	return &lisa{T: t, serve: g, admin: &gwtest.Gateway{URL: g.App.AdminURL()}, gate: gate}
}

func (l *lisa) status(id string) string {
	l.Helper()
	var out struct {
		Model struct {
			Status string `json:"status"`
		} `json:"model"`
	}
	if a := l.admin.Get(l, "/models/"+id); a.Status == http.StatusOK && json.Unmarshal(a.Body, &out) != nil {
		l.Fatalf("%s", a.Body)
	}
	return out.Model.Status
}

// becomes waits for a status; empty: the model is gone.
func (l *lisa) becomes(id, status string) {
	l.Helper()
	eventually(l.T, id+" is "+status, func() bool { return l.status(id) == status })
}

// listed are the models that users see.
func (l *lisa) listed() string {
	l.Helper()
	var out struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(l.serve.Get(l, "/v2/serve/models").Body, &out); err != nil {
		l.Fatal(err)
	}
	var ids []string
	for _, m := range out.Data {
		ids = append(ids, m.ID)
	}
	return strings.Join(ids, " ")
}

func (l *lisa) chat(id string) *gwtest.Answer {
	l.Helper()
	return l.serve.Post(l, "/v2/serve/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hello"}]}`, id))
}

func (l *lisa) put(body string) *gwtest.Answer {
	l.Helper()
	return l.admin.Do(l, http.MethodPut, "/models/mistral-vllm", body)
}

// TestLISA_overview walks "API Usage Overview" and "Error Handling for API Requests". The metrics API is in a file of its own.
func TestLISA_overview(t *testing.T) {
	l := openLISA(t)
	// Listing Models: what an administrator adds is there for users with the next request.
	for _, m := range []struct{ id, name, kind string }{{"bedrock-embed-text-v2", "bedrock/amazon.titan-embed-text-v2:0", "embedding"},
		{"titan-express-v1", "bedrock/amazon.titan-text-express-v1", "textgen"}, {"sagemaker-amazon-mistrallite", "sagemaker/amazon-mistrallite", "textgen"}} {
		if a := l.admin.Post(l, "/models", fmt.Sprintf(`{"modelId":%q,"modelName":%q,"modelType":%q}`, m.id, m.name, m.kind)); a.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", m.id, a.Status, a.Body)
		}
		l.becomes(m.id, "InService")
		if !strings.Contains(l.listed(), m.id) {
			t.Errorf("%s is in service and not listed: %s", m.id, l.listed())
		}
	}
	list := parsed(t, string(l.serve.Get(l, "/v2/serve/models").Body)).(map[string]any)
	documented := parsed(t, example(t, "lisa/serve_models")).(map[string]any)
	byID := func(list map[string]any) map[string]any {
		out := map[string]any{}
		for _, one := range list["data"].([]any) {
			out[one.(map[string]any)["id"].(string)] = one
		}
		return out
	}
	if list["object"] != "list" {
		t.Errorf("object: %v", list["object"])
	}
	for _, d := range differences("", byID(documented), byID(list), "created") {
		t.Errorf("not as documented: %s", d)
	}
	// ModelNotFoundError.
	notFound := strings.Replace(example(t, "lisa/error_not_found"), "<model_id>", "nobody", 1)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		shows(t, l.admin.Do(l, method, "/models/nobody", ""), http.StatusNotFound, notFound)
	}
	shows(t, l.admin.Do(l, http.MethodPut, "/models/nobody", `{"enabled":false}`), http.StatusNotFound, notFound)
	// ModelAlreadyExistsError.
	shows(t, l.admin.Post(l, "/models", example(t, "lisa/create_external")), http.StatusBadRequest, example(t, "lisa/error_exists"))
	// InvalidInputError: malformed JSON, and a required field left out.
	input := example(t, "lisa/error_input")
	shows(t, l.admin.Post(l, "/models", `{"modelId": "x",`), http.StatusBadRequest, input)
	shows(t, l.admin.Post(l, "/models", `{"modelId":"x","modelType":"textgen"}`), http.StatusBadRequest, input)
	// ValidationError.
	rules := example(t, "lisa/error_validation")
	shows(t, l.admin.Post(l, "/models", `{"modelId":"x","modelName":"y","modelType":"embedding","streaming":true}`), http.StatusUnprocessableEntity, rules)
	shows(t, l.admin.Post(l, "/models", `{"modelId":"x","modelName":"y","modelType":"textgen","instanceType":"g5.xlarge"}`), http.StatusUnprocessableEntity, rules)
	// What is deleted is gone for users with the next request.
	for _, id := range strings.Fields("bedrock-embed-text-v2 titan-express-v1 sagemaker-amazon-mistrallite") {
		shows(t, l.admin.Do(l, http.MethodDelete, "/models/"+id, ""), http.StatusOK, strings.Replace(example(t, "lisa/deleted"), "mistral-vllm", id, 1))
		if strings.Contains(l.listed(), id) {
			t.Errorf("%s is deleted and listed", id)
		}
	}
}

// TestLISA_admin walks "Admin-level Model Management API" from its first example to its last.
func TestLISA_admin(t *testing.T) {
	l := openLISA(t)
	// Only accessible by administrators.
	if a := l.admin.Get(l, "/models", "Authorization", ""); a.Status != http.StatusUnauthorized || !strings.Contains(string(a.Body), `"AuthenticationError"`) {
		t.Errorf("without a key: %d %s", a.Status, a.Body)
	}
	var user struct {
		Key string `json:"key"`
	}
	if a := l.serve.Post(l, "/key/generate", `{}`); json.Unmarshal(a.Body, &user) != nil || user.Key == "" {
		t.Fatalf("a user's key: %d %s", a.Status, a.Body)
	}
	if a := l.admin.Get(l, "/models", "Authorization", "Bearer "+user.Key); a.Status != http.StatusForbidden || !strings.Contains(string(a.Body), `"AuthorizationError"`) {
		t.Errorf("with a user's key: %d %s", a.Status, a.Body)
	}

	// Creating a model: the ECS payload, then the LiteLLM-only one. Both answer what the list shows of them.
	list := parsed(t, example(t, "lisa/list")).(map[string]any)["models"].([]any)
	one := func(i int, status string) string {
		t.Helper()
		m := map[string]any{}
		for name, v := range list[i].(map[string]any) {
			m[name] = v
		}
		if m["status"] = status; i == 0 && status != "Creating" {
			delete(m, "modelUrl") // the document shows it before there is one
		}
		b, err := json.Marshal(map[string]any{"model": m})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	shows(t, l.admin.Post(l, "/models", example(t, "lisa/create_hosted")), http.StatusOK, one(0, "Creating"))
	shows(t, l.admin.Post(l, "/models", example(t, "lisa/create_external")), http.StatusOK, one(1, "Creating"))
	l.becomes("titan-express-v1", "InService")

	// Listing models: one being created, one in service.
	shows(t, l.admin.Get(l, "/models"), http.StatusOK, example(t, "lisa/list"))
	if got := l.listed(); strings.Contains(got, "mistral-vllm") || !strings.Contains(got, "titan-express-v1") {
		t.Errorf("users see %s", got)
	}
	if err := os.WriteFile(l.gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l.becomes("mistral-vllm", "InService")
	if a := l.chat("mistral-vllm"); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}

	// Update model metadata, of both kinds of models.
	shows(t, l.put(example(t, "lisa/update_metadata")), http.StatusOK, `{"model":{"modelId":"mistral-vllm","status":"InService"}}`)
	l.becomes("mistral-vllm", "InService")
	shows(t, l.admin.Do(l, http.MethodPut, "/models/titan-express-v1", example(t, "lisa/update_metadata")), http.StatusOK, one(1, "InService"))
	shows(t, l.put(`{"modelType":"embedding","streaming":true}`), http.StatusUnprocessableEntity, example(t, "lisa/error_validation"))

	// Update the AutoScaling configuration: three servers of at most four.
	shows(t, l.put(example(t, "lisa/update_scaling")), http.StatusOK, one(0, "InService"))
	l.becomes("mistral-vllm", "InService")
	shows(t, l.admin.Get(l, "/models/mistral-vllm"), http.StatusOK,
		`{"model":{"autoScalingConfig":{"minCapacity":2,"maxCapacity":4,"desiredCapacity":3},"readyServers":3}}`)
	shows(t, l.put(`{"autoScalingInstanceConfig":{"minCapacity":0}}`), http.StatusUnprocessableEntity, example(t, "lisa/error_validation"))
	shows(t, l.put(`{"enabled":false,"autoScalingInstanceConfig":{"minCapacity":1}}`), http.StatusBadRequest,
		`{"error":"InvalidInputError","message":"Start or Stop operations and AutoScaling changes must happen in separate requests."}`)

	// Stop the model: nobody can call it, nothing of it runs.
	shows(t, l.put(example(t, "lisa/update_stop")), http.StatusOK, `{"model":{"modelId":"mistral-vllm","status":"InService"}}`)
	if strings.Contains(l.listed(), "mistral-vllm") {
		t.Error("a model that is being stopped is listed")
	}
	l.becomes("mistral-vllm", "Stopped")
	if a := l.chat("mistral-vllm"); a.Status != http.StatusNotFound {
		t.Errorf("a stopped model: %d %s", a.Status, a.Body)
	}
	shows(t, l.admin.Get(l, "/models/mistral-vllm"), http.StatusOK, `{"model":{"readyServers":0,"modelUrl":null}}`)

	// While it is stopped, its AutoScaling configuration is saved for the next start.
	shows(t, l.put(`{"autoScalingInstanceConfig":{"minCapacity":1,"desiredCapacity":2}}`), http.StatusOK, `{"model":{"status":"Stopped"}}`)
	if got := l.status("mistral-vllm"); got != "Stopped" {
		t.Errorf("after a change while stopped: %s", got)
	}

	// Start it again.
	shows(t, l.put(example(t, "lisa/update_start")), http.StatusOK, `{"model":{"status":"Stopped"}}`)
	l.becomes("mistral-vllm", "InService")
	shows(t, l.admin.Get(l, "/models/mistral-vllm"), http.StatusOK, `{"model":{"autoScalingConfig":{"minCapacity":1,"maxCapacity":4},"readyServers":2}}`)
	if a := l.chat("mistral-vllm"); a.Status != http.StatusOK || !strings.Contains(l.listed(), "mistral-vllm") {
		t.Errorf("started: %d %s; listed %s", a.Status, a.Body, l.listed())
	}

	// Deleting a model.
	shows(t, l.admin.Do(l, http.MethodDelete, "/models/mistral-vllm", ""), http.StatusOK, example(t, "lisa/deleted"))
	if strings.Contains(l.listed(), "mistral-vllm") {
		t.Error("a deleted model is listed")
	}
	l.becomes("mistral-vllm", "")
	if left, err := filepath.Glob(filepath.Join(l.serve.DataDir, "fleet", "process", "*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
