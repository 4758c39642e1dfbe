package lisa

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/fleet"
)

// TestOpenAPI holds the document to the routes and to the fields of the answers, and its references to what is there.
func TestOpenAPI(t *testing.T) {
	d := newDoor(t)
	got := d.as("", "GET", "/api/openapi.json", "")
	if got.status != 200 || got.body["openapi"] != "3.1.0" {
		t.Fatalf("%d %s", got.status, got.text)
	}
	if v := got.body["info"].(map[string]any)["version"]; v != "1.2.3" {
		t.Errorf("version %v", v)
	}
	if diff := cmp.Diff([]any{map[string]any{"url": "/api"}}, got.body["servers"]); diff != "" {
		t.Errorf("servers: %s", diff)
	}
	paths := got.body["paths"].(map[string]any)
	ids := map[any]bool{}
	for path, methods := range routes {
		there, _ := paths[path].(map[string]any)
		for method, rt := range methods {
			op, ok := there[strings.ToLower(method)].(map[string]any)
			if !ok {
				t.Errorf("%s %s is not described", method, path)
				continue
			}
			if ids[op["operationId"]] || op["operationId"] == nil {
				t.Errorf("%s %s: operationId %v", method, path, op["operationId"])
			}
			ids[op["operationId"]] = true
			if _, none := op["security"]; none != (rt.access == open) {
				t.Errorf("%s %s: security does not say who may call it", method, path)
			}
		}
	}
	described := 0
	for _, item := range paths {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				described++
			}
		}
	}
	for path := range metricsRoutes {
		there, _ := paths[strings.Replace(path, "...}", "}", 1)].(map[string]any)
		op, ok := there["get"].(map[string]any)
		if !ok {
			t.Errorf("GET %s is not described", path)
			continue
		}
		ids[op["operationId"]] = true
	}
	if described != len(ids) {
		t.Errorf("%d operations are described, %d are there", described, len(ids))
	}
	for _, ref := range regexp.MustCompile(`"\$ref":"#/([^"]+)"`).FindAllStringSubmatch(got.text, -1) {
		var at any = got.body
		for part := range strings.SplitSeq(ref[1], "/") {
			m, _ := at.(map[string]any)
			at = m[part]
		}
		if at == nil {
			t.Errorf("nothing at %s", ref[1])
		}
	}
	schemas := got.body["components"].(map[string]any)["schemas"].(map[string]any)
	f := func(name string, of reflect.Type, extra ...string) {
		t.Helper()
		fields := append(tags(of), extra...)
		var said []string
		for field := range schemas[name].(map[string]any)["properties"].(map[string]any) {
			said = append(said, field)
		}
		slices.Sort(fields)
		slices.Sort(said)
		if diff := cmp.Diff(fields, said); diff != "" {
			t.Errorf("%s (-Go +document):\n%s", name, diff)
		}
	}
	f("Model", reflect.TypeFor[Model]())
	f("AutoScalingConfig", reflect.TypeFor[fleet.AutoScaling]())
	f("ContainerConfig", reflect.TypeFor[fleet.ContainerConfig]())
	f("Kube", reflect.TypeFor[fleet.Kube]())
	f("MetricConfig", reflect.TypeFor[fleet.Metric]())
	f("LoadBalancerConfig", reflect.TypeFor[fleet.LoadBalancer]())
	f("Guardrail", reflect.TypeFor[fleet.Guardrail](), "markedForDeletion")
	f("Schedule", reflect.TypeFor[fleet.Schedule]())
	f("ScheduleStatus", reflect.TypeFor[scheduleStatus]())
	f("Event", reflect.TypeFor[event]())
	f("ScheduledAction", reflect.TypeFor[action]())
	f("ScheduleChanged", reflect.TypeFor[changed]())
	f("Used", reflect.TypeFor[used]())
	f("UserMetrics", reflect.TypeFor[userBody]())
	f("SessionMetrics", reflect.TypeFor[sessionBody]())
	f("AllMetrics", reflect.TypeFor[allBody]())
	for _, field := range updatable {
		if _, ok := schemas["UpdateModel"].(map[string]any)["properties"].(map[string]any)[field]; !ok {
			t.Errorf("UpdateModel lacks %s", field)
		}
	}
}

// tags are the names of a type's fields in JSON.
func tags(of reflect.Type) []string {
	var out []string
	for i := range of.NumField() {
		field := of.Field(i)
		if field.Anonymous {
			out = append(out, tags(field.Type)...)
			continue
		}
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		out = append(out, tag)
	}
	return out
}

func TestDocs(t *testing.T) {
	d := newDoor(t)
	got := d.as("", "GET", "/docs", "")
	if got.status != 200 || got.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s", got.status, got.header)
	}
	for _, want := range []string{"POST", "/models/{modelId}/schedule/status", "ValidationError", "CreateModel", "/metrics/users/{userId}", "nextCursor of the page before"} {
		if !strings.Contains(got.text, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if regexp.MustCompile(`(?i)<script|src=|@import|https?://`).MatchString(got.text) {
		t.Error("the page asks for something else")
	}
}

func TestInstances(t *testing.T) {
	d := newDoor(t)
	var names []string
	if err := json.Unmarshal([]byte(d.as("tea", "GET", "/models/metadata/instances/", "").text), &names); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(names) || len(names) < 500 || !slices.Contains(names, "g5.xlarge") || !slices.Contains(names, "p5.48xlarge") {
		t.Errorf("%d names", len(names))
	}
	in := readInstances()
	for _, name := range names {
		if !in.valid(name) {
			t.Errorf("%s is refused", name)
		}
	}
	for _, name := range []string{"", ".", "g5", "g5.", ".xlarge", "g5.XLARGE", "g5.xlarge ", "gg5.xlarge", "g5.xlarge.x", "g5.1000000xlarge"} {
		if in.valid(name) {
			t.Errorf("%q is taken", name)
		}
	}
}

// FuzzDefinition feeds any bytes to the readers of bodies: they answer with an error of theirs or with something that keeps the rules.
func FuzzDefinition(f *testing.F) {
	f.Add([]byte(hosted("m", `,"guardrailsConfig":{"g":{}}`)))
	f.Add([]byte(external))
	f.Add([]byte(`{"autoScalingInstanceConfig":{"minCapacity":2,"maxCapacity":4,"desiredCapacity":3},"containerConfig":{"healthCheckCommand":["CMD","x"]}}`))
	f.Add([]byte(`{"scheduleType":"DAILY","timezone":"Europe/Berlin","dailySchedule":{"monday":{"startTime":"8:00","stopTime":"18:00"}}}`))
	a := New(Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		read := func() object {
			o, err := parse(body)
			if err != nil {
				if p := problemOf(err); p.status != 400 {
					t.Fatalf("%v", err)
				}
				o.members = nil
			}
			return o
		}
		if d, _, err := a.definition(read()); err == nil {
			if d.ModelID == "" || d.Streaming && d.Type == "embedding" || d.AutoScaling != nil && d.AutoScaling.MinCapacity > d.AutoScaling.MaxCapacity {
				t.Errorf("taken: %s", body)
			}
		} else if s := problemOf(err).status; s != 400 && s != 422 {
			t.Errorf("%d: %v", s, err)
		}
		if u, err := readUpdate(read()); err == nil && u.Scaling != nil && u.Scaling.Min != nil && *u.Scaling.Min <= 0 {
			t.Errorf("taken: %s", body)
		}
		o := read()
		s := o.readSchedule()
		if o.err() == nil {
			if _, err := s.Validate(); err != nil {
				t.Errorf("taken: %s: %v", body, err)
			}
		}
	})
}
