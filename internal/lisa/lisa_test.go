package lisa

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// refused holds an answer to a status, a name, and a sentence that is the message or among the details.
func (d *door) refused(a answered, status int, name, sentence string) {
	d.t.Helper()
	if a.status != status || a.body["error"] != name || !strings.Contains(a.text, sentence) {
		d.t.Errorf("got %d %s\nwant %d %s with %q", a.status, a.text, status, name, sentence)
	}
}

func TestLife(t *testing.T) {
	d := newDoor(t)
	made := d.ok("POST", "/models", hosted("mistral-vllm")).body["model"].(map[string]any)
	if made["status"] != "Creating" || made["modelUrl"] != nil || made["hostingType"] != "lisa_hosted" || made["contextWindow"] != 2048.0 {
		t.Errorf("a new model: %v", made)
	}
	d.settle()
	if m := d.model("mistral-vllm"); m["status"] != "InService" || m["modelUrl"] != "http://127.0.0.1:9000/v1" || m["readyServers"] != 1.0 {
		t.Errorf("after it came up: %v", m)
	}
	// An update answers the model as it was.
	if got := d.ok("PUT", "/models/mistral-vllm", `{"enabled":false}`).body["model"].(map[string]any)["status"]; got != "InService" {
		t.Errorf("the answer to a stop shows %v", got)
	}
	if m := d.model("mistral-vllm"); m["status"] != "Stopping" {
		t.Errorf("while it stops: %v", m)
	}
	d.settle()
	if m := d.model("mistral-vllm"); m["status"] != "Stopped" || m["modelUrl"] != nil || d.host.servers["mistral-vllm"].Replicas != 0 {
		t.Errorf("stopped: %v %v", m, d.host.servers)
	}
	d.ok("PUT", "/models/mistral-vllm", `{"autoScalingInstanceConfig":{"minCapacity":2,"maxCapacity":4,"desiredCapacity":3}}`)
	if m := d.model("mistral-vllm"); m["status"] != "Stopped" {
		t.Errorf("a change while stopped: %v", m)
	}
	d.ok("PUT", "/models/mistral-vllm", `{"enabled":true}`)
	d.settle()
	if m := d.model("mistral-vllm"); m["status"] != "InService" || m["readyServers"] != 3.0 {
		t.Errorf("started with what was saved: %v", m)
	}
	gone := d.ok("DELETE", "/models/mistral-vllm", "")
	if gone.body["status"] != "success" || gone.body["message"] != "Model mistral-vllm has been deleted successfully." {
		t.Errorf("delete: %s", gone.text)
	}
	if m := d.model("mistral-vllm"); m["status"] != "Deleting" {
		t.Errorf("after the delete: %v", m)
	}
	var way []string
	for _, e := range d.ok("GET", "/models/mistral-vllm/events", "").body["events"].([]any) {
		way = append(way, fmt.Sprint(e.(map[string]any)["from"], ">", e.(map[string]any)["to"]))
	}
	want := []string{"InService>Deleting", "Starting>InService", "Stopped>Starting", "Stopping>Stopped", "InService>Stopping", "Creating>InService", "<nil>>Creating"}
	if diff := cmp.Diff(want, way); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	d.ok("DELETE", "/models/mistral-vllm", "") // once more is no error, and starts nothing new
	d.settle()
	d.refused(d.do("GET", "/models/mistral-vllm", ""), 404, "ModelNotFoundError", "The requested model with ID mistral-vllm could not be found.")
	if len(d.host.servers) != 0 {
		t.Errorf("left on the host: %v", d.host.servers)
	}
}

func TestExternal(t *testing.T) {
	d := newDoor(t)
	d.ok("POST", "/models", external)
	d.settle()
	list := d.ok("GET", "/models", "").body["models"].([]any)
	if len(list) != 1 {
		t.Fatal(list)
	}
	m := list[0].(map[string]any)
	for name, want := range map[string]any{"autoScalingConfig": nil, "containerConfig": nil, "loadBalancerConfig": nil, "instanceType": nil, "inferenceContainer": nil,
		"modelId": "titan-express-v1", "modelName": "bedrock/amazon.titan-text-express-v1", "modelType": "textgen", "modelUrl": nil, "status": "InService",
		"streaming": true, "modelDescription": nil, "features": nil, "allowedGroups": nil, "guardrailsConfig": nil, "contextWindow": nil, "hostingType": "third_party"} {
		if got, there := m[name]; !there || got != want {
			t.Errorf("%s is %v (there: %v), want %v", name, got, there, want)
		}
	}
	// W: this was a 200, and then the model was Failed.
	d.refused(d.do("PUT", "/models/titan-express-v1", `{"enabled":false}`), 400, "InvalidInputError", "not hosted in LISA infrastructure")
	d.settle()
	if m := d.model("titan-express-v1"); m["status"] != "InService" {
		t.Errorf("after the refused stop: %v", m)
	}
	d.refused(d.do("PUT", "/models/titan-express-v1", `{"autoScalingInstanceConfig":{"minCapacity":1}}`), 400, "InvalidInputError",
		"Cannot update AutoScaling Config for model not hosted in LISA infrastructure.")
	d.refused(d.do("PUT", "/models/titan-express-v1", `{"containerConfig":{"sharedMemorySize":1}}`), 400, "InvalidInputError",
		"Cannot update Container Config for model not hosted in LISA infrastructure.")
	d.ok("DELETE", "/models/titan-express-v1", "")
	d.refused(d.do("GET", "/models/titan-express-v1", ""), 404, "ModelNotFoundError", "titan-express-v1")
}

func TestCreate_refused(t *testing.T) {
	d := newDoor(t)
	d.ok("POST", "/models", external)
	f := func(name, body string, status int, kind, sentence string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			d.t = t
			d.refused(d.do("POST", "/models", body), status, kind, sentence)
		})
		d.t = t
	}
	with := func(old, new string) string {
		t.Helper()
		text := hosted("m")
		if !strings.Contains(text, old) {
			t.Fatalf("the payload has no %s", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	const input, rule = "InvalidInputError", "ValidationError"
	f("no body", ``, 400, input, invalidInput)
	f("cut off", `{"modelId":`, 400, input, "not valid JSON")
	f("a list", `[]`, 400, input, "must be a JSON object")
	f("null", `null`, 400, input, "must be a JSON object")
	f("twice", `{"modelId":"a","modelId":"b"}`, 400, input, "duplicate")
	f("no id", `{"modelName":"a","modelType":"textgen"}`, 400, input, `"field":"modelId"`)
	f("null id", `{"modelId":null,"modelName":"a","modelType":"textgen"}`, 400, input, `"field":"modelId"`)
	f("exists", external, 400, "ModelAlreadyExistsError", alreadyExists)
	f("empty id", `{"modelId":"","modelName":"a","modelType":"textgen"}`, 422, rule, `"field":"modelId"`)
	f("unreachable id", `{"modelId":"a//b","modelName":"a","modelType":"textgen"}`, 422, rule, `"field":"modelId"`)
	f("dots", `{"modelId":"../b","modelName":"a","modelType":"textgen"}`, 422, rule, `"field":"modelId"`)
	f("long id", `{"modelId":"`+strings.Repeat("a", 151)+`","modelName":"a","modelType":"textgen"}`, 422, rule, `"field":"modelId"`)
	f("a number", `{"modelId":1,"modelName":"a","modelType":"textgen"}`, 422, rule, "Input should be a valid string")
	f("type", `{"modelId":"a","modelName":"a","modelType":"chat"}`, 422, rule, "'textgen', 'imagegen', 'videogen' or 'embedding'")
	f("embedding streams", `{"modelId":"a","modelName":"a","modelType":"embedding","streaming":true}`, 422, rule, embeddingStreams)
	f("internal without url", `{"modelId":"a","modelName":"a","modelType":"textgen","hostingType":"internal_hosted"}`, 422, rule, `"field":"modelUrl"`)
	f("internal elsewhere", `{"modelId":"a","modelName":"a","modelType":"textgen","hostingType":"internal_hosted","modelUrl":"http://elb.amazonaws.com.evil.org"}`,
		422, rule, ".elb.amazonaws.com")
	f("url", `{"modelId":"a","modelName":"a","modelType":"textgen","modelUrl":"file:///etc/passwd"}`, 422, rule, "valid URL")
	f("one of five", `{"modelId":"a","modelName":"a","modelType":"textgen","instanceType":"g5.xlarge"}`, 422, rule, allOrNone)
	f("said to be hosted", `{"modelId":"a","modelName":"a","modelType":"textgen","hostingType":"lisa_hosted"}`, 422, rule, allOrNone)
	f("instance type", with("g5.xlarge", "g5.gigantic"), 422, rule, "Invalid EC2 instance type.")
	f("instance family", with("g5.xlarge", "zz9.xlarge"), 422, rule, "Invalid EC2 instance type.")
	kube := func(fields string) string {
		return with(`"instanceType"`, `"host":"kube","kube":`+fields+`,"instanceType"`)
	}
	f("kube", kube(`1`), 422, rule, `"field":"kube"`)
	f("workload", kube(`{"workload":"job"}`), 422, rule, `"field":"kube.workload"`)
	f("size", kube(`{"size":2}`), 422, rule, "Only a leaderworkerset has a size.")
	f("quantity", kube(`{"memory":"lots"}`), 422, rule, "Input should be a quantity of Kubernetes")
	f("node selector", kube(`{"nodeSelector":{"pool":1}}`), 422, rule, `"field":"kube.nodeSelector.pool"`)
	f("toleration", kube(`{"tolerations":[{"effect":"Never"}]}`), 422, rule, `"field":"kube.tolerations.0.effect"`)
	f("tolerations", kube(`{"tolerations":["all"]}`), 422, rule, `"field":"kube.tolerations.0"`)
	f("container", with(`"vllm"`, `"magic"`), 422, rule, `"field":"inferenceContainer"`)
	f("min over max", with(`"minCapacity":1`, `"minCapacity":4`), 422, rule, minOverMax)
	f("zero", with(`"minCapacity":1`, `"minCapacity":0`), 422, rule, "greater than 0")
	f("huge", with(`"maxCapacity":3`, `"maxCapacity":1e30`), 422, rule, "less than or equal to")
	f("half", with(`"maxCapacity":3`, `"maxCapacity":1.5`), 422, rule, "valid integer")
	f("no max", with(`"maxCapacity":3,`, ``), 400, input, `"field":"autoScalingConfig.maxCapacity"`)
	f("desired over", with(`"maxCapacity":3`, `"maxCapacity":3,"desiredCapacity":4`), 422, rule, desiredOverMax)
	f("desired under", with(`"minCapacity":1`, `"minCapacity":2,"desiredCapacity":1`), 422, rule, desiredUnderMin)
	f("volume", with(`"minCapacity":1`, `"minCapacity":1,"blockDeviceVolumeSize":29`), 422, rule, "blockDeviceVolumeSize must be greater than or equal to 30.")
	f("warm-up", with(`"defaultInstanceWarmup":180`, `"defaultInstanceWarmup":3601`), 422, rule, "3600")
	f("empty variable", with(`"MAX_INPUT_LENGTH"`, `""`), 422, rule, emptyVariable)
	f("variable's type", with(`"1024"`, `1024`), 422, rule, `"field":"containerConfig.environment.MAX_INPUT_LENGTH"`)
	f("command", with(`["CMD-SHELL","exit 0"]`, `["exit 0"]`), 422, rule, "CMD or CMD-SHELL")
	f("blank command", with(`["CMD-SHELL","exit 0"]`, `["CMD"," "]`), 422, rule, "CMD or CMD-SHELL")
	f("blank line", with(`["CMD-SHELL","exit 0"]`, `"  "`), 422, rule, "must not be empty")
	f("path", with(`"/health"`, `""`), 422, rule, `"field":"loadBalancerConfig.healthCheckConfig.path"`)
	f("time zone", with(`"cooldown":420`, `"cooldown":420,"scheduling":{"scheduleType":"RECURRING","timezone":"Mars/Base","recurringSchedule":{"startTime":"8:00","stopTime":"18:00"}}`),
		422, rule, "Invalid timezone: Mars/Base")
	f("not configured", hosted("m", `,"host":"ecs"`), 422, rule, `"field":"host"`)
	f("guardrail", `{"modelId":"a","modelName":"a","modelType":"textgen","guardrailsConfig":{"g":{"guardrailName":"n"}}}`, 400, input, "guardrailIdentifier")
	if got := len(d.ok("GET", "/models", "").body["models"].([]any)); got != 1 {
		t.Errorf("%d models after refusals, want 1", got)
	}
	a := d.do("POST", "/models", `{"modelId":"`+strings.Repeat("a", 1<<20)+`"}`)
	d.refused(a, 413, "PayloadTooLargeError", "1048576")
}

func TestCreate_accepted(t *testing.T) {
	d := newDoor(t)
	d.ok("POST", "/models", hosted("by-line", `,"allowedGroups":[],"features":[{"name":"summarization","overview":"short"}],
		"guardrailsConfig":{"g":{"guardrailName":"n","guardrailIdentifier":"i"},"old":{"guardrailName":"n","guardrailIdentifier":"i","markedForDeletion":true}}`))
	m := d.model("by-line")
	if diff := cmp.Diff([]any{}, m["allowedGroups"]); diff != "" {
		t.Errorf("allowedGroups: %s", diff)
	}
	want := map[string]any{"g": map[string]any{"guardrailName": "n", "guardrailIdentifier": "i", "guardrailVersion": "DRAFT", "mode": "pre_call",
		"description": nil, "allowedGroups": []any{}}}
	if diff := cmp.Diff(want, m["guardrailsConfig"]); diff != "" {
		t.Errorf("guardrailsConfig (-want +got):\n%s", diff)
	}
	body := strings.Replace(hosted("defaults"), `"albMetricName":"RequestCountPerTarget","targetValue":30,`, "", 1)
	body = strings.Replace(body, `["CMD-SHELL","exit 0"]`, `"exit 0"`, 1)
	d.ok("POST", "/models", strings.Replace(body, "g5.xlarge", "g5.6xlarge", 1)) // in no list, but of a family there is
	metric := d.model("defaults")["autoScalingConfig"].(map[string]any)["metricConfig"].(map[string]any)
	if metric["albMetricName"] != "RequestCountPerTarget" || metric["targetValue"] != 30.0 {
		t.Errorf("defaults of metricConfig: %v", metric)
	}
	d.ok("POST", "/models", `{"modelId":"ours","modelName":"openai/x","modelType":"textgen","hostingType":"internal_hosted","modelUrl":"http://a.us-east-1.elb.amazonaws.com/v1"}`)
}

// TestKey holds that a model's key is never stored or shown as it is (W).
func TestKey(t *testing.T) {
	d := newDoor(t)
	const key = "sk-very-secret-key-of-a-provider"
	a := d.ok("POST", "/models", `{"modelId":"a","modelName":"openai/gpt","modelType":"textgen","apiKey":"`+key+`"}`)
	list := d.ok("GET", "/models", "")
	for _, text := range []string{a.text, list.text} {
		if strings.Contains(text, key) || strings.Contains(text, "apiKey") || strings.Contains(text, "sealed:") {
			t.Errorf("the key is shown: %s", text)
		}
	}
	files, err := filepath.Glob(d.file + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), key) {
			t.Errorf("%s holds the key", f)
		}
	}
	m, err := d.fleet.Model(t.Context(), "a")
	if err != nil || m.APIKey != fmt.Sprintf("sealed:%d", len(key)) {
		t.Errorf("stored: %q %v", m.APIKey, err)
	}
	// W: a stop and a start do not lose it.
	d.ok("POST", "/models", hosted("h", `,"apiKey":"`+key+`"`))
	d.settle()
	for _, body := range []string{`{"enabled":false}`, `{"enabled":true}`} {
		d.ok("PUT", "/models/h", body)
		d.settle()
	}
	if m, err := d.fleet.Model(t.Context(), "h"); err != nil || m.APIKey != fmt.Sprintf("sealed:%d", len(key)) {
		t.Errorf("after a stop and a start: %q %v", m.APIKey, err)
	}
}

// TestIDs walks ids that are hard to name in a path.
func TestIDs(t *testing.T) {
	d := newDoor(t)
	f := func(id, path string) {
		t.Helper()
		d.ok("POST", "/models/", `{"modelId":"`+id+`","modelName":"openai/x","modelType":"textgen"}`)
		d.settle()
		for _, p := range []string{"/models/" + path, "/models/" + path + "/", "/api/models/" + path} {
			if got := d.ok("GET", p, "").body["model"].(map[string]any)["modelId"]; got != id {
				t.Errorf("%s is %v, want %s", p, got, id)
			}
		}
		if got := d.ok("PUT", "/models/"+path+"/context-window/", `{"contextWindow":4096}`).body["model"].(map[string]any); got["contextWindow"] != 4096.0 || got["modelId"] != id {
			t.Errorf("context window of %s: %v", id, got)
		}
		d.ok("GET", "/models/"+path+"/schedule/status", "")
		d.ok("PUT", "/models/"+path, `{"modelDescription":"x"}`)
		d.ok("DELETE", "/models/"+path, "")
		d.refused(d.do("GET", "/models/"+path, ""), 404, "ModelNotFoundError", "The requested model with ID "+id+" could not be found.")
	}
	f("plain", "plain")
	f("mistralai/Mistral-7B", "mistralai/Mistral-7B")
	f("mistralai/Mistral-7B", "mistralai%2FMistral-7B")
	f("anthropic.claude-3:0", "anthropic.claude-3:0")
	f("anthropic.claude-3:0", "anthropic.claude-3%3A0")
	f("a b%c?d#e", "a%20b%25c%3Fd%23e")
	f("modèle", "mod%C3%A8le")
	f("a/schedule", "a%2Fschedule")
	f("metadata/instances", "metadata%2Finstances")
	f("schedule", "schedule")
}

func TestAccess(t *testing.T) {
	d := newDoor(t)
	d.ok("POST", "/models", `{"modelId":"all","modelName":"openai/x","modelType":"textgen"}`)
	d.ok("POST", "/models", `{"modelId":"tea-only","modelName":"openai/x","modelType":"textgen","allowedGroups":["tea-lovers"]}`)
	d.settle()
	for path, methods := range routes {
		path = strings.Replace(path, "{modelId}", "all", 1)
		for method, rt := range methods {
			a := d.as("", method, path, "")
			if rt.access != open {
				d.refused(a, 401, "AuthenticationError", "no such key")
			} else if a.status != 200 {
				t.Errorf("%s %s without a key: %d", method, path, a.status)
			}
			if rt.access == admins {
				d.refused(d.as("tea", method, path, "{"), 403, "AuthorizationError", "User does not have permission to "+rt.does+".")
			}
			for name, want := range map[string]string{"Strict-Transport-Security": "max-age=47304000; includeSubDomains", "X-Content-Type-Options": "nosniff",
				"X-Frame-Options": "DENY", "Cache-Control": "no-store, no-cache", "Pragma": "no-cache"} {
				if got := a.header.Get(name); got != want {
					t.Errorf("%s %s: %s is %q, want %q", method, path, name, got, want)
				}
			}
		}
	}
	for _, below := range []string{"", "/schedule", "/schedule/status"} {
		if a := d.as("tea", "GET", "/models/tea-only"+below, ""); a.status != 200 {
			t.Errorf("a member: %d %s", a.status, a.text)
		}
		d.refused(d.as("coffee", "GET", "/models/tea-only"+below, ""), 404, "ModelNotFoundError", "tea-only")
		if a := d.as("coffee", "GET", "/models/all"+below, ""); a.status != 200 {
			t.Errorf("a model for all: %d %s", a.status, a.text)
		}
	}
	a := d.do("PATCH", "/models/all", "{}")
	d.refused(a, 405, "MethodNotAllowedError", "PATCH")
	if got := a.header.Get("Allow"); got != "DELETE, GET, PUT" {
		t.Errorf("Allow: %q", got)
	}
	d.refused(d.do("GET", "/models/%FF%00", ""), 404, "ModelNotFoundError", "could not be found")
}

// TestTogether sends the same request many times at once: one wins, the others meet the state that it left (W).
func TestTogether(t *testing.T) {
	d := newDoor(t)
	together := func(method, path string, bodies ...string) (won int, rest []answered) {
		t.Helper()
		out := make([]answered, len(bodies))
		var all sync.WaitGroup
		for i, body := range bodies {
			all.Go(func() { out[i] = d.do(method, path, body) })
		}
		all.Wait()
		for _, a := range out {
			if a.status == http.StatusOK {
				won++
			} else {
				rest = append(rest, a)
			}
		}
		return won, rest
	}
	same := func(body string) []string { return []string{body, body, body, body, body, body} }
	won, rest := together("POST", "/models", same(hosted("m"))...)
	if won != 1 {
		t.Errorf("%d creates won", won)
	}
	for _, a := range rest {
		d.refused(a, 400, "ModelAlreadyExistsError", alreadyExists)
	}
	d.settle()
	for _, body := range []string{`{"autoScalingInstanceConfig":{"maxCapacity":9}}`, `{"enabled":false}`, `{"enabled":true}`} {
		won, rest := together("PUT", "/models/m", same(body)...)
		if won != 1 {
			t.Errorf("%s: %d won", body, won)
		}
		for _, a := range rest {
			d.refused(a, 400, "InvalidInputError", "Model cannot be updated when it is not in the 'InService' or 'Stopped' states")
		}
		d.settle()
	}
	won, rest = together("PUT", "/models/m", `{"enabled":false}`, `{"autoScalingInstanceConfig":{"maxCapacity":5}}`)
	if won != 1 {
		t.Errorf("a stop and a change of capacity at once: %d won, %v", won, rest)
	}
	d.settle()
	// Descriptions need no servers to change: none of them is lost.
	won, _ = together("PUT", "/models/m", `{"modelDescription":"d"}`, `{"allowedGroups":["g"]}`, `{"features":[{"name":"f"}]}`, `{"modelType":"imagegen"}`)
	if m := d.model("m"); won != 4 || m["modelDescription"] != "d" || m["modelType"] != "imagegen" || m["allowedGroups"] == nil || m["features"] == nil {
		t.Errorf("%d won: %v", won, m)
	}
}
