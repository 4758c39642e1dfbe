package gemini

import (
	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

type countBody struct {
	GenerateContentRequest *requestBody  `json:"generateContentRequest,omitzero"`
	Contents               list[content] `json:"contents,omitzero"`
	SystemInstruction      *content      `json:"systemInstruction,omitzero"`
	Tools                  list[unknown] `json:"tools,omitzero"`
	GenerationConfig       *genConfig    `json:"generationConfig,omitzero"`
	Model                  string        `json:"model,omitzero"`
}

// DecodeCount reads a countTokens body, the Gemini API's (contents, or a whole generateContentRequest) or Vertex's.
func DecodeCount(body []byte) (*llm.Request, error) {
	var b countBody
	if err := json.Unmarshal(body, &b, readOptions); err != nil {
		return nil, badBody(err)
	}
	inner := b.GenerateContentRequest
	if inner == nil {
		inner = &requestBody{Contents: b.Contents, SystemInstruction: b.SystemInstruction, Tools: b.Tools,
			GenerationConfig: b.GenerationConfig, Model: b.Model}
	}
	req, err := inner.request()
	if err != nil {
		return nil, err
	}
	return req, nil
}

// EncodeCount appends a countTokens body for the target: Vertex takes the request's members bare, the Gemini API as an inner request,
// which names its model again.
func EncodeCount(dst []byte, req *llm.Request, t *llm.Target) (body []byte, dropped []string, err error) {
	b, dropped, err := encode(req, t)
	if err != nil {
		return dst, nil, err
	}
	inner := &requestBody{Contents: b.Contents, SystemInstruction: b.SystemInstruction, Tools: b.Tools}
	var out any = inner
	if !onVertex(t) {
		inner.Model = modelName(t.Model)
		out = &countBody{GenerateContentRequest: inner}
	}
	if body, err = appendJSON(dst, out); err != nil {
		return dst, nil, llm.Invalid("", "the request can't be written for Gemini: %v", err)
	}
	return body, dropped, nil
}

type countAnswer struct {
	TotalTokens *int64 `json:"totalTokens"`
}

// AppendCount appends a countTokens answer.
func AppendCount(dst []byte, n int64) []byte {
	out, err := appendJSON(dst, countAnswer{&n})
	if err != nil {
		return dst
	}
	return out
}

// DecodeCountResponse reads a countTokens answer.
func DecodeCountResponse(body []byte) (int64, error) {
	var a countAnswer
	if err := json.Unmarshal(body, &a, upstreamOptions); err != nil || a.TotalTokens == nil {
		return 0, &llm.Error{Kind: llm.ErrUpstream, Message: "the upstream's answer is not a countTokens response", Cause: err}
	}
	return *a.TotalTokens, nil
}
