package anthropic

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// encoder holds what the writing of one request needs.
type encoder struct {
	writer
	req      *llm.Request
	t        *llm.Target
	claude   llm.Claude
	own      bool // the request came in this dialect
	think    thinking
	tools    []llm.Tool
	messages []llm.Message
	max      int64
	count    bool // for count_tokens
	dropped  []string
}

func (e *encoder) drop(name string) {
	if !slices.Contains(e.dropped, name) {
		e.dropped = append(e.dropped, name)
	}
}

// EncodeRequest writes a Messages body for the target, see llm.Spoken.
func (messages) EncodeRequest(dst []byte, req *llm.Request, t *llm.Target) ([]byte, []string, error) {
	return encodeRequest(dst, req, t, false)
}

func encodeRequest(dst []byte, req *llm.Request, t *llm.Target, count bool) ([]byte, []string, error) {
	if t == nil {
		t = &llm.Target{Model: req.Model}
	}
	e := &encoder{writer: newWriter(dst), req: req, t: t, claude: llm.ClaudeOf(t.Model), own: req.From == llm.Anthropic, count: count}
	system := e.conversation()
	tools, lost := req.OfferedTools(e.own)
	e.tools = tools
	for _, name := range lost {
		e.drop(name)
	}
	e.reasoning()
	e.limit()

	e.Object("")
	if t.Model != "" {
		e.Str("model", t.Model)
	}
	if !count {
		e.Int("max_tokens", e.max)
	}
	if len(system) > 0 {
		e.Array("system")
		for i := range system {
			e.part(&system[i])
		}
		e.End("]")
	}
	e.Array("messages")
	for i := range e.messages {
		m := &e.messages[i]
		e.Object("")
		e.Str("role", string(m.Role))
		e.Array("content")
		for j := range m.Parts {
			e.part(&m.Parts[j])
		}
		e.End("]")
		if e.own {
			e.Extra(m.Extra)
		}
		e.End("}")
	}
	e.End("]")
	e.writeTools()
	e.writeThinking()
	e.writeOutput()
	if !count {
		e.sampling()
		e.account()
	}
	e.writeExtra()
	e.End("}")
	e.foreign()
	if count {
		e.dropped = nil
	}
	return e.Buf, e.dropped, nil
}

// conversation sorts the messages into the leading system text, which it returns, and turns of content that Anthropic accepts.
func (e *encoder) conversation() (system []llm.Part) {
	var rest []llm.Message
	if e.own {
		rest = e.req.Messages
		if len(rest) > 0 && rest[0].Role == llm.RoleSystem {
			system, rest = rest[0].Parts, rest[1:]
		}
	} else {
		system, rest, _ = e.req.SplitSystem()
	}
	system = e.usable(llm.RoleSystem, system)
	kept := make([]llm.Message, 0, len(rest))
	for i := range rest {
		m := rest[i]
		if m.Name != "" {
			e.drop("messages.name")
		}
		m.Parts = e.usable(m.Role, m.Parts)
		if len(m.Parts) > 0 {
			kept = append(kept, m)
		}
	}
	e.messages = kept
	if !e.own {
		e.messages = llm.UserFirst(llm.Turns(kept))
	}
	llm.TrimEnd(e.messages)
	return system
}

// reasoning settles what is asked of the model's thinking, and takes it back where the conversation can't carry it.
func (e *encoder) reasoning() {
	th, ok := thinkingOf(e.req, e.t)
	if !ok {
		e.drop("reasoning_effort")
	}
	if th.kind == "enabled" && !e.own && llm.AmidTools(e.messages) {
		// This client did not keep the thought that led to its tool calls.
		e.drop("reasoning_effort")
		th = thinking{}
	}
	e.think = th
}

// limit settles max_tokens, which is required and must leave room beyond the thinking budget.
func (e *encoder) limit() {
	e.max = defaultMaxTokens
	switch {
	case e.req.MaxTokens != nil:
		e.max = *e.req.MaxTokens
		if e.max < 1 && !e.own {
			e.max = 1
		}
		if e.t.MaxOutput > 0 && !e.own {
			e.max = min(e.max, e.t.MaxOutput)
		}
	case e.t.MaxOutput > 0:
		e.max = e.t.MaxOutput
	}
	if e.think.kind != "enabled" || e.think.budget < e.max || e.count {
		return
	}
	room := e.max
	e.max += e.think.budget
	if limit := e.t.MaxOutput; limit > 0 && e.max > limit {
		e.max = limit
		if e.think.budget >= limit {
			e.think.budget = max(minBudget, limit-min(room, limit/2))
		}
		if e.think.budget >= limit {
			e.think = thinking{}
			e.drop("reasoning_effort")
		}
	}
}

func (e *encoder) writeTools() {
	if len(e.tools) > 0 {
		e.Array("tools")
		for i := range e.tools {
			e.tool(&e.tools[i])
		}
		e.End("]")
	}
	c := e.req.ToolChoice
	mode := c.ModeOfOffered()
	serial := e.req.ParallelTools != nil && !*e.req.ParallelTools
	if len(e.tools) == 0 && !e.own {
		if mode == llm.ChoiceRequired || mode == llm.ChoiceTool {
			e.drop("tool_choice")
		}
		return
	}
	if e.think.on() && (mode == llm.ChoiceRequired || mode == llm.ChoiceTool) {
		e.drop("tool_choice")
		mode = llm.ChoiceAuto
	}
	word := map[string]string{
		llm.ChoiceAuto: "auto", llm.ChoiceNone: "none", llm.ChoiceRequired: "any", llm.ChoiceTool: "tool",
	}[mode]
	switch {
	case word == "" && mode != "":
		e.drop("tool_choice")
		return
	case word == "" && !serial:
		return
	case word == "":
		word = "auto"
	}
	e.Object("tool_choice")
	e.Str("type", word)
	if word == "tool" {
		e.Str("name", c.Name)
	}
	if word != "none" && e.req.ParallelTools != nil && (serial || e.own) {
		e.Bool("disable_parallel_tool_use", serial)
	}
	e.End("}")
}

func (e *encoder) tool(t *llm.Tool) {
	if t.Type != "" {
		e.Raw("", t.Raw)
		return
	}
	e.Object("")
	e.Str("name", t.Name)
	if t.Description != "" {
		e.Str("description", t.Description)
	}
	schema := llm.ObjectSchema(t.Schema)
	strict := t.Strict != nil && (*t.Strict || e.own)
	if strict && !e.own {
		if strict = e.claude == 0 || e.claude.Structured(); strict {
			schema = llm.ClosedSchema(schema)
		} else {
			e.drop("tools.strict")
		}
	}
	e.Raw("input_schema", schema)
	if strict {
		e.Bool("strict", *t.Strict)
	}
	e.cache(t.Cache)
	if e.own {
		e.Extra(t.Extra)
	} else {
		e.dropExtra("tools.", t.Extra)
	}
	e.End("}")
}

func (e *encoder) writeThinking() {
	if e.think.kind == "" {
		return
	}
	e.Object("thinking")
	e.Str("type", e.think.kind)
	if e.think.kind == "enabled" {
		e.Int("budget_tokens", e.think.budget)
	}
	if e.think.display != "" {
		e.Str("display", e.think.display)
	}
	e.End("}")
}

func (e *encoder) writeOutput() {
	var rest llm.Object
	if e.own {
		rest = llm.ObjectOf(e.req.Extra[outputConfigKey])
	}
	f := e.req.Format
	schema := f != nil && f.Type == "json_schema" && f.Schema.Kind() == '{'
	if f != nil && !schema && f.Type != "text" {
		e.drop("response_format")
	}
	if !schema && e.think.effort == "" && len(rest) == 0 {
		return
	}
	e.Object("output_config")
	if e.think.effort != "" {
		e.Str("effort", e.think.effort)
	}
	if schema {
		e.Object("format")
		e.Str("type", "json_schema")
		if e.own {
			e.Raw("schema", f.Schema)
		} else {
			e.Raw("schema", llm.ClosedSchema(f.Schema))
		}
		e.End("}")
	}
	for _, m := range rest {
		e.Member(m.Name, m.Value)
	}
	e.End("}")
}

// sampling writes what steers the choice of tokens, as far as the model takes it.
func (e *encoder) sampling() {
	r := e.req
	var stops []string
	for _, s := range r.Stop {
		if strings.TrimSpace(s) == "" && !e.own {
			e.drop("stop") // Anthropic refuses white space alone
			continue
		}
		stops = append(stops, s)
	}
	if len(stops) > 0 {
		e.Array("stop_sequences")
		for _, s := range stops {
			e.Str("", s)
		}
		e.End("]")
	}
	e.temperature()
	if p := r.TopP; p != nil {
		both := r.Temperature != nil && e.claude.OneSampling()
		if !e.own && (e.claude.NoSampling() || both || *p < 0 || *p > 1) || e.think.on() && *p < 0.95 {
			if *p != 1 {
				e.drop("top_p")
			}
		} else {
			e.Float("top_p", *p)
		}
	}
	if r.TopK != nil {
		if e.think.on() || !e.own && (e.claude.NoSampling() || *r.TopK < 0) {
			e.drop("top_k")
		} else {
			e.Int("top_k", *r.TopK)
		}
	}
}

func (e *encoder) temperature() {
	if e.req.Temperature == nil {
		return
	}
	v := *e.req.Temperature
	if !e.own && e.claude.NoSampling() || e.think.on() {
		if v != 1 {
			e.drop("temperature")
		}
		return
	}
	if !e.own && (v > 1 || v < 0 || math.IsNaN(v)) {
		e.drop("temperature")
		v = math.Max(0, math.Min(1, v))
	}
	e.Float("temperature", v)
}

// account writes who asks, and how urgently.
func (e *encoder) account() {
	r := e.req
	user := r.User
	if user == "" {
		user = r.SafetyIdentifier
	}
	var rest llm.Object
	if e.own {
		rest = llm.ObjectOf(r.Extra[metadataKey])
	}
	if user != "" || len(rest) > 0 {
		e.Object("metadata")
		if user != "" {
			e.Str("user_id", user)
		}
		for _, m := range rest {
			e.Member(m.Name, m.Value)
		}
		e.End("}")
	}
	tier := r.ServiceTier
	switch {
	case e.own, tier == "", tier == "auto", tier == "standard_only":
	case tier == "default":
		tier = "standard_only"
	default:
		e.drop("service_tier")
		tier = ""
	}
	if tier != "" {
		e.Str("service_tier", tier)
	}
	if r.Stream {
		e.Bool("stream", true)
	}
}

// counted are the names that count_tokens takes besides the conversation, the tools, thinking and the format.
var counted = map[string]bool{
	"anthropic_beta": true, "anthropic_version": true, "betas": true, "cache_control": true, "context_management": true, "mcp_servers": true,
	"speed": true, "thinking": true, "user_profile_id": true, "workspace_id": true,
}

func (e *encoder) writeExtra() {
	if !e.own {
		e.dropExtra("", e.req.Extra)
		return
	}
	skip := []string{outputConfigKey, metadataKey}
	if e.think.kind != "" {
		skip = append(skip, "thinking")
	}
	for name := range e.req.Extra {
		if e.count && !counted[name] {
			skip = append(skip, name)
		}
	}
	e.Extra(e.req.Extra, skip...)
}

func (e *encoder) dropExtra(prefix string, m map[string]llm.Raw) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k].Kind() != 'n' {
			e.drop(prefix + k)
		}
	}
}

// foreign names the parameters that have no word here.
func (e *encoder) foreign() {
	for _, name := range e.req.Unusual() {
		if name != "user" && name != "safety_identifier" {
			e.drop(name)
		}
	}
}
