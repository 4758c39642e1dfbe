package openai

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// What LiteLLM answers for each upstream error: its machine-readable parts, from calls made to it.
func TestAppendError_agreesWithLiteLLM(t *testing.T) {
	f := func(status int, body, wantType, wantParam, wantCode string, wantKind llm.ErrorKind) {
		t.Helper()
		e := decodeError(status, nil, []byte(body))
		if e.Kind != wantKind || e.HTTPStatus() != status || !e.Upstream {
			t.Errorf("%s: kind %s status %d", body, e.Kind, e.HTTPStatus())
		}
		out := string(appendError(nil, e))
		want := `"type":"` + wantType + `","param":` + wantParam + `,"code":"` + wantCode + `"`
		if !strings.Contains(out, want) || !jsontext.Value(out).IsValid() {
			t.Errorf("got %s want %s", out, want)
		}
	}
	f(400, `{"error":{"message":"Invalid value for 'temperature': must be <= 2.","type":"invalid_request_error","param":"temperature","code":null}}`,
		"invalid_request_error", `"temperature"`, "400", llm.ErrInvalid)
	f(400, `{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`,
		"invalid_request_error", "null", "400", llm.ErrContextWindow)
	f(400, `{"error":{"message":"Your request was rejected as a result of our safety system.","type":"invalid_request_error","param":null,"code":"content_policy_violation"}}`,
		"invalid_request_error", "null", "400", llm.ErrPolicy)
	f(401, `{"error":{"message":"Incorrect API key provided: sk-up.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`,
		"authentication_error", "null", "401", llm.ErrAuth)
	f(402, `{"error":{"message":"Payment required.","type":"billing_error","param":null,"code":"payment_required"}}`,
		"invalid_request_error", "null", "402", llm.ErrBilling)
	f(403, `{"error":{"message":"You are not allowed to sample from this model.","type":"invalid_request_error","param":null,"code":"forbidden"}}`,
		"invalid_request_error", "null", "403", llm.ErrPermission)
	f(404, `{"error":{"message":"The model does not exist","type":"invalid_request_error","param":null,"code":"model_not_found"}}`,
		"invalid_request_error", "null", "404", llm.ErrNotFound)
	f(408, `{"error":{"message":"Request timed out upstream.","type":"timeout","param":null,"code":"timeout"}}`,
		"invalid_request_error", "null", "408", llm.ErrTimeout)
	f(422, `{"error":{"message":"Unprocessable: bad field.","type":"invalid_request_error","param":"messages","code":null}}`,
		"invalid_request_error", `"messages"`, "422", llm.ErrUnprocessable)
	f(429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`,
		"throttling_error", "null", "429", llm.ErrRateLimit)
	f(500, "", "internal_server_error", "null", "500", llm.ErrInternal)
	f(503, "<html><body><h1>503 Service Unavailable</h1></body></html>", "internal_server_error", "null", "503", llm.ErrUnavailable)
	f(504, `{"error":{"message":"Gateway timeout.","type":"server_error"}}`, "internal_server_error", "null", "504", llm.ErrTimeout)
	f(529, `{"error":{"message":"Overloaded.","type":"overloaded_error"}}`, "internal_server_error", "null", "529", llm.ErrOverloaded)
}

func TestAppendError_own(t *testing.T) {
	f := func(e *llm.Error, want string) {
		t.Helper()
		if got := string(appendError(nil, e)); got != want {
			t.Errorf("got %s want %s", got, want)
		}
	}
	f(&llm.Error{Kind: llm.ErrAuth, Message: "no key", Type: "auth_error", Param: "None"},
		`{"error":{"message":"no key","type":"auth_error","param":"None","code":"401"}}`)
	f(llm.Invalid("messages", "say \"hi\""), `{"error":{"message":"say \"hi\"","type":"invalid_request_error","param":"messages","code":"400"}}`)
	f(llm.Errorf(llm.ErrBudget, "spent"), `{"error":{"message":"spent","type":"budget_exceeded","param":null,"code":"422"}}`)
	f(llm.Errorf(llm.ErrConnection, "refused"), `{"error":{"message":"refused","type":"internal_server_error","param":null,"code":"500"}}`)
}

func TestDecodeError_shapes(t *testing.T) {
	f := func(status int, body, message, typ, code string, kind llm.ErrorKind) {
		t.Helper()
		e := decodeError(status, nil, []byte(body))
		if e.Message != message || e.Type != typ || e.Code != code || e.Kind != kind {
			t.Errorf("%s\ngot %q type %q code %q kind %s", body, e.Message, e.Type, e.Code, e.Kind)
		}
	}
	// Azure's filter
	f(400, `{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}`,
		"The response was filtered", "", "content_filter", llm.ErrPolicy)
	// Mistral
	f(422, `{"object":"error","message":{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]},"type":"invalid_request_error","param":null,"code":null}`,
		"Field required", "invalid_request_error", "", llm.ErrUnprocessable)
	f(400, `{"object":"error","message":"Prompt contains 40000 tokens, too large for model with 32768 maximum context length","type":"invalid_request_error","code":3051}`,
		"Prompt contains 40000 tokens, too large for model with 32768 maximum context length", "invalid_request_error", "3051", llm.ErrContextWindow)
	// OpenRouter
	f(429, `{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"{\"error\":{\"message\":\"slow down\"}}","provider_name":"X"}}}`,
		"Provider returned error: slow down", "", "429", llm.ErrRateLimit)
	// FastAPI
	f(404, `{"detail":"Not Found"}`, "Not Found", "", "", llm.ErrNotFound)
	// Ollama, Hugging Face
	f(404, `{"error":"model 'x' not found"}`, "model 'x' not found", "", "", llm.ErrNotFound)
	f(422, `{"error":"Input validation error: `+"`inputs`"+` tokens + max_new_tokens must be <= 4096","error_type":"validation"}`,
		"Input validation error: `inputs` tokens + max_new_tokens must be <= 4096", "", "", llm.ErrUnprocessable)
	// Gemini's compatible endpoint
	f(400, `[{"error":{"code":400,"message":"The input token count (2) exceeds the maximum (1).","status":"INVALID_ARGUMENT"}}]`,
		"The input token count (2) exceeds the maximum (1).", "INVALID_ARGUMENT", "400", llm.ErrContextWindow)
	f(503, "<html><head><title>t</title></head><body><h1>503  Service\nUnavailable</h1></body></html>", "503 Service Unavailable", "", "", llm.ErrUnavailable)
	f(500, "", "the provider answered with status 500 and no text", "", "", llm.ErrInternal)
	f(401, `{"error":{"message":"Incorrect API key provided: abcd1234. And sk-proj-12345678 too","code":"invalid_api_key"}}`,
		"Incorrect API key provided: ***. And sk-*** too", "", "invalid_api_key", llm.ErrAuth)
}

func TestDecodeError_retryAfter(t *testing.T) {
	f := func(key, value string, want time.Duration) {
		t.Helper()
		if got := decodeError(429, http.Header{http.CanonicalHeaderKey(key): {value}}, nil).RetryAfter; got != want {
			t.Errorf("%s: %s: %s", key, value, got)
		}
	}
	f("retry-after", "17", 17*time.Second)
	f("retry-after", "0.5", 500*time.Millisecond)
	f("retry-after-ms", "1250", 1250*time.Millisecond)
	f("retry-after", "-3", 0)
	f("retry-after", "soon", 0)
	f("retry-after", "Mon, 02 Jan 2006 15:04:05 GMT", 0)
}

func TestInbandError_status(t *testing.T) {
	f := func(body string, status int, kind llm.ErrorKind) {
		t.Helper()
		if e := inbandError([]byte(body)); e.HTTPStatus() != status || e.Kind != kind {
			t.Errorf("%s: %d %s", body, e.HTTPStatus(), e.Kind)
		}
	}
	f(`{"error":{"message":"error inside a 200","type":"server_error"}}`, 500, llm.ErrInternal)
	f(`{"error":{"message":"slow down","code":429}}`, 429, llm.ErrRateLimit)
	f(`{"error":{"message":"busy","type":"overloaded_error"}}`, 529, llm.ErrOverloaded)
	f(`{"error":{"message":"too long","code":"context_length_exceeded"}}`, 400, llm.ErrContextWindow)
}

func FuzzDecodeError(f *testing.F) {
	f.Add(400, `{"error":{"message":"m","type":"t","param":"p","code":"c"}}`)
	f.Add(422, `{"detail":[{"loc":["body"],"msg":"Field required"}]}`)
	f.Add(500, "<html><head></head>x</html>")
	f.Fuzz(func(t *testing.T, status int, body string) {
		e := decodeError(status, nil, []byte(body))
		if e.Message == "" || len(e.Message) > llm.MaxErrorText+3 {
			t.Errorf("message of %d bytes", len(e.Message))
		}
		if out := appendError(nil, e); !jsontext.Value(out).IsValid() {
			t.Errorf("not JSON: %s", out)
		}
		if out := appendStreamError(nil, inbandError([]byte(body))); !jsontext.Value(out).IsValid() {
			t.Errorf("not JSON: %s", out)
		}
	})
}
