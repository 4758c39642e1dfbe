package converse

import (
	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// DecodeCount reads a client's body of count-tokens, whose input is a Converse body.
func DecodeCount(body []byte) (*llm.Request, error) {
	var c struct {
		Input struct {
			Converse llm.Raw `json:"converse"`
			Invoke   llm.Raw `json:"invokeModel"`
		} `json:"input"`
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, badField(err, "")
	}
	switch {
	case llm.IsSet(c.Input.Converse):
	case llm.IsSet(c.Input.Invoke):
		return nil, llm.Invalid("input.invokeModel", "bodies of InvokeModel are not counted: give the conversation as input.converse")
	default:
		return nil, llm.Invalid("input.converse", "the field is required: the conversation to count")
	}
	req, err := Converse.DecodeRequest(c.Input.Converse)
	if err != nil {
		e := llm.AsError(err)
		e.Param = llm.JoinPath("input.converse", e.Param)
		return nil, e
	}
	return req, nil
}

// EncodeCount appends the body of count-tokens for the target: what fills the input and nothing else.
func EncodeCount(dst []byte, req *llm.Request, t *llm.Target) (body []byte, dropped []string, err error) {
	w := newWriter(dst)
	w.Object("")
	w.Object("input")
	w.Name("converse")
	body, dropped, err = encodeRequest(w.Buf, req, t, true)
	if err != nil {
		return dst, nil, err
	}
	return append(body, "}}"...), dropped, nil
}

// AppendCount appends the answer of count-tokens.
func AppendCount(dst []byte, n int64) []byte {
	w := newWriter(dst)
	w.Object("")
	w.Int("inputTokens", n)
	w.End("}")
	return w.Buf
}

// DecodeCountResponse reads the answer of count-tokens.
func DecodeCountResponse(body []byte) (int64, error) {
	var c struct {
		Input *int64 `json:"inputTokens"`
	}
	if err := wire.Unmarshal(body, &c); err != nil || c.Input == nil || *c.Input < 0 {
		return 0, &llm.Error{Kind: llm.ErrUpstream, Message: "the upstream's answer is not a count of tokens", Upstream: true, Cause: err}
	}
	return *c.Input, nil
}
