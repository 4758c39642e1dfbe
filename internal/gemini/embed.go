package gemini

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

type embeddings struct{}

// Embeddings is the Gemini API's embedContent (one input, EmbedRequest.Single) and batchEmbedContents (several). The caller picks the
// path by Single.
var Embeddings embeddings

type vertexEmbeddings struct{}

// VertexEmbeddings is Vertex AI's predict form of the same, for its text-embedding models.
var VertexEmbeddings vertexEmbeddings

var (
	_ llm.SpokenEmbed = Embeddings
	_ llm.ServedEmbed = Embeddings
	_ llm.SpokenEmbed = VertexEmbeddings
	_ llm.ServedEmbed = VertexEmbeddings
)

type embedOne struct {
	Model                string   `json:"model,omitzero"`
	Content              *content `json:"content,omitzero"`
	TaskType             string   `json:"taskType,omitzero"`
	Title                string   `json:"title,omitzero"`
	OutputDimensionality *whole   `json:"outputDimensionality,omitzero"`
	Other                unknown  `json:",embed"`
}

type embedMany struct {
	Requests list[embedOne] `json:"requests"`
}

type embedding struct {
	Values []float32 `json:"values"`
}

type embedAnswer struct {
	Embedding     *embedding     `json:"embedding,omitzero"`
	Embeddings    []embedding    `json:"embeddings,omitzero"`
	UsageMetadata *usageMetadata `json:"usageMetadata,omitzero"`
	Error         llm.Raw        `json:"error,omitzero"`
}

func modelName(m string) string {
	if strings.Contains(m, "/") {
		return m
	}
	return "models/" + m
}

// EncodeEmbed appends an embedContent body for a single input, else a batchEmbedContents one.
func (embeddings) EncodeEmbed(dst []byte, req *llm.EmbedRequest, t *llm.Target) ([]byte, []string, error) {
	if err := textOnly(req); err != nil {
		return dst, nil, err
	}
	one := func(text string) embedOne {
		e := embedOne{Model: modelName(t.Model), Content: &content{Parts: list[part]{{Text: &text}}}, TaskType: taskType(req.TaskType),
			Title: req.Title, OutputDimensionality: (*whole)(req.Dimensions)}
		if req.From == llm.Gemini {
			e.Other = req.Extra
		}
		return e
	}
	var body any
	if req.Single && len(req.Inputs) == 1 {
		body = one(req.Inputs[0].Text)
	} else {
		many := embedMany{}
		for _, in := range req.Inputs {
			many.Requests = append(many.Requests, one(in.Text))
		}
		body = many
	}
	out, err := appendJSON(dst, body)
	if err != nil {
		return dst, nil, llm.Invalid("input", "input: %v", err)
	}
	return out, embedDropped(req), nil
}

func textOnly(req *llm.EmbedRequest) error {
	if len(req.Inputs) == 0 {
		return llm.Invalid("input", "input: empty; send at least one text")
	}
	for i := range req.Inputs {
		if req.Inputs[i].Tokens != nil {
			return llm.Invalid("input", "input[%d]: Gemini embeds text, not token ids; send the text", i)
		}
	}
	return nil
}

func taskType(s string) string { return strings.ToUpper(s) }

func embedDropped(req *llm.EmbedRequest) []string {
	var out []string
	if req.User != "" {
		out = append(out, "user")
	}
	if req.From != llm.Gemini {
		out = append(out, slices.Sorted(maps.Keys(req.Extra))...)
	}
	return out
}

// DecodeEmbed reads the answer of either.
func (embeddings) DecodeEmbed(body []byte) (*llm.EmbedResponse, error) {
	var a embedAnswer
	if err := json.Unmarshal(body, &a, upstreamOptions); err != nil {
		return nil, &llm.Error{Kind: llm.ErrUpstream, Message: "the upstream's answer is not an embedding response", Cause: err}
	}
	if len(a.Error) > 0 {
		return nil, errorIn(body)
	}
	if a.Embedding != nil {
		a.Embeddings = append(a.Embeddings, *a.Embedding)
	}
	if len(a.Embeddings) == 0 {
		return nil, llm.Errorf(llm.ErrUpstream, "the upstream's answer is not an embedding response: it has no embeddings")
	}
	resp := &llm.EmbedResponse{}
	for _, e := range a.Embeddings {
		resp.Vectors = append(resp.Vectors, e.Values)
	}
	if a.UsageMetadata.counted() {
		resp.Usage = a.UsageMetadata.usage()
	}
	return resp, nil
}

// DecodeEmbedRequest reads either body; the vocabulary holds one task type, title and size for all of a batch.
func (embeddings) DecodeEmbedRequest(body []byte) (*llm.EmbedRequest, error) {
	var b struct {
		embedMany
		embedOne
	}
	if err := json.Unmarshal(body, &b, readOptions); err != nil {
		return nil, badBody(err)
	}
	req := &llm.EmbedRequest{From: llm.Gemini}
	if b.Content != nil {
		req.Single = true
		b.Requests = list[embedOne]{b.embedOne}
	}
	if len(b.Requests) == 0 {
		return nil, llm.Invalid("content", "content: empty; send content for embedContent, requests for batchEmbedContents")
	}
	for i := range b.Requests {
		one := &b.Requests[i]
		where := "content"
		if !req.Single {
			where = fmt.Sprintf("requests[%d].content", i)
		}
		if i > 0 && (one.TaskType != b.Requests[0].TaskType || one.Title != b.Requests[0].Title ||
			!sameNumber(one.OutputDimensionality, b.Requests[0].OutputDimensionality)) {
			return nil, llm.Invalid(where, "requests[%d]: taskType, title and outputDimensionality must be the same in all of a batch; send several batches", i)
		}
		text, err := embedText(one.Content, where)
		if err != nil {
			return nil, err
		}
		req.Inputs = append(req.Inputs, llm.EmbedInput{Text: text})
	}
	first := &b.Requests[0]
	req.Model, req.TaskType, req.Title = strings.TrimPrefix(first.Model, "models/"), strings.ToLower(first.TaskType), first.Title
	req.Dimensions, req.Extra = number(first.OutputDimensionality), extra(first.Other)
	return req, nil
}

func sameNumber(a, b *whole) bool { return a == b || a != nil && b != nil && *a == *b }

// embedText joins a content's parts: they make one vector.
func embedText(c *content, where string) (string, error) {
	if c == nil || len(c.Parts) == 0 {
		return "", llm.Invalid(where, "%s: empty; send {\"parts\": [{\"text\": ...}]}", where)
	}
	var texts []string
	for i := range c.Parts {
		if c.Parts[i].Text == nil {
			field := fmt.Sprintf("%s.parts[%d]", where, i)
			return "", llm.Invalid(field, "%s: only text can be embedded here", field)
		}
		texts = append(texts, *c.Parts[i].Text)
	}
	return strings.Join(texts, "\n"), nil
}

// EncodeEmbedResponse appends an answer of the form that the request asked for.
func (embeddings) EncodeEmbedResponse(dst []byte, resp *llm.EmbedResponse, req *llm.EmbedRequest, _ string) []byte {
	a := embedAnswer{}
	if req != nil && req.Single && len(resp.Vectors) == 1 {
		a.Embedding = &embedding{resp.Vectors[0]}
	} else {
		a.Embeddings = []embedding{}
		for _, v := range resp.Vectors {
			a.Embeddings = append(a.Embeddings, embedding{v})
		}
	}
	return appendAnswer(dst, a)
}

// appendAnswer appends an embedding answer; one with a number that JSON can't hold becomes an error.
func appendAnswer(dst []byte, v any) []byte {
	out, err := appendJSON(dst, v)
	if err != nil {
		return Generate.EncodeError(dst, nil, &llm.Error{Kind: llm.ErrInternal, Message: "the answer can't be written", Cause: err})
	}
	return out
}

type predictBody struct {
	Instances  list[instance] `json:"instances"`
	Parameters *parameters    `json:"parameters,omitzero"`
}

// instance has snake_case names even on the wire.
type instance struct {
	Content  string `json:"content"`
	TaskType string `json:"task_type,omitzero"`
	Title    string `json:"title,omitzero"`
}

type parameters struct {
	OutputDimensionality *whole  `json:"outputDimensionality,omitzero"`
	Other                unknown `json:",embed"`
}

type predictAnswer struct {
	Predictions []prediction `json:"predictions"`
	Error       llm.Raw      `json:"error,omitzero"`
}

type prediction struct {
	Embeddings struct {
		Values     []float32   `json:"values"`
		Statistics *statistics `json:"statistics,omitzero"`
	} `json:"embeddings"`
}

type statistics struct {
	TokenCount float64 `json:"token_count"`
	Truncated  bool    `json:"truncated"`
}

// EncodeEmbed appends a predict body.
func (vertexEmbeddings) EncodeEmbed(dst []byte, req *llm.EmbedRequest, _ *llm.Target) ([]byte, []string, error) {
	if err := textOnly(req); err != nil {
		return dst, nil, err
	}
	b := predictBody{}
	for _, in := range req.Inputs {
		b.Instances = append(b.Instances, instance{in.Text, taskType(req.TaskType), req.Title})
	}
	if req.Dimensions != nil || req.From == llm.Gemini && len(req.Extra) > 0 {
		b.Parameters = &parameters{OutputDimensionality: (*whole)(req.Dimensions)}
		if req.From == llm.Gemini {
			b.Parameters.Other = req.Extra
		}
	}
	out, err := appendJSON(dst, b)
	if err != nil {
		return dst, nil, llm.Invalid("input", "input: %v", err)
	}
	return out, embedDropped(req), nil
}

// DecodeEmbed reads predictions; their token counts add up to the usage.
func (vertexEmbeddings) DecodeEmbed(body []byte) (*llm.EmbedResponse, error) {
	var a predictAnswer
	if err := json.Unmarshal(body, &a, upstreamOptions); err != nil {
		return nil, &llm.Error{Kind: llm.ErrUpstream, Message: "the upstream's answer is not a prediction", Cause: err}
	}
	if len(a.Error) > 0 {
		return nil, errorIn(body)
	}
	if len(a.Predictions) == 0 {
		return nil, llm.Errorf(llm.ErrUpstream, "the upstream's answer is not a prediction: it has no predictions")
	}
	resp := &llm.EmbedResponse{}
	for i := range a.Predictions {
		e := &a.Predictions[i].Embeddings
		resp.Vectors = append(resp.Vectors, e.Values)
		if e.Statistics != nil {
			if resp.Usage == nil {
				resp.Usage = &llm.Usage{}
			}
			resp.Usage.Input += int64(e.Statistics.TokenCount)
		}
	}
	return resp, nil
}

// DecodeEmbedRequest reads a predict body.
func (vertexEmbeddings) DecodeEmbedRequest(body []byte) (*llm.EmbedRequest, error) {
	var b predictBody
	if err := json.Unmarshal(body, &b, readOptions); err != nil {
		return nil, badBody(err)
	}
	if len(b.Instances) == 0 {
		return nil, llm.Invalid("instances", "instances: empty; send at least one {\"content\": text}")
	}
	req := &llm.EmbedRequest{From: llm.Gemini, TaskType: strings.ToLower(b.Instances[0].TaskType), Title: b.Instances[0].Title}
	for i, in := range b.Instances {
		if in.TaskType != b.Instances[0].TaskType || in.Title != b.Instances[0].Title {
			field := fmt.Sprintf("instances[%d]", i)
			return nil, llm.Invalid(field, "%s: task_type and title must be the same in all of a batch; send several batches", field)
		}
		req.Inputs = append(req.Inputs, llm.EmbedInput{Text: in.Content})
	}
	if p := b.Parameters; p != nil {
		req.Dimensions, req.Extra = number(p.OutputDimensionality), extra(p.Other)
	}
	return req, nil
}

// EncodeEmbedResponse appends predictions.
func (vertexEmbeddings) EncodeEmbedResponse(dst []byte, resp *llm.EmbedResponse, _ *llm.EmbedRequest, _ string) []byte {
	a := predictAnswer{Predictions: make([]prediction, len(resp.Vectors))}
	for i, v := range resp.Vectors {
		a.Predictions[i].Embeddings.Values = slices.Clip(v)
	}
	if u := resp.Usage; u != nil && len(a.Predictions) > 0 { // only the sum is known: the first carries it
		a.Predictions[0].Embeddings.Statistics = &statistics{TokenCount: float64(u.Input)}
	}
	return appendAnswer(dst, a)
}
