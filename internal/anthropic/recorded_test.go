package anthropic

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// exchange is one recorded call with what a reader of Anthropic's own format makes of the reply.
type exchange struct {
	Name      string `json:"name"`
	Endpoint  string `json:"endpoint"`
	Streaming bool   `json:"streaming"`
	Request   string `json:"request"`
	Response  struct {
		Status     int    `json:"status"`
		Body       string `json:"body"`
		BodyBase64 []byte `json:"body_base64"`
	} `json:"response"`
	Expected *expected `json:"expected"`
}

type expected struct {
	Kind      string     `json:"kind"`
	Text      string     `json:"text"`
	Reasoning string     `json:"reasoning"`
	ToolCalls []toolCall `json:"tool_calls"`
	Finish    string     `json:"finish"`
	Usage     struct {
		Input      int64 `json:"input"`
		Output     int64 `json:"output"`
		Cached     int64 `json:"cached"`
		CacheWrite int64 `json:"cache_write"`
	} `json:"usage"`
	Blocks []string `json:"blocks"`
	Model  string   `json:"model"`
}

type toolCall struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Args any    `json:"args"`
}

// frames reads the recorded stream, of server-sent events or of Bedrock's chunks.
func (x *exchange) frames(t *testing.T) []llm.Frame {
	t.Helper()
	out, err := x.read()
	if err != nil {
		t.Fatalf("%s: %v", x.Name, err)
	}
	return out
}

func (x *exchange) read() ([]llm.Frame, error) {
	body := x.Response.BodyBase64
	if body == nil {
		body = []byte(x.Response.Body)
	}
	var r wire.FrameReader = wire.NewSSEReader(bytes.NewReader(body), 0)
	bedrock := strings.HasPrefix(x.Endpoint, "invoke")
	if bedrock {
		r = wire.NewEventStreamReader(bytes.NewReader(body), 0)
	}
	var out []llm.Frame
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		data := bytes.Clone(f.Data)
		if bedrock {
			var chunk struct {
				Bytes []byte `json:"bytes"`
			}
			if err := json.Unmarshal(data, &chunk); err != nil {
				return nil, err
			}
			data = chunk.Bytes
		}
		out = append(out, llm.Frame{Type: f.Type, Data: data, Exception: f.Exception})
	}
}

// decodeFrames runs a stream through the decoder.
func decodeFrames(t *testing.T, frames []llm.Frame) *llm.Response {
	t.Helper()
	d := Messages.NewStreamDecoder()
	var acc llm.Accumulator
	var events []llm.Event
	var err error
	for _, f := range frames {
		if events, err = d.Decode(events[:0], f); err != nil {
			t.Fatal(err)
		}
		for i := range events {
			acc.Add(&events[i])
		}
	}
	if _, complete := d.Finish(nil); !complete {
		t.Error("stream is incomplete")
	}
	return acc.Response()
}

// project says of an answer what expected says of a recording.
func project(resp *llm.Response) *expected {
	e := &expected{Model: resp.Model}
	for _, p := range resp.Choices[0].Parts {
		switch p.Kind {
		case llm.KindText:
			e.Text += p.Text
			e.Blocks = append(e.Blocks, "text")
		case llm.KindReasoning:
			e.Reasoning += p.Text
			e.Blocks = append(e.Blocks, "thinking")
		case llm.KindRedacted:
			e.Blocks = append(e.Blocks, "redacted_thinking")
		case llm.KindToolCall:
			var args any
			if err := json.Unmarshal([]byte(p.Call.Arguments), &args); err != nil {
				args = p.Call.Arguments
			}
			e.ToolCalls = append(e.ToolCalls, toolCall{p.Call.ID, p.Call.Name, args})
			e.Blocks = append(e.Blocks, "tool_use")
		default:
			e.Blocks = append(e.Blocks, nativeType(p.Raw))
		}
	}
	e.Finish = resp.Choices[0].Raw
	if u := resp.Usage; u != nil {
		e.Usage.Input, e.Usage.Output = u.Input-u.CacheRead-u.CacheWrite, u.Output
		e.Usage.Cached, e.Usage.CacheWrite = u.CacheRead, u.CacheWrite
	}
	return e
}

func readExchanges(t *testing.T, dir string) []*exchange {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", dir, err)
	}
	var out []*exchange
	for _, f := range files {
		x, err := readExchange(f)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out = append(out, x)
	}
	return out
}

func readExchange(file string) (*exchange, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	x := &exchange{}
	return x, json.Unmarshal(b, x)
}

func (x *exchange) decode(t *testing.T) *llm.Response {
	t.Helper()
	if x.Streaming {
		return decodeFrames(t, x.frames(t))
	}
	resp, err := Messages.DecodeResponse([]byte(x.Response.Body))
	if err != nil {
		t.Fatalf("%s: %v", x.Name, err)
	}
	return resp
}

func checkReply(t *testing.T, x *exchange) {
	t.Helper()
	if x.Response.Status != 200 {
		e := Messages.DecodeError(x.Response.Status, nil, []byte(x.Response.Body))
		if e.HTTPStatus() != x.Response.Status || e.Message == "" {
			t.Errorf("error: %+v", e)
		}
		return
	}
	resp := x.decode(t)
	if diff := cmp.Diff(clean(x.Expected), project(resp)); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	checkTap(t, x, resp)
	checkEmitted(t, x, resp)
}

// clean gives empty lists one form.
func clean(e *expected) *expected {
	c := *e
	if len(c.ToolCalls) == 0 {
		c.ToolCalls = nil
	}
	if len(c.Blocks) == 0 {
		c.Blocks = nil
	}
	return &c
}

// checkTap compares what a tap sees with the decoded answer.
func checkTap(t *testing.T, x *exchange, resp *llm.Response) {
	t.Helper()
	tap := Messages.NewTap()
	var marks llm.Mark
	if x.Streaming {
		for _, f := range x.frames(t) {
			marks |= tap.Frame(f)
		}
		if marks&llm.MarkEnd == 0 || marks&(llm.MarkBad|llm.MarkError) != 0 {
			t.Errorf("marks %b", marks)
		}
	} else if e := tap.Body([]byte(x.Response.Body)); e != nil {
		t.Errorf("tap: %v", e)
	}
	seen := tap.Seen()
	if diff := cmp.Diff(resp.Usage, seen.Usage); diff != "" {
		t.Errorf("tap usage (-decoded +seen):\n%s", diff)
	}
	calls := 0
	for _, p := range resp.Choices[0].Parts {
		if p.Kind == llm.KindToolCall {
			calls++
		}
	}
	if seen.Finish != resp.Choices[0].Reason || seen.ID != resp.ID || seen.Model != resp.Model || seen.ToolCalls != calls {
		t.Errorf("tap saw %+v", seen)
	}
}

// checkEmitted writes the answer for a client, whole and streamed, and reads it back.
func checkEmitted(t *testing.T, x *exchange, resp *llm.Response) {
	t.Helper()
	body := Messages.EncodeResponse(nil, resp, &llm.Exchange{})
	again, err := Messages.DecodeResponse(body)
	if err != nil {
		t.Fatalf("own answer: %v\n%s", err, body)
	}
	if diff := cmp.Diff(project(resp), project(again)); diff != "" {
		t.Errorf("whole answer (-want +got):\n%s", diff)
	}
	var stream []byte
	enc := Messages.NewStreamEncoder(&llm.Exchange{})
	for _, e := range resp.Events() {
		stream = enc.Encode(stream, &e)
	}
	y := &exchange{Streaming: true}
	y.Response.Body = string(stream)
	if diff := cmp.Diff(project(resp), project(decodeFrames(t, y.frames(t)))); diff != "" {
		t.Errorf("streamed answer (-want +got):\n%s", diff)
	}
}

// checkRequest decodes and encodes a recorded request: it must mean the same.
func checkRequest(t *testing.T, x *exchange) {
	t.Helper()
	req, err := Messages.DecodeRequest([]byte(x.Request))
	if err != nil {
		t.Fatal(err)
	}
	out, dropped, err := Messages.EncodeRequest(nil, req, &llm.Target{Model: req.Model})
	if err != nil || len(dropped) > 0 {
		t.Fatalf("dropped %q: %v", dropped, err)
	}
	if diff := cmp.Diff(meaning(t, []byte(x.Request)), meaning(t, out)); diff != "" {
		t.Errorf("request (-recorded +encoded):\n%s", diff)
	}
}

// meaning is the request without differences that mean nothing: text as a string or as blocks, defaults spelt out, the format's old name.
func meaning(t *testing.T, body []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	if f, ok := m["output_format"]; ok {
		delete(m, "output_format")
		m["output_config"] = map[string]any{"format": f}
	}
	if s, ok := m["stream"].(bool); ok && !s {
		delete(m, "stream")
	}
	for _, name := range []string{"tools", "stop_sequences"} {
		if l, ok := m[name].([]any); ok && len(l) == 0 {
			delete(m, name)
		}
	}
	m["system"] = asBlocks(m["system"])
	for _, v := range m["messages"].([]any) {
		v := v.(map[string]any)
		v["content"] = asBlocks(v["content"])
	}
	return m
}

func asBlocks(content any) any {
	if s, ok := content.(string); ok {
		return []any{map[string]any{"type": "text", "text": s}}
	}
	list, _ := content.([]any)
	for _, v := range list {
		if b, ok := v.(map[string]any); ok && b["type"] == "tool_result" {
			b["content"] = asBlocks(b["content"])
			if b["is_error"] == false {
				delete(b, "is_error")
			}
		}
	}
	return list
}

func runRecordings(t *testing.T, dir string) {
	for _, x := range readExchanges(t, dir) {
		t.Run(x.Name, func(t *testing.T) {
			checkReply(t, x)
			if x.Request != "" {
				checkRequest(t, x)
			}
		})
	}
}

func TestRecorded(t *testing.T) { runRecordings(t, filepath.Join("testdata", "recorded")) }
