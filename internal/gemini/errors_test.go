package gemini

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

func TestDecodeError(t *testing.T) {
	t.Parallel()
	f := func(status int, body string, want llm.Error) {
		t.Helper()
		got := Generate.DecodeError(status, http.Header{}, []byte(body))
		got.Body = nil
		want.Upstream = true
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%d %s (-want +got):\n%s", status, body, diff)
		}
	}
	raw, err := os.ReadFile("testdata/replies/google-429-retry-info.json")
	if err != nil {
		t.Fatal(err)
	}
	f(429, string(raw), llm.Error{Kind: llm.ErrRateLimit, Status: 429, Message: "You exceeded your current quota, please check your plan.",
		Type: "RESOURCE_EXHAUSTED", RetryAfter: 34400 * time.Millisecond})
	f(400, `{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}`,
		llm.Error{Kind: llm.ErrAuth, Status: 401, Message: "API key not valid. Please pass a valid API key.", Type: "INVALID_ARGUMENT", Code: "API_KEY_INVALID"})
	f(400, `{"error":{"code":400,"message":"The input token count (2000) exceeds the maximum number of tokens allowed (1000).","status":"INVALID_ARGUMENT"}}`,
		llm.Error{Kind: llm.ErrContextWindow, Status: 400, Message: "The input token count (2000) exceeds the maximum number of tokens allowed (1000).", Type: "INVALID_ARGUMENT"})
	f(503, `[{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]`, llm.Error{Kind: llm.ErrUnavailable, Status: 503, Message: "overloaded", Type: "UNAVAILABLE"})
	f(504, `{"error":{"code":504,"message":"late","status":"DEADLINE_EXCEEDED"}}`, llm.Error{Kind: llm.ErrTimeout, Status: 504, Message: "late", Type: "DEADLINE_EXCEEDED"})
	f(400, `{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"contents[0]"}]}]}}`,
		llm.Error{Kind: llm.ErrInvalid, Status: 400, Message: "bad", Type: "INVALID_ARGUMENT", Param: "contents[0]"})
	f(401, `{"error":"invalid_grant","error_description":"expired"}`, llm.Error{Kind: llm.ErrAuth, Status: 401, Message: "invalid_grant: expired"})
	f(502, `<html>bad gateway</html>`, llm.Error{Kind: llm.ErrInternal, Status: 502, Message: "<html>bad gateway</html>"})
	f(500, ``, llm.Error{Kind: llm.ErrInternal, Status: 500, Message: "the upstream answered without a body: Internal Server Error"})
	e := Generate.DecodeError(500, http.Header{"Retry-After": {"7"}}, []byte(strings.Repeat("x", 5000)))
	if len(e.Message) != maxMessage || e.RetryAfter != 7*time.Second {
		t.Errorf("%d %v", len(e.Message), e.RetryAfter)
	}
	later := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	if e := Generate.DecodeError(503, http.Header{"Retry-After": {later}}, nil); e.RetryAfter < 50*time.Minute {
		t.Errorf("a date in an hour: wait %v", e.RetryAfter)
	}
}

func TestEncodeError(t *testing.T) {
	t.Parallel()
	f := func(e *llm.Error, want string) {
		t.Helper()
		if got := string(Generate.EncodeError(nil, http.Header{}, e)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	f(llm.Errorf(llm.ErrNotFound, "no such model"), `{"error":{"code":404,"message":"no such model","status":"NOT_FOUND"}}`)
	f(llm.Errorf(llm.ErrOverloaded, "busy"), `{"error":{"code":529,"message":"busy","status":"UNAVAILABLE"}}`)
	f(&llm.Error{Kind: llm.ErrRateLimit, Message: "slow down", RetryAfter: 1500 * time.Millisecond},
		`{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.5s"}]}}`)
	f(llm.Invalid("contents", "empty"), `{"error":{"code":400,"message":"empty","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"contents","description":"empty"}]}]}}`)
	own := `{"error":{"code":400,"message":"m","status":"FAILED_PRECONDITION","details":[{"a":1}]}}`
	f(Generate.DecodeError(400, nil, []byte(own)), own)
	f(Generate.DecodeError(400, nil, []byte(`[`+own+`]`)), own)
	f(&llm.Error{Kind: llm.ErrAuth, Status: 401, Message: "who", Upstream: true, Type: "authentication_error", Body: []byte(`{"type":"error","error":{"type":"authentication_error"}}`)},
		`{"error":{"code":401,"message":"who","status":"UNAUTHENTICATED"}}`)
	if got := string(Generate.EncodeStreamError(nil, llm.Errorf(llm.ErrUpstream, "cut\noff"))); got != "data: {\"error\":{\"code\":502,\"message\":\"cut\\noff\",\"status\":\"INTERNAL\"}}\n\n" {
		t.Errorf("%q", got)
	}
}

func TestErrorInside200(t *testing.T) {
	t.Parallel()
	body := []byte(`{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}`)
	_, err := Generate.DecodeResponse(body)
	if e := llm.AsError(err); err == nil || e.Kind != llm.ErrUnavailable || e.Status != 503 {
		t.Errorf("got %v", err)
	}
	tp := Generate.NewTap()
	if e := tp.Body(body); e == nil || e.Kind != llm.ErrUnavailable {
		t.Errorf("tap: %v", e)
	}
	events, err := Generate.NewStreamDecoder().Decode(nil, llm.Frame{Data: body})
	if err != nil || len(events) != 1 || events[0].Kind != llm.EventError || events[0].Err.Status != 503 {
		t.Errorf("stream: %v %v", events, err)
	}
	tp = Generate.NewTap()
	if m := tp.Frame(llm.Frame{Data: body}); m != llm.MarkError || tp.Seen().Err == nil {
		t.Errorf("tap: mark %b", m)
	}
	for _, bad := range []string{``, `{}`, `[]`, `"x"`, `<html>`, `{"candidates":5}`} {
		if _, err := Generate.DecodeResponse([]byte(bad)); llm.AsError(err).Kind != llm.ErrUpstream {
			t.Errorf("%s: %v", bad, err)
		}
		if e := Generate.NewTap().Body([]byte(bad)); e == nil || e.Kind != llm.ErrUpstream {
			t.Errorf("tap %s: %v", bad, e)
		}
	}
}
