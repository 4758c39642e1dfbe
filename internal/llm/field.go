package llm

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// BadField turns an error of the JSON decoder into one that names the field, as base.messages.2.role. wants says in the dialect's words that
// a field must be of a JSON type: string, boolean, integer, number, list or object.
func BadField(err error, base string, wants func(jsonType string) string) *Error {
	e := &Error{Kind: ErrInvalid, Param: base, Cause: err}
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic):
		e.Param = JoinPath(base, dotted(semantic.JSONPointer))
		e.Message = "the value has the wrong type"
		if t := jsonType(semantic.GoType); t != "" {
			e.Message = wants(t)
		}
	case errors.As(err, &syntactic):
		e.Param = JoinPath(base, dotted(syntactic.JSONPointer))
		e.Message = "the body is not valid JSON: " + syntactic.Err.Error()
	default:
		e.Message = "the value can't be read"
	}
	return e
}

func jsonType(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return ""
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list"
	case reflect.Struct, reflect.Map:
		return "object"
	}
	return ""
}

func dotted(p jsontext.Pointer) string { return strings.Join(slices.Collect(p.Tokens()), ".") }

// JoinPath puts the path of a field behind that of what it stands in; either may be empty.
func JoinPath(base, path string) string {
	if base == "" || path == "" {
		return base + path
	}
	return base + "." + path
}
