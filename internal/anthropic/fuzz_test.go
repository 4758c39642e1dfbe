package anthropic

import (
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// exchangesOf gives the recordings as seeds.
func exchangesOf(f *testing.F) []*exchange {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "recorded", "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatal("no recordings", err)
	}
	var out []*exchange
	for _, name := range files {
		x, err := readExchange(name)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// A request that can be read can be written again, for this dialect as for another's client, and what was written can be read.
func FuzzDecodeRequest(f *testing.F) {
	for _, x := range exchangesOf(f) {
		if x.Request != "" {
			f.Add([]byte(x.Request), "claude-sonnet-4-5")
		}
	}
	f.Add([]byte(`{"max_tokens":9,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"a"}]}`), "")
	f.Fuzz(func(t *testing.T, body []byte, model string) {
		req, err := Messages.DecodeRequest(body)
		if err != nil {
			if e := llm.AsError(err); e.Kind != llm.ErrInvalid || e.Message == "" {
				t.Fatalf("%+v", e)
			}
			return
		}
		for _, from := range []llm.Dialect{llm.Anthropic, llm.OpenAI} {
			req.From = from
			out, _, err := Messages.EncodeRequest(nil, req, &llm.Target{Model: model})
			if err != nil {
				t.Fatal(err)
			}
			if !jsontext.Value(out).IsValid() {
				t.Fatalf("not JSON: %s", out)
			}
			if _, err := Messages.EncodeCount(nil, req, &llm.Target{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzDecodeResponse(f *testing.F) {
	for _, x := range exchangesOf(f) {
		if !x.Streaming {
			f.Add([]byte(x.Response.Body))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		tapped := Messages.NewTap().Body(body)
		resp, err := Messages.DecodeResponse(body)
		if err != nil {
			if llm.AsError(err).Kind == llm.ErrInternal && tapped == nil {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, from := range []llm.Dialect{llm.Anthropic, llm.Gemini} {
			resp.From = from
			out := Messages.EncodeResponse(nil, resp, &llm.Exchange{})
			if !jsontext.Value(out).IsValid(jsontext.AllowDuplicateNames(true)) {
				t.Fatalf("not JSON: %s", out)
			}
		}
	})
}

// Whatever an upstream streams, one frame a line, what we make of it is a stream that our clients can read.
func FuzzStream(f *testing.F) {
	for _, x := range exchangesOf(f) {
		if x.Streaming {
			frames, err := x.read()
			if err != nil {
				f.Fatal(err)
			}
			var b []byte
			for _, fr := range frames {
				b = append(append(b, fr.Data...), '\n')
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		d, enc, tap := Messages.NewStreamDecoder(), Messages.NewStreamEncoder(&llm.Exchange{ID: "r"}), Messages.NewTap()
		var out []byte
		closed := false
		for _, frame := range sse(string(stream)) {
			tap.Frame(frame)
			events, err := d.Decode(nil, frame)
			for i := range events {
				out = enc.Encode(out, &events[i])
				closed = closed || events[i].Kind == llm.EventEnd || events[i].Kind == llm.EventError
			}
			if err != nil {
				out = enc.Encode(out, &llm.Event{Kind: llm.EventError, Err: llm.AsError(err)})
				closed = true
				break
			}
		}
		if !closed {
			out = enc.Encode(out, &llm.Event{Kind: llm.EventEnd})
		}
		tap.Seen()
		x := &exchange{}
		x.Response.Body = string(out)
		frames := x.frames(t)
		if frames[0].Type != "error" && frames[0].Type != "ping" {
			checkOrder(t, frames)
		}
	})
}

func FuzzDecodeError(f *testing.F) {
	f.Add(400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long"},"request_id":"r"}`)
	f.Add(404, `[{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}]`)
	f.Add(500, "<html><head></head>x</html>")
	f.Fuzz(func(t *testing.T, status int, body string) {
		e := Messages.DecodeError(status, nil, []byte(body))
		if e.Message == "" || len(e.Message) > llm.MaxErrorText+3 {
			t.Errorf("message of %d bytes", len(e.Message))
		}
		if out := Messages.EncodeError(nil, nil, e); !jsontext.Value(out).IsValid() {
			t.Errorf("not JSON: %s", out)
		}
		if _, err := Messages.DecodeCountResponse([]byte(body)); err != nil && llm.AsError(err).Message == "" {
			t.Error(err)
		}
	})
}
