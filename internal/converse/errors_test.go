package converse

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

func TestEncodeError(t *testing.T) {
	f := func(e *llm.Error, word, body, exception string) {
		t.Helper()
		h := http.Header{}
		got := string(Converse.EncodeError(nil, h, e))
		if got != body || h.Get("x-amzn-ErrorType") != word {
			t.Errorf("%s %s, want %s %s", h.Get("x-amzn-ErrorType"), got, word, body)
		}
		frames := wire.NewEventStreamReader(bytes.NewReader(Converse.EncodeStreamError(nil, e)), 0)
		fr, err := frames.Next()
		if err != nil || !fr.Exception || fr.Type != exception {
			t.Errorf("%s: exception %s, want %s: %v", word, fr.Type, exception, err)
		}
		if err := loadModel(t).body("ConverseStreamOutput", []byte(`{"`+fr.Type+`":`+string(fr.Data)+`}`)); err != nil {
			t.Error(err)
		}
	}
	of := func(kind llm.ErrorKind) *llm.Error { return &llm.Error{Kind: kind, Message: "m"} }
	const m = `{"message":"m"}`
	f(llm.Invalid("messages.0.role", "bad"), "ValidationException", `{"message":"messages.0.role: bad"}`, "validationException")
	f(of(llm.ErrContextWindow), "ValidationException", m, "validationException")
	f(of(llm.ErrAuth), "UnrecognizedClientException", m, "validationException")
	f(of(llm.ErrPermission), "AccessDeniedException", m, "validationException")
	f(of(llm.ErrNotFound), "ResourceNotFoundException", m, "validationException")
	f(of(llm.ErrTimeout), "ModelTimeoutException", m, "modelStreamErrorException")
	f(of(llm.ErrRateLimit), "ThrottlingException", m, "throttlingException")
	f(of(llm.ErrBudget), "ServiceQuotaExceededException", m, "validationException")
	f(of(llm.ErrInternal), "InternalServerException", m, "internalServerException")
	f(of(llm.ErrConnection), "InternalServerException", m, "internalServerException")
	f(of(llm.ErrUpstream), "ServiceUnavailableException", m, "modelStreamErrorException")
	f(of(llm.ErrOverloaded), "ServiceUnavailableException", m, "serviceUnavailableException")
	f(&llm.Error{Kind: llm.ErrRateLimit, Status: 429, Upstream: true, Type: "ModelNotReadyException", Message: "x", Body: []byte(`{"message":"warming","n":1}`)},
		"ModelNotReadyException", `{"message":"warming","n":1}`, "throttlingException")
	f(&llm.Error{Kind: llm.ErrInternal, Status: 424, Message: "m"}, "ModelErrorException", m, "modelStreamErrorException")
	f(&llm.Error{Kind: llm.ErrInvalid, Upstream: true, Message: "m", Body: []byte(`{"error":{"message":"of another dialect"}}`)},
		"ValidationException", m, "validationException")
	f(&llm.Error{Kind: llm.ErrAuth, Status: 403, Type: "InvalidSignatureException", Message: "m"}, "InvalidSignatureException", m, "validationException")
	f(&llm.Error{Kind: llm.ErrAuth, Status: 400, Type: "IncompleteSignatureException", Message: "m"}, "IncompleteSignatureException", m, "validationException")
}

func TestDecodeError(t *testing.T) {
	f := func(status int, header, body string, kind llm.ErrorKind, word, message string) {
		t.Helper()
		h := http.Header{}
		h.Set("x-amzn-ErrorType", header)
		h.Set("Retry-After", "3")
		e := Converse.DecodeError(status, h, []byte(body))
		if e.Kind != kind || e.Type != word || e.Message != message || e.HTTPStatus() != status || !e.Upstream || e.RetryAfter != 3*time.Second {
			t.Errorf("%s: %+v", body, e)
		}
	}
	const long = "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/"
	f(400, long, `{"message":"The provided model identifier is invalid."}`, llm.ErrInvalid, "ValidationException", "The provided model identifier is invalid.")
	f(400, long, `{"message":"Input is too long for requested model."}`, llm.ErrContextWindow, "ValidationException", "Input is too long for requested model.")
	f(400, "", `{"__type":"com.amazon#ValidationException","Message":"prompt is too long: 9 tokens"}`, llm.ErrContextWindow, "ValidationException", "prompt is too long: 9 tokens")
	f(429, "ThrottlingException", `{"message":"Too many requests, please wait"}`, llm.ErrRateLimit, "ThrottlingException", "Too many requests, please wait")
	f(400, "ServiceQuotaExceededException", `{"message":"m"}`, llm.ErrRateLimit, "ServiceQuotaExceededException", "m")
	f(403, "UnrecognizedClientException", `{"message":"The security token included in the request is invalid."}`, llm.ErrAuth, "UnrecognizedClientException",
		"The security token included in the request is invalid.")
	f(403, "AccessDeniedException", `{"Message":"no access"}`, llm.ErrPermission, "AccessDeniedException", "no access")
	f(408, "ModelTimeoutException", `{"message":"m"}`, llm.ErrTimeout, "ModelTimeoutException", "m")
	f(424, "ModelErrorException", `{"message":"m","originalStatusCode":500}`, llm.ErrInternal, "ModelErrorException", "m")
	f(503, "ServiceUnavailableException", `{"message":"m"}`, llm.ErrUnavailable, "ServiceUnavailableException", "m")
	f(500, "", `{"Message":{"error":"deep"}}`, llm.ErrInternal, "", `{"error":"deep"}`)
	f(502, "", "bad  gateway\n", llm.ErrInternal, "", "bad gateway")
	f(502, "", "<html><head><title>t</title></head><body><h1>502  Bad\nGateway</h1></body></html>", llm.ErrInternal, "", "502 Bad Gateway")
	f(404, "", "", llm.ErrNotFound, "", "the provider answered with status 404 and no text")
	f(403, "", `{"message":"key ABSKabcdefgh is wrong"}`, llm.ErrPermission, "", "key ABSK*** is wrong")
}

func TestCount(t *testing.T) {
	m := loadModel(t)
	req, err := DecodeCount([]byte(`{"input":{"converse":{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"a"}]}],
		"inferenceConfig":{"maxTokens":3},"additionalModelRequestFields":{"top_k":3}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	body, _, err := EncodeCount(nil, req, &llm.Target{Model: claude45})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"a"}]}],"system":[{"text":"s"}]}}}`; string(body) != want {
		t.Errorf("got %s", body)
	}
	if err := m.body("CountTokensRequest", body); err != nil {
		t.Error(err)
	}
	answer := AppendCount(nil, 42)
	if err := m.body("CountTokensResponse", answer); err != nil {
		t.Error(err)
	}
	if n, err := DecodeCountResponse(answer); n != 42 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	for body, param := range map[string]string{
		`{}`: "input.converse", `{"input":{"invokeModel":{"body":""}}}`: "input.invokeModel",
		`{"input":{"converse":{"messages":[{}]}}}`: "input.converse.messages.0.role",
	} {
		if _, err := DecodeCount([]byte(body)); llm.AsError(err).Param != param {
			t.Errorf("%s: %v", body, err)
		}
	}
	if _, err := DecodeCountResponse([]byte(`{"message":"no"}`)); llm.AsError(err).Kind != llm.ErrUpstream {
		t.Errorf("got %v", err)
	}
}
