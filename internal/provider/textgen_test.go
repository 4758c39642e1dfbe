package provider

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/openai"
	"github.com/weir-gateway/weir/internal/wire"
)

func TestGenerate_request(t *testing.T) {
	f := func(g generate, in, want string, wantDropped ...string) {
		t.Helper()
		req, err := openai.Chat.DecodeRequest([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		got, dropped, err := g.EncodeRequest(nil, req, &llm.Target{Model: "m"})
		if err != nil || string(got) != want || !cmp.Equal(dropped, wantDropped) {
			t.Errorf("got %s %v %v\nwant %s %v", got, dropped, err, want, wantDropped)
		}
	}
	f(generate{}, `{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":5,"temperature":0.5,"stop":["x"],"seed":3,"tools":[{"type":"function","function":{"name":"a"}}]}`,
		`{"inputs":"hi","parameters":{"max_new_tokens":5,"temperature":0.5,"seed":3,"stop":["x"],"do_sample":true,"details":true,"decoder_input_details":true}}`, "tools")
	f(generate{}, `{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"temperature":0,"top_p":1}`,
		`{"inputs":"hi","parameters":{"do_sample":false,"details":true}}`)
	f(generate{streamField: true}, `{"model":"m","messages":[{"role":"system","content":"be nice"},{"role":"user","content":"hi"},{"role":"assistant","content":"yes"},{"role":"user","content":"more"}],"stream":true,"max_completion_tokens":9}`,
		`{"inputs":"be nice\n\nUser: hi\n\nAssistant: yes\n\nUser: more\n\nAssistant:","parameters":{"max_new_tokens":9,"return_full_text":false},"stream":true}`)
	f(generate{}, `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"http://h/i.png"}}]}]}`,
		`{"inputs":"see","parameters":{"details":true,"decoder_input_details":true}}`, "messages.image")
	if _, _, err := (generate{}).EncodeRequest(nil, &llm.Request{}, &llm.Target{}); llm.AsError(err).Param != "messages" {
		t.Errorf("no text: %v", err)
	}
}

func TestGenerate_response(t *testing.T) {
	f := func(body, text string, finish llm.FinishReason, usage *llm.Usage) {
		t.Helper()
		r, err := generate{}.DecodeResponse([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			return
		}
		if got := llm.TextOf(r.Choices[0].Parts); got != text || r.Choices[0].Reason != finish {
			t.Errorf("%s: %q %s", body, got, r.Choices[0].Reason)
		}
		if diff := cmp.Diff(usage, r.Usage); diff != "" {
			t.Error(diff)
		}
	}
	f(`{"generated_text":"a","details":{"finish_reason":"length","generated_tokens":1,"prefill":[{"id":1},{"id":2}]}}`, "a", llm.FinishLength, &llm.Usage{Input: 2, Output: 1})
	f(`[{"generated_text":"a"}]`, "a", llm.FinishStop, nil)
	f(`[[{"generated_text":"a","details":{"finish_reason":"eos_token","generated_tokens":1,"prefill":[]}}]]`, "a", llm.FinishStop, nil)
	f(`{"generation":"a"}`, "a", llm.FinishStop, nil)
	f(`{"generated_text":""}`, "", llm.FinishStop, nil)
	for _, bad := range []string{"", "[]", "{}", "null", "1", `{"error":"Model is overloaded"}`} {
		if _, err := (generate{}).DecodeResponse([]byte(bad)); llm.AsError(err).Kind != llm.ErrUpstream {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// tgiStream is a stream in the form TGI's documentation gives.
const tgiStream = `data:{"index":1,"token":{"id":264,"text":"Deep","logprob":-0.5,"special":false},"generated_text":null,"details":null}

data:{"index":2,"token":{"id":265,"text":" learning","logprob":-0.5,"special":false},"generated_text":null,"details":null}

data:{"index":3,"token":{"id":2,"text":"</s>","logprob":-0.5,"special":true},"generated_text":"Deep learning","details":{"finish_reason":"eos_token","generated_tokens":3,"seed":null,"input_length":5}}

`

func TestGenerate_stream(t *testing.T) {
	got := streamed(t, generate{}, tgiStream)
	want := &llm.Response{Choices: []llm.Choice{{Parts: []llm.Part{{Kind: llm.KindText, Text: "Deep learning"}},
		Stop: llm.Stop{Reason: llm.FinishStop, Raw: "eos_token"}}}, Usage: &llm.Usage{Input: 5, Output: 3}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	d := generate{}.NewStreamDecoder()
	events, err := d.Decode(nil, llm.Frame{Data: []byte(`{"error":"Input validation error","error_type":"validation"}`)})
	if err != nil || len(events) != 1 || events[0].Kind != llm.EventError || events[0].Err.Message != "Input validation error" {
		t.Errorf("%+v %v", events, err)
	}
	d = generate{}.NewStreamDecoder()
	if _, err := d.Decode(nil, llm.Frame{Data: []byte(`{"token":{"text":"a"}}`)}); err != nil {
		t.Fatal(err)
	}
	if _, complete := d.Finish(nil); complete {
		t.Error("a stream without its last event is complete")
	}
}

// pieces frames a text as SageMaker does, cut every n bytes.
func pieces(s string, n int) []byte {
	var out []byte
	for len(s) > 0 {
		k := min(n, len(s))
		out = wire.AppendEvent(out, "PayloadPart", []byte(s[:k]))
		s = s[k:]
	}
	return out
}

func TestUnwrap_sageMaker(t *testing.T) {
	for n := 1; n < len(tgiStream); n++ {
		r := iotest.HalfReader(bytes.NewReader(pieces(tgiStream, n)))
		got, err := io.ReadAll(newChunks(r, chunkSageMaker))
		if err != nil || string(got) != tgiStream {
			t.Fatalf("cut by %d: %v\n%q", n, err, got)
		}
	}
	lines := `{"token":{"text":"a"}}` + "\n" + `{"token":{"text":"b"},"generated_text":"ab"}`
	got, err := io.ReadAll(newChunks(bytes.NewReader(pieces(lines, 7)), chunkSageMaker))
	if want := "data: " + strings.Replace(lines, "\n", "\n\ndata: ", 1) + "\n\n\n"; err != nil || string(got) != want {
		t.Errorf("lines: %v %q", err, got)
	}
	if r := streamed(t, generate{}, string(got)); llm.TextOf(r.Choices[0].Parts) != "ab" {
		t.Errorf("%+v", r)
	}
	broken := wire.AppendException(pieces("data: 1\n\n", 4), "ModelStreamError", []byte(`{"Message":"","OriginalMessage":"","message":"out of memory"}`))
	got, err = io.ReadAll(newChunks(bytes.NewReader(broken), chunkSageMaker))
	if want := "data: 1\n\ndata: {\"error\":{\"message\":\"out of memory\",\"type\":\"ModelStreamError\"}}\n\n"; err != nil || string(got) != want {
		t.Errorf("exception: %v %q", err, got)
	}
	if _, err = io.ReadAll(newChunks(bytes.NewReader(pieces(tgiStream, 50)[:70]), chunkSageMaker)); err == nil {
		t.Error("a stream that breaks inside a message ends well")
	}
}

func TestUnwrap_invoke(t *testing.T) {
	event := func(dst []byte, s string) []byte {
		return wire.AppendEvent(dst, "chunk", []byte(`{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(s))+`","p":"abc"}`))
	}
	start, stop := `{"type":"message_start","message":{"id":"m"}}`, `{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":1}}`
	b := event(event(nil, start), stop)
	got, err := io.ReadAll(newChunks(iotest.OneByteReader(bytes.NewReader(b)), chunkInvoke))
	want := "event: message_start\ndata: " + start + "\n\nevent: message_stop\ndata: " + stop + "\n\n"
	if err != nil || string(got) != want {
		t.Errorf("%v %q", err, got)
	}
	b = wire.AppendException(event(nil, start), "throttlingException", []byte(`{"message":"slow down"}`))
	got, err = io.ReadAll(newChunks(bytes.NewReader(b), chunkInvoke))
	want = "event: message_start\ndata: " + start + "\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow down\"}}\n\n"
	if err != nil || string(got) != want {
		t.Errorf("%v %q", err, got)
	}
}

func FuzzUnwrap(f *testing.F) {
	f.Add(pieces(tgiStream, 10))
	f.Add(wire.AppendException(nil, "x", []byte("{}")))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, form := range []chunkForm{chunkInvoke, chunkSageMaker} {
			if _, err := io.Copy(io.Discard, newChunks(bytes.NewReader(b), form)); err == io.EOF {
				t.Error("EOF is not an error of a copy")
			}
		}
	})
}
