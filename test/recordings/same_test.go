package recordings

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

// addedOption is what the gateway adds to an OpenAI stream's request, so that every call's usage is known.
const addedOption = `,"stream_options":{"include_usage":true}`

// checkSame sends the recorded request in its own dialect: its bytes must arrive upstream, and the recorded reply's at the client.
func checkSame(t *testing.T, l *lane, x *exchange, p problem) {
	t.Helper()
	body := x.Request
	if body == nil {
		body = ask(t, x.Dialect, x)
	}
	a, seen := l.call(t, p, x, route(x.Dialect, x.Op, x.Model, x.Stream, x.Batch), body)
	if seen == nil {
		return
	}
	sent, reply := seen.Body, x.Reply
	if x.Dialect == llm.OpenAI && x.Stream && !asksUsage(body) {
		if !bytes.Contains(body, []byte(`"stream_options"`)) {
			sent = bytes.Replace(sent, []byte(addedOption), nil, 1)
		}
		reply = withoutUsageChunk(reply)
	}
	if !bytes.Equal(body, sent) {
		p("the upstream got another request (-recorded +sent):\n%s", firstDiff(body, sent))
	}
	if a.Status != x.Status {
		p("status %d, recorded %d: %.500s", a.Status, x.Status, a.Body)
	}
	if x.Status >= 400 && (x.Dialect == llm.OpenAI || x.Dialect == llm.Responses) {
		checkEnvelope(t, x.Status, reply, a.Body, p)
		return
	}
	if x.Status >= 400 {
		reply = bytes.TrimSpace(reply) // a line break after an error is not kept
	}
	if !bytes.Equal(reply, a.Body) {
		p("the client got another reply (-recorded +got):\n%s", firstDiff(reply, a.Body))
	}
}

// checkEnvelope compares an upstream's error with ours in OpenAI's dialects: not its bytes, since clients of LiteLLM find the status in
// code and the provider's own code and type beside it, but all it says.
func checkEnvelope(t *testing.T, status int, recorded, got []byte, p problem) {
	t.Helper()
	type detail struct {
		Message  string         `json:"message"`
		Type     string         `json:"type"`
		Param    any            `json:"param"`
		Code     any            `json:"code"`
		Specific map[string]any `json:"provider_specific_fields"`
	}
	var want, have struct {
		Error detail `json:"error"`
	}
	if err := json.Unmarshal(recorded, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got, &have); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	w, h := &want.Error, &have.Error
	sameType := w.Type == "" || w.Type == h.Type || w.Type == h.Specific["type"]
	sameCode := w.Code == nil || w.Code == h.Code || w.Code == h.Specific["code"]
	if w.Message != h.Message || w.Param != h.Param || h.Code != strconv.Itoa(status) || !sameType || !sameCode {
		p("error\n- %s\n+ %s", recorded, got)
	}
}

// firstDiff shows where two texts part.
func firstDiff(want, got []byte) string {
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	from := max(0, i-60)
	cut := func(b []byte) string { return fmt.Sprintf("%.240q", b[min(from, len(b)):]) }
	return fmt.Sprintf("at byte %d of %d and %d\n- %s\n+ %s", i, len(want), len(got), cut(want), cut(got))
}
