package openai

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// NewTap starts watching one spliced answer.
func (responses) NewTap() llm.Tap { return &respTap{} }

// respTap goes by the event line and decodes only the ends of a stream, its beginning, and the heads of items that may be calls.
type respTap struct{ seen llm.Seen }

// Seen is what is known so far.
func (t *respTap) Seen() *llm.Seen { return &t.seen }

// Frame looks at one frame of a stream.
func (t *respTap) Frame(f llm.Frame) llm.Mark {
	data := bytes.TrimSpace(f.Data)
	if len(data) == 0 || string(data) == "[DONE]" {
		return 0
	}
	if data[0] != '{' || data[len(data)-1] != '}' {
		return llm.MarkBad
	}
	kind := respEventType(f)
	switch kind {
	case "response.created":
		t.head(data)
		return 0
	case "response.output_item.added":
		if bytes.Contains(data, []byte("_call")) {
			t.item(data)
		}
		return 0
	case "response.completed", "response.incomplete", "response.failed", "response.done", "response.cancelled":
		return t.end(data, strings.TrimPrefix(kind, "response."))
	case "error":
		t.seen.Err = respEventError(respClean(data))
		return llm.MarkError
	case "":
		return t.untyped(data)
	}
	if strings.HasSuffix(kind, ".delta") {
		t.seen.Chars += wire.TextIn(data, `"delta":`)
		return llm.MarkContent
	}
	return 0
}

func (t *respTap) head(data []byte) {
	var e struct {
		Response struct {
			ID    string `json:"id"`
			Model string `json:"model"`
		} `json:"response"`
	}
	if respUnmarshal(data, &e, "") == nil {
		t.seen.ID, t.seen.Model = e.Response.ID, e.Response.Model
	}
}

func (t *respTap) item(data []byte) {
	var e struct {
		Item struct {
			Type string `json:"type"`
			Name string `json:"name"`
		} `json:"item"`
	}
	if respUnmarshal(data, &e, "") == nil && t.use(e.Item.Type, e.Item.Name) {
		t.seen.ToolCalls++
	}
}

// use notes what an item of the output tells of tools, and reports whether it is a call for the client to make.
func (t *respTap) use(kind, name string) bool {
	switch kind {
	case "function_call", "custom_tool_call":
		t.seen.Use(name)
		return true
	case "mcp_call":
		t.seen.Use(name)
	case "file_search_call":
		t.seen.Retrieved = true
	}
	return false
}

// untyped tells an error object in a stream from what is not this dialect.
func (t *respTap) untyped(data []byte) llm.Mark {
	var e struct {
		Error jsontext.Value `json:"error"`
	}
	if respUnmarshal(data, &e, "") != nil || !llm.IsSet(e.Error) {
		return llm.MarkBad
	}
	t.seen.Err = respInband(respClean(e.Error))
	return llm.MarkError
}

// respSummary is a response without the text of its output.
type respSummary struct {
	Object     string          `json:"object"`
	ID         string          `json:"id"`
	Model      string          `json:"model"`
	Status     string          `json:"status"`
	Usage      *respUsage      `json:"usage"`
	Error      jsontext.Value  `json:"error"`
	Incomplete *respIncomplete `json:"incomplete_details"`
	Output     []struct {
		Type    string `json:"type"`
		Name    string `json:"name"`
		Content []struct {
			Type string `json:"type"`
		} `json:"content"`
	} `json:"output"`
}

func (t *respTap) end(data []byte, status string) llm.Mark {
	var e struct {
		Response *respSummary `json:"response"`
	}
	if err := respUnmarshal(data, &e, ""); err != nil || e.Response == nil {
		return llm.MarkBad
	}
	if e.Response.Status == "" {
		e.Response.Status = status
	}
	if err := t.take(e.Response); err != nil {
		t.seen.Err = err
		return llm.MarkEnd | llm.MarkError
	}
	return llm.MarkEnd
}

// take notes what a response says of itself.
func (t *respTap) take(r *respSummary) *llm.Error {
	if r.ID != "" {
		t.seen.ID = r.ID
	}
	if r.Model != "" {
		t.seen.Model = r.Model
	}
	if u := r.Usage.usage(); u != nil {
		t.seen.Usage = u
	}
	if llm.IsSet(r.Error) || r.Status == "failed" {
		t.seen.Finish = llm.FinishError
		return respInband(respClean(r.Error))
	}
	calls, refused := 0, false
	if len(r.Output) > 0 {
		t.seen.Tools = nil // the whole output says it all once more
	}
	for _, item := range r.Output {
		if t.use(item.Type, item.Name) {
			calls++
		}
		for _, c := range item.Content {
			refused = refused || c.Type == "refusal"
		}
	}
	t.seen.ToolCalls = max(t.seen.ToolCalls, calls)
	reason := ""
	if r.Incomplete != nil {
		reason = r.Incomplete.Reason
	}
	t.seen.Finish = respStop(r.Status, reason, t.seen.ToolCalls > 0, refused).Reason
	return nil
}

// Body looks at a whole 2xx answer.
func (t *respTap) Body(body []byte) *llm.Error {
	var r respSummary
	if !respIsObject(body) {
		return respBroken(llm.Invalid("", "not an object"))
	}
	if err := respUnmarshal(body, &r, ""); err != nil {
		return respBroken(err)
	}
	if err := t.take(&r); err != nil {
		t.seen.Err = err
		return err
	}
	if r.Object != "response" && r.Output == nil {
		return respBroken(llm.Invalid("object", "it is %q", r.Object))
	}
	if t.seen.Usage == nil {
		t.measure(body)
	}
	return nil
}

// measure counts the generated text of a whole answer that reports no usage.
func (t *respTap) measure(body []byte) {
	resp, err := Responses.DecodeResponse(body)
	if err != nil {
		return
	}
	for i := range resp.Choices[0].Parts {
		p := &resp.Choices[0].Parts[i]
		t.seen.Chars += int64(len(p.Text))
		if p.Call != nil {
			t.seen.Chars += int64(len(p.Call.Arguments))
		}
	}
}
