package proxy

import (
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// ownField reports whether a top-level field of a request body is the gateway's own and must never reach an upstream (contract litellm.md
// 2.3, and the seed's history fields).
func ownField(name []byte) bool {
	switch string(name) {
	case "litellm_metadata", "tags", "fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "disable_fallbacks", "max_fallbacks",
		"num_retries", "max_retries", "timeout", "stream_timeout", "request_timeout", "cache", "caching", "guardrails", "mock_response", "mock_timeout", "mock_tool_calls",
		"mock_testing_fallbacks", "mock_testing_context_fallbacks", "mock_testing_context_window_fallbacks",
		"mock_testing_content_policy_fallbacks", "mock_testing_rate_limit_error", "priority", "drop_params", "additional_drop_params",
		"allowed_openai_params", "litellm_trace_id", "litellm_session_id", "litellm_call_id", "litellm_logging_obj", "no-log", "prompt_id", "prompt_variables", "prompt_label",
		"extra_headers", "user_config", "enable_tag_filtering", "fastest_response", "enable_history", "session_id", "promptVariables",
		"api_key", "api_base", "base_url", "api_version", "custom_llm_provider":
		return true
	}
	return false
}

// ownFields appends the edits that take the gateway's own fields out of the body. LiteLLM's object form of metadata is its own too,
// where OpenAI's has string values: it stays unless a value isn't a string.
func (c *call) ownFields(edits []wire.Edit) []wire.Edit {
	for i := range c.doc.Fields {
		f := &c.doc.Fields[i]
		if ownField(f.Name) || (c.dialect == llm.OpenAI && string(f.Name) == "metadata" && !stringMap(c.body[f.Start:f.End])) {
			edits = append(edits, wire.Edit{Name: string(f.Name)})
		}
	}
	return edits
}

// stringMap reports whether a JSON value is an object of strings, as OpenAI's metadata must be.
func stringMap(v []byte) bool {
	var m map[string]string
	return json.Unmarshal(v, &m) == nil
}

// edits lists what changes in a spliced body: own fields out, the upstream's model name in, defaults and the provider's quirks, and an
// OpenAI stream always asked for its usage.
func (c *call) edits() ([]wire.Edit, *llm.Error) {
	u := c.target.Upstream
	// The provider's own edits come first, for of two edits of one field the first counts: an upstream that has the model in its address
	// wants none in the body.
	edits := c.ownFields(append(make([]wire.Edit, 0, 8), u.Edits(c.op, c.spoken, c.stream)...))
	if !c.pathModel || c.dialect == llm.OpenAI {
		if _, ok := c.doc.Get("model"); u.Model != c.model || !ok {
			quoted, err := jsontext.AppendQuote(nil, u.Model)
			if err != nil {
				return nil, llm.AsError(err)
			}
			edits = append(edits, wire.Edit{Name: "model", Value: quoted})
		}
	}
	if c.dialect == llm.OpenAI {
		edits = append(edits, c.target.Defaults...)
		if c.stream && !u.Quirks.NoStreamUsage {
			if e, ok := c.streamOptions(); ok {
				edits = append(edits, e)
			}
		}
		var dropped []string
		if len(u.Quirks.Rename) > 0 {
			for i := range c.doc.Fields {
				name := string(c.doc.Fields[i].Name)
				if to := u.Quirks.Rename[name]; to != "" {
					edits = append(edits, wire.Edit{Name: name, Rename: to})
				}
			}
		}
		for _, name := range u.Quirks.Drop {
			if v, ok := c.doc.Get(name); ok && string(v) != "null" {
				dropped = append(dropped, name)
				edits = append(edits, wire.Edit{Name: name})
			}
		}
		if err := c.drop(dropped); err != nil {
			return nil, err
		}
	}
	return edits, nil
}

// streamOptions is the edit that asks for usage, keeping whatever else the client put into stream_options.
func (c *call) streamOptions() (wire.Edit, bool) {
	v, ok := c.doc.Get("stream_options")
	if !ok || string(v) == "null" {
		return wire.Edit{Name: "stream_options", Value: []byte(`{"include_usage":true}`)}, true
	}
	if c.wantUsage {
		return wire.Edit{}, false
	}
	var inner wire.Doc
	if wire.Scan(&inner, v, wire.Limits{}) != nil {
		return wire.Edit{}, false // not an object: the upstream will say so
	}
	return wire.Edit{Name: "stream_options", Value: inner.Splice(nil, wire.Edit{Name: "include_usage", Value: []byte("true")})}, true
}

// wantsUsage reads stream_options.include_usage.
func wantsUsage(doc *wire.Doc) bool {
	v, ok := doc.Get("stream_options")
	if !ok {
		return false
	}
	var inner wire.Doc
	if wire.Scan(&inner, v, wire.Limits{}) != nil {
		return false
	}
	on, _ := inner.Bool("include_usage")
	return on
}

// edit applies edits to a body that was encoded for a provider.
func (c *call) edit(body []byte, edits []wire.Edit) ([]byte, *llm.Error) {
	var doc wire.Doc
	if err := wire.Scan(&doc, body, wire.Limits{}); err != nil {
		return nil, llm.AsError(err)
	}
	return doc.Splice(nil, edits...), nil
}

// applyDefaults puts the deployment's own request parameters where the client said nothing, by decoding them as an OpenAI body.
func (c *call) applyDefaults(req *llm.Request) *llm.Error {
	if len(c.target.Defaults) == 0 {
		return nil
	}
	var doc wire.Doc
	base := []byte(`{"messages":[]}`)
	if err := wire.Scan(&doc, base, wire.Limits{}); err != nil {
		return llm.AsError(err)
	}
	d, err := codecs[llm.OpenAI].DecodeRequest(doc.Splice(nil, c.target.Defaults...))
	if err != nil {
		e := llm.AsError(err)
		return &llm.Error{Kind: llm.ErrInternal, Message: "deployment " + c.target.ID + ": its default parameters are wrong: " + e.Message, Cause: err}
	}
	req.Fill(d)
	return nil
}

// renames reports whether the model's name in the answer must be the client's: only when it asked by another name than the upstream's,
// so that a reply's own, more exact name (gpt-4o-2024-08-06 for gpt-4o) survives.
func (c *call) renames() bool {
	return c.model != c.target.Upstream.Model && (c.dialect == llm.OpenAI || c.dialect == llm.Responses || c.dialect == llm.Anthropic)
}

// renameModel appends body with the answer's model name replaced; ok is false, and body appended unchanged, if it has none.
func renameModel(dst, body []byte, d llm.Dialect, model string) (out []byte, ok bool) {
	start, end := findModel(body, d)
	if start < 0 {
		return append(dst, body...), false
	}
	return replaceName(dst, body, start, end, model)
}

func replaceName(dst, body []byte, start, end int, model string) ([]byte, bool) {
	dst = append(dst, body[:start]...)
	quoted, err := jsontext.AppendQuote(dst, model)
	if err != nil {
		quoted = append(dst, body[start:end]...)
	}
	return append(quoted, body[end:]...), err == nil
}

// findModel gives the place of the model's name, quotes included, or -1: the top-level "model", or the one inside "response" (Responses)
// or "message" (Anthropic) of a stream event.
func findModel(body []byte, d llm.Dialect) (start, end int) {
	start, end = wire.FindString(body, "model")
	if start >= 0 || d == llm.OpenAI {
		return start, end
	}
	inner := "response"
	if d == llm.Anthropic {
		inner = "message"
	}
	if from, to := wire.FindValue(body, inner); from >= 0 {
		if s, e := wire.FindString(body[from:to], "model"); s >= 0 {
			return from + s, from + e
		}
	}
	return -1, -1
}

// sanitize makes a text fit for a header line.
func sanitize(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}
