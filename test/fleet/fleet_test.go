// Package fleet runs whole gateways whose models are real servers: processes of the project's own mock.
package fleet

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/host/hosttest"
	"github.com/weir-gateway/weir/test/gwtest"
)

func config(t *testing.T) string {
	return fmt.Sprintf(`
fleet:
  process:
    profiles:
      mock: {command: [%q, mock, --host, 127.0.0.1, --port, "{port}"], health: /health}
      gone: {command: [/no/such/program]}
      ends: {command: [sh, -c, "echo the weights are missing >&2; exit 3"]}
`, gwtest.Build(t))
}

// definition is a hosted model's, of one to three servers.
func definition(id, container, more string) string {
	return fmt.Sprintf(`{"modelId":%q,"modelName":"openai/mock","modelType":"textgen","streaming":true,"inferenceContainer":%q,"instanceType":"g5.xlarge",%s
		"containerConfig":{"image":{"baseImage":"local","type":"asset"},"sharedMemorySize":64,"environment":{"A":"b"},
			"healthCheckConfig":{"command":["CMD-SHELL","exit 0"],"interval":10,"startPeriod":30,"timeout":5,"retries":3}},
		"autoScalingConfig":{"minCapacity":1,"maxCapacity":3,"cooldown":60,"defaultInstanceWarmup":60,
			"metricConfig":{"albMetricName":"RequestCountPerTarget","targetValue":30,"duration":60,"estimatedInstanceWarmup":60}},
		"loadBalancerConfig":{"healthCheckConfig":{"path":"/health","interval":60,"timeout":30,"healthyThresholdCount":2,"unhealthyThresholdCount":10}}}`,
		id, container, more)
}

// model is what the admin API shows of one.
type model struct {
	Model struct {
		Status string  `json:"status"`
		Reason *string `json:"reason"`
	} `json:"model"`
}

// awaits waits until a model has a status; empty: until it is gone.
func awaits(t *testing.T, g *gwtest.Gateway, id, status string) model {
	t.Helper()
	var m model
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		a := g.Get(t, "/api/models/"+id)
		if status == "" {
			if a.Status == http.StatusNotFound {
				return m
			}
			continue
		}
		m = model{}
		if err := json.Unmarshal(a.Body, &m); err != nil || a.Status != 200 {
			t.Fatalf("GET /models/%s: %d %s", id, a.Status, a.Body)
		}
		if m.Model.Status == status {
			return m
		}
	}
	t.Fatalf("model %s did not become %q in 30 s: %+v\n%s", id, status, m, g.Log)
	return m
}

func ok(t *testing.T, a *gwtest.Answer) {
	t.Helper()
	if a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
}

func chat(t *testing.T, g *gwtest.Gateway, id string) *gwtest.Answer {
	t.Helper()
	return g.Post(t, "/v2/serve/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hello"}]}`, id))
}

func listed(t *testing.T, g *gwtest.Gateway, id string) bool {
	t.Helper()
	return strings.Contains(string(g.Get(t, "/v2/serve/models").Body), `"id":"`+id+`"`)
}

// TestLife is the whole life of a model on this machine: created, chatting, stopped, started, scaled, deleted.
func TestLife(t *testing.T) {
	g := gwtest.Start(t, config(t))
	ok(t, g.Post(t, "/api/models", definition("tiny", "mock", "")))
	awaits(t, g, "tiny", "InService")
	ok(t, chat(t, g, "tiny"))
	if !listed(t, g, "tiny") {
		t.Error("in service and not listed")
	}
	ok(t, g.Do(t, http.MethodPut, "/api/models/tiny", `{"enabled":false}`))
	awaits(t, g, "tiny", "Stopped")
	if a := chat(t, g, "tiny"); a.Status != http.StatusNotFound || listed(t, g, "tiny") {
		t.Errorf("stopped: %d %s", a.Status, a.Body)
	}
	ok(t, g.Do(t, http.MethodPut, "/api/models/tiny", `{"enabled":true}`))
	awaits(t, g, "tiny", "InService")
	ok(t, chat(t, g, "tiny"))
	ok(t, g.Do(t, http.MethodPut, "/api/models/tiny", `{"autoScalingInstanceConfig":{"minCapacity":2}}`))
	awaits(t, g, "tiny", "InService")
	if n := servers(t, g); n != 2 {
		t.Errorf("%d servers after scaling to 2", n)
	}
	ok(t, g.Do(t, http.MethodDelete, "/api/models/tiny", ""))
	awaits(t, g, "tiny", "")
	if n := servers(t, g); n != 0 || listed(t, g, "tiny") {
		t.Errorf("%d servers of a deleted model", n)
	}
}

// TestEnds holds that a test which does not delete its models leaves no servers behind.
func TestEnds(t *testing.T) {
	dir := t.TempDir()
	t.Run("left", func(t *testing.T) {
		g := gwtest.StartIn(t, dir, config(t), app.Options{})
		ok(t, g.Post(t, "/api/models", definition("left", "mock", "")))
		awaits(t, g, "left", "InService")
		if n := len(hosttest.Processes(t, dir)); n != 1 {
			t.Errorf("%d processes of a model in service", n)
		}
	})
	if left := hosttest.Processes(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestLate holds that a call which began before its model was stopped, and says only then which one it wants, finds it stopped.
func TestLate(t *testing.T) {
	g := gwtest.Start(t, config(t))
	ok(t, g.Post(t, "/api/models", definition("tiny", "mock", "")))
	awaits(t, g, "tiny", "InService")
	body, rest := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/v1/chat/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+gwtest.MasterKey)
	type answer struct {
		status int
		text   string
	}
	answered := make(chan answer, 1)
	go func() {
		var a answer
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			a = answer{resp.StatusCode, string(b)}
		}
		answered <- a
	}()
	if _, err := io.WriteString(rest, `{"model":"tiny",`); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(string(g.Get(t, "/metrics").Body), "weir_requests_in_flight 1\n"); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the call did not begin")
		}
	}
	ok(t, g.Do(t, http.MethodPut, "/api/models/tiny", `{"enabled":false}`))
	awaits(t, g, "tiny", "Stopped")
	if _, err := io.WriteString(rest, `"messages":[{"role":"user","content":"hello"}]}`); err != nil {
		t.Fatal(err)
	}
	_ = rest.Close()
	if a := <-answered; a.status != http.StatusNotFound || !strings.Contains(a.text, "its status is Stopped") {
		t.Errorf("%d %s", a.status, a.text)
	}
}

// servers counts the model servers that a gateway's data directory knows of.
func servers(t *testing.T, g *gwtest.Gateway) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(g.DataDir, "fleet", "process", "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// TestFails holds that a program that is not there, or ends at once, makes the model Failed with its own words, and can be deleted.
func TestFails(t *testing.T) {
	g := gwtest.Start(t, config(t))
	for container, why := range map[string]string{"gone": "no such file", "ends": "the weights are missing"} {
		ok(t, g.Post(t, "/api/models", definition(container, container, "")))
		if m := awaits(t, g, container, "Failed"); m.Model.Reason == nil || !strings.Contains(*m.Model.Reason, why) {
			t.Errorf("%s: %+v", container, m)
		}
		ok(t, g.Do(t, http.MethodDelete, "/api/models/"+container, ""))
		awaits(t, g, container, "")
	}
}

// TestAdopted holds that a model's servers outlive the gateway and serve the next one, without being started again.
func TestAdopted(t *testing.T) {
	dir := t.TempDir()
	g := gwtest.StartIn(t, dir, config(t), app.Options{})
	ok(t, g.Post(t, "/api/models", definition("kept", "mock", "")))
	awaits(t, g, "kept", "InService")
	before, err := filepath.Glob(filepath.Join(dir, "fleet", "process", "*", "*.json"))
	if err != nil || len(before) != 1 {
		t.Fatalf("%v, %v", before, err)
	}
	g.Stop(t)
	g = gwtest.StartIn(t, dir, config(t), app.Options{})
	ok(t, chat(t, g, "kept"))
	if after, _ := filepath.Glob(filepath.Join(dir, "fleet", "process", "*", "*.json")); len(after) != 1 || after[0] != before[0] {
		t.Errorf("servers before %v, after %v", before, after)
	}
	ok(t, g.Do(t, http.MethodDelete, "/api/models/kept", ""))
	awaits(t, g, "kept", "")
}

// TestWake holds that fifty callers of a sleeping model are answered by one start.
func TestWake(t *testing.T) {
	g := gwtest.Start(t, config(t))
	ok(t, g.Post(t, "/api/models", definition("nap", "mock", `"wakeOnRequest":true,`)))
	awaits(t, g, "nap", "InService")
	ok(t, g.Do(t, http.MethodPut, "/api/models/nap", `{"enabled":false}`))
	awaits(t, g, "nap", "Stopped")
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if a := chat(t, g, "nap"); a.Status != 200 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	callers.Wait()
	starts := strings.Count(string(g.Get(t, "/api/models/nap/events").Body), `"to":"Starting"`)
	if n := servers(t, g); n != 1 || starts != 1 {
		t.Errorf("%d servers, %d starts for fifty callers", n, starts)
	}
	ok(t, g.Do(t, http.MethodDelete, "/api/models/nap", ""))
	awaits(t, g, "nap", "")
}

// TestGroups holds that a model for some groups is listed for them and callable by them alone.
func TestGroups(t *testing.T) {
	g := gwtest.Start(t, config(t))
	ok(t, g.Post(t, "/api/models", `{"modelId":"ours","modelName":"demo/demo","modelType":"textgen","streaming":true,"allowedGroups":["red"]}`))
	awaits(t, g, "ours", "InService")
	user := func(groups string) string {
		a := g.Post(t, "/user/new", `{"metadata":{"groups":`+groups+`}}`)
		var out struct {
			Key string `json:"key"`
		}
		if err := json.Unmarshal(a.Body, &out); err != nil || out.Key == "" {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		return out.Key
	}
	f := func(key string, want int) {
		t.Helper()
		a := g.Post(t, "/v2/serve/chat/completions", `{"model":"ours","messages":[{"role":"user","content":"hello"}]}`, "Authorization", "Bearer "+key)
		in := strings.Contains(string(g.Get(t, "/v2/serve/models", "Authorization", "Bearer "+key).Body), `"ours"`)
		if a.Status != want || in != (want == 200) {
			t.Errorf("%d, listed %v; want %d: %s", a.Status, in, want, a.Body)
		}
	}
	f(user(`["red"]`), 200)
	f(user(`["blue"]`), 403)
	f(gwtest.MasterKey, 200)
}
