package llm

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ObjectSchema gives the schema of a tool's arguments the type that Anthropic and Bedrock demand.
func ObjectSchema(schema Raw) Raw {
	o := ObjectOf(schema)
	switch {
	case len(o) == 0:
		return Raw(`{"type":"object","properties":{}}`)
	case IsSet(o.Get("type")):
		return schema
	}
	return append(Object{{"type", Raw(`"object"`)}}, o.Without("type")...).Raw()
}

// refused are the JSON schema keywords that Claude's structured output does not take.
var refused = map[string]bool{
	"minimum": true, "maximum": true, "exclusiveMinimum": true, "exclusiveMaximum": true, "multipleOf": true, "minLength": true,
	"maxLength": true, "minItems": true, "maxItems": true, "uniqueItems": true, "minProperties": true, "maxProperties": true,
}

// ClosedSchema is schema as Claude's structured output takes it, wherever the model runs: every object closed against further properties,
// and constraints that it refuses told to the model in the description instead, as Anthropic's own SDKs do.
func ClosedSchema(schema Raw) Raw {
	o := ObjectOf(schema)
	if o == nil {
		return schema
	}
	var out, notes Object
	object := StringOf(o.Get("type")) == "object" || IsSet(o.Get("properties"))
	for _, m := range o {
		switch m.Name {
		case "properties", "$defs", "definitions":
			inner := ObjectOf(m.Value)
			for i := range inner {
				inner[i].Value = ClosedSchema(inner[i].Value)
			}
			if inner != nil {
				m.Value = inner.Raw()
			}
		case "items", "additionalItems", "not":
			m.Value = ClosedSchema(m.Value)
		case "anyOf", "allOf", "oneOf", "prefixItems":
			m.Value = closedList(m.Value)
			if m.Name == "oneOf" {
				m.Name = "anyOf"
			}
		case "additionalProperties":
			if object {
				continue
			}
		case "$schema":
			continue
		default:
			few := m.Name == "minItems" && (string(m.Value) == "0" || string(m.Value) == "1")
			if refused[m.Name] && m.Value.Kind() != '{' && !few {
				notes = append(notes, m)
				continue
			}
		}
		out = append(out, m)
	}
	if object {
		out = out.With("additionalProperties", Raw("false"))
	}
	if len(notes) > 0 {
		d := StringOf(out.Get("description"))
		if d != "" {
			d += "\n\n"
		}
		out = out.With("description", Quote(d+string(notes.Raw())))
	}
	return out.Raw()
}

func closedList(raw Raw) Raw {
	var list []Raw
	if json.Unmarshal(raw, &list, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return raw
	}
	b := []byte{'['}
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, ClosedSchema(v)...)
	}
	return append(b, ']')
}
