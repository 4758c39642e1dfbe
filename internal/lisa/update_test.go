package lisa

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/fleet"
)

// TestUpdate_refused walks the rules of an update in the contract's order (lisa.md A.2.4).
func TestUpdate_refused(t *testing.T) {
	d := newDoor(t)
	d.ok("POST", "/models", hosted("up"))
	d.ok("POST", "/models", hosted("down"))
	d.settle()
	d.ok("PUT", "/models/down", `{"enabled":false}`)
	d.settle()
	d.ok("POST", "/models", hosted("new"))
	const input, rule = "InvalidInputError", "ValidationError"
	f := func(id, body string, status int, kind, sentence string) {
		t.Helper()
		d.refused(d.do("PUT", "/models/"+id, body), status, kind, sentence)
	}
	f("up", ``, 400, input, invalidInput)
	f("up", `{`, 400, input, invalidInput)
	f("up", `{}`, 422, rule, nothingSet)
	f("up", `{"unknown":1}`, 422, rule, nothingSet)
	f("up", `{"enabled":null}`, 422, rule, nothingSet)
	f("up", `{"enabled":"yes"}`, 422, rule, "valid boolean")
	f("up", `{"modelType":"embedding","streaming":true}`, 422, rule, embeddingStreams)
	f("up", `{"enabled":false,"autoScalingInstanceConfig":null}`, 422, rule, "The autoScalingInstanceConfig must not be null if defined in request payload.")
	f("up", `{"containerConfig":null}`, 422, rule, "The containerConfig must not be null if defined in request payload.")
	f("up", `{"autoScalingInstanceConfig":{}}`, 422, rule, "At least one option of autoScalingInstanceConfig must be defined.")
	f("up", `{"containerConfig":{}}`, 422, rule, "At least one option of containerConfig must be defined.")
	for _, name := range []string{"minCapacity", "maxCapacity", "desiredCapacity", "cooldown", "defaultInstanceWarmup"} {
		f("up", `{"autoScalingInstanceConfig":{"`+name+`":0}}`, 422, rule, "greater than 0")
		f("up", `{"autoScalingInstanceConfig":{"`+name+`":-1}}`, 422, rule, `"field":"autoScalingInstanceConfig.`+name)
	}
	f("up", `{"autoScalingInstanceConfig":{"defaultInstanceWarmup":3601}}`, 422, rule, "3600")
	f("up", `{"autoScalingInstanceConfig":{"maxCapacity":2,"desiredCapacity":3}}`, 422, rule, desiredOverMax)
	f("up", `{"autoScalingInstanceConfig":{"minCapacity":2,"desiredCapacity":1}}`, 422, rule, desiredUnderMin)
	f("up", `{"autoScalingInstanceConfig":{"minCapacity":5,"maxCapacity":4}}`, 422, rule, minOverMax) // W: it was not looked at
	f("up", `{"containerConfig":{"environment":{"":"x"}}}`, 422, rule, emptyVariable)
	f("up", `{"containerConfig":{"healthCheckCommand":["exit 0"]}}`, 422, rule, "CMD or CMD-SHELL")
	f("none", `{"enabled":false}`, 404, "ModelNotFoundError", "The requested model with ID none could not be found.")
	f("none", `{}`, 422, rule, nothingSet) // the body is looked at first
	f("new", `{"streaming":true}`, 400, input, "Model cannot be updated when it is not in the 'InService' or 'Stopped' states")
	f("up", `{"enabled":false,"autoScalingInstanceConfig":{"minCapacity":1}}`, 400, input,
		"Start or Stop operations and AutoScaling changes must happen in separate requests.")
	f("up", `{"enabled":true}`, 400, input, "Model cannot be enabled when it is not in the 'Stopped' state.")
	f("down", `{"enabled":false}`, 400, input, "Model cannot be stopped when it is not in the 'InService' state.")
	// Against what is stored, running or not: W: while stopped, everything was compared with 0.
	for _, id := range []string{"up", "down"} {
		f(id, `{"autoScalingInstanceConfig":{"desiredCapacity":4}}`, 400, input, "Desired capacity cannot exceed ASG max of 3.")
		f(id, `{"autoScalingInstanceConfig":{"minCapacity":4}}`, 400, input, "Min capacity cannot exceed ASG max of 3.")
	}
	d.ok("PUT", "/models/down", `{"autoScalingInstanceConfig":{"minCapacity":2}}`)
	f("down", `{"autoScalingInstanceConfig":{"desiredCapacity":1}}`, 400, input, "Desired capacity cannot be less than ASG min of 2.")
	f("down", `{"autoScalingInstanceConfig":{"maxCapacity":1}}`, 400, input, "Max capacity cannot be less than ASG min of 2.")
	if m := d.model("up"); m["status"] != "InService" {
		t.Errorf("after all refusals: %v", m)
	}
}

// TestUpdate_embedding holds that what counts is the model as it will be (W).
func TestUpdate_embedding(t *testing.T) {
	d := newDoor(t)
	d.ok("POST", "/models", external)
	d.settle()
	d.ok("PUT", "/models/titan-express-v1", `{"modelType":"embedding"}`)
	if m := d.model("titan-express-v1"); m["streaming"] != false || m["modelType"] != "embedding" {
		t.Errorf("a streaming model made an embedding model: %v", m)
	}
	d.refused(d.do("PUT", "/models/titan-express-v1", `{"streaming":true}`), 422, "ValidationError", embeddingStreams)
	d.ok("PUT", "/models/titan-express-v1", `{"streaming":true,"modelType":"textgen"}`)
	if m := d.model("titan-express-v1"); m["streaming"] != true || m["modelType"] != "textgen" || m["status"] != "InService" {
		t.Errorf("and back: %v", m)
	}
}

func TestUpdate_container(t *testing.T) {
	d := newDoor(t)
	d.ok("POST", "/models", hosted("m"))
	d.settle()
	d.ok("PUT", "/models/m", `{"streaming":false,"containerConfig":{"environment":{"MAX_INPUT_LENGTH":"LISA_MARKED_FOR_DELETION","NEW":"1"},"sharedMemorySize":64,
		"healthCheckCommand":"true","healthCheckInterval":1,"healthCheckTimeout":2,"healthCheckStartPeriod":3,"healthCheckRetries":4}}`)
	if m := d.model("m"); m["status"] != "Updating" {
		t.Errorf("while the servers change: %v", m["status"])
	}
	d.settle()
	m := d.model("m")
	want := map[string]any{"image": map[string]any{"baseImage": "vllm/vllm-openai:v0.5.0", "type": "asset"}, "sharedMemorySize": 64.0,
		"environment":       map[string]any{"MAX_CONCURRENT_REQUESTS": "128", "MAX_TOTAL_TOKENS": "2048", "NEW": "1"},
		"healthCheckConfig": map[string]any{"command": "true", "interval": 1.0, "timeout": 2.0, "startPeriod": 3.0, "retries": 4.0}}
	if diff := cmp.Diff(want, m["containerConfig"]); diff != "" || m["status"] != "InService" || m["streaming"] != false {
		t.Errorf("%v (-want +got):\n%s", m["status"], diff)
	}
	// W: a change while stopped is stored, and what starts is the changed container.
	d.ok("PUT", "/models/m", `{"enabled":false}`)
	d.settle()
	d.ok("PUT", "/models/m", `{"containerConfig":{"environment":{"NEW":"2"}}}`)
	d.ok("PUT", "/models/m", `{"enabled":true}`)
	d.settle()
	if got := d.host.servers["m"]; got.ContainerConfig.Environment["NEW"] != "2" || got.Generation != 3 {
		t.Errorf("started: generation %d, %v", got.Generation, got.ContainerConfig.Environment)
	}
	// W: a change that the host cannot bring about says so.
	d.host.failure = "no such image"
	d.ok("PUT", "/models/m", `{"containerConfig":{"sharedMemorySize":1}}`)
	d.settle()
	if m := d.model("m"); m["status"] != "Failed" || m["reason"] != "no such image" {
		t.Errorf("a failed change: %v, %v", m["status"], m["reason"])
	}
	d.refused(d.do("PUT", "/models/m", `{"enabled":true}`), 400, "InvalidInputError", "Model cannot be updated when it is not in the 'InService' or 'Stopped' states")
	d.ok("DELETE", "/models/m", "")
}

// TestUpdate_desired holds that a wish for a number of servers is not lost while the model is stopped (W), and is raised to the least.
func TestUpdate_desired(t *testing.T) {
	d := newDoor(t)
	d.ok("POST", "/models", hosted("m"))
	d.settle()
	d.ok("PUT", "/models/m", `{"autoScalingInstanceConfig":{"minCapacity":2,"maxCapacity":4}}`)
	d.settle()
	if m := d.model("m"); m["readyServers"] != 2.0 {
		t.Errorf("raised to the least: %v", m["readyServers"])
	}
	d.ok("PUT", "/models/m", `{"enabled":false}`)
	d.settle()
	d.ok("PUT", "/models/m", `{"autoScalingInstanceConfig":{"desiredCapacity":3}}`)
	d.ok("PUT", "/models/m", `{"enabled":true}`)
	d.settle()
	if m := d.model("m"); m["readyServers"] != 3.0 {
		t.Errorf("started with %v servers, want 3", m["readyServers"])
	}
}

func TestUpdate_description(t *testing.T) {
	d := newDoor(t)
	d.ok("POST", "/models", external)
	d.settle()
	d.ok("PUT", "/models/titan-express-v1", `{"modelDescription":"d","allowedGroups":["g"],"features":[{"name":"f","overview":"o"}],
		"guardrailsConfig":{"a":{"guardrailName":"a","guardrailIdentifier":"i"},"b":{"guardrailName":"b","guardrailIdentifier":"i","mode":"post_call"}}}`)
	d.ok("PUT", "/models/titan-express-v1", `{"guardrailsConfig":{"b":{"guardrailName":"b2","guardrailIdentifier":"i"}}}`)
	d.ok("PUT", "/models/titan-express-v1/context-window", `{"contextWindow":8192}`)
	m, err := d.fleet.Model(t.Context(), "titan-express-v1")
	if err != nil {
		t.Fatal(err)
	}
	type part struct {
		Groups     []string
		Features   []fleet.Feature
		Guardrails map[string]fleet.Guardrail
		Window     *int64
	}
	window := int64(8192)
	want := part{[]string{"g"}, []fleet.Feature{{Name: "f", Overview: "o"}},
		map[string]fleet.Guardrail{"b": {Name: "b2", Identifier: "i", Version: "DRAFT", Mode: "pre_call", Groups: []string{}}}, &window}
	if diff := cmp.Diff(want, part{m.Groups, m.Features, m.Guardrails, m.ContextWindow}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	d.refused(d.do("PUT", "/models/titan-express-v1/context-window", `{"contextWindow":0}`), 422, "ValidationError", "greater than 0")
	d.refused(d.do("PUT", "/models/titan-express-v1/context-window", `{}`), 400, "InvalidInputError", `"field":"contextWindow"`)
	d.refused(d.do("PUT", "/models/none/context-window", `{"contextWindow":1}`), 404, "ModelNotFoundError", "none")
	d.refused(d.do("GET", "/models/titan-express-v1/logs?lines=x", ""), 422, "ValidationError", `"field":"lines"`)
	if got := d.ok("GET", "/models/titan-express-v1/logs", "").text; got != `{"modelId":"titan-express-v1","lines":[]}` {
		t.Errorf("logs of an external model: %s", got)
	}
	d.ok("POST", "/models", hosted("h"))
	if got := d.ok("GET", "/models/h/logs?lines=7", "").text; got != `{"modelId":"h","lines":["one of h","7"]}` {
		t.Errorf("logs: %s", got)
	}
}

func TestSchedule(t *testing.T) {
	d := newDoor(t)
	d.ok("POST", "/models", external)
	d.ok("POST", "/models", hosted("m"))
	d.settle()
	const day = `{"scheduleType":"RECURRING","timezone":"Europe/Berlin","recurringSchedule":{"startTime":"8:00","stopTime":"18:00"}}`
	status := func() map[string]any { t.Helper(); return d.ok("GET", "/models/m/schedule/status", "").body }
	if diff := cmp.Diff(map[string]any{"modelId": "m", "scheduleEnabled": false, "scheduleConfigured": false, "lastScheduleFailed": false, "scheduleStatus": "DISABLED",
		"scheduleType": nil, "timezone": "UTC", "nextScheduledAction": nil, "lastScheduleUpdate": nil, "lastScheduleFailure": nil}, status()); diff != "" {
		t.Errorf("without a schedule (-want +got):\n%s", diff)
	}
	if got := d.ok("POST", "/models/m/schedule", day).text; got != `{"message":"Schedule updated successfully","modelId":"m","scheduleEnabled":true}` {
		t.Errorf("set: %s", got)
	}
	next := map[string]any{"action": "STOP", "scheduledTime": "2026-03-02T17:00:00Z"}
	if diff := cmp.Diff(map[string]any{"modelId": "m", "scheduleEnabled": true, "scheduleConfigured": true, "lastScheduleFailed": false, "scheduleStatus": "ACTIVE",
		"scheduleType": "RECURRING", "timezone": "Europe/Berlin", "nextScheduledAction": next, "lastScheduleUpdate": "2026-03-02T12:00:00.000Z", "lastScheduleFailure": nil},
		status()); diff != "" {
		t.Errorf("with a schedule (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"modelId": "m", "nextScheduledAction": next, "scheduling": map[string]any{"scheduleType": "RECURRING", "timezone": "Europe/Berlin",
		"recurringSchedule": map[string]any{"startTime": "8:00", "stopTime": "18:00"}}}, d.ok("GET", "/models/m/schedule", "").body); diff != "" {
		t.Errorf("the schedule (-want +got):\n%s", diff)
	}
	f := func(method, id, body string, status int, kind, sentence string) {
		t.Helper()
		d.refused(d.do(method, "/models/"+id+"/schedule", body), status, kind, sentence)
	}
	f("PUT", "m", `{}`, 400, "InvalidInputError", `"field":"scheduleType"`)
	f("PUT", "m", `{"scheduleType":"HOURLY"}`, 422, "ValidationError", "'DAILY' or 'RECURRING'")
	f("PUT", "m", `{"scheduleType":"RECURRING"}`, 422, "ValidationError", "recurringSchedule")
	f("PUT", "m", `{"scheduleType":"RECURRING","recurringSchedule":{"startTime":"8:00"}}`, 400, "InvalidInputError", "stopTime")
	f("PUT", "m", `{"scheduleType":"RECURRING","recurringSchedule":{"startTime":"8:00","stopTime":"9:59"}}`, 422, "ValidationError",
		"Stop time must be at least 2 hours after start time")
	f("PUT", "m", `{"scheduleType":"RECURRING","recurringSchedule":{"startTime":"8:00","stopTime":"24:00"}}`, 422, "ValidationError", "HH:MM")
	f("PUT", "m", `{"scheduleType":"DAILY","dailySchedule":{"monday":null}}`, 422, "ValidationError", "At least one day")
	f("PUT", "m", `{"scheduleType":"DAILY","dailySchedule":{"noday":{"startTime":"8:00","stopTime":"18:00"}}}`, 422, "ValidationError", "noday")
	f("PUT", "none", day, 404, "ModelNotFoundError", "none")
	f("DELETE", "none", "", 404, "ModelNotFoundError", "none")
	f("PUT", "titan-express-v1", day, 400, "InvalidInputError", "not hosted in LISA infrastructure")
	if got := d.ok("DELETE", "/models/m/schedule", "").text; got != `{"message":"Schedule deleted successfully","modelId":"m","scheduleEnabled":false}` {
		t.Errorf("deleted: %s", got)
	}
	if s := status(); s["scheduleStatus"] != "DISABLED" || s["nextScheduledAction"] != nil {
		t.Errorf("after the schedule went: %v", s)
	}
	d.ok("PUT", "/models/m", `{"enabled":false}`)
	f("PUT", "m", day, 400, "InvalidInputError", "'InService' or 'Stopped'")
}

// TestSchedule_create holds that a model made outside its window is there and runs nothing, until the window comes.
func TestSchedule_create(t *testing.T) {
	d := newDoor(t)
	scheduled := `"cooldown":420,"scheduling":{"scheduleType":"DAILY","dailySchedule":{"monday":{"startTime":"22:00","stopTime":"06:00"},"sunday":null}}`
	d.ok("POST", "/models", strings.Replace(hosted("m"), `"cooldown":420`, scheduled, 1))
	if m := d.model("m"); m["status"] != "Stopped" || m["readyServers"] != 0.0 {
		t.Errorf("outside the window: %v", m)
	}
	next := d.ok("GET", "/models/m/schedule", "").body["nextScheduledAction"]
	if diff := cmp.Diff(map[string]any{"action": "START", "scheduledTime": "2026-03-02T22:00:00Z"}, next); diff != "" {
		t.Errorf("next (-want +got):\n%s", diff)
	}
}
