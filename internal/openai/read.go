package openai

import (
	"errors"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// The dialect's unions and the loosely typed members of its imitators. Each reads itself, so that an error knows its place.

// number is an integer that may be written as 1.0 or, by some servers, as a string.
type number int64

func (n *number) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	switch v.Kind() {
	case 'n':
		*n = 0
		return nil
	case '0', '"':
		text := strings.Trim(string(v), `"`)
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			*n = number(i)
			return nil
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil && f == float64(int64(f)) && f < 1<<62 && f > -1<<62 {
			*n = number(f)
			return nil
		}
	}
	return want("a whole number")
}

func (n *number) ptr() *int64 {
	if n == nil {
		return nil
	}
	return llm.Ptr(int64(*n))
}

// text is a string that some servers send as an object (tool arguments) or number: its JSON then.
type text string

func (t *text) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	switch v.Kind() {
	case 'n':
		*t = ""
	case '"':
		b, err := jsontext.AppendUnquote(nil, v)
		if err != nil && b == nil {
			return err
		}
		*t = text(b)
	default:
		*t = text(v)
	}
	return nil
}

// list is a list or one element of it.
type list []string

func (l *list) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case 'n':
		return d.SkipValue()
	case '"':
		var s string
		err := json.UnmarshalDecode(d, &s)
		*l = list{s}
		return err
	case '[':
		return json.UnmarshalDecode(d, (*[]string)(l))
	}
	return want("a string or a list of strings")
}

// content is a message's text or list of parts.
type content struct {
	given bool // not absent and not null
	list  bool
	text  string
	parts []chatPart
}

func (c *content) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*c = content{}
	switch d.PeekKind() {
	case 'n':
		return d.SkipValue()
	case '"':
		c.given = true
		return json.UnmarshalDecode(d, &c.text)
	case '[':
		c.given, c.list = true, true
		return json.UnmarshalDecode(d, &c.parts)
	}
	return want("a string or a list of content parts")
}

// wantError says what a member should have been.
type wantError string

func (e wantError) Error() string { return string(e) }

func want(what string) error { return wantError(what) }

// badRequest turns a decoding error of a client's body into one that names the field.
func badRequest(err error) *llm.Error {
	var already *llm.Error
	if errors.As(err, &already) {
		return already
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		param := wire.FieldPath("", semantic.JSONPointer)
		what := "of another type"
		var w wantError
		if errors.As(semantic.Err, &w) {
			what = string(w)
		} else if semantic.GoType != nil {
			what = typeWord(semantic.GoType)
		}
		got := ""
		if k := kindWord(semantic.JSONKind); k != "" {
			got = ", got " + k
		}
		if param == "" {
			return llm.Invalid("request_body", "Invalid request body: it must be %s%s.", what, got)
		}
		return llm.Invalid(param, "Invalid type for '%s': it must be %s%s.", param, what, got)
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		if errors.Is(syntactic, jsontext.ErrDuplicateName) {
			p := wire.FieldPath("", syntactic.JSONPointer)
			return llm.Invalid(p, "Invalid JSON payload: '%s' is given twice.", p)
		}
		at := strconv.FormatInt(syntactic.ByteOffset, 10)
		return llm.Invalid("request_body", "Invalid JSON payload: %s at byte %s.", strings.TrimPrefix(syntactic.Err.Error(), "jsontext: "), at)
	}
	return llm.Invalid("request_body", "Invalid JSON payload: %s.", strings.TrimPrefix(err.Error(), "jsontext: "))
}

func typeWord(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64, reflect.Int64, reflect.Int:
		return "a number"
	}
	return "an object"
}

func kindWord(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "a list"
	}
	return ""
}

// unread makes the error for an upstream's answer that is not the dialect's. LiteLLM answers 500 here, not 502.
func unread(body []byte, err error) *llm.Error {
	e := &llm.Error{Kind: llm.ErrUpstream, Status: 500, Upstream: true, Cause: err}
	e.Message = "the provider's answer is not a valid response: " + llm.Cut(llm.PlainText(mask(body[:min(len(body), 500)])), 200)
	if len(body) == 0 {
		e.Message = "the provider's answer is empty"
	}
	return e
}

// plainExtra drops the members that say nothing, so that an Extra holds only what somebody meant.
func plainExtra(m map[string]jsontext.Value) map[string]llm.Raw {
	for k, v := range m {
		if !llm.IsSet(v) {
			delete(m, k)
		}
	}
	if len(m) == 0 {
		return nil
	}
	return m
}
