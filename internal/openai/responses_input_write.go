package openai

import (
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// conversation writes instructions and input.
func (e *respEncoder) conversation(b []byte) ([]byte, error) {
	messages, first := e.req.Messages, 0
	if e.own && len(messages) > 0 && messages[0].Instructions {
		b = respKeyString(b, "instructions", llm.TextOf(messages[0].Parts))
		first = 1
	}
	if len(messages) == first && e.own && (e.req.Extra["previous_response_id"] != nil || e.req.Extra["conversation"] != nil || e.req.Extra["prompt"] != nil) {
		return b, nil
	}
	b = append(respKey(b, "input"), '[')
	for i := first; i < len(messages); i++ {
		var err *llm.Error
		if b, err = e.message(b, i); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// message writes the items that a message consists of: runs of content, calls, results and reasoning, in their order.
func (e *respEncoder) message(b []byte, at int) ([]byte, *llm.Error) {
	m := &e.req.Messages[at]
	if !e.own {
		for k := range m.Extra {
			e.drop("messages." + k)
		}
	}
	parts := m.Parts
	for i := 0; i < len(parts); {
		p := &parts[i]
		end := i + 1
		switch p.Kind {
		case llm.KindToolCall:
			b = e.call(respElem(b), p)
		case llm.KindToolResult:
			var err *llm.Error
			if b, err = e.result(respElem(b), p, at, i); err != nil {
				return nil, err
			}
		case llm.KindReasoning:
			for end < len(parts) && parts[end].Kind == llm.KindReasoning && parts[end].ID == p.ID && p.ID != "" {
				end++
			}
			b = e.reasoningItem(b, parts[i:end])
		case llm.KindRedacted:
			if e.own || p.SignedBy == llm.Responses {
				b = e.redacted(b, p)
			}
		case llm.KindNative:
			if e.own {
				b = respAppendRaw(respElem(b), p.Raw)
			} else {
				e.drop("messages." + respTypeOf(p.Raw))
			}
		default:
			for end < len(parts) && respIsContent(parts[end].Kind) && parts[end].ID == p.ID {
				end++
			}
			var err *llm.Error
			if b, err = e.content(b, m, parts[i:end], at, i); err != nil {
				return nil, err
			}
		}
		i = end
	}
	return b, nil
}

func respIsContent(k llm.Kind) bool {
	switch k {
	case llm.KindToolCall, llm.KindToolResult, llm.KindReasoning, llm.KindRedacted, llm.KindNative:
		return false
	}
	return true
}

func respRole(r llm.Role) llm.Role {
	if r == llm.RoleTool || r == "" {
		return llm.RoleUser
	}
	return r
}

// content writes one message item. A lone text is written as a string, which every server of this dialect understands.
func (e *respEncoder) content(b []byte, m *llm.Message, parts []llm.Part, at, first int) ([]byte, *llm.Error) {
	role := respRole(m.Role)
	p := &parts[0]
	b = append(respElem(b), '{')
	if e.own && p.ID != "" {
		b = append(b, `"type":"message"`...)
		b = respKeyString(b, "id", p.ID)
		status := "completed"
		if s, ok := p.Extra["status"]; ok {
			status = llm.StringOf(s)
		}
		b = respKeyString(b, "status", status)
	}
	b = respKeyString(b, "role", string(role))
	if e.own && p.Extra["phase"] != nil {
		b = respKeyRaw(b, "phase", p.Extra["phase"])
	}
	b = respKey(b, "content")
	if len(parts) == 1 && p.Kind == llm.KindText && p.Cache == nil && len(p.Citations) == 0 && (p.ID == "" || !e.own) && !e.hasExtra(p) {
		return append(wire.AppendString(b, p.Text), '}'), nil
	}
	b = append(b, '[')
	for i := range parts {
		var err *llm.Error
		if b, err = e.part(b, &parts[i], role, at, first+i); err != nil {
			return nil, err
		}
	}
	return append(b, "]}"...), nil
}

// hasExtra says that a part has members of its own beside those of its item.
func (e *respEncoder) hasExtra(p *llm.Part) bool {
	if !e.own {
		return false
	}
	for k := range p.Extra {
		if k != "phase" && k != "status" {
			return true
		}
	}
	return false
}

// part writes one content part; at and i say where the request had it.
func (e *respEncoder) part(b []byte, p *llm.Part, role llm.Role, at, i int) ([]byte, *llm.Error) {
	assistant := role == llm.RoleAssistant
	switch p.Kind {
	case llm.KindText:
		if assistant {
			b = respKeyString(append(respElem(b), `{"type":"output_text"`...), "text", p.Text)
			if len(p.Citations) > 0 {
				b = append(respAppendCitations(append(respKey(b, "annotations"), '['), p.Citations), ']')
			}
		} else {
			b = respKeyString(append(respElem(b), `{"type":"input_text"`...), "text", p.Text)
		}
	case llm.KindRefusal:
		if !assistant {
			b = respKeyString(append(respElem(b), `{"type":"input_text"`...), "text", p.Text)
			break
		}
		b = respKeyString(append(respElem(b), `{"type":"refusal"`...), "refusal", p.Text)
	case llm.KindJSON:
		b = respKeyString(append(respElem(b), `{"type":"input_text"`...), "text", string(p.Raw))
	case llm.KindVideo:
		return nil, respRefused(at, i, "the Responses API takes no video")
	default:
		if p.Media == nil {
			return b, nil
		}
		if assistant {
			if p.Media.Transcript != "" {
				b = respKeyString(append(respElem(b), `{"type":"output_text"`...), "text", p.Media.Transcript)
				return append(b, '}'), nil
			}
			e.drop("messages.assistant_" + string(p.Kind))
			return b, nil
		}
		if respUnreachable(p.Media.URL) {
			return nil, respRefused(at, i, "the Responses API cannot fetch "+p.Media.URL+": give an https URL or the data itself")
		}
		b = respAppendMedia(respElem(b), p)
	}
	if e.own {
		if p.Cache != nil {
			b = append(respKey(b, "prompt_cache_breakpoint"), `{"mode":"explicit"}`...)
		}
		for _, k := range respKeys(p.Extra) {
			if k != "phase" && k != "status" {
				b = append(wire.AppendString(respComma(b), k), ':')
				b = respAppendRaw(b, p.Extra[k])
			}
		}
	}
	return append(b, '}'), nil
}

// respAppendMedia writes an image, file or sound without the closing brace.
func respAppendMedia(b []byte, p *llm.Part) []byte {
	m := p.Media
	switch p.Kind {
	case llm.KindImage:
		b = append(b, `{"type":"input_image"`...)
		switch {
		case m.Data != "":
			b = respDataMember(respKey(b, "image_url"), m.MIME, "image/png", m.Data)
		case m.URL != "":
			b = respKeyString(b, "image_url", m.URL)
		}
		b = respKeyText(b, "file_id", m.FileID)
		detail := m.Detail
		if detail == "" {
			detail = "auto"
		}
		return respKeyString(b, "detail", detail)
	case llm.KindAudio:
		format := strings.TrimPrefix(strings.TrimPrefix(m.MIME, "audio/"), "x-")
		if format == "mpeg" {
			format = "mp3"
		}
		b = append(b, `{"type":"input_audio","input_audio":{`...)
		return append(respKeyString(respKeyString(b, "data", m.Data), "format", format), '}')
	}
	if m.Text != "" && m.Data == "" {
		text := m.Text
		if m.Name != "" {
			text = m.Name + "\n\n" + text
		}
		return respKeyString(append(b, `{"type":"input_text"`...), "text", text)
	}
	b = append(b, `{"type":"input_file"`...)
	switch {
	case m.Data != "" && m.MIME == "":
		b = respKeyString(b, "file_data", m.Data)
	case m.Data != "":
		b = respDataMember(respKey(b, "file_data"), m.MIME, "", m.Data)
	}
	b = respKeyText(b, "file_url", m.URL)
	b = respKeyText(b, "file_id", m.FileID)
	name := m.Name
	if name == "" && m.Data != "" {
		name = "document" + respExtension(m.MIME)
	}
	b = respKeyText(b, "filename", name)
	return respKeyText(b, "detail", m.Detail)
}

func respDataMember(b []byte, mime, fallback, data string) []byte {
	if mime == "" {
		mime = respSniff(data, fallback)
	}
	return wire.AppendString(b, "data:"+mime+";base64,"+data)
}

// respSniff tells an image's type from the first characters of its base64.
func respSniff(data, fallback string) string {
	switch {
	case strings.HasPrefix(data, "/9j/"):
		return "image/jpeg"
	case strings.HasPrefix(data, "R0lG"):
		return "image/gif"
	case strings.HasPrefix(data, "UklG"):
		return "image/webp"
	}
	return fallback
}

// respExtension is what a nameless document's file name ends in: OpenAI goes by it.
func respExtension(mime string) string {
	switch mime {
	case "text/plain":
		return ".txt"
	case "text/csv":
		return ".csv"
	case "text/html":
		return ".html"
	case "text/markdown":
		return ".md"
	case "application/json":
		return ".json"
	case "application/msword":
		return ".doc"
	case "application/vnd.openxmlformats-officedocument.wordprocessingml.document":
		return ".docx"
	case "application/vnd.ms-excel":
		return ".xls"
	case "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":
		return ".xlsx"
	}
	return ".pdf"
}

func (e *respEncoder) call(b []byte, p *llm.Part) []byte {
	name, argument := "function_call", "arguments"
	if p.Call.Type == "custom" {
		name, argument = "custom_tool_call", "input"
	}
	b = respKeyString(append(b, '{'), "type", name)
	if e.own {
		b = respKeyText(b, "id", p.ID)
	}
	b = respKeyString(b, "call_id", p.Call.ID)
	b = respKeyString(b, "name", p.Call.Name)
	args := p.Call.Arguments
	if args == "" && !e.own && name == "function_call" {
		args = "{}"
	}
	b = respKeyString(b, argument, args)
	if e.own {
		b = respMembers(b, p.Extra)
	}
	return append(b, '}')
}

// result writes a call's output: a string if it is one text, content parts otherwise. The API has no mark for a failure, which the text
// tells by itself.
func (e *respEncoder) result(b []byte, p *llm.Part, at, i int) ([]byte, *llm.Error) {
	r := p.Result
	name := "function_call_output"
	if r.Type == "custom" || r.Type == "" && e.custom(r.CallID) {
		name = "custom_tool_call_output"
	}
	b = respKeyString(append(b, '{'), "type", name)
	if e.own {
		b = respKeyText(b, "id", p.ID)
	}
	b = respKeyString(b, "call_id", r.CallID)
	b = respKey(b, "output")
	switch {
	case len(r.Parts) == 0:
		b = append(b, `""`...)
	case len(r.Parts) == 1 && r.Parts[0].Kind == llm.KindText && (!e.own || r.Parts[0].Cache == nil && len(r.Parts[0].Extra) == 0):
		b = wire.AppendString(b, r.Parts[0].Text)
	case len(r.Parts) == 1 && r.Parts[0].Kind == llm.KindJSON:
		b = wire.AppendString(b, string(r.Parts[0].Raw))
	default:
		b = append(b, '[')
		for k := range r.Parts {
			if r.Parts[k].Kind == llm.KindNative {
				e.drop("messages." + respTypeOf(r.Parts[k].Raw))
				continue
			}
			var err *llm.Error
			if b, err = e.part(b, &r.Parts[k], llm.RoleUser, at, i); err != nil {
				return nil, err
			}
		}
		b = append(b, ']')
	}
	if e.own {
		b = respMembers(b, p.Extra)
	}
	return append(b, '}'), nil
}

// custom says that the call was one of a custom tool.
func (e *respEncoder) custom(callID string) bool {
	for i := range e.req.Messages {
		for j := range e.req.Messages[i].Parts {
			if c := e.req.Messages[i].Parts[j].Call; c != nil && c.ID == callID {
				return c.Type == "custom"
			}
		}
	}
	return false
}

// reasoningItem writes the parts of one reasoning item. What another dialect signed, or nobody, is not sent: the API takes back only
// what it gave.
func (e *respEncoder) reasoningItem(b []byte, parts []llm.Part) []byte {
	signature := ""
	for i := range parts {
		if parts[i].Signature == "" {
			continue
		}
		if parts[i].SignedBy != llm.Responses {
			return b
		}
		signature = parts[i].Signature
	}
	if signature == "" && !e.own {
		return b
	}
	b = append(respElem(b), `{"type":"reasoning"`...)
	if e.own {
		b = respKeyText(b, "id", parts[0].ID)
	}
	return append(e.reasoningMembers(b, parts, signature), '}')
}

// reasoningMembers appends summary, content and encrypted_content. A client of another dialect returns what it was shown, which was the
// summary.
func (e *respEncoder) reasoningMembers(b []byte, parts []llm.Part, signature string) []byte {
	b = append(respKey(b, "summary"), '[')
	texts := 0
	for i := range parts {
		switch {
		case parts[i].Summary, !e.own && parts[i].Text != "":
			b = append(wire.AppendString(append(respElem(b), `{"type":"summary_text","text":`...), parts[i].Text), '}')
		case parts[i].Text != "":
			texts++
		}
	}
	b = append(b, ']')
	if texts > 0 {
		b = append(respKey(b, "content"), '[')
		for i := range parts {
			if !parts[i].Summary && parts[i].Text != "" {
				b = append(wire.AppendString(append(respElem(b), `{"type":"reasoning_text","text":`...), parts[i].Text), '}')
			}
		}
		b = append(b, ']')
	}
	return respKeyText(b, "encrypted_content", signature)
}

func (e *respEncoder) redacted(b []byte, p *llm.Part) []byte {
	if p.SignedBy != llm.Responses && p.SignedBy != "" {
		return b
	}
	b = append(respElem(b), `{"type":"reasoning"`...)
	if e.own {
		b = respKeyText(b, "id", p.ID)
	}
	b = append(b, `,"summary":[]`...)
	return append(respKeyString(b, "encrypted_content", p.Data), '}')
}

// respAppendCitations appends annotations. A citation of a document that is no file of the provider's becomes a file citation by the
// document's title.
func respAppendCitations(b []byte, list []llm.Citation) []byte {
	for i := range list {
		b = respAppendCitation(respElem(b), &list[i])
	}
	return b
}

func respAppendCitation(b []byte, c *llm.Citation) []byte {
	if c.From == llm.Responses && len(c.Raw) > 0 {
		return respAppendAnnotation(b, c.Raw)
	}
	if c.URL != "" {
		b = append(b, `{"type":"url_citation"`...)
		start, end := c.Start, c.End
		if c.Kind != "url" {
			start, end = 0, 0
		}
		b = respKeyInt(respKeyInt(b, "start_index", start), "end_index", end)
		return append(respKeyString(respKeyString(b, "url", c.URL), "title", c.Title), '}')
	}
	b = append(b, `{"type":"file_citation"`...)
	b = respKeyInt(respKeyString(b, "file_id", c.FileID), "index", c.Document)
	return append(respKeyString(b, "filename", c.Title), '}')
}

// respAppendAnnotation appends an annotation as it came, with what xAI leaves out of a url_citation and the Vercel AI SDK fails without.
func respAppendAnnotation(b []byte, raw llm.Raw) []byte {
	var m map[string]llm.Raw
	if respUnmarshal(raw, &m, "") != nil || llm.StringOf(m["type"]) != "url_citation" {
		return respAppendRaw(b, raw)
	}
	missing := false
	for _, l := range []struct {
		name, otherwise string
	}{{"start_index", "0"}, {"end_index", "0"}, {"title", `""`}} {
		if v := m[l.name]; !llm.IsSet(v) {
			m[l.name] = llm.Raw(l.otherwise)
			missing = true
		}
	}
	if !missing {
		return respAppendRaw(b, raw)
	}
	return append(respMembers(append(b, '{'), m), '}')
}
