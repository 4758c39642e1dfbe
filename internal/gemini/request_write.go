package gemini

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

// maxStops is how many stop sequences Gemini takes.
const maxStops = 5

// EncodeRequest appends a generateContent body; whether it streams is said by the path.
func (dialect) EncodeRequest(dst []byte, req *llm.Request, t *llm.Target) ([]byte, []string, error) {
	b, dropped, err := encode(req, t)
	if err != nil {
		return dst, nil, err
	}
	out, err := appendJSON(dst, b)
	if err != nil {
		return dst, nil, llm.Invalid("", "the request can't be written for Gemini: %v", err)
	}
	return out, dropped, nil
}

func encode(req *llm.Request, t *llm.Target) (*requestBody, []string, error) {
	w := &partWriter{native: req.From == llm.Gemini, vertex: onVertex(t), gen: generation(t.Model), names: llm.ToolNames(req.Messages)}
	b := &requestBody{ServiceTier: w.tier(req.ServiceTier)}
	var err error
	if err = w.contents(b, req); err != nil {
		return nil, nil, err
	}
	if b.Tools, b.ToolConfig, err = w.writeTools(req); err != nil {
		return nil, nil, err
	}
	g := &genConfig{}
	w.sampling(g, req, t)
	w.thinking(g, req, t)
	if err = w.format(g, req); err != nil {
		return nil, nil, err
	}
	b.GenerationConfig = g
	w.labels(b, req)
	if w.native {
		w.restore(b, req.Extra)
	} else {
		w.borrow(b, req.Extra)
	}
	if emptyConfig(g) {
		b.GenerationConfig = nil
	}
	w.unsaid(req)
	return b, w.dropped, nil
}

func emptyConfig(g *genConfig) bool {
	raw, err := json.Marshal(g, writeOptions)
	return err == nil && string(raw) == "{}"
}

// tier keeps the words that Gemini knows.
func (w *partWriter) tier(s string) string {
	switch {
	case w.native, s == "flex", s == "priority", s == "standard":
		return s
	case s == "default":
		return "standard"
	case s != "" && s != "auto":
		w.drop("service_tier")
	}
	return ""
}

func (w *partWriter) contents(b *requestBody, req *llm.Request) error {
	system, rest, _ := req.SplitSystem()
	if !w.native {
		rest = splitResults(llm.Turns(rest))
	}
	if len(rest) == 0 { // Gemini wants something to answer
		rest, system = []llm.Message{{Role: llm.RoleUser, Parts: system}}, nil
	}
	if len(system) > 0 {
		c := content{Role: "user"}
		for i := range system {
			var err error
			if c.Parts, err = w.write(c.Parts, &system[i], "messages"); err != nil {
				return err
			}
		}
		if len(c.Parts) > 0 {
			b.SystemInstruction = &c
		}
	}
	for i := range rest {
		m := &rest[i]
		c := content{Role: "user"}
		if m.Role == llm.RoleAssistant {
			c.Role = "model"
		}
		if w.native {
			c.Other = m.Extra
		}
		for j := range m.Parts {
			var err error
			if c.Parts, err = w.write(c.Parts, &m.Parts[j], fmt.Sprintf("messages[%d].content[%d]", i, j)); err != nil {
				return err
			}
		}
		if c.Role == "model" && w.gen >= 30 {
			signFirstCall(c.Parts)
		}
		if len(c.Parts) > 0 {
			b.Contents = append(b.Contents, c)
		}
	}
	if len(b.Contents) == 0 {
		return llm.Invalid("messages", "messages: nothing to answer; send at least one user message with content")
	}
	return nil
}

// splitResults gives tool results a turn of their own: Gemini wants as many responses in the turn after the calls as there were calls,
// and nothing else beside them.
func splitResults(turns []llm.Message) []llm.Message {
	var out []llm.Message
	for _, m := range turns {
		n := 0
		for n < len(m.Parts) && m.Parts[n].Kind == llm.KindToolResult {
			n++
		}
		if n == 0 || n == len(m.Parts) {
			out = append(out, m)
			continue
		}
		results := m
		results.Parts, m.Parts = m.Parts[:n:n], m.Parts[n:]
		out = append(out, results, m)
	}
	return out
}

// signFirstCall marks the first call of a turn as not to be checked if no Gemini model signed it.
func signFirstCall(parts []part) {
	for i := range parts {
		if parts[i].FunctionCall == nil {
			continue
		}
		if parts[i].ThoughtSignature == "" {
			parts[i].ThoughtSignature = skipSignature
		}
		return
	}
}

func (w *partWriter) sampling(g *genConfig, req *llm.Request, t *llm.Target) {
	g.Temperature, g.TopP = req.Temperature, req.TopP
	g.PresencePenalty, g.FrequencyPenalty = req.PresencePenalty, req.FrequencyPenalty
	g.TopK, g.CandidateCount, g.MaxOutputTokens, g.Seed = (*whole)(req.TopK), (*whole)(req.N), (*whole)(req.MaxTokens), (*whole)(req.Seed)
	g.ResponseLogprobs, g.Logprobs = req.Logprobs, (*whole)(req.TopLogprobs)
	g.StopSequences = req.Stop
	if !w.native {
		w.limits(g, t)
	}
	if len(req.Modalities) > 1 || len(req.Modalities) == 1 && (w.native || req.Modalities[0] != "text") {
		for _, m := range req.Modalities {
			g.ResponseModalities = append(g.ResponseModalities, enum(strings.ToUpper(m)))
		}
	}
	if req.Audio != nil && req.Audio.Voice != "" {
		var v voiceOnly
		v.VoiceConfig.PrebuiltVoiceConfig.VoiceName = req.Audio.Voice
		g.SpeechConfig, _ = json.Marshal(&v, writeOptions) // a string always marshals under these options
	}
}

// limits holds a foreign request's parameters within what Gemini takes.
func (w *partWriter) limits(g *genConfig, t *llm.Target) {
	if len(g.StopSequences) > maxStops {
		g.StopSequences = g.StopSequences[:maxStops]
		w.drop("stop")
	}
	if m := g.MaxOutputTokens; m != nil && t.MaxOutput > 0 && int64(*m) > t.MaxOutput {
		g.MaxOutputTokens = (*whole)(llm.Ptr(t.MaxOutput))
	}
	if g.Seed != nil && (*g.Seed > math.MaxInt32 || *g.Seed < math.MinInt32) { // a seed only needs to be the same again
		g.Seed = llm.Ptr(*g.Seed & math.MaxInt32)
	}
}

// thinking says how hard to think: a level from Gemini 3 on, a token budget for 2.5, nothing before.
func (w *partWriter) thinking(g *genConfig, req *llm.Request, t *llm.Target) {
	r := req.Reasoning
	if r == nil {
		return
	}
	if w.native {
		g.ThinkingConfig = &thinkingConfig{IncludeThoughts: r.Include, ThinkingBudget: (*whole)(r.Budget), ThinkingLevel: enum(strings.ToUpper(r.Effort))}
		return
	}
	off := r.Effort == "none" || r.Effort == "" && r.Budget != nil && *r.Budget == 0
	if t.Reasons != nil && !*t.Reasons || t.Reasons == nil && w.gen != 0 && w.gen < 25 || w.gen == 0 && (t.Reasons == nil || off) {
		if !off {
			w.drop("reasoning_effort")
		}
		return
	}
	c := &thinkingConfig{IncludeThoughts: r.Include}
	if c.IncludeThoughts == nil && !off && r.Summary != "omitted" {
		c.IncludeThoughts = llm.Ptr(true)
	}
	if w.gen >= 30 {
		c.ThinkingLevel = level(r.EffortWord(), t.Model)
	} else if n, ok := r.BudgetTokens(); ok {
		c.ThinkingBudget = (*whole)(llm.Ptr(budget(n, t.Model)))
	}
	g.ThinkingConfig = c
}

// level is Gemini 3's word for an effort. Its Pro models cannot think less than LOW.
func level(effort, model string) enum {
	switch effort {
	case "none", "minimal":
		if strings.Contains(model, "pro") {
			return "LOW"
		}
		return "MINIMAL"
	case "low":
		return "LOW"
	case "medium":
		return "MEDIUM"
	case "high", "xhigh", "max":
		return "HIGH"
	}
	return ""
}

// budget holds n within what the 2.5 models take: Pro always thinks, Flash-Lite thinks little only from 512 on.
func budget(n int64, model string) int64 {
	if n < 0 {
		return -1
	}
	switch {
	case strings.Contains(model, "pro"):
		return min(max(n, 128), 32768)
	case n == 0:
		return 0
	case strings.Contains(model, "flash-lite"):
		return min(max(n, 512), 24576)
	case strings.Contains(model, "flash"):
		return min(n, 24576)
	}
	return n
}

func (w *partWriter) format(g *genConfig, req *llm.Request) error {
	f := req.Format
	if f == nil {
		return nil
	}
	switch f.Type {
	case "text":
		if w.native {
			g.ResponseMimeType = "text/plain"
		}
	case "json_object":
		g.ResponseMimeType = jsonMIME
	case "json_schema":
		g.ResponseMimeType = jsonMIME
		if len(f.Schema) == 0 {
			return nil
		}
		if w.native {
			g.ResponseJSONSchema = f.Schema
			return nil
		}
		s, err := plainSchema(f.Schema)
		if err != nil {
			return llm.Invalid("response_format.json_schema.schema", "response_format.json_schema.schema: %v", err)
		}
		g.ResponseJSONSchema = s
	default:
		w.drop("response_format")
	}
	return nil
}

// labels carries metadata where it can: Vertex's labels, which are lower-case and short. AI Studio refuses the field.
func (w *partWriter) labels(b *requestBody, req *llm.Request) {
	if len(req.Metadata) == 0 {
		return
	}
	if w.native {
		b.Labels = req.Metadata
		return
	}
	fits := w.vertex
	for k, v := range req.Metadata {
		fits = fits && labelText(k) && labelText(v) && k != "" && k[0] >= 'a'
	}
	if fits {
		b.Labels = req.Metadata
	} else {
		w.drop("metadata")
	}
}

func labelText(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return len(s) <= 63
}

// restore puts a Gemini client's own unknown members back where they stood.
func (w *partWriter) restore(b *requestBody, all unknown) {
	put := func(m *unknown, k string, v llm.Raw) {
		if *m == nil {
			*m = unknown{}
		}
		(*m)[k] = v
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		v := all[k]
		place, name := "", k
		if i := strings.LastIndexByte(k, '.'); i >= 0 {
			place, name = k[:i], k[i+1:]
		}
		switch place {
		case "generationConfig":
			put(&b.GenerationConfig.Other, name, v)
		case "generationConfig.thinkingConfig":
			if b.GenerationConfig.ThinkingConfig == nil {
				b.GenerationConfig.ThinkingConfig = &thinkingConfig{}
			}
			put(&b.GenerationConfig.ThinkingConfig.Other, name, v)
		case "toolConfig", "toolConfig.functionCallingConfig":
			if b.ToolConfig == nil {
				b.ToolConfig = &toolConfig{}
			}
			if place == "toolConfig" {
				put(&b.ToolConfig.Other, name, v)
				continue
			}
			if b.ToolConfig.FunctionCallingConfig == nil {
				b.ToolConfig.FunctionCallingConfig = &callingConfig{}
			}
			put(&b.ToolConfig.FunctionCallingConfig.Other, name, v)
		default:
			put(&b.Other, k, v)
		}
	}
	g := b.GenerationConfig
	// readFormat keeps these two here together; the struct has fields for them, so a second copy would be a duplicate name.
	if v, ok := g.Other["responseJsonSchema"]; ok {
		g.ResponseJSONSchema = v
		delete(g.Other, "responseJsonSchema")
	}
	if v, ok := g.Other["responseMimeType"]; ok {
		g.ResponseMimeType = strings.Trim(string(v), `"`)
		delete(g.Other, "responseMimeType")
	}
	if v, ok := g.Other["speechConfig"]; ok {
		g.SpeechConfig = v
		delete(g.Other, "speechConfig")
	}
}

// borrowed are Google's own members that clients of other dialects put at the top of their bodies, as LiteLLM's users do.
var borrowed = []string{"safetySettings", "cachedContent"}

func (w *partWriter) borrow(b *requestBody, all unknown) {
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if name := camel(k); slices.Contains(borrowed, name) {
			if b.Other == nil {
				b.Other = unknown{}
			}
			b.Other[name] = all[k]
			continue
		}
		w.drop(k)
	}
}

// unsaid names the fields that Gemini has no word for.
func (w *partWriter) unsaid(req *llm.Request) {
	for _, f := range [...]struct {
		set  bool
		name string
	}{
		{req.MinP != nil, "min_p"}, {len(req.LogitBias) > 0, "logit_bias"}, {req.Verbosity != "", "verbosity"}, {req.User != "", "user"},
		{req.SafetyIdentifier != "", "safety_identifier"}, {req.PromptCacheKey != "", "prompt_cache_key"},
		{req.Store != nil && *req.Store, "store"}, {req.Audio != nil && req.Audio.Format != "" && req.Audio.Format != "pcm16", "audio.format"},
	} {
		if f.set {
			w.drop(f.name)
		}
	}
}
