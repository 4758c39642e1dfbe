package recordings

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

// checkCross asks in another dialect while the upstream answers as recorded, and compares what the client reads with what was recorded.
func checkCross(t *testing.T, l *lane, in llm.Dialect, x *exchange, p problem) {
	t.Helper()
	a, seen := l.call(t, p, x, route(in, x.Op, x.Model, x.Stream, x.Batch), ask(t, in, x))
	if seen == nil {
		return
	}
	if x.Want.Error != nil && x.Stream {
		if message := text(at(x.Want.Error, "error", "message")); message == "" || !bytes.Contains(a.Body, []byte(message)) {
			p("the error of the stream is lost: %s", a.Body)
		}
		return
	}
	if x.Status != 200 {
		checkForeignError(t, in, x, a.Status, a.Body, p)
		return
	}
	if a.Status != 200 {
		p("status %d: %.500s", a.Status, a.Body)
		return
	}
	got, problems := read(in, x.Stream, a.Body)
	for _, s := range problems {
		p("%s", s)
	}
	if got == nil {
		return
	}
	for _, f := range strange(in, x.Stream, a.Body) {
		p("%s", f)
	}
	want := wanted(x)
	if want.Finish == "" { // the upstream gave no reason, but every dialect must
		want.Finish = finishClass("stop", len(want.Calls) > 0)
	}
	for i := range want.Calls { // a dialect whose arguments are objects holds free text in one
		if s, ok := want.Calls[i].Args.(string); ok && in != llm.OpenAI && in != llm.Responses {
			want.Calls[i].Args = m{"input": s}
		}
	}
	if want.Usage == nil && got.Usage != nil {
		want.Usage = &usage{} // the upstream said nothing, but most dialects must
	}
	if got.Usage != nil && want.Usage != nil { // what the client's dialect does not count
		if got.Usage.Reasoning < 0 || want.Usage.Reasoning < 0 {
			want.Usage.Reasoning, got.Usage.Reasoning = -1, -1
		}
		if in == llm.Gemini && x.Dialect == llm.OpenAI && want.Usage.Reasoning > want.Usage.Output {
			// Some upstreams count reasoning beside the output, not in it. Both numbers are kept, and Gemini's clients add them.
			want.Usage.Output += want.Usage.Reasoning
		}
		if got.Usage.CacheWrite < 0 || want.Usage.CacheWrite < 0 {
			want.Usage.CacheWrite, got.Usage.CacheWrite = -1, -1
		}
	}
	for _, d := range differences(want, got) {
		p("answer (-recorded +read): %s", d)
	}
}

// checkForeignError: the status and the message survive the change of dialect.
func checkForeignError(t *testing.T, in llm.Dialect, x *exchange, status int, body []byte, p problem) {
	t.Helper()
	want, got := messageIn(t, x.Reply), messageIn(t, body)
	if in == llm.OpenAI || in == llm.Responses {
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatal(err)
		}
		for _, f := range failing(v, schemas()["ErrorResponse"], "ErrorResponse") {
			p("schema: %s", f)
		}
	}
	if status != x.Status || want != got {
		p("status %d, recorded %d; message %q, recorded %q", status, x.Status, got, want)
	}
}

// messageIn is an error's message, wherever the dialect has it.
func messageIn(t *testing.T, body []byte) string {
	t.Helper()
	var v m
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %.300s", err, body)
	}
	if s := text(at(v, "error", "message")); s != "" {
		return s
	}
	return text(v["message"])
}
