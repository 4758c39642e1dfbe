package converse

import (
	"github.com/weir-gateway/weir/internal/llm"
)

// objectSchema gives a tool's schema the type that Bedrock demands.
func objectSchema(schema llm.Raw) llm.Raw {
	o := members(schema)
	switch {
	case len(o) == 0:
		return llm.Raw(`{"type":"object","properties":{}}`)
	case set(o.get("type")):
		return schema
	}
	return append(object{{"type", llm.Raw(`"object"`)}}, o.without("type")...).raw()
}

// refused are the JSON schema keywords that Claude's structured output does not take; they are told to the model in the description.
var refused = map[string]bool{
	"minimum": true, "maximum": true, "exclusiveMinimum": true, "exclusiveMaximum": true, "multipleOf": true, "minLength": true,
	"maxLength": true, "minItems": true, "maxItems": true, "uniqueItems": true, "minProperties": true, "maxProperties": true,
}

// closedSchema is schema as Claude's structured output takes it: every object closed against further properties. Order is kept, since the
// model writes properties in that order.
func closedSchema(schema llm.Raw) llm.Raw {
	o := members(schema)
	if o == nil {
		return schema
	}
	var out, notes object
	isObject := text(o.get("type")) == "object" || set(o.get("properties"))
	for _, m := range o {
		switch m.name {
		case "properties", "$defs", "definitions":
			inner := members(m.value)
			for i := range inner {
				inner[i].value = closedSchema(inner[i].value)
			}
			if inner != nil {
				m.value = inner.raw()
			}
		case "items", "not":
			m.value = closedSchema(m.value)
		case "anyOf", "allOf", "oneOf", "prefixItems":
			m.value = closedList(m.value)
			if m.name == "oneOf" {
				m.name = "anyOf"
			}
		case "additionalProperties":
			if isObject {
				continue
			}
		case "$schema":
			continue
		default:
			few := m.name == "minItems" && (string(m.value) == "0" || string(m.value) == "1")
			if refused[m.name] && m.value.Kind() != '{' && !few {
				notes = append(notes, m)
				continue
			}
		}
		out = append(out, m)
	}
	if isObject {
		out = out.with("additionalProperties", llm.Raw("false"))
	}
	if len(notes) > 0 {
		d := text(out.get("description"))
		if d != "" {
			d += "\n\n"
		}
		out = out.with("description", quote(d+string(notes.raw())))
	}
	return out.raw()
}

func closedList(raw llm.Raw) llm.Raw {
	var list []llm.Raw
	if unmarshalUpstream(raw, &list) != nil {
		return raw
	}
	w := writer{b: []byte{'['}}
	for _, v := range list {
		w.raw("", closedSchema(v))
	}
	w.end(']')
	return w.b
}
