package proxy

import (
	"github.com/weir-gateway/weir/internal/anthropic"
	"github.com/weir-gateway/weir/internal/converse"
	"github.com/weir-gateway/weir/internal/gemini"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/usage"
)

// counter is a dialect's count_tokens, both halves.
type counter struct {
	decode func(body []byte) (*llm.Request, error)
	append func(dst []byte, n int64) []byte
	encode func(dst []byte, req *llm.Request, t *llm.Target) ([]byte, error)
	answer func(body []byte) (int64, error)
}

// counters is where a dialect's count_tokens is registered.
var counters = map[llm.Dialect]counter{
	llm.Anthropic: {anthropic.Messages.DecodeCount, anthropic.Messages.AppendCount, anthropic.Messages.EncodeCount, anthropic.Messages.DecodeCountResponse},
	llm.Gemini:    {gemini.DecodeCount, gemini.AppendCount, whatever(gemini.EncodeCount), gemini.DecodeCountResponse},
	llm.Converse:  {converse.DecodeCount, converse.AppendCount, whatever(converse.EncodeCount), converse.DecodeCountResponse},
}

// whatever ignores what an encoder drops: a count need not be told what it could not count.
func whatever(encode func([]byte, *llm.Request, *llm.Target) ([]byte, []string, error)) func([]byte, *llm.Request, *llm.Target) ([]byte, error) {
	return func(dst []byte, req *llm.Request, t *llm.Target) ([]byte, error) {
		body, _, err := encode(dst, req, t)
		return body, err
	}
}

// count says how many tokens a request would take: asked of an upstream that can tell, estimated with a tokenizer otherwise.
func (c *call) count() *llm.Error {
	if err := c.admit(); err != nil {
		return err
	}
	if err := c.choose(); err != nil {
		return err
	}
	if err := c.reserve(); err != nil {
		return err
	}
	served := counters[c.dialect]
	req, decodeErr := served.decode(c.body)
	if decodeErr != nil {
		return llm.AsError(decodeErr)
	}
	req.Model = c.model
	c.spoken = c.target.Dialect(c.dialect)
	c.rec.Out = c.spoken
	n, err := c.countUpstream(req)
	if err != nil {
		return err
	}
	if n < 0 {
		n = usage.EstimateRequest(req)
	}
	reply := c.buffer()
	*reply = served.append(*reply, n)
	c.seen.Usage = &llm.Usage{} // counting is free
	return c.reply(nil, *reply)
}

// countUpstream asks the upstream, and gives -1 if it has no way to tell.
func (c *call) countUpstream(req *llm.Request) (int64, *llm.Error) {
	speaks, ok := counters[c.spoken]
	if !ok || !c.target.Upstream.Supports(llm.OpCount) {
		return -1, nil
	}
	body, encodeErr := speaks.encode(nil, req, &c.target.Upstream.Target)
	if encodeErr != nil {
		return -1, llm.AsError(encodeErr)
	}
	if edits := c.target.Upstream.Edits(llm.OpCount, c.spoken, false); len(edits) > 0 {
		var err *llm.Error
		if body, err = c.edit(body, edits); err != nil {
			return -1, err
		}
	}
	resp, err := c.send(llm.OpCount, body)
	if err != nil {
		return -1, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == 404 || resp.StatusCode == 405 || resp.StatusCode == 501 {
		return -1, nil // a compatible server without this endpoint
	}
	if resp.StatusCode >= 300 {
		return -1, c.upstreamError(resp, codecs[c.spoken])
	}
	b, err := c.readReply(resp)
	if err != nil {
		return -1, err
	}
	n, decodeErr := speaks.answer(b)
	if decodeErr != nil {
		return -1, c.upstreamFault(decodeErr)
	}
	return n, nil
}
