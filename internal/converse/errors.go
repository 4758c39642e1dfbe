package converse

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// errorStatus are AWS's words with the status each is sent with. The first ones are Bedrock's own, the others those of its front.
var errorStatus = map[string]int{
	"ValidationException": 400, "AccessDeniedException": 403, "ResourceNotFoundException": 404, "ModelTimeoutException": 408,
	"ModelErrorException": 424, "ModelStreamErrorException": 424, "ThrottlingException": 429, "ModelNotReadyException": 429,
	"InternalServerException": 500, "ServiceUnavailableException": 503, "ServiceQuotaExceededException": 400, "ConflictException": 409,
	"UnrecognizedClientException": 403, "ExpiredTokenException": 403, "InvalidSignatureException": 403, "MissingAuthenticationTokenException": 403,
	"IncompleteSignatureException": 400, "RequestEntityTooLargeException": 413, "UnknownOperationException": 404,
	"SerializationException": 400, "TooManyRequestsException": 429, "InternalFailureException": 500,
}

// errorWord is AWS's word for an error, so that an SDK raises the class a program expects. An error that has one of AWS's words as its
// Type, from upstream or from the check of a signature, keeps it.
func errorWord(e *llm.Error) string {
	if status, ok := errorStatus[e.Type]; ok && status == e.HTTPStatus() {
		return e.Type
	}
	switch e.Kind {
	case llm.ErrContextWindow, llm.ErrPolicy:
		return "ValidationException"
	case llm.ErrBilling, llm.ErrBudget:
		return "ServiceQuotaExceededException"
	case llm.ErrTooLarge:
		return "RequestEntityTooLargeException"
	}
	switch status := e.HTTPStatus(); status {
	case 401:
		return "UnrecognizedClientException"
	case 402:
		return "ServiceQuotaExceededException"
	case 403:
		return "AccessDeniedException"
	case 404:
		return "ResourceNotFoundException"
	case 408, 504:
		return "ModelTimeoutException"
	case 409:
		return "ConflictException"
	case 413:
		return "RequestEntityTooLargeException"
	case 424:
		return "ModelErrorException"
	case 429:
		return "ThrottlingException"
	case 502, 503, 529:
		return "ServiceUnavailableException"
	default:
		if status >= 500 || status == 499 {
			return "InternalServerException"
		}
	}
	return "ValidationException"
}

// EncodeError writes AWS's body and sets x-amzn-ErrorType, from which its SDKs take the error's code. An upstream's own body passes as it
// came.
func (dialect) EncodeError(dst []byte, h http.Header, e *llm.Error) []byte {
	if h != nil {
		h.Set("x-amzn-ErrorType", errorWord(e))
	}
	if e.Upstream && isBody(e.Body) {
		return append(dst, bytes.TrimSpace(e.Body)...)
	}
	return appendMessage(dst, e.FieldMessage())
}

func appendMessage(dst []byte, message string) []byte {
	w := newWriter(dst)
	w.Object("")
	w.Str("message", message)
	w.End("}")
	return w.Buf
}

// isBody says whether body is an AWS error that may go to a client as it is.
func isBody(body []byte) bool {
	if len(body) == 0 {
		return false
	}
	var v struct {
		Message  string `json:"message"`
		Message2 string `json:"Message"`
	}
	return llm.Raw(body).IsValid() && wire.Unmarshal(body, &v) == nil && (v.Message != "" || v.Message2 != "")
}

// EncodeStreamError frames the exception that ends a stream: one of the five that Bedrock's streams have.
func (dialect) EncodeStreamError(dst []byte, e *llm.Error) []byte {
	return wire.AppendException(dst, exceptionWord(e), appendMessage(nil, e.FieldMessage()))
}

// exceptionWord is the member of ConverseStream's output that tells of an error.
func exceptionWord(e *llm.Error) string {
	switch word := errorWord(e); word {
	case "ThrottlingException", "ModelNotReadyException":
		return "throttlingException"
	case "ValidationException", "RequestEntityTooLargeException":
		return "validationException"
	case "ServiceUnavailableException":
		if e.Kind == llm.ErrUpstream {
			return "modelStreamErrorException"
		}
		return "serviceUnavailableException"
	case "ModelErrorException", "ModelStreamErrorException", "ModelTimeoutException":
		return "modelStreamErrorException"
	}
	if status := e.HTTPStatus(); status >= 400 && status < 500 && status != 499 {
		return "validationException"
	}
	return "internalServerException"
}

// exception reads an exception that came inside a stream.
func exception(f llm.Frame) *llm.Error {
	word := f.Type
	if word != "" {
		word = strings.ToUpper(word[:1]) + word[1:]
	}
	status, ok := errorStatus[word]
	if !ok {
		status = http.StatusInternalServerError
	}
	h := http.Header{}
	h.Set("x-amzn-ErrorType", word)
	return Converse.DecodeError(status, h, f.Data)
}

var secretText = regexp.MustCompile(`\b(sk-|AKIA|ASIA|ABSK)[A-Za-z0-9_\-*.=+/]{2,}[A-Za-z0-9]`)

// DecodeError reads a non-2xx answer of Bedrock, see llm.Spoken. Body is a copy with credentials masked.
func (dialect) DecodeError(status int, h http.Header, body []byte) *llm.Error {
	e := &llm.Error{Kind: llm.KindOf(status), Status: status, Upstream: true, RetryAfter: llm.RetryAfter(h)}
	body = secretText.ReplaceAll(bytes.TrimSpace(body), []byte("${1}***"))
	var v struct {
		Type     string  `json:"__type"`
		Code     string  `json:"code"`
		Message  llm.Raw `json:"message"`
		Message2 llm.Raw `json:"Message"`
	}
	if len(body) > 0 && body[0] == '{' && wire.Unmarshal(body, &v) == nil {
		e.Body = bytes.Clone(body)
		if e.Message = llm.StringOf(v.Message); e.Message == "" {
			e.Message = llm.StringOf(v.Message2)
		}
		for _, m := range []llm.Raw{v.Message, v.Message2} {
			if e.Message == "" && llm.IsSet(m) {
				e.Message = compact(m) // other gateways put objects there
			}
		}
	}
	e.Type = shortType(h.Get("x-amzn-ErrorType"))
	for _, t := range []string{v.Type, v.Code} {
		if e.Type == "" {
			e.Type = shortType(t)
		}
	}
	e.Explain(body)
	if id := h.Get("x-amzn-RequestId"); id != "" {
		e.Header = http.Header{"X-Amzn-Requestid": {id}}
	}
	classify(e)
	return e
}

// shortType is the word in a type such as ValidationException:http://internal.amazon.com/coral/ or com.amazon.coral#ValidationException.
func shortType(s string) string {
	s, _, _ = strings.Cut(s, ":")
	if i := strings.LastIndexByte(s, '#'); i >= 0 {
		s = s[i+1:]
	}
	return strings.TrimSpace(s)
}

var contextWords = []string{"input is too long", "too many input tokens", "prompt is too long", "maximum context length", "exceed context limit",
	"context window", "exceeds the maximum number of tokens", "too many tokens in the prompt", "input tokens exceed"}

// classify turns what AWS's word or text says into the kinds that retries and fallbacks are configured for.
func classify(e *llm.Error) {
	switch e.Type {
	case "ThrottlingException", "TooManyRequestsException", "ModelNotReadyException":
		e.Kind = llm.ErrRateLimit
		return
	case "ServiceQuotaExceededException":
		e.Kind = llm.ErrRateLimit
		return
	case "ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException", "MissingAuthenticationTokenException",
		"IncompleteSignatureException":
		e.Kind = llm.ErrAuth
		return
	case "ServiceUnavailableException":
		e.Kind = llm.ErrUnavailable
	case "ModelTimeoutException":
		e.Kind = llm.ErrTimeout
	case "ModelErrorException", "ModelStreamErrorException":
		e.Kind = llm.ErrInternal // the model's failing, not the request's
	}
	if e.Status != 400 && e.Status != 413 && e.Status != 422 && e.Status != 424 {
		return
	}
	text := strings.ToLower(e.Message)
	for _, w := range contextWords {
		if strings.Contains(text, w) {
			e.Kind = llm.ErrContextWindow
			return
		}
	}
	if strings.Contains(text, "content filtering policy") || strings.Contains(text, "content filter") {
		e.Kind = llm.ErrPolicy
	}
}
