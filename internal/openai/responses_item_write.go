package openai

import (
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// closePart appends the events that end the open content or summary part.
func (w *respWriter) closePart(dst []byte, o *respOpen) []byte {
	switch {
	case o.part == "":
		return dst
	case o.part == llm.KindReasoning && o.summary:
		dst = w.doneText(dst, "response.reasoning_summary_text.done", `,"summary_index":`, "text", o)
		dst = w.beginItem(dst, "response.reasoning_summary_part.done", o)
		dst = respInto(dst, `,"summary_index":`, o.at)
		dst = append(dst, `,"part":`...)
		at := len(dst)
		dst = append(wire.AppendString(append(dst, `{"type":"summary_text","text":`...), string(o.text)), '}')
		o.summaries = respAppendElem(o.summaries, dst[at:])
		dst = w.finish(dst)
	case o.part == llm.KindReasoning:
		dst = w.doneText(dst, "response.reasoning_text.done", `,"content_index":`, "text", o)
		part := append(wire.AppendString([]byte(`{"type":"reasoning_text","text":`), string(o.text)), '}')
		o.content = respAppendElem(o.content, part)
	default:
		if o.part == llm.KindRefusal {
			dst = w.doneText(dst, "response.refusal.done", `,"content_index":`, "refusal", o)
		} else {
			dst = w.doneText(dst, "response.output_text.done", `,"content_index":`, "text", o)
		}
		dst = w.beginItem(dst, "response.content_part.done", o)
		dst = respInto(dst, `,"content_index":`, o.at)
		dst = append(dst, `,"part":`...)
		at := len(dst)
		dst = o.appendPart(dst, string(o.text))
		o.content = respAppendElem(o.content, dst[at:])
		dst = w.finish(dst)
	}
	o.part, o.text, o.notes, o.nnotes, o.logprobs = "", o.text[:0], nil, 0, nil
	return dst
}

func (w *respWriter) doneText(dst []byte, name, index, member string, o *respOpen) []byte {
	dst = w.beginItem(dst, name, o)
	dst = respInto(dst, index, o.at)
	dst = respKeyString(dst, member, string(o.text))
	if name == "response.output_text.done" {
		dst = append(dst, `,"logprobs":`...)
		dst = append(respAppendList(dst, o.logprobs), ']')
	}
	return w.finish(dst)
}

// appendPart appends the open content part with the given text.
func (o *respOpen) appendPart(dst []byte, text string) []byte {
	if o.part == llm.KindRefusal {
		return append(respKeyString(append(dst, `{"type":"refusal"`...), "refusal", text), '}')
	}
	dst = append(dst, `{"type":"output_text","annotations":`...)
	dst = append(respAppendList(dst, o.notes), `],"logprobs":`...)
	dst = append(respAppendList(dst, o.logprobs), ']')
	return append(respKeyString(dst, "text", text), '}')
}

// respAppendList appends an array that lacks its end, and was never begun if it is empty.
func respAppendList(dst, list []byte) []byte {
	if len(list) == 0 {
		return append(dst, '[')
	}
	return append(dst, list...)
}

func respAppendElem(list, elem []byte) []byte {
	if len(list) > 0 {
		list = append(list, ',')
	}
	return append(list, elem...)
}

// close ends an item and keeps it for the response.
func (w *respWriter) close(dst []byte, o *respOpen, status string) []byte {
	switch o.kind {
	case "function_call":
		if len(o.text) == 0 && !w.own {
			o.text = append(o.text, "{}"...) // a call without arguments; clients parse what they get
			dst = w.beginItem(dst, "response.function_call_arguments.delta", o)
			dst = w.finish(append(dst, `,"delta":"{}"`...))
		}
		dst = w.beginItem(dst, "response.function_call_arguments.done", o)
		dst = respKeyString(dst, "name", o.name)
		dst = w.finish(respKeyString(dst, "arguments", string(o.text)))
	case "custom_tool_call":
		dst = w.beginItem(dst, "response.custom_tool_call_input.done", o)
		dst = w.finish(respKeyString(dst, "input", string(o.text)))
	default:
		dst = w.closePart(dst, o)
	}
	o.closed = true
	item := w.item(nil, o, status)
	w.output[o.index] = item
	dst = w.begin(dst, "response.output_item.done")
	dst = respInto(dst, `,"output_index":`, o.index)
	dst = append(append(dst, `,"item":`...), item...)
	dst = w.finish(dst)
	if o.late != "" {
		dst = w.sealedItem(dst, o.late)
	}
	return dst
}

// item appends an item as far as it is known.
func (w *respWriter) item(dst []byte, o *respOpen, status string) []byte {
	dst = respKeyString(append(dst, '{'), "id", o.id)
	dst = respKeyString(dst, "type", o.kind)
	switch o.kind {
	case "message":
		dst = respKeyString(dst, "status", status)
		dst = append(append(append(dst, `,"content":[`...), o.content...), ']')
		if o.phase != nil {
			dst = respKeyRaw(dst, "phase", o.phase)
		}
		return append(dst, `,"role":"assistant"}`...)
	case "reasoning":
		dst = append(append(append(dst, `,"summary":[`...), o.summaries...), ']')
		if len(o.content) > 0 {
			dst = append(append(append(dst, `,"content":[`...), o.content...), ']')
		}
		return append(respKeyText(dst, "encrypted_content", o.signature), '}')
	case "custom_tool_call":
		dst = respKeyString(dst, "status", status)
		dst = respKeyString(respKeyString(dst, "call_id", o.callID), "name", o.name)
		dst = respKeyString(dst, "input", string(o.text))
	default:
		dst = respKeyString(dst, "status", status)
		dst = respKeyString(dst, "arguments", string(o.text))
		dst = respKeyString(respKeyString(dst, "call_id", o.callID), "name", o.name)
	}
	for _, k := range respKeys(o.extra) {
		if k != "status" {
			dst = append(wire.AppendString(respComma(dst), k), ':')
			dst = respAppendRaw(dst, o.extra[k])
		}
	}
	return append(dst, '}')
}

// respAppendLogprobs appends tokens; a finished text's have bytes and alternatives always.
func respAppendLogprobs(dst []byte, list []llm.TokenLogprob, whole bool) []byte {
	for i := range list {
		l := &list[i]
		dst = respKeyString(append(respElem(dst), '{'), "token", l.Token)
		dst = respAppendFloat(respKey(dst, "logprob"), l.Logprob)
		if l.Bytes != nil || whole {
			dst = append(respKey(dst, "bytes"), '[')
			for _, b := range l.Bytes {
				dst = strconv.AppendInt(respElem(dst), b, 10)
			}
			dst = append(dst, ']')
		}
		dst = append(respKey(dst, "top_logprobs"), '[')
		for k := range l.Top {
			t := &l.Top[k]
			dst = respKeyString(append(respElem(dst), '{'), "token", t.Token)
			dst = respAppendFloat(respKey(dst, "logprob"), t.Logprob)
			if t.Bytes != nil || whole {
				dst = append(respKey(dst, "bytes"), '[')
				for _, b := range t.Bytes {
					dst = strconv.AppendInt(respElem(dst), b, 10)
				}
				dst = append(dst, ']')
			}
			dst = append(dst, '}')
		}
		dst = append(dst, "]}"...)
	}
	return dst
}

// status is the status of a response that ended as this one did, and for an incomplete one the reason. A model that refused without a
// refusal to show (Anthropic's) was cut off, as a content filter does.
func (w *respWriter) status() (status, reason string) {
	switch w.stop.Reason {
	case llm.FinishRefusal:
		if !w.refused {
			return "incomplete", "content_filter"
		}
	case llm.FinishLength, llm.FinishContext:
		return "incomplete", "max_output_tokens"
	case llm.FinishFilter:
		return "incomplete", "content_filter"
	case llm.FinishError, llm.FinishMalformed:
		return "failed", ""
	case llm.FinishIncomplete:
		return "incomplete", ""
	}
	return "completed", ""
}

// respErrorCode is a response's own word for an error. The two that its schema does not list are what OpenAI sends all the same, and
// what Codex looks for.
func respErrorCode(e *llm.Error) string {
	switch e.Kind {
	case llm.ErrContextWindow:
		return "context_length_exceeded"
	case llm.ErrBilling, llm.ErrBudget:
		return "insufficient_quota"
	case llm.ErrRateLimit:
		return "rate_limit_exceeded"
	case llm.ErrInvalid, llm.ErrPolicy, llm.ErrTooLarge, llm.ErrUnprocessable:
		return "invalid_prompt"
	}
	return "server_error"
}

// respAppendErrorEvent appends a framed error event. Its members stand where the schema has them and, as OpenAI also sends them, in an
// object of their own, by which the official SDKs know that they must throw.
func respAppendErrorEvent(dst []byte, e *llm.Error, seq int64) []byte {
	dst = append(dst, "event: error\ndata: {\"type\":\"error\",\"sequence_number\":"...)
	dst = strconv.AppendInt(dst, seq, 10)
	code := respErrorCode(e)
	if e.Code != "" {
		code = e.Code
	}
	dst = respErrorMembers(dst, e, code)
	dst = respKeyString(append(dst, `,"error":{`...), "type", errorType(e))
	dst = respErrorMembers(dst, e, code)
	return append(dst, "}}\n\n"...)
}

func respErrorMembers(dst []byte, e *llm.Error, code string) []byte {
	dst = respKeyString(dst, "code", code)
	dst = respKeyString(dst, "message", e.Message)
	if e.Param == "" {
		return append(dst, `,"param":null`...)
	}
	return respKeyString(dst, "param", e.Param)
}

func (w *respWriter) created() int64 {
	switch {
	case w.head.Created != 0:
		return w.head.Created
	case !w.x.Started.IsZero():
		return w.x.Started.Unix()
	}
	return w.now().Unix()
}

func (w *respWriter) now() time.Time {
	if w.x.Now != nil {
		return w.x.Now()
	}
	return time.Now()
}

// response appends the response object in its present state.
func (w *respWriter) response(dst []byte, status, reason string, failed *llm.Error) []byte {
	dst = respKeyString(append(dst, '{'), "id", w.id)
	dst = respKeyString(dst, "object", "response")
	dst = respKeyInt(dst, "created_at", w.created())
	dst = respKeyString(dst, "status", status)
	if status == "completed" {
		dst = respKeyInt(dst, "completed_at", w.now().Unix())
	} else {
		dst = append(dst, `,"completed_at":null`...)
	}
	if failed == nil {
		dst = append(dst, `,"error":null`...)
	} else {
		dst = append(respKey(dst, "error"), '{')
		dst = append(respKeyString(respKeyString(dst, "code", respErrorCode(failed)), "message", failed.Message), '}')
	}
	switch {
	case reason != "":
		dst = append(respKeyString(append(respKey(dst, "incomplete_details"), '{'), "reason", reason), '}')
	default:
		dst = append(dst, `,"incomplete_details":null`...)
	}
	dst = append(dst, w.echo...)
	dst = append(respKey(dst, "output"), '[')
	for _, item := range w.output {
		if item != nil {
			dst = append(respElem(dst), item...)
		}
	}
	dst = append(dst, `],"usage":`...)
	switch {
	case w.usage != nil && status != "in_progress":
		dst = respAppendUsage(dst, w.usage, w.own)
	case !w.own && (status == "completed" || status == "incomplete"):
		dst = respAppendUsage(dst, &llm.Usage{}, false) // clients count on it
	default:
		dst = append(dst, "null"...)
	}
	return append(dst, '}')
}

func respAppendUsage(dst []byte, u *llm.Usage, own bool) []byte {
	dst = respKeyInt(append(dst, '{'), "input_tokens", u.Input)
	dst = respKeyInt(append(respKey(dst, "input_tokens_details"), '{'), "cached_tokens", u.CacheRead)
	dst = respKeyInt(dst, "cache_write_tokens", u.CacheWrite)
	if u.InputAudio != 0 {
		dst = respKeyInt(dst, "audio_tokens", u.InputAudio)
	}
	if u.InputImage != 0 {
		dst = respKeyInt(dst, "image_tokens", u.InputImage)
	}
	dst = respKeyInt(append(dst, '}'), "output_tokens", u.Output)
	dst = respKeyInt(append(respKey(dst, "output_tokens_details"), '{'), "reasoning_tokens", u.Reasoning)
	if u.OutputAudio != 0 {
		dst = respKeyInt(dst, "audio_tokens", u.OutputAudio)
	}
	if u.OutputImage != 0 {
		dst = respKeyInt(dst, "image_tokens", u.OutputImage)
	}
	dst = respKeyInt(append(dst, '}'), "total_tokens", u.Sum())
	if own {
		dst = respMembers(dst, u.Extra)
	}
	return append(dst, '}')
}

// appendEcho appends what a response repeats of its request, each member as the upstream said it if it is of this dialect, otherwise as
// the client asked, otherwise its default. Nothing is stored by the gateway, so store is false.
func (w *respWriter) appendEcho(dst []byte) []byte {
	model := w.x.Model
	if model == "" {
		model = w.head.Model
	}
	dst = respKeyString(append(dst, ' '), "model", model)
	req := w.x.Request
	if req == nil {
		req = &llm.Request{From: llm.Responses}
	}
	enc := respEncoder{req: req, own: req.From == llm.Responses}
	said := map[string]llm.Raw{}
	if w.own {
		for k, v := range w.head.Extra {
			switch k {
			case "completed_at", "output_text", "model":
			default:
				said[k] = v
			}
		}
	}
	for _, name := range respEchoed {
		dst = respKey(dst, name)
		if v, ok := said[name]; ok {
			dst = respAppendRaw(dst, v)
			delete(said, name)
			continue
		}
		dst = w.echoed(dst, name, &enc)
	}
	return respMembers(dst, said)[1:]
}

var respEchoed = []string{
	"background", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "previous_response_id",
	"prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store", "temperature", "text", "tool_choice", "tools",
	"top_logprobs", "top_p", "truncation", "user",
}

// echoed appends the value of one member of the request, or its default.
func (w *respWriter) echoed(dst []byte, name string, enc *respEncoder) []byte {
	req := enc.req
	value := func(set bool, appended func([]byte) []byte, otherwise string) []byte {
		if set {
			return appended(dst)
		}
		return append(dst, otherwise...)
	}
	text := func(s, otherwise string) []byte {
		return value(s != "", func(b []byte) []byte { return wire.AppendString(b, s) }, otherwise)
	}
	number := func(n *int64, otherwise string) []byte {
		return value(n != nil, func(b []byte) []byte { return strconv.AppendInt(b, *n, 10) }, otherwise)
	}
	float := func(f *float64) []byte {
		return value(f != nil, func(b []byte) []byte { return respAppendFloat(b, *f) }, "1")
	}
	switch name {
	case "background", "store":
		return append(dst, "false"...)
	case "instructions":
		return text(respInstructions(req), "null")
	case "max_output_tokens":
		return number(req.MaxTokens, "null")
	case "metadata":
		return respAppendMetadata(dst, req.Metadata)
	case "parallel_tool_calls":
		return strconv.AppendBool(dst, req.ParallelTools == nil || *req.ParallelTools)
	case "prompt_cache_key":
		return text(req.PromptCacheKey, "null")
	case "reasoning":
		return respAppendReasoning(dst, req.Reasoning)
	case "safety_identifier":
		return text(req.SafetyIdentifier, "null")
	case "service_tier":
		return text(respTier(w.head.ServiceTier), `"default"`)
	case "temperature":
		return float(req.Temperature)
	case "top_p":
		return float(req.TopP)
	case "text":
		dst = append(dst, `{"format":`...)
		if req.Format != nil {
			dst = respAppendFormat(dst, req.Format)
		} else {
			dst = append(dst, `{"type":"text"}`...)
		}
		verbosity := req.Verbosity
		if verbosity == "" {
			verbosity = "medium"
		}
		return append(respKeyString(dst, "verbosity", verbosity), '}')
	case "tool_choice":
		if req.ToolChoice != nil {
			if b := enc.toolChoice([]byte{'{'}); len(b) > len(`{"tool_choice":`) {
				return append(dst, b[len(`{"tool_choice":`):]...)
			}
		}
		return append(dst, `"auto"`...)
	case "tools":
		return enc.echoTools(dst)
	case "top_logprobs":
		return number(req.TopLogprobs, "0")
	case "truncation":
		return value(req.Extra["truncation"] != nil, func(b []byte) []byte { return respAppendRaw(b, req.Extra["truncation"]) }, `"disabled"`)
	case "max_tool_calls", "previous_response_id":
		return value(req.Extra[name] != nil, func(b []byte) []byte { return respAppendRaw(b, req.Extra[name]) }, "null")
	}
	return text(req.User, "null")
}

func respInstructions(req *llm.Request) string {
	if len(req.Messages) > 0 && req.Messages[0].Instructions {
		return llm.TextOf(req.Messages[0].Parts)
	}
	return ""
}

// respTier keeps the service tiers that clients of this dialect know.
func respTier(tier string) string {
	switch tier {
	case "auto", "default", "flex", "scale", "priority", "fast":
		return tier
	}
	return ""
}

func respAppendReasoning(dst []byte, r *llm.Reasoning) []byte {
	dst = append(dst, `{"effort":`...)
	if word := r.EffortWord(); word != "" {
		dst = wire.AppendString(dst, word)
	} else {
		dst = append(dst, "null"...)
	}
	if r != nil && r.Summary != "" {
		return append(respKeyString(dst, "summary", r.Summary), '}')
	}
	return append(dst, `,"summary":null}`...)
}

// echoTools writes the request's tools with every member that the schema of an answer asks for.
func (e *respEncoder) echoTools(dst []byte) []byte {
	req := *e.req
	req.Tools = make([]llm.Tool, len(e.req.Tools))
	for i, t := range e.req.Tools {
		if t.Type == "" && t.Schema == nil {
			t.Schema = llm.Raw("null")
		}
		if t.Type == "" && t.Strict == nil {
			t.Strict = llm.Ptr(false)
		}
		req.Tools[i] = t
	}
	whole := respEncoder{req: &req, own: e.own}
	return whole.tools(dst)
}
