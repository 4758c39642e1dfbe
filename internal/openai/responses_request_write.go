package openai

import (
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// minOutput is the least that OpenAI and Azure take as max_output_tokens.
const minOutput = 16

func respKeys(m map[string]llm.Raw) []string { return slices.Sorted(maps.Keys(m)) }

// respComma appends the comma before a member whose name is not a constant.
func respComma(dst []byte) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return dst
}

// respEncoder writes one request.
type respEncoder struct {
	req     *llm.Request
	own     bool // the request came in this dialect: Extra, ids and native parts are ours
	dropped []string
}

func (e *respEncoder) drop(name string) {
	if !slices.Contains(e.dropped, name) {
		e.dropped = append(e.dropped, name)
	}
}

// EncodeRequest writes the body of POST /v1/responses.
//
// System and developer messages of other dialects become items of the input rather than instructions: items keep their place in the
// conversation, their role and their several parts, and instructions would be one string before everything. A request from elsewhere is
// not stored (store: false) unless it asks to be; as then nobody but the client keeps the reasoning, its encrypted form is asked for.
func (responses) EncodeRequest(dst []byte, req *llm.Request, t *llm.Target) ([]byte, []string, error) {
	e := &respEncoder{req: req, own: req.From == llm.Responses}
	b := respKeyString(append(dst, '{'), "model", t.Model)
	b, err := e.conversation(b)
	if err != nil {
		return nil, nil, err
	}
	b = e.toolbox(b)
	if req.Stream {
		b = respKeyBool(b, "stream", true)
	}
	b = e.sampling(b, t)
	b = e.text(b)
	b = e.reasoning(b)
	b = e.bookkeeping(b)
	e.losses()
	return append(b, '}'), e.dropped, nil
}

// toolbox writes the tools and how to use them; nothing if not one of the tools can be said.
func (e *respEncoder) toolbox(b []byte) []byte {
	if len(e.req.Tools) > 0 {
		at := len(b)
		b = e.tools(respKey(b, "tools"))
		if b[len(b)-2] == '[' {
			return b[:at]
		}
	}
	if e.req.ToolChoice != nil {
		b = e.toolChoice(b)
	}
	if e.req.ParallelTools != nil {
		b = respKeyBool(b, "parallel_tool_calls", *e.req.ParallelTools)
	}
	return b
}

func respKeyBool(dst []byte, name string, v bool) []byte {
	if v {
		return append(respKey(dst, name), "true"...)
	}
	return append(respKey(dst, name), "false"...)
}

func (e *respEncoder) sampling(b []byte, t *llm.Target) []byte {
	req := e.req
	if req.MaxTokens != nil {
		n := *req.MaxTokens
		if n < minOutput && !e.own && (t.Provider == "openai" || t.Provider == "azure") {
			n = minOutput
		}
		b = respKeyInt(b, "max_output_tokens", n)
	}
	if req.Temperature != nil {
		b = respAppendFloat(respKey(b, "temperature"), *req.Temperature)
	}
	if req.TopP != nil {
		b = respAppendFloat(respKey(b, "top_p"), *req.TopP)
	}
	if req.TopLogprobs != nil {
		b = respKeyInt(b, "top_logprobs", *req.TopLogprobs)
	}
	return b
}

func (e *respEncoder) text(b []byte) []byte {
	var extra map[string]llm.Raw
	if e.own && e.req.Extra["text"] != nil {
		respUnmarshal(e.req.Extra["text"], &extra, "")
	}
	if e.req.Format == nil && e.req.Verbosity == "" && extra == nil {
		return b
	}
	b = append(respKey(b, "text"), '{')
	if e.req.Format != nil {
		b = respAppendFormat(respKey(b, "format"), e.req.Format)
	}
	b = respKeyText(b, "verbosity", e.req.Verbosity)
	return append(respMembers(b, extra), '}')
}

func respAppendFormat(b []byte, f *llm.Format) []byte {
	if f.Type == "json_schema" && len(f.Schema) == 0 {
		return append(b, `{"type":"json_object"}`...)
	}
	b = respKeyString(append(b, '{'), "type", f.Type)
	if f.Type == "json_schema" {
		name := f.Name
		if name == "" {
			name = "response"
		}
		b = respKeyString(b, "name", name)
		b = respKeyText(b, "description", f.Description)
		b = respKeyRaw(b, "schema", f.Schema)
		if f.Strict != nil {
			b = respKeyBool(b, "strict", *f.Strict)
		}
	}
	return append(b, '}')
}

// respMembers appends members of an object in a stable order.
func respMembers(b []byte, m map[string]llm.Raw) []byte {
	for _, k := range respKeys(m) {
		b = append(wire.AppendString(respComma(b), k), ':')
		b = respAppendRaw(b, m[k])
	}
	return b
}

func (e *respEncoder) reasoning(b []byte) []byte {
	r := e.req.Reasoning
	var extra map[string]llm.Raw
	if e.own && e.req.Extra["reasoning"] != nil {
		respUnmarshal(e.req.Extra["reasoning"], &extra, "")
	}
	if r == nil && extra == nil {
		return b
	}
	effort, summary := r.EffortWord(), ""
	if r != nil {
		summary = e.summary(r, effort)
	}
	if effort == "" && summary == "" && extra == nil {
		return b
	}
	b = append(respKey(b, "reasoning"), '{')
	b = respKeyText(b, "effort", effort)
	b = respKeyText(b, "summary", summary)
	return append(respMembers(b, extra), '}')
}

// summary is the summary to ask for. Clients of Anthropic and Converse expect to see the thoughts they asked for.
func (e *respEncoder) summary(r *llm.Reasoning, effort string) string {
	switch {
	case e.own, r.Summary == "auto", r.Summary == "concise", r.Summary == "detailed":
		return r.Summary
	case r.Summary == "omitted", r.Include != nil && !*r.Include, effort == "none":
		return ""
	case r.Summary == "summarized", r.Include != nil:
		return "auto"
	case (e.req.From == llm.Anthropic || e.req.From == llm.Converse) && (effort != "" || r.Budget != nil):
		return "auto"
	}
	return ""
}

// bookkeeping writes what does not change the answer's text, and of our own Extra what has not been merged elsewhere.
func (e *respEncoder) bookkeeping(b []byte) []byte {
	req := e.req
	store := req.Store
	if store == nil && !e.own {
		store = llm.Ptr(false)
	}
	if store != nil {
		b = respKeyBool(b, "store", *store)
	}
	b = e.include(b, store)
	if len(req.Metadata) > 0 {
		b = respAppendMetadata(respKey(b, "metadata"), req.Metadata)
	}
	b = respKeyText(b, "user", req.User)
	b = respKeyText(b, "safety_identifier", req.SafetyIdentifier)
	b = respKeyText(b, "prompt_cache_key", req.PromptCacheKey)
	tier := req.ServiceTier
	if tier == "standard_only" {
		tier = "default"
	}
	b = respKeyText(b, "service_tier", tier)
	for _, k := range respKeys(req.Extra) {
		switch {
		case !e.own:
			e.drop(k)
		case k == "include", k == "text", k == "reasoning":
		default:
			b = append(wire.AppendString(respComma(b), k), ':')
			b = respAppendRaw(b, req.Extra[k])
		}
	}
	return b
}

func respAppendMetadata(b []byte, m map[string]string) []byte {
	b = append(b, '{')
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = append(wire.AppendString(respComma(b), k), ':')
		b = wire.AppendString(b, m[k])
	}
	return append(b, '}')
}

func (e *respEncoder) include(b []byte, store *bool) []byte {
	var list []string
	if e.own && e.req.Extra["include"] != nil {
		respUnmarshal(e.req.Extra["include"], &list, "")
	}
	r := e.req.Reasoning
	switch {
	case r == nil:
	case e.own && (r.Include == nil || !*r.Include):
	case e.own, (store == nil || !*store) && r.EffortWord() != "none":
		list = append(list, "reasoning.encrypted_content")
	}
	if e.req.Logprobs != nil && *e.req.Logprobs {
		list = append(list, "message.output_text.logprobs")
	}
	if len(list) == 0 {
		return b
	}
	b = append(respKey(b, "include"), '[')
	for _, s := range list {
		b = wire.AppendString(respElem(b), s)
	}
	return append(b, ']')
}

// losses names the parameters that this dialect has no word for.
func (e *respEncoder) losses() {
	req := e.req
	zero := func(f *float64) bool { return f == nil || *f == 0 }
	for _, l := range []struct {
		name string
		lost bool
	}{
		{"top_k", req.TopK != nil}, {"min_p", req.MinP != nil},
		{"presence_penalty", !zero(req.PresencePenalty)}, {"frequency_penalty", !zero(req.FrequencyPenalty)},
		{"seed", req.Seed != nil}, {"n", req.N != nil && *req.N > 1}, {"stop", len(req.Stop) > 0},
		{"logit_bias", len(req.LogitBias) > 0}, {"audio", req.Audio != nil},
		{"modalities", len(req.Modalities) > 0 && !slices.Equal(req.Modalities, []string{"text"})},
	} {
		if l.lost {
			e.drop(l.name)
		}
	}
}

// tools writes the list of tools. Where strict is not said, the Responses API makes a function strict and the other dialects do not:
// for them it is said.
func (e *respEncoder) tools(b []byte) []byte {
	b = append(b, '[')
	for i := range e.req.Tools {
		t := &e.req.Tools[i]
		switch {
		case t.Type == "":
			b = e.function(respElem(b), t)
		case e.own && len(t.Raw) > 0:
			b = respAppendRaw(respElem(b), t.Raw)
		case t.Type == "custom" && (e.own || e.req.From == llm.OpenAI):
			b = respCustomTool(respElem(b), t)
		default:
			e.drop("tools." + t.Type)
		}
	}
	return append(b, ']')
}

func (e *respEncoder) function(b []byte, t *llm.Tool) []byte {
	b = append(b, `{"type":"function"`...)
	b = respKeyString(b, "name", t.Name)
	b = respKeyText(b, "description", t.Description)
	switch {
	case len(t.Schema) > 0:
		b = respKeyRaw(b, "parameters", t.Schema)
	case !e.own:
		b = append(respKey(b, "parameters"), `{"type":"object","properties":{}}`...)
	}
	switch {
	case t.Strict != nil:
		b = respKeyBool(b, "strict", *t.Strict)
	case !e.own:
		b = respKeyBool(b, "strict", false)
	}
	if e.own {
		b = respMembers(b, t.Extra)
	}
	return append(b, '}')
}

// respCustomTool writes a custom tool that chat completions holds one level deeper, its grammar two.
func respCustomTool(b []byte, t *llm.Tool) []byte {
	var chat struct {
		Custom struct {
			Format struct {
				Type    string                    `json:"type"`
				Grammar map[string]jsontext.Value `json:"grammar"`
			} `json:"format"`
		} `json:"custom"`
	}
	b = append(b, `{"type":"custom"`...)
	b = respKeyString(b, "name", t.Name)
	b = respKeyText(b, "description", t.Description)
	if respUnmarshal(t.Raw, &chat, "") == nil && chat.Custom.Format.Type != "" {
		b = append(respKey(b, "format"), '{')
		b = respKeyString(b, "type", chat.Custom.Format.Type)
		b = append(respMembers(b, chat.Custom.Format.Grammar), '}')
	}
	return append(b, '}')
}

func (e *respEncoder) toolChoice(b []byte) []byte {
	c := e.req.ToolChoice
	switch {
	case len(c.Raw) > 0 && e.own:
		return respKeyRaw(b, "tool_choice", c.Raw)
	case len(c.Raw) > 0 && c.Mode == "":
		e.drop("tool_choice")
	case c.Mode == llm.ChoiceTool:
		b = append(respKey(b, "tool_choice"), '{')
		b = respKeyString(b, "type", e.toolType(c.Name))
		b = append(respKeyString(b, "name", c.Name), '}')
	case c.Mode == llm.ChoiceAllowed:
		mode := "auto"
		if c.Name == "required" {
			mode = c.Name
		}
		b = append(respKey(b, "tool_choice"), `{"type":"allowed_tools"`...)
		b = append(respKey(respKeyString(b, "mode", mode), "tools"), '[')
		for _, name := range c.Allowed {
			b = respKeyString(append(respElem(b), '{'), "type", e.toolType(name))
			b = append(respKeyString(b, "name", name), '}')
		}
		b = append(b, "]}"...)
	case c.Mode != "":
		b = respKeyString(b, "tool_choice", c.Mode)
	}
	return b
}

func (e *respEncoder) toolType(name string) string {
	for i := range e.req.Tools {
		if t := &e.req.Tools[i]; t.Name == name && t.Type == "custom" {
			return "custom"
		}
	}
	return "function"
}

// respRefused is the error for a part that the Responses API cannot be given.
func respRefused(m, p int, what string) *llm.Error {
	at := "messages[" + respItoa(m) + "].content[" + respItoa(p) + "]"
	return llm.Invalid(at, "'%s': %s", at, what)
}

func respUnreachable(url string) bool {
	return strings.HasPrefix(url, "s3:") || strings.HasPrefix(url, "gs:")
}
