package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// EntryError says why an entry of a model list can't be used.
type EntryError struct {
	Field   string // litellm_params.api_base; empty: the entry as a whole
	Message string
}

// Error is the message, which names the field.
func (e *EntryError) Error() string { return e.Message }

// ReadModel reads one entry of a model list that stands in no file: a JSON object with model_name, litellm_params and model_info, as
// model_list has them, by the same rules. credentials are named sets of parameters beside credential_list; where both have a name, these
// count. The error is an *EntryError; warnings come beside a usable Model.
func (c *Config) ReadModel(entry []byte, credentials map[string]map[string]string) (Model, []Problem, error) {
	n, err := parseJSON(entry)
	if err != nil {
		return Model{}, nil, &EntryError{Message: err.Error()}
	}
	sets := map[string]*node{}
	for _, cred := range c.Credentials {
		values := map[string]string{}
		for name, v := range cred.Values {
			values[name] = v.Reveal()
		}
		sets[cred.Name] = textNode(values)
	}
	for name, values := range credentials {
		sets[name] = textNode(values)
	}
	var problems []Problem
	lookup := func(name string) (string, bool) {
		v := c.Env(name)
		return v, v != ""
	}
	report := func(p Problem) {
		p.Path = strings.TrimPrefix(p.Path, entryRoot+".")
		p.Message = strings.ReplaceAll(p.Message, entryRoot+".", "")
		p.Message = strings.ReplaceAll(strings.TrimPrefix(p.Message, entryRoot+": "), " (line 0)", "")
		problems = append(problems, p)
	}
	d := &decoder{lookup: lookup, report: report, sev: Entry}
	m := d.model(n, entryRoot, sets)
	if d.failed {
		i := slices.IndexFunc(problems, func(p Problem) bool { return p.Severity == Entry })
		field := problems[i].Path
		if field == entryRoot {
			field = ""
		}
		return Model{}, problems, &EntryError{Field: field, Message: problems[i].Message}
	}
	return m, problems, nil
}

// entryRoot is where an entry stands in a document of its own.
const entryRoot = "entry"

func textNode(values map[string]string) *node {
	n := &node{kind: mapping, size: 1}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		n.keys = append(n.keys, entry{key: name, val: &node{kind: scalar, value: values[name], text: values[name], size: 1}})
	}
	return n
}

// parseJSON reads a JSON object as parse reads YAML.
func parseJSON(text []byte) (*node, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	if len(text) > maxFileBytes || dec.PeekKind() != '{' {
		return nil, errors.New("must be a JSON object")
	}
	left := maxNodes
	n, err := readJSON(dec, 0, &left)
	if err != nil {
		return nil, fmt.Errorf("not valid JSON: %w", err)
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return nil, errors.New("not valid JSON: text after its end")
	}
	return n, nil
}

func readJSON(dec *jsontext.Decoder, depth int, left *int) (*node, error) {
	if *left--; *left < 0 || depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep, or too large", maxDepth)
	}
	tok, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch tok.Kind() {
	case '{':
		n := &node{kind: mapping, size: 1}
		for dec.PeekKind() != '}' {
			name, err := dec.ReadToken()
			if err != nil {
				return nil, err
			}
			key := name.String()
			val, err := readJSON(dec, depth+1, left)
			if err != nil {
				return nil, err
			}
			n.keys = append(n.keys, entry{key: key, val: val})
			n.size += val.size
		}
		_, err = dec.ReadToken()
		return n, err
	case '[':
		n := &node{kind: sequence, size: 1}
		for dec.PeekKind() != ']' {
			item, err := readJSON(dec, depth+1, left)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
			n.size += item.size
		}
		_, err = dec.ReadToken()
		return n, err
	}
	n := &node{kind: scalar, size: 1, text: tok.String()}
	switch tok.Kind() {
	case '"':
		n.value = n.text
	case 't', 'f':
		n.value = tok.Bool()
	case '0':
		f, err := strconv.ParseFloat(n.text, 64)
		if err != nil {
			return nil, fmt.Errorf("%s is not a number that can be kept", n.text)
		}
		n.value = f
		if i, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			n.value = i
		}
	case 'n':
		n.text = ""
	}
	return n, nil
}

// SecretParam says that a key of litellm_params or of a credential holds a secret, and so is never shown.
func SecretParam(name string) bool {
	secret := false
	eachField(reflect.TypeFor[Params](), func(f reflect.StructField, _ []int, key string) {
		if f.Type == reflect.TypeFor[Secret]() && (key == name || slices.Contains(strings.Split(f.Tag.Get("alias"), ","), name)) {
			secret = true
		}
	})
	if secret {
		return true
	}
	if paramNames()[name] || isCostKey(name) {
		return false
	}
	lower := strings.ToLower(name)
	for _, word := range [...]string{"key", "secret", "password", "credential", "authorization", "cookie", "private"} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return lower == "token" || strings.HasSuffix(lower, "_token") || strings.HasSuffix(lower, "-token")
}

// paramNames are the keys that Params has a field for, their other spellings, and known request parameters.
func paramNames() map[string]bool {
	names := map[string]bool{}
	eachField(reflect.TypeFor[Params](), func(f reflect.StructField, _ []int, key string) {
		names[key] = true
		for alias := range strings.SplitSeq(f.Tag.Get("alias"), ",") {
			names[alias] = true
		}
	})
	for _, name := range requestParams {
		names[name] = true
	}
	return names
}

// Shown lists the parameters that are set, by their keys, without the secrets. Durations are seconds.
func (p *Params) Shown() map[string]any {
	out := map[string]any{}
	v := reflect.ValueOf(p).Elem()
	eachField(v.Type(), func(f reflect.StructField, index []int, key string) {
		field := v.FieldByIndex(index)
		if field.IsZero() || f.Type == reflect.TypeFor[Secret]() {
			return
		}
		if field.Kind() == reflect.Pointer {
			field = field.Elem()
		}
		out[key] = field.Interface()
		if d, ok := out[key].(time.Duration); ok {
			out[key] = d.Seconds()
		}
	})
	return out
}

// Secrets lists the secrets that are set, by their keys.
func (p *Params) Secrets() map[string]Secret {
	out := map[string]Secret{}
	v := reflect.ValueOf(p).Elem()
	eachField(v.Type(), func(f reflect.StructField, index []int, key string) {
		if s, ok := v.FieldByIndex(index).Interface().(Secret); ok && s != "" {
			out[key] = s
		}
	})
	return out
}
