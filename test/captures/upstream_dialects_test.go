package captures

import (
	"fmt"
	"net/http"
)

// messages is the upstream's Anthropic half.
func messages(w http.ResponseWriter, r *http.Request, b object, model string) {
	if e, ok := anthropicErrors[model]; ok {
		reply(w, e[0].(int), map[string]string{"request-id": "req_mock_a1", "anthropic-ratelimit-requests-limit": "50"},
			object{"type": "error", "error": object{"type": e[1], "message": e[2]}, "request_id": "req_mock_a1"})
		return
	}
	tool, called := "", len(list(b, "tools")) > 0
	if called {
		tool, _ = list(b, "tools")[0].(object)["name"].(string)
	}
	for _, m := range list(b, "messages") {
		for _, c := range list(m.(object), "content") {
			called = called && c.(object)["type"] != "tool_result"
		}
	}
	usage := func(out int) object {
		return object{"input_tokens": 12, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3, "output_tokens": out}
	}
	reason, content := "end_turn", object{"type": "text", "text": text}
	if called {
		reason, content = "tool_use", object{"type": "tool_use", "id": "toolu_mock_1", "name": tool, "input": object{"city": "Paris"}}
	}
	message := func(stop any, usage object, content ...any) object {
		return object{"id": "msg_mock_1", "type": "message", "role": "assistant", "model": model, "content": append([]any{}, content...), "stop_reason": stop,
			"stop_sequence": nil, "usage": usage}
	}
	if b["stream"] != true {
		reply(w, 200, anthropicHeaders, message(reason, usage(6), content))
		return
	}
	event := func(kind string, d object) string {
		d["type"] = kind
		return "event: " + kind + "\ndata: " + encode(d) + "\n\n"
	}
	events := []string{event("message_start", object{"message": message(nil, usage(1))}), event("ping", object{})}
	delta := func(d object) string { return event("content_block_delta", object{"index": 0, "delta": d}) }
	if called {
		events = append(events, event("content_block_start", object{"index": 0, "content_block": object{"type": "tool_use", "id": "toolu_mock_1", "name": tool, "input": object{}}}))
		for _, p := range []string{"", `{"city":`, ` "Paris"}`} {
			events = append(events, delta(object{"type": "input_json_delta", "partial_json": p}))
		}
	} else {
		events = append(events, event("content_block_start", object{"index": 0, "content_block": object{"type": "text", "text": ""}}))
		for _, t := range words {
			events = append(events, delta(object{"type": "text_delta", "text": t}))
		}
	}
	events = append(events, event("content_block_stop", object{"index": 0}),
		event("message_delta", object{"delta": object{"stop_reason": reason, "stop_sequence": nil}, "usage": object{"output_tokens": 6}}), event("message_stop", object{}))
	stream(w, r, anthropicHeaders, events, 0, 0)
}

// responses is the upstream's Responses half.
func responses(w http.ResponseWriter, r *http.Request, b object, model string) {
	item := object{"id": "msg_mock_r1", "type": "message", "status": "completed", "role": "assistant",
		"content": []any{object{"type": "output_text", "text": text, "annotations": []any{}}}}
	called := len(list(b, "tools")) > 0 && b["tool_choice"] != "none" && list(b, "tools")[0].(object)["type"] == "function"
	for _, i := range list(b, "input") {
		called = called && i.(object)["type"] != "function_call_output"
	}
	if called {
		item = object{"id": "fc_mock_1", "type": "function_call", "status": "completed", "arguments": `{"city": "Paris"}`, "call_id": "call_mock_1",
			"name": list(b, "tools")[0].(object)["name"]}
	}
	resp := func(status string, usage any, output ...any) object {
		return object{"id": "resp_mock_0001", "object": "response", "created_at": created, "status": status, "error": nil, "incomplete_details": nil,
			"instructions": nil, "max_output_tokens": nil, "model": model, "output": append([]any{}, output...), "parallel_tool_calls": true,
			"previous_response_id": nil, "reasoning": object{"effort": nil, "summary": nil}, "store": true, "temperature": 1.0,
			"text": object{"format": object{"type": "text"}}, "tool_choice": "auto", "tools": []any{}, "top_p": 1.0, "truncation": "disabled",
			"usage": usage, "user": nil, "metadata": object{}}
	}
	usage := object{"input_tokens": 11, "input_tokens_details": object{"cached_tokens": 4}, "output_tokens": 5,
		"output_tokens_details": object{"reasoning_tokens": 0}, "total_tokens": 16}
	if b["stream"] != true {
		reply(w, 200, openaiHeaders, resp("completed", usage, item))
		return
	}
	var events []string
	event := func(kind string, d object) {
		d["type"], d["sequence_number"] = kind, len(events)
		events = append(events, fmt.Sprintf("event: %s\ndata: %s\n\n", kind, encode(d)))
	}
	with := func(over object) object {
		o := object{}
		for k, v := range item {
			o[k] = v
		}
		for k, v := range over {
			o[k] = v
		}
		return o
	}
	event("response.created", object{"response": resp("in_progress", nil)})
	if called {
		event("response.output_item.added", object{"output_index": 0, "item": with(object{"status": "in_progress", "arguments": ""})})
		for _, t := range []string{`{"ci`, `ty": `, `"Paris"}`} {
			event("response.function_call_arguments.delta", object{"item_id": "fc_mock_1", "output_index": 0, "delta": t})
		}
		event("response.function_call_arguments.done", object{"item_id": "fc_mock_1", "output_index": 0, "arguments": item["arguments"]})
	} else {
		event("response.in_progress", object{"response": resp("in_progress", nil)})
		event("response.output_item.added", object{"output_index": 0, "item": with(object{"status": "in_progress", "content": []any{}})})
		at := func(d object) object {
			d["item_id"], d["output_index"], d["content_index"] = "msg_mock_r1", 0, 0
			return d
		}
		event("response.content_part.added", at(object{"part": object{"type": "output_text", "text": "", "annotations": []any{}}}))
		for _, t := range words {
			event("response.output_text.delta", at(object{"delta": t}))
		}
		event("response.output_text.done", at(object{"text": text}))
		event("response.content_part.done", at(object{"part": item["content"].([]any)[0]}))
	}
	event("response.output_item.done", object{"output_index": 0, "item": item})
	event("response.completed", object{"response": resp("completed", usage, item)})
	stream(w, r, openaiHeaders, events, 0, 0)
}
