package openai

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// respSeedRequests are requests of kinds that the recordings lack.
var respSeedRequests = []string{
	`{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,aGk="},{"type":"input_file","file_id":"f"}]}]}`,
	`{"model":"m","input":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"weir1.gemini.n.sig"},{"type":"function_call","call_id":"c","name":"f","arguments":"{"}]}`,
	`{"model":"m","input":"x","tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"mcp"}]},"include":["a"],"text":{"x":1}}`,
}

func FuzzResponses_request(f *testing.F) {
	for _, r := range respRecordings(f) {
		if r.Request != nil {
			f.Add([]byte(*r.Request))
		}
	}
	for _, s := range respSeedRequests {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := Responses.DecodeRequest(body)
		if err != nil {
			if llm.AsError(err).Kind != llm.ErrInvalid {
				t.Errorf("%v", err)
			}
			return
		}
		Responses.Stateful(req)
		for _, from := range []llm.Dialect{llm.Responses, llm.OpenAI} {
			req.From = from
			out, _, err := Responses.EncodeRequest(nil, req, &llm.Target{Model: "m"})
			if err != nil {
				continue
			}
			if !jsontext.Value(out).IsValid() {
				t.Fatalf("not JSON: %s", out)
			}
			if _, err := Responses.DecodeRequest(out); err != nil {
				t.Fatalf("%v of %s", err, out)
			}
		}
	})
}

func FuzzResponses_answer(f *testing.F) {
	for _, r := range respRecordings(f) {
		if r.Mode == "unary" {
			f.Add([]byte(r.Body))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		Responses.NewTap().Body(body)
		resp, err := Responses.DecodeResponse(body)
		if err != nil {
			return
		}
		for _, from := range []llm.Dialect{llm.Responses, llm.Anthropic} {
			resp.From = from
			out := Responses.EncodeResponse(nil, resp, respExchange("m"))
			if !jsontext.Value(out).IsValid(jsontext.AllowDuplicateNames(true)) {
				t.Fatalf("not JSON: %s", out)
			}
		}
	})
}

// A stream is fuzzed as frames, one a line.
func FuzzResponses_stream(f *testing.F) {
	for _, r := range respRecordings(f) {
		if r.Mode != "stream" {
			continue
		}
		var lines []byte
		for _, frame := range respFrames(f, r.Body) {
			lines = append(append(lines, frame.Data...), '\n')
		}
		f.Add(lines)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, tap, enc := Responses.NewStreamDecoder(), Responses.NewTap(), Responses.NewStreamEncoder(respExchange("m"))
		var events []llm.Event
		for line := range bytes.Lines(body) {
			frame := llm.Frame{Data: line}
			tap.Frame(frame)
			var err error
			if events, err = d.Decode(events, frame); err != nil {
				break
			}
		}
		events, _ = d.Finish(events)
		respWellFormed(t, events)
		var out []byte
		for i := range events {
			out = enc.Encode(out, &events[i])
		}
		for _, frame := range respFrames(t, string(out)) {
			if !jsontext.Value(frame.Data).IsValid(jsontext.AllowDuplicateNames(true)) {
				t.Fatalf("not JSON: %s", frame.Data)
			}
		}
	})
}
