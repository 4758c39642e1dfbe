package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// decoder fills structs from nodes by their tags. Problems are reported with its severity, never returned: one wrong value does not
// hide the next.
type decoder struct {
	lookup func(string) (string, bool)
	report func(Problem)
	sev    Severity
	failed bool // something of this severity was reported
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	aliasType    = reflect.TypeFor[Alias]()
)

func (d *decoder) fail(n *node, path, format string, args ...any) {
	d.failed = true
	d.report(Problem{Severity: d.sev, File: n.file, Line: n.line, Path: path, Message: path + ": " + fmt.Sprintf(format, args...)})
}

// resolve replaces os.environ/NAME by the variable's value. An unset variable is a problem and leaves ok false.
func (d *decoder) resolve(n *node, path string) (_ *node, ok bool) {
	s, is := n.value.(string)
	if n.kind != scalar || !is || !strings.HasPrefix(s, envPrefix) {
		return n, true
	}
	name := strings.TrimPrefix(s, envPrefix)
	v, set := d.lookup(name)
	if !set && strings.HasPrefix(path, "router_settings.redis_") {
		// LiteLLM's default file names them; without Redis everything works, for each replica by itself.
		d.report(Problem{Severity: Note, File: n.file, Line: n.line, Path: path,
			Message: path + ": environment variable " + name + " is not set: limits are not shared through Redis"})
		return n, false
	}
	if !set {
		d.fail(n, path, "environment variable %s is not set", name)
		return n, false
	}
	return &node{kind: scalar, value: v, text: v, file: n.file, line: n.line, size: 1}, true
}

const envPrefix = "os.environ/"

// value puts n into v. Strings that spell a boolean or a number are taken as such where one is wanted.
func (d *decoder) value(n *node, v reflect.Value, path string) {
	n, ok := d.resolve(n, path)
	if !ok || n.null() {
		return
	}
	switch {
	case v.Type() == durationType:
		d.duration(n, v, path)
		return
	case v.Type() == aliasType && n.kind == scalar:
		v.Field(0).SetString(n.text)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		failed := d.failed
		d.failed = false
		d.value(n, p.Elem(), path)
		if !d.failed {
			v.Set(p)
		}
		d.failed = d.failed || failed
	case reflect.Struct:
		if n.kind != mapping {
			d.fail(n, path, "must be a mapping, not %s", n.what())
			return
		}
		for _, e := range d.fields(n, v, path) {
			d.unknown(e, path, v.Type())
		}
	case reflect.Slice:
		d.slice(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Interface:
		if x := d.any(n, path); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) scalar(n *node, v reflect.Value, path string) {
	if n.kind != scalar {
		d.fail(n, path, "must be a single value, not %s", n.what())
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.text)
	case reflect.Bool:
		b, ok := asBool(n)
		if !ok {
			d.fail(n, path, "must be true or false")
			return
		}
		v.SetBool(b)
	case reflect.Int64, reflect.Int:
		f, ok := asNumber(n)
		if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			d.fail(n, path, "must be a whole number")
			return
		}
		v.SetInt(int64(f))
	case reflect.Float64:
		f, ok := asNumber(n)
		if !ok {
			d.fail(n, path, "must be a number")
			return
		}
		v.SetFloat(f)
	default:
		d.fail(n, path, "has no readable type")
	}
}

func (d *decoder) duration(n *node, v reflect.Value, path string) {
	dur, ok := asDuration(n)
	if !ok {
		d.fail(n, path, "must be a time: a number of seconds, or text such as 30s or 5m")
		return
	}
	v.SetInt(int64(dur))
}

func (d *decoder) slice(n *node, v reflect.Value, path string) {
	if n.kind == scalar && v.Type().Elem().Kind() == reflect.String {
		v.Set(reflect.Append(v, reflect.ValueOf(n.text).Convert(v.Type().Elem())))
		return
	}
	if n.kind != sequence {
		d.fail(n, path, "must be a list, not %s", n.what())
		return
	}
	for i, item := range n.items {
		e := reflect.New(v.Type().Elem()).Elem()
		if e.Kind() == reflect.Struct {
			if line := e.FieldByName("Line"); line.IsValid() {
				line.SetInt(int64(item.line))
			}
			if err := setDefaults(e); err != nil {
				d.fail(item, path, "%v", err)
			}
		}
		d.value(item, e, fmt.Sprintf("%s[%d]", path, i))
		v.Set(reflect.Append(v, e))
	}
}

func (d *decoder) mapping(n *node, v reflect.Value, path string) {
	if n.kind != mapping {
		d.fail(n, path, "must be a mapping, not %s", n.what())
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, e := range n.keys {
		x := reflect.New(v.Type().Elem()).Elem()
		d.value(e.val, x, path+"."+e.key)
		v.SetMapIndex(reflect.ValueOf(e.key), x)
	}
}

// any gives a node as plain Go values, references resolved.
func (d *decoder) any(n *node, path string) any {
	switch n.kind {
	case sequence:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = d.any(item, fmt.Sprintf("%s[%d]", path, i))
		}
		return out
	case mapping:
		out := make(map[string]any, len(n.keys))
		for _, e := range n.keys {
			out[e.key] = d.any(e.val, path+"."+e.key)
		}
		return out
	}
	n, ok := d.resolve(n, path)
	if !ok {
		return nil
	}
	return n.value
}

// fields fills the struct's fields and gives back the entries that none of them names.
func (d *decoder) fields(n *node, v reflect.Value, path string) (rest []entry) {
	known := map[string]reflect.Value{}
	tags := map[string]reflect.StructField{}
	eachField(v.Type(), func(f reflect.StructField, index []int, name string) {
		known[name], tags[name] = v.FieldByIndex(index), f
		for alias := range strings.SplitSeq(f.Tag.Get("alias"), ",") {
			if alias != "" {
				known[alias], tags[alias] = v.FieldByIndex(index), f
			}
		}
	})
	for _, e := range n.keys {
		field, ok := known[e.key]
		if !ok {
			rest = append(rest, e)
			continue
		}
		at := join(path, e.key)
		f := tags[e.key]
		if f.Tag.Get("form") == "json" && e.val.kind == mapping {
			d.value(d.asJSON(e.val, at), field, at)
		} else {
			d.value(e.val, field, at)
		}
		if f.Tag.Get("later") != "" && !e.val.null() {
			d.report(laterNote(e, at, f.Tag.Get("doc")))
		}
		if allowed := f.Tag.Get("oneof"); allowed != "" && !slices.Contains(strings.Split(allowed, ","), field.String()) {
			d.fail(e.val, at, "must be one of %s, not %q", strings.ReplaceAll(allowed, ",", ", "), field.String())
		}
	}
	return rest
}

// asJSON is a mapping as JSON text, for keys that take either.
func (d *decoder) asJSON(n *node, path string) *node {
	text, err := json.Marshal(d.any(n, path), json.Deterministic(true))
	if err != nil {
		d.fail(n, path, "can't be written as JSON")
		return &node{}
	}
	return &node{kind: scalar, value: string(text), text: string(text), file: n.file, line: n.line, size: 1}
}

// unknown reports a key that no field takes: as a note if LiteLLM knows it, as a warning otherwise.
func (d *decoder) unknown(e entry, path string, t reflect.Type) {
	at := join(path, e.key)
	section := sectionOf(path)
	if doc, ok := laterKeys[section][e.key]; ok {
		d.report(laterNote(e, at, doc))
		return
	}
	names := fieldNames(t)
	for k := range laterKeys[section] {
		names = append(names, k)
	}
	slices.Sort(names)
	d.report(unknownKey(e, at, nearest(e.key, names)))
}

// sectionOf strips list positions: weir.keys[3] is weir.keys.
func sectionOf(path string) string {
	var b strings.Builder
	depth := 0
	for _, c := range path {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case depth == 0:
			b.WriteRune(c)
		}
	}
	return b.String()
}

func laterNote(e entry, path, doc string) Problem {
	return Problem{Severity: Note, File: e.file, Line: e.line, Path: path,
		Message: fmt.Sprintf("%s (line %d) is accepted but has no effect yet: %s", sectionOf(path), e.line, doc)}
}

func unknownKey(e entry, path, suggestion string) Problem {
	p := Problem{Severity: Warning, File: e.file, Line: e.line, Path: path, Message: fmt.Sprintf("unknown key %s (line %d)", path, e.line)}
	if suggestion != "" {
		p.Message += ": did you mean " + suggestion + "?"
	}
	return p
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// eachField visits the fields that a key can set, those of inlined structs included.
func eachField(t reflect.Type, visit func(f reflect.StructField, index []int, name string)) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case opts == "inline":
			eachField(f.Type, func(g reflect.StructField, index []int, name string) {
				visit(g, append([]int{i}, index...), name)
			})
		case name != "" && name != "-":
			visit(f, []int{i}, name)
		}
	}
}

func fieldNames(t reflect.Type) []string {
	var out []string
	eachField(t, func(_ reflect.StructField, _ []int, name string) { out = append(out, name) })
	return out
}

// setDefaults fills a struct's fields from their default tags, nested structs included.
func setDefaults(v reflect.Value) error {
	var first error
	eachField(v.Type(), func(f reflect.StructField, index []int, name string) {
		field := v.FieldByIndex(index)
		if field.Kind() == reflect.Struct {
			if err := setDefaults(field); err != nil && first == nil {
				first = err
			}
			return
		}
		text := f.Tag.Get("default")
		if text == "" {
			return
		}
		d := decoder{lookup: func(string) (string, bool) { return "", false }, report: func(p Problem) {
			if first == nil {
				first = fmt.Errorf("default of %s: %s", name, p.Message)
			}
		}}
		d.value(&node{kind: scalar, value: text, text: text}, field, name)
	})
	return first
}

func asBool(n *node) (value, ok bool) {
	switch v := n.value.(type) {
	case bool:
		return v, true
	case int64:
		return v == 1, v == 0 || v == 1
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "yes", "on", "1":
			return true, true
		case "false", "no", "off", "0", "":
			return false, true
		}
	}
	return false, false
}

func asNumber(n *node) (float64, bool) {
	switch v := n.value.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	case string:
		f, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(v), "_", ""), 64)
		return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
	}
	return 0, false
}

func asDuration(n *node) (time.Duration, bool) {
	if f, ok := asNumber(n); ok {
		return time.Duration(f * float64(time.Second)), f >= 0 && f < 1e9
	}
	if s, ok := n.value.(string); ok {
		d, err := time.ParseDuration(strings.TrimSpace(s))
		return d, err == nil && d >= 0
	}
	return 0, false
}
