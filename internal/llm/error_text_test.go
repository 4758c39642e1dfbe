package llm

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	f := func(h http.Header, want time.Duration) {
		t.Helper()
		if got := RetryAfter(h); got != want {
			t.Errorf("%v: %s, want %s", h, got, want)
		}
	}
	f(nil, 0)
	f(http.Header{"Retry-After": {"0.5"}}, 500*time.Millisecond)
	f(http.Header{"Retry-After": {"2"}, "Retry-After-Ms": {"1250"}}, 1250*time.Millisecond)
	f(http.Header{"Retry-After": {"1e300"}}, 0)
	f(http.Header{"Retry-After": {"Mon, 02 Jan 2006 15:04:05 GMT"}}, 0)
}

func TestFieldMessage(t *testing.T) {
	f := func(e *Error, want string) {
		t.Helper()
		if got := e.FieldMessage(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(Invalid("messages.0.role", "bad"), "messages.0.role: bad")
	f(Invalid("role", "the role is bad"), "the role is bad")
	f(&Error{Param: "role", Message: "bad", Upstream: true}, "bad")
}

func TestExplain(t *testing.T) {
	f := func(e Error, body, want string) {
		t.Helper()
		e.Status = 503
		if e.Explain([]byte(body)); e.Message != want {
			t.Errorf("%q, want %q", e.Message, want)
		}
	}
	f(Error{Message: "said"}, "body", "said")
	f(Error{}, "<style>a</style><p>too  \xff\nmany</p>", "too \uFFFD many")
	f(Error{Type: "Slow"}, "{}", "the provider answered with status 503 and no text: Slow")
	f(Error{Message: strings.Repeat("é", MaxErrorText)}, "", strings.Repeat("é", MaxErrorText/2)+"...")
}
