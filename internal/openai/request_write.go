package openai

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// requestWriter appends one request.
type requestWriter struct {
	writer
	req     *llm.Request
	p       province
	same    bool // the request came in this dialect: Extra members and native objects may be sent on
	legacy  bool // tools were given as functions
	dropped []string
}

func (w *requestWriter) drop(param string) {
	if !slices.Contains(w.dropped, param) {
		w.dropped = append(w.dropped, param)
	}
}

// EncodeRequest implements llm.Spoken.
func (chat) EncodeRequest(dst []byte, req *llm.Request, t *llm.Target) ([]byte, []string, error) {
	w := requestWriter{writer: writer{dst}, req: req, p: provinceOf(t), same: req.From == llm.OpenAI}
	w.legacy = w.same && req.Extra[extraFunctions] != nil
	w.begin('{')
	w.str("model", t.Model)
	w.key("messages")
	w.begin('[')
	if err := w.messages(); err != nil {
		return dst, nil, err
	}
	w.raw("]")
	w.tools()
	w.toolChoice()
	w.boolPtr("parallel_tool_calls", w.parallel())
	w.sampling()
	w.logprobsParams()
	w.reasoningParams()
	w.format()
	w.identity()
	if req.Stream {
		w.raw(`,"stream":true`)
		w.streamOptions()
	}
	w.extras()
	w.raw("}")
	return w.b, w.dropped, nil
}

func (w *requestWriter) streamOptions() {
	if w.p.mistral() {
		return // it always reports usage, and refuses the parameter
	}
	w.raw(`,"stream_options":{"include_usage":true`)
	if rest := w.req.Extra["stream_options"]; w.same && rest != nil {
		var m map[string]llm.Raw
		if wire.Unmarshal(rest, &m) == nil {
			w.extra(m, "include_usage")
		}
	}
	w.raw("}")
}

// extras sends on what only this dialect knows, or says what is lost.
func (w *requestWriter) extras() {
	if w.same {
		w.extra(w.req.Extra, extraFunctions, "stream_options", "prompt", "suffix", "echo", "best_of", w.seedName())
		for _, k := range []string{"prompt", "suffix", "echo", "best_of"} {
			if w.req.Extra[k] != nil {
				w.drop(k)
			}
		}
		return
	}
	for _, k := range sortedKeys(w.req.Extra) {
		w.drop(k)
	}
}

// param appends a parameter by the given function unless the provider refuses it.
func (w *requestWriter) param(name string, given bool, write func(name string)) {
	switch {
	case !given:
	case w.p.takes(name):
		write(name)
	default:
		w.drop(name)
	}
}

func (w *requestWriter) sampling() {
	r := w.req
	if r.MaxTokens != nil {
		if w.p.reasons {
			w.int("max_completion_tokens", *r.MaxTokens)
		} else {
			w.int("max_tokens", *r.MaxTokens)
		}
	}
	// OpenAI's reasoning models refuse these. A client of this dialect is told so by OpenAI; another's client never heard of it.
	free := !w.p.fixed || w.same
	float := func(name string, v *float64) {
		w.param(name, v != nil && free, func(name string) { w.floatPtr(name, v) })
		if v != nil && !free && !(name == "temperature" && *v == 1) {
			w.drop(name)
		}
	}
	float("temperature", r.Temperature)
	float("top_p", r.TopP)
	float("presence_penalty", r.PresencePenalty)
	float("frequency_penalty", r.FrequencyPenalty)
	w.param("top_k", r.TopK != nil, func(name string) { w.intPtr(name, r.TopK) })
	w.param("min_p", r.MinP != nil, func(name string) { w.floatPtr(name, r.MinP) })
	w.intPtr(w.seedName(), r.Seed)
	w.intPtr("n", r.N)
	w.stop(free)
	w.param("logit_bias", len(r.LogitBias) > 0, func(name string) {
		w.key(name)
		w.begin('{')
		for _, k := range sortedKeys(r.LogitBias) {
			w.comma()
			w.quote(k)
			w.raw(":")
			w.float(r.LogitBias[k])
		}
		w.raw("}")
	})
}

func (w *requestWriter) logprobsParams() {
	r := w.req
	w.param("logprobs", r.Logprobs != nil, func(name string) { w.boolPtr(name, r.Logprobs) })
	w.param("top_logprobs", r.TopLogprobs != nil, func(name string) { w.intPtr(name, r.TopLogprobs) })
}

// seedName is the provider's word for seed. Where the client said it in both, the dialect's own counts.
func (w *requestWriter) seedName() string {
	if w.p.mistral() && w.req.Seed != nil {
		return "random_seed"
	}
	return "seed"
}

// parallel leaves parallel_tool_calls out where there are no tools, since OpenAI refuses it then.
func (w *requestWriter) parallel() *bool {
	if len(w.req.Tools) == 0 && !w.same {
		return nil
	}
	return w.req.ParallelTools
}

func (w *requestWriter) stop(free bool) {
	stop := w.req.Stop
	if len(stop) == 0 {
		return
	}
	if !free {
		w.drop("stop")
		return
	}
	if w.p.own && !w.same && len(stop) > 4 {
		stop = stop[:4] // OpenAI's limit
		w.drop("stop")
	}
	w.strings("stop", stop)
}

func (w *requestWriter) reasoningParams() {
	r := w.req.Reasoning
	if r == nil {
		return
	}
	if r.Summary != "" && (!w.same || w.req.Extra[extraReasoning] == nil) {
		w.drop("reasoning.summary")
	}
	if w.same && (w.req.Extra[extraReasoning] != nil || w.req.Extra[extraThinking] != nil) {
		return // goes out as it came in
	}
	if r.Effort == "" && w.same && !w.p.own && r.Budget != nil {
		w.raw(`,"thinking":{"type":`)
		switch b := *r.Budget; {
		case b < 0:
			w.raw(`"enabled"}`)
		case b == 0:
			w.raw(`"disabled"}`)
		default:
			w.raw(`"enabled"`)
			w.int("budget_tokens", b)
			w.raw("}")
		}
		return
	}
	effort := r.EffortWord()
	switch {
	case effort == "":
	case w.p.refusesEffort():
		if effort != "none" {
			w.drop("reasoning_effort")
		}
	default:
		if effort == "max" && w.p.own && !w.same {
			effort = "xhigh"
		}
		w.str("reasoning_effort", effort)
	}
}

func (w *requestWriter) format() {
	f := w.req.Format
	if f == nil {
		return
	}
	w.key("response_format")
	if f.Type != "json_schema" {
		w.raw(`{"type":`)
		w.quote(f.Type)
		w.raw("}")
		return
	}
	w.raw(`{"type":"json_schema","json_schema":{`)
	name := f.Name
	if name == "" && !w.same {
		name = "response" // OpenAI demands one
	}
	w.text("name", name)
	w.text("description", f.Description)
	if f.Schema != nil {
		w.value("schema", f.Schema)
	}
	w.boolPtr("strict", f.Strict)
	w.raw("}}")
}

// identity appends who asks, and how the provider should treat it.
func (w *requestWriter) identity() {
	r := w.req
	text := func(name, v string) { w.param(name, v != "", func(name string) { w.str(name, v) }) }
	text("verbosity", r.Verbosity)
	if len(r.Modalities) > 0 {
		w.strings("modalities", r.Modalities)
	}
	if r.Audio != nil {
		w.key("audio")
		w.begin('{')
		w.text("voice", r.Audio.Voice)
		w.text("format", r.Audio.Format)
		w.raw("}")
	}
	text("service_tier", w.tier())
	text("user", r.User)
	text("safety_identifier", r.SafetyIdentifier)
	text("prompt_cache_key", r.PromptCacheKey)
	if len(r.Metadata) > 0 {
		w.metadata()
	}
	w.param("store", r.Store != nil, func(name string) { w.boolPtr(name, r.Store) })
}

// metadata goes upstream for a client of the two OpenAI dialects; Anthropic's and Bedrock's would be refused without store.
func (w *requestWriter) metadata() {
	if !w.same && w.req.From != llm.Responses {
		w.drop("metadata")
		return
	}
	w.key("metadata")
	w.begin('{')
	for _, k := range sortedKeys(w.req.Metadata) {
		w.comma()
		w.quote(k)
		w.raw(":")
		w.quote(w.req.Metadata[k])
	}
	w.raw("}")
}

// tier leaves out the words that only other dialects have.
func (w *requestWriter) tier() string {
	switch w.req.ServiceTier {
	case "standard_only":
		return "default"
	}
	return w.req.ServiceTier
}

func (w *requestWriter) tools() {
	if len(w.req.Tools) == 0 {
		return
	}
	start := len(w.b)
	if w.legacy {
		w.key("functions")
	} else {
		w.key("tools")
	}
	w.begin('[')
	n := 0
	for i := range w.req.Tools {
		if w.tool(&w.req.Tools[i]) {
			n++
		}
	}
	w.raw("]")
	if n == 0 {
		w.b = w.b[:start]
	}
}

func (w *requestWriter) tool(t *llm.Tool) bool {
	switch {
	case t.Type == "":
	case t.Type == "custom" && w.req.From == llm.Responses:
		w.open('{')
		w.raw(`"type":"custom","custom":{`)
		w.str("name", t.Name)
		w.text("description", t.Description)
		w.customFormat(t.Raw)
		w.raw("}}")
		return true
	case w.same && t.Raw != nil:
		w.comma()
		w.rawValue(t.Raw)
		return true
	default:
		w.drop("tools." + t.Type)
		return false
	}
	w.open('{')
	if !w.legacy {
		w.raw(`"type":"function","function":{`)
	}
	w.str("name", t.Name)
	w.text("description", t.Description)
	if t.Schema != nil {
		w.value("parameters", t.Schema)
	}
	w.boolPtr("strict", t.Strict)
	if !w.legacy {
		w.raw("}")
		w.cache(t.Cache)
		if w.same {
			w.extra(t.Extra)
		}
	}
	w.raw("}")
	return true
}

// customFormat rewrites Responses' flat grammar as chat completions' nested one.
func (w *requestWriter) customFormat(raw llm.Raw) {
	var t struct {
		Format struct {
			Type       string `json:"type"`
			Syntax     string `json:"syntax"`
			Definition string `json:"definition"`
		} `json:"format"`
	}
	if wire.Unmarshal(raw, &t) != nil || t.Format.Type == "" {
		return
	}
	w.raw(`,"format":{"type":`)
	w.quote(t.Format.Type)
	if t.Format.Type == "grammar" {
		w.raw(`,"grammar":{"syntax":`)
		w.quote(t.Format.Syntax)
		w.raw(`,"definition":`)
		w.quote(t.Format.Definition)
		w.raw("}")
	}
	w.raw("}")
}

// cache appends cache_control where the provider would not refuse it.
func (w *requestWriter) cache(c *llm.CacheMark) {
	if c == nil {
		return
	}
	if w.p.strict {
		w.drop("cache_control")
		return
	}
	w.key("cache_control")
	w.cacheControl(c)
}

func (w *writer) cacheControl(c *llm.CacheMark) {
	w.raw(`{"type":"ephemeral"`)
	w.text("ttl", c.TTL)
	w.raw("}")
}

func (w *requestWriter) toolChoice() {
	c := w.req.ToolChoice
	if c == nil {
		return
	}
	if len(w.req.Tools) == 0 && !w.same {
		return // OpenAI refuses a choice among no tools
	}
	name := "tool_choice"
	if w.legacy {
		name = "function_call"
	}
	w.key(name)
	switch {
	case c.Raw != nil && w.same:
		w.rawValue(c.Raw)
	case c.Mode == llm.ChoiceTool && w.legacy:
		w.raw(`{"name":`)
		w.quote(c.Name)
		w.raw("}")
	case c.Mode == llm.ChoiceTool && w.customTool(c.Name):
		w.raw(`{"type":"custom","custom":{"name":`)
		w.quote(c.Name)
		w.raw("}}")
	case c.Mode == llm.ChoiceTool:
		w.raw(`{"type":"function","function":{"name":`)
		w.quote(c.Name)
		w.raw("}}")
	case c.Mode == llm.ChoiceAllowed:
		w.allowed(c)
	case c.Mode == llm.ChoiceRequired && w.p.mistral():
		w.raw(`"any"`)
	case c.Mode == llm.ChoiceAuto, c.Mode == llm.ChoiceNone, c.Mode == llm.ChoiceRequired:
		w.quote(c.Mode)
	default:
		w.raw(`"auto"`)
		w.drop("tool_choice")
	}
}

func (w *requestWriter) allowed(c *llm.ToolChoice) {
	mode := llm.ChoiceAuto
	if c.Name == llm.ChoiceRequired {
		mode = llm.ChoiceRequired
	}
	if !w.p.own && w.p.t.Provider != "" {
		// Only OpenAI knows allowed_tools; elsewhere the mode is what can be said.
		w.quote(mode)
		w.drop("tool_choice.allowed_tools")
		return
	}
	w.raw(`{"type":"allowed_tools","allowed_tools":{"mode":`)
	w.quote(mode)
	w.raw(`,"tools":[`)
	for _, name := range c.Allowed {
		w.open('{')
		kind := "function"
		if w.customTool(name) {
			kind = "custom"
		}
		w.str("type", kind)
		w.key(kind)
		w.raw(`{"name":`)
		w.quote(name)
		w.raw("}}")
	}
	w.raw("]}}")
}

func (w *requestWriter) customTool(name string) bool {
	for i := range w.req.Tools {
		if t := &w.req.Tools[i]; t.Name == name && t.Type == "custom" {
			return true
		}
	}
	return false
}

// nativeType is the type member of a native block, for telling what was dropped.
func nativeType(raw llm.Raw) string {
	var t struct {
		Type string `json:"type"`
	}
	if raw.Kind() == '{' && wire.Unmarshal(raw, &t) == nil && t.Type != "" {
		return t.Type
	}
	if raw.Kind() == '{' {
		var m map[string]jsontext.Value
		if wire.Unmarshal(raw, &m) == nil && len(m) > 0 {
			return strings.Join(sortedKeys(m), "+")
		}
	}
	return "unknown"
}
