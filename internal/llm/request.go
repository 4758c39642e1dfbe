package llm

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// SplitSystem takes the system and developer messages out of a conversation, for dialects that hold one leading system text. Their
// parts come in order; the rest is the conversation without them. moved says that one of them stood after the first other message, so
// that hoisting it changed its place.
func (r *Request) SplitSystem() (system []Part, rest []Message, moved bool) {
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.Role == RoleSystem || m.Role == RoleDeveloper {
			system = append(system, m.Parts...)
			moved = moved || len(rest) > 0
			continue
		}
		rest = append(rest, *m)
	}
	return system, rest, moved
}

// Turns joins neighbouring messages of the same side (tool results count as the user's) into one, for dialects whose turns must
// alternate. Within a user turn tool results come first, as Anthropic demands.
func Turns(messages []Message) []Message {
	var out []Message
	for _, m := range messages {
		if m.Role == RoleTool {
			m.Role = RoleUser
		}
		if n := len(out); n > 0 && out[n-1].Role == m.Role {
			out[n-1].Parts = append(out[n-1].Parts[:len(out[n-1].Parts):len(out[n-1].Parts)], m.Parts...)
			continue
		}
		out = append(out, m)
	}
	for i := range out {
		if out[i].Role == RoleUser {
			out[i].Parts = resultsFirst(out[i].Parts)
		}
	}
	return out
}

func resultsFirst(parts []Part) []Part {
	sorted, seenOther := true, false
	for i := range parts {
		if parts[i].Kind == KindToolResult {
			sorted = sorted && !seenOther
		} else {
			seenOther = true
		}
	}
	if sorted {
		return parts
	}
	out := make([]Part, 0, len(parts))
	for i := range parts {
		if parts[i].Kind == KindToolResult {
			out = append(out, parts[i])
		}
	}
	for i := range parts {
		if parts[i].Kind != KindToolResult {
			out = append(out, parts[i])
		}
	}
	return out
}

// ToolNames maps the id of every tool call in the conversation to its function's name, for dialects whose results name the function.
func ToolNames(messages []Message) map[string]string {
	names := map[string]string{}
	for i := range messages {
		for j := range messages[i].Parts {
			if c := messages[i].Parts[j].Call; c != nil {
				names[c.ID] = c.Name
			}
		}
	}
	return names
}

// ArgumentsObject is the call's arguments as a JSON object: as written if they are one, {} if empty, otherwise the text wrapped as
// {"input": text}, so that a broken call still reaches a dialect that only holds objects.
func (c *ToolCall) ArgumentsObject() Raw {
	if c.Arguments == "" {
		return Raw("{}")
	}
	v := Raw(c.Arguments)
	if v.IsValid() && v.Kind() == '{' {
		return v
	}
	quoted, err := jsontext.AppendQuote(nil, c.Arguments)
	if err != nil {
		return Raw("{}")
	}
	return Raw(`{"input":` + string(quoted) + `}`)
}

// TextOf joins the text parts.
func TextOf(parts []Part) string {
	if len(parts) == 1 && parts[0].Kind == KindText {
		return parts[0].Text
	}
	var s []byte
	for i := range parts {
		if parts[i].Kind == KindText {
			s = append(s, parts[i].Text...)
		}
	}
	return string(s)
}

// EffortBudgets are the token allowances that stand for an effort where a dialect counts tokens, and back.
var EffortBudgets = []struct {
	Effort string
	Budget int64
}{{"minimal", 1024}, {"low", 2048}, {"medium", 8192}, {"high", 16384}, {"xhigh", 32768}, {"max", 65536}}

// BudgetTokens is the reasoning allowance in tokens: the budget as given, or what its effort stands for; ok is false when neither says.
func (r *Reasoning) BudgetTokens() (n int64, ok bool) {
	if r == nil {
		return 0, false
	}
	if r.Budget != nil {
		return *r.Budget, true
	}
	if r.Effort == "none" {
		return 0, true
	}
	for _, e := range EffortBudgets {
		if e.Effort == r.Effort {
			return e.Budget, true
		}
	}
	return 0, false
}

// EffortWord is the reasoning effort as a word: as given, or the one its budget comes nearest to from below.
func (r *Reasoning) EffortWord() string {
	switch {
	case r == nil:
		return ""
	case r.Effort != "":
		return r.Effort
	case r.Budget == nil, *r.Budget < 0:
		return ""
	case *r.Budget == 0:
		return "none"
	}
	word := "low" // "minimal" is a word that only some models know; a client that wants it says it
	for _, e := range EffortBudgets {
		if *r.Budget >= e.Budget && e.Effort != "minimal" && e.Effort != "xhigh" && e.Effort != "max" {
			word = e.Effort
		}
	}
	return word
}

// Ptr gives a pointer to v, for optional fields.
func Ptr[T any](v T) *T { return &v }

// Fill takes from d what the request does not say itself: a deployment's defaults. Messages are left alone.
func (r *Request) Fill(d *Request) {
	fill(&r.MaxTokens, d.MaxTokens)
	fill(&r.Temperature, d.Temperature)
	fill(&r.TopP, d.TopP)
	fill(&r.TopK, d.TopK)
	fill(&r.MinP, d.MinP)
	fill(&r.PresencePenalty, d.PresencePenalty)
	fill(&r.FrequencyPenalty, d.FrequencyPenalty)
	fill(&r.Seed, d.Seed)
	fill(&r.N, d.N)
	fill(&r.Logprobs, d.Logprobs)
	fill(&r.TopLogprobs, d.TopLogprobs)
	fill(&r.ParallelTools, d.ParallelTools)
	fill(&r.Reasoning, d.Reasoning)
	fill(&r.Format, d.Format)
	fill(&r.ToolChoice, d.ToolChoice)
	fill(&r.Store, d.Store)
	if r.Stop == nil {
		r.Stop = d.Stop
	}
	if r.LogitBias == nil {
		r.LogitBias = d.LogitBias
	}
	if r.Tools == nil {
		r.Tools = d.Tools
	}
	if r.Metadata == nil {
		r.Metadata = d.Metadata
	}
	for dst, v := range map[*string]string{&r.Verbosity: d.Verbosity, &r.ServiceTier: d.ServiceTier, &r.User: d.User,
		&r.SafetyIdentifier: d.SafetyIdentifier, &r.PromptCacheKey: d.PromptCacheKey} {
		if *dst == "" {
			*dst = v
		}
	}
}

func fill[T any](dst **T, v *T) {
	if *dst == nil {
		*dst = v
	}
}

// UserFirst gives turns a first one of the user's where they lack it, for dialects whose conversations begin so. A greeting of the assistant
// then answers to a word that means nothing.
func UserFirst(turns []Message) []Message {
	if len(turns) > 0 && turns[0].Role == RoleUser {
		return turns
	}
	return append([]Message{{Role: RoleUser, Parts: []Part{{Kind: KindText, Text: "."}}}}, turns...)
}

// TrimEnd cuts the white space at the end of a last assistant turn, which Claude refuses. The turn's old parts stay as they are.
func TrimEnd(turns []Message) {
	if len(turns) == 0 {
		return
	}
	m := &turns[len(turns)-1]
	last := len(m.Parts) - 1
	if m.Role != RoleAssistant || last < 0 || m.Parts[last].Kind != KindText {
		return
	}
	if trimmed := strings.TrimRight(m.Parts[last].Text, " \t\r\n"); trimmed != m.Parts[last].Text {
		m.Parts = slices.Clone(m.Parts)
		m.Parts[last].Text = trimmed
	}
}

// AmidTools says that turns end in tool results whose calls come without their signed reasoning. A Claude model that thinks within a budget
// wants an unfinished tool loop to begin with the thought that led to it.
func AmidTools(turns []Message) bool {
	n := len(turns)
	if n < 2 || len(turns[n-1].Parts) == 0 || len(turns[n-2].Parts) == 0 {
		return false
	}
	head := turns[n-2].Parts[0].Kind
	return turns[n-1].Parts[0].Kind == KindToolResult && head != KindReasoning && head != KindRedacted
}

// OfferedTools are the tools that the model may see, for dialects that can't say an allow-list: the others are left out. Unless the request is
// in the target's own dialect, a tool that takes free text becomes a function, and those of another provider are lost.
func (r *Request) OfferedTools(own bool) (tools []Tool, lost []string) {
	c := r.ToolChoice
	for _, t := range r.Tools {
		if c != nil && c.Mode == ChoiceAllowed && !slices.Contains(c.Allowed, t.Name) {
			continue
		}
		if t.Type != "" && !own {
			if t.Type != "custom" || t.Name == "" {
				lost = append(lost, "tools."+t.Type)
				continue
			}
			t = t.TakingObject()
		}
		tools = append(tools, t)
	}
	return tools, lost
}

// TakingObject is a tool that takes free text as a function with a single string, see ToolCall.ArgumentsObject.
func (t *Tool) TakingObject() Tool {
	return Tool{Name: t.Name, Description: t.Description, Cache: t.Cache, Schema: Raw(
		`{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}`)}
}

// ModeOfOffered is the mode of a choice, empty for none, where OfferedTools saw to its allow-list.
func (c *ToolChoice) ModeOfOffered() string {
	switch {
	case c == nil:
		return ""
	case c.Mode == ChoiceAllowed && c.Name == "required":
		return ChoiceRequired
	case c.Mode == ChoiceAllowed:
		return ChoiceAuto
	}
	return c.Mode
}

// Unusual names, in OpenAI's words, the parameters of a request that Anthropic and Bedrock have no word for, or not both. A value that asks for
// what happens anyway is no loss and not named.
func (r *Request) Unusual() (names []string) {
	for _, p := range []struct {
		name  string
		asked bool
	}{
		{"min_p", r.MinP != nil && *r.MinP != 0},
		{"presence_penalty", r.PresencePenalty != nil && *r.PresencePenalty != 0},
		{"frequency_penalty", r.FrequencyPenalty != nil && *r.FrequencyPenalty != 0},
		{"seed", r.Seed != nil},
		{"user", r.User != ""},
		{"safety_identifier", r.SafetyIdentifier != ""},
		{"n", r.N != nil && *r.N != 1},
		{"logit_bias", len(r.LogitBias) > 0},
		{"logprobs", r.Logprobs != nil && *r.Logprobs},
		{"top_logprobs", r.TopLogprobs != nil && *r.TopLogprobs > 0},
		{"verbosity", r.Verbosity != "" && r.Verbosity != "medium"},
		{"modalities", slices.ContainsFunc(r.Modalities, func(m string) bool { return !strings.EqualFold(m, "text") })},
		{"audio", r.Audio != nil},
		{"prompt_cache_key", r.PromptCacheKey != ""},
		{"metadata", len(r.Metadata) > 0},
		{"store", r.Store != nil && *r.Store},
	} {
		if p.asked {
			names = append(names, p.name)
		}
	}
	return names
}
