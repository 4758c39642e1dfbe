package anthropic

import (
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// DecodeCount reads a client's body of count_tokens: a Messages body that need not say max_tokens.
func (messages) DecodeCount(body []byte) (*llm.Request, error) { return decodeRequest(body) }

// EncodeCount appends the body of count_tokens for the target: what fills the input and nothing else.
func (messages) EncodeCount(dst []byte, req *llm.Request, t *llm.Target) ([]byte, error) {
	body, _, err := encodeRequest(dst, req, t, true)
	return body, err
}

// AppendCount appends the answer of count_tokens.
func (messages) AppendCount(dst []byte, n int64) []byte {
	w := newWriter(dst)
	w.Object("")
	w.Int("input_tokens", n)
	w.End("}")
	return w.Buf
}

// DecodeCountResponse reads the answer of count_tokens.
func (messages) DecodeCountResponse(body []byte) (int64, error) {
	var c struct {
		Type  string  `json:"type"`
		Input *int64  `json:"input_tokens"`
		Error llm.Raw `json:"error"`
	}
	if err := wire.Unmarshal(body, &c); err != nil {
		return 0, unreadable(err)
	}
	switch {
	case c.Type == "error", c.Input == nil && c.Error.Kind() == '{':
		return 0, inbandError(body)
	case c.Input == nil || *c.Input < 0:
		return 0, unreadable(nil)
	}
	return *c.Input, nil
}
