package anthropic

import (
	"bytes"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

func sortedKeys(m map[string]llm.Raw) []string { return slices.Sorted(maps.Keys(m)) }

// member is one name and value of an object whose order counts.
type member struct {
	name  string
	value llm.Raw
}

// members reads a JSON object in order; nil if raw isn't one.
func members(raw llm.Raw) []member {
	if raw.Kind() != '{' {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true))
	if _, err := d.ReadToken(); err != nil {
		return nil
	}
	out := []member{}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil
		}
		m := member{name: name.String()}
		v, err := d.ReadValue()
		if err != nil {
			return nil
		}
		m.value = v.Clone()
		out = append(out, m)
	}
	return out
}

func appendMembers(dst []byte, list []member) []byte {
	w := writer{b: append(dst, '{')}
	for _, m := range list {
		w.sep()
		w.b = append(appendString(w.b, m.name), ':')
		w.raw("", m.value)
	}
	return append(w.b, '}')
}

// set replaces a member's value or adds the member.
func set(list []member, name string, value llm.Raw) []member {
	for i := range list {
		if list[i].name == name {
			list[i].value = value
			return list
		}
	}
	return append(list, member{name, value})
}

func get(list []member, name string) llm.Raw {
	for i := range list {
		if list[i].name == name {
			return list[i].value
		}
	}
	return nil
}

// text is the string that raw holds, empty if it holds something else.
func text(raw llm.Raw) string {
	if raw.Kind() != '"' {
		return ""
	}
	b, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return ""
	}
	return string(b)
}

func quote(s string) llm.Raw { return appendString(nil, s) }

// unsupported are the JSON schema keywords that Anthropic's structured output refuses; its own SDKs tell them to the model in the
// description instead.
var unsupported = map[string]bool{
	"minimum": true, "maximum": true, "exclusiveMinimum": true, "exclusiveMaximum": true, "multipleOf": true, "minLength": true,
	"maxLength": true, "minItems": true, "maxItems": true, "uniqueItems": true, "minProperties": true, "maxProperties": true,
	"patternProperties": true, "$schema": true,
}

// closedSchema is schema as Anthropic's structured output takes it: every object closed against further properties, constraints it
// refuses moved into the description. Order is kept, since the model writes properties in that order.
func closedSchema(schema llm.Raw) llm.Raw {
	list := members(schema)
	if list == nil {
		return schema
	}
	var out []member
	var notes []member
	object := text(get(list, "type")) == "object" || get(list, "properties") != nil
	for _, m := range list {
		switch m.name {
		case "properties", "$defs", "definitions":
			inner := members(m.value)
			for i := range inner {
				inner[i].value = closedSchema(inner[i].value)
			}
			if inner != nil {
				m.value = appendMembers(nil, inner)
			}
		case "items", "additionalItems", "not":
			m.value = closedSchema(m.value)
		case "anyOf", "allOf", "oneOf", "prefixItems":
			m.value = closedList(m.value)
			if m.name == "oneOf" {
				m.name = "anyOf"
			}
		case "additionalProperties":
			if object {
				continue
			}
		default:
			if m.name == "minItems" && (string(m.value) == "0" || string(m.value) == "1") {
				break
			}
			if unsupported[m.name] && m.value.Kind() != '{' {
				if m.name != "$schema" {
					notes = append(notes, m)
				}
				continue
			}
		}
		out = append(out, m)
	}
	if object {
		out = set(out, "additionalProperties", llm.Raw("false"))
	}
	if len(notes) > 0 {
		d := text(get(out, "description"))
		if d != "" {
			d += "\n\n"
		}
		out = set(out, "description", quote(d+string(appendMembers(nil, notes))))
	}
	return appendMembers(nil, out)
}

func closedList(raw llm.Raw) llm.Raw {
	var list []llm.Raw
	if json.Unmarshal(raw, &list, jsontext.AllowDuplicateNames(true)) != nil {
		return raw
	}
	w := writer{b: []byte{'['}}
	for _, v := range list {
		w.raw("", closedSchema(v))
	}
	return append(w.b, ']')
}
