package proxy

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/openai"
	"github.com/weir-gateway/weir/internal/route"
	"github.com/weir-gateway/weir/internal/wire"
)

// completions serves OpenAI's legacy text completions over the same vocabulary.
var completions = openai.Completions

// chat is the hot path, for every dialect. It reads top to bottom; what comes later (history, guardrails, cache, retries) has its place as a
// plain call between these lines.
func (c *call) chat() *llm.Error {
	if err := c.admit(); err != nil {
		return err
	}
	if err := c.lacks(); err != nil {
		return err
	}
	if err := c.choose(); err != nil {
		return err
	}
	if err := c.reserve(); err != nil {
		return err
	}
	c.turn = c.readTurn()
	for {
		err := c.attempt()
		if err != nil && c.wrongPath(err) {
			continue // the upstream has no such path: speak another dialect to it, now and from now on
		}
		return err
	}
}

// admit lets a call in: a known key, a body within the limits, JSON that means one thing.
func (c *call) admit() *llm.Error {
	if err := c.authenticate(); err != nil {
		return err
	}
	if err := c.readBody(); err != nil {
		return err
	}
	if err := c.verify(); err != nil {
		return err
	}
	return c.scan()
}

// scan reads the top level of the body: model, stream and the fields that are the gateway's own, and where their bytes stand.
func (c *call) scan() *llm.Error {
	if err := wire.Scan(c.doc, c.body, wire.Limits{MaxDepth: c.snap.Settings.MaxDepth}); err != nil {
		e := llm.Invalid("request_body", "Invalid JSON payload: %v", err)
		e.Cause = err
		return e
	}
	if !c.pathModel {
		raw, ok := c.doc.Get("model")
		if !ok {
			c.model = c.r.URL.Query().Get("model")
		}
		if !ok && c.model == "" {
			return llm.Invalid("model", "Missing required parameter: 'model'. Call `/v1/models` to view available models for your key.")
		}
		if name, isText := c.doc.Str("model"); isText {
			c.model = name
		} else if ok {
			return llm.Invalid("model", "model must be a string, not %.20s", raw)
		}
		if stream, ok := c.doc.Get("stream"); ok {
			switch string(stream) {
			case "true":
				c.stream = true
			case "false", "null":
			default:
				return llm.Invalid("stream", "stream must be true or false, not %.20s", stream)
			}
		}
	}
	c.rec.Model, c.rec.Stream = c.model, c.stream
	c.tier, _ = c.doc.Str("service_tier")
	if c.dialect == llm.OpenAI && c.stream {
		c.wantUsage = wantsUsage(c.doc)
		n, ok := c.doc.Get("n")
		c.several = ok && string(n) != "1" && string(n) != "null"
	}
	return c.readOwn()
}

// lacks names what a body can't do without: a spliced one is not decoded, and an upstream's complaint would cost a round trip.
func (c *call) lacks() *llm.Error {
	var path string
	var fields [2]string
	switch {
	case c.op == llm.OpCompletion:
		path, fields[0] = "/completions", "prompt"
	case c.dialect == llm.OpenAI:
		path, fields[0] = "/chat/completions", "messages"
	case c.dialect == llm.Anthropic:
		path, fields[0], fields[1] = "/v1/messages", "max_tokens", "messages"
	case c.dialect == llm.Responses:
		if _, stored := c.doc.Get("prompt"); stored {
			return nil // a stored prompt brings its own input
		}
		path, fields[0] = "/responses", "input"
	}
	for _, field := range fields {
		if field == "" {
			break
		}
		if _, ok := c.doc.Get(field); !ok {
			return missingField(path, field)
		}
	}
	return nil
}

// choose checks that the caller may have the model and picks the deployment.
func (c *call) choose() *llm.Error {
	name, err := c.principal.Resolve(c.model)
	if err != nil {
		return err
	}
	m, ok := c.snap.Routes.Find(name)
	if !ok {
		if err := c.awaken(name); err != nil {
			return err
		}
		if m, ok = c.snap.Routes.Find(name); !ok {
			return c.stillAsleep("unknown")
		}
	}
	c.named, c.rec.Model = name, name
	if m.Name != name && c.snap.Routes.Group(name) == nil && !strings.Contains(m.Name, "*") {
		c.rec.Model = m.Name // asked for by a deployment's id: limits of the model hold for it too
	}
	c.target = m.Plan()
	c.group = m.Name
	if !open(c.target, c.principal) {
		return c.principal.Denied(c.model)
	}
	c.rec.Deployment, c.rec.Provider, c.rec.Upstream = c.target.ID, c.target.Upstream.Provider, c.target.Upstream.Model
	c.rec.APIBase = c.target.Upstream.Base
	if !c.serves() {
		return llm.Invalid("model", "model %s (deployment %s, provider %s) does not serve %s", c.model, c.target.ID, c.target.Upstream.Provider, c.op)
	}
	if c.target.Running != nil && !c.enter() {
		return c.choose()
	}
	return nil
}

// enter counts the call among those of its hosted model, if the routes by which it was found are still in force. Who takes a model out of
// service changes the routes first and then waits until no call is counted; one that came by older routes looks again.
func (c *call) enter() bool {
	c.target.Running.Add(1)
	if now := c.p.snap.Load(); now != c.snap {
		c.target.Running.Add(-1)
		c.snap = now
		return false
	}
	c.running = c.target.Running
	return true
}

// open reports whether a deployment is for the principal: not of another team, nor for groups that they are in none of.
func open(d *route.Deployment, p *auth.Principal) bool {
	return p.In(d.Groups) && (d.Info.TeamID == "" || d.Info.TeamID == p.TeamID || p.Admin)
}

// serves reports whether the deployment can do what is asked: itself, or with help (completions over chat, tokens counted here).
func (c *call) serves() bool {
	u := c.target.Upstream
	switch c.op {
	case llm.OpCompletion:
		return u.Supports(llm.OpCompletion) || u.Supports(llm.OpChat)
	case llm.OpCount:
		return u.Supports(llm.OpCount) || u.Supports(llm.OpChat)
	}
	return u.Supports(c.op)
}

// attempt makes one call upstream and answers the client with what comes back.
func (c *call) attempt() *llm.Error {
	c.spoken = c.target.Dialect(c.dialect)
	c.rec.Out = c.spoken
	c.rec.Attempts++
	if c.splices() {
		return c.splice()
	}
	return c.translate()
}

// splices reports whether the body can go through as it is: the upstream speaks the client's dialect in its standard form.
func (c *call) splices() bool {
	if c.op == llm.OpCompletion {
		return c.target.Upstream.Supports(llm.OpCompletion)
	}
	if c.dialect == llm.Responses && openai.Responses.Sealed(c.body) {
		return false // it carries signatures of other dialects, which only we can open
	}
	return c.spoken == c.dialect && c.target.Upstream.Codec(c.spoken) == nil && !c.mergesReasoning()
}

// wrongPath learns from a 404 that is about the path, not the model, and reports whether another dialect is worth trying.
func (c *call) wrongPath(err *llm.Error) bool {
	if c.sent || !err.Upstream || err.HTTPStatus() != http.StatusNotFound || err.Param == "model" ||
		strings.Contains(err.Code, "model") || strings.Contains(err.Type, "model") || strings.Contains(strings.ToLower(err.Message), "model") {
		return false
	}
	return c.op == llm.OpChat && c.target.Forget(c.spoken)
}

// splice forwards the client's bytes with the model's name replaced and the gateway's own fields taken out, and the answer's bytes back.
func (c *call) splice() *llm.Error {
	resp, err := c.sendSpliced(c.speaks())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	tap := c.speaks().NewTap()
	if c.stream && c.isStream(resp) {
		return c.spliceStream(resp, tap)
	}
	return c.spliceBody(resp, tap)
}

// sendSpliced sends the client's body on, edited, and gives a 2xx answer; the caller closes its body.
func (c *call) sendSpliced(speaks llm.Spoken) (*http.Response, *llm.Error) {
	edits, err := c.edits()
	if err != nil {
		return nil, err
	}
	resp, err := c.send(c.op, c.doc.Pieces(make([][]byte, 0, 8), edits...)...)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, c.upstreamError(resp, speaks)
	}
	return resp, nil
}

// spliceBody passes a whole answer on. It is read whole first: the record needs its usage, and is written before the last byte goes out.
func (c *call) spliceBody(resp *http.Response, tap llm.Tap) *llm.Error {
	if c.stream {
		return c.replayBody(resp) // asked to stream, answered whole
	}
	b, err := c.readReply(resp)
	if err != nil {
		return err
	}
	if e := tap.Body(b); e != nil {
		return c.upstreamFault(e)
	}
	c.seen = *tap.Seen()
	if c.renames() {
		out := c.buffer()
		*out, _ = renameModel(*out, b, c.dialect, c.model)
		b = *out
	}
	return c.reply(resp.Header, b)
}

// replayBody answers a streaming client from an upstream that did not stream.
func (c *call) replayBody(resp *http.Response) *llm.Error {
	b, e := c.readReply(resp)
	if e != nil {
		return e
	}
	answer, err := c.speaks().DecodeResponse(b)
	if err != nil {
		return c.upstreamFault(err)
	}
	c.note(answer)
	req, err := c.served.DecodeRequest(c.body)
	if err != nil {
		req = nil // the upstream took it; the encoder does without
	}
	return c.sendEvents(resp.Header, answer, req)
}

// translate decodes the body, writes it in the upstream's dialect, and renders the answer in the client's.
func (c *call) translate() *llm.Error {
	req, err := c.decode()
	if err != nil {
		return err
	}
	if err := c.inlineMedia(req); err != nil {
		return err
	}
	c.tools = newToolbox(c.spoken, c.target.Upstream.Dialects, req)
	speaks := c.speaks()
	out := c.buffer()
	body, dropped, encodeErr := speaks.EncodeRequest(*out, req, &c.target.Upstream.Target)
	if encodeErr != nil {
		return llm.AsError(encodeErr)
	}
	*out = body
	if err := c.drop(dropped); err != nil {
		return err
	}
	if edits := c.target.Upstream.Edits(llm.OpChat, c.spoken, c.stream); len(edits) > 0 {
		if *out, err = c.edit(body, edits); err != nil {
			return err
		}
	}
	resp, err := c.send(llm.OpChat, *out)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		e := c.upstreamError(resp, speaks)
		e.Body = nil // in another dialect's words
		return e
	}
	if c.stream && c.isStream(resp) {
		return c.translateStream(resp, speaks.NewStreamDecoder(), req)
	}
	b, err := c.readReply(resp)
	if err != nil {
		return err
	}
	answer, decodeErr := speaks.DecodeResponse(b)
	if decodeErr != nil {
		return c.upstreamFault(decodeErr)
	}
	c.note(answer)
	c.tools.restore(answer)
	if c.stream {
		return c.sendEvents(resp.Header, answer, req)
	}
	if c.mergesReasoning() {
		mergeReasoning(answer)
	}
	reply := c.buffer()
	*reply = c.served.EncodeResponse(*reply, answer, c.exchange(req))
	return c.reply(resp.Header, *reply)
}

// decode reads the client's body whole, without the fields that are the gateway's own, and puts the deployment's defaults where it said
// nothing.
func (c *call) decode() (*llm.Request, *llm.Error) {
	body := c.body
	if edits := c.ownFields(nil); len(edits) > 0 {
		b := c.buffer()
		*b = c.doc.Splice(*b, edits...)
		body = *b
	}
	req, err := c.served.DecodeRequest(body)
	if err != nil {
		return nil, llm.AsError(err)
	}
	req.Model, req.Stream = c.model, c.stream
	c.wantUsage = c.wantUsage || req.StreamUsage
	if c.dialect == llm.Responses && c.spoken != llm.Responses {
		if err := openai.Responses.Stateful(req); err != nil {
			return nil, err
		}
	}
	return req, c.applyDefaults(req)
}

// speaks is the codec for the upstream: the provider's own, or the dialect's.
func (c *call) speaks() llm.Spoken {
	if c.op == llm.OpCompletion && c.splices() {
		return completions
	}
	if own := c.target.Upstream.Codec(c.spoken); own != nil {
		return own
	}
	return codecs[c.spoken]
}

// note keeps what the record needs of a decoded answer.
func (c *call) note(answer *llm.Response) {
	c.seen.Usage, c.seen.Model = answer.Usage, answer.Model
	for i := range answer.Choices {
		ch := &answer.Choices[i]
		c.seen.Finish = ch.Reason
		for j := range ch.Parts {
			c.seen.Chars += int64(len(ch.Parts[j].Text))
			c.seen.Retrieved = c.seen.Retrieved || searchesFiles(&ch.Parts[j])
			if call := ch.Parts[j].Call; call != nil {
				c.seen.ToolCalls++
				c.seen.Use(c.tools.shownName(call.Name))
				c.seen.Chars += int64(len(call.Arguments))
			}
		}
	}
}

// searchesFiles tells whether a part is OpenAI's search of files.
func searchesFiles(p *llm.Part) bool {
	return p.Kind == llm.KindNative && bytes.Contains(p.Raw, []byte(`"file_search_call"`))
}

// upstreamFault marks an error that the upstream made: an answer nobody can read, or an error object inside a 200.
func (c *call) upstreamFault(err error) *llm.Error {
	var e *llm.Error
	if !errors.As(err, &e) {
		e = &llm.Error{Kind: llm.ErrUpstream, Message: "the upstream's answer could not be read", Cause: err}
	}
	e.Upstream, e.Provider = true, c.target.Upstream.Provider
	if e.HTTPStatus() < 400 || e.HTTPStatus() == http.StatusBadGateway {
		e.Status = http.StatusInternalServerError // as LiteLLM answers for an unreadable upstream
	}
	return e
}

// hint reports whether a parameter changes what a call costs, not what it answers: nobody's call is refused for the want of it.
func hint(name string) bool { return name == "cache_control" || name == "prompt_cache_key" }

// drop warns of what the target can't express, or refuses where the configuration says so.
func (c *call) drop(names []string) *llm.Error {
	if len(names) == 0 {
		return nil
	}
	list := strings.Join(names, ", ")
	if lost := slices.IndexFunc(names, func(name string) bool { return !hint(name) }); lost >= 0 && !c.target.DropParams {
		e := llm.Invalid(names[lost], "%s does not support parameters: [%s], for model=%s. To drop these, set `litellm_settings: drop_params: true`.",
			c.target.Upstream.Provider, list, c.model)
		e.Type = "invalid_request_error"
		return e
	}
	c.w.Header()["X-Weir-Dropped"] = []string{strings.ReplaceAll(list, "\n", " ")}
	c.rec.Dropped = names
	return nil
}
