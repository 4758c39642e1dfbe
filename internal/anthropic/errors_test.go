package anthropic

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/llm"
)

// What LiteLLM answers on /v1/messages for each status: its types.
func TestEncodeError_agreesWithLiteLLM(t *testing.T) {
	f := func(status int, want string) {
		t.Helper()
		e := Messages.DecodeError(status, nil, []byte(`{"error":{"message":"no","type":"requests","code":"x"}}`))
		got := string(Messages.EncodeError(nil, nil, e))
		if got != `{"type":"error","error":{"type":"`+want+`","message":"no"}}` || e.HTTPStatus() != status {
			t.Errorf("%d: %s", e.HTTPStatus(), got)
		}
	}
	f(400, "invalid_request_error")
	f(401, "authentication_error")
	f(402, "billing_error")
	f(403, "permission_error")
	f(404, "not_found_error")
	f(408, "api_error")
	f(409, "invalid_request_error")
	f(413, "request_too_large")
	f(422, "invalid_request_error")
	f(429, "rate_limit_error")
	f(500, "api_error")
	f(503, "api_error")
	f(504, "timeout_error")
	f(529, "overloaded_error")
}

func TestEncodeError_own(t *testing.T) {
	f := func(e *llm.Error, want string) {
		t.Helper()
		if got := string(Messages.EncodeError([]byte("x"), nil, e)); got != "x"+want {
			t.Errorf("got %s want %s", got, want)
		}
	}
	f(llm.Invalid("messages.0.role", "Field required"),
		`{"type":"error","error":{"type":"invalid_request_error","message":"messages.0.role: Field required"}}`)
	f(llm.Invalid("model", "model not found"), `{"type":"error","error":{"type":"invalid_request_error","message":"model not found"}}`)
	f(&llm.Error{Kind: llm.ErrAuth, Type: "auth_error", Message: "no key", Header: http.Header{"Request-Id": {"req_1"}}},
		`{"type":"error","error":{"type":"authentication_error","message":"no key"},"request_id":"req_1"}`)
	f(llm.Errorf(llm.ErrBudget, "spent"), `{"type":"error","error":{"type":"invalid_request_error","message":"spent"}}`)
	f(llm.Errorf(llm.ErrConnection, "refused"), `{"type":"error","error":{"type":"api_error","message":"refused"}}`)
	// An upstream's own error passes as it came, another dialect's is put into our words.
	own := `{"type":"error","error":{"type":"rate_limit_error","message":"slow","details":{"a":1}},"request_id":"req_2"}`
	f(Messages.DecodeError(429, nil, []byte(own)), own)
	f(&llm.Error{Kind: llm.ErrRateLimit, Upstream: true, Message: "slow", Body: []byte(`{"error":{"type":"requests","message":"slow"}}`)},
		`{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}`)
}

func TestDecodeError(t *testing.T) {
	f := func(status int, body, message, word string, kind llm.ErrorKind) {
		t.Helper()
		e := Messages.DecodeError(status, nil, []byte(body))
		if e.Message != message || e.Type != word || e.Kind != kind || e.HTTPStatus() != status || !e.Upstream {
			t.Errorf("%s\ngot %q type %q kind %s status %d", body, e.Message, e.Type, e.Kind, e.HTTPStatus())
		}
	}
	own := func(word, message string) string {
		return `{"type":"error","error":{"type":"` + word + `","message":"` + message + `"},"request_id":"req_1"}`
	}
	f(400, own("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
		"prompt is too long: 210000 tokens > 200000 maximum", "invalid_request_error", llm.ErrContextWindow)
	f(400, own("invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 2"),
		"input length and `max_tokens` exceed context limit: 1 + 2 > 2", "invalid_request_error", llm.ErrContextWindow)
	f(400, own("invalid_request_error", "Output blocked by content filtering policy"), "Output blocked by content filtering policy",
		"invalid_request_error", llm.ErrPolicy)
	f(400, own("invalid_request_error", "Your credit balance is too low to access the API"),
		"Your credit balance is too low to access the API", "invalid_request_error", llm.ErrBilling)
	f(529, own("overloaded_error", "Overloaded"), "Overloaded", "overloaded_error", llm.ErrOverloaded)
	f(413, own("request_too_large", "Request exceeds the maximum size"), "Request exceeds the maximum size", "request_too_large", llm.ErrTooLarge)
	// Bedrock and Vertex
	f(400, `{"message":"Input is too long for requested model."}`, "Input is too long for requested model.", "", llm.ErrContextWindow)
	f(403, `{"Message":"User is not authorized"}`, "User is not authorized", "", llm.ErrPermission)
	f(404, `[{"error":{"code":404,"message":"Publisher Model not found","status":"NOT_FOUND"}}]`, "Publisher Model not found", "", llm.ErrNotFound)
	f(503, "<html><head><title>t</title></head><body><h1>503  Unavailable</h1></body></html>", "503 Unavailable", "", llm.ErrUnavailable)
	f(500, "", "the provider answered with status 500 and no text", "", llm.ErrInternal)
	f(500, "{}", "the provider answered with status 500 and no text", "", llm.ErrInternal)
	f(401, own("authentication_error", "invalid x-api-key: sk-ant-api03-abcdef"), "invalid x-api-key: sk-***", "authentication_error", llm.ErrAuth)

	e := Messages.DecodeError(429, http.Header{"Retry-After": {"17"}, "Request-Id": {"req_9"}}, []byte(own("rate_limit_error", strings.Repeat("é", 3000))))
	if e.RetryAfter != 17*time.Second || e.Header.Get("request-id") != "req_9" || len(e.Message) > llm.MaxErrorText+3 {
		t.Errorf("%s %v %d", e.RetryAfter, e.Header, len(e.Message))
	}
}

func TestDecodeResponse_errors(t *testing.T) {
	f := func(body string, kind llm.ErrorKind, status int) {
		t.Helper()
		_, err := Messages.DecodeResponse([]byte(body))
		tapped := Messages.NewTap().Body([]byte(body))
		for _, e := range []*llm.Error{llm.AsError(err), tapped} {
			if e == nil || e.Kind != kind || e.HTTPStatus() != status {
				t.Errorf("%s: %+v", body, e)
			}
		}
	}
	f(`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, llm.ErrOverloaded, 529)
	f(`{"error":{"type":"not_found_error","message":"model"}}`, llm.ErrNotFound, 404)
	f(`{"error":{"message":"?"}}`, llm.ErrInternal, 500)
	f(`{"object":"chat.completion","choices":[]}`, llm.ErrUpstream, 502)
	f(`<html>`, llm.ErrUpstream, 502)
	f(``, llm.ErrUpstream, 502)
}

func TestCount(t *testing.T) {
	req, err := Messages.DecodeCount([]byte(`{"model":"m","system":"s","messages":[{"role":"user","content":"hi"}],"stop_sequences":["x"],
		"temperature":0.5,"cache_control":{"type":"ephemeral"},"container":"c"}`))
	if err != nil {
		t.Fatal(err)
	}
	body, err := Messages.EncodeCount(nil, req, &llm.Target{Model: "claude"})
	want := `{"model":"claude","system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],` +
		`"cache_control":{"type":"ephemeral"}}`
	if err != nil || string(body) != want {
		t.Errorf("%s %v", body, err)
	}
	if n, err := Messages.DecodeCountResponse(Messages.AppendCount(nil, 1234)); n != 1234 || err != nil {
		t.Error(n, err)
	}
	if got := string(Messages.AppendCount([]byte("x"), 5)); got != `x{"input_tokens":5}` {
		t.Error(got)
	}
	for _, bad := range []string{`{}`, `x`, `{"input_tokens":-1}`, `{"type":"error","error":{"type":"api_error","message":"m"}}`} {
		if _, err := Messages.DecodeCountResponse([]byte(bad)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
