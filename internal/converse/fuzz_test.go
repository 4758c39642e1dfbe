package converse

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// valid lets duplicate names pass, since those inside an upstream's own objects are handed on.
func valid(b []byte) bool { return llm.Raw(b).IsValid(jsontext.AllowDuplicateNames(true)) }

func FuzzDecodeRequest(f *testing.F) {
	for _, x := range recordings(f) {
		if x.Request.Body != "" && len(x.Request.Body) < 8<<10 {
			f.Add([]byte(x.Request.Body))
		}
	}
	f.Add([]byte(`{"system":[{"cachePoint":{"type":"default"}}],"messages":[{"role":"user","content":[{"guardContent":{"text":{"text":"a"}}}]}]}`))
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"searchResult":{"source":"a","title":"b","content":[{"text":"c"}]}}]}],` +
		`"additionalModelRequestFields":{"inferenceConfig":{"topK":1},"reasoningConfig":{"type":"enabled","maxReasoningEffort":"low"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := Converse.DecodeRequest(body)
		if err != nil {
			if e := llm.AsError(err); e.Kind != llm.ErrInvalid || e.Message == "" {
				t.Fatalf("%+v", e)
			}
			return
		}
		for _, model := range []string{"anthropic.claude-sonnet-4-20250514-v1:0", "amazon.nova-lite-v1:0"} {
			out, _, err := Converse.EncodeRequest(nil, req, &llm.Target{Model: model})
			if err == nil && !valid(out) {
				t.Fatalf("not JSON: %s", out)
			}
			req.From = llm.OpenAI
		}
	})
}

func FuzzDecodeResponse(f *testing.F) {
	for _, x := range recordings(f) {
		if !x.Streaming && x.Response.Base64 == "" {
			f.Add(x.reply(f))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e := Converse.NewTap().Body(body)
		resp, err := Converse.DecodeResponse(body)
		if err != nil {
			return
		}
		if e != nil {
			t.Fatalf("the tap refuses what the decoder reads: %v", e)
		}
		out := Converse.EncodeResponse(nil, resp, exchange())
		if !valid(out) {
			t.Fatalf("not JSON: %s", out)
		}
	})
}

// FuzzDecodeStream takes lines of an event's type and its payload.
func FuzzDecodeStream(f *testing.F) {
	for _, x := range recordings(f) {
		b := x.reply(f)
		if !x.Streaming || len(b) > 16<<10 {
			continue
		}
		var lines []string
		frames := wire.NewEventStreamReader(bytes.NewReader(b), 0)
		for fr, err := frames.Next(); err == nil; fr, err = frames.Next() {
			lines = append(lines, fr.Type+" "+string(fr.Data))
		}
		f.Add(strings.Join(lines, "\n"))
	}
	f.Add("contentBlockStart {\"contentBlockIndex\":0,\"start\":{\"toolResult\":{\"toolUseId\":\"a\",\"type\":\"x\"}}}\n" +
		"contentBlockDelta {\"contentBlockIndex\":0,\"delta\":{\"toolResult\":[{\"text\":\"b\"}]}}\nmessageStop {\"stopReason\":\"end_turn\"}")
	f.Fuzz(func(t *testing.T, lines string) {
		dec, tap, enc := Converse.NewStreamDecoder(), Converse.NewTap(), Converse.NewStreamEncoder(exchange())
		var out []byte
		next := 0
		for line := range strings.SplitSeq(lines, "\n") {
			name, data, _ := strings.Cut(line, " ")
			frame := llm.Frame{Type: name, Data: []byte(data), Exception: strings.HasSuffix(name, "Exception")}
			tap.Frame(frame)
			events, err := dec.Decode(nil, frame)
			if err != nil {
				return
			}
			for i := range events {
				if e := &events[i]; e.Kind == llm.EventPartStart {
					if e.Index != next {
						t.Fatalf("part %d begins where %d should", e.Index, next)
					}
					next++
				}
				out = enc.Encode(out, &events[i])
			}
		}
		events, _ := dec.Finish(nil)
		for i := range events {
			out = enc.Encode(out, &events[i])
		}
		frames := wire.NewEventStreamReader(bytes.NewReader(out), 0)
		for fr, err := frames.Next(); err == nil; fr, err = frames.Next() {
			if !valid(fr.Data) {
				t.Fatalf("%s is not JSON: %s", fr.Type, fr.Data)
			}
		}
	})
}

func FuzzDecodeError(f *testing.F) {
	f.Add(400, `{"message":"Input is too long for requested model."}`)
	f.Add(403, `{"Message":{"error":"x"}}`)
	f.Add(500, "<html>")
	f.Fuzz(func(t *testing.T, status int, body string) {
		e := Converse.DecodeError(status, nil, []byte(body))
		if e.Message == "" || len(e.Message) > llm.MaxErrorText+3 {
			t.Fatalf("message %q", e.Message)
		}
		if out := Converse.EncodeError(nil, nil, e); !valid(out) {
			t.Fatalf("not JSON: %s", out)
		}
	})
}
