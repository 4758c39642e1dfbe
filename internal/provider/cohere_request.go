package provider

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// cohereChat speaks Cohere's chat API, version 2.
type cohereChat struct{}

var _ llm.Spoken = cohereChat{}

type cohereBody struct {
	Model       string                    `json:"model"`
	Messages    []cohereMessage           `json:"messages"`
	Stream      bool                      `json:"stream,omitzero"`
	Tools       []cohereTool              `json:"tools,omitzero"`
	ToolChoice  string                    `json:"tool_choice,omitzero"`
	MaxTokens   *int64                    `json:"max_tokens,omitzero"`
	Temperature *float64                  `json:"temperature,omitzero"`
	P           *float64                  `json:"p,omitzero"`
	K           *int64                    `json:"k,omitzero"`
	Frequency   *float64                  `json:"frequency_penalty,omitzero"`
	Presence    *float64                  `json:"presence_penalty,omitzero"`
	Seed        *int64                    `json:"seed,omitzero"`
	Stop        []string                  `json:"stop_sequences,omitzero"`
	Format      *cohereFormat             `json:"response_format,omitzero"`
	Thinking    *cohereThinking           `json:"thinking,omitzero"`
	Logprobs    *bool                     `json:"logprobs,omitzero"`
	More        map[string]jsontext.Value `json:",embed"`
}

type cohereMessage struct {
	Role    string       `json:"role"`
	Content any          `json:"content,omitzero"` // string or []coherePart
	Calls   []cohereCall `json:"tool_calls,omitzero"`
	CallID  string       `json:"tool_call_id,omitzero"`
}

type coherePart struct {
	Type     string       `json:"type"`
	Text     *string      `json:"text,omitzero"`
	Thinking *string      `json:"thinking,omitzero"`
	Image    *cohereImage `json:"image_url,omitzero"`
}

type cohereImage struct {
	URL    string `json:"url"`
	Detail string `json:"detail,omitzero"`
}

type cohereCall struct {
	ID       string         `json:"id"`
	Type     string         `json:"type"`
	Function cohereFunction `json:"function"`
}

type cohereFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type cohereTool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string  `json:"name"`
		Description string  `json:"description,omitzero"`
		Parameters  llm.Raw `json:"parameters"`
	} `json:"function"`
}

type cohereFormat struct {
	Type   string  `json:"type"`
	Schema llm.Raw `json:"json_schema,omitzero"`
}

type cohereThinking struct {
	Type   string `json:"type"`
	Budget *int64 `json:"token_budget,omitzero"`
}

// cohereOwn are Cohere's own parameters, which a client of OpenAI's dialect may add as they are.
var cohereOwn = []string{"documents", "citation_options", "safety_mode", "strict_tools", "priority"}

// EncodeRequest implements llm.Spoken.
func (cohereChat) EncodeRequest(dst []byte, req *llm.Request, t *llm.Target) ([]byte, []string, error) {
	var d drops
	b := &cohereBody{Model: t.Model, Stream: req.Stream, MaxTokens: req.MaxTokens, Temperature: req.Temperature, P: req.TopP, K: req.TopK,
		Frequency: req.FrequencyPenalty, Presence: req.PresencePenalty, Seed: req.Seed, Stop: req.Stop, Logprobs: req.Logprobs}
	if len(b.Stop) > 5 {
		b.Stop = b.Stop[:5]
		d.add("stop")
	}
	for i := range req.Messages {
		b.Messages = appendCohere(b.Messages, &req.Messages[i], &d)
	}
	if len(b.Messages) == 0 {
		return dst, nil, llm.Invalid("messages", "messages: empty; Cohere wants at least one")
	}
	cohereTools(b, req, &d)
	if f := req.Format; f != nil && f.Type != "text" {
		b.Format = &cohereFormat{Type: "json_object", Schema: f.Schema}
	}
	cohereReasoning(b, req.Reasoning)
	for _, name := range cohereOwn {
		if v, ok := req.Extra[name]; ok && string(v) != "null" {
			if b.More == nil {
				b.More = map[string]jsontext.Value{}
			}
			b.More[name] = v
		}
	}
	d.extras(req, cohereOwn...)
	d.when(req.N != nil && *req.N > 1, "n")
	d.when(req.MinP != nil, "min_p")
	d.when(req.LogitBias != nil, "logit_bias")
	d.when(req.TopLogprobs != nil, "top_logprobs")
	d.when(req.ParallelTools != nil && !*req.ParallelTools, "parallel_tool_calls")
	commonDrops(req, &d)
	out, err := appendObject(dst, b, "messages")
	return out, d, err
}

// commonDrops names the parameters that only OpenAI's and a few others' APIs have.
func commonDrops(req *llm.Request, d *drops) {
	d.when(req.Verbosity != "", "verbosity")
	d.when(req.Audio != nil, "audio")
	d.when(req.ServiceTier != "", "service_tier")
	d.when(req.User != "", "user")
	d.when(req.SafetyIdentifier != "", "safety_identifier")
	d.when(req.PromptCacheKey != "", "prompt_cache_key")
	d.when(req.Metadata != nil, "metadata")
	d.when(req.Store != nil && *req.Store, "store")
	for _, m := range req.Modalities {
		d.when(m != "text", "modalities")
	}
}

// cohereReasoning turns thinking on, off or leaves it to the model.
func cohereReasoning(b *cohereBody, r *llm.Reasoning) {
	n, ok := r.BudgetTokens()
	switch {
	case !ok:
	case n == 0:
		b.Thinking = &cohereThinking{Type: "disabled"}
	case n < 0:
		b.Thinking = &cohereThinking{Type: "enabled"}
	default:
		b.Thinking = &cohereThinking{Type: "enabled", Budget: &n}
	}
}

// cohereTools writes the tools. Cohere can demand a call but not a certain one: then only the wanted tools are offered.
func cohereTools(b *cohereBody, req *llm.Request, d *drops) {
	wanted := func(string) bool { return true }
	if c := req.ToolChoice; c != nil {
		switch c.Mode {
		case llm.ChoiceNone:
			b.ToolChoice = "NONE"
		case llm.ChoiceRequired:
			b.ToolChoice = "REQUIRED"
		case llm.ChoiceTool:
			b.ToolChoice = "REQUIRED"
			wanted = func(name string) bool { return name == c.Name }
		case llm.ChoiceAllowed:
			if c.Name == llm.ChoiceRequired {
				b.ToolChoice = "REQUIRED"
			}
			wanted = func(name string) bool { return contains(c.Allowed, name) }
		}
	}
	for i := range req.Tools {
		tool := &req.Tools[i]
		if tool.Type != "" {
			d.add("tools." + tool.Type)
			continue
		}
		if !wanted(tool.Name) {
			continue
		}
		c := cohereTool{Type: "function"}
		c.Function.Name, c.Function.Description, c.Function.Parameters = tool.Name, tool.Description, tool.Schema
		if c.Function.Parameters == nil {
			c.Function.Parameters = llm.Raw(`{"type":"object","properties":{}}`)
		}
		b.Tools = append(b.Tools, c)
	}
	if len(b.Tools) == 0 {
		b.ToolChoice = ""
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// appendCohere writes one message, several where it holds several tool results.
func appendCohere(out []cohereMessage, m *llm.Message, d *drops) []cohereMessage {
	role := string(m.Role)
	if m.Role == llm.RoleDeveloper {
		role = "system"
	}
	var parts []coherePart
	var calls []cohereCall
	for i := range m.Parts {
		p := &m.Parts[i]
		switch p.Kind {
		case llm.KindToolResult:
			out = append(out, cohereMessage{Role: "tool", CallID: p.Result.CallID, Content: resultText(p.Result, d)})
		case llm.KindToolCall:
			calls = append(calls, cohereCall{ID: p.Call.ID, Type: "function",
				Function: cohereFunction{Name: p.Call.Name, Arguments: cmp.Or(p.Call.Arguments, "{}")}})
		case llm.KindText, llm.KindRefusal:
			parts = append(parts, coherePart{Type: "text", Text: &p.Text})
		case llm.KindReasoning:
			if m.Role == llm.RoleAssistant && p.Text != "" {
				parts = append(parts, coherePart{Type: "thinking", Thinking: &p.Text})
			}
		case llm.KindImage:
			if u := mediaURL(p.Media); u != "" && m.Role == llm.RoleUser {
				parts = append(parts, coherePart{Type: "image_url", Image: &cohereImage{URL: u, Detail: p.Media.Detail}})
			} else {
				d.add("messages.image")
			}
		case llm.KindRedacted:
		case llm.KindDocument:
			if p.Media != nil && p.Media.Text != "" {
				parts = append(parts, coherePart{Type: "text", Text: &p.Media.Text})
			} else {
				d.add("messages.document")
			}
		default:
			d.add("messages." + string(p.Kind))
		}
	}
	if len(parts) == 0 && len(calls) == 0 {
		return out
	}
	msg := cohereMessage{Role: role, Calls: calls}
	switch {
	case len(parts) == 1 && parts[0].Text != nil:
		msg.Content = *parts[0].Text
	case len(parts) > 0:
		msg.Content = parts
	}
	return append(out, msg)
}

// mediaURL is an image as an address: its own, or its bytes in one.
func mediaURL(m *llm.Media) string {
	switch {
	case m == nil:
		return ""
	case m.URL != "":
		return m.URL
	case m.Data != "":
		return "data:" + cmp.Or(m.MIME, "image/png") + ";base64," + m.Data
	}
	return ""
}

// resultText is a tool's result as text, for languages whose results are nothing else.
func resultText(r *llm.ToolResult, d *drops) string {
	var b strings.Builder
	for i := range r.Parts {
		p := &r.Parts[i]
		s := ""
		switch {
		case p.Kind == llm.KindText:
			s = p.Text
		case p.Kind == llm.KindJSON:
			s = string(p.Raw)
		case p.Media != nil && p.Media.Text != "":
			s = p.Media.Text
		default:
			d.add("messages.tool_result." + string(p.Kind))
		}
		if b.Len() > 0 && s != "" {
			b.WriteByte('\n')
		}
		b.WriteString(s)
	}
	return b.String()
}

// DecodeError implements llm.Spoken.
func (cohereChat) DecodeError(status int, h http.Header, body []byte) *llm.Error {
	return plainError(status, h, body)
}

// NewTap implements llm.Spoken.
func (c cohereChat) NewTap() llm.Tap { return newTap(c) }
