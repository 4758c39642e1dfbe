package openai

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

func decodeMessages(req *llm.Request, in *chatRequest) *llm.Error {
	req.Messages = make([]llm.Message, 0, len(in.Messages))
	lastCall := map[string]string{} // function name -> id made up for its latest call in the deprecated form
	for i := range in.Messages {
		at := "messages[" + strconv.Itoa(i) + "]"
		m, err := in.Messages[i].decode(at, i, lastCall)
		if err != nil {
			return err
		}
		req.Messages = append(req.Messages, m)
	}
	return nil
}

// decode reads a request's message.
func (m *chatMessage) decode(at string, i int, lastCall map[string]string) (llm.Message, *llm.Error) {
	out := llm.Message{Role: llm.Role(m.Role), Name: m.Name, Extra: plainExtra(m.Extra)}
	var err *llm.Error
	switch out.Role {
	case llm.RoleSystem, llm.RoleDeveloper, llm.RoleUser:
		out.Parts, err = m.Content.decode(at)
		m.cacheLast(&out)
	case llm.RoleAssistant:
		if m.FunctionCall != nil {
			id := "call_fn_" + strconv.Itoa(i)
			lastCall[m.FunctionCall.Name] = id
		}
		out.Parts, err = m.answer(at, "call_fn_"+strconv.Itoa(i))
		m.cacheLast(&out)
		m.keepReasoning(&out.Extra, "")
		if llm.IsSet(m.Annotations) && string(m.Annotations) != "[]" {
			out.Extra = llm.WithExtra(out.Extra, "annotations", m.Annotations)
		}
	case llm.RoleTool:
		if m.ToolCallID == "" {
			return out, llm.Invalid(at+".tool_call_id", "Missing required parameter: '%s.tool_call_id'. It names the call that the result answers.", at)
		}
		out, err = m.result(out, at, callID(m.ToolCallID))
	case "function":
		if m.Name == "" {
			return out, llm.Invalid(at+".name", "Missing required parameter: '%s.name'. It names the function that the result answers.", at)
		}
		out.Role = llm.RoleTool
		out, err = m.result(out, at, lastCall[m.Name])
		if err == nil {
			p := &out.Parts[0]
			p.Extra = llm.WithExtra(p.Extra, extraLegacy, llm.Raw("true"))
		}
	default:
		return out, llm.Invalid(at+".role", "Invalid value for '%s.role': %q. Use system, developer, user, assistant or tool.", at, m.Role)
	}
	return out, err
}

func (m *chatMessage) result(out llm.Message, at, id string) (llm.Message, *llm.Error) {
	parts, err := m.Content.decode(at)
	p := llm.Part{Kind: llm.KindToolResult, Result: &llm.ToolResult{CallID: id, Name: m.Name, Parts: parts}}
	if m.CacheControl != nil {
		p.Cache = &llm.CacheMark{TTL: m.CacheControl.TTL}
	}
	out.Name = ""
	out.Parts = []llm.Part{p}
	return out, err
}

// cacheLast applies a message's own cache_control, which OpenRouter and LiteLLM know, to its last part.
func (m *chatMessage) cacheLast(out *llm.Message) {
	if m.CacheControl == nil || len(out.Parts) == 0 {
		return
	}
	out.Parts[len(out.Parts)-1].Cache = &llm.CacheMark{TTL: m.CacheControl.TTL}
	w := writer{}
	w.cacheControl(&llm.CacheMark{TTL: m.CacheControl.TTL})
	out.Extra = llm.WithExtra(out.Extra, extraCache, w.b)
}

// callID cuts off the thought signature that LiteLLM hides in a call's id.
func callID(id string) string {
	id, _, _ = strings.Cut(id, "__thought__")
	return id
}

// answer reads what an assistant said: a request's message, a reply's, in the order in which models think, speak and call.
func (m *chatMessage) answer(at, legacyID string) ([]llm.Part, *llm.Error) {
	parts := m.reasoning()
	body, err := m.Content.decode(at)
	if err != nil {
		return nil, err
	}
	for i := range body {
		if body[i].Kind == llm.KindReasoning && len(parts) > 0 && i == 0 && parts[0].Text == body[i].Text {
			continue // said twice: as a content part and as reasoning_content
		}
		parts = append(parts, body[i])
	}
	m.signText(parts)
	if m.Refusal != "" {
		parts = append(parts, llm.Part{Kind: llm.KindRefusal, Text: m.Refusal})
	}
	if m.Audio != nil {
		parts = append(parts, llm.Part{Kind: llm.KindAudio, Media: &llm.Media{ID: m.Audio.ID, Data: m.Audio.Data, Transcript: m.Audio.Transcript}})
	}
	for i := range m.Images {
		p, err := m.Images[i].decode(at + ".images[" + strconv.Itoa(i) + "]")
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	for i := range m.ToolCalls {
		p, err := m.ToolCalls[i].decode(at + ".tool_calls[" + strconv.Itoa(i) + "]")
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	if f := m.FunctionCall; f != nil && f.Name != "" {
		p := llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: legacyID, Name: f.Name, Arguments: string(f.Arguments)}}
		p.Extra = llm.WithExtra(p.Extra, extraLegacy, llm.Raw("true"))
		parts = append(parts, p)
	}
	m.signCalls(parts)
	return parts, nil
}

func (c *chatCall) decode(at string) (llm.Part, *llm.Error) {
	p := llm.Part{Kind: llm.KindToolCall, Call: &llm.ToolCall{ID: callID(c.ID)}, Extra: plainExtra(c.Extra)}
	switch {
	case c.Custom != nil:
		p.Call.Type, p.Call.Name, p.Call.Arguments = "custom", c.Custom.Name, c.Custom.Input
	case c.Function != nil:
		p.Call.Name, p.Call.Arguments = c.Function.Name, string(c.Function.Arguments)
	default:
		return p, llm.Invalid(at+".function", "Missing required parameter: '%s.function'.", at)
	}
	if c.CacheControl != nil {
		p.Cache = &llm.CacheMark{TTL: c.CacheControl.TTL}
	}
	c.sign(&p)
	return p, nil
}

// sign finds Gemini's thought signature in the places where Google's endpoint and LiteLLM put it.
func (c *chatCall) sign(p *llm.Part) {
	sig := ""
	if llm.IsSet(c.ExtraContent) {
		var x struct {
			Google struct {
				ThoughtSignature string `json:"thought_signature"`
			} `json:"google"`
		}
		if wire.Unmarshal(c.ExtraContent, &x) == nil {
			sig = x.Google.ThoughtSignature
		}
	}
	if sig == "" && llm.IsSet(c.ProviderFields) {
		var x struct {
			ThoughtSignature string `json:"thought_signature"`
		}
		if wire.Unmarshal(c.ProviderFields, &x) == nil {
			sig = x.ThoughtSignature
		}
	}
	if sig == "" {
		_, sig, _ = strings.Cut(c.ID, "__thought__")
	}
	if sig != "" {
		p.Signature, p.SignedBy = sig, llm.Gemini
	}
}

// signText puts LiteLLM's thought_signatures, which belong to Gemini's text, on the first text part.
func (m *chatMessage) signText(parts []llm.Part) {
	if !llm.IsSet(m.ProviderFields) {
		return
	}
	var x struct {
		ThoughtSignatures []string `json:"thought_signatures"`
	}
	if wire.Unmarshal(m.ProviderFields, &x) != nil || len(x.ThoughtSignatures) == 0 {
		return
	}
	for i := range parts {
		if parts[i].Kind == llm.KindText {
			parts[i].Signature, parts[i].SignedBy = x.ThoughtSignatures[0], llm.Gemini
			return
		}
	}
}

// decode reads the parts of a message's content.
func (c *content) decode(at string) ([]llm.Part, *llm.Error) {
	if !c.list {
		if c.text == "" {
			return nil, nil
		}
		return []llm.Part{{Kind: llm.KindText, Text: c.text}}, nil
	}
	parts := make([]llm.Part, 0, len(c.parts))
	for i := range c.parts {
		p, err := c.parts[i].decode(at + ".content[" + strconv.Itoa(i) + "]")
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func (c *chatPart) decode(at string) (llm.Part, *llm.Error) {
	p := llm.Part{Extra: plainExtra(c.Extra)}
	if c.CacheControl != nil {
		p.Cache = &llm.CacheMark{TTL: c.CacheControl.TTL}
	}
	missing := func(name string) (llm.Part, *llm.Error) {
		return p, llm.Invalid(at+"."+name, "Missing required parameter: '%s.%s'.", at, name)
	}
	switch c.Type {
	case "text", "input_text", "output_text":
		if c.Text == nil {
			return missing("text")
		}
		p.Kind, p.Text = llm.KindText, *c.Text
	case "refusal":
		p.Kind, p.Text = llm.KindRefusal, c.Refusal
	case "image_url":
		if c.ImageURL == nil {
			return missing("image_url")
		}
		p.Kind = llm.KindImage
		return p, c.ImageURL.media(&p, at+".image_url.url")
	case "video_url":
		if c.VideoURL == nil {
			return missing("video_url")
		}
		p.Kind = llm.KindVideo
		return p, c.VideoURL.media(&p, at+".video_url.url")
	case "input_audio":
		if c.InputAudio == nil {
			return missing("input_audio")
		}
		p.Kind, p.Media = llm.KindAudio, &llm.Media{MIME: audioMIME(c.InputAudio.Format), Data: c.InputAudio.Data}
	case "file":
		if c.File == nil {
			return missing("file")
		}
		p.Kind = llm.KindDocument
		return p, c.File.media(&p, at+".file")
	case "thinking":
		p.Kind, p.Text, p.Signature = llm.KindReasoning, thinkingText(c.Thinking), c.Signature
		if p.Signature != "" {
			p.SignedBy = llm.Anthropic
		}
	case "redacted_thinking":
		p.Kind, p.Data, p.SignedBy = llm.KindRedacted, c.Data, llm.Anthropic
	case "":
		return missing("type")
	default:
		p = llm.Part{Kind: llm.KindNative, Raw: c.native(), Cache: p.Cache}
	}
	return p, nil
}

// native writes a part of a type that nobody here knows as it came, but for the order of its members.
func (c *chatPart) native() llm.Raw {
	raw, err := json.Marshal(struct {
		Type         string                    `json:"type"`
		Text         *string                   `json:"text,omitzero"`
		Refusal      string                    `json:"refusal,omitzero"`
		Thinking     jsontext.Value            `json:"thinking,omitzero"`
		Signature    string                    `json:"signature,omitzero"`
		Data         string                    `json:"data,omitzero"`
		CacheControl *cacheControl             `json:"cache_control,omitzero"`
		Extra        map[string]jsontext.Value `json:",embed"`
	}{c.Type, c.Text, c.Refusal, c.Thinking, c.Signature, c.Data, c.CacheControl, c.Extra}, json.Deterministic(true))
	if err != nil {
		return llm.Raw("null")
	}
	return raw
}

func (u *chatURL) media(p *llm.Part, at string) *llm.Error {
	m := &llm.Media{Detail: u.Detail, MIME: u.Format}
	p.Media = m
	switch {
	case u.URL == "":
		return llm.Invalid(at, "Missing required parameter: '%s'.", at)
	case strings.HasPrefix(u.URL, "data:"):
		mime, data, ok := dataURI(u.URL)
		if !ok {
			return llm.Invalid(at, "Invalid value for '%s': a data URL must look like data:image/png;base64,<data>.", at)
		}
		m.MIME, m.Data = mime, data
	default:
		m.URL = u.URL
	}
	return nil
}

func (f *chatFile) media(p *llm.Part, at string) *llm.Error {
	m := &llm.Media{Name: f.Filename, MIME: f.Format, FileID: f.FileID}
	p.Media = m
	remote := strings.HasPrefix(f.FileID, "http") || strings.HasPrefix(f.FileID, "gs://") || strings.HasPrefix(f.FileID, "s3://")
	switch {
	case f.FileData == "" && remote: // LiteLLM's way to give a file's address
		m.URL, m.FileID = f.FileID, ""
	case f.FileData == "" && f.FileID == "":
		return llm.Invalid(at, "Missing required parameter: '%s.file_data' or '%s.file_id'.", at, at)
	case f.FileData == "":
	case strings.HasPrefix(f.FileData, "data:"):
		mime, data, ok := dataURI(f.FileData)
		if !ok {
			return llm.Invalid(at+".file_data", "Invalid value for '%s.file_data': it must look like data:application/pdf;base64,<data>.", at)
		}
		m.MIME, m.Data, m.FileID = mime, data, ""
	case strings.HasPrefix(f.FileData, "http://"), strings.HasPrefix(f.FileData, "https://"):
		m.URL, m.FileID = f.FileData, ""
	default:
		m.Data, m.FileID = f.FileData, ""
		if m.MIME == "" {
			m.MIME = mimeOf(f.Filename)
		}
	}
	if strings.HasPrefix(m.MIME, "video/") {
		p.Kind = llm.KindVideo
	}
	return nil
}

// audioMIME and audioFormat translate between OpenAI's format words and media types.
func audioMIME(format string) string {
	switch format {
	case "":
		return ""
	case "mp3":
		return "audio/mpeg"
	}
	return "audio/" + format
}

func audioFormat(mime string) string {
	switch f := strings.TrimPrefix(mime, "audio/"); f {
	case "mpeg":
		return "mp3"
	case "x-wav", "wave", "vnd.wave":
		return "wav"
	default:
		return f
	}
}
