package converse

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

var (
	genText = rapid.StringMatching(`[a-zA-Z0-9 .,"\\\n<>é漢😀-]{0,20}[a-z!]`)
	genName = rapid.StringMatching(`[a-zA-Z0-9_-]{1,20}`)
	genJSON = rapid.SampledFrom([]string{`{}`, `{"a":1}`, `{"b":[1.50,null,"x"],"c":{"d":true}}`, `{"n":12345678901234567890}`})
)

func genBase64(t *rapid.T) string {
	return base64.StdEncoding.EncodeToString(rapid.SliceOfN(rapid.Byte(), 1, 12).Draw(t, "bytes"))
}

func maybe(t *rapid.T) bool { return rapid.Bool().Draw(t, "maybe") }

func genCache(t *rapid.T) *llm.CacheMark {
	if !maybe(t) {
		return nil
	}
	return &llm.CacheMark{TTL: rapid.SampledFrom([]string{"", "5m", "1h"}).Draw(t, "ttl")}
}

func genMedia(t *rapid.T, kind llm.Kind) llm.Part {
	f := rapid.SampledFrom(formats[kind]).Draw(t, "format")
	m := &llm.Media{MIME: f.mime}
	switch {
	case kind == llm.KindDocument && maybe(t):
		m.Text = genText.Draw(t, "doc")
	case maybe(t):
		m.URL = "s3://bucket/" + genName.Draw(t, "key")
	default:
		m.Data = genBase64(t)
	}
	if kind == llm.KindDocument {
		m.Name, m.Cited = genName.Draw(t, "name"), maybe(t)
		if maybe(t) {
			m.Context = genText.Draw(t, "context")
		}
	}
	return llm.Part{Kind: kind, Media: m}
}

// genSigned is p signed by one of the dialects.
func genSigned(t *rapid.T, p llm.Part, by ...llm.Dialect) llm.Part {
	p.SignedBy = rapid.SampledFrom(by).Draw(t, "by")
	if p.Kind == llm.KindRedacted {
		p.Data = genBase64(t)
	} else {
		p.Signature = genBase64(t)
	}
	return p
}

func genUser(t *rapid.T) llm.Part {
	var p llm.Part
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		p = genMedia(t, llm.KindImage)
	case 1:
		p = genMedia(t, llm.KindDocument)
	case 2:
		p = genMedia(t, rapid.SampledFrom([]llm.Kind{llm.KindVideo, llm.KindAudio}).Draw(t, "media"))
	case 3:
		r := &llm.ToolResult{CallID: genName.Draw(t, "id"), Parts: []llm.Part{}, IsError: maybe(t)}
		for range rapid.IntRange(0, 2).Draw(t, "results") {
			r.Parts = append(r.Parts, rapid.SampledFrom([]llm.Part{
				{Kind: llm.KindText, Text: "ok"}, {Kind: llm.KindJSON, Raw: llm.Raw(genJSON.Draw(t, "json"))}, genMedia(t, llm.KindImage),
			}).Draw(t, "result"))
		}
		p = llm.Part{Kind: llm.KindToolResult, Result: r}
	case 4:
		p = llm.Part{Kind: llm.KindText, Text: genText.Draw(t, "text"), Extra: map[string]llm.Raw{guardKey: llm.Raw(`{"qualifiers":["query"]}`)}}
	default:
		p = llm.Part{Kind: llm.KindText, Text: genText.Draw(t, "text")}
	}
	p.Cache = genCache(t)
	return p
}

func genAnswer(t *rapid.T, by ...llm.Dialect) llm.Part {
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		return llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{
			ID: genName.Draw(t, "id"), Name: genName.Draw(t, "name"), Arguments: genJSON.Draw(t, "args")}}
	case 1:
		return genSigned(t, llm.Part{Kind: llm.KindReasoning, Text: genText.Draw(t, "thought")}, by...)
	case 2:
		return genSigned(t, llm.Part{Kind: llm.KindRedacted}, by...)
	case 3:
		c := llm.Citation{
			Kind: rapid.SampledFrom([]string{"char", "page", "block", "search_result"}).Draw(t, "cited"), Title: "t", CitedText: "x",
			Document: rapid.Int64Range(0, 9).Draw(t, "doc"), Start: rapid.Int64Range(0, 99).Draw(t, "start"), End: 120, From: llm.Converse,
		}
		if c.Kind == "search_result" {
			c.URL = "https://example.com/a"
		}
		return llm.Part{Kind: llm.KindText, Text: genText.Draw(t, "text"), Citations: []llm.Citation{c}}
	}
	return llm.Part{Kind: llm.KindText, Text: genText.Draw(t, "text")}
}

func genParts(t *rapid.T, one func(*rapid.T) llm.Part) []llm.Part {
	parts := make([]llm.Part, rapid.IntRange(1, 4).Draw(t, "parts"))
	for i := range parts {
		parts[i] = one(t)
	}
	return parts
}

func genRequest(t *rapid.T) *llm.Request {
	r := &llm.Request{From: llm.Converse}
	if maybe(t) {
		r.Messages = append(r.Messages, llm.Message{Role: llm.RoleSystem, Parts: []llm.Part{
			{Kind: llm.KindText, Text: genText.Draw(t, "system"), Cache: genCache(t)}}})
	}
	for range rapid.IntRange(1, 3).Draw(t, "turns") {
		r.Messages = append(r.Messages, llm.Message{Role: llm.RoleUser, Parts: genParts(t, genUser)},
			llm.Message{Role: llm.RoleAssistant, Parts: genParts(t, func(t *rapid.T) llm.Part { return genAnswer(t, llm.Converse) })})
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "tools") {
		tool := llm.Tool{Name: fmt.Sprint("tool_", i), Schema: llm.Raw(genJSON.Draw(t, "schema")), Cache: genCache(t)}
		if maybe(t) {
			tool.Description, tool.Strict = genText.Draw(t, "description"), llm.Ptr(maybe(t))
		}
		r.Tools = append(r.Tools, tool)
	}
	r.ToolChoice = rapid.SampledFrom([]*llm.ToolChoice{nil, {Mode: llm.ChoiceAuto}, {Mode: llm.ChoiceRequired}, {Mode: llm.ChoiceTool, Name: "tool_0"}}).
		Draw(t, "choice")
	if maybe(t) {
		r.MaxTokens, r.Temperature = llm.Ptr(rapid.Int64Range(1, 1<<40).Draw(t, "max")), llm.Ptr(rapid.Float64Range(0, 1).Draw(t, "temperature"))
		r.TopP, r.Stop = llm.Ptr(0.25), []string{genText.Draw(t, "stop")}
		r.Metadata = map[string]string{"team": genName.Draw(t, "meta")}
		r.ServiceTier = rapid.SampledFrom([]string{"default", "flex", "priority"}).Draw(t, "tier")
	}
	if maybe(t) {
		r.Format = &llm.Format{Type: "json_schema", Name: "n", Schema: llm.Raw(genJSON.Draw(t, "schema"))}
		r.Extra = map[string]llm.Raw{"guardrailConfig": llm.Raw(`{"guardrailIdentifier":"abc","guardrailVersion":"1"}`)}
	}
	switch rapid.IntRange(0, 3).Draw(t, "reasoning") {
	case 0:
		r.Reasoning = &llm.Reasoning{Effort: "high"}
	case 1:
		r.Reasoning, r.TopK = &llm.Reasoning{Budget: llm.Ptr(int64(2048))}, llm.Ptr(int64(7))
		r.Extra = llm.WithExtra(r.Extra, additionalKey, llm.Raw(`{"top_k":7,"thinking":{"type":"enabled","budget_tokens":2048},"anthropic_beta":["x"]}`))
	}
	return r
}

var ignoreRaw = cmp.Options{cmpopts.IgnoreFields(llm.Citation{}, "Raw"), cmpopts.EquateEmpty()}

func TestRequest_roundTrip(t *testing.T) {
	m := loadModel(t)
	rapid.Check(t, func(t *rapid.T) {
		req := genRequest(t)
		body, dropped, err := Converse.EncodeRequest(nil, req, &llm.Target{Model: "us.anthropic.claude-sonnet-4-5-20250929-v1:0"})
		if err != nil || len(dropped) > 0 {
			t.Fatalf("dropped %v, error %v", dropped, err)
		}
		if err := m.body("ConverseRequest", body); err != nil {
			t.Fatal(err)
		}
		back, err := Converse.DecodeRequest(body)
		if err != nil {
			t.Fatal(err, string(body))
		}
		if diff := cmp.Diff(req, back, ignoreRaw); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestRequest_foreign writes requests of other dialects for many models; whatever they say, Bedrock's model of a request is kept.
func TestRequest_foreign(t *testing.T) {
	m := loadModel(t)
	models := []string{"us.anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0", "global.anthropic.claude-opus-4-7",
		"amazon.nova-lite-v1:0", "us.amazon.nova-2-lite-v1:0", "openai.gpt-oss-120b-1:0", "meta.llama3-1-8b-instruct-v1:0", "mistral.mistral-large-2402-v1:0",
		"deepseek.r1-v1:0", "qwen.qwen3-32b-v1:0", "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abc"}
	rapid.Check(t, func(t *rapid.T) {
		req := genRequest(t)
		req.From = rapid.SampledFrom([]llm.Dialect{llm.OpenAI, llm.Responses, llm.Anthropic, llm.Gemini}).Draw(t, "from")
		req.Extra = nil
		for i := range req.Messages {
			for j := range req.Messages[i].Parts {
				p := &req.Messages[i].Parts[j]
				p.Extra = nil
				if p.Kind == llm.KindDocument {
					p.Media.Name = rapid.String().Draw(t, "title")
				}
				if p.Call != nil {
					p.Call.ID, p.Call.Name, p.Call.Arguments = rapid.String().Draw(t, "id"), rapid.String().Draw(t, "name"), rapid.String().Draw(t, "args")
				}
				if p.Result != nil {
					p.Result.CallID = rapid.String().Draw(t, "id")
				}
			}
		}
		if maybe(t) {
			req.Tools = nil
		}
		if maybe(t) {
			req.Messages = req.Messages[rapid.IntRange(0, len(req.Messages)).Draw(t, "from message"):]
		}
		if maybe(t) {
			req.Temperature, req.Metadata = llm.Ptr(1.7), map[string]string{"ключ": "x", "ok": "y"}
			req.ParallelTools, req.TopK, req.User = llm.Ptr(false), llm.Ptr(int64(40)), "u"
		}
		target := &llm.Target{Model: rapid.SampledFrom(models).Draw(t, "model"), MaxOutput: 8192}
		body, _, err := Converse.EncodeRequest(nil, req, target)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.body("ConverseRequest", body); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), `"toolUse"`) && !strings.Contains(string(body), `"toolConfig"`) {
			t.Fatalf("calls without toolConfig: %s", body)
		}
		if body, _, err = EncodeCount(nil, req, target); err != nil {
			t.Fatal(err)
		}
		if err := m.body("CountTokensRequest", body); err != nil {
			t.Fatal(err)
		}
	})
}

func genResponse(t *rapid.T, by ...llm.Dialect) *llm.Response {
	stops := []llm.Stop{{Reason: llm.FinishStop, Raw: "end_turn"}, {Reason: llm.FinishToolCalls, Raw: "tool_use"}, {Reason: llm.FinishLength, Raw: "max_tokens"},
		{Reason: llm.FinishSequence, Raw: "stop_sequence", Sequence: "END", Details: llm.Raw(`{"stop_sequence":"END"}`)},
		{Reason: llm.FinishFilter, Raw: "guardrail_intervened"}, {Reason: llm.FinishContext, Raw: "model_context_window_exceeded"},
		{Reason: llm.FinishMalformed, Raw: "malformed_model_output"}}
	read, write := rapid.Int64Range(0, 50).Draw(t, "read"), rapid.Int64Range(0, 50).Draw(t, "write")
	u := &llm.Usage{Input: 10 + read + write, Output: 5, CacheRead: read, CacheWrite: write, CacheKnown: true}
	if u.CacheWrite1h = write / 2; maybe(t) {
		u.CacheWrite1h = 0
	}
	u.Total = u.Input + u.Output
	return &llm.Response{From: llm.Converse, Usage: u, Choices: []llm.Choice{{
		Parts: genParts(t, func(t *rapid.T) llm.Part { return genAnswer(t, by...) }),
		Stop:  rapid.SampledFrom(stops).Draw(t, "stop"),
	}}}
}

func exchange() *llm.Exchange {
	now := time.Unix(1700000000, 0)
	return &llm.Exchange{ID: "call_1", Started: now, Now: func() time.Time { return now.Add(1500 * time.Millisecond) }}
}

func TestResponse_roundTrip(t *testing.T) {
	m := loadModel(t)
	rapid.Check(t, func(t *rapid.T) {
		resp := genResponse(t, llm.Converse, llm.Gemini, llm.Anthropic)
		resp.ServiceTier = rapid.SampledFrom([]string{"", "flex"}).Draw(t, "tier")
		if maybe(t) {
			resp.Extra = map[string]llm.Raw{traceKey: llm.Raw(`{"promptRouter":{}}`)}
		}
		body := Converse.EncodeResponse(nil, resp, exchange())
		if err := m.body("ConverseResponse", body); err != nil {
			t.Fatal(err)
		}
		back, err := Converse.DecodeResponse(body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(resp, back, ignoreRaw); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestStream_roundTrip streams answers, the parts of parallel calls interleaved, and reads them back.
func TestStream_roundTrip(t *testing.T) {
	m := loadModel(t)
	rapid.Check(t, func(t *rapid.T) {
		resp := genResponse(t, llm.Converse, llm.OpenAI)
		events := resp.Events()
		if maybe(t) {
			events = interleave(events)
		}
		enc := Converse.NewStreamEncoder(exchange())
		var b []byte
		for i := range events {
			b = enc.Encode(b, &events[i])
		}
		if err := m.stream(b); err != nil {
			t.Fatal(err)
		}
		acc := &llm.Accumulator{}
		dec := Converse.NewStreamDecoder()
		frames := wire.NewEventStreamReader(bytes.NewReader(b), 0)
		for {
			f, err := frames.Next()
			if err != nil {
				break
			}
			got, err := dec.Decode(nil, llm.Frame{Type: f.Type, Data: f.Data, Exception: f.Exception})
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				acc.Add(&got[i])
			}
		}
		if ok, e := acc.Complete(); !ok {
			t.Fatalf("incomplete: %v", e)
		}
		if diff := cmp.Diff(resp, acc.Response(), ignoreRaw); diff != "" {
			t.Fatal(diff)
		}
	})
}

// interleave moves every delta of a tool call behind all starts and stops, as some servers of parallel calls send them.
func interleave(events []llm.Event) []llm.Event {
	var head, late, tail []llm.Event
	calls := map[int]bool{}
	for _, e := range events {
		switch {
		case e.Kind == llm.EventPartStart && e.Part.Kind == llm.KindToolCall:
			calls[e.Index] = true
			head = append(head, e)
		case e.Kind == llm.EventDelta && calls[e.Index]:
			half := len(e.Text) / 2
			first, second := e, e
			first.Text, second.Text = e.Text[:half], e.Text[half:]
			late = append([]llm.Event{first}, append(late, second)...)
		case e.Kind >= llm.EventFinish:
			tail = append(tail, e)
		default:
			head = append(head, e)
		}
	}
	// The first halves stand in reverse order of their calls: each still comes before its own second half.
	return append(append(head, late...), tail...)
}
