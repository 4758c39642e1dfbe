package anthropic

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// errorWords are Anthropic's types with the status each is sent with.
var errorWords = map[string]int{
	"invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403, "not_found_error": 404,
	"conflict_error": 409, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
}

// errorWord is the type for a status, as LiteLLM's and Anthropic's answers have it: a 408 of the gateway is an api_error.
func errorWord(status int) string {
	switch status {
	case 401:
		return "authentication_error"
	case 402:
		return "billing_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 504:
		return "timeout_error"
	case 529:
		return "overloaded_error"
	}
	if status >= 500 || status == 408 || status == 499 {
		return "api_error"
	}
	return "invalid_request_error"
}

// EncodeError writes Anthropic's envelope, see llm.Served. An upstream's own Anthropic error passes as it came.
func (messages) EncodeError(dst []byte, _ http.Header, e *llm.Error) []byte {
	if e.Upstream && isEnvelope(e.Body) {
		return append(dst, bytes.TrimSpace(e.Body)...)
	}
	w := newWriter(dst)
	w.Object("")
	w.Str("type", "error")
	w.Object("error")
	word := errorWord(e.HTTPStatus())
	if status, ok := errorWords[e.Type]; ok && e.Upstream && status == e.HTTPStatus() {
		word = e.Type
	}
	w.Str("type", word)
	w.Str("message", e.FieldMessage())
	w.End("}")
	if id := e.Header.Get("request-id"); id != "" {
		w.Str("request_id", id)
	}
	w.End("}")
	return w.Buf
}

// isEnvelope says whether body is an error object of this dialect that may go to a client as it is.
func isEnvelope(body []byte) bool {
	if len(body) == 0 {
		return false
	}
	var v struct {
		Type  string `json:"type"`
		Error *struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"error"`
	}
	return llm.Raw(body).IsValid() && wire.Unmarshal(body, &v) == nil && v.Type == "error" && v.Error != nil && v.Error.Type != ""
}

// EncodeStreamError frames the error event that ends a stream.
func (m messages) EncodeStreamError(dst []byte, e *llm.Error) []byte {
	return wire.AppendSSE(dst, "error", oneLine(m.EncodeError(nil, nil, e)))
}

func oneLine(body []byte) []byte {
	if bytes.IndexByte(body, '\n') < 0 {
		return body
	}
	v := llm.Raw(body)
	if v.Compact() != nil {
		return body
	}
	return v
}

// DecodeError reads a non-2xx answer of Anthropic, Bedrock or Vertex, see llm.Spoken. Body is a copy with credentials masked.
func (messages) DecodeError(status int, h http.Header, body []byte) *llm.Error {
	e := &llm.Error{Kind: llm.KindOf(status), Status: status, Upstream: true, RetryAfter: llm.RetryAfter(h)}
	body = secretText.ReplaceAll(bytes.TrimSpace(body), []byte("${1}***"))
	readError(e, body)
	if id := h.Get("request-id"); id != "" {
		e.Header = http.Header{"Request-Id": {id}}
	}
	e.Explain(body)
	classify(e)
	return e
}

// inbandError reads an error object that came inside a 200 answer or a stream; its type says the status.
func inbandError(body []byte) *llm.Error {
	e := Messages.DecodeError(http.StatusInternalServerError, nil, body)
	if status, ok := errorWords[e.Type]; ok {
		e.Status = status
		e.Kind = llm.KindOf(status)
		classify(e)
	}
	return e
}

// readError takes type, code and message out of Anthropic's envelope, Google's and AWS's.
func readError(e *llm.Error, body []byte) {
	type object struct {
		Type      string  `json:"type"`
		Message   string  `json:"message"`
		Message2  string  `json:"Message"`
		Status    string  `json:"status"`
		Error     llm.Raw `json:"error"`
		RequestID string  `json:"request_id"`
	}
	var v object
	raw := llm.Raw(body)
	if len(body) == 0 {
		return
	}
	if raw.Kind() == '[' { // Vertex answers streams with a list of one
		var list []llm.Raw
		if wire.Unmarshal(raw, &list) != nil || len(list) == 0 {
			return
		}
		raw = list[0]
	}
	if wire.Unmarshal(raw, &v) != nil {
		return
	}
	e.Body = bytes.Clone(body)
	switch v.Error.Kind() {
	case '"':
		e.Message = llm.StringOf(v.Error)
	case '{':
		var inner object
		if wire.Unmarshal(v.Error, &inner) == nil {
			e.Type, e.Message, e.Code = inner.Type, inner.Message, inner.Status
		}
	default:
		e.Message = v.Message
		if e.Message == "" {
			e.Message = v.Message2
		}
	}
}

var contextWords = []string{"prompt is too long", "input is too long", "exceed context limit", "exceeds the context window", "context window",
	"maximum context length", "too many input tokens"}

// classify turns a bad request into the kinds that fallbacks are configured for.
func classify(e *llm.Error) {
	switch e.Type {
	case "overloaded_error":
		e.Kind = llm.ErrOverloaded
		return
	case "billing_error":
		e.Kind = llm.ErrBilling
		return
	}
	if e.Status != 400 && e.Status != 413 && e.Status != 403 && e.Status != 422 {
		return
	}
	text := strings.ToLower(e.Message)
	for _, w := range contextWords {
		if strings.Contains(text, w) {
			e.Kind = llm.ErrContextWindow
			return
		}
	}
	switch {
	case strings.Contains(text, "content filtering policy"):
		e.Kind = llm.ErrPolicy
	case strings.Contains(text, "credit balance is too low"):
		e.Kind = llm.ErrBilling
	}
}

var secretText = regexp.MustCompile(`\b(sk-|AKIA|ASIA|ya29\.)[A-Za-z0-9_\-*.]{2,}[A-Za-z0-9]`)
