package openai

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weir-gateway/weir/internal/llm"
)

// respGen draws values in the form in which this dialect decodes them; what has several forms is drawn in one.
type respGen struct {
	t *rapid.T
	n int
}

func (g *respGen) text(label string) string { return rapid.StringN(0, 20, 60).Draw(g.t, label) }
func (g *respGen) some(label string) string { return "x" + g.text(label) }
func (g *respGen) bool(label string) bool   { return rapid.Bool().Draw(g.t, label) }
func (g *respGen) int(label string, from, to int) int {
	return rapid.IntRange(from, to).Draw(g.t, label)
}
func (g *respGen) of(label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(g.t, label)
}

// id gives a new id, so that neighbours differ.
func (g *respGen) id(prefix string) string {
	g.n++
	return prefix + strconv.Itoa(g.n)
}

func respMaybe[T any](g *respGen, label string, draw func() T) *T {
	if !g.bool(label + "?") {
		return nil
	}
	return llm.Ptr(draw())
}

func (g *respGen) citation() llm.Citation {
	if g.bool("url citation") {
		return respCitation(llm.Raw(`{"type":"url_citation","start_index":1,"end_index":5,"url":"https://e.x/","title":` + string(llm.Quote(g.text("title"))) + `}`))
	}
	return respCitation(llm.Raw(`{"type":"file_citation","file_id":"file-1","index":3,"filename":"f.pdf"}`))
}

// assistant draws the parts of an assistant's turn: runs of text, reasoning items, calls and native items, all with ids.
func (g *respGen) assistant() (parts []llm.Part) {
	for range g.int("items", 1, 4) {
		switch g.of("item", "message", "reasoning", "call", "custom", "native") {
		case "message":
			id, phase := g.id("msg_"), g.of("phase", "", "commentary", "final_answer")
			for range g.int("texts", 1, 3) {
				p := llm.Part{Kind: llm.KindText, ID: id, Text: g.text("text")}
				if g.bool("refusal") {
					p.Kind = llm.KindRefusal
				} else if p.Text != "" && g.bool("cited") {
					p.Citations = []llm.Citation{g.citation()}
				}
				if phase != "" {
					p.Extra = map[string]llm.Raw{"phase": llm.Quote(phase)}
				}
				parts = append(parts, p)
			}
		case "reasoning":
			id, sums, texts := g.id("rs_"), g.int("summaries", 0, 2), g.int("thoughts", 0, 2)
			for range sums {
				parts = append(parts, llm.Part{Kind: llm.KindReasoning, ID: id, Text: g.text("summary"), Summary: true})
			}
			for range texts {
				parts = append(parts, llm.Part{Kind: llm.KindReasoning, ID: id, Text: g.some("thought")})
			}
			if sums+texts == 0 {
				parts = append(parts, llm.Part{Kind: llm.KindReasoning, ID: id})
			}
			if g.bool("encrypted") {
				last := &parts[len(parts)-1]
				last.Signature, last.SignedBy = g.some("signature"), llm.Responses
			}
		case "call":
			p := llm.Part{Kind: llm.KindToolCall, ID: g.id("fc_"), Call: &llm.ToolCall{ID: g.id("call_"), Name: g.some("name"), Arguments: g.text("arguments")}}
			if g.bool("namespace") {
				p.Extra = map[string]llm.Raw{"namespace": llm.Raw(`"crm"`)}
			}
			parts = append(parts, p)
		case "custom":
			parts = append(parts, llm.Part{Kind: llm.KindToolCall, ID: g.id("ctc_"),
				Call: &llm.ToolCall{ID: g.id("call_"), Name: g.some("name"), Arguments: g.text("input"), Type: "custom"}})
		case "native":
			id := g.id("ws_")
			parts = append(parts, llm.Part{Kind: llm.KindNative, ID: id,
				Raw: llm.Raw(`{"type":"web_search_call","id":"` + id + `","status":"completed","action":{"query":` + string(llm.Quote(g.text("query"))) + `}}`)})
		}
	}
	return parts
}

// content draws a part of the user's.
func (g *respGen) content() llm.Part {
	p := llm.Part{}
	switch g.of("content", "text", "image", "image url", "file", "file url", "audio") {
	case "text":
		p.Kind, p.Text = llm.KindText, g.text("text")
	case "image":
		p.Kind, p.Media = llm.KindImage, &llm.Media{MIME: "image/png", Data: "aGk=", Detail: g.of("detail", "low", "auto")}
	case "image url":
		p.Kind, p.Media = llm.KindImage, &llm.Media{URL: "https://e.x/" + g.text("url"), Detail: "high"}
	case "file":
		p.Kind, p.Media = llm.KindDocument, &llm.Media{MIME: "application/pdf", Data: "aGk=", Name: g.some("name")}
	case "file url":
		p.Kind, p.Media = llm.KindDocument, &llm.Media{URL: "https://e.x/" + g.text("url")}
	case "audio":
		p.Kind, p.Media = llm.KindAudio, &llm.Media{MIME: "audio/wav", Data: "aGk="}
	}
	if g.bool("cached") {
		p.Cache = &llm.CacheMark{}
	}
	return p
}

func (g *respGen) messages() (out []llm.Message) {
	if g.bool("instructions") {
		out = append(out, llm.Message{Role: llm.RoleSystem, Instructions: true, Parts: []llm.Part{{Kind: llm.KindText, Text: g.text("instructions")}}})
	}
	for range g.int("turns", 1, 3) {
		m := llm.Message{Role: llm.Role(g.of("role", "user", "system", "developer"))}
		for range g.int("parts", 1, 3) {
			m.Parts = append(m.Parts, g.content())
		}
		out = append(out, m)
		if !g.bool("answered") {
			continue
		}
		parts := g.assistant()
		out = append(out, llm.Message{Role: llm.RoleAssistant, Parts: parts})
		for i := range parts {
			if c := parts[i].Call; c != nil {
				r := &llm.ToolResult{CallID: c.ID, Type: c.Type}
				for range g.int("results", 1, 2) {
					r.Parts = append(r.Parts, g.content())
				}
				out = append(out, llm.Message{Role: llm.RoleTool, Parts: []llm.Part{{Kind: llm.KindToolResult, Result: r}}})
			}
		}
	}
	return out
}

func (g *respGen) tools(req *llm.Request) {
	for range g.int("tools", 0, 2) {
		req.Tools = append(req.Tools, llm.Tool{Name: g.id("f"), Description: g.text("description"), Schema: llm.Raw(`{"type":"object"}`),
			Strict: respMaybe(g, "strict", func() bool { return g.bool("strict") })})
	}
	if g.bool("native tools") {
		req.Tools = append(req.Tools, llm.Tool{Type: "custom", Name: "sql", Description: "d",
			Raw: llm.Raw(`{"type":"custom","name":"sql","description":"d","format":{"type":"text"}}`)},
			llm.Tool{Type: "web_search", Raw: llm.Raw(`{"type":"web_search"}`)})
	}
	switch g.of("choice", "", "auto", "none", "required", "tool", "allowed", "native") {
	case "auto":
		req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceAuto}
	case "none":
		req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceNone}
	case "required":
		req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceRequired}
	case "tool":
		req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceTool, Name: g.some("tool")}
	case "allowed":
		req.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceAllowed, Name: g.of("mode", "", "required"), Allowed: []string{g.some("tool"), "sql"}}
	case "native":
		req.ToolChoice = &llm.ToolChoice{Raw: llm.Raw(`{"type":"web_search_preview"}`)}
	}
}

func (g *respGen) request() *llm.Request {
	float := func() float64 { return rapid.Float64Range(0, 2).Draw(g.t, "float") }
	flag := func() bool { return g.bool("flag") }
	number := func() int64 { return rapid.Int64().Draw(g.t, "number") }
	req := &llm.Request{
		From: llm.Responses, Model: g.some("model"), Messages: g.messages(), Stream: g.bool("stream"),
		ParallelTools: respMaybe(g, "parallel", flag), MaxTokens: respMaybe(g, "max", number), Temperature: respMaybe(g, "temperature", float),
		TopP: respMaybe(g, "top_p", float), TopLogprobs: respMaybe(g, "top_logprobs", number), Store: respMaybe(g, "store", flag),
		Verbosity: g.of("verbosity", "", "low", "high"), User: g.text("user"), SafetyIdentifier: g.text("safety"),
		PromptCacheKey: g.text("key"), ServiceTier: g.of("tier", "", "auto", "flex"),
	}
	g.tools(req)
	if g.bool("logprobs") {
		req.Logprobs = llm.Ptr(true)
	}
	if effort := g.of("effort", "", "none", "low", "xhigh"); effort != "" || g.bool("reasoning") {
		req.Reasoning = &llm.Reasoning{Effort: effort, Summary: g.of("summary", "auto", "detailed")}
		if g.bool("include") {
			req.Reasoning.Include = llm.Ptr(true)
		}
	}
	switch g.of("format", "", "text", "json_object", "json_schema") {
	case "text":
		req.Format = &llm.Format{Type: "text"}
	case "json_object":
		req.Format = &llm.Format{Type: "json_object"}
	case "json_schema":
		req.Format = &llm.Format{Type: "json_schema", Name: g.some("name"), Description: g.text("description"), Schema: llm.Raw(`{"type":"object"}`),
			Strict: respMaybe(g, "strict", flag)}
	}
	if g.bool("metadata") {
		req.Metadata = map[string]string{g.text("k"): g.text("v")}
	}
	if g.bool("extra") {
		req.Extra = map[string]llm.Raw{
			"truncation": llm.Raw(`"auto"`), "previous_response_id": llm.Raw(`"resp_1"`), "background": llm.Raw("true"), "max_tool_calls": llm.Raw("3"),
			"include": llm.Raw(`["file_search_call.results"]`), "text": llm.Raw(`{"new":1}`), "reasoning": llm.Raw(`{"context":"auto"}`),
			"x" + g.text("unknown"): llm.Raw(`{"a":[1,2.50,"x"]}`),
		}
	}
	return req
}

var respSame = cmp.Options{cmpopts.EquateEmpty()}

func TestResponses_requestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := (&respGen{t: t}).request()
		body, dropped, err := Responses.EncodeRequest([]byte("before"), want, &llm.Target{Model: want.Model})
		if err != nil || dropped != nil {
			t.Fatalf("dropped %v: %v", dropped, err)
		}
		got, err := Responses.DecodeRequest(body[len("before"):])
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if d := cmp.Diff(want, got, respSame); d != "" {
			t.Fatalf("-want +got\n%s\n%s", d, body)
		}
	})
}

// response draws an answer of this dialect.
func (g *respGen) response() *llm.Response {
	c := llm.Choice{Parts: g.assistant()}
	calls, refused, texts := false, false, false
	for i := range c.Parts {
		p := &c.Parts[i]
		calls, refused, texts = calls || p.Call != nil, refused || p.Kind == llm.KindRefusal, texts || p.Kind == llm.KindText
	}
	if texts && g.bool("logprobs") {
		c.Logprobs = []llm.TokenLogprob{{Token: g.text("token"), Logprob: -0.25, Bytes: []int64{104, 105}, Top: []llm.TokenLogprob{{Token: "x", Logprob: -1e-7}}}}
	}
	status, reason := g.of("status", "completed", "incomplete"), ""
	if status == "incomplete" {
		reason = g.of("reason", "max_output_tokens", "content_filter", "")
	}
	c.Stop = respStop(status, reason, calls, refused)
	resp := &llm.Response{From: llm.Responses, ID: g.id("resp_"), Model: g.some("model"), Created: int64(g.int("created", 1, 1<<40)),
		ServiceTier: g.of("tier", "default", "flex"), Choices: []llm.Choice{c}}
	if g.bool("usage") {
		n := func(l string) int64 { return int64(g.int(l, 0, 1000)) }
		resp.Usage = &llm.Usage{Input: n("in"), Output: n("out"), Total: 1 + n("total"), CacheRead: n("read"), CacheWrite: n("write"), Reasoning: n("reasoning"),
			CacheKnown: true, ReasoningKnown: true, InputAudio: n("audio"), OutputImage: n("image")}
	}
	return resp
}

func respExchange(model string) *llm.Exchange {
	return &llm.Exchange{Model: model, ID: "call_77", Started: time.Unix(1e9, 0), Now: func() time.Time { return time.Unix(1e9+1, 0) }}
}

// What an answer repeats of the request is in Extra after decoding; the rest must be the same, and a second time everything.
func TestResponses_responseRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := (&respGen{t: t}).response()
		body := Responses.EncodeResponse([]byte("before"), want, respExchange(want.Model))[len("before"):]
		got, err := Responses.DecodeResponse(body)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if d := cmp.Diff(want, got, respSame, cmpopts.IgnoreFields(llm.Response{}, "Extra")); d != "" {
			t.Fatalf("-want +got\n%s\n%s", d, body)
		}
		again, err := Responses.DecodeResponse(Responses.EncodeResponse(nil, got, respExchange(want.Model)))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got, again, respSame); d != "" {
			t.Fatalf("-once +twice\n%s", d)
		}
	})
}

func TestResponses_streamRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := &respGen{t: rt}
		want := g.response()
		enc := Responses.NewStreamEncoder(respExchange(want.Model))
		var out []byte
		for _, e := range want.Events() {
			if e.Kind == llm.EventDelta && g.bool("in pieces") {
				for _, r := range e.Text {
					out = enc.Encode(out, &llm.Event{Kind: llm.EventDelta, Index: e.Index, Text: string(r)})
				}
				e.Text = ""
			}
			out = enc.Encode(out, &e)
			if g.bool("ping") {
				out = enc.Encode(out, &llm.Event{Kind: llm.EventPing})
			}
		}
		got, events, failed, seen := respReadStream(t, string(out))
		if failed != nil {
			rt.Fatal(failed)
		}
		respWellFormed(rt, events)
		if d := cmp.Diff(want, got, respSame, cmpopts.IgnoreFields(llm.Response{}, "Extra")); d != "" {
			rt.Fatalf("-want +got\n%s\n%s", d, out)
		}
		if seen.Finish != want.Choices[0].Reason || !cmp.Equal(seen.Usage, want.Usage) {
			rt.Fatalf("the tap saw %+v", seen)
		}
	})
}

// respWellFormed checks the order that events promise.
func respWellFormed(t interface{ Fatalf(string, ...any) }, events []llm.Event) {
	next, open := 0, -1
	for i, e := range events {
		switch e.Kind {
		case llm.EventStart:
			if i != 0 {
				t.Fatalf("start is event %d", i)
			}
		case llm.EventPartStart:
			if e.Index != next || open >= 0 {
				t.Fatalf("part %d starts while %d is open, next %d", e.Index, open, next)
			}
			next, open = next+1, e.Index
		case llm.EventPartStop:
			if e.Index != open {
				t.Fatalf("part %d stops while %d is open", e.Index, open)
			}
			open = -1
		case llm.EventDelta:
			if e.Index >= next {
				t.Fatalf("delta of part %d before its start", e.Index)
			}
		case llm.EventEnd, llm.EventError:
			if i != len(events)-1 {
				t.Fatalf("events after the end")
			}
		}
	}
}

// Thoughts, redacted thoughts and signed calls of another dialect reach the client as items; what the client sends back holds them again.
func TestResponses_foreignTurnSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &respGen{t: t}
		by := rapid.SampledFrom([]llm.Dialect{llm.Anthropic, llm.Gemini, llm.Converse, llm.OpenAI}).Draw(t, "by")
		want := []llm.Part{
			{Kind: llm.KindReasoning, Text: g.some("thought"), Signature: g.some("s1"), SignedBy: by},
			{Kind: llm.KindRedacted, Data: g.some("data"), SignedBy: by},
			{Kind: llm.KindText, Text: g.text("text"), Signature: g.some("s2"), SignedBy: by},
			{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "c1", Name: "f", Arguments: `{"a":1}`}, Signature: g.some("s3"), SignedBy: by},
			{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: "c2", Name: "f", Arguments: `{}`}},
		}
		resp := &llm.Response{From: by, Choices: []llm.Choice{{Parts: want, Stop: llm.Stop{Reason: llm.FinishToolCalls}}}}
		body := Responses.EncodeResponse(nil, resp, respExchange("m"))
		_, items, _ := strings.Cut(string(body), `"output":`)
		items, _, _ = strings.Cut(items, `,"usage":`)
		req, err := Responses.DecodeRequest([]byte(`{"model":"m","input":` + items + `}`))
		if err != nil || !Responses.Sealed(body) {
			t.Fatalf("%s: %v", items, err)
		}
		if len(req.Messages) != 1 {
			t.Fatalf("%d messages from %s", len(req.Messages), items)
		}
		opts := cmp.Options{respSame, cmpopts.IgnoreFields(llm.Part{}, "ID", "Summary")}
		if d := cmp.Diff(want, req.Messages[0].Parts, opts); d != "" {
			t.Fatalf("-sent +returned\n%s\n%s", d, items)
		}
	})
}
