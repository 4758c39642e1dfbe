package api

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// opt is a body's field that tells absent (not Set), null (Set, nil Value) and given apart.
type opt[T any] struct {
	Set   bool
	Value *T
}

func (o *opt[T]) target() reflect.Value { o.Set = true; return reflect.ValueOf(&o.Value).Elem() }

func (o *opt[T]) current() reflect.Value { return reflect.ValueOf(o.Value) }

func (o *opt[T]) isSet() bool { return o.Set }

func (o *opt[T]) forget() { *o = opt[T]{} }

// or is the value, or what stands in for none.
func (o opt[T]) or(fallback T) T {
	if o.Value == nil {
		return fallback
	}
	return *o.Value
}

// put stores the value where the field was given; null stores the zero value.
func (o opt[T]) put(to *T) {
	if !o.Set {
		return
	}
	var zero T
	*to = o.or(zero)
}

// putPtr stores the value where the field was given; null stores nil.
func (o opt[T]) putPtr(to **T) {
	if o.Set {
		*to = o.Value
	}
}

// optional is an opt[T] of any T.
type optional interface {
	target() reflect.Value  // where to put a value; the field counts as given
	current() reflect.Value // the pointer to the value, nil if there is none
	isSet() bool
	forget() // as if the field had not been given
}

var (
	moneyType = reflect.TypeFor[money]()
	rawType   = reflect.TypeFor[jsontext.Value]()
)

// value decodes raw into target, as leniently as LiteLLM does: numbers and booleans may be quoted; "" is no number.
func (d *decoder) value(target reflect.Value, raw jsontext.Value, at []any) {
	if o, ok := target.Addr().Interface().(optional); ok {
		d.value(o.target(), raw, at)
		return
	}
	t := target.Type()
	switch {
	case t == rawType:
		target.SetBytes(raw)
		return
	case raw.Kind() == 'n' || t.Kind() == reflect.Pointer && string(raw) == `""` && t.Elem().Kind() != reflect.String:
		target.SetZero()
		return
	case t.Kind() == reflect.Pointer:
		target.Set(reflect.New(t.Elem()))
		d.value(target.Elem(), raw, at)
		return
	case t == moneyType:
		if m, ok := parseMoney(scalar(raw)); ok {
			target.SetInt(int64(m))
			return
		}
		d.mismatch(target, raw, at)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		parts, ok := members(raw)
		if !ok {
			d.mismatch(target, raw, at)
			return
		}
		d.fields(target, parts, at)
	case reflect.Slice:
		d.slice(target, raw, at)
	case reflect.Map:
		d.dict(target, raw, at)
	default:
		if !setScalar(target, raw) {
			d.mismatch(target, raw, at)
		}
	}
}

func (d *decoder) slice(target reflect.Value, raw jsontext.Value, at []any) {
	var parts []jsontext.Value
	if raw.Kind() != '[' || json.Unmarshal(raw, &parts) != nil {
		d.mismatch(target, raw, at)
		return
	}
	target.Set(reflect.MakeSlice(target.Type(), len(parts), len(parts)))
	for i, part := range parts {
		if part.Kind() == 'n' {
			d.mismatch(target.Index(i), part, append(at[:len(at):len(at)], i))
			continue
		}
		d.value(target.Index(i), part, append(at[:len(at):len(at)], i))
	}
}

func (d *decoder) dict(target reflect.Value, raw jsontext.Value, at []any) {
	parts, ok := members(raw)
	if !ok {
		d.mismatch(target, raw, at)
		return
	}
	target.Set(reflect.MakeMapWithSize(target.Type(), len(parts)))
	for name, part := range parts {
		elem := reflect.New(target.Type().Elem()).Elem()
		where := append(at[:len(at):len(at)], name)
		if part.Kind() == 'n' && elem.Kind() != reflect.Interface {
			d.mismatch(elem, part, where)
			continue
		}
		d.value(elem, part, where)
		target.SetMapIndex(reflect.ValueOf(name), elem)
	}
}

// scalar is the text of a number, quoted or not; "" if raw is neither.
func scalar(raw jsontext.Value) string {
	switch raw.Kind() {
	case '0':
		return string(raw)
	case '"':
		s, err := jsontext.AppendUnquote(nil, raw)
		if err == nil {
			return strings.TrimSpace(string(s))
		}
	}
	return ""
}

func setScalar(target reflect.Value, raw jsontext.Value) bool {
	switch target.Kind() {
	case reflect.String:
		if raw.Kind() != '"' {
			return false
		}
		s, err := jsontext.AppendUnquote(nil, raw)
		target.SetString(string(s))
		return err == nil
	case reflect.Bool:
		switch raw.Kind() {
		case 't', 'f':
			target.SetBool(raw.Kind() == 't')
			return true
		}
		switch strings.ToLower(scalar(raw)) {
		case "true", "1", "yes", "on", "t", "y":
			target.SetBool(true)
			return true
		case "false", "0", "no", "off", "f", "n":
			return true
		}
		return false
	case reflect.Int64:
		n, err := strconv.ParseInt(strings.TrimSuffix(scalar(raw), ".0"), 10, 64)
		target.SetInt(n)
		return err == nil
	case reflect.Float64:
		f, err := strconv.ParseFloat(scalar(raw), 64)
		if err != nil || f != f || f-f != 0 {
			return false
		}
		target.SetFloat(f)
		return true
	case reflect.Interface:
		var v any
		if json.Unmarshal(raw, &v) != nil {
			return false
		}
		if v != nil {
			target.Set(reflect.ValueOf(v))
		}
		return true
	}
	return false
}

// mismatch notes a value of the wrong type in the words LiteLLM's clients know.
func (d *decoder) mismatch(target reflect.Value, raw jsontext.Value, at []any) {
	t := target.Type()
	if o, ok := target.Addr().Interface().(optional); ok {
		t = o.target().Type()
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	quoted := raw.Kind() == '"'
	kind, msg := "value_error", "Input should be valid"
	switch {
	case t == moneyType || t.Kind() == reflect.Float64:
		kind, msg = "float_type", "Input should be a valid number"
		if quoted {
			kind, msg = "float_parsing", msg+", unable to parse string as a number"
		} else if raw.Kind() == '0' {
			kind, msg = "finite_number", fmt.Sprintf("Input should be a finite number of at most %d", maxMoney)
		}
	case t.Kind() == reflect.Int64:
		kind, msg = "int_type", "Input should be a valid integer"
		if quoted {
			kind, msg = "int_parsing", msg+", unable to parse string as an integer"
		} else if raw.Kind() == '0' {
			kind, msg = "int_from_float", msg+", got a number with a fractional part"
		}
	case t.Kind() == reflect.Bool:
		kind, msg = "bool_type", "Input should be a valid boolean"
		if quoted {
			kind, msg = "bool_parsing", msg+", unable to interpret input"
		}
	case t.Kind() == reflect.String:
		kind, msg = "string_type", "Input should be a valid string"
	case t.Kind() == reflect.Slice:
		kind, msg = "list_type", "Input should be a valid list"
	case t.Kind() == reflect.Map:
		kind, msg = "dict_type", "Input should be a valid dictionary"
	case t.Kind() == reflect.Struct:
		kind, msg = "model_attributes_type", "Input should be a valid dictionary or object to extract fields from"
	}
	d.fault(kind, at, msg)
}

// settled is the value a field was given; invalid when none or null.
func settled(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		if o, ok := v.Addr().Interface().(optional); ok {
			v = o.current()
		}
	}
	if v.Kind() == reflect.Pointer {
		return v.Elem()
	}
	return v
}

func asFloat(v reflect.Value) float64 {
	switch v.Kind() {
	case reflect.Int64:
		if v.Type() == moneyType {
			return float64(v.Int()) / 1e9
		}
		return float64(v.Int())
	case reflect.Float64:
		return v.Float()
	}
	return 0
}

// bound reads a whole number out of a tag.
func bound(tag string) float64 {
	n, err := strconv.ParseFloat(tag, 64)
	if err != nil {
		panic("api: a field's bound is no number: " + tag) // a mistake in a struct tag; TestTags meets it first
	}
	return n
}
