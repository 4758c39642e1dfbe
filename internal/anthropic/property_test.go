package anthropic

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/weir-gateway/weir/internal/llm"
)

// Generators of what this dialect can say.

var (
	wordGen = rapid.StringMatching(`[a-zA-Z0-9_-]{1,12}`)
	textGen = rapid.Custom(func(t *rapid.T) string {
		return rapid.String().Draw(t, "text") + rapid.SampledFrom([]string{"x", "ü\n\"q\"", "{\"a\":1}", "日本", "</data>:\r\n.", " \u2028z"}).Draw(t, "end")
	})
	objectGen = rapid.Custom(func(t *rapid.T) llm.Raw {
		return rapid.SampledFrom([]llm.Raw{
			llm.Raw(`{}`), llm.Raw(`{"type":"object","properties":{"b":{"type":"string"},"a":{"type":"integer"}}}`),
			llm.Raw(`{"n":12345678901234567890.50,"s":"é\u0000"}`), llm.Raw(`{"type":"object","a":[1,{"b":null}]}`),
		}).Draw(t, "object")
	})
)

func genCache(t *rapid.T) *llm.CacheMark {
	return rapid.SampledFrom([]*llm.CacheMark{nil, nil, {}, {TTL: "5m"}, {TTL: "1h"}}).Draw(t, "cache")
}

func genCitations(t *rapid.T) []llm.Citation {
	var out []llm.Citation
	for range rapid.IntRange(0, 2).Draw(t, "citations") {
		raw := rapid.SampledFrom([]string{
			`{"type":"char_location","cited_text":"c","document_index":1,"document_title":"t","file_id":null,"start_char_index":3,"end_char_index":9}`,
			`{"type":"page_location","cited_text":"c","document_index":0,"document_title":null,"start_page_number":1,"end_page_number":2}`,
			`{"type":"content_block_location","cited_text":"c","document_index":0,"start_block_index":1,"end_block_index":2}`,
			`{"type":"web_search_result_location","url":"https://example.com","title":"T","encrypted_index":"Eo8","cited_text":"c"}`,
			`{"type":"search_result_location","source":"s","search_result_index":2,"start_block_index":0,"end_block_index":1,"cited_text":"c"}`,
			`{"type":"new_location","cited_text":"later"}`,
		}).Draw(t, "citation")
		c, e := reader{}.citation(llm.Raw(raw), "")
		if e != nil {
			t.Fatal(e)
		}
		out = append(out, c)
	}
	return out
}

// genAnswerPart makes a part of an answer. In a request all signatures are Anthropic's, since it takes Bedrock's as its own.
func genAnswerPart(t *rapid.T, signers ...llm.Dialect) llm.Part {
	signed := rapid.SampledFrom(append(signers, llm.Anthropic))
	switch rapid.IntRange(0, 4).Draw(t, "part") {
	case 0:
		return llm.Part{Kind: llm.KindReasoning, Text: textGen.Draw(t, "thinking"), Signature: "EqUD", SignedBy: signed.Draw(t, "by")}
	case 1:
		return llm.Part{Kind: llm.KindRedacted, Data: "EmwK", SignedBy: signed.Draw(t, "by")}
	case 2:
		p := llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{
			ID: wordGen.Draw(t, "id"), Name: wordGen.Draw(t, "name"), Arguments: string(objectGen.Draw(t, "arguments"))}}
		if rapid.Bool().Draw(t, "caller") {
			p.Extra = map[string]llm.Raw{"caller": llm.Raw(`{"type":"direct"}`)}
		}
		return p
	case 3:
		return llm.Part{Kind: llm.KindNative, Raw: rapid.SampledFrom([]llm.Raw{
			llm.Raw(`{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"q"}}`),
			llm.Raw(`{"type":"server_tool_use","id":"srvtoolu_2","name":"web_fetch","input":{}}`),
			llm.Raw(`{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","url":"u"}]}`),
			llm.Raw(`{"type":"compaction","content":"summary"}`),
		}).Draw(t, "native")}
	}
	return llm.Part{Kind: llm.KindText, Text: textGen.Draw(t, "text"), Citations: genCitations(t)}
}

func genUserPart(t *rapid.T) llm.Part {
	p := llm.Part{Cache: genCache(t)}
	switch rapid.IntRange(0, 3).Draw(t, "part") {
	case 0:
		p.Kind = llm.KindImage
		p.Media = rapid.SampledFrom([]*llm.Media{
			{MIME: "image/png", Data: "iVBORw0KGgo="}, {URL: "https://example.com/a.png"}, {FileID: "file_1"},
		}).Draw(t, "image")
	case 1:
		p.Kind = llm.KindDocument
		p.Media = rapid.SampledFrom([]*llm.Media{
			{MIME: "application/pdf", Data: "JVBERi0=", Name: "report", Cited: true}, {URL: "https://example.com/a.pdf", Context: "old"},
			{MIME: "text/plain", Text: "plain\ntext", Name: "t", Context: "c"}, {FileID: "file_2"},
		}).Draw(t, "document")
	case 2:
		p.Kind = llm.KindToolResult
		p.Result = &llm.ToolResult{CallID: wordGen.Draw(t, "id"), IsError: rapid.Bool().Draw(t, "error"), Parts: rapid.SampledFrom([][]llm.Part{
			nil, {{Kind: llm.KindText, Text: "40 C"}},
			{{Kind: llm.KindText, Text: "a"}, {Kind: llm.KindImage, Media: &llm.Media{MIME: "image/png", Data: "iVBO"}}},
		}).Draw(t, "content")}
	default:
		p.Kind, p.Text = llm.KindText, textGen.Draw(t, "text")
	}
	return p
}

func genMessages(t *rapid.T) []llm.Message {
	var out []llm.Message
	if rapid.Bool().Draw(t, "system") {
		out = append(out, llm.Message{Role: llm.RoleSystem, Parts: []llm.Part{{Kind: llm.KindText, Text: textGen.Draw(t, "system"), Cache: genCache(t)}}})
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "messages") {
		m := llm.Message{Role: llm.RoleUser}
		gen := genUserPart
		if i > 0 && rapid.Bool().Draw(t, "assistant") {
			m.Role, gen = llm.RoleAssistant, func(t *rapid.T) llm.Part { return genAnswerPart(t) }
		}
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			m.Parts = append(m.Parts, gen(t))
		}
		out = append(out, m)
	}
	return out
}

func genTool(t *rapid.T) llm.Tool {
	if rapid.IntRange(0, 3).Draw(t, "native") == 0 {
		return llm.Tool{Type: "web_search_20250305", Name: "web_search", Raw: llm.Raw(`{"type":"web_search_20250305","name":"web_search","max_uses":3}`)}
	}
	tool := llm.Tool{Name: wordGen.Draw(t, "name"), Schema: llm.Raw(`{"type":"object","properties":{"city":{"type":"string"}}}`), Cache: genCache(t)}
	tool.Description = rapid.SampledFrom([]string{"", "does it"}).Draw(t, "description")
	tool.Strict = rapid.SampledFrom([]*bool{nil, llm.Ptr(true), llm.Ptr(false)}).Draw(t, "strict")
	if rapid.Bool().Draw(t, "defer") {
		tool.Extra = map[string]llm.Raw{"defer_loading": llm.Raw("true")}
	}
	return tool
}

func genRequest(t *rapid.T) *llm.Request {
	req := &llm.Request{From: llm.Anthropic, Model: wordGen.Draw(t, "model"), Stream: rapid.Bool().Draw(t, "stream"), Messages: genMessages(t)}
	req.MaxTokens = llm.Ptr(rapid.Int64Range(0, 1<<40).Draw(t, "max"))
	for range rapid.IntRange(0, 2).Draw(t, "tools") {
		req.Tools = append(req.Tools, genTool(t))
	}
	modes := []string{llm.ChoiceAuto, llm.ChoiceNone}
	switch rapid.IntRange(0, 4).Draw(t, "thinking") {
	case 0:
		req.Reasoning = &llm.Reasoning{Budget: llm.Ptr(int64(-1)), Effort: "max", Summary: "omitted"}
	case 1:
		req.Reasoning = &llm.Reasoning{Budget: llm.Ptr(int64(2048))}
		req.MaxTokens = llm.Ptr(int64(4000))
	case 2:
		req.Reasoning = &llm.Reasoning{Budget: llm.Ptr(int64(0)), Effort: "low"}
	default:
		modes = append(modes, llm.ChoiceRequired, llm.ChoiceTool)
		req.Temperature = rapid.SampledFrom([]*float64{nil, llm.Ptr(0.0), llm.Ptr(0.7), llm.Ptr(1.0)}).Draw(t, "temperature")
		req.TopP = rapid.SampledFrom([]*float64{nil, llm.Ptr(0.123456789)}).Draw(t, "top_p")
		req.TopK = rapid.SampledFrom([]*int64{nil, llm.Ptr(int64(40))}).Draw(t, "top_k")
	}
	if rapid.Bool().Draw(t, "choose") {
		req.ToolChoice = &llm.ToolChoice{Mode: rapid.SampledFrom(modes).Draw(t, "mode")}
		if req.ToolChoice.Mode == llm.ChoiceTool {
			req.ToolChoice.Name = wordGen.Draw(t, "tool")
		}
		if req.ToolChoice.Mode != llm.ChoiceNone {
			req.ParallelTools = rapid.SampledFrom([]*bool{nil, llm.Ptr(true), llm.Ptr(false)}).Draw(t, "parallel")
		}
	}
	if rapid.Bool().Draw(t, "format") {
		req.Format = &llm.Format{Type: "json_schema", Schema: llm.Raw(`{"type":"object","properties":{"z":{"type":"string"},"a":{"minimum":1}}}`)}
	}
	req.Stop = rapid.SampledFrom([][]string{nil, {"END", "\n\n"}}).Draw(t, "stop")
	req.User = rapid.SampledFrom([]string{"", "user_1"}).Draw(t, "user")
	req.ServiceTier = rapid.SampledFrom([]string{"", "auto", "standard_only"}).Draw(t, "tier")
	if rapid.Bool().Draw(t, "extra") {
		req.Extra = map[string]llm.Raw{
			"container": llm.Raw(`"container_1"`), "context_management": llm.Raw(`{"edits":[]}`), "metadata": llm.Raw(`{"k":"v"}`),
			"mcp_servers": llm.Raw(`[{"type":"url","url":"https://example.com"}]`), "output_config": llm.Raw(`{"task_budget":{"total":5}}`),
		}
	}
	return req
}

func TestRequest_roundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req := genRequest(t)
		body, dropped, err := Messages.EncodeRequest([]byte("before"), req, &llm.Target{Model: req.Model})
		if err != nil || len(dropped) > 0 {
			t.Fatalf("dropped %q: %v", dropped, err)
		}
		body = []byte(strings.TrimPrefix(string(body), "before"))
		got, err := Messages.DecodeRequest(body)
		if err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
		if diff := cmp.Diff(req, got); diff != "" {
			t.Fatalf("(-want +got):\n%s\n%s", diff, body)
		}
	})
}

func genUsage(t *rapid.T) *llm.Usage {
	n := func(label string) int64 { return rapid.Int64Range(0, 1<<40).Draw(t, label) }
	u := &llm.Usage{Output: n("output"), CacheRead: n("read"), CacheWrite1h: n("write 1h"), CacheKnown: true}
	u.CacheWrite = u.CacheWrite1h + n("write 5m")
	u.Input = u.CacheRead + u.CacheWrite + n("input")
	if rapid.Bool().Draw(t, "reasoning") {
		u.Reasoning, u.ReasoningKnown = n("thinking"), true
	}
	if rapid.Bool().Draw(t, "searches") {
		u.WebSearches = 2
		u.Extra = map[string]llm.Raw{
			"server_tool_use": llm.Raw(`{"web_search_requests":2,"web_fetch_requests":1}`), "inference_geo": llm.Raw(`"global"`),
		}
	}
	return u
}

func genResponse(t *rapid.T) *llm.Response {
	resp := &llm.Response{From: llm.Anthropic, ID: wordGen.Draw(t, "id"), Model: wordGen.Draw(t, "model"), Usage: genUsage(t)}
	resp.ServiceTier = rapid.SampledFrom([]string{"", "standard", "batch"}).Draw(t, "tier")
	c := llm.Choice{}
	for range rapid.IntRange(0, 4).Draw(t, "parts") {
		c.Parts = append(c.Parts, genAnswerPart(t, llm.Converse, llm.Gemini))
	}
	stop := reasons[rapid.IntRange(0, 6).Draw(t, "stop")]
	c.Reason, c.Raw = stop.reason, stop.word
	switch stop.word {
	case "stop_sequence":
		c.Sequence = "END"
	case "refusal":
		c.Details = llm.Raw(`{"type":"refusal","category":"cyber","explanation":"no"}`)
	}
	resp.Choices = []llm.Choice{c}
	if rapid.Bool().Draw(t, "container") {
		resp.Extra = map[string]llm.Raw{"container": llm.Raw(`{"id":"container_1","expires_at":"2026-01-01T00:00:00Z"}`)}
	}
	return resp
}

func emptyParts(resp *llm.Response) {
	for i := range resp.Choices {
		if len(resp.Choices[i].Parts) == 0 {
			resp.Choices[i].Parts = nil
		}
	}
}

func TestResponse_roundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		resp := genResponse(t)
		body := Messages.EncodeResponse(nil, resp, &llm.Exchange{})
		got, err := Messages.DecodeResponse(body)
		if err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
		emptyParts(got)
		if diff := cmp.Diff(resp, got); diff != "" {
			t.Fatalf("(-want +got):\n%s\n%s", diff, body)
		}
	})
}

func TestStream_roundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		resp := genResponse(rt)
		enc := Messages.NewStreamEncoder(&llm.Exchange{})
		var stream []byte
		for _, e := range chopped(rt, resp.Events()) {
			stream = enc.Encode(stream, &e)
		}
		x := &exchange{Streaming: true}
		x.Response.Body = string(stream)
		checkOrder(t, x.frames(t))
		got := decodeFrames(t, x.frames(t))
		emptyParts(got)
		if diff := cmp.Diff(resp, got); diff != "" {
			rt.Fatalf("(-want +got):\n%s\n%s", diff, stream)
		}
	})
}

// chopped cuts deltas into smaller ones, at letters.
func chopped(t *rapid.T, events []llm.Event) []llm.Event {
	var out []llm.Event
	for _, e := range events {
		if runes := []rune(e.Text); e.Kind == llm.EventDelta && len(runes) > 1 {
			cut := rapid.IntRange(1, len(runes)-1).Draw(t, "cut")
			first := e
			first.Text, first.Signature, first.SignedBy, first.Citations = string(runes[:cut]), "", "", nil
			out = append(out, first)
			e.Text = string(runes[cut:])
		}
		out = append(out, e)
	}
	return out
}
