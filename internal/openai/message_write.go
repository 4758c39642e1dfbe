package openai

import (
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

func (w *requestWriter) messages() error {
	if len(w.req.Messages) == 0 {
		return llm.Invalid("messages", "Invalid 'messages': empty list. Send at least one message.")
	}
	var shown []llm.Part // images that tool results hold, to be shown by a user message after the run of results
	flush := func() {
		if len(shown) > 0 {
			w.said(&llm.Message{Role: llm.RoleUser}, shown)
			shown = nil
		}
	}
	for i := range w.req.Messages {
		m := &w.req.Messages[i]
		rest := m.Parts[:0:0]
		for j := range m.Parts {
			if p := &m.Parts[j]; p.Kind == llm.KindToolResult && p.Result != nil {
				shown = append(shown, w.toolResult(p)...)
			} else {
				rest = append(rest, *p)
			}
		}
		if m.Role == llm.RoleTool && len(rest) == 0 {
			continue
		}
		if len(rest) == 0 && len(m.Parts) > 0 {
			continue // a user message of tool results alone
		}
		flush()
		w.said(m, rest)
	}
	flush()
	return nil
}

// toolResult appends a message of role tool, whose content can only be text; it returns the parts that are not.
func (w *requestWriter) toolResult(p *llm.Part) (shown []llm.Part) {
	r := p.Result
	w.open('{')
	if w.same && p.Extra[extraLegacy] != nil {
		w.str("role", "function")
		w.str("name", r.Name)
	} else {
		w.str("role", "tool")
		w.str("tool_call_id", r.CallID)
		if w.same {
			w.text("name", r.Name)
		}
	}
	texts := make([]llm.Part, 0, len(r.Parts))
	for i := range r.Parts {
		q := r.Parts[i]
		switch q.Kind {
		case llm.KindText:
		case llm.KindJSON:
			q.Kind, q.Text = llm.KindText, string(q.Raw)
		default:
			if q.Kind == llm.KindDocument && q.Media != nil && q.Media.Text != "" {
				q.Kind, q.Text = llm.KindText, documentText(q.Media)
				break
			}
			if len(shown) == 0 {
				shown = append(shown, llm.Part{Kind: llm.KindText, Text: "Attached by the result of tool call " + r.CallID + ":"})
			}
			shown = append(shown, q)
			continue
		}
		texts = append(texts, q)
	}
	if len(texts) == 0 && len(shown) > 0 {
		texts = append(texts, llm.Part{Kind: llm.KindText, Text: "The result is attached in the next user message."})
	}
	if r.IsError {
		if t := llm.TextOf(texts); !strings.HasPrefix(strings.ToLower(t), "error") {
			texts = append([]llm.Part{{Kind: llm.KindText, Text: "Error: " + t}}, nil...)
		}
	}
	w.key("content")
	if plainText, ok := onlyText(texts); ok {
		w.quote(plainText)
	} else {
		w.parts(texts)
	}
	w.cache(p.Cache)
	w.raw("}")
	return shown
}

// onlyText gives the content as one string if nothing is lost by it.
func onlyText(parts []llm.Part) (string, bool) {
	switch len(parts) {
	case 0:
		return "", true
	case 1:
		p := &parts[0]
		return p.Text, p.Kind == llm.KindText && p.Cache == nil && len(p.Extra) == 0 && p.Text != ""
	}
	return "", false
}

func (w *requestWriter) role(r llm.Role) string {
	switch {
	case r == llm.RoleDeveloper && !w.p.own && w.p.t.Provider != "":
		return "system" // only OpenAI has the developer role
	case r == llm.RoleTool:
		return "user"
	}
	return string(r)
}

// said appends a message other than a tool's.
func (w *requestWriter) said(m *llm.Message, parts []llm.Part) {
	w.open('{')
	w.str("role", w.role(m.Role))
	w.param("messages.name", m.Name != "", func(string) { w.str("name", m.Name) })
	ownCache := w.same && m.Extra[extraCache] != nil
	if ownCache && len(parts) > 0 { // the mark stands on the message itself
		parts = append(parts[:len(parts)-1:len(parts)-1], parts[len(parts)-1])
		parts[len(parts)-1].Cache = nil
	}
	if m.Role == llm.RoleAssistant {
		w.assistant(m, parts)
	} else {
		w.key("content")
		w.body(parts)
	}
	switch {
	case w.same && w.p.strict:
		if ownCache {
			w.drop("cache_control")
		}
		w.extra(m.Extra, extraCache, extraDetails, extraReasoning, extraFlat)
	case w.same:
		w.extra(m.Extra)
	default:
		for _, k := range sortedKeys(m.Extra) {
			w.drop("messages." + k)
		}
	}
	w.raw("}")
}

// body appends content as a string where it can be one.
func (w *requestWriter) body(parts []llm.Part) {
	if s, ok := onlyText(parts); ok {
		w.quote(s)
		return
	}
	w.parts(parts)
}

func (w *requestWriter) parts(parts []llm.Part) {
	w.begin('[')
	for i := range parts {
		w.part(&parts[i])
	}
	w.raw("]")
}

// assistant appends the members of an assistant's message: what stands in its content, and what stands beside it.
func (w *requestWriter) assistant(m *llm.Message, parts []llm.Part) {
	var said, calls []llm.Part
	var refusal string
	var audio *llm.Media
	for i := range parts {
		p := &parts[i]
		switch p.Kind {
		case llm.KindReasoning, llm.KindRedacted:
		case llm.KindToolCall:
			calls = append(calls, *p)
		case llm.KindRefusal:
			refusal += p.Text
		case llm.KindAudio:
			if p.Media != nil && p.Media.ID != "" {
				audio = p.Media
			} else if p.Media != nil && p.Media.Transcript != "" {
				said = append(said, llm.Part{Kind: llm.KindText, Text: p.Media.Transcript})
			} else {
				w.drop("messages.audio")
			}
		default:
			said = append(said, *p)
		}
	}
	// A message in OpenRouter's form goes back in it, with the signatures it holds.
	kept := w.same && !w.p.strict && (m.Extra[extraDetails] != nil || m.Extra[extraReasoning] != nil)
	if !kept {
		w.earlierReasoning(parts, &said)
	}
	if len(said) > 0 || len(calls) == 0 && refusal == "" && audio == nil {
		w.key("content")
		w.body(said)
	} else {
		w.raw(`,"content":null`)
	}
	w.text("refusal", refusal)
	if audio != nil {
		w.raw(`,"audio":{"id":`)
		w.quote(audio.ID)
		w.raw("}")
	}
	w.calls(calls, !w.p.strict && !kept)
	if !w.p.strict {
		w.thoughtSignature(parts)
	}
}

// thoughtSignature appends Gemini's signature on a text in the place where LiteLLM has it.
func (w *writer) thoughtSignature(parts []llm.Part) {
	for i := range parts {
		if p := &parts[i]; p.Kind == llm.KindText && p.Signature != "" && p.SignedBy == llm.Gemini {
			w.raw(`,"provider_specific_fields":{"thought_signatures":[`)
			w.quote(p.Signature)
			w.raw("]}")
			return
		}
	}
}

func (w *requestWriter) calls(calls []llm.Part, signed bool) {
	if len(calls) == 0 {
		return
	}
	if w.same && len(calls) == 1 && calls[0].Extra[extraLegacy] != nil {
		w.raw(`,"function_call":{"name":`)
		w.quote(calls[0].Call.Name)
		w.raw(`,"arguments":`)
		w.quote(calls[0].Call.Arguments)
		w.raw("}")
		return
	}
	w.key("tool_calls")
	w.begin('[')
	for i := range calls {
		w.open('{')
		w.call(&calls[i], signed)
		w.cache(calls[i].Cache)
		if w.same {
			w.extra(calls[i].Extra, extraLegacy)
		}
		w.raw("}")
	}
	w.raw("]")
}

// call appends the members of a tool call that has come whole.
func (w *writer) call(p *llm.Part, signed bool) {
	c := p.Call
	w.str("id", c.ID)
	if c.Type == "custom" {
		w.raw(`,"type":"custom","custom":{"name":`)
		w.quote(c.Name)
		w.raw(`,"input":`)
		w.quote(c.Arguments)
	} else {
		w.raw(`,"type":"function","function":{"name":`)
		w.quote(c.Name)
		w.raw(`,"arguments":`)
		if c.Arguments == "" {
			w.raw(`"{}"`) // clients parse it
		} else {
			w.quote(c.Arguments)
		}
	}
	w.raw("}")
	if signed && p.Signature != "" && p.SignedBy == llm.Gemini {
		w.raw(`,"extra_content":{"google":{"thought_signature":`)
		w.quote(p.Signature)
		w.raw("}}")
	}
}

// earlierReasoning gives the provider back what it thought, in the form it takes; *said gets it where that is a content part.
func (w *requestWriter) earlierReasoning(parts []llm.Part, said *[]llm.Part) {
	thought := false
	for i := range parts {
		thought = thought || parts[i].Kind == llm.KindReasoning || parts[i].Kind == llm.KindRedacted
	}
	flat := w.p.flatReasoning()
	switch {
	case !thought:
	case w.p.details():
		w.detailsOut(parts)
	case w.p.mistral():
		*said = append([]llm.Part{{Kind: llm.KindReasoning, Text: joinReasoning(parts)}}, *said...)
	case flat == "":
		w.drop(extraFlat)
	case flat == extraReasoning:
		w.text(flat, joinReasoning(parts))
	default:
		w.reasoningOut(parts, true)
	}
}

// part appends one content part, or notes that it can't be said.
func (w *requestWriter) part(p *llm.Part) {
	m := p.Media
	switch {
	case p.Kind == llm.KindText:
		w.open('{')
		w.raw(`"type":"text","text":`)
		w.quote(p.Text)
	case p.Kind == llm.KindRefusal:
		w.open('{')
		w.raw(`"type":"refusal","refusal":`)
		w.quote(p.Text)
	case p.Kind == llm.KindJSON:
		w.open('{')
		w.raw(`"type":"text","text":`)
		w.quote(string(p.Raw))
	case p.Kind == llm.KindReasoning && w.p.mistral():
		w.open('{')
		w.raw(`"type":"thinking","thinking":[{"type":"text","text":`)
		w.quote(p.Text)
		w.raw("}]")
	case p.Kind == llm.KindNative && w.same:
		w.comma()
		w.rawValue(p.Raw)
		return
	case p.Kind == llm.KindNative:
		w.drop("messages." + nativeType(p.Raw))
		return
	case m == nil || !w.media(p.Kind, m):
		w.drop("messages." + string(p.Kind))
		return
	}
	w.cache(p.Cache)
	if w.same {
		w.extra(p.Extra)
	}
	w.raw("}")
}

// media appends an open content part of an image, sound, video or document; false if there is no way to say it.
func (w *requestWriter) media(kind llm.Kind, m *llm.Media) bool {
	switch {
	case m.Text != "":
		w.open('{')
		w.raw(`"type":"text","text":`)
		w.quote(documentText(m))
	case kind == llm.KindImage && m.FileID == "":
		w.open('{')
		w.raw(`"type":"image_url","image_url":{"url":`)
		w.mediaURL(m, "image/png")
		w.text("detail", m.Detail)
		if m.URL != "" && !w.p.strict {
			w.text("format", m.MIME)
		}
		w.raw("}")
	case kind == llm.KindVideo && m.FileID == "" && !w.p.strict:
		w.open('{')
		w.raw(`"type":"video_url","video_url":{"url":`)
		w.mediaURL(m, "video/mp4")
		w.raw("}")
	case kind == llm.KindAudio && m.Data != "":
		w.open('{')
		w.raw(`"type":"input_audio","input_audio":{"data":`)
		w.quote(m.Data)
		w.text("format", audioFormat(m.MIME))
		w.raw("}")
	case m.FileID != "" || m.Data != "" || m.URL != "" && !w.p.strict:
		w.open('{')
		w.raw(`"type":"file","file":{`)
		w.file(kind, m)
		w.raw("}")
	default:
		return false
	}
	return true
}

func (w *requestWriter) file(kind llm.Kind, m *llm.Media) {
	switch {
	case m.FileID != "":
		w.str("file_id", m.FileID)
	case m.URL != "":
		w.str("file_data", m.URL)
	default:
		w.key("file_data")
		w.mediaURL(m, "application/pdf")
	}
	name := m.Name
	if name == "" && m.Data != "" && w.p.own {
		name = "document.pdf" // OpenAI demands one beside file_data
	}
	w.text("filename", name)
	if m.Data == "" && !w.p.strict {
		w.text("format", m.MIME)
	}
}

// mediaURL appends the address or the data URL of m.
func (w *writer) mediaURL(m *llm.Media, mime string) {
	if m.URL != "" {
		w.quote(m.URL)
		return
	}
	if m.MIME != "" {
		mime = m.MIME
	}
	w.b = append(w.b, '"')
	w.raw("data:")
	inner := llm.Quote(mime)
	w.b = append(w.b, inner[1:len(inner)-1]...)
	w.raw(";base64,")
	data := llm.Quote(m.Data)
	w.b = append(w.b, data[1:]...)
}

// documentText is a plain-text document as the model should read it.
func documentText(m *llm.Media) string {
	var b strings.Builder
	b.WriteString("<document")
	if m.Name != "" {
		b.WriteString(" title=\"" + strings.ReplaceAll(m.Name, "\"", "'") + "\"")
	}
	b.WriteString(">\n")
	if m.Context != "" {
		b.WriteString("<context>" + m.Context + "</context>\n")
	}
	b.WriteString(m.Text)
	b.WriteString("\n</document>")
	return b.String()
}
