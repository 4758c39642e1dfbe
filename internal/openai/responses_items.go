package openai

import (
	"bytes"
	"errors"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// respUnmarshal reads one value; an error names the member at fault, path being where the value stands.
func respUnmarshal(raw []byte, v any, path string, opts ...json.Options) *llm.Error {
	var err error
	if len(opts) == 0 {
		err = wire.Unmarshal(raw, v)
	} else {
		err = json.Unmarshal(raw, v, opts...)
	}
	if err == nil {
		return nil
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		at := wire.FieldPath(path, semantic.JSONPointer)
		if at == "" {
			return llm.Invalid("", "the body must be a JSON object")
		}
		return &llm.Error{Kind: llm.ErrInvalid, Param: at, Cause: err,
			Message: "'" + at + "' is " + respArticle(semantic.JSONKind) + ", which is not what belongs there"}
	}
	var syntactic *jsontext.SyntacticError
	at := path
	if errors.As(err, &syntactic) {
		at = wire.FieldPath(path, syntactic.JSONPointer)
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return &llm.Error{Kind: llm.ErrInvalid, Param: at, Cause: err, Message: "'" + at + "' is given twice"}
		}
	}
	return &llm.Error{Kind: llm.ErrInvalid, Param: at, Cause: err, Message: "the body is not valid JSON"}
}

func respArticle(k jsontext.Kind) string {
	switch k {
	case '"':
		return "a string"
	case '0':
		return "a number or a number out of range"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	}
	return "a value"
}

// The items of a conversation, as they stand in input and output.
type (
	respHead struct {
		Type string `json:"type"`
		Role string `json:"role"`
		ID   string `json:"id"`
	}
	respMessageItem struct {
		Type    string                    `json:"type"`
		ID      string                    `json:"id"`
		Role    string                    `json:"role"`
		Status  string                    `json:"status"`
		Phase   string                    `json:"phase"`
		Content jsontext.Value            `json:"content"`
		Extra   map[string]jsontext.Value `json:",embed"`
	}
	respCallItem struct {
		Type      string                    `json:"type"`
		ID        string                    `json:"id"`
		CallID    string                    `json:"call_id"`
		Name      string                    `json:"name"`
		Arguments string                    `json:"arguments"`
		Input     string                    `json:"input"`
		Status    string                    `json:"status"`
		Extra     map[string]jsontext.Value `json:",embed"`
	}
	respOutputItem struct {
		Type   string                    `json:"type"`
		ID     string                    `json:"id"`
		CallID string                    `json:"call_id"`
		Output jsontext.Value            `json:"output"`
		Status string                    `json:"status"`
		Extra  map[string]jsontext.Value `json:",embed"`
	}
	respReasoningItem struct {
		ID        string        `json:"id"`
		Summary   []respContent `json:"summary"`
		Content   []respContent `json:"content"`
		Encrypted string        `json:"encrypted_content"`
	}
	respContent struct {
		Type        string                    `json:"type"`
		Text        string                    `json:"text"`
		Refusal     string                    `json:"refusal"`
		ImageURL    string                    `json:"image_url"`
		FileID      string                    `json:"file_id"`
		Detail      string                    `json:"detail"`
		Filename    string                    `json:"filename"`
		FileData    string                    `json:"file_data"`
		FileURL     string                    `json:"file_url"`
		Audio       *respAudio                `json:"input_audio"`
		Annotations []jsontext.Value          `json:"annotations"`
		Logprobs    []respLogprob             `json:"logprobs"`
		Breakpoint  *respBreakpoint           `json:"prompt_cache_breakpoint"`
		Extra       map[string]jsontext.Value `json:",embed"`
	}
	respAudio struct {
		Data   string `json:"data"`
		Format string `json:"format"`
	}
	respBreakpoint struct {
		Mode string `json:"mode"`
	}
	respLogprob struct {
		Token   string        `json:"token"`
		Logprob float64       `json:"logprob"`
		Bytes   []int64       `json:"bytes"`
		Top     []respLogprob `json:"top_logprobs"`
	}
)

// respItem is one decoded item.
type respItem struct {
	kind     string // its type
	id       string
	role     llm.Role // whose turn it belongs to
	parts    []llm.Part
	logprobs []llm.TokenLogprob
	// signature is another dialect's, for the part after or before the item, by of.
	signature string
	signedBy  llm.Dialect
	of        string
}

// respDecodeItem reads an item of input or output. Items of a type it does not know are native: they are kept whole. What a client must
// not leave out an answer may.
func respDecodeItem(raw jsontext.Value, path string, answer bool) (it respItem, err *llm.Error) {
	var head respHead
	if err := respUnmarshal(raw, &head, path); err != nil {
		return it, err
	}
	if head.Type == "" {
		switch {
		case head.Role != "":
			head.Type = "message"
		case head.ID != "":
			head.Type = "item_reference"
			raw = append(respKeyString([]byte(`{"type":"item_reference"`), "id", head.ID), '}')
		default:
			return it, llm.Invalid(path+".type", "'%s' has neither a 'type' nor a 'role': give it \"type\": \"message\" and a role, or the type of the item it is", path)
		}
	}
	it.kind, it.id, it.role = head.Type, head.ID, llm.RoleAssistant
	switch head.Type {
	case "message":
		return respDecodeMessage(raw, path, answer)
	case "function_call", "custom_tool_call":
		return respDecodeCall(it, raw, path, answer)
	case "function_call_output", "custom_tool_call_output":
		return respDecodeOutput(it, raw, path)
	case "reasoning":
		return respDecodeReasoning(it, raw, path)
	}
	if strings.HasSuffix(head.Type, "_output") || head.Type == "mcp_approval_response" || head.Type == "compaction_trigger" {
		it.role = llm.RoleUser
	}
	it.parts = []llm.Part{{Kind: llm.KindNative, ID: head.ID, Raw: raw}}
	return it, nil
}

func respDecodeMessage(raw jsontext.Value, path string, answer bool) (it respItem, err *llm.Error) {
	var m respMessageItem
	if err = respUnmarshal(raw, &m, path); err != nil {
		return it, err
	}
	it.kind, it.id = "message", m.ID
	switch {
	case m.Role == "user", m.Role == "system", m.Role == "developer", m.Role == "assistant":
		it.role = llm.Role(m.Role)
	case answer:
		it.role = llm.RoleAssistant
	default:
		return it, llm.Invalid(path+".role", "'%s.role' is %q; it must be user, assistant, system or developer (a tool's result is an item of type function_call_output)", path, m.Role)
	}
	if len(m.Content) == 0 {
		if answer {
			return it, nil
		}
		return it, llm.Invalid(path+".content", "'%s.content' is missing: give a string or an array of content parts", path)
	}
	it.parts, it.logprobs, err = respDecodeContent(m.Content, path+".content", answer)
	if err != nil {
		return it, err
	}
	for i := range it.parts {
		p := &it.parts[i]
		p.ID = m.ID
		if m.Phase != "" {
			p.Extra = llm.WithExtra(p.Extra, "phase", llm.Quote(m.Phase))
		}
		if m.Status != "" && m.Status != "completed" {
			p.Extra = llm.WithExtra(p.Extra, "status", llm.Quote(m.Status))
		}
	}
	return it, nil
}

// respDecodeContent reads what may stand for content: a string or an array of typed parts. Of an answer, parts of an unknown type are left
// out.
func respDecodeContent(raw jsontext.Value, path string, answer bool) (parts []llm.Part, logprobs []llm.TokenLogprob, err *llm.Error) {
	switch raw.Kind() {
	case '"':
		return []llm.Part{{Kind: llm.KindText, Text: llm.StringOf(raw)}}, nil, nil
	case 'n':
		return nil, nil, nil
	case '[':
	default:
		return nil, nil, llm.Invalid(path, "'%s' must be a string or an array of content parts", path)
	}
	var list []respContent
	if err := respUnmarshal(raw, &list, path); err != nil {
		return nil, nil, err
	}
	parts = make([]llm.Part, 0, len(list))
	for i := range list {
		c := &list[i]
		p, err := c.part(path, i)
		if err != nil && answer && p.Kind == "" {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		parts = append(parts, p)
		logprobs = append(logprobs, respLogprobs(c.Logprobs)...)
	}
	return parts, logprobs, nil
}

func (c *respContent) part(path string, i int) (p llm.Part, err *llm.Error) {
	at := func(member string) string { return path + "[" + respItoa(i) + "]." + member }
	p.Extra = c.Extra
	if c.Breakpoint != nil {
		p.Cache = &llm.CacheMark{}
	}
	switch c.Type {
	case "input_text", "output_text", "text":
		p.Kind, p.Text = llm.KindText, c.Text
		for _, a := range c.Annotations {
			p.Citations = append(p.Citations, respCitation(a))
		}
	case "refusal":
		p.Kind, p.Text = llm.KindRefusal, c.Refusal
	case "input_image", "computer_screenshot":
		p.Kind, p.Media = llm.KindImage, &llm.Media{URL: c.ImageURL, FileID: c.FileID, Detail: c.Detail}
		if mime, data, ok := respDataURL(c.ImageURL); ok {
			p.Media.URL, p.Media.MIME, p.Media.Data = "", mime, data
		}
		if c.ImageURL == "" && c.FileID == "" {
			return p, llm.Invalid(at("image_url"), "'%s' is missing: give a URL, a data URL or a 'file_id'", at("image_url"))
		}
	case "input_file":
		p.Kind, p.Media = llm.KindDocument, &llm.Media{URL: c.FileURL, FileID: c.FileID, Name: c.Filename, Detail: c.Detail, Data: c.FileData}
		if mime, data, ok := respDataURL(c.FileData); ok {
			p.Media.MIME, p.Media.Data = mime, data
		}
		if c.FileURL == "" && c.FileID == "" && c.FileData == "" {
			return p, llm.Invalid(at("file_data"), "'%s' is missing: give 'file_data', 'file_url' or 'file_id'", at("file_data"))
		}
	case "input_audio":
		if c.Audio == nil || c.Audio.Data == "" {
			return p, llm.Invalid(at("input_audio"), "'%s' is missing: give an object with 'data' and 'format'", at("input_audio"))
		}
		p.Kind, p.Media = llm.KindAudio, &llm.Media{MIME: "audio/" + c.Audio.Format, Data: c.Audio.Data}
	default:
		return p, llm.Invalid(at("type"), "'%s' is %q; known are input_text, input_image, input_file, input_audio, output_text and refusal", at("type"), c.Type)
	}
	return p, nil
}

func respDecodeCall(it respItem, raw jsontext.Value, path string, answer bool) (respItem, *llm.Error) {
	var c respCallItem
	if err := respUnmarshal(raw, &c, path); err != nil {
		return it, err
	}
	if c.CallID == "" && answer {
		c.CallID = c.ID
	}
	if c.CallID == "" && !answer {
		return it, llm.Invalid(path+".call_id", "'%s.call_id' is missing: it ties the call to its output", path)
	}
	call := &llm.ToolCall{ID: c.CallID, Name: c.Name, Arguments: c.Arguments}
	if c.Type == "custom_tool_call" {
		call.Type, call.Arguments = "custom", c.Input
	}
	p := llm.Part{Kind: llm.KindToolCall, ID: c.ID, Call: call, Extra: respNonNull(c.Extra)}
	if c.Status != "" && c.Status != "completed" {
		p.Extra = llm.WithExtra(p.Extra, "status", llm.Quote(c.Status))
	}
	it.parts = []llm.Part{p}
	return it, nil
}

func respDecodeOutput(it respItem, raw jsontext.Value, path string) (respItem, *llm.Error) {
	var o respOutputItem
	if err := respUnmarshal(raw, &o, path); err != nil {
		return it, err
	}
	if o.CallID == "" {
		return it, llm.Invalid(path+".call_id", "'%s.call_id' is missing: give the call_id of the call that this is the output of", path)
	}
	if len(o.Output) == 0 {
		return it, llm.Invalid(path+".output", "'%s.output' is missing: give a string or an array of content parts", path)
	}
	parts, _, err := respDecodeContent(o.Output, path+".output", false)
	if err != nil {
		return it, err
	}
	r := &llm.ToolResult{CallID: o.CallID, Parts: parts}
	if o.Type == "custom_tool_call_output" {
		r.Type = "custom"
	}
	it.role = llm.RoleTool
	it.parts = []llm.Part{{Kind: llm.KindToolResult, ID: o.ID, Result: r, Extra: respNonNull(o.Extra)}}
	return it, nil
}

// respDecodeReasoning gives a part for each paragraph of the summary and of the text, the last of them signed; one empty part if the
// item shows nothing, for OpenAI refuses a call whose reasoning item is gone.
func respDecodeReasoning(it respItem, raw jsontext.Value, path string) (respItem, *llm.Error) {
	var r respReasoningItem
	if err := respUnmarshal(raw, &r, path); err != nil {
		return it, err
	}
	by, of, signature := respUnseal(r.Encrypted)
	switch of {
	case respOfRedacted:
		it.parts = []llm.Part{{Kind: llm.KindRedacted, ID: r.ID, Data: signature, SignedBy: by}}
		return it, nil
	case respOfNext, respOfPrevious:
		it.signature, it.signedBy, it.of = signature, by, of
		return it, nil
	}
	for _, s := range r.Summary {
		it.parts = append(it.parts, llm.Part{Kind: llm.KindReasoning, ID: r.ID, Text: s.Text, Summary: true})
	}
	for _, c := range r.Content {
		it.parts = append(it.parts, llm.Part{Kind: llm.KindReasoning, ID: r.ID, Text: c.Text})
	}
	if len(it.parts) == 0 {
		it.parts = []llm.Part{{Kind: llm.KindReasoning, ID: r.ID}}
	}
	if signature != "" {
		last := &it.parts[len(it.parts)-1]
		last.Signature, last.SignedBy = signature, by
	}
	return it, nil
}

// respNonNull drops members that say nothing.
func respNonNull(m map[string]jsontext.Value) map[string]llm.Raw {
	for k, v := range m {
		if v.Kind() == 'n' {
			delete(m, k)
		}
	}
	if len(m) == 0 {
		return nil
	}
	return m
}

// respCitation reads an annotation.
func respCitation(raw jsontext.Value) llm.Citation {
	var a struct {
		Type     string `json:"type"`
		URL      string `json:"url"`
		Title    string `json:"title"`
		FileID   string `json:"file_id"`
		Filename string `json:"filename"`
		Start    int64  `json:"start_index"`
		End      int64  `json:"end_index"`
		Index    int64  `json:"index"`
	}
	c := llm.Citation{Kind: "file", Raw: raw.Clone(), From: llm.Responses}
	if respUnmarshal(raw, &a, "") != nil {
		return c
	}
	c.URL, c.Title, c.FileID, c.Start, c.End = a.URL, a.Title, a.FileID, a.Start, a.End
	if a.Type == "url_citation" {
		c.Kind = "url"
	} else if c.Title == "" {
		c.Title = a.Filename
	}
	if a.Type == "file_citation" || a.Type == "file_path" {
		c.Start, c.End = a.Index, a.Index
	}
	return c
}

func respLogprobs(in []respLogprob) []llm.TokenLogprob {
	if len(in) == 0 {
		return nil
	}
	out := make([]llm.TokenLogprob, len(in))
	for i, l := range in {
		out[i] = llm.TokenLogprob{Token: l.Token, Logprob: l.Logprob, Bytes: l.Bytes, Top: respLogprobs(l.Top)}
	}
	return out
}

// respDataURL takes a base64 data URL apart.
func respDataURL(s string) (mime, data string, ok bool) {
	rest, ok := strings.CutPrefix(s, "data:")
	if !ok {
		return "", "", false
	}
	mime, data, ok = strings.Cut(rest, ";base64,")
	return mime, data, ok
}

// respIsObject says whether raw starts as an object.
func respIsObject(raw []byte) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) > 0 && raw[0] == '{'
}
