package openai

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// What the dialect can express comes back from it unchanged.

func word(t *rapid.T, label string) string {
	return rapid.StringMatching(`[a-z][a-z0-9_]{0,7}`).Draw(t, label)
}

func prose(t *rapid.T) string { return rapid.StringN(1, 20, -1).Draw(t, "prose") }

func maybe[T any](t *rapid.T, label string, g *rapid.Generator[T]) *T {
	if !rapid.Bool().Draw(t, label+"?") {
		return nil
	}
	return llm.Ptr(g.Draw(t, label))
}

func drawCache(t *rapid.T) *llm.CacheMark {
	return rapid.SampledFrom([]*llm.CacheMark{nil, nil, {}, {TTL: "1h"}}).Draw(t, "cache")
}

func drawThoughts(t *rapid.T) []llm.Part {
	var parts []llm.Part
	for range rapid.IntRange(0, 3).Draw(t, "thoughts") {
		switch rapid.IntRange(0, 4).Draw(t, "thought") {
		case 0:
			parts = append(parts, llm.Part{Kind: llm.KindReasoning, Text: prose(t)})
		case 1:
			by := rapid.SampledFrom(llm.Dialects).Draw(t, "by")
			parts = append(parts, llm.Part{Kind: llm.KindReasoning, Text: prose(t), Signature: word(t, "signature"), SignedBy: by})
		case 2:
			parts = append(parts, llm.Part{Kind: llm.KindRedacted, Data: word(t, "data"), SignedBy: llm.Anthropic})
		case 3:
			parts = append(parts, llm.Part{Kind: llm.KindReasoning, ID: word(t, "id"), Signature: word(t, "signature"), SignedBy: llm.Responses})
		case 4:
			parts = append(parts, llm.Part{Kind: llm.KindReasoning, ID: word(t, "id"), Text: prose(t), Summary: true})
		}
	}
	return parts
}

func drawCalls(t *rapid.T, withCache bool) []llm.Part {
	var parts []llm.Part
	for i := range rapid.IntRange(0, 3).Draw(t, "calls") {
		p := llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{
			ID: fmt.Sprintf("call_%d", i), Name: word(t, "name"), Arguments: rapid.SampledFrom([]string{"{}", `{"a":1}`, `{"broken`}).Draw(t, "arguments"),
		}}
		if rapid.IntRange(0, 3).Draw(t, "custom") == 0 {
			p.Call.Type, p.Call.Arguments = "custom", prose(t)
		}
		if rapid.IntRange(0, 3).Draw(t, "signed") == 0 {
			p.Signature, p.SignedBy = word(t, "signature"), llm.Gemini
		}
		if withCache {
			p.Cache = drawCache(t)
		}
		parts = append(parts, p)
	}
	return parts
}

func drawUserPart(t *rapid.T) llm.Part {
	p := llm.Part{Cache: drawCache(t)}
	switch rapid.IntRange(0, 6).Draw(t, "part") {
	case 0:
		p.Kind, p.Media = llm.KindImage, &llm.Media{MIME: "image/png", Data: "aGk=", Detail: "low"}
	case 1:
		p.Kind, p.Media = llm.KindImage, &llm.Media{URL: "https://example.com/a.png"}
	case 2:
		p.Kind, p.Media = llm.KindAudio, &llm.Media{MIME: rapid.SampledFrom([]string{"audio/wav", "audio/mpeg"}).Draw(t, "mime"), Data: "aGk="}
	case 3:
		p.Kind, p.Media = llm.KindDocument, &llm.Media{MIME: "application/pdf", Data: "aGk=", Name: word(t, "file")}
	case 4:
		p.Kind, p.Media = llm.KindDocument, &llm.Media{FileID: word(t, "file_id")}
	case 5:
		p.Kind, p.Media = llm.KindVideo, &llm.Media{URL: "https://example.com/a.mp4"}
	default:
		p.Kind, p.Text = llm.KindText, prose(t)
	}
	return p
}

func drawMessage(t *rapid.T) llm.Message {
	m := llm.Message{Role: rapid.SampledFrom([]llm.Role{llm.RoleSystem, llm.RoleDeveloper, llm.RoleUser, llm.RoleAssistant, llm.RoleTool}).Draw(t, "role")}
	switch m.Role {
	case llm.RoleUser:
		m.Name = rapid.SampledFrom([]string{"", "ann"}).Draw(t, "name")
		for range rapid.IntRange(0, 3).Draw(t, "parts") {
			m.Parts = append(m.Parts, drawUserPart(t))
		}
	case llm.RoleAssistant:
		m.Parts = drawThoughts(t)
		for range rapid.IntRange(0, 2).Draw(t, "texts") {
			m.Parts = append(m.Parts, llm.Part{Kind: llm.KindText, Text: prose(t), Cache: drawCache(t)})
		}
		if rapid.IntRange(0, 3).Draw(t, "refuses") == 0 {
			m.Parts = append(m.Parts, llm.Part{Kind: llm.KindRefusal, Text: prose(t)})
		}
		m.Parts = append(m.Parts, drawCalls(t, true)...)
	case llm.RoleTool:
		r := &llm.ToolResult{CallID: word(t, "call_id")}
		for range rapid.IntRange(0, 2).Draw(t, "parts") {
			r.Parts = append(r.Parts, llm.Part{Kind: llm.KindText, Text: prose(t)})
		}
		m.Parts = []llm.Part{{Kind: llm.KindToolResult, Result: r, Cache: drawCache(t)}}
	default:
		m.Parts = []llm.Part{{Kind: llm.KindText, Text: prose(t), Cache: drawCache(t)}}
	}
	return m
}

func drawTools(t *rapid.T, r *llm.Request) {
	for i := range rapid.IntRange(0, 3).Draw(t, "tools") {
		tool := llm.Tool{Name: fmt.Sprintf("tool%d", i), Description: rapid.SampledFrom([]string{"", "does"}).Draw(t, "description")}
		if rapid.IntRange(0, 4).Draw(t, "custom") == 0 {
			tool.Type, tool.Description = "custom", ""
			tool.Raw = llm.Raw(fmt.Sprintf(`{"type":"custom","custom":{"name":%q}}`, tool.Name))
		} else {
			tool.Strict, tool.Cache = maybe(t, "strict", rapid.Bool()), drawCache(t)
			tool.Schema = rapid.SampledFrom([]llm.Raw{nil, llm.Raw(`{"type":"object"}`)}).Draw(t, "schema")
		}
		r.Tools = append(r.Tools, tool)
	}
	if len(r.Tools) == 0 {
		return
	}
	name := r.Tools[0].Name
	r.ToolChoice = rapid.SampledFrom([]*llm.ToolChoice{
		nil, {Mode: llm.ChoiceAuto}, {Mode: llm.ChoiceNone}, {Mode: llm.ChoiceRequired},
		{Mode: llm.ChoiceAllowed, Allowed: []string{name}}, {Mode: llm.ChoiceAllowed, Name: llm.ChoiceRequired, Allowed: []string{name}},
	}).Draw(t, "choice")
	if r.Tools[0].Type == "" && rapid.Bool().Draw(t, "named") {
		r.ToolChoice = &llm.ToolChoice{Mode: llm.ChoiceTool, Name: name}
	}
	r.ParallelTools = maybe(t, "parallel", rapid.Bool())
}

func drawRequest(t *rapid.T) *llm.Request {
	float := rapid.Float64Range(-2, 2)
	small := rapid.Int64Range(1, 1<<40)
	r := &llm.Request{
		From: llm.OpenAI, Model: "m", MaxTokens: maybe(t, "max_tokens", small), Temperature: maybe(t, "temperature", float),
		TopP: maybe(t, "top_p", float), TopK: maybe(t, "top_k", small), MinP: maybe(t, "min_p", float),
		PresencePenalty: maybe(t, "presence", float), FrequencyPenalty: maybe(t, "frequency", float), Seed: maybe(t, "seed", rapid.Int64()),
		N: maybe(t, "n", small), Logprobs: maybe(t, "logprobs", rapid.Bool()), TopLogprobs: maybe(t, "top_logprobs", small),
		Store: maybe(t, "store", rapid.Bool()),
	}
	for range rapid.IntRange(1, 5).Draw(t, "messages") {
		r.Messages = append(r.Messages, drawMessage(t))
	}
	drawTools(t, r)
	if rapid.Bool().Draw(t, "more") {
		r.Stop = []string{prose(t)}
		r.LogitBias = map[string]float64{"50256": -100}
		r.Metadata = map[string]string{"k": prose(t)}
		r.Modalities, r.Audio = []string{"text", "audio"}, &llm.AudioOutput{Voice: "alloy", Format: "wav"}
		r.Verbosity, r.ServiceTier, r.User, r.SafetyIdentifier, r.PromptCacheKey = "low", "flex", prose(t), "s", "p"
		r.Extra = map[string]llm.Raw{"web_search_options": llm.Raw("{}"), "prediction": llm.Raw(`{"type":"content","content":"x"}`)}
		r.Stream, r.StreamUsage = true, true
	}
	r.Reasoning = rapid.SampledFrom([]*llm.Reasoning{
		nil, {Effort: "high"}, {Effort: "none"}, {Budget: llm.Ptr(int64(4096))}, {Budget: llm.Ptr(int64(0))}, {Budget: llm.Ptr(int64(-1))},
	}).Draw(t, "reasoning")
	r.Format = rapid.SampledFrom([]*llm.Format{
		nil, {Type: "text"}, {Type: "json_object"},
		{Type: "json_schema", Name: "n", Description: "d", Schema: llm.Raw(`{"type":"object"}`), Strict: llm.Ptr(true)},
	}).Draw(t, "format")
	return r
}

func TestRequest_roundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRequest(t)
		body, dropped, err := Chat.EncodeRequest([]byte("before"), want, &llm.Target{Model: "m"})
		if err != nil || len(dropped) > 0 {
			t.Fatalf("dropped %v: %v", dropped, err)
		}
		body = bytes.TrimPrefix(body, []byte("before"))
		got, err := Chat.DecodeRequest(body)
		if err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("%s\n%s", d, body)
		}
	})
}

func drawResponse(t *rapid.T) *llm.Response {
	r := &llm.Response{
		From: llm.OpenAI, ID: "chatcmpl-" + word(t, "id"), Model: "m", Created: rapid.Int64Range(1, 1<<32).Draw(t, "created"),
		ServiceTier: rapid.SampledFrom([]string{"", "default"}).Draw(t, "tier"),
	}
	if rapid.Bool().Draw(t, "extra") {
		r.Extra = map[string]llm.Raw{"provider": llm.Raw(`"x"`)}
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "choices") {
		r.Choices = append(r.Choices, drawChoice(t, i))
	}
	n := rapid.Int64Range(0, 1000)
	u := &llm.Usage{
		Input: 5000 + n.Draw(t, "input"), Output: 5000 + n.Draw(t, "output"), CacheRead: n.Draw(t, "read"), CacheWrite: n.Draw(t, "write"),
		Reasoning: n.Draw(t, "reasoning"), InputAudio: n.Draw(t, "audio in"), OutputAudio: n.Draw(t, "audio out"), Accepted: n.Draw(t, "accepted"),
		Rejected: n.Draw(t, "rejected"), WebSearches: n.Draw(t, "searches"), CacheKnown: true, ReasoningKnown: true,
	}
	u.Total = u.Input + u.Output
	u.CacheWrite1h = min(u.CacheWrite, n.Draw(t, "write 1h"))
	r.Usage = u
	return r
}

func drawChoice(t *rapid.T, i int) llm.Choice {
	c := llm.Choice{Index: i, Parts: drawThoughts(t)}
	if rapid.Bool().Draw(t, "text") {
		p := llm.Part{Kind: llm.KindText, Text: prose(t)}
		if rapid.Bool().Draw(t, "cites") {
			p.Citations = []llm.Citation{{Kind: "url", URL: "https://example.com", Title: prose(t), Start: 1, End: 3}}
		}
		if rapid.Bool().Draw(t, "logprobs") {
			c.Logprobs = []llm.TokenLogprob{{Token: "a", Logprob: -0.5, Bytes: []int64{97}, Top: []llm.TokenLogprob{{Token: "b", Logprob: -3.25}}}}
		}
		c.Parts = append(c.Parts, p)
	}
	c.Stop = rapid.SampledFrom([]llm.Stop{
		{Reason: llm.FinishStop, Raw: "stop"}, {Reason: llm.FinishLength, Raw: "length"}, {Reason: llm.FinishFilter, Raw: "content_filter"},
		{Reason: llm.FinishSequence, Raw: "stop", Sequence: "END"},
	}).Draw(t, "stop")
	if rapid.IntRange(0, 3).Draw(t, "refuses") == 0 {
		c.Parts = append(c.Parts, llm.Part{Kind: llm.KindRefusal, Text: prose(t)})
		c.Stop = llm.Stop{Reason: llm.FinishRefusal, Raw: "stop"}
	}
	if rapid.IntRange(0, 3).Draw(t, "sounds") == 0 {
		c.Parts = append(c.Parts, llm.Part{Kind: llm.KindAudio, Media: &llm.Media{ID: word(t, "audio"), Data: "aGk=", Transcript: prose(t)}})
	}
	if rapid.IntRange(0, 3).Draw(t, "draws") == 0 {
		c.Parts = append(c.Parts, llm.Part{Kind: llm.KindImage, Media: &llm.Media{MIME: "image/png", Data: "aGk="}})
	}
	if calls := drawCalls(t, false); len(calls) > 0 {
		c.Parts = append(c.Parts, calls...)
		c.Stop = llm.Stop{Reason: llm.FinishToolCalls, Raw: "tool_calls"}
	}
	return c
}

func TestResponse_roundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawResponse(t)
		body := Chat.EncodeResponse(nil, want, &llm.Exchange{})
		got, err := Chat.DecodeResponse(body)
		if err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("%s\n%s", d, body)
		}
		tap := Chat.NewTap()
		if err := tap.Body(body); err != nil || !cmp.Equal(tap.Seen().Usage, want.Usage, cmpopts.EquateEmpty()) {
			t.Fatalf("tap: %v %+v", err, tap.Seen())
		}
	})
}

// readStream decodes framed bytes with decoder and tap.
func readStream(body []byte, d llm.StreamDecoder, tap llm.Tap) (*llm.Accumulator, []llm.Event, error) {
	r := wire.NewSSEReader(bytes.NewReader(body), 0)
	acc := &llm.Accumulator{}
	var all []llm.Event
	for {
		f, err := r.Next()
		if err != nil {
			break
		}
		frame := llm.Frame{Type: f.Type, Data: f.Data}
		tap.Frame(frame)
		events, err := d.Decode(nil, frame)
		all = append(all, events...)
		if err != nil {
			return acc, all, err
		}
	}
	events, _ := d.Finish(nil)
	all = append(all, events...)
	for i := range all {
		acc.Add(&all[i])
	}
	return acc, all, nil
}

func writeStream(e llm.StreamEncoder, events []llm.Event) []byte {
	var out []byte
	for i := range events {
		out = e.Encode(out, &events[i])
	}
	return out
}

func TestStream_roundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawResponse(t)
		body := writeStream(Chat.NewStreamEncoder(&llm.Exchange{StreamUsage: true}), want.Events())
		tap := Chat.NewTap()
		acc, events, err := readStream(body, Chat.NewStreamDecoder(), tap)
		if err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
		if complete, e := acc.Complete(); !complete || e != nil {
			t.Fatalf("complete %v: %v\n%s", complete, e, body)
		}
		got := acc.Response() // its candidates stand in the order in which they first said something
		slices.SortFunc(got.Choices, func(a, b llm.Choice) int { return a.Index - b.Index })
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("%s\n%s", d, body)
		}
		if err := wellFormed(events); err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
		if !cmp.Equal(tap.Seen().Usage, want.Usage, cmpopts.EquateEmpty()) {
			t.Fatalf("tap: %+v", tap.Seen())
		}
		if got, want := tap.Seen().Chars, generated(want); got != want {
			t.Fatalf("the tap counted %d of %d bytes\n%s", got, want, body)
		}
	})
}

// generated is the length of what a model wrote.
func generated(r *llm.Response) (n int64) {
	for _, c := range r.Choices {
		for _, p := range c.Parts {
			n += int64(len(p.Text))
			if p.Call != nil {
				n += int64(len(p.Call.Arguments))
			}
			if p.Media != nil {
				n += int64(len(p.Media.Transcript))
			}
		}
	}
	return n
}

// wellFormed checks the order of events that llm.EventKind promises.
func wellFormed(events []llm.Event) error {
	open := map[int]int{}
	next := map[int]int{}
	for i, e := range events {
		at, isOpen := open[e.Choice]
		switch e.Kind {
		case llm.EventStart:
			if i != 0 {
				return fmt.Errorf("event %d: start", i)
			}
		case llm.EventPartStart:
			if isOpen || e.Index != next[e.Choice] {
				return fmt.Errorf("event %d: part %d starts, open %v, next %d", i, e.Index, isOpen, next[e.Choice])
			}
			open[e.Choice] = e.Index
			next[e.Choice]++
		case llm.EventDelta:
			if e.Index >= next[e.Choice] {
				return fmt.Errorf("event %d: delta of part %d, which has not begun", i, e.Index)
			}
		case llm.EventPartStop:
			if !isOpen || at != e.Index {
				return fmt.Errorf("event %d: part %d stops, open is %d", i, e.Index, at)
			}
			delete(open, e.Choice)
		case llm.EventFinish:
			if isOpen {
				return fmt.Errorf("event %d: finish with part %d open", i, at)
			}
		case llm.EventEnd, llm.EventError:
			if i != len(events)-1 {
				return fmt.Errorf("event %d: not the last", i)
			}
		}
	}
	return nil
}

func TestEmbed_roundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req := &llm.EmbedRequest{From: llm.OpenAI, Model: "m", Base64: rapid.Bool().Draw(t, "base64"), Dimensions: maybe(t, "dimensions", rapid.Int64Range(1, 4096))}
		tokens := rapid.Bool().Draw(t, "tokens")
		for range rapid.IntRange(1, 3).Draw(t, "inputs") {
			in := llm.EmbedInput{Text: prose(t)}
			if tokens {
				in = llm.EmbedInput{Tokens: rapid.SliceOfN(rapid.Int64Range(0, 1e6), 1, 4).Draw(t, "ids")}
			}
			req.Inputs = append(req.Inputs, in)
		}
		req.Single = len(req.Inputs) == 1 && rapid.Bool().Draw(t, "single")
		body, dropped, err := Embeddings.EncodeEmbed(nil, req, &llm.Target{Model: "m"})
		if err != nil || dropped != nil {
			t.Fatal(dropped, err)
		}
		got, err := Embeddings.DecodeEmbedRequest(body)
		if err != nil {
			t.Fatalf("%v\n%s", err, body)
		}
		if d := cmp.Diff(req, got); d != "" {
			t.Fatalf("%s\n%s", d, body)
		}
		want := &llm.EmbedResponse{Model: "m", Usage: &llm.Usage{Input: 7, Total: 7}}
		for range req.Inputs {
			want.Vectors = append(want.Vectors, rapid.SliceOfN(rapid.Float32(), 1, 5).Draw(t, "vector"))
		}
		reply := Embeddings.EncodeEmbedResponse(nil, want, req, "m")
		back, err := Embeddings.DecodeEmbed(reply)
		if err != nil {
			t.Fatalf("%v\n%s", err, reply)
		}
		if d := cmp.Diff(want, back); d != "" {
			t.Fatalf("%s\n%s", d, reply)
		}
	})
}
