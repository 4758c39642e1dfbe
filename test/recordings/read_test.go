package recordings

import (
	"bytes"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

// events cuts a stream as the dialect's official clients do.
func (r *reader) events(d llm.Dialect, body []byte) []event {
	if d == llm.Converse {
		return r.awsEvents(body)
	}
	var out []event
	for _, block := range bytes.Split(body, []byte("\n\n")) {
		var e event
		var data []byte
		for _, line := range bytes.Split(block, []byte("\n")) {
			if v, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
				e.Name = string(v)
			} else if v, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
				data = append(data, v...)
			} else if len(line) > 0 && line[0] != ':' {
				r.bad("a line of no event: %.60q", line)
			}
		}
		if data == nil {
			continue
		}
		if string(data) == "[DONE]" {
			out = append(out, event{Name: "[DONE]"})
			continue
		}
		if err := json.Unmarshal(data, &e.Data); err != nil {
			r.bad("event %.80q: %v", data, err)
			continue
		}
		if (d == llm.Anthropic || d == llm.Responses) && e.Name != e.Data["type"] {
			r.bad("event %q is of type %v", e.Name, e.Data["type"])
		}
		if d == llm.Gemini && e.Name != "" {
			r.bad("event line %q", e.Name)
		}
		out = append(out, e)
	}
	return out
}

func (r *reader) awsEvents(body []byte) []event {
	var out []event
	dec, in := eventstream.NewDecoder(), bytes.NewReader(body)
	for in.Len() > 0 {
		msg, err := dec.Decode(in, nil)
		if err != nil {
			r.bad("event stream: %v", err)
			return out
		}
		var e event
		if err := json.Unmarshal(msg.Payload, &e.Data); err != nil {
			r.bad("payload: %v", err)
		}
		header := func(name string) string {
			if v := msg.Headers.Get(name); v != nil {
				return v.String()
			}
			return ""
		}
		if e.Name = header(":event-type"); e.Name == "" || header(":message-type") != "event" || header(":content-type") != "application/json" {
			r.bad("headers of a frame: %v", msg.Headers)
		}
		out = append(out, e)
	}
	return out
}

// chatMessage adds a chat completion's message or delta.
func (r *reader) chatMessage(v m, args *[]string) {
	r.a.Text += text(v["content"]) + text(v["refusal"])
	r.refused = r.refused || text(v["refusal"]) != ""
	r.a.Reasoning += text(v["reasoning_content"])
	for i, c := range array(v["tool_calls"]) {
		c := object(c)
		at_ := i
		if n, ok := c["index"]; ok {
			at_ = int(number(n))
		}
		for at_ >= len(*args) {
			*args = append(*args, "")
			r.a.Calls = append(r.a.Calls, call{})
		}
		kind, input := "function", "arguments"
		if c["custom"] != nil {
			kind, input = "custom", "input"
		}
		if name := text(at(c, kind, "name")); name != "" {
			if r.a.Calls[at_].Name != "" || text(c["id"]) == "" || c["type"] != kind {
				r.bad("tool call %d begins badly: %v", at_, c)
			}
			r.a.Calls[at_].Name = name
		}
		(*args)[at_] += text(at(c, kind, input))
	}
}

func (r *reader) chatDone(args []string) {
	for i, s := range args {
		r.a.Calls[i].Args = parsed(s)
	}
}

func (r *reader) chatUsage(v any) {
	u := object(v)
	if u == nil {
		return
	}
	if number(u["total_tokens"]) < number(u["prompt_tokens"])+number(u["completion_tokens"]) {
		r.bad("usage does not add up: %v", u)
	}
	r.a.Usage = &usage{Input: number(u["prompt_tokens"]), Output: number(u["completion_tokens"]), CacheWrite: -1,
		Cached:    number(at(u, "prompt_tokens_details", "cached_tokens")),
		Reasoning: number(at(u, "completion_tokens_details", "reasoning_tokens"))}
}

func (r *reader) chatWhole(v any) {
	o := object(v)
	if o["object"] != "chat.completion" || text(o["id"]) == "" || len(array(o["choices"])) == 0 {
		r.bad("head: %v %v", o["object"], o["id"])
		return
	}
	c := object(array(o["choices"])[0])
	var args []string
	r.chatMessage(object(c["message"]), &args)
	r.chatDone(args)
	r.finish = text(c["finish_reason"])
	r.chatUsage(o["usage"])
}

func (r *reader) chatStream(events []event) {
	var args []string
	for i, e := range events {
		if e.Name == "[DONE]" {
			if i != len(events)-1 {
				r.bad("events after [DONE]")
			}
			break
		}
		if i == len(events)-1 {
			r.bad("no [DONE]")
		}
		if e.Data["object"] != "chat.completion.chunk" {
			r.bad("chunk: %v", e.Data)
		}
		for _, c := range array(e.Data["choices"]) {
			c := object(c)
			if number(c["index"]) != 0 {
				continue
			}
			if i == 0 && at(c, "delta", "role") != "assistant" {
				r.bad("the first chunk has no role: %v", c)
			}
			r.chatMessage(object(c["delta"]), &args)
			if s := text(c["finish_reason"]); s != "" {
				r.finish = s
			}
		}
		r.chatUsage(e.Data["usage"])
	}
	r.chatDone(args)
}

func (r *reader) responsesWhole(v any) {
	o := object(v)
	if o["object"] != "response" || text(o["id"]) == "" {
		r.bad("head: %v", o["object"])
	}
	for _, item := range array(o["output"]) {
		item := object(item)
		switch item["type"] {
		case "message":
			for _, c := range array(item["content"]) {
				r.a.Text += text(at(c, "text")) + text(at(c, "refusal"))
				r.refused = r.refused || at(c, "type") == "refusal"
			}
		case "reasoning":
			for _, c := range append(array(item["summary"]), array(item["content"])...) {
				r.a.Reasoning += text(at(c, "text"))
			}
		case "function_call":
			r.a.Calls = append(r.a.Calls, call{text(item["name"]), parsed(text(item["arguments"]))})
		case "custom_tool_call":
			r.a.Calls = append(r.a.Calls, call{text(item["name"]), text(item["input"])})
		default:
			r.bad("item of type %v", item["type"])
		}
	}
	r.finish = text(o["status"])
	if r.finish == "incomplete" {
		r.finish = text(at(o, "incomplete_details", "reason"))
	}
	if u := object(o["usage"]); u != nil {
		if number(u["total_tokens"]) < number(u["input_tokens"])+number(u["output_tokens"]) {
			r.bad("usage does not add up: %v", u)
		}
		r.a.Usage = &usage{Input: number(u["input_tokens"]), Output: number(u["output_tokens"]), CacheWrite: -1,
			Cached:    number(at(u, "input_tokens_details", "cached_tokens")),
			Reasoning: number(at(u, "output_tokens_details", "reasoning_tokens"))}
	}
}

// responsesStream reads the answer from its last event, and checks that the deltas before it say the same.
func (r *reader) responsesStream(events []event) {
	var deltas, reasoned, arguments string
	var last any
	for i, e := range events {
		if n, ok := e.Data["sequence_number"]; !ok || number(n) != int64(i) {
			r.bad("event %d has sequence number %v", i, n)
		}
		switch e.Name {
		case "response.output_text.delta", "response.refusal.delta":
			deltas += text(e.Data["delta"])
		case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
			reasoned += text(e.Data["delta"])
		case "response.function_call_arguments.delta":
			arguments += text(e.Data["delta"])
		case "response.completed", "response.incomplete":
			last = e.Data["response"]
			if i != len(events)-1 {
				r.bad("events after %s", e.Name)
			}
		}
	}
	if len(events) < 3 || events[0].Name != "response.created" || events[1].Name != "response.in_progress" || last == nil {
		r.bad("the stream lacks its first or last events: %d of them", len(events))
		return
	}
	r.responsesWhole(last)
	if deltas != r.a.Text || reasoned != r.a.Reasoning {
		r.bad("deltas differ from the whole: %q %q, %q %q", deltas, r.a.Text, reasoned, r.a.Reasoning)
	}
	whole := ""
	for _, item := range array(at(last, "output")) {
		whole += text(at(item, "arguments"))
	}
	if whole != arguments {
		r.bad("argument deltas differ from the whole: %q %q", arguments, whole)
	}
}
