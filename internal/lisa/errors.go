package lisa

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/llm"
)

// detail is one thing that is wrong with a request.
type detail struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// problem is an error as LISA answers it.
type problem struct {
	status  int
	name    string
	message string
	details []detail
}

// Error is the message.
func (p *problem) Error() string { return p.message }

// The sentences of LISA's documentation.
const (
	invalidInput  = "The input provided is invalid. Please check the required fields and formats."
	invalidRule   = "The input provided does not meet the required validation criteria."
	alreadyExists = "A model with the given configuration already exists."
	unexpected    = "An unexpected error occurred while processing your request"
)

var notFoundPath = &problem{status: http.StatusNotFound, name: "NotFoundError", message: "There is nothing at this path."}

// malformed is a request that cannot be read, or that lacks something.
func malformed(details ...detail) *problem {
	return &problem{http.StatusBadRequest, "InvalidInputError", invalidInput, details}
}

// broken is a request that can be read and breaks rules.
func broken(details ...detail) *problem {
	return &problem{http.StatusUnprocessableEntity, "ValidationError", invalidRule, details}
}

func unknownModel(id string) *problem {
	return &problem{status: http.StatusNotFound, name: "ModelNotFoundError", message: "The requested model with ID " + id + " could not be found."}
}

// names are the errors of other places, by status.
var names = map[int]string{
	http.StatusBadRequest: "InvalidInputError", http.StatusUnauthorized: "AuthenticationError", http.StatusForbidden: "AuthorizationError",
	http.StatusNotFound: "NotFoundError", http.StatusRequestEntityTooLarge: "PayloadTooLargeError",
	http.StatusUnprocessableEntity: "ValidationError", http.StatusTooManyRequests: "RateLimitError",
	http.StatusServiceUnavailable: "ServiceUnavailableError",
}

// problemOf says an error as LISA does. What nobody foresaw is a 500 without its text.
func problemOf(err error) *problem {
	var p *problem
	var rule *fleet.Invalid
	var state *fleet.State
	var e *llm.Error
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &rule):
		return broken(detail{rule.Field, rule.Message})
	case errors.As(err, &state):
		return &problem{status: http.StatusBadRequest, name: "InvalidInputError", message: state.Message}
	case errors.As(err, &e) && names[e.HTTPStatus()] != "":
		return &problem{status: e.HTTPStatus(), name: names[e.HTTPStatus()], message: e.Message}
	}
	return &problem{status: http.StatusInternalServerError, name: "InternalServerError", message: unexpected}
}

func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.status >= http.StatusInternalServerError {
		a.Log.ErrorContext(r.Context(), "model management call failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	var e *llm.Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Seconds()+0.999)))
	}
	if p.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	a.reply(w, r, p.status, struct {
		Error   string   `json:"error"`
		Message string   `json:"message"`
		Details []detail `json:"details,omitempty"`
	}{p.name, p.message, p.details})
}

// page is an answer that is not encoded any more.
type page struct {
	kind string // content type
	body []byte
}

func (a *API) reply(w http.ResponseWriter, r *http.Request, status int, out any) {
	pg, ok := out.(page)
	if !ok {
		body, err := json.Marshal(out, json.FormatNilSliceAsNull(true), json.FormatNilMapAsNull(true), json.Deterministic(true))
		if err != nil {
			a.Log.ErrorContext(r.Context(), "model management answer not encoded", "path", r.URL.Path, "error", err)
			status, body = http.StatusInternalServerError, []byte(`{"error":"InternalServerError","message":"`+unexpected+`"}`)
		}
		pg = page{"application/json", body}
	}
	w.Header().Set("Content-Type", pg.kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(pg.body)))
	w.WriteHeader(status)
	_, _ = w.Write(pg.body)
}
