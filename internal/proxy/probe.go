package proxy

import (
	"context"
	"io"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/openai"
	"github.com/weir-gateway/weir/internal/route"
)

// Probe makes the smallest call that shows a deployment working: one token of chat, or one short vector. It is neither recorded nor
// counted.
func (p *Proxy) Probe(ctx context.Context, d *route.Deployment) *llm.Error {
	op, dialect := llm.OpChat, d.Dialect("")
	var body []byte
	var err error
	if d.Mode == "embedding" {
		op = llm.OpEmbed
		var speaks llm.SpokenEmbed = openai.Embeddings
		if own := d.Upstream.Embed(); own != nil {
			speaks = own
		}
		body, _, err = speaks.EncodeEmbed(nil, &llm.EmbedRequest{Model: d.Upstream.Model, Inputs: []llm.EmbedInput{{Text: "hi"}}}, &d.Upstream.Target)
	} else {
		var speaks llm.Spoken = codecs[dialect]
		if own := d.Upstream.Codec(dialect); own != nil {
			speaks = own
		}
		req := &llm.Request{Model: d.Upstream.Model, MaxTokens: llm.Ptr(int64(16)),
			Messages: []llm.Message{{Role: llm.RoleUser, Parts: []llm.Part{{Kind: llm.KindText, Text: "hi"}}}}}
		body, _, err = speaks.EncodeRequest(nil, req, &d.Upstream.Target)
	}
	if err != nil {
		return llm.AsError(err)
	}
	req, err := d.Upstream.Request(ctx, op, dialect, false, body)
	if err != nil {
		return llm.AsError(err)
	}
	resp, err := p.out.Do(req, d.Timeouts)
	if err != nil {
		return &llm.Error{Kind: llm.ErrConnection, Message: "deployment " + d.ID + ": connection error", Cause: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return &llm.Error{Kind: llm.ErrConnection, Message: "deployment " + d.ID + ": the answer broke off", Cause: err}
	}
	if resp.StatusCode >= 300 {
		return codecs[dialect].DecodeError(resp.StatusCode, resp.Header, b)
	}
	return nil
}
