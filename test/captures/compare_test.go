package captures

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// exactHeaders must be equal, numberHeaders equal as numbers, presentHeaders just there: those that clients and dashboards read.
var (
	exactHeaders = []string{"x-litellm-model-id", "x-litellm-model-group", "x-litellm-model-api-base", "retry-after", "location", "allow",
		"access-control-allow-origin", "access-control-allow-headers", "access-control-max-age"}
	numberHeaders  = []string{"x-litellm-response-cost", "x-litellm-key-spend", "x-litellm-attempted-retries", "x-litellm-attempted-fallbacks"}
	presentHeaders = []string{"x-litellm-version", "x-litellm-response-duration-ms", "x-litellm-overhead-duration-ms"}
	// ownedHeaders are those of the upstream's that say how the bytes travelled, or that LiteLLM made up from another.
	ownedHeaders = map[string]bool{"llm_provider-date": true, "llm_provider-server": true, "llm_provider-content-length": true,
		"llm_provider-request-id": true, "llm_provider-transfer-encoding": true}
)

// ignoredFields are nulls and LiteLLM's own additions to replies, which no other client reads: provider_specific_fields repeats under
// another name what stays in its place with Weir.
var ignoredFields = map[string]bool{"provider_specific_fields": true, "litellm_count_source": true}

// compare lists what of LiteLLM's answer Weir's does not have, as "field: LiteLLM's, Weir's".
func compare(rec *record, got *answer, upstream []sent) []string {
	d := &differences{}
	want := &rec.Response
	if want.Status != got.status {
		d.add("status", want.Status, got.status)
	}
	compareHeaders(d, rec, got)
	switch {
	case want.Kind == "sse" && strings.HasPrefix(got.header.Get("Content-Type"), "text/event-stream"):
		compareStreams(d, want.Body.(string), string(got.body))
	case want.Kind == "json" && rec.Request.Method != http.MethodHead:
		var body any
		if err := json.Unmarshal(got.body, &body); err != nil {
			d.add("body", "JSON", string(got.body[:min(len(got.body), 80)]))
			break
		}
		compareJSON(d, "body", want.Body, body, trimmedLists(rec))
	case want.Kind == "text" && !strings.Contains(show(want.Body), "<html") && !strings.Contains(show(want.Body), "truncated"):
		if s := strings.TrimSpace(show(want.Body)); want.Body != nil && s != strings.TrimSpace(string(got.body)) {
			d.add("body", s, string(got.body))
		}
	}
	compareUpstream(d, rec, upstream)
	return d.list
}

type differences struct{ list []string }

func (d *differences) add(field string, want, got any) {
	d.list = append(d.list, fmt.Sprintf("%s: %.300s, not %.300s", field, show(want), show(got)))
}

func compareHeaders(d *differences, rec *record, got *answer) {
	want := rec.Response.Headers
	for _, name := range exactHeaders {
		if v, ok := want[name]; ok && !placeholder.MatchString(v) && got.header.Get(name) != v {
			d.add("header "+name, v, got.header.Get(name))
		}
	}
	for _, name := range numberHeaders {
		w, err := strconv.ParseFloat(want[name], 64)
		if err != nil {
			continue
		}
		if g, err := strconv.ParseFloat(got.header.Get(name), 64); err != nil || !near(w, g) {
			d.add("header "+name, want[name], got.header.Get(name))
		}
	}
	for _, name := range presentHeaders {
		if _, ok := want[name]; ok && got.header.Get(name) == "" {
			d.add("header "+name, want[name], "")
		}
	}
	if v, ok := want["x-litellm-call-id"]; ok {
		switch sent := concrete(rec.Request.Headers["x-litellm-call-id"]); {
		case sent != "" && got.header.Get("x-litellm-call-id") != sent, got.header.Get("x-litellm-call-id") == "":
			d.add("header x-litellm-call-id", v, got.header.Get("x-litellm-call-id"))
		}
	}
	for _, name := range sortedKeys(want) {
		if (strings.HasPrefix(name, "llm_provider-") || strings.HasPrefix(name, "x-ratelimit-")) && !ownedHeaders[name] && got.header.Get(name) != want[name] {
			d.add("header "+name, want[name], got.header.Get(name))
		}
	}
	w, _, _ := strings.Cut(want["content-type"], ";")
	if g, _, _ := strings.Cut(got.header.Get("Content-Type"), ";"); w != "" && w != g {
		d.add("header content-type", w, g)
	}
}

func near(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-9 } // costs are kept in nano-USD

// trimmedLists are the paths of lists that the capture shows the beginning of.
func trimmedLists(rec *record) map[string]bool {
	out := map[string]bool{}
	for path := range rec.Trimmed {
		out[path] = true
	}
	return out
}

// placeholder stands in the captures for what differs from run to run.
var placeholder = regexp.MustCompile(`<(uuid|ts|iso-ts|float|sha256|hex32|virtual-key|varies|b64|addr|python-traceback|masked|n)>`)

// compareJSON checks that everything LiteLLM said Weir says too. Null says nothing; prose is not compared.
func compareJSON(d *differences, path string, want, got any, trimmed map[string]bool) {
	switch want := want.(type) {
	case nil:
	case object:
		g, ok := got.(object)
		if !ok {
			d.add(path, want, got)
			return
		}
		for _, k := range sortedKeys(want) {
			if want[k] == nil || want[k] == "None" || ignoredFields[k] { // "None" is null in Python
				continue
			}
			if k == "message" && strings.HasSuffix(path, "error") || k == "detail" && isText(want[k]) {
				if !isText(g[k]) || g[k] == "" {
					d.add(path+"."+k, want[k], g[k])
				}
				continue
			}
			if _, ok := g[k]; !ok && !empty(want[k]) {
				d.add(path+"."+k, want[k], nil)
				continue
			}
			compareJSON(d, path+"."+k, want[k], g[k], trimmed)
		}
	case []any:
		g, ok := got.([]any)
		if !ok && len(want) == 0 {
			return
		}
		if trimmed[path] || len(want) > 0 && strings.HasSuffix(path, ".data") && identified(want) {
			compareListed(d, path, want, g, trimmed[path])
			return
		}
		if !ok || len(g) != len(want) {
			d.add(path, want, got)
			return
		}
		for i := range want {
			compareJSON(d, fmt.Sprintf("%s[%d]", path, i), want[i], g[i], trimmed)
		}
	case string:
		if placeholder.MatchString(want) {
			if got == nil {
				d.add(path, want, got)
			}
			return
		}
		if got != want && !sameJSONText(want, got) {
			d.add(path, want, got)
		}
	case float64:
		if g, ok := got.(float64); !ok || !near(want, g) {
			d.add(path, want, got)
		}
	default:
		if want != got {
			d.add(path, want, got)
		}
	}
}

// compareListed checks that each entry of a shortened list is in the whole one, found by its id.
// Unless the list was shortened, Weir's has nothing else but its own demo.
func compareListed(d *differences, path string, want, got []any, shortened bool) {
	byID := map[any]any{}
	for _, g := range got {
		if o, ok := g.(object); ok {
			byID[o["id"]] = g
		}
	}
	known := map[any]bool{"demo": true}
	for _, w := range want {
		id := w.(object)["id"]
		known[id] = true
		if id == "<varies>" {
			shortened = true
			continue
		}
		if byID[id] == nil {
			d.add(fmt.Sprintf("%s[%v]", path, id), w, nil)
			continue
		}
		compareJSON(d, fmt.Sprintf("%s[%v]", path, id), w, byID[id], nil)
	}
	for id := range byID {
		if !shortened && !known[id] {
			d.add(fmt.Sprintf("%s[%v]", path, id), nil, byID[id])
		}
	}
}

// identified reports whether the entries of a list have ids, so that their order does not count.
func identified(list []any) bool {
	o, ok := list[0].(object)
	return ok && isText(o["id"])
}

func isText(v any) bool { _, ok := v.(string); return ok }

func empty(v any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) == 0
	case object:
		return len(v) == 0
	}
	return v == nil
}

// sameJSONText allows arguments of tool calls to be spaced otherwise.
func sameJSONText(want string, got any) bool {
	g, ok := got.(string)
	if !ok || !strings.HasPrefix(want, "{") {
		return false
	}
	var a, b any
	return json.Unmarshal([]byte(want), &a) == nil && json.Unmarshal([]byte(g), &b) == nil && show(a) == show(b)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// compareUpstream checks what was sent on: how often, where to, and every field that LiteLLM sent.
func compareUpstream(d *differences, rec *record, got []sent) {
	if len(got) != len(rec.Upstream) {
		d.add("upstream count", len(rec.Upstream), len(got))
		return
	}
	for i, w := range rec.Upstream {
		g := &got[i]
		at := "upstream"
		if g.method != w.Method || g.path != w.Path {
			d.add(at+" path", w.Method+" "+w.Path, g.method+" "+g.path)
			continue
		}
		for _, name := range []string{"authorization", "x-api-key", "anthropic-version", "anthropic-beta", "x-team", "openai-organization"} {
			if v := w.Headers[name]; v != "" && !placeholder.MatchString(v) && g.header.Get(name) != v {
				d.add(at+" header "+name, v, g.header.Get(name))
			}
		}
		wb, ok := w.Body.(object)
		if !ok || wb["_multipart_bytes"] != nil {
			continue
		}
		gb, ok := g.body.(object)
		if !ok {
			d.add(at+" body", wb, g.body)
			continue
		}
		for _, k := range sortedKeys(wb) {
			if _, ok := gb[k]; !ok && (wb[k] == nil || wb[k] == false && k == "stream") {
				continue // says nothing
			} else if !ok {
				d.add(at+" body."+k, wb[k], nil)
			} else {
				compareJSON(d, at+" body."+k, wb[k], gb[k], nil)
			}
		}
		for _, k := range sortedKeys(gb) {
			if _, ok := wb[k]; !ok && k != "stream_options" { // Weir always asks a stream for its usage
				d.add(at+" body."+k, nil, gb[k])
			}
		}
	}
}

// compareStreams holds two streams against each other by what their clients make of them: text, calls, reasons, usage, order of event
// types, and how they end.
func compareStreams(d *differences, want, got string) {
	w, g := readStream(want), readStream(got)
	for _, k := range sortedKeys(w) {
		if w[k] != g[k] && !sameJSONText(w[k], g[k]) {
			d.add("stream "+k, w[k], g[k])
		}
	}
	if g["error"] != "" && w["error"] == "" {
		d.add("stream error", "", g["error"])
	}
}

// readStream sums a stream up.
func readStream(s string) map[string]string {
	sum := map[string]string{}
	order := []string{}
	for _, block := range strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n\n") {
		for _, line := range strings.Split(block, "\n") {
			data, ok := strings.CutPrefix(line, "data:")
			if !ok {
				continue
			}
			data = strings.TrimSpace(data)
			if data == "[DONE]" {
				sum["done"] = "yes"
				continue
			}
			var e object
			// <ts> stands where a number was.
			if err := json.Unmarshal(bytes.ReplaceAll([]byte(data), []byte(":<ts>"), []byte(":1")), &e); err != nil {
				sum["unreadable"] = data
				continue
			}
			if kind, _ := e["type"].(string); kind != "" && (len(order) == 0 || order[len(order)-1] != kind) {
				order = append(order, kind)
			}
			sumUp(sum, e)
		}
	}
	if len(order) > 0 {
		sum["order"] = strings.Join(order, " ")
	}
	return sum
}

// sumUp adds one event.
func sumUp(sum map[string]string, e object) {
	if err, ok := e["error"].(object); ok {
		sum["error"] = fmt.Sprint("type ", err["type"], " code ", err["code"])
	}
	text := func(o object, key, as string) {
		if v, ok := o[key].(string); ok && v != "" {
			sum[as] += v
		}
	}
	set := func(o object, key, as string) {
		if v := o[key]; v != nil && !empty(v) && !placeholder.MatchString(show(v)) {
			sum[as] = show(v)
		}
	}
	set(e, "model", "model")
	set(e, "object", "object")
	for _, c := range list(e, "choices") {
		c := c.(object)
		at := fmt.Sprint("choice ", c["index"], " ")
		set(c, "finish_reason", at+"finish_reason")
		text(c, "text", at+"text")
		delta, _ := c["delta"].(object)
		text(delta, "content", at+"text")
		text(delta, "reasoning_content", at+"reasoning")
		for _, t := range list(delta, "tool_calls") {
			t := t.(object)
			set(t, "id", at+"call id")
			f, _ := t["function"].(object)
			text(f, "name", at+"call name")
			text(f, "arguments", at+"call arguments")
		}
	}
	switch e["type"] {
	case "message_start":
		m, _ := e["message"].(object)
		set(m, "model", "model")
	case "content_block_start":
		b, _ := e["content_block"].(object)
		sum["blocks"] += fmt.Sprint(b["type"], " ")
		set(b, "name", "call name")
	case "content_block_delta", "message_delta":
		delta, _ := e["delta"].(object)
		text(delta, "text", "text")
		text(delta, "thinking", "thinking")
		text(delta, "partial_json", "call arguments")
		set(delta, "stop_reason", "stop_reason")
	case "response.output_text.delta", "response.function_call_arguments.delta", "response.reasoning_summary_text.delta":
		text(e, "delta", fmt.Sprint(e["type"]))
	case "response.completed":
		r, _ := e["response"].(object)
		set(r, "status", "response status")
		set(r, "model", "model")
		if u, ok := r["usage"].(object); ok {
			sum["usage"] = fmt.Sprint(u["input_tokens"], u["output_tokens"])
		}
	}
	if u, ok := e["usage"].(object); ok && u["prompt_tokens"] != nil {
		sum["usage"] = fmt.Sprint(u["prompt_tokens"], u["completion_tokens"])
	} else if ok && u["output_tokens"] != nil {
		sum["usage"] = fmt.Sprint(u["output_tokens"])
	}
	for _, c := range list(e, "candidates") {
		c := c.(object)
		set(c, "finishReason", "finishReason")
		content, _ := c["content"].(object)
		for _, p := range list(content, "parts") {
			text(p.(object), "text", "text")
		}
	}
}
