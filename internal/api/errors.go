package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

// fault is one thing wrong with a request, in FastAPI's form.
type fault struct {
	Type string `json:"type"`
	Loc  []any  `json:"loc"` // body or query, then the field
	Msg  string `json:"msg"`
}

// faults is a request whose fields are wrong: a 422 that lists them.
type faults []fault

// Error names the first field.
func (f faults) Error() string { return fmt.Sprint(f[0].Loc, ": ", f[0].Msg) }

// wrong is a request that is wrong as a whole, as when one of two fields must be given.
func wrong(msg string) error {
	return faults{{Type: "value_error", Loc: []any{"body"}, Msg: "Value error, " + msg}}
}

// unknownValue is a value that is not among those there are.
func unknownValue(field, msg string) error {
	return faults{{Type: "literal_error", Loc: []any{"body", field}, Msg: msg}}
}

// detail is an error in the form {"detail": {"error": text}}, which LiteLLM has on some routes where others have {"error": {...}}.
type detail struct {
	status int
	text   string
	bare   bool // {"detail": text}
}

// Error is the text.
func (d *detail) Error() string { return d.text }

// notFound is a 404 in the usual form.
func notFound(param, format string, args ...any) *llm.Error {
	return &llm.Error{Kind: llm.ErrNotFound, Type: "not_found_error", Param: param, Message: fmt.Sprintf(format, args...)}
}

// conflict is a 409: what is to be made is there already.
func conflict(param, format string, args ...any) *llm.Error {
	return &llm.Error{Kind: llm.ErrConflict, Type: "bad_request_error", Param: param, Message: fmt.Sprintf(format, args...)}
}

// denied is a 403.
func denied(param, format string, args ...any) *llm.Error {
	return &llm.Error{Kind: llm.ErrPermission, Type: "auth_error", Param: param, Message: fmt.Sprintf(format, args...)}
}

// errorTypes are LiteLLM's words for errors that have none of their own.
var errorTypes = map[llm.ErrorKind]string{
	llm.ErrAuth: "auth_error", llm.ErrPermission: "auth_error", llm.ErrNotFound: "not_found_error", llm.ErrRateLimit: "rate_limit_error",
	llm.ErrInternal: "internal_server_error", llm.ErrUnavailable: "internal_server_error",
}

// fail answers an error.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	var fs faults
	var d *detail
	var bad *syntaxError
	var e *llm.Error
	switch {
	case errors.As(err, &e): // first: what else it wraps is for the log
	case errors.As(err, &fs):
		a.reply(w, r, reply{http.StatusUnprocessableEntity, object{"detail": fs}})
		return
	case errors.As(err, &d):
		var value any = object{"error": d.text}
		if d.bare {
			value = d.text
		}
		a.reply(w, r, reply{d.status, object{"detail": value}})
		return
	case errors.As(err, &bad):
		body := envelope(llm.Invalid("", "%s", bad.Error()))
		body["detail"] = faults{{Type: "json_invalid", Loc: []any{"body", bad.offset}, Msg: bad.Error()}}
		a.reply(w, r, reply{http.StatusBadRequest, body})
		return
	}
	e = llm.AsError(err)
	if e.HTTPStatus() >= http.StatusInternalServerError {
		a.Log.ErrorContext(r.Context(), "management call failed", "method", r.Method, "route", r.Pattern, "error", err)
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Seconds()+0.999)))
	}
	a.reply(w, r, reply{e.HTTPStatus(), envelope(e)})
}

// envelope is LiteLLM's form of an error.
func envelope(e *llm.Error) object {
	word := e.Type
	if word == "" {
		word = errorTypes[e.Kind]
	}
	if word == "" {
		word = "bad_request_error"
	}
	param := text(e.Param)
	if param == nil && (e.Kind == llm.ErrAuth || e.Kind == llm.ErrPermission) {
		param = "None"
	}
	return object{"error": object{"message": e.Message, "type": word, "param": param, "code": strconv.Itoa(e.HTTPStatus())}}
}

// reply writes a result as JSON.
func (a *API) reply(w http.ResponseWriter, r *http.Request, out any) {
	status := http.StatusOK
	if o, ok := out.(reply); ok {
		status, out = o.status, o.value
	}
	text, err := json.Marshal(out, json.Deterministic(true))
	if err != nil {
		a.Log.ErrorContext(r.Context(), "management reply not encoded", "route", r.Pattern, "error", err)
		status, text = http.StatusInternalServerError,
			[]byte(`{"error":{"message":"internal server error","type":"internal_server_error","param":null,"code":"500"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
