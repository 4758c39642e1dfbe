package gemini

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

type errorBody struct {
	Error llm.Raw `json:"error"`
	// OAuth's token endpoints write error as a word with this beside it.
	Description string `json:"error_description"`
}

type status struct {
	Code    whole     `json:"code"`
	Message string    `json:"message"`
	Status  enum      `json:"status,omitzero"`
	Details []unknown `json:"details,omitzero"`
}

// maxMessage cuts what is passed on of an answer that isn't JSON.
const maxMessage = 512

// DecodeError reads a non-2xx answer: an error object, an array of one (streams without alt=sse), or anything else.
func (dialect) DecodeError(code int, header http.Header, body []byte) *llm.Error {
	e := &llm.Error{Kind: llm.KindOf(code), Status: code, Upstream: true, RetryAfter: llm.RetryAfter(header)}
	raw := bytes.TrimSpace(body)
	if len(raw) > 0 && raw[0] == '[' {
		if list := elements(raw); len(list) > 0 {
			raw = list[0]
		}
	}
	var b errorBody
	var s status
	if json.Unmarshal(raw, &b, upstreamOptions) != nil {
		e.Message = plainMessage(code, raw)
		return e
	}
	switch b.Error.Kind() {
	case '{':
		if json.Unmarshal(b.Error, &s, upstreamOptions) == nil {
			e.Body = bytes.Clone(raw)
			break
		}
		fallthrough
	default:
		e.Message = plainMessage(code, raw)
		return e
	case '"':
		s.Message = strings.TrimSuffix(llm.StringOf(b.Error)+": "+b.Description, ": ")
	}
	if code == 0 && s.Code >= 400 && s.Code < 600 {
		e.Status, e.Kind = int(s.Code), llm.KindOf(int(s.Code))
	} else if code == 0 {
		e.Kind = llm.ErrUpstream
	}
	e.Message, e.Type = s.Message, string(s.Status)
	if e.Message == "" {
		e.Message = plainMessage(code, raw)
	}
	classify(e, &s)
	return e
}

// classify looks closer than the HTTP status does.
func classify(e *llm.Error, s *status) {
	for _, d := range s.Details {
		switch typ := llm.StringOf(d["@type"]); {
		case strings.HasSuffix(typ, "google.rpc.RetryInfo"):
			if wait, err := time.ParseDuration(llm.StringOf(d["retryDelay"])); err == nil && wait > 0 && e.RetryAfter == 0 {
				e.RetryAfter = wait
			}
		case strings.HasSuffix(typ, "google.rpc.ErrorInfo"):
			e.Code = llm.StringOf(d["reason"])
		case strings.HasSuffix(typ, "google.rpc.BadRequest"):
			for _, v := range elements(d["fieldViolations"]) {
				if field := llm.StringOf(members(v)["field"]); field != "" && e.Param == "" {
					e.Param = field
				}
			}
		}
	}
	text := strings.ToLower(e.Message)
	switch {
	case e.Code == "API_KEY_INVALID" || e.Status == 400 && strings.Contains(text, "api key not valid"),
		e.Status == 400 && strings.Contains(text, "api key expired"):
		e.Kind, e.Status = llm.ErrAuth, http.StatusUnauthorized
	case e.Status == 400 && (strings.Contains(text, "exceeds the maximum number of tokens") ||
		strings.Contains(text, "input token count") && strings.Contains(text, "exceed")):
		e.Kind = llm.ErrContextWindow
	case e.Status == 400 && strings.Contains(text, "billing") && strings.Contains(text, "enable"):
		e.Kind = llm.ErrBilling
	}
	switch e.Type {
	case "RESOURCE_EXHAUSTED":
		e.Kind = llm.ErrRateLimit
	case "DEADLINE_EXCEEDED":
		e.Kind = llm.ErrTimeout
	case "UNAVAILABLE":
		e.Kind = llm.ErrUnavailable
	}
}

func plainMessage(code int, raw []byte) string {
	if len(raw) == 0 {
		return strings.TrimSpace("the upstream answered without a body: " + http.StatusText(code))
	}
	if len(raw) > maxMessage {
		raw = raw[:maxMessage]
	}
	return strings.ToValidUTF8(string(raw), "\uFFFD")
}

// statusWord is the canonical name that Google's services give with an HTTP status.
func statusWord(code int) string {
	switch code {
	case 401:
		return "UNAUTHENTICATED"
	case 402, 429:
		return "RESOURCE_EXHAUSTED"
	case 403:
		return "PERMISSION_DENIED"
	case 404:
		return "NOT_FOUND"
	case 408, 504:
		return "DEADLINE_EXCEEDED"
	case 409:
		return "ABORTED"
	case 412:
		return "FAILED_PRECONDITION"
	case 499:
		return "CANCELLED"
	case 501:
		return "UNIMPLEMENTED"
	case 503, 529:
		return "UNAVAILABLE"
	}
	if code >= 500 {
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}

// EncodeError appends the body of a non-2xx answer, Google's own where it came from there.
func (dialect) EncodeError(dst []byte, _ http.Header, e *llm.Error) []byte {
	if e.Upstream && ours(e.Body) {
		return append(dst, e.Body...)
	}
	s := status{Code: whole(e.HTTPStatus()), Message: e.Message, Status: enum(statusWord(e.HTTPStatus()))}
	if e.Type != "" && e.Type == strings.ToUpper(e.Type) && e.Upstream {
		s.Status = enum(e.Type)
	}
	if e.Param != "" {
		s.Details = append(s.Details, unknown{"@type": llm.Quote("type.googleapis.com/google.rpc.BadRequest"),
			"fieldViolations": joinList([]llm.Raw{llm.Object{}.Add("field", llm.Quote(e.Param)).Add("description", llm.Quote(e.Message)).Raw()})})
	}
	if e.Code != "" {
		s.Details = append(s.Details, unknown{"@type": llm.Quote("type.googleapis.com/google.rpc.ErrorInfo"), "reason": llm.Quote(e.Code)})
	}
	if e.RetryAfter > 0 {
		s.Details = append(s.Details, unknown{"@type": llm.Quote("type.googleapis.com/google.rpc.RetryInfo"),
			"retryDelay": llm.Quote(strconv.FormatFloat(e.RetryAfter.Seconds(), 'f', -1, 64) + "s")})
	}
	out, err := appendJSON(dst, map[string]status{"error": s})
	if err != nil {
		return append(dst, `{"error":{"code":500,"message":"internal error","status":"INTERNAL"}}`...)
	}
	return out
}

// ours says that an upstream's error body is in this dialect.
func ours(body []byte) bool {
	var b struct {
		Error struct {
			Code   int    `json:"code"`
			Status string `json:"status"`
		} `json:"error"`
	}
	return len(body) > 0 && json.Unmarshal(body, &b, upstreamOptions) == nil && b.Error.Code != 0 && b.Error.Status != ""
}

// EncodeStreamError appends the event that ends a broken stream.
func (d dialect) EncodeStreamError(dst []byte, e *llm.Error) []byte {
	return wire.AppendSSE(dst, "", compact(d.EncodeError(nil, nil, e)))
}
