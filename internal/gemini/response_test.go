package gemini

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

func TestFinish(t *testing.T) {
	t.Parallel()
	f := func(word string, want llm.FinishReason, back string) {
		t.Helper()
		resp, err := Generate.DecodeResponse([]byte(`{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":` + word + `}]}`))
		if err != nil {
			t.Fatal(err)
		}
		c := &resp.Choices[0]
		if c.Reason != want || finishWord(c.Stop, true) != strings.Trim(word, `"`) && word[0] == '"' {
			t.Errorf("%s: %+v", word, c.Stop)
		}
		if got := finishWord(llm.Stop{Reason: c.Reason, Raw: "end_turn"}, false); got != back {
			t.Errorf("%s: back as %s, want %s", want, got, back)
		}
	}
	f(`"STOP"`, llm.FinishStop, "STOP")
	f(`1`, llm.FinishStop, "STOP")
	f(`2`, llm.FinishLength, "MAX_TOKENS")
	f(`"MAX_TOKENS"`, llm.FinishLength, "MAX_TOKENS")
	for _, w := range []string{"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "MODEL_ARMOR"} {
		f(`"`+w+`"`, llm.FinishFilter, "SAFETY")
	}
	f(`"MALFORMED_FUNCTION_CALL"`, llm.FinishMalformed, "MALFORMED_FUNCTION_CALL")
	f(`"OTHER"`, llm.FinishError, "OTHER")
	f(`"SOMETHING_NEW"`, llm.FinishError, "OTHER")
}

func TestResponse_usage(t *testing.T) {
	t.Parallel()
	resp, err := Generate.DecodeResponse([]byte(`{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}],"usageMetadata":{
		"promptTokenCount":100,"cachedContentTokenCount":40,"candidatesTokenCount":10,"thoughtsTokenCount":7,"toolUsePromptTokenCount":20,"totalTokenCount":137,
		"promptTokensDetails":[{"modality":"TEXT","tokenCount":60},{"modality":"AUDIO","tokenCount":30},{"modality":2,"tokenCount":10}],
		"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":4}],"serviceTier":"flex","trafficType":"ON_DEMAND"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &llm.Usage{Input: 120, Output: 17, Total: 137, CacheRead: 40, CacheKnown: true, Reasoning: 7, ReasoningKnown: true, ToolInput: 20,
		InputAudio: 30, InputImage: 10, OutputImage: 4, Extra: unknown{"trafficType": llm.Raw(`"ON_DEMAND"`)}}
	if diff := cmp.Diff(want, resp.Usage); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// OpenAI-compatible upstreams that count reasoning apart from output keep both numbers.
	m := metadata(&llm.Usage{Input: 9, Output: 2, Reasoning: 25, Total: 11}, "", false)
	if m.CandidatesTokenCount != 2 || *m.ThoughtsTokenCount != 25 {
		t.Errorf("counted apart: %+v", m)
	}
	if resp.ServiceTier != "flex" {
		t.Errorf("tier %q", resp.ServiceTier)
	}
}

func TestResponse_blocked(t *testing.T) {
	t.Parallel()
	body := `{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":7,"totalTokenCount":7,"promptTokensDetails":[{"modality":"TEXT","tokenCount":7}]},"modelVersion":"m","responseId":"r"}`
	resp, err := Generate.DecodeResponse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Choices) != 1 || resp.Choices[0].Reason != llm.FinishFilter || resp.Choices[0].Raw != "PROHIBITED_CONTENT" {
		t.Errorf("%+v", resp.Choices)
	}
	if got := string(Generate.EncodeResponse(nil, resp, nil)); got != body {
		t.Errorf("got  %s\nwant %s", got, body)
	}
	resp.From = llm.OpenAI
	if got := string(Generate.EncodeResponse(nil, resp, nil)); !strings.Contains(got, `"finishReason":"SAFETY"`) {
		t.Errorf("from another dialect: %s", got)
	}
}

func TestResponse_citations(t *testing.T) {
	t.Parallel()
	body := `{"candidates":[{"content":{"parts":[{"text":"Ünïcode ends here."}],"role":"model"},"finishReason":"STOP","index":0,"citationMetadata":{"citationSources":[{"startIndex":0,"endIndex":3,"uri":"https://c.org"}]},"groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://a.org","title":"A"}}],"groundingSupports":[{"segment":{"startIndex":10,"endIndex":14},"groundingChunkIndices":[0,7]}],"webSearchQueries":["q"]}}]}`
	resp, err := Generate.DecodeResponse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	want := []llm.Citation{{Kind: "url", URL: "https://a.org", Title: "A", Start: 8, End: 12, From: llm.Gemini}, {Kind: "url", URL: "https://c.org", End: 2, From: llm.Gemini}}
	if diff := cmp.Diff(want, resp.Choices[0].Parts[0].Citations); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := string(Generate.EncodeResponse(nil, resp, nil)); got != body {
		t.Errorf("got  %s\nwant %s", got, body)
	}
}

func TestResponse_logprobs(t *testing.T) {
	t.Parallel()
	body := `{"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"},"finishReason":"STOP","index":0,"logprobsResult":{"chosenCandidates":[{"token":"a","logProbability":-0.5}],"topCandidates":[{"candidates":[{"token":"a","logProbability":-0.5},{"token":"b","logProbability":-2}]}]},"avgLogprobs":-0.5}]}`
	resp, err := Generate.DecodeResponse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	want := []llm.TokenLogprob{{Token: "a", Logprob: -0.5, Top: []llm.TokenLogprob{{Token: "a", Logprob: -0.5}, {Token: "b", Logprob: -2}}}}
	if diff := cmp.Diff(want, resp.Choices[0].Logprobs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := string(Generate.EncodeResponse(nil, resp, nil)); got != body {
		t.Errorf("got  %s\nwant %s", got, body)
	}
}

// TestResponse_ids: calls without ids get some that differ between answers, and are not shown to Gemini's own clients.
func TestResponse_ids(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for _, id := range []string{`"responseId":"a"`, `"responseId":"b"`, `"x":1`, `"y":1`} {
		resp, err := Generate.DecodeResponse([]byte(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}},{"functionCall":{"name":"f","args":{}}}]},"finishReason":"STOP"}],` + id + `}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range resp.Choices[0].Parts {
			ids[p.Call.ID] = true
		}
		if out := string(Generate.EncodeResponse(nil, resp, nil)); strings.Contains(out, `"id"`) {
			t.Errorf("an invented id went out: %s", out)
		}
	}
	if len(ids) != 8 {
		t.Errorf("%d different ids of 8: %v", len(ids), ids)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	f := func(body, model string) {
		t.Helper()
		req, err := DecodeCount([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if req.Model != model || llm.TextOf(req.Messages[len(req.Messages)-1].Parts) != "x" {
			t.Errorf("%s: %+v", body, req)
		}
	}
	contents := `"contents":[{"parts":[{"text":"x"}],"role":"user"}]`
	f(`{`+contents+`}`, "")
	f(`{"generateContentRequest":{"model":"models/m",`+contents+`}}`, "m")
	if _, err := DecodeCount([]byte(`{}`)); llm.AsError(err).Param != "contents" {
		t.Errorf("%v", err)
	}
	req := &llm.Request{From: llm.OpenAI, Messages: []llm.Message{user("x")}, MaxTokens: llm.Ptr(int64(3))}
	g := func(provider, want string) {
		t.Helper()
		got, _, err := EncodeCount(nil, req, &llm.Target{Model: "m", Provider: provider})
		if err != nil || string(got) != want {
			t.Errorf("%s: %s %v", provider, got, err)
		}
	}
	g("gemini", `{"generateContentRequest":{"model":"models/m",`+contents+`}}`)
	g("vertex_ai", `{`+contents+`}`)
	if n, err := DecodeCountResponse(AppendCount(nil, 31)); n != 31 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if _, err := DecodeCountResponse([]byte(`{}`)); err == nil {
		t.Error("an empty answer was taken")
	}
}

func TestEmbed(t *testing.T) {
	t.Parallel()
	f := func(d interface {
		llm.SpokenEmbed
		llm.ServedEmbed
	}, req *llm.EmbedRequest, want string) {
		t.Helper()
		body, dropped, err := d.EncodeEmbed(nil, req, &llm.Target{Model: "m"})
		if err != nil || len(dropped) > 0 || string(body) != want {
			t.Errorf("%v %v\ngot  %s\nwant %s", err, dropped, body, want)
		}
		back, err := d.DecodeEmbedRequest(body)
		if err != nil {
			t.Fatal(err)
		}
		back.Model = ""
		if diff := cmp.Diff(req, back); diff != "" {
			t.Errorf("(-sent +read):\n%s", diff)
		}
		resp := &llm.EmbedResponse{Usage: &llm.Usage{Input: 9}}
		for i := range req.Inputs {
			resp.Vectors = append(resp.Vectors, []float32{float32(i), 0.25})
		}
		got, err := d.DecodeEmbed(d.EncodeEmbedResponse(nil, resp, req, "m"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(resp.Vectors, got.Vectors); diff != "" {
			t.Errorf("vectors: %s", diff)
		}
	}
	one := &llm.EmbedRequest{From: llm.Gemini, Single: true, Inputs: []llm.EmbedInput{{Text: "a"}}, Dimensions: llm.Ptr(int64(8)), TaskType: "retrieval_query"}
	f(Embeddings, one, `{"model":"models/m","content":{"parts":[{"text":"a"}]},"taskType":"RETRIEVAL_QUERY","outputDimensionality":8}`)
	two := &llm.EmbedRequest{From: llm.Gemini, Inputs: []llm.EmbedInput{{Text: "a"}, {Text: "b"}}, TaskType: "retrieval_document", Title: "T"}
	f(Embeddings, two, `{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]},"taskType":"RETRIEVAL_DOCUMENT","title":"T"},{"model":"models/m","content":{"parts":[{"text":"b"}]},"taskType":"RETRIEVAL_DOCUMENT","title":"T"}]}`)
	two.Extra, two.Dimensions = unknown{"autoTruncate": llm.Raw("true")}, llm.Ptr(int64(3))
	f(VertexEmbeddings, two, `{"instances":[{"content":"a","task_type":"RETRIEVAL_DOCUMENT","title":"T"},{"content":"b","task_type":"RETRIEVAL_DOCUMENT","title":"T"}],"parameters":{"outputDimensionality":3,"autoTruncate":true}}`)
	bad := func(body, param string) {
		t.Helper()
		if _, err := Embeddings.DecodeEmbedRequest([]byte(body)); err == nil || llm.AsError(err).Param != param {
			t.Errorf("%s: %v", body, err)
		}
	}
	bad(`{}`, "content")
	bad(`{"requests":[{"model":"m"}]}`, "requests[0].content")
	bad(`{"content":{"parts":[{"inlineData":{"data":"aGk="}}]}}`, "content.parts[0]")
	if _, _, err := Embeddings.EncodeEmbed(nil, &llm.EmbedRequest{Inputs: []llm.EmbedInput{{Tokens: []int64{1}}}}, &llm.Target{}); err == nil {
		t.Error("token ids were taken")
	}
	predicted, err := VertexEmbeddings.DecodeEmbed([]byte(`{"predictions":[{"embeddings":{"values":[1],"statistics":{"token_count":4,"truncated":false}}},{"embeddings":{"values":[2],"statistics":{"token_count":5}}}]}`))
	if err != nil || predicted.Usage.Input != 9 || len(predicted.Vectors) != 2 {
		t.Errorf("%+v %v", predicted, err)
	}
}
