package gemini

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

// interaction is one recorded call, see testdata/README.md.
type interaction struct {
	Streaming bool `json:"streaming"`
	Request   struct {
		URL  string `json:"url"`
		Body string `json:"body"`
	} `json:"request"`
	Response struct {
		Status     int    `json:"status"`
		Body       string `json:"body"`
		BodyBase64 string `json:"body_base64"`
	} `json:"response"`
	Expected *expected `json:"expected"`
}

type expected struct {
	Kind      string         `json:"kind"`
	Status    int            `json:"status"`
	Text      string         `json:"text"`
	Reasoning string         `json:"reasoning"`
	ToolCalls []expectedCall `json:"tool_calls"`
	Finish    any            `json:"finish"`
	Usage     *expectedUsage `json:"usage"`
	Model     string         `json:"model"`
	Count     int            `json:"count"`
	Dims      int            `json:"dims"`
}

type expectedCall struct {
	Name string `json:"name"`
	Args any    `json:"args"`
}

type expectedUsage struct {
	Input     int64 `json:"input"`
	Output    int64 `json:"output"`
	Cached    int64 `json:"cached"`
	Reasoning int64 `json:"reasoning"`
	Total     int64 `json:"total"`
}

func (x *interaction) body(t *testing.T) []byte {
	t.Helper()
	if x.Response.BodyBase64 == "" {
		return []byte(x.Response.Body)
	}
	b, err := base64.StdEncoding.DecodeString(x.Response.BodyBase64)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// loadRecordings reads every recorded file under dir that speaks this dialect.
func loadRecordings(t testing.TB, dir string) map[string][]interaction {
	t.Helper()
	out := map[string][]interaction{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var f struct {
			Interactions []interaction `json:"interactions"`
		}
		if json.Unmarshal(raw, &f) != nil {
			return nil
		}
		for _, x := range f.Interactions {
			if strings.Contains(x.Request.URL, "enerateContent") || strings.Contains(x.Request.URL, "mbedContent") {
				out[path] = append(out[path], x)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// frames cuts a recorded event stream into the frames that the wire's reader would give.
func frames(body []byte) (out []llm.Frame) {
	for line := range bytes.Lines(body) {
		if data, ok := bytes.CutPrefix(bytes.TrimRight(line, "\r\n"), []byte("data:")); ok {
			out = append(out, llm.Frame{Data: bytes.TrimSpace(data)})
		}
	}
	return out
}

// accumulate decodes a whole stream and checks the order of its events on the way.
func accumulate(t testing.TB, in []llm.Frame) (*llm.Response, []llm.Event, bool) {
	t.Helper()
	d := Generate.NewStreamDecoder()
	var events []llm.Event
	for _, f := range in {
		var err error
		if events, err = d.Decode(events, f); err != nil {
			t.Fatalf("decode: %v", err)
		}
	}
	events, complete := d.Finish(events)
	var acc llm.Accumulator
	open := map[[2]int]bool{}
	next := map[int]int{}
	for i := range events {
		e := &events[i]
		at := [2]int{e.Choice, e.Index}
		switch e.Kind {
		case llm.EventStart:
			if i != 0 {
				t.Errorf("event %d: a second start", i)
			}
		case llm.EventPartStart:
			if e.Index != next[e.Choice] {
				t.Errorf("event %d: part %d begins, want %d", i, e.Index, next[e.Choice])
			}
			next[e.Choice]++
			open[at] = true
		case llm.EventPartStop:
			if !open[at] {
				t.Errorf("event %d: part %v stops but is not open", i, at)
			}
			open[at] = false
		case llm.EventFinish:
			for at, is := range open {
				if is && at[0] == e.Choice {
					t.Errorf("event %d: finish while part %v is open", i, at)
				}
			}
		}
		acc.Add(e)
	}
	return acc.Response(), events, complete
}

// project reduces an answer to what the recordings' expectations say.
func project(t testing.TB, r *llm.Response) *expected {
	t.Helper()
	out := &expected{Model: r.Model, ToolCalls: []expectedCall{}}
	if len(r.Choices) > 0 {
		c := &r.Choices[0]
		out.Finish = c.Raw
		for i := range c.Parts {
			switch p := &c.Parts[i]; p.Kind {
			case llm.KindText:
				out.Text += p.Text
			case llm.KindReasoning:
				out.Reasoning += p.Text
			case llm.KindToolCall:
				var args any
				if err := json.Unmarshal([]byte(p.Call.Arguments), &args); err != nil {
					t.Errorf("arguments %q: %v", p.Call.Arguments, err)
				}
				if p.Call.ID == "" {
					t.Error("a call without an id")
				}
				out.ToolCalls = append(out.ToolCalls, expectedCall{p.Call.Name, args})
			}
		}
	}
	if u := r.Usage; u != nil {
		out.Usage = &expectedUsage{Input: u.Input - u.ToolInput, Output: u.Output - u.Reasoning, Cached: u.CacheRead, Reasoning: u.Reasoning, Total: u.Total}
	}
	return out
}

func checkAnswer(t *testing.T, x *interaction) {
	t.Helper()
	body := x.body(t)
	if x.Response.Status >= 400 {
		e := Generate.DecodeError(x.Response.Status, nil, body)
		if e.Status != x.Expected.Status || e.Message == "" || e.Type == "" || e.Kind != llm.KindOf(x.Response.Status) {
			t.Errorf("error: %+v", e)
		}
		return
	}
	if strings.Contains(x.Request.URL, "mbedContent") {
		resp, err := Embeddings.DecodeEmbed(body)
		if err != nil {
			t.Fatal(err)
		}
		if len(resp.Vectors) != x.Expected.Count || len(resp.Vectors[0]) != x.Expected.Dims {
			t.Errorf("got %d vectors of %d", len(resp.Vectors), len(resp.Vectors[0]))
		}
		return
	}
	want := *x.Expected
	if n, ok := want.Finish.(float64); ok {
		want.Finish = finishWords[int(n)]
	}
	if want.ToolCalls == nil {
		want.ToolCalls = []expectedCall{}
	}
	tp := Generate.NewTap()
	var resp *llm.Response
	if x.Streaming {
		var complete bool
		fs := frames(body)
		if resp, _, complete = accumulate(t, fs); !complete {
			t.Error("the stream is not complete")
		}
		var marks llm.Mark
		for _, f := range fs {
			marks |= tp.Frame(f)
		}
		if marks&llm.MarkEnd == 0 || marks&(llm.MarkBad|llm.MarkError) != 0 {
			t.Errorf("tap marks %b", marks)
		}
	} else {
		r, err := Generate.DecodeResponse(body)
		if err != nil {
			t.Fatal(err)
		}
		resp = r
		if err := tp.Body(body); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(&want, project(t, resp)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	seen := tp.Seen()
	if diff := cmp.Diff(resp.Usage, seen.Usage); diff != "" {
		t.Errorf("tap usage (-decoded +seen):\n%s", diff)
	}
	if seen.Model != resp.Model || seen.ID != resp.ID || seen.Finish != resp.Choices[0].Reason || seen.ToolCalls != len(want.ToolCalls) {
		t.Errorf("tap saw %+v", seen)
	}
}

// canon makes two spellings of one request equal: numbers, snake_case, empty objects, enumerations by number, equivalent schemas.
func canon(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if k == "args" || k == "response" || k == "properties" {
				out[k] = x
				continue
			}
			x = canon(x)
			if m, ok := x.(map[string]any); ok && len(m) == 0 && k == "generationConfig" {
				continue
			}
			if n, ok := x.(float64); ok && k == "type" {
				x = schemaTypes[int(n)]
			}
			if s, ok := x.(string); ok && k == "data" {
				x, _ = standard64(s)
			}
			out[camel(k)] = x
		}
		if p, ok := out["properties"].(map[string]any); ok {
			props := map[string]any{}
			for k, x := range p {
				props[k] = canon(x)
			}
			out["properties"] = props
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = canon(v[i])
		}
		return out
	}
	return v
}

func canonJSON(t testing.TB, raw []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %.200s", err, raw)
	}
	return canon(v)
}

func checkRequest(t *testing.T, x *interaction) {
	t.Helper()
	body := []byte(x.Request.Body)
	if strings.Contains(x.Request.URL, "mbedContent") {
		req, err := Embeddings.DecodeEmbedRequest(body)
		if err != nil {
			t.Fatal(err)
		}
		if _, dropped, err := Embeddings.EncodeEmbed(nil, req, &llm.Target{Model: req.Model}); err != nil || len(dropped) > 0 {
			t.Errorf("encode: %v, dropped %v", err, dropped)
		}
		return
	}
	req, err := Generate.DecodeRequest(body)
	if x.Response.Status == 400 && strings.Contains(x.Response.Body, "valid role") {
		if err == nil {
			t.Error("an invalid role was taken")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if req.Messages[len(req.Messages)-1].Parts == nil {
		t.Error("the last message is empty")
	}
	out, dropped, err := Generate.EncodeRequest(nil, req, &llm.Target{Model: modelIn(x.Request.URL)})
	if err != nil || len(dropped) > 0 {
		t.Fatalf("encode: %v, dropped %v", err, dropped)
	}
	if diff := cmp.Diff(canonJSON(t, body), canonJSON(t, out)); diff != "" {
		t.Errorf("request (-sent +ours):\n%s", diff)
	}
}

func modelIn(url string) string {
	_, m, _ := strings.Cut(url, "/models/")
	m, _, _ = strings.Cut(m, ":")
	return m
}

func TestReplay(t *testing.T) {
	t.Parallel()
	all := loadRecordings(t, "testdata/recordings")
	if len(all) < 15 {
		t.Fatalf("only %d recorded files", len(all))
	}
	for path, xs := range all {
		for i := range xs {
			t.Run(strings.TrimPrefix(path, "testdata/recordings/"), func(t *testing.T) {
				checkRequest(t, &xs[i])
				checkAnswer(t, &xs[i])
			})
		}
	}
}

// readExpected gives the expectations of the replies that were kept without their requests.
func readExpected(t testing.TB) map[string]expected {
	t.Helper()
	raw, err := os.ReadFile("testdata/replies/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]expected
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestReplies(t *testing.T) {
	t.Parallel()
	for name, want := range readExpected(t) {
		raw, err := os.ReadFile("testdata/replies/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var x interaction
		x.Expected, x.Response.Status = &want, 200
		if x.Streaming = strings.HasSuffix(name, ".chunks.txt"); x.Streaming {
			for line := range bytes.Lines(raw) {
				x.Response.Body += "data: " + string(line) + "\n"
			}
		} else {
			x.Response.Body = string(raw)
		}
		t.Run(name, func(t *testing.T) { checkAnswer(t, &x) })
	}
}

// TestStreamedArguments puts the arguments together that Vertex streams by path.
func TestStreamedArguments(t *testing.T) {
	t.Parallel()
	f := func(name string, want ...expectedCall) {
		t.Helper()
		raw, err := os.ReadFile("testdata/replies/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var fs []llm.Frame
		for line := range bytes.Lines(raw) {
			fs = append(fs, llm.Frame{Data: bytes.TrimSpace(line)})
		}
		resp, _, complete := accumulate(t, fs)
		if !complete {
			t.Errorf("%s: not complete", name)
		}
		if diff := cmp.Diff(want, project(t, resp).ToolCalls); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if resp.Choices[0].Reason != llm.FinishToolCalls {
			t.Errorf("%s: finish %q", name, resp.Choices[0].Reason)
		}
	}
	type m = map[string]any
	f("google-stream-no-args-tool-call.chunks.txt", expectedCall{"read_theme", m{}}, expectedCall{"read_screen", m{"id": "A"}},
		expectedCall{"read_screen", m{"id": "B"}}, expectedCall{"read_screen", m{"id": "C"}})
	f("google-stream-tool-call-arguments.chunks.txt", expectedCall{"getWeather", m{"location": "Boston"}},
		expectedCall{"getWeather", m{"location": "San Francisco"}})
	f("google-stream-tool-call-array-arguments-missing-terminal-function-call.chunks.txt", expectedCall{"writeItems", m{"operations": []any{
		m{"action": "add", "description": "Fresh red apple", "itemid": "apple_001", "price": 0.5},
		m{"action": "add", "description": "Ripe yellow banana", "itemid": "banana_001", "price": 0.3}}}})
}

// TestOwnership: what was decoded stays as it was when the caller reuses its buffer.
func TestOwnership(t *testing.T) {
	t.Parallel()
	f := func(name, body string, decode func([]byte) any) {
		t.Helper()
		want := decode([]byte(body))
		buf := []byte(body)
		got := decode(buf)
		for i := range buf {
			buf[i] = '#'
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s shares its caller's bytes:\n%s", name, diff)
		}
	}
	f("error", `{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"reason":"r"}]}}`, func(b []byte) any {
		return Generate.DecodeError(400, nil, b)
	})
	f("error in a stream", `{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}`, func(b []byte) any {
		events, err := Generate.NewStreamDecoder().Decode(nil, llm.Frame{Data: b})
		if err != nil {
			t.Fatal(err)
		}
		return events
	})
	frame := []byte(`{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":6},"modelVersion":"m","responseId":"r"}`)
	tp := Generate.NewTap()
	tp.Frame(llm.Frame{Data: frame})
	clear(frame)
	if diff := cmp.Diff(&llm.Seen{Model: "m", ID: "r", Finish: llm.FinishStop, Usage: &llm.Usage{Input: 5, Total: 6}}, tp.Seen()); diff != "" {
		t.Errorf("the tap shares its caller's bytes:\n%s", diff)
	}
	for path, xs := range loadRecordings(t, "testdata/recordings") {
		for i := range xs {
			if xs[i].Response.Status != 200 {
				continue
			}
			f(path, xs[i].Request.Body, func(b []byte) any {
				req, err := Generate.DecodeRequest(b)
				if err != nil {
					t.Fatal(err)
				}
				return req
			})
			if xs[i].Streaming {
				continue
			}
			f(path, xs[i].Response.Body, func(b []byte) any {
				resp, err := Generate.DecodeResponse(b)
				if err != nil {
					t.Fatal(err)
				}
				return resp
			})
		}
	}
}
