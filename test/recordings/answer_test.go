package recordings

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weir-gateway/weir/internal/llm"
)

// answer is what a client makes of a reply, in no dialect. The readers of this package fill it from the providers' published formats; they
// share no code with the gateway's codecs.
type answer struct {
	Text      string
	Reasoning string
	Calls     []call
	Finish    string // stop, length, tools, filter, error
	Usage     *usage
}

// usage counts as OpenAI does: Input includes what came from and went into a cache, Output includes reasoning. -1: the dialect does not say.
type usage struct {
	Input, Output, Cached, CacheWrite, Reasoning int64
}

// m is any JSON object.
type m = map[string]any

func object(v any) m     { o, _ := v.(m); return o }
func array(v any) []any  { a, _ := v.([]any); return a }
func text(v any) string  { s, _ := v.(string); return s }
func number(v any) int64 { f, _ := v.(float64); return int64(f) }
func at(o any, path ...string) any {
	for _, name := range path {
		o = object(o)[name]
	}
	return o
}

// parsed is the value of a tool call's argument text: nothing stands for an empty object, as in every dialect.
func parsed(s string) any {
	if strings.TrimSpace(s) == "" {
		return m{}
	}
	var v any
	if json.Unmarshal([]byte(s), &v) != nil {
		return s
	}
	return v
}

// unlisted gives the calls that the expectations leave out: those of custom tools, whose argument is free text, and the one that chat
// completions had before there were tools, and all of a Gemini
// stream whose arguments come by path.
func unlisted(x *exchange) []call {
	if x.Dialect == llm.Gemini && bytes.Contains(x.Reply, []byte(`"partialArgs"`)) {
		return pathCalls(x.Reply)
	}
	if len(x.Want.Calls) > 0 {
		return x.Want.Calls
	}
	var v any
	switch {
	case x.Dialect == llm.Responses && x.Stream:
		r := &reader{}
		for _, e := range r.events(llm.Responses, x.Reply) {
			if e.Name == "response.completed" {
				v = e.Data["response"]
			}
		}
	case !x.Stream && json.Unmarshal(x.Reply, &v) != nil:
		return nil
	}
	var out []call
	for _, item := range array(at(v, "output")) {
		if at(item, "type") == "custom_tool_call" {
			out = append(out, call{text(at(item, "name")), text(at(item, "input"))})
		}
	}
	for _, c := range array(at(v, "choices")) {
		if f := object(at(c, "message", "function_call")); f != nil {
			out = append(out, call{text(f["name"]), parsed(text(f["arguments"]))})
		}
	}
	return out
}

// refusalIn is the text of a chat completion's refusal, which the expectations leave out.
func refusalIn(x *exchange) string {
	var v any
	if x.Dialect != llm.OpenAI || x.Stream || json.Unmarshal(x.Reply, &v) != nil || len(array(at(v, "choices"))) == 0 {
		return ""
	}
	return text(at(array(at(v, "choices"))[0], "message", "refusal"))
}

// differences lists the fields in which two answers part, a line each.
func differences(want, got *answer) (out []string) {
	f := func(name string, w, g any) {
		if !cmp.Equal(w, g, cmpopts.EquateEmpty()) {
			out = append(out, name+": "+firstDiff(fmt.Appendf(nil, "%+v", w), fmt.Appendf(nil, "%+v", g)))
		}
	}
	f("text", want.Text, got.Text)
	f("reasoning", want.Reasoning, got.Reasoning)
	f("tool calls", want.Calls, got.Calls)
	f("finish", want.Finish, got.Finish)
	f("usage", want.Usage, got.Usage)
	return out
}

// finishClass brings the providers' words to five. Gemini and Responses end calls of tools as any other answer, so calls decide there.
func finishClass(word string, calls bool) string {
	switch strings.ToLower(word) {
	case "stop", "end_turn", "stop_sequence", "completed", "eos", "complete", "1", "pause_turn", "tool_calls", "tool_use", "function_call", "tool_call":
		if calls {
			return "tools"
		}
		return "stop"
	case "length", "max_tokens", "max_output_tokens", "2", "model_context_window_exceeded", "model_length":
		return "length"
	case "content_filter", "guardrail_intervened", "content_filtered", "safety", "refusal", "recitation", "prohibited_content", "blocklist", "spii", "image_safety":
		return "filter"
	case "":
		return ""
	}
	return "other: " + word
}

// wanted brings a recorded expectation to the form of an answer.
func wanted(x *exchange) *answer {
	if x.Own != nil {
		a := *x.Own
		if a.Usage != nil {
			u := *a.Usage
			a.Usage = &u
		}
		return &a
	}
	w := x.Want
	a := &answer{Text: w.Text, Reasoning: w.Reasoning, Calls: slices.Clone(w.Calls)}
	for i := range a.Calls {
		switch args := a.Calls[i].Args.(type) {
		case nil:
			a.Calls[i].Args = m{}
		case string:
			a.Calls[i].Args = parsed(args)
		}
	}
	word := ""
	if w.Finish != nil {
		word = fmt.Sprint(w.Finish)
	}
	a.Finish = finishClass(word, len(w.Calls) > 0)
	if refusal := refusalIn(x); refusal != "" {
		a.Text += refusal
		a.Finish = "filter"
	}
	u := w.Usage
	if u == nil || u.Input == nil && u.Output == nil && u.Total == 0 {
		return a
	}
	a.Usage = &usage{Cached: u.Cached, CacheWrite: u.CacheWrite, Reasoning: u.Reasoning}
	if u.Input != nil {
		a.Usage.Input = *u.Input
	}
	if u.Output != nil { // Gemini leaves zeros out
		a.Usage.Output = *u.Output
	}
	switch x.Dialect {
	case llm.OpenAI:
		if u.Total == a.Usage.Input+a.Usage.Output+u.Reasoning {
			a.Usage.Output += u.Reasoning // xAI counts it beside the output
		}
	case llm.Anthropic, llm.Converse:
		a.Usage.Reasoning = -1 // the expectations leave out what newer models say
		a.Usage.Input += u.Cached + u.CacheWrite
	case llm.Gemini:
		a.Usage.Output += u.Reasoning
		if u.Total > 0 {
			a.Usage.Input = u.Total - a.Usage.Output // with the prompt of its own tools, which is counted apart
		}
	}
	return a
}

// read turns the client's bytes into an answer; problems are what a strict client would choke on.
func read(d llm.Dialect, stream bool, body []byte) (*answer, []string) {
	r := &reader{}
	var events []event
	var whole any
	if stream {
		events = r.events(d, body)
	} else if err := json.Unmarshal(body, &whole); err != nil {
		return nil, []string{"not JSON: " + err.Error()}
	}
	switch {
	case d == llm.OpenAI && stream:
		r.chatStream(events)
	case d == llm.OpenAI:
		r.chatWhole(whole)
	case d == llm.Responses && stream:
		r.responsesStream(events)
	case d == llm.Responses:
		r.responsesWhole(whole)
	case d == llm.Anthropic && stream:
		r.messagesStream(events)
	case d == llm.Anthropic:
		r.messagesWhole(whole)
	case d == llm.Converse && stream:
		r.converseStream(events)
	case d == llm.Converse:
		r.converseWhole(whole)
	case stream:
		for _, e := range events {
			r.gemini(e.Data)
		}
	default:
		r.gemini(whole)
	}
	if r.a.Finish = finishClass(r.finish, len(r.a.Calls) > 0); r.refused {
		r.a.Finish = "filter"
	}
	return &r.a, r.problems
}

// reader gathers an answer.
type reader struct {
	a        answer
	finish   string
	refused  bool // in OpenAI's dialects a refusal is a text of its own, not a reason to stop
	problems []string
}

func (r *reader) bad(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// event is one step of a stream.
type event struct {
	Name string
	Data m
}
