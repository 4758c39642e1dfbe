package recordings

// Readers of the dialects whose answers are lists of blocks or parts: Anthropic, Converse, Gemini.

func (r *reader) messagesUsage(v any) {
	u := object(v)
	if u == nil {
		return
	}
	if r.a.Usage == nil {
		r.a.Usage = &usage{Reasoning: -1}
	}
	set := func(dst *int64, name string) {
		if n, ok := u[name]; ok && n != nil {
			*dst = number(n)
		}
	}
	in := r.a.Usage.Input - r.a.Usage.Cached - r.a.Usage.CacheWrite
	set(&in, "input_tokens")
	set(&r.a.Usage.Output, "output_tokens")
	set(&r.a.Usage.Cached, "cache_read_input_tokens")
	set(&r.a.Usage.CacheWrite, "cache_creation_input_tokens")
	r.a.Usage.Input = in + r.a.Usage.Cached + r.a.Usage.CacheWrite
}

func (r *reader) messagesWhole(v any) {
	o := object(v)
	if o["type"] != "message" || o["role"] != "assistant" || text(o["id"]) == "" {
		r.bad("head: %v %v", o["type"], o["role"])
	}
	for _, b := range array(o["content"]) {
		b := object(b)
		switch b["type"] {
		case "text":
			r.a.Text += text(b["text"])
		case "thinking":
			r.a.Reasoning += text(b["thinking"])
		case "redacted_thinking":
		case "tool_use":
			if text(b["id"]) == "" {
				r.bad("tool_use without id")
			}
			r.a.Calls = append(r.a.Calls, call{text(b["name"]), b["input"]})
		default:
			r.bad("block of type %v", b["type"])
		}
	}
	r.finish = text(o["stop_reason"])
	r.messagesUsage(o["usage"])
}

// messagesStream follows the order that Anthropic documents: message_start, blocks one after another, message_delta, message_stop.
func (r *reader) messagesStream(events []event) {
	open, blocks, stopped := "", int64(0), false
	args := ""
	for i, e := range events {
		if (i == 0) != (e.Name == "message_start") || stopped {
			r.bad("event %d is %s", i, e.Name)
		}
		switch e.Name {
		case "message_start":
			r.messagesUsage(at(e.Data, "message", "usage"))
		case "content_block_start":
			b := object(e.Data["content_block"])
			if open != "" || number(e.Data["index"]) != blocks {
				r.bad("block %v begins while %q is open", e.Data["index"], open)
			}
			if open, args = text(b["type"]), ""; open == "tool_use" {
				r.a.Calls = append(r.a.Calls, call{Name: text(b["name"]), Args: b["input"]})
			}
			r.a.Text += text(b["text"])
		case "content_block_delta":
			d := object(e.Data["delta"])
			if number(e.Data["index"]) != blocks || open == "" {
				r.bad("delta of block %v", e.Data["index"])
			}
			r.a.Text += text(d["text"])
			r.a.Reasoning += text(d["thinking"])
			args += text(d["partial_json"])
		case "content_block_stop":
			if open == "tool_use" && args != "" {
				r.a.Calls[len(r.a.Calls)-1].Args = parsed(args)
			}
			open = ""
			blocks++
		case "message_delta":
			r.finish = text(at(e.Data, "delta", "stop_reason"))
			r.messagesUsage(e.Data["usage"])
		case "message_stop":
			stopped = true
		case "ping":
		default:
			r.bad("event %s", e.Name)
		}
	}
	if !stopped || open != "" {
		r.bad("the stream does not end")
	}
}

func (r *reader) converseUsage(v any) {
	u := object(v)
	if u == nil {
		r.bad("no usage")
		return
	}
	cached, written := number(u["cacheReadInputTokens"]), number(u["cacheWriteInputTokens"])
	r.a.Usage = &usage{Input: number(u["inputTokens"]) + cached + written, Output: number(u["outputTokens"]), Cached: cached, CacheWrite: written, Reasoning: -1}
}

func (r *reader) converseWhole(v any) {
	o := object(v)
	if at(o, "output", "message", "role") != "assistant" {
		r.bad("role: %v", at(o, "output", "message", "role"))
	}
	for _, b := range array(at(o, "output", "message", "content")) {
		b := object(b)
		r.a.Text += text(b["text"])
		for _, c := range array(at(b, "citationsContent", "content")) {
			r.a.Text += text(at(c, "text"))
		}
		r.a.Reasoning += text(at(b, "reasoningContent", "reasoningText", "text"))
		if t := object(b["toolUse"]); t != nil {
			if text(t["toolUseId"]) == "" {
				r.bad("toolUse without id")
			}
			r.a.Calls = append(r.a.Calls, call{text(t["name"]), t["input"]})
		}
	}
	r.finish = text(o["stopReason"])
	r.converseUsage(o["usage"])
}

// converseStream follows the order that the AWS clients expect: messageStart, blocks, messageStop, metadata.
func (r *reader) converseStream(events []event) {
	tool, args, stopped := false, "", false
	for i, e := range events {
		if (i == 0) != (e.Name == "messageStart") {
			r.bad("event %d is %s", i, e.Name)
		}
		switch e.Name {
		case "messageStart":
		case "contentBlockStart":
			if t := object(at(e.Data, "start", "toolUse")); t != nil {
				tool, args = true, ""
				r.a.Calls = append(r.a.Calls, call{Name: text(t["name"])})
			}
		case "contentBlockDelta":
			d := object(e.Data["delta"])
			r.a.Text += text(d["text"])
			r.a.Reasoning += text(at(d, "reasoningContent", "text"))
			args += text(at(d, "toolUse", "input"))
		case "contentBlockStop":
			if tool {
				r.a.Calls[len(r.a.Calls)-1].Args = parsed(args)
			}
			tool = false
		case "messageStop":
			stopped = true
			r.finish = text(e.Data["stopReason"])
		case "metadata":
			if !stopped || i != len(events)-1 {
				r.bad("metadata is not last")
			}
			r.converseUsage(e.Data["usage"])
			if at(e.Data, "metrics", "latencyMs") == nil {
				r.bad("no latency")
			}
		default:
			r.bad("event %s", e.Name)
		}
	}
	if !stopped {
		r.bad("the stream does not end")
	}
}

// gemini adds a whole answer or one chunk of a stream: both have one form.
func (r *reader) gemini(v any) {
	o := object(v)
	if e, ok := o["error"]; ok {
		r.bad("error: %v", e)
	}
	for _, c := range array(o["candidates"]) {
		c := object(c)
		if number(c["index"]) != 0 {
			continue
		}
		for _, p := range array(at(c, "content", "parts")) {
			p := object(p)
			if p["thought"] == true {
				r.a.Reasoning += text(p["text"])
			} else {
				r.a.Text += text(p["text"])
			}
			if f := object(p["functionCall"]); f != nil {
				args := f["args"]
				if args == nil {
					args = m{}
				}
				r.a.Calls = append(r.a.Calls, call{text(f["name"]), args})
			}
		}
		if s := text(c["finishReason"]); s != "" {
			r.finish = s
		}
	}
	if u := object(o["usageMetadata"]); u != nil {
		thoughts := number(u["thoughtsTokenCount"])
		r.a.Usage = &usage{Input: number(u["promptTokenCount"]) + number(u["toolUsePromptTokenCount"]), Output: number(u["candidatesTokenCount"]) + thoughts,
			Cached: number(u["cachedContentTokenCount"]), CacheWrite: -1, Reasoning: thoughts}
	}
}
