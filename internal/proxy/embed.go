package proxy

import (
	"github.com/weir-gateway/weir/internal/gemini"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/openai"
)

// embed answers with vectors: spliced between OpenAI's own form and an upstream that speaks it, translated otherwise.
func (c *call) embed() *llm.Error {
	if err := c.admit(); err != nil {
		return err
	}
	if _, ok := c.doc.Get("input"); !ok && c.dialect == llm.OpenAI {
		return missingField("/embeddings", "input")
	}
	if err := c.choose(); err != nil {
		return err
	}
	if err := c.reserve(); err != nil {
		return err
	}
	own := c.target.Upstream.Embed()
	c.spoken = llm.OpenAI
	if own != nil && len(c.target.Upstream.Dialects) > 0 {
		c.spoken = c.target.Upstream.Dialects[0]
	}
	c.rec.Out = c.spoken
	if own == nil && c.dialect == llm.OpenAI {
		return c.embedSpliced()
	}
	if own == llm.SpokenEmbed(gemini.Embeddings) && c.dialect == llm.Gemini && c.model == c.target.Upstream.Model {
		return c.embedGemini() // its bodies name the model too, once for each input
	}
	return c.embedTranslated(own)
}

func (c *call) embedSpliced() *llm.Error {
	resp, err := c.sendSpliced(codecs[llm.OpenAI])
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return c.spliceBody(resp, codecs[llm.OpenAI].NewTap())
}

// embedGemini passes Gemini's own embedding calls through as they are.
func (c *call) embedGemini() *llm.Error {
	resp, err := c.sendSpliced(codecs[llm.Gemini])
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := c.readReply(resp)
	if err != nil {
		return err
	}
	answer, decodeErr := gemini.Embeddings.DecodeEmbed(b)
	if decodeErr != nil {
		return c.upstreamFault(decodeErr)
	}
	c.seen.Usage, c.seen.Model = answer.Usage, answer.Model
	return c.reply(resp.Header, b)
}

func (c *call) embedTranslated(own llm.SpokenEmbed) *llm.Error {
	var served llm.ServedEmbed = openai.Embeddings
	if c.dialect == llm.Gemini {
		served = gemini.Embeddings
	}
	body := c.body
	if edits := c.ownFields(nil); len(edits) > 0 {
		body = c.doc.Splice(nil, edits...)
	}
	req, decodeErr := served.DecodeEmbedRequest(body)
	if decodeErr != nil {
		return llm.AsError(decodeErr)
	}
	req.Model = c.model
	var speaks llm.SpokenEmbed = openai.Embeddings
	if own != nil {
		speaks = own
	}
	out := c.buffer()
	asked := *req
	asked.Single = false // upstream always as a list: one path, whatever the client's form
	encoded, dropped, encodeErr := speaks.EncodeEmbed(*out, &asked, &c.target.Upstream.Target)
	if encodeErr != nil {
		return llm.AsError(encodeErr)
	}
	*out = encoded
	if err := c.drop(dropped); err != nil {
		return err
	}
	resp, err := c.send(llm.OpEmbed, *out)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		e := c.upstreamError(resp, codecs[c.spoken])
		e.Body = nil
		return e
	}
	b, err := c.readReply(resp)
	if err != nil {
		return err
	}
	answer, decodeErr := speaks.DecodeEmbed(b)
	if decodeErr != nil {
		return c.upstreamFault(decodeErr)
	}
	c.seen.Usage, c.seen.Model = answer.Usage, answer.Model
	reply := c.buffer()
	*reply = served.EncodeEmbedResponse(*reply, answer, req, c.shownModel())
	return c.reply(resp.Header, *reply)
}
