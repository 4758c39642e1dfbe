package gemini

import (
	"bytes"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weir-gateway/weir/internal/llm"
)

// Tests that draw from these run one after another: a generator writes its own name the first time a slice of it is drawn
// and reads it, unguarded, in every draw.
var (
	word    = rapid.StringMatching(`[a-zA-Z_][a-zA-Z0-9_]{0,10}`)
	prose   = rapid.StringN(1, 30, -1)
	chunk64 = rapid.SampledFrom([]string{"QQ==", "aGk=", "+/+/", "AAAA"})
)

func maybe[T any](g *rapid.Generator[T]) *rapid.Generator[*T] { return rapid.Ptr(g, true) }

func drawCall(t *rapid.T, id string) llm.Part {
	p := llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: id, Name: word.Draw(t, "name"),
		Arguments: rapid.SampledFrom([]string{`{}`, `{"a":1}`, `{"b":{"c":["x",null,1.5]}}`}).Draw(t, "args")}}
	drawSignature(t, &p)
	return p
}

func drawSignature(t *rapid.T, p *llm.Part) {
	if rapid.Bool().Draw(t, "signed") {
		p.Signature, p.SignedBy = "c2ln", llm.Gemini
	}
}

func drawMedia(t *rapid.T) llm.Part {
	return rapid.SampledFrom([]llm.Part{
		{Kind: llm.KindImage, Media: &llm.Media{MIME: "image/png", Data: "aGk="}},
		{Kind: llm.KindAudio, Media: &llm.Media{MIME: "audio/wav", Data: "QQ=="}},
		{Kind: llm.KindDocument, Media: &llm.Media{MIME: "application/pdf", URL: "gs://bucket/file.pdf", Name: "report"}},
		{Kind: llm.KindVideo, Media: &llm.Media{URL: "https://www.youtube.com/watch?v=x"}, Extra: unknown{"videoMetadata": llm.Raw(`{"fps":1}`)}},
		{Kind: llm.KindImage, Media: &llm.Media{MIME: "image/webp", FileID: "https://generativelanguage.googleapis.com/v1beta/files/abc"}},
	}).Draw(t, "media")
}

func drawText(t *rapid.T) llm.Part {
	p := llm.Part{Kind: llm.KindText, Text: prose.Draw(t, "text")}
	drawSignature(t, &p)
	return p
}

func drawResult(t *rapid.T, call *llm.ToolCall) llm.Part {
	r := &llm.ToolResult{CallID: call.ID, Name: call.Name}
	switch rapid.IntRange(0, 3).Draw(t, "result") {
	case 0:
		r.Parts = []llm.Part{{Kind: llm.KindText, Text: prose.Draw(t, "text")}}
	case 1:
		r.Parts, r.IsError = []llm.Part{{Kind: llm.KindText, Text: prose.Draw(t, "text")}}, true
	case 2:
		r.Parts = []llm.Part{{Kind: llm.KindJSON, Raw: llm.Raw(`{"temperature":65,"unit":"F"}`)}}
	case 3:
		r.Parts = []llm.Part{{Kind: llm.KindJSON, Raw: llm.Raw(`[1,2]`)}, {Kind: llm.KindImage, Media: &llm.Media{MIME: "image/png", Data: "aGk="}}}
	}
	return llm.Part{Kind: llm.KindToolResult, Result: r, Extra: rapid.SampledFrom([]unknown{nil,
		{"functionResponse.willContinue": llm.Raw(`true`), "partMetadata": llm.Raw(`{"k":1}`)}}).Draw(t, "extra")}
}

var schemas = rapid.SampledFrom([]llm.Raw{nil, llm.Raw(`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`),
	llm.Raw(`{"type":"object","properties":{"a":{"type":["integer","null"],"description":"d","minimum":1}}}`),
	llm.Raw(`{"type":"object","properties":{"u":{"anyOf":[{"type":"string"},{"type":"number"}]},"l":{"type":"array","items":{"type":"string","enum":["x","y"]}}}}`),
	llm.Raw(`{"type":"object","properties":{"m":{"type":"object","additionalProperties":{"type":"string"}}}}`)})

func drawRequest(t *rapid.T) *llm.Request {
	r := &llm.Request{From: llm.Gemini}
	if rapid.Bool().Draw(t, "system") {
		r.Messages = append(r.Messages, llm.Message{Role: llm.RoleSystem, Parts: []llm.Part{drawText(t)}})
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "turns") {
		m := llm.Message{Role: llm.RoleUser, Parts: []llm.Part{drawText(t)}}
		if rapid.Bool().Draw(t, "media") {
			m.Parts = append(m.Parts, drawMedia(t))
		}
		r.Messages = append(r.Messages, m)
		if !rapid.Bool().Draw(t, "calls") {
			continue
		}
		a := llm.Message{Role: llm.RoleAssistant, Parts: []llm.Part{{Kind: llm.KindReasoning, Text: prose.Draw(t, "thought")},
			drawCall(t, "call_"+string(rune('a'+i))), drawCall(t, "call_"+string(rune('m'+i)))}}
		u := llm.Message{Role: llm.RoleUser, Parts: []llm.Part{drawResult(t, a.Parts[1].Call), drawResult(t, a.Parts[2].Call)}}
		r.Messages = append(r.Messages, a, u)
	}
	for range rapid.IntRange(0, 2).Draw(t, "tools") {
		r.Tools = append(r.Tools, llm.Tool{Name: word.Draw(t, "tool"), Description: prose.Draw(t, "description"), Schema: schemas.Draw(t, "schema")})
	}
	if rapid.Bool().Draw(t, "native") {
		r.Tools = append(r.Tools, llm.Tool{Type: "google_search", Raw: llm.Raw(`{"googleSearch":{}}`)})
	}
	r.ToolChoice = rapid.SampledFrom([]*llm.ToolChoice{nil, {Mode: "auto"}, {Mode: "none"}, {Mode: "required"}, {Mode: "tool", Name: "f"},
		{Mode: "allowed", Name: "required", Allowed: []string{"f", "g"}}, {Mode: "allowed", Allowed: []string{"f"}, Raw: llm.Raw(`"VALIDATED"`)}}).Draw(t, "choice")
	r.Temperature, r.TopP = maybe(rapid.Float64Range(0, 2)).Draw(t, "temperature"), maybe(rapid.Float64Range(0, 1)).Draw(t, "topP")
	r.TopK, r.N = maybe(rapid.Int64Range(1, 40)).Draw(t, "topK"), maybe(rapid.Int64Range(1, 8)).Draw(t, "n")
	r.MaxTokens, r.Seed = maybe(rapid.Int64Range(1, 1<<20)).Draw(t, "max"), maybe(rapid.Int64()).Draw(t, "seed")
	r.PresencePenalty, r.FrequencyPenalty = maybe(rapid.Float64Range(-2, 2)).Draw(t, "pp"), maybe(rapid.Float64Range(-2, 2)).Draw(t, "fp")
	r.Logprobs, r.TopLogprobs = maybe(rapid.Bool()).Draw(t, "logprobs"), maybe(rapid.Int64Range(0, 20)).Draw(t, "top")
	if stops := rapid.SliceOfN(prose, 0, 6).Draw(t, "stop"); len(stops) > 0 {
		r.Stop = stops
	}
	r.Reasoning = rapid.SampledFrom([]*llm.Reasoning{nil, {Budget: llm.Ptr(int64(-1))}, {Effort: "low", Include: llm.Ptr(true)}, {Include: llm.Ptr(false)}}).Draw(t, "reasoning")
	r.Format = rapid.SampledFrom([]*llm.Format{nil, {Type: "json_object"}, {Type: "text"}, {Type: "json_schema", Schema: llm.Raw(`{"type":"object"}`)}}).Draw(t, "format")
	r.Modalities = rapid.SampledFrom([][]string{nil, {"text", "image"}, {"audio"}}).Draw(t, "modalities")
	r.Metadata = rapid.SampledFrom([]map[string]string{nil, {"team": "a"}}).Draw(t, "labels")
	r.Extra = rapid.SampledFrom([]unknown{nil, {"safetySettings": llm.Raw(`[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]`),
		"generationConfig.mediaResolution": llm.Raw(`"MEDIA_RESOLUTION_LOW"`), "toolConfig.retrievalConfig": llm.Raw(`{"languageCode":"en"}`)}}).Draw(t, "extra")
	return r
}

// TestRequest_roundTrip: what the dialect can say comes back as it was.
func TestRequest_roundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRequest(t)
		body, dropped, err := Generate.EncodeRequest(nil, want, &llm.Target{Model: "gemini-2.5-pro"})
		if err != nil || len(dropped) > 0 {
			t.Fatalf("encode: %v, dropped %v", err, dropped)
		}
		got, err := Generate.DecodeRequest(body)
		if err != nil {
			t.Fatalf("decode %s: %v", body, err)
		}
		// Function declarations share one entry, which comes first: order between them and native tools is not kept.
		sortTools := cmpopts.SortSlices(func(a, b llm.Tool) bool { return a.Type < b.Type })
		if diff := cmp.Diff(want, got, sortTools, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s\n%s", diff, body)
		}
	})
}

func drawResponse(t *rapid.T) *llm.Response {
	r := &llm.Response{From: llm.Gemini, ID: "resp-1", Model: "gemini-x", Created: rapid.SampledFrom([]int64{0, 1700000000}).Draw(t, "created"),
		ServiceTier: rapid.SampledFrom([]string{"", "standard"}).Draw(t, "tier")}
	for i := range rapid.IntRange(1, 2).Draw(t, "choices") {
		c := llm.Choice{Index: i, Stop: rapid.SampledFrom([]llm.Stop{{Reason: llm.FinishStop, Raw: "STOP"}, {Reason: llm.FinishLength, Raw: "MAX_TOKENS"},
			{Reason: llm.FinishFilter, Raw: "RECITATION", Details: llm.Raw(`{"finishMessage":"m"}`)}}).Draw(t, "stop")}
		if rapid.Bool().Draw(t, "reasoning") {
			c.Parts = append(c.Parts, llm.Part{Kind: llm.KindReasoning, Text: prose.Draw(t, "thought")})
		}
		if rapid.Bool().Draw(t, "text") {
			c.Parts = append(c.Parts, drawText(t))
		}
		if rapid.Bool().Draw(t, "image") {
			c.Parts = append(c.Parts, llm.Part{Kind: llm.KindImage, Media: &llm.Media{MIME: "image/png", Data: chunk64.Draw(t, "data")}})
		}
		if rapid.Bool().Draw(t, "code") {
			c.Parts = append(c.Parts, llm.Part{Kind: llm.KindNative, Raw: llm.Raw(`{"executableCode":{"code":"1","language":"PYTHON"}}`)})
		}
		if rapid.Bool().Draw(t, "call") {
			c.Parts = append(c.Parts, drawCall(t, "id1"))
			if c.Reason == llm.FinishStop {
				c.Reason = llm.FinishToolCalls
			}
		}
		r.Choices = append(r.Choices, c)
	}
	n := rapid.Int64Range(1, 1000)
	u := &llm.Usage{Input: n.Draw(t, "input") + 500, Output: n.Draw(t, "output") + 500, CacheKnown: true, ReasoningKnown: true}
	u.Reasoning, u.CacheRead = rapid.Int64Range(0, 400).Draw(t, "thoughts"), rapid.Int64Range(0, 400).Draw(t, "cached")
	u.ToolInput, u.InputAudio = rapid.Int64Range(0, 100).Draw(t, "tool"), rapid.Int64Range(0, 100).Draw(t, "audio")
	u.InputImage, u.OutputImage = rapid.Int64Range(0, 100).Draw(t, "image"), rapid.Int64Range(0, 100).Draw(t, "imageOut")
	u.Total = u.Input + u.Output
	r.Usage = u
	return r
}

// TestResponse_roundTrip: answers, whole and streamed in either framing, come back as they were.
func TestResponse_roundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawResponse(t)
		body := Generate.EncodeResponse(nil, want, &llm.Exchange{})
		got, err := Generate.DecodeResponse(body)
		if err != nil {
			t.Fatalf("decode %s: %v", body, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("whole (-want +got):\n%s\n%s", diff, body)
		}
		tp := Generate.NewTap()
		if err := tp.Body(body); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Usage, tp.Seen().Usage); diff != "" {
			t.Fatalf("tap (-want +got):\n%s", diff)
		}
		for _, array := range []bool{false, true} {
			enc := Generate.NewStreamEncoder(&llm.Exchange{Array: array, Now: time.Now})
			var out []byte
			for _, e := range want.Events() {
				out = enc.Encode(out, &e)
			}
			fs := frames(out)
			if array {
				fs = nil
				for _, v := range elements(out) {
					fs = append(fs, llm.Frame{Data: v})
				}
				if !jsontext.Value(out).IsValid() {
					t.Fatalf("not one JSON array: %s", out)
				}
			}
			dec := Generate.NewStreamDecoder()
			var events []llm.Event
			for _, f := range fs {
				if events, err = dec.Decode(events, f); err != nil {
					t.Fatalf("decode %s: %v", f.Data, err)
				}
			}
			events, complete := dec.Finish(events)
			if !complete {
				t.Fatalf("incomplete: %s", out)
			}
			var acc llm.Accumulator
			for i := range events {
				acc.Add(&events[i])
			}
			byIndex := cmpopts.SortSlices(func(a, b llm.Choice) bool { return a.Index < b.Index })
			if diff := cmp.Diff(want, acc.Response(), cmpopts.EquateEmpty(), byIndex); diff != "" {
				t.Fatalf("stream (-want +got):\n%s\n%s", diff, out)
			}
		}
	})
}

func FuzzRequest(f *testing.F) {
	for _, xs := range loadRecordings(f, "testdata/recordings") {
		for i := range xs {
			f.Add([]byte(xs[i].Request.Body))
		}
	}
	f.Add([]byte(`{"contents":{"parts":{"text":"x"}},"tools":{"function_declarations":[{"name":"f","parameters":{"type":6,"nullable":true}}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if req, err := Generate.DecodeRequest(body); err == nil {
			for _, model := range []string{"gemini-2.5-pro", "gemini-3-pro"} {
				out, _, err := Generate.EncodeRequest(nil, req, &llm.Target{Model: model})
				if err != nil {
					continue
				}
				if _, err := Generate.DecodeRequest(out); err != nil {
					t.Fatalf("our own body is refused: %v\n%s", err, out)
				}
				req.From = llm.OpenAI // the path of a foreign conversation
			}
		}
		_, _ = DecodeCount(body)
		_, _ = Embeddings.DecodeEmbedRequest(body)
		_, _ = VertexEmbeddings.DecodeEmbedRequest(body)
	})
}

func FuzzResponse(f *testing.F) {
	for _, xs := range loadRecordings(f, "testdata/recordings") {
		for i := range xs {
			f.Add([]byte(xs[i].Response.Body))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if resp, err := Generate.DecodeResponse(body); err == nil {
			out := Generate.EncodeResponse(nil, resp, &llm.Exchange{Model: "m", ID: "i"})
			if !jsontext.Value(out).IsValid(jsontext.AllowDuplicateNames(true)) {
				t.Fatalf("not JSON: %s", out)
			}
		}
		e := Generate.DecodeError(400, nil, body)
		if out := Generate.EncodeError(nil, nil, e); !jsontext.Value(out).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
			t.Fatalf("not JSON: %s", out)
		}
		_, _ = Embeddings.DecodeEmbed(body)
		_, _ = VertexEmbeddings.DecodeEmbed(body)
		_, _ = DecodeCountResponse(body)
		tp := Generate.NewTap()
		_ = tp.Body(body)
		tp.Seen()
	})
}

func FuzzStream(f *testing.F) {
	for _, xs := range loadRecordings(f, "testdata/recordings") {
		for i := range xs {
			if xs[i].Streaming {
				f.Add([]byte(xs[i].Response.Body))
			}
		}
	}
	f.Add([]byte("data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"partialArgs\":[{\"jsonPath\":\"$.a[0]['b c']\",\"stringValue\":\"x\"}]}}]}}]}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		dec, tp := Generate.NewStreamDecoder(), Generate.NewTap()
		enc := Generate.NewStreamEncoder(&llm.Exchange{})
		var out []byte
		for _, fr := range frames(body) {
			tp.Frame(fr)
			events, err := dec.Decode(nil, fr)
			for i := range events {
				out = enc.Encode(out, &events[i])
			}
			if err != nil {
				break
			}
		}
		events, _ := dec.Finish(nil)
		for i := range events {
			out = enc.Encode(out, &events[i])
		}
		tp.Seen()
		for _, fr := range frames(out) {
			if !jsontext.Value(fr.Data).IsValid(jsontext.AllowDuplicateNames(true)) {
				t.Fatalf("not JSON: %s", fr.Data)
			}
		}
		if bytes.Contains(out, []byte("\n\n\n")) {
			t.Fatalf("an empty frame: %q", out)
		}
	})
}
