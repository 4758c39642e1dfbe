package openai

import (
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// EncodeResponse implements llm.Served.
func (chat) EncodeResponse(dst []byte, resp *llm.Response, x *llm.Exchange) []byte {
	w := writer{dst}
	w.begin('{')
	w.str("id", answerID(resp, x, "chatcmpl-"))
	w.raw(`,"object":"chat.completion"`)
	w.int("created", createdAt(resp, x))
	w.str("model", shownModel(resp, x))
	w.text("system_fingerprint", resp.SystemFingerprint)
	w.text("service_tier", shownTier(resp))
	w.key("choices")
	w.begin('[')
	same := resp.From == llm.OpenAI
	for i := range resp.Choices {
		w.choice(&resp.Choices[i], same, legacyClient(x))
	}
	w.raw("]")
	if resp.Usage != nil {
		w.key("usage")
		w.usage(resp.Usage, same)
	}
	if same {
		w.extra(resp.Extra)
	}
	w.raw("}")
	return w.b
}

// answerID is the upstream's id, or one made of the gateway's.
func answerID(resp *llm.Response, x *llm.Exchange, prefix string) string {
	switch {
	case resp != nil && resp.ID != "":
		return resp.ID
	case strings.HasPrefix(x.ID, prefix):
		return x.ID
	}
	return prefix + x.ID
}

// createdAt is when the answer was made, as far as anybody knows.
func createdAt(resp *llm.Response, x *llm.Exchange) int64 {
	switch {
	case resp != nil && resp.Created != 0:
		return resp.Created
	case !x.Started.IsZero():
		return x.Started.Unix()
	case x.Now != nil:
		return x.Now().Unix()
	}
	return 0
}

func shownModel(resp *llm.Response, x *llm.Exchange) string {
	if x.Model == "" && resp != nil {
		return resp.Model
	}
	return x.Model
}

// shownTier is the service tier in OpenAI's words; those of other dialects that have none here are left out.
func shownTier(r *llm.Response) string {
	switch t := r.ServiceTier; {
	case r.From == llm.OpenAI, r.From == llm.Responses, t == "default", t == "priority", t == "flex":
		return t
	case t == "standard":
		return "default"
	}
	return ""
}

// legacyClient tells whether the client gave functions and so expects function_call.
func legacyClient(x *llm.Exchange) bool {
	return x.Request != nil && x.Request.From == llm.OpenAI && x.Request.Extra[extraFunctions] != nil
}

func (w *writer) choice(c *llm.Choice, same, legacy bool) {
	w.open('{')
	w.int("index", int64(c.Index))
	w.raw(`,"message":{"role":"assistant","content":`)
	var text, refusal strings.Builder
	said, calls := false, 0
	for i := range c.Parts {
		switch p := &c.Parts[i]; p.Kind {
		case llm.KindText:
			text.WriteString(p.Text)
			said = true
		case llm.KindRefusal:
			refusal.WriteString(p.Text)
		case llm.KindToolCall:
			calls++
		}
	}
	if said || calls == 0 && refusal.Len() == 0 && len(c.Parts) == 0 {
		w.quote(text.String())
	} else {
		w.raw("null")
	}
	w.raw(`,"refusal":`)
	if refusal.Len() > 0 {
		w.quote(refusal.String())
	} else {
		w.raw("null")
	}
	w.message(c, same, calls, legacy)
	w.raw("}")
	w.raw(`,"logprobs":`)
	w.logprobs(c.Logprobs)
	w.finish(&c.Stop, refusal.Len() > 0, legacy && calls > 0)
	if same {
		for _, k := range sortedKeys(c.Extra) {
			if !strings.HasPrefix(k, extraMessage) {
				w.comma()
				w.quote(k)
				w.raw(":")
				w.rawValue(c.Extra[k])
			}
		}
	}
	w.raw("}")
}

// message appends what a message holds beside its text.
func (w *writer) message(c *llm.Choice, same bool, calls int, legacy bool) {
	w.reasoningOut(c.Parts, true)
	if same {
		for _, k := range sortedKeys(c.Extra) {
			if name, ok := strings.CutPrefix(k, extraMessage); ok && name != extraFlat {
				w.comma()
				w.quote(name)
				w.raw(":")
				w.rawValue(c.Extra[k])
			}
		}
	}
	w.annotations(c.Parts)
	w.thoughtSignature(c.Parts)
	for i := range c.Parts {
		if p := &c.Parts[i]; p.Kind == llm.KindAudio && p.Media != nil {
			w.key("audio")
			w.audio(p.Media, true)
			break
		}
	}
	w.images(c.Parts)
	if calls == 0 {
		return
	}
	if legacy {
		w.functionCall(c.Parts)
		return
	}
	w.key("tool_calls")
	w.begin('[')
	for i := range c.Parts {
		if c.Parts[i].Kind == llm.KindToolCall {
			w.open('{')
			w.call(&c.Parts[i], true)
			w.raw("}")
		}
	}
	w.raw("]")
}

// functionCall appends the first call in the deprecated form, which has room for one.
func (w *writer) functionCall(parts []llm.Part) {
	for i := range parts {
		if c := parts[i].Call; c != nil {
			w.raw(`,"function_call":{"name":`)
			w.quote(c.Name)
			w.raw(`,"arguments":`)
			w.quote(c.Arguments)
			w.raw("}")
			return
		}
	}
}

func (w *writer) finish(s *llm.Stop, refused, legacy bool) {
	word := finishWord(s, refused)
	if legacy && word == "tool_calls" {
		word = "function_call"
	}
	w.str("finish_reason", word)
	w.text("stop_reason", s.Sequence) // vLLM's member for the stop sequence that was hit
}

// audio appends an assistant's sound. OpenAI's expiry date is not known here; clients of a gateway get the sound at once.
func (w *writer) audio(m *llm.Media, whole bool) {
	w.begin('{')
	w.text("id", m.ID)
	if whole || m.Data != "" {
		w.str("data", m.Data)
	}
	if whole || m.Transcript != "" {
		w.str("transcript", m.Transcript)
	}
	if whole {
		w.raw(`,"expires_at":0`)
	}
	w.raw("}")
}

func (w *writer) images(parts []llm.Part) {
	n := 0
	for i := range parts {
		p := &parts[i]
		if p.Kind != llm.KindImage || p.Media == nil || p.Media.URL == "" && p.Media.Data == "" {
			continue
		}
		if n == 0 {
			w.key("images")
			w.begin('[')
		}
		w.image(p.Media)
		n++
	}
	if n > 0 {
		w.raw("]")
	}
}

func (w *writer) image(m *llm.Media) {
	w.open('{')
	w.raw(`"type":"image_url","image_url":{"url":`)
	w.mediaURL(m, "image/png")
	w.raw("}}")
}

func (w *writer) annotations(parts []llm.Part) {
	n := 0
	for i := range parts {
		for j := range parts[i].Citations {
			if !annotates(&parts[i].Citations[j]) {
				continue
			}
			if n == 0 {
				w.key("annotations")
				w.begin('[')
			}
			w.annotation(&parts[i].Citations[j])
			n++
		}
	}
	if n > 0 {
		w.raw("]")
	}
}

// annotates tells whether a citation can be said as an annotation: those of documents have no word here.
func annotates(c *llm.Citation) bool { return c.URL != "" || c.From == llm.OpenAI && c.Raw != nil }

func (w *writer) annotation(c *llm.Citation) {
	if c.From == llm.OpenAI && c.Raw != nil {
		w.comma()
		w.rawValue(c.Raw)
		return
	}
	w.open('{')
	w.raw(`"type":"url_citation","url_citation":{`)
	w.int("end_index", c.End)
	w.int("start_index", c.Start)
	w.str("title", c.Title)
	w.str("url", c.URL)
	w.text("content", c.CitedText)
	w.raw("}}")
}

func (w *writer) logprobs(l []llm.TokenLogprob) {
	if len(l) == 0 {
		w.raw("null")
		return
	}
	w.raw(`{"content":`)
	w.tokens(l, true)
	w.raw(`,"refusal":null}`)
}

func (w *writer) tokens(l []llm.TokenLogprob, top bool) {
	w.begin('[')
	for i := range l {
		t := &l[i]
		w.open('{')
		w.str("token", t.Token)
		w.key("logprob")
		w.float(t.Logprob)
		w.key("bytes")
		if t.Bytes == nil {
			w.raw("null")
		} else {
			w.begin('[')
			for _, b := range t.Bytes {
				w.comma()
				w.b = strconv.AppendInt(w.b, b, 10)
			}
			w.raw("]")
		}
		if top {
			w.key("top_logprobs")
			w.tokens(t.Top, false)
		}
		w.raw("}")
	}
	w.raw("]")
}
