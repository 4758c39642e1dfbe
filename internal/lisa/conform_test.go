package lisa

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/usage"
)

// contract is openapi.json, ready to hold answers to it.
type contract struct {
	doc     map[string]any
	schemas *jsonschema.Compiler

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
}

const contractURL = "https://weir.test/openapi.json"

var readContract = sync.OnceValues(func() (*contract, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(openapiText))
	if err != nil {
		return nil, err
	}
	c := &contract{doc: doc.(map[string]any), schemas: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	c.schemas.DefaultDraft(jsonschema.Draft2020) // which OpenAPI 3.1's schemas are
	c.schemas.AssertFormat()
	return c, c.schemas.AddResource(contractURL, doc)
})

func theContract(t *testing.T) *contract {
	t.Helper()
	c, err := readContract()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// schema is the one at a JSON pointer of the document.
func (c *contract) schema(at string) (*jsonschema.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.compiled[at]
	if s == nil {
		var err error
		if s, err = c.schemas.Compile(contractURL + "#" + at); err != nil {
			return nil, err
		}
		c.compiled[at] = s
	}
	return s, nil
}

// get is what stands at a JSON pointer, references followed, and the pointer that leads there without any.
func (c *contract) get(at string) (any, string) {
	var v any = c.doc
	for part := range strings.SplitSeq(strings.TrimPrefix(at, "/"), "/") {
		m, _ := v.(map[string]any)
		v = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	if m, ok := v.(map[string]any); ok {
		if ref, ok := m["$ref"].(string); ok {
			return c.get(strings.TrimPrefix(ref, "#"))
		}
	}
	return v, at
}

// template is the described path that a request's path is an instance of; the most specific one.
func (c *contract) template(path string) string {
	best := ""
	for t := range c.doc["paths"].(map[string]any) {
		pattern := regexp.MustCompile(`\\\{[a-zA-Z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(t), ".+")
		if regexp.MustCompile("^"+pattern+"/?$").MatchString(path) && len(literal(t)) > len(literal(best)) {
			best = t
		}
	}
	return best
}

func literal(template string) string {
	return regexp.MustCompile(`\{[a-zA-Z]+\}`).ReplaceAllString(template, "")
}

// check says what an answer is that the document does not describe; nil: it does.
func (c *contract) check(method, path string, got answered) error {
	path, _, _ = strings.Cut(strings.TrimPrefix(path, "/api"), "?")
	if method == http.MethodHead || got.status == http.StatusMethodNotAllowed {
		return nil
	}
	t := c.template(path)
	if t == "" {
		if got.status == http.StatusNotFound {
			return nil
		}
		return fmt.Errorf("no described path fits %s", path)
	}
	at := fmt.Sprintf("/paths/%s/%s/responses/%d", strings.ReplaceAll(t, "/", "~1"), strings.ToLower(method), got.status)
	said, at := c.get(at)
	if said == nil {
		return fmt.Errorf("%s is not described", at)
	}
	kind, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
	at += "/content/" + strings.ReplaceAll(kind, "/", "~1")
	if said, _ = c.get(at); said == nil {
		return fmt.Errorf("%s is not described", at)
	}
	s, err := c.schema(at + "/schema")
	if err != nil {
		return err
	}
	var body any = got.text
	if kind == "application/json" {
		if body, err = jsonschema.UnmarshalJSON(strings.NewReader(got.text)); err != nil {
			return err
		}
	}
	return s.Validate(body)
}

// TestContract holds that the document is one of OpenAPI 3.1: what an operation must have, parameters that stand in the path, references
// that lead somewhere, schemas that are such.
func TestContract(t *testing.T) {
	c := theContract(t)
	ids := map[string]bool{}
	for path, item := range c.doc["paths"].(map[string]any) {
		shared, _ := item.(map[string]any)["parameters"].([]any)
		for method, op := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			op := op.(map[string]any)
			id, _ := op["operationId"].(string)
			if id == "" || ids[id] {
				t.Errorf("%s %s: operationId %q", method, path, id)
			}
			ids[id] = true
			if op["summary"] == nil {
				t.Errorf("%s: no summary", id)
			}
			own, _ := op["parameters"].([]any)
			c.checkParameters(t, id, path, append(own[:len(own):len(own)], shared...))
			at := "/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + method
			if op["requestBody"] != nil {
				c.checkContent(t, at+"/requestBody")
			}
			responses, _ := op["responses"].(map[string]any)
			if responses["200"] == nil {
				t.Errorf("%s: no 200", id)
			}
			for status := range responses {
				if !regexp.MustCompile(`^[1-5]\d\d$`).MatchString(status) {
					t.Errorf("%s: status %q", id, status)
				}
				said, there := c.get(at + "/responses/" + status)
				if m, _ := said.(map[string]any); m["description"] == nil {
					t.Errorf("%s: %s has no description", id, status)
				}
				c.checkContent(t, there)
			}
		}
	}
	for name := range c.doc["components"].(map[string]any)["schemas"].(map[string]any) {
		if _, err := c.schema("/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// checkContent holds that a body has schemas, and that they are some.
func (c *contract) checkContent(t *testing.T, at string) {
	t.Helper()
	v, at := c.get(at)
	content, _ := v.(map[string]any)["content"].(map[string]any)
	if len(content) == 0 {
		t.Errorf("%s: no content", at)
	}
	for kind := range content {
		pointer := at + "/content/" + strings.ReplaceAll(kind, "/", "~1") + "/schema"
		if s, _ := c.get(pointer); s == nil {
			t.Errorf("%s: no schema", pointer)
		} else if _, err := c.schema(pointer); err != nil {
			t.Errorf("%s: %v", pointer, err)
		}
	}
}

func (c *contract) checkParameters(t *testing.T, id, path string, list []any) {
	t.Helper()
	in := map[string]bool{}
	for _, p := range list {
		m := p.(map[string]any)
		if ref, ok := m["$ref"].(string); ok {
			v, _ := c.get(strings.TrimPrefix(ref, "#"))
			if m, ok = v.(map[string]any); !ok {
				t.Errorf("%s: nothing at %s", id, ref)
				continue
			}
		}
		name, where := fmt.Sprint(m["name"]), fmt.Sprint(m["in"])
		if in[where+" "+name] || where != "path" && where != "query" || m["schema"] == nil {
			t.Errorf("%s: parameter %v", id, m)
		}
		in[where+" "+name] = true
		if where == "path" && (m["required"] != true || !strings.Contains(path, "{"+name+"}")) {
			t.Errorf("%s: parameter %v is not in the path", id, m)
		}
	}
	for _, name := range regexp.MustCompile(`\{([a-zA-Z]+)\}`).FindAllStringSubmatch(path, -1) {
		if !in["path "+name[1]] {
			t.Errorf("%s: %s is no parameter", id, name[0])
		}
	}
}

// TestMetrics_described asks for users' metrics in every way; door.as holds each answer to the document.
func TestMetrics_described(t *testing.T) {
	d := newDoor(t)
	records := []usage.Record{
		{ID: "1", User: "tea", Model: "m", Session: "a", Start: d.now.UnixMilli(), Status: 200, Prompts: 1, Groups: []string{"red"}, Usage: llm.Usage{Input: 3, Output: 4}, Cost: 5,
			Tools: []llm.ToolUse{{Name: "mail", Calls: 1}}},
		{ID: "2", User: "tea", Model: "m", Session: "b", Start: d.now.UnixMilli(), Status: 200, Prompts: 1, Retrieved: true},
		{ID: "3", User: "all", Model: "n", Start: d.now.UnixMilli(), Status: 200, Prompts: 1},
	}
	if _, err := d.store.SaveRecords(t.Context(), "j", usage.Position{}, records); err != nil {
		t.Fatal(err)
	}
	f := func(who, path string, status int, has string) {
		t.Helper()
		if got := d.as(who, "GET", path, ""); got.status != status || !strings.Contains(got.text, has) {
			t.Errorf("%s as %s: %d %s", path, who, got.status, got.text)
		}
	}
	f("tea", "/metrics/users/tea", 200, `"totalPrompts":2.0`)
	f("tea", "/api/metrics/users/tea?limit=1", 200, `"nextCursor":"`)
	f("tea", "/metrics/users/tea?format=csv", 200, "tea,a,1,")
	f("tea", "/metrics/users?userId=tea&from=2026-03-02&to=2026-03-02", 200, `"cost":5e-9`)
	f("tea", "/metrics/users/coffee", 403, "AuthorizationError")
	f("", "/metrics/users/tea", 401, "AuthenticationError")
	f("admin", "/metrics/users/all", 200, `"totalUniqueUsers":2`)
	f("admin", "/metrics/users/all?to=2026-03-01", 200, `"ragUsagePercentage":0,`)
	f("admin", "/metrics/users/all?format=csv", 200, "tea,red,2,1,1,")
	f("admin", "/metrics/users?userId=all", 200, `"all":{`)
	f("admin", "/metrics/users/nobody", 404, "UserNotFoundError")
	f("admin", "/metrics/users", 400, "Missing userId")
	f("admin", "/metrics/users/tea?limit=x", 400, `"details":[`)
}
