package openai

import (
	"bytes"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// appendError appends LiteLLM's error envelope, {"error":{"message","type","param","code"}}, in which code is the HTTP status as a
// string and type says whose fault it was. What the upstream called its error goes into provider_specific_fields, so that clients that
// look for context_length_exceeded still find it.
func appendError(dst []byte, e *llm.Error) []byte {
	dst = append(dst, `{"error":{"message":`...)
	dst = wire.AppendString(dst, e.Message)
	dst = append(dst, `,"type":`...)
	dst = wire.AppendString(dst, errorType(e))
	dst = append(dst, `,"param":`...)
	if e.Param == "" || e.Upstream && e.Kind == llm.ErrContextWindow {
		dst = append(dst, "null"...)
	} else {
		dst = wire.AppendString(dst, e.Param)
	}
	dst = append(dst, `,"code":`...)
	code := strconv.Itoa(e.HTTPStatus())
	if !e.Upstream && e.Code != "" {
		code = e.Code
	}
	dst = wire.AppendString(dst, code)
	return append(appendUpstreamWords(dst, e), "}}"...)
}

// appendStreamError is appendError for a stream already under way, where LiteLLM says null instead of a type for a failure that is
// nobody's request's fault.
func appendStreamError(dst []byte, e *llm.Error) []byte {
	if e.HTTPStatus() < 500 || !e.Upstream && e.Type != "" {
		return appendError(dst, e)
	}
	dst = append(dst, `{"error":{"message":`...)
	dst = wire.AppendString(dst, e.Message)
	dst = append(dst, `,"type":null,"param":null,"code":"`...)
	dst = strconv.AppendInt(dst, int64(e.HTTPStatus()), 10)
	dst = append(dst, '"')
	return append(appendUpstreamWords(dst, e), "}}"...)
}

func appendUpstreamWords(dst []byte, e *llm.Error) []byte {
	if !e.Upstream || e.Type == "" && e.Code == "" {
		return dst
	}
	dst = append(dst, `,"provider_specific_fields":{`...)
	if e.Type != "" {
		dst = append(dst, `"type":`...)
		dst = wire.AppendString(dst, e.Type)
	}
	if e.Code != "" {
		if e.Type != "" {
			dst = append(dst, ',')
		}
		dst = append(dst, `"code":`...)
		dst = wire.AppendString(dst, e.Code)
	}
	return append(dst, '}')
}

// errorType is the word LiteLLM has for the error: the gateway's own if it set one, otherwise a function of the status.
func errorType(e *llm.Error) string {
	if !e.Upstream {
		switch {
		case e.Type != "":
			return e.Type
		case e.Kind == llm.ErrBudget:
			return "budget_exceeded"
		case e.Kind == llm.ErrPermission:
			return "permission_error"
		}
	}
	switch s := e.HTTPStatus(); {
	case s == 401:
		return "authentication_error"
	case s == 429:
		return "throttling_error"
	case s >= 500:
		return "internal_server_error"
	}
	return "invalid_request_error"
}

// decodeError reads the answer of an upstream that is not 2xx. It knows the shapes of OpenAI, Azure, Mistral, OpenRouter, FastAPI
// servers, Gemini's compatible endpoint and Ollama; of anything else it keeps the text. Body is a copy with credentials masked.
func decodeError(status int, h http.Header, body []byte) *llm.Error {
	e := &llm.Error{Kind: llm.KindOf(status), Status: status, Upstream: true, RetryAfter: llm.RetryAfter(h)}
	body = mask(bytes.TrimSpace(body))
	var v any
	if len(body) > 0 && wire.Unmarshal(body, &v) == nil {
		e.Body = body
		readErrorValue(e, v)
	}
	e.Explain(body)
	classify(e)
	return e
}

// inbandError reads an error object that came inside a 200 answer or a stream. Its status is the numeric code if it has one, else what
// its type stands for.
func inbandError(body []byte) *llm.Error {
	e := decodeError(http.StatusInternalServerError, nil, body)
	if n, err := strconv.Atoi(e.Code); err == nil && n >= 400 && n < 600 {
		e.Status = n
	} else if s := statusOfWord(e.Type); s != 0 {
		e.Status = s
	} else if s := statusOfWord(e.Code); s != 0 {
		e.Status = s
	}
	e.Kind = llm.KindOf(e.Status)
	classify(e)
	return e
}

func statusOfWord(w string) int {
	switch w {
	case "invalid_request_error", "invalid_request", "context_length_exceeded", "content_filter", "content_policy_violation":
		return 400
	case "authentication_error", "invalid_api_key":
		return 401
	case "permission_error":
		return 403
	case "not_found_error", "model_not_found":
		return 404
	case "timeout", "timeout_error":
		return 408
	case "rate_limit_error", "rate_limit_exceeded", "insufficient_quota", "requests", "tokens", "throttling_error":
		return 429
	case "overloaded_error":
		return 529
	case "service_unavailable", "overloaded":
		return 503
	}
	return 0
}

// readErrorValue takes message, type, code and param out of any known shape.
func readErrorValue(e *llm.Error, v any) {
	switch v := v.(type) {
	case string:
		e.Message = v
	case []any:
		if len(v) > 0 {
			readErrorValue(e, v[0])
		}
	case map[string]any:
		if inner, ok := v["error"]; ok && inner != nil {
			readErrorValue(e, inner)
			if e.Message != "" {
				return
			}
		}
		e.Message = firstText(v, "message", "Message", "detail", "msg", "error_description", "errors")
		e.Type = firstText(v, "type", "__type")
		if status, ok := v["status"].(string); ok && e.Type == "" {
			e.Type = status
		}
		e.Code = firstText(v, "code", "error_code")
		e.Param = firstText(v, "param")
		if inner, ok := v["innererror"].(map[string]any); ok && e.Code == "" {
			e.Code = firstText(inner, "code")
		}
		if meta, ok := v["metadata"].(map[string]any); ok {
			addProviderText(e, meta)
		}
	}
}

// addProviderText adds what OpenRouter passes on from the provider behind it, which says more than its own "Provider returned error".
func addProviderText(e *llm.Error, meta map[string]any) {
	raw := firstText(meta, "raw")
	if raw == "" {
		return
	}
	inner := &llm.Error{}
	var v any
	if wire.Unmarshal([]byte(raw), &v) == nil {
		readErrorValue(inner, v)
	}
	if inner.Message == "" {
		inner.Message = raw
	}
	e.Message += ": " + inner.Message
}

// firstText is the first of the keys that holds something to read.
func firstText(m map[string]any, keys ...string) string {
	for _, k := range keys {
		switch v := m[k].(type) {
		case string:
			if v != "" {
				return v
			}
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64)
		case []any, map[string]any:
			inner := &llm.Error{}
			readErrorValue(inner, v)
			if inner.Message != "" {
				return inner.Message
			}
			if b, err := json.Marshal(v, json.Deterministic(true)); err == nil {
				return string(b)
			}
		}
	}
	return ""
}

var contextWords = []string{
	"maximum context length", "context_length_exceeded", "context window", "context length", "context size", "prompt is too long",
	"input is too long", "reduce the length of the messages", "maximum prompt length", "input token count", "max_new_tokens` must be",
	"exceeds the model's maximum", "model_max_prompt_tokens_exceeded", "too many input tokens",
}

var policyWords = []string{
	"content_policy_violation", "content policy", "content management policy", "safety system", "responsibleaipolicyviolation",
	"input was flagged", "flagged as potentially violating", "invalid_prompt",
}

// classify turns a bad request into the kinds that fallbacks are configured for. A provider's own code is believed at any status; its
// prose only at the statuses where it speaks of the request.
func classify(e *llm.Error) {
	switch e.Code {
	case "context_length_exceeded", "model_max_prompt_tokens_exceeded":
		e.Kind = llm.ErrContextWindow
		return
	case "content_policy_violation", "content_filter", "ResponsibleAIPolicyViolation", "moderation_blocked":
		e.Kind = llm.ErrPolicy
		return
	}
	if e.Status != 400 && e.Status != 403 && e.Status != 413 && e.Status != 422 {
		return
	}
	text := strings.ToLower(e.Message)
	if e.Status != 403 && containsAny(text, contextWords) {
		e.Kind = llm.ErrContextWindow
	} else if (e.Status == 400 || e.Status == 403) && (containsAny(text, policyWords) || e.Type == "content_filter") {
		e.Kind = llm.ErrPolicy
	}
}

func containsAny(s string, words []string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

var (
	secretText = regexp.MustCompile(`\b(sk-|gsk_|xai-|AIza|key-)[A-Za-z0-9_\-*.]{2,}[A-Za-z0-9]`)
	keyQuoted  = regexp.MustCompile(`(?i)(api key provided: )[^\s".,]+`)
)

// mask copies body without the credentials that providers quote back at whoever sent a wrong one: here that is the gateway's own.
func mask(body []byte) []byte {
	out := keyQuoted.ReplaceAll(body, []byte("${1}***"))
	out = secretText.ReplaceAll(out, []byte("${1}***"))
	return bytes.Clone(out)
}
