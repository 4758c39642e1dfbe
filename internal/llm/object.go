package llm

import (
	"bytes"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Object is a JSON object whose order counts: a model writes the properties of a schema in the order in which it reads them.
type Object []Member

// Member is one name and value of an Object.
type Member struct {
	Name  string
	Value Raw
}

// ObjectOf reads an object; nil if raw isn't one. Names given twice stay so. The values are copies.
func ObjectOf(raw Raw) Object {
	if raw.Kind() != '{' {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := d.ReadToken(); err != nil {
		return nil
	}
	out := Object{}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil
		}
		m := Member{Name: name.String()}
		v, err := d.ReadValue()
		if err != nil {
			return nil
		}
		m.Value = v.Clone()
		out = append(out, m)
	}
	if d.PeekKind() != '}' {
		return nil
	}
	return out
}

// SortedObject is an Extra as an object, in the order of its names.
func SortedObject(extra map[string]Raw) Object {
	out := Object{}
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		out = out.Add(name, extra[name])
	}
	return out
}

// Get is the value of a member, nil if there is none.
func (o Object) Get(name string) Raw {
	for i := range o {
		if o[i].Name == name {
			return o[i].Value
		}
	}
	return nil
}

// With replaces a member's value, in o itself, or adds the member.
func (o Object) With(name string, value Raw) Object {
	for i := range o {
		if o[i].Name == name {
			o[i].Value = value
			return o
		}
	}
	return o.Add(name, value)
}

// Add appends a member, whether or not there is one of that name.
func (o Object) Add(name string, value Raw) Object { return append(o, Member{name, value}) }

// Without takes members out, of o itself.
func (o Object) Without(names ...string) Object {
	return slices.DeleteFunc(o, func(m Member) bool { return slices.Contains(names, m.Name) })
}

// Raw writes the object; a member without a value is null.
func (o Object) Raw() Raw {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, Quote(m.Name)...), ':')
		if len(m.Value) == 0 {
			b = append(b, "null"...)
		}
		b = append(b, m.Value...)
	}
	return append(b, '}')
}

// IsSet says that a value was given and is not null.
func IsSet(raw Raw) bool { return len(raw) > 0 && raw.Kind() != 'n' }

// StringOf is the string that raw holds, empty if it holds something else.
func StringOf(raw Raw) string {
	if raw.Kind() != '"' {
		return ""
	}
	b, _ := jsontext.AppendUnquote(nil, raw) // the error tells of text that is not UTF-8, which was replaced
	return string(b)
}

// Quote is s as JSON. Bytes that are not UTF-8 become the replacement character.
func Quote(s string) Raw {
	b, _ := jsontext.AppendQuote(nil, s) // which is what the error would tell
	return b
}

// WithExtra adds a member to an Extra, which may be nil.
func WithExtra(extra map[string]Raw, name string, v Raw) map[string]Raw {
	if extra == nil {
		extra = map[string]Raw{}
	}
	extra[name] = v
	return extra
}
