package converse

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// encoder writes one request.
type encoder struct {
	writer
	req      *llm.Request
	t        *llm.Target
	f        family
	own      bool // the request came in this dialect: it is taken at its word
	dropped  []string
	names    docNames
	messages []llm.Message
	tools    []llm.Tool
	choice   choice
	think    thinking
	answer   bool // the answer's schema is enforced by a tool, AnswerTool
	err      *llm.Error
}

func (e *encoder) drop(name string) {
	if !slices.Contains(e.dropped, name) {
		e.dropped = append(e.dropped, name)
	}
}

func (e *encoder) dropExtra(prefix string, m map[string]llm.Raw) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if llm.IsSet(m[k]) {
			e.drop(prefix + k)
		}
	}
}

// EncodeRequest appends the body of either operation, see llm.Spoken. The path says which, and the model. A part that Bedrock would have
// to fetch from the web (NeedsInline) can't be said.
func (dialect) EncodeRequest(dst []byte, req *llm.Request, t *llm.Target) (body []byte, dropped []string, err error) {
	return encodeRequest(dst, req, t, false)
}

func encodeRequest(dst []byte, req *llm.Request, t *llm.Target, count bool) ([]byte, []string, error) {
	e := &encoder{writer: newWriter(dst), req: req, t: t, f: familyOf(t.Model), own: req.From == llm.Converse, names: docNames{}}
	system := e.conversation()
	e.offer()
	e.reasoning()
	e.choose()
	e.Object("")
	if len(e.messages) > 0 {
		e.Array("messages")
		for i := range e.messages {
			e.message(&e.messages[i], at("messages", i))
		}
		e.End("]")
	}
	if len(system) > 0 {
		e.Array("system")
		e.blocks(system, "system")
		e.End("]")
	}
	e.writeTools()
	if !count {
		e.inference()
		e.account()
		e.output()
	}
	e.additional(count)
	if !count {
		e.extras()
		e.foreign()
	}
	e.End("}")
	if e.err != nil {
		return dst, nil, e.err
	}
	return e.Buf, e.dropped, nil
}

// conversation sorts the messages into the leading system text, which it returns, and turns that Bedrock accepts.
func (e *encoder) conversation() (system []llm.Part) {
	var rest []llm.Message
	if e.own {
		rest = e.req.Messages
		for len(rest) > 0 && rest[0].Role == llm.RoleSystem {
			system = append(system, rest[0].Parts...)
			rest = rest[1:]
		}
	} else {
		system, rest, _ = e.req.SplitSystem()
	}
	system = e.usable(system, onlyText)
	kept := make([]llm.Message, 0, len(rest))
	for i := range rest {
		m := rest[i]
		if m.Name != "" {
			e.drop("messages.name")
		}
		if !e.own {
			e.dropExtra("messages.", m.Extra)
			m.Extra = nil
		}
		where := inMessage
		if m.Role == llm.RoleAssistant {
			where = inAnswer
		}
		m.Parts = e.usable(m.Parts, where)
		if len(m.Parts) > 0 || e.own {
			kept = append(kept, m)
		}
	}
	if e.own && (len(kept) > 0 || llm.IsSet(e.req.Extra["promptVariables"])) {
		e.messages = kept
		return system
	}
	e.messages = llm.UserFirst(llm.Turns(kept))
	for i := range e.messages {
		e.accompany(&e.messages[i])
	}
	llm.TrimEnd(e.messages)
	return system
}

// accompany adds a text to a turn that has a document and none: Bedrock demands one.
func (e *encoder) accompany(m *llm.Message) {
	document, words := false, false
	for i := range m.Parts {
		document = document || m.Parts[i].Kind == llm.KindDocument
		words = words || m.Parts[i].Kind == llm.KindText
	}
	if document && !words {
		m.Parts = append(slices.Clip(m.Parts), llm.Part{Kind: llm.KindText, Text: "See the attached document."})
	}
}

func (e *encoder) message(m *llm.Message, path string) {
	e.Object("")
	e.Str("role", string(m.Role))
	e.Array("content")
	e.blocks(m.Parts, path+".content")
	e.End("]")
	if e.own {
		e.Extra(m.Extra)
	}
	e.End("}")
}

// inference writes the parameters that all models share, inside what Bedrock and the model take.
func (e *encoder) inference() {
	r := e.req
	w := writer{}
	if budget := e.think.budget; r.MaxTokens != nil || budget > 0 {
		n := budget + defaultAnswer // without a limit some models stop at less than the budget, which Bedrock refuses
		if r.MaxTokens != nil {
			n = *r.MaxTokens
			if budget > 0 && n <= budget {
				n += budget // the budget is part of it
			}
		}
		if !e.own {
			n = max(n, 1)
			if e.t.MaxOutput > 0 {
				n = min(n, e.t.MaxOutput)
			}
		}
		w.Int("maxTokens", n)
	}
	if r.Temperature != nil {
		e.temperature(&w, *r.Temperature)
	}
	if p := r.TopP; p != nil {
		both := r.Temperature != nil && e.f.version.OneSampling()
		if !e.own && (e.f.version.NoSampling() || both || *p < 0 || *p > 1 || e.think.forbids() && *p < 0.95) {
			if *p != 1 {
				e.drop("top_p")
			}
		} else {
			w.Float("topP", *p)
		}
	}
	e.stops(&w)
	if e.own {
		for _, m := range llm.ObjectOf(r.Extra[inferenceKey]) {
			w.Member(m.Name, m.Value)
		}
	}
	if len(w.Buf) > 0 {
		e.Object(inferenceKey)
		e.Buf = append(e.Buf, w.Buf...)
		e.End("}")
	}
}

func (e *encoder) temperature(w *writer, v float64) {
	switch {
	case e.own:
	case e.f.version.NoSampling(), e.think.forbids():
		if v != 1 {
			e.drop("temperature")
		}
		return
	case v < 0, v > 1, math.IsNaN(v):
		e.drop("temperature")
		v = math.Max(0, math.Min(1, v))
	}
	w.Float("temperature", v)
}

func (e *encoder) stops(w *writer) {
	var stops []string
	for _, s := range e.req.Stop {
		if !e.own && (s == "" || e.f.claude() && strings.TrimSpace(s) == "") {
			e.drop("stop") // Claude refuses white space alone
			continue
		}
		stops = append(stops, s)
	}
	if len(stops) == 0 {
		return
	}
	w.Array("stopSequences")
	for _, s := range stops {
		w.Str("", s)
	}
	w.End("]")
}

// Bedrock's rules for requestMetadata. The lengths are not in the expression, which would be compiled to a copy of itself for each character.
var metadataText = regexp.MustCompile(`^[a-zA-Z0-9\s:_@$#=/+,.-]*$`)

const (
	maxMetadata     = 16
	maxMetadataText = 256 // of a key, which is not empty, and of a value
)

func metadataTakes(key, value string) bool {
	return key != "" && len(key) <= maxMetadataText && len(value) <= maxMetadataText && metadataText.MatchString(key) && metadataText.MatchString(value)
}

// account writes who asks, and how urgently.
func (e *encoder) account() {
	if len(e.req.Metadata) > 0 {
		w := writer{}
		n := 0
		keys := make([]string, 0, len(e.req.Metadata))
		for k := range e.req.Metadata {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			v := e.req.Metadata[k]
			if !e.own && (n == maxMetadata || !metadataTakes(k, v)) {
				e.drop("metadata")
				continue
			}
			w.Member(k, llm.Quote(v))
			n++
		}
		if n > 0 {
			e.Object("requestMetadata")
			e.Buf = append(e.Buf, w.Buf...)
			e.End("}")
		}
	}
	tier := e.req.ServiceTier
	if !e.own {
		switch tier {
		case "default", "priority", "flex", "reserved":
		case "standard_only", "standard":
			tier = "default"
		case "", "auto":
			tier = ""
		default:
			e.drop("service_tier")
			tier = ""
		}
	}
	if tier != "" {
		e.Object("serviceTier")
		e.Str("type", tier)
		e.End("}")
	}
}

// output writes outputConfig: the answer's schema and, for Claude, its effort.
func (e *encoder) output() {
	var rest llm.Object
	if e.own {
		rest = llm.ObjectOf(e.req.Extra[outputKey])
	}
	f := e.req.Format
	schema := f != nil && f.Type == "json_schema" && f.Schema.Kind() == '{' && !e.answer
	if schema && !e.own && !e.f.structured() {
		e.drop("response_format")
		schema = false
	}
	if f != nil && !schema && !e.answer && f.Type != "text" {
		e.drop("response_format")
	}
	if !schema && e.think.effort == "" && len(rest) == 0 {
		return
	}
	e.Object(outputKey)
	if schema {
		s := f.Schema
		if !e.own && e.f.claude() {
			s = llm.ClosedSchema(s)
		}
		e.Object("textFormat")
		e.Str("type", "json_schema")
		e.Object("structure")
		e.Object("jsonSchema")
		e.Str("schema", string(s))
		if f.Name != "" {
			e.Str("name", f.Name)
		}
		if f.Description != "" {
			e.Str("description", f.Description)
		}
		e.End("}}}")
	}
	if e.think.effort != "" {
		e.Str("effort", e.think.effort)
	}
	for _, m := range rest {
		e.Member(m.Name, m.Value)
	}
	e.End("}")
}

// borrowed are Bedrock's own words that OpenAI's clients are used to send beside the rest.
var borrowed = []string{"guardrailConfig", "performanceConfig", "promptVariables", pathsKey}

// extras writes what only this dialect has.
func (e *encoder) extras() {
	extra := e.req.Extra
	if e.own {
		e.Extra(extra, additionalKey, outputKey, inferenceKey, modelKey)
		return
	}
	for _, k := range borrowed {
		if v := extra[k]; e.req.From == llm.OpenAI && (v.Kind() == '{' || v.Kind() == '[') {
			e.Member(k, v)
		}
	}
	if e.f.claude() && len(e.req.Stop) > 0 && !(e.req.From == llm.OpenAI && llm.IsSet(extra[pathsKey])) {
		// Which sequence was hit: the first is where whole answers have it, the second where streams do.
		e.Raw(pathsKey, llm.Raw(`["/stop_sequence","/delta/stop_sequence"]`))
	}
	for _, k := range slices.Sorted(maps.Keys(extra)) {
		if llm.IsSet(extra[k]) && !(e.req.From == llm.OpenAI && (k == additionalKey || slices.Contains(borrowed, k))) {
			e.drop(k)
		}
	}
}

// foreign names the parameters that have no word here. Some of them a client of this dialect has said in additionalModelRequestFields, which
// go on as they are.
func (e *encoder) foreign() {
	for _, name := range e.req.Unusual() {
		switch name {
		case "metadata":
		case "min_p", "presence_penalty", "frequency_penalty", "seed", "user":
			if !e.own {
				e.drop(name)
			}
		default:
			e.drop(name)
		}
	}
}
