package proxy

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/weir-gateway/weir/internal/egress"
	"github.com/weir-gateway/weir/internal/llm"
)

// maxErrorBody is how much of an upstream's error is read.
const maxErrorBody = 64 << 10

// send makes the upstream request and waits for the head of the answer.
func (c *call) send(op llm.Op, body ...[]byte) (*http.Response, *llm.Error) {
	req, err := c.target.Upstream.Request(c.ctx, op, c.spoken, c.stream, body...)
	if err != nil {
		return nil, c.credentialError(err)
	}
	c.forwardHeaders(req.Header)
	c.contentTypeOf(req)
	c.overhead = c.p.now().Sub(c.started)
	c.asked, c.answered = true, false
	resp, err := c.p.out.Do(req, c.timeouts())
	if err != nil {
		return nil, c.transportError(err)
	}
	c.answered = resp.StatusCode < 300
	return resp, nil
}

// credentialError is a request that could not even be made: credentials that can't be had, an address that isn't one.
func (c *call) credentialError(err error) *llm.Error {
	var known *llm.Error
	if errors.As(err, &known) {
		return known
	}
	return &llm.Error{Kind: llm.ErrConnection, Provider: c.target.Upstream.Provider, Cause: err,
		Message: "deployment " + c.target.ID + ": the upstream request could not be prepared"}
}

// forwardHeaders passes on the client's headers that choose behaviour of its own dialect's provider.
func (c *call) forwardHeaders(h http.Header) {
	if c.spoken != llm.Anthropic || c.dialect != llm.Anthropic {
		return
	}
	if v := c.r.Header["Anthropic-Version"]; len(v) > 0 {
		h["Anthropic-Version"] = v
	}
	if v := c.r.Header["Anthropic-Beta"]; len(v) > 0 {
		h["Anthropic-Beta"] = append(h["Anthropic-Beta"][:len(h["Anthropic-Beta"]):len(h["Anthropic-Beta"])], v...) // beside the provider's own
	}
}

// readReply reads a whole answer within the limit.
func (c *call) readReply(resp *http.Response) ([]byte, *llm.Error) {
	b := c.bufferFor(resp.ContentLength)
	body, err := readAll(resp.Body, *b, resp.ContentLength, c.snap.Settings.MaxReply)
	*b = body
	switch {
	case err == nil:
		return body, nil
	case errors.Is(err, errTooLarge):
		return nil, c.upstreamFault(&llm.Error{Kind: llm.ErrUpstream, Message: "the upstream's answer is larger than the limit of " +
			strconv.FormatInt(c.snap.Settings.MaxReply, 10) + " bytes"})
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &llm.Error{Kind: llm.ErrConnection, Upstream: true, Provider: c.target.Upstream.Provider, Cause: err,
			Message: "deployment " + c.target.ID + ": the connection to the upstream broke before the answer was complete"}
	}
	return nil, c.transportError(err)
}

// upstreamError reads an answer that isn't 2xx.
func (c *call) upstreamError(resp *http.Response, speaks llm.Spoken) *llm.Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what could be read is what there is to say
	e := speaks.DecodeError(resp.StatusCode, resp.Header, body)
	e.Upstream, e.Provider = true, c.target.Upstream.Provider
	if resp.StatusCode < 400 { // a redirect from an API is a wrong address
		e.Kind, e.Status = llm.ErrUpstream, http.StatusBadGateway
		e.Message = "deployment " + c.target.ID + ": the upstream answered with a redirect: check its api_base"
	}
	h := http.Header{}
	c.upstreamHeaders(h, resp.Header)
	e.Header = h
	return e
}

// exchange tells an encoder what it must know of this call.
func (c *call) exchange(req *llm.Request) *llm.Exchange {
	return &llm.Exchange{Request: req, Model: c.shownModel(), ID: c.id, Started: c.started, Now: c.p.now, StreamUsage: c.wantUsage, Array: c.array}
}

// shownModel is the model's name in a translated answer: what the client asked for.
func (c *call) shownModel() string { return c.model }

func isTimeout(err error) bool {
	var t *egress.TimeoutError
	return errors.As(err, &t)
}
