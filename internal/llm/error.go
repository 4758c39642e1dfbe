package llm

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// ErrorKind is the class of an error; every dialect has a word for each.
type ErrorKind string

// Error kinds with the status each has unless the error says otherwise.
const (
	ErrInvalid       ErrorKind = "invalid_request" // 400
	ErrContextWindow ErrorKind = "context_window"  // 400
	ErrPolicy        ErrorKind = "content_policy"  // 400
	ErrAuth          ErrorKind = "authentication"  // 401
	ErrBilling       ErrorKind = "billing"         // 402
	ErrPermission    ErrorKind = "permission"      // 403
	ErrNotFound      ErrorKind = "not_found"       // 404
	ErrTimeout       ErrorKind = "timeout"         // 408
	ErrConflict      ErrorKind = "conflict"        // 409
	ErrTooLarge      ErrorKind = "too_large"       // 413
	ErrUnprocessable ErrorKind = "unprocessable"   // 422
	ErrBudget        ErrorKind = "budget_exceeded" // 422
	ErrRateLimit     ErrorKind = "rate_limit"      // 429
	ErrClientGone    ErrorKind = "client_gone"     // 499, never sent
	ErrInternal      ErrorKind = "internal"        // 500
	ErrConnection    ErrorKind = "connection"      // 500, as LiteLLM's APIConnectionError
	ErrUpstream      ErrorKind = "upstream"        // 502: the upstream answered what nobody can read
	ErrUnavailable   ErrorKind = "unavailable"     // 503
	ErrOverloaded    ErrorKind = "overloaded"      // 529
)

var kindStatus = map[ErrorKind]int{
	ErrInvalid: 400, ErrContextWindow: 400, ErrPolicy: 400, ErrAuth: 401, ErrBilling: 402, ErrPermission: 403, ErrNotFound: 404,
	ErrTimeout: 408, ErrConflict: 409, ErrTooLarge: 413, ErrUnprocessable: 422, ErrBudget: 422, ErrRateLimit: 429, ErrClientGone: 499,
	ErrInternal: 500, ErrConnection: 500, ErrUpstream: 502, ErrUnavailable: 503, ErrOverloaded: 529,
}

// KindOf is the kind that a bare HTTP status stands for.
func KindOf(status int) ErrorKind {
	switch status {
	case 401:
		return ErrAuth
	case 402:
		return ErrBilling
	case 403:
		return ErrPermission
	case 404:
		return ErrNotFound
	case 408, 504:
		return ErrTimeout
	case 409:
		return ErrConflict
	case 413:
		return ErrTooLarge
	case 422:
		return ErrUnprocessable
	case 429:
		return ErrRateLimit
	case 503:
		return ErrUnavailable
	case 529:
		return ErrOverloaded
	}
	if status >= 500 {
		return ErrInternal
	}
	return ErrInvalid
}

// Error is the one internal form of every failure; a dialect renders it. Its text may be shown to the client: no secret, no stack.
type Error struct {
	Kind    ErrorKind
	Status  int // HTTP status; 0: the kind's own
	Message string
	// Type and Code are the upstream's or LiteLLM's machine-readable words, kept as they came; empty: the dialect's word for the kind.
	Type string
	Code string
	// Param names the field at fault.
	Param      string
	RetryAfter time.Duration
	// Upstream says that the provider said it, Provider which.
	Upstream bool
	Provider string
	// Header holds upstream headers worth passing on; nil mostly.
	Header http.Header
	// Body is the upstream's error body as it came, for a client of the same dialect; nil: none, or not to be shown.
	Body []byte
	// Cause is for the log only.
	Cause error
}

// Errorf makes an Error of a kind.
func Errorf(kind ErrorKind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Invalid makes an ErrInvalid that names the field.
func Invalid(param, format string, args ...any) *Error {
	return &Error{Kind: ErrInvalid, Param: param, Message: fmt.Sprintf(format, args...)}
}

// Error gives the message with the cause, for logs.
func (e *Error) Error() string {
	if e.Cause != nil {
		return string(e.Kind) + ": " + e.Message + ": " + e.Cause.Error()
	}
	return string(e.Kind) + ": " + e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// HTTPStatus is the status to answer with.
func (e *Error) HTTPStatus() int {
	if e.Status != 0 {
		return e.Status
	}
	if s, ok := kindStatus[e.Kind]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// AsError finds the *Error in err, or wraps a foreign one as internal without showing its text.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: ErrInternal, Message: "internal server error", Cause: err}
}
