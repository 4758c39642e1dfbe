package api

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// syntaxError is a body that is not JSON.
type syntaxError struct {
	offset, line, column int
	why                  string
}

// Error says where and why.
func (e *syntaxError) Error() string {
	return fmt.Sprintf("the body is not JSON: line %d, column %d: %s", e.line, e.column, e.why)
}

// decode fills in, a pointer to a struct, from the request. A field's source and rules are its tags:
//
//	json:"name"    a member of the body     need:"true"   must be given, and not null
//	query:"name"   a URL parameter          default:"x"   value of an absent query parameter
//	path:"name"    a part of the path       min:"0" max:"100" bounds of a number
//	body:"optional" on any field: the body may be empty      oneof:"a,b"  values of a string
//
// plus:"kept" takes a + in a query parameter for itself, as in an e-mail address that was not escaped, not for a space.
//
// Query parameters of slices may repeat or be joined by commas. Faults are collected and answered together, as LiteLLM does.
func (a *API) decode(r *http.Request, in any) error {
	d := decoder{r: r}
	v := reflect.ValueOf(in).Elem()
	if hasBody, optional := bodied(v.Type()); hasBody {
		text, err := a.readBody(r)
		if err != nil {
			return err
		}
		if err := d.open(text, optional); err != nil {
			return err
		}
	}
	d.fields(v, d.body, []any{"body"})
	if d.refused != nil {
		return d.refused
	}
	if len(d.faults) > 0 {
		return d.faults
	}
	return nil
}

// bodied says whether a struct takes anything from the body, and whether there may be none.
func bodied(t reflect.Type) (has, optional bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			h, o := bodied(f.Type)
			has, optional = has || h, optional || o
		}
		has = has || f.Tag.Get("json") != ""
		optional = optional || f.Tag.Get("body") == "optional"
	}
	return has, optional
}

func (a *API) readBody(r *http.Request) ([]byte, error) {
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, a.MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &llm.Error{Kind: llm.ErrTooLarge, Message: fmt.Sprintf("the body is larger than %d bytes", a.MaxBody)}
	case err != nil:
		return nil, &llm.Error{Kind: llm.ErrInvalid, Message: "the body could not be read", Cause: err}
	}
	return text, nil
}

// decoder reads one request.
type decoder struct {
	r       *http.Request
	body    map[string]jsontext.Value
	faults  faults
	refused *llm.Error // the first value that is of the right type and yet not allowed
}

func (d *decoder) fault(kind string, loc []any, msg string) {
	d.faults = append(d.faults, fault{Type: kind, Loc: loc, Msg: msg})
}

// open splits the body into its members.
func (d *decoder) open(text []byte, optional bool) error {
	if len(bytes.TrimSpace(text)) == 0 {
		if !optional {
			return faults{{Type: "missing", Loc: []any{"body"}, Msg: "Field required"}}
		}
		return nil
	}
	if err := checkSyntax(text); err != nil {
		return err
	}
	var ok bool
	if d.body, ok = members(text); !ok {
		return faults{{Type: "model_attributes_type", Loc: []any{"body"}, Msg: "Input should be a valid dictionary or object to extract fields from"}}
	}
	return nil
}

// checkSyntax reads the text to its end. Its error points at what a person has to change.
func checkSyntax(text []byte) error {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	e := &syntaxError{offset: len(text)}
	if err := dec.SkipValue(); err != nil {
		e.why = "the text ends too early"
		var se *jsontext.SyntacticError
		if errors.As(err, &se) && int(se.ByteOffset) < len(text) {
			e.offset, e.why = int(se.ByteOffset), se.Err.Error()
		}
	} else {
		rest := bytes.TrimLeft(text[dec.InputOffset():], " \t\r\n")
		if len(rest) == 0 {
			return nil
		}
		e.offset, e.why = len(text)-len(rest), "text after the end of the JSON value"
	}
	switch at := text[e.offset:]; {
	case len(at) > 1 && at[0] == ',' && strings.IndexByte("}],", firstByte(at[1:])) >= 0:
		e.why = "a comma with nothing after it"
	case len(at) > 0 && at[0] == '"' && strings.Contains(e.why, "expecting ','"):
		e.why = "a comma is missing before this"
	}
	before := text[:e.offset]
	e.line = 1 + bytes.Count(before, []byte("\n"))
	e.column = len(before) - bytes.LastIndexByte(before, '\n')
	return e
}

// firstByte is the first byte that is no space; 0 if there is none.
func firstByte(text []byte) byte {
	if text = bytes.TrimLeft(text, " \t\r\n"); len(text) > 0 {
		return text[0]
	}
	return 0
}

// members splits an object. The values share text's memory.
func members(text []byte) (map[string]jsontext.Value, bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return nil, false
	}
	out := map[string]jsontext.Value{}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, false
		}
		key := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, false
		}
		out[key] = value.Clone()
	}
	return out, true
}

// fields fills a struct's fields from an object's members, the URL and the path.
func (d *decoder) fields(v reflect.Value, from map[string]jsontext.Value, loc []any) {
	t := v.Type()
	for i := range t.NumField() {
		f, target := t.Field(i), v.Field(i)
		switch {
		case f.Anonymous:
			d.fields(target, from, loc)
		case f.Tag.Get("path") != "":
			value := d.r.PathValue(f.Tag.Get("path"))
			d.noNUL(strings.IndexByte(value, 0) >= 0, f.Tag.Get("path"))
			target.SetString(value)
		case f.Tag.Get("query") != "":
			d.query(f, target)
		case f.Tag.Get("json") != "":
			name := f.Tag.Get("json")
			raw, given := from[name]
			at := append(loc[:len(loc):len(loc)], name)
			if !given && f.Tag.Get("need") != "" {
				d.fault("missing", at, "Field required")
			}
			d.noNUL(given && escapesNUL(raw), name)
			if given && (f.Tag.Get("need") == "" || raw.Kind() != 'n') {
				d.value(target, raw, at)
				d.rules(f, target, at)
			} else if given {
				d.mismatch(target, raw, at)
			}
		}
	}
}

// noNUL refuses text that PostgreSQL can't hold, whatever the database is.
func (d *decoder) noNUL(has bool, name string) {
	if has && d.refused == nil {
		d.refused = llm.Invalid(name, "%s holds a control character", name)
	}
}

// escapesNUL reports whether a JSON value has a NUL in one of its strings. There it stands escaped, with no further backslash before it.
func escapesNUL(raw []byte) bool {
	const nul = `\u0000`
	for {
		at := bytes.Index(raw, []byte(nul))
		if at < 0 {
			return false
		}
		slashes := 0
		for slashes < at && raw[at-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return true
		}
		raw = raw[at+len(nul):]
	}
}

// query fills a field from the URL.
func (d *decoder) query(f reflect.StructField, target reflect.Value) {
	name := f.Tag.Get("query")
	at := []any{"query", name}
	values, given := d.r.URL.Query()[name]
	if given && f.Tag.Get("plus") == "kept" {
		if q, err := url.ParseQuery(strings.ReplaceAll(d.r.URL.RawQuery, "+", "%2B")); err == nil {
			values = q[name]
		}
	}
	d.noNUL(slices.ContainsFunc(values, func(v string) bool { return strings.IndexByte(v, 0) >= 0 }), name)
	if !given {
		if f.Tag.Get("need") != "" {
			d.fault("missing", at, "Field required")
		}
		def := f.Tag.Get("default")
		if def == "" {
			return
		}
		values = []string{def}
	}
	if target.Kind() == reflect.Slice {
		for _, v := range values {
			for part := range strings.SplitSeq(v, ",") {
				if part = strings.TrimSpace(part); part != "" {
					target.Set(reflect.Append(target, reflect.ValueOf(part)))
				}
			}
		}
		return
	}
	quoted, err := jsontext.AppendQuote(nil, values[0])
	if err != nil {
		d.fault("string_unicode", at, "Input should be a valid string")
		return
	}
	d.value(target, quoted, at)
	d.rules(f, target, at)
}

// rules checks bounds and choices. A bad query parameter is a 422 as in FastAPI; a negative number in a body is a 400 that names its field.
func (d *decoder) rules(f reflect.StructField, target reflect.Value, at []any) {
	v := settled(target)
	if !v.IsValid() {
		return
	}
	if choices := f.Tag.Get("oneof"); choices != "" && v.Kind() == reflect.String && v.String() != "" {
		if !strings.Contains(","+choices+",", ","+v.String()+",") {
			all := strings.Split(choices, ",")
			msg := "Input should be '" + strings.Join(all[:len(all)-1], "', '") + "' or '" + all[len(all)-1] + "'"
			d.fault(cmp.Or(f.Tag.Get("wrong"), "literal_error"), at, msg)
		}
		return
	}
	if lo := f.Tag.Get("min"); lo != "" && asFloat(v) < bound(lo) {
		if at[0] == "query" {
			d.fault("greater_than_equal", at, "Input should be greater than or equal to "+lo)
		} else if d.refused == nil {
			name := fmt.Sprint(at[1])
			d.refused = llm.Invalid(name, "%s must be a non-negative finite number. Received: %v", name, v.Interface())
			if lo != "0" {
				d.refused = llm.Invalid(name, "%s must be at least %s. Received: %v", name, lo, v.Interface())
			}
		}
	}
	if hi := f.Tag.Get("max"); hi != "" && asFloat(v) > bound(hi) {
		d.fault("less_than_equal", at, "Input should be less than or equal to "+hi)
	}
}
