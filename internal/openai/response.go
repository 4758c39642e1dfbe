package openai

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// DecodeResponse implements llm.Spoken.
func (chat) DecodeResponse(body []byte) (*llm.Response, error) {
	var in chatAnswer
	if err := wire.Unmarshal(body, &in); err != nil {
		return nil, unread(body, err)
	}
	if err := in.failure(body); err != nil {
		return nil, err
	}
	resp := in.head()
	resp.Usage = in.usage()
	for i := range in.Choices {
		c, err := in.Choices[i].decode()
		if err != nil {
			return nil, unread(body, err)
		}
		resp.Choices = append(resp.Choices, c)
	}
	in.cite(resp)
	return resp, nil
}

// failure is the error that a 200 answer or a chunk of a stream carries instead of an answer, nil if it is one.
func (a *chatAnswer) failure(body []byte) *llm.Error {
	switch {
	case llm.IsSet(a.Error):
		return inbandError(body)
	case a.Choices != nil || llm.IsSet(a.Usage) || a.ID != "":
		return nil
	case a.Object == "error" || llm.IsSet(a.Extra["detail"]) || llm.IsSet(a.Extra["message"]):
		return inbandError(body)
	}
	return unread(body, nil)
}

// head is the answer without its choices. Extra is what no field names.
func (a *chatAnswer) head() *llm.Response {
	r := &llm.Response{
		From: llm.OpenAI, ID: a.ID, Model: a.Model, Created: int64(a.Created), ServiceTier: a.ServiceTier,
		SystemFingerprint: a.SystemFingerprint, Extra: plainExtra(a.Extra),
	}
	delete(r.Extra, "obfuscation")
	if llm.IsSet(a.Citations) {
		r.Extra = llm.WithExtra(r.Extra, "citations", a.Citations)
	}
	if len(r.Extra) == 0 {
		r.Extra = nil
	}
	return r
}

// usage is the answer's usage, which Groq's streams hide in x_groq.
func (a *chatAnswer) usage() *llm.Usage {
	if u := decodeUsage(a.Usage); u != nil || !llm.IsSet(a.Groq) {
		return u
	}
	var groq struct {
		Usage jsontext.Value `json:"usage"`
	}
	if wire.Unmarshal(a.Groq, &groq) != nil {
		return nil
	}
	return decodeUsage(groq.Usage)
}

// citeURLs reads the top-level citations of Perplexity and xAI: a list of addresses.
func (a *chatAnswer) citeURLs() []llm.Citation {
	var urls []string
	if !llm.IsSet(a.Citations) || wire.Unmarshal(a.Citations, &urls) != nil {
		return nil
	}
	out := make([]llm.Citation, 0, len(urls))
	for _, u := range urls {
		out = append(out, llm.Citation{Kind: "url", URL: u})
	}
	return out
}

// cite puts the answer's citations on its text, unless the text has its own annotations.
func (a *chatAnswer) cite(resp *llm.Response) {
	cs := a.citeURLs()
	if len(cs) == 0 || len(resp.Choices) == 0 {
		return
	}
	parts := resp.Choices[0].Parts
	for i := range parts {
		if parts[i].Kind == llm.KindText {
			if len(parts[i].Citations) == 0 {
				parts[i].Citations = cs
			}
			return
		}
	}
}

func (c *chatChoice) decode() (llm.Choice, error) {
	out := llm.Choice{Index: int(c.Index), Extra: plainExtra(c.Extra)}
	m := c.Message
	if m == nil {
		m = c.Delta
	}
	if m == nil {
		m = &chatMessage{}
		if c.Text != nil {
			m.Content.text = *c.Text
		}
	}
	parts, err := m.answer("choices.message", newCallID())
	if err != nil {
		return out, err
	}
	for i := range parts {
		if call := parts[i].Call; call != nil && call.ID == "" {
			call.ID = newCallID()
		}
	}
	if cs := decodeAnnotations(m.Annotations); len(cs) > 0 {
		for i := range parts {
			if parts[i].Kind == llm.KindText {
				parts[i].Citations = cs
				break
			}
		}
	}
	for k, v := range plainExtra(m.Extra) {
		out.Extra = llm.WithExtra(out.Extra, extraMessage+k, v)
	}
	m.keepReasoning(&out.Extra, extraMessage)
	out.Parts = parts
	out.Logprobs = decodeLogprobs(c.Logprobs)
	out.Stop = c.stop(out.Parts)
	return out, nil
}

// extraMessage prefixes, in a Choice's Extra, the members of its message.
const extraMessage = "message."

// newCallID makes an id for a call that came without one; other dialects need it to be unique within a conversation.
func newCallID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return "call_" + hex.EncodeToString(b[:])
}

// stop reads the finish reason. parts correct providers that say stop though they call tools, and tell a refusal.
func (c *chatChoice) stop(parts []llm.Part) llm.Stop {
	s := llm.Stop{Raw: c.FinishReason, Reason: finishOf(c.FinishReason)}
	if c.StopReason.Kind() == '"' && s.Reason == llm.FinishStop {
		s.Sequence = llm.StringOf(c.StopReason)
		if s.Sequence != "" {
			s.Reason = llm.FinishSequence
		}
	}
	if s.Reason != llm.FinishStop {
		return s
	}
	for i := range parts {
		switch parts[i].Kind {
		case llm.KindToolCall:
			s.Reason = llm.FinishToolCalls
			return s
		case llm.KindRefusal:
			s.Reason = llm.FinishRefusal
		}
	}
	return s
}

func finishOf(word string) llm.FinishReason {
	switch word {
	case "length", "max_tokens", "model_length", "max_output_tokens", "MAX_TOKENS":
		return llm.FinishLength
	case "tool_calls", "function_call", "tool_use", "tool_call":
		return llm.FinishToolCalls
	case "content_filter", "content_filtered", "safety", "SAFETY", "guardrail_intervened":
		return llm.FinishFilter
	case "refusal":
		return llm.FinishRefusal
	case "error", "insufficient_system_resource":
		return llm.FinishError
	}
	return llm.FinishStop
}

// finishWord is OpenAI's word for a reason; refused says that the message holds a refusal.
func finishWord(s *llm.Stop, refused bool) string {
	switch s.Reason {
	case llm.FinishLength, llm.FinishContext, llm.FinishIncomplete:
		return "length"
	case llm.FinishToolCalls:
		return "tool_calls"
	case llm.FinishFilter:
		return "content_filter"
	case llm.FinishRefusal:
		if !refused {
			return "content_filter"
		}
	}
	return "stop"
}

// decodeAnnotations reads url_citation annotations; those of another type keep their bytes.
func decodeAnnotations(raw jsontext.Value) []llm.Citation {
	if !llm.IsSet(raw) {
		return nil
	}
	var in []jsontext.Value
	if wire.Unmarshal(raw, &in) != nil {
		return nil
	}
	var out []llm.Citation
	for _, v := range in {
		var a struct {
			Type string `json:"type"`
			URL  *struct {
				URL     string `json:"url"`
				Title   string `json:"title"`
				Content string `json:"content"`
				Start   number `json:"start_index"`
				End     number `json:"end_index"`
			} `json:"url_citation"`
		}
		switch err := wire.Unmarshal(v, &a); {
		case err != nil:
		case a.Type == "url_citation" && a.URL != nil:
			out = append(out, llm.Citation{
				Kind: "url", URL: a.URL.URL, Title: a.URL.Title, CitedText: a.URL.Content, Start: int64(a.URL.Start), End: int64(a.URL.End),
			})
		default:
			out = append(out, llm.Citation{Kind: "file", Raw: v, From: llm.OpenAI})
		}
	}
	return out
}

func decodeLogprobs(raw jsontext.Value) []llm.TokenLogprob {
	if !llm.IsSet(raw) || raw.Kind() != '{' {
		return nil
	}
	var in chatLogprobs
	if wire.Unmarshal(raw, &in) != nil {
		return nil
	}
	return tokenLogprobs(append(in.Content, in.Refusal...))
}

func tokenLogprobs(in []chatLogprob) []llm.TokenLogprob {
	if len(in) == 0 {
		return nil
	}
	out := make([]llm.TokenLogprob, len(in))
	for i, l := range in {
		out[i] = llm.TokenLogprob{Token: l.Token, Logprob: l.Logprob, Bytes: l.Bytes, Top: tokenLogprobs(l.TopLogprobs)}
	}
	return out
}
