package provider

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// cohereEmbed speaks Cohere's embed API (v2), and Bedrock's form of it, which has the model in the address.
type cohereEmbed struct{ bedrock bool }

// titanEmbed speaks Amazon's Titan embeddings: one text a call.
type titanEmbed struct{}

type cohereEmbedBody struct {
	Model      string         `json:"model,omitzero"`
	Texts      []string       `json:"texts"`
	InputType  string         `json:"input_type"`
	Types      []string       `json:"embedding_types"`
	Dimensions *int64         `json:"output_dimension,omitzero"`
	Truncate   jsontext.Value `json:"truncate,omitzero"`
}

// cohereTypes maps a task, in Gemini's words or Cohere's, to Cohere's input_type.
var cohereTypes = map[string]string{
	"retrieval_query": "search_query", "retrieval_document": "search_document", "classification": "classification", "clustering": "clustering",
	"question_answering": "search_query", "fact_verification": "search_query", "code_retrieval_query": "search_query",
	"search_query": "search_query", "search_document": "search_document", "image": "image",
}

func (e cohereEmbed) EncodeEmbed(dst []byte, req *llm.EmbedRequest, t *llm.Target) ([]byte, []string, error) {
	texts, err := inputTexts(req, "Cohere")
	if err != nil {
		return dst, nil, err
	}
	b := cohereEmbedBody{Texts: texts, InputType: "search_document", Types: []string{"float"}, Dimensions: req.Dimensions}
	if !e.bedrock {
		b.Model = t.Model
	}
	if to := cohereTypes[strings.ToLower(req.TaskType)]; to != "" {
		b.InputType = to
	}
	var dropped []string
	for name, v := range req.Extra {
		switch {
		case name == "input_type" && v.Kind() == '"':
			if json.Unmarshal(v, &b.InputType) != nil {
				dropped = append(dropped, name)
			}
		case name == "truncate":
			b.Truncate = v
		case string(v) != "null":
			dropped = append(dropped, name)
		}
	}
	if req.User != "" {
		dropped = append(dropped, "user")
	}
	out, err := appendObject(dst, b, "input")
	return out, dropped, err
}

// inputTexts are the inputs of a provider that takes nothing but text.
func inputTexts(req *llm.EmbedRequest, provider string) ([]string, error) {
	if len(req.Inputs) == 0 {
		return nil, llm.Invalid("input", "input: empty; send at least one text")
	}
	texts := make([]string, len(req.Inputs))
	for i := range req.Inputs {
		if req.Inputs[i].Tokens != nil {
			return nil, llm.Invalid("input", "input[%d]: %s embeds text, not token ids; send the text", i, provider)
		}
		texts[i] = req.Inputs[i].Text
	}
	return texts, nil
}

// appendObject appends v as JSON; a value that isn't UTF-8 is the client's fault.
func appendObject(dst []byte, v any, param string) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return dst, llm.Invalid(param, "%s holds text that is not UTF-8", param)
	}
	return append(dst, b...), nil
}

type cohereEmbedAnswer struct {
	Embeddings jsontext.Value `json:"embeddings"`
	Message    string         `json:"message"`
	Meta       struct {
		Billed struct {
			Input *float64 `json:"input_tokens"`
			Image float64  `json:"images"`
		} `json:"billed_units"`
	} `json:"meta"`
}

func (cohereEmbed) DecodeEmbed(body []byte) (*llm.EmbedResponse, error) {
	var a cohereEmbedAnswer
	if err := json.Unmarshal(body, &a, upstreamJSON); err != nil {
		return nil, unreadable("embedding", err)
	}
	resp := &llm.EmbedResponse{}
	switch a.Embeddings.Kind() {
	case '[':
		if err := json.Unmarshal(a.Embeddings, &resp.Vectors); err != nil {
			return nil, unreadable("embedding", err)
		}
	case '{':
		var typed struct {
			Float [][]float32 `json:"float"`
		}
		if err := json.Unmarshal(a.Embeddings, &typed); err != nil {
			return nil, unreadable("embedding", err)
		}
		resp.Vectors = typed.Float
	}
	if len(resp.Vectors) == 0 {
		return nil, unreadable("embedding", nil)
	}
	if n := a.Meta.Billed.Input; n != nil {
		resp.Usage = &llm.Usage{Input: int64(*n), Total: int64(*n)}
	}
	return resp, nil
}

// upstreamJSON reads what an upstream wrote, which is not ours to refuse for doubled names or broken text.
var upstreamJSON = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func unreadable(what string, cause error) *llm.Error {
	return &llm.Error{Kind: llm.ErrUpstream, Upstream: true, Message: "the upstream's answer is not a " + what + " response", Cause: cause}
}

func (titanEmbed) EncodeEmbed(dst []byte, req *llm.EmbedRequest, t *llm.Target) ([]byte, []string, error) {
	texts, err := inputTexts(req, "Titan")
	if err != nil {
		return dst, nil, err
	}
	if len(texts) > 1 {
		return dst, nil, llm.Invalid("input", "input: %s embeds one text a call, not %d; send them one by one", t.Model, len(texts))
	}
	b := struct {
		Text       string `json:"inputText"`
		Dimensions *int64 `json:"dimensions,omitzero"`
	}{Text: texts[0]}
	var dropped []string
	if strings.Contains(t.Model, "embed-text-v1") {
		if req.Dimensions != nil {
			dropped = append(dropped, "dimensions")
		}
	} else {
		b.Dimensions = req.Dimensions
	}
	if req.User != "" {
		dropped = append(dropped, "user")
	}
	out, err := appendObject(dst, b, "input")
	return out, dropped, err
}

func (titanEmbed) DecodeEmbed(body []byte) (*llm.EmbedResponse, error) {
	var a struct {
		Embedding []float32 `json:"embedding"`
		Tokens    *int64    `json:"inputTextTokenCount"`
	}
	if err := json.Unmarshal(body, &a, upstreamJSON); err != nil || len(a.Embedding) == 0 {
		return nil, unreadable("embedding", err)
	}
	resp := &llm.EmbedResponse{Vectors: [][]float32{a.Embedding}}
	if a.Tokens != nil {
		resp.Usage = &llm.Usage{Input: *a.Tokens, Total: *a.Tokens}
	}
	return resp, nil
}
