package gemini

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

// Google's Schema is a subset of OpenAPI 3.0's with upper-case types. Tools are sent in it, as Google's own clients do, wherever that
// loses nothing; where it would, the JSON schema goes as it is into parametersJsonSchema.

var errSchema = errors.New("want a schema object; send {\"type\": \"OBJECT\", \"properties\": {...}}")

// maxDepth bounds recursion into schemas.
const maxDepth = 64

func split(raw llm.Raw) (llm.Object, error) {
	if o := llm.ObjectOf(raw); o != nil {
		return o, nil
	}
	return nil, errSchema
}

func elements(raw llm.Raw) []llm.Raw {
	var out []llm.Raw
	if json.Unmarshal(raw, &out, upstreamOptions) != nil {
		return nil
	}
	return out
}

func joinList(vs []llm.Raw) llm.Raw {
	b := []byte{'['}
	for i, v := range vs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']')
}

// fromSchema turns Google's Schema into a JSON schema: lower-case types, nullable as a type, counts as numbers.
func fromSchema(raw llm.Raw) (llm.Raw, error) { return fromSchemaAt(raw, 0) }

func fromSchemaAt(raw llm.Raw, depth int) (llm.Raw, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deep")
	}
	ms, err := split(raw)
	if err != nil {
		return nil, err
	}
	nullable, out := false, make(llm.Object, 0, len(ms))
	for _, m := range ms {
		switch name := camel(m.Name); name {
		case "nullable":
			nullable = m.Value.Kind() == 't'
		case "type":
			out = out.Add(name, lowerType(m.Value))
		case "properties", "defs", "$defs":
			props, err := split(m.Value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			for i := range props {
				if props[i].Value, err = fromSchemaAt(props[i].Value, depth+1); err != nil {
					return nil, fmt.Errorf("%s.%s: %w", name, props[i].Name, err)
				}
			}
			out = out.Add(name, props.Raw())
		case "items", "additionalProperties":
			v := m.Value
			if v.Kind() == '{' {
				if v, err = fromSchemaAt(v, depth+1); err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
			}
			out = out.Add(name, v)
		case "anyOf", "oneOf", "allOf", "prefixItems":
			vs := elements(m.Value)
			for i := range vs {
				if vs[i], err = fromSchemaAt(vs[i], depth+1); err != nil {
					return nil, fmt.Errorf("%s[%d]: %w", name, i, err)
				}
			}
			out = out.Add(name, joinList(vs))
		case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
			v := m.Value
			if n, err := strconv.ParseInt(llm.StringOf(v), 10, 64); err == nil { // protobuf writes 64-bit integers as strings
				v = llm.Raw(strconv.FormatInt(n, 10))
			}
			out = out.Add(name, v)
		default:
			out = out.Add(name, m.Value)
		}
	}
	if nullable {
		out = allowNull(out)
	}
	return out.Raw(), nil
}

// lowerType is the JSON schema's word for a type given by name in either case, by number, or as a list of names.
func lowerType(v llm.Raw) llm.Raw {
	switch v.Kind() {
	case '"':
		return llm.Quote(strings.ToLower(llm.StringOf(v)))
	case '0':
		return llm.Quote(strings.ToLower(enum(v).in(schemaTypes)))
	case '[':
		vs := elements(v)
		for i := range vs {
			vs[i] = lowerType(vs[i])
		}
		return joinList(vs)
	}
	return v
}

// allowNull writes OpenAPI's nullable as JSON schema does.
func allowNull(ms llm.Object) llm.Object {
	for i, m := range ms {
		switch m.Name {
		case "type":
			if m.Value.Kind() == '"' {
				ms[i].Value = joinList([]llm.Raw{m.Value, llm.Quote("null")})
			}
			return ms
		case "anyOf":
			ms[i].Value = joinList(append(elements(m.Value), llm.Raw(`{"type":"null"}`)))
			return ms
		}
	}
	return ms
}

// toSchema turns a JSON schema into Google's Schema; ok is false when that would change what it says.
// A schema without properties gives nothing: Google refuses an empty object.
func toSchema(raw llm.Raw) (schema llm.Raw, ok bool) {
	if len(raw) == 0 {
		return nil, true
	}
	ms, err := split(raw)
	if err != nil {
		return nil, false
	}
	if props := ms.Get("properties"); props == nil || string(compact(props)) == "{}" {
		if t := ms.Get("type"); t == nil || llm.StringOf(t) == "object" {
			if ms.Get("anyOf") == nil && ms.Get("$ref") == nil {
				return nil, true
			}
		}
	}
	c := &schemaWriter{defs: map[string]llm.Raw{}}
	c.define(ms)
	out, err := c.convert(ms, 0)
	if err != nil {
		return nil, false
	}
	return out.Raw(), true
}

func compact(v llm.Raw) llm.Raw {
	c := v.Clone()
	if c.Compact() != nil {
		return v
	}
	return c
}

// errLossy says that Google's Schema can't hold it.
var errLossy = errors.New("can't be said in a Schema")

type schemaWriter struct {
	defs map[string]llm.Raw
	size int
}

// maxSchema bounds how far inlined references may blow a schema up.
const maxSchema = 1 << 17

func (c *schemaWriter) define(ms llm.Object) {
	for _, group := range [...]string{"$defs", "definitions"} {
		if raw := ms.Get(group); raw != nil {
			defs, err := split(raw)
			if err != nil {
				continue
			}
			for _, d := range defs {
				c.defs["#/"+group+"/"+d.Name] = d.Value
			}
		}
	}
}

func (c *schemaWriter) convert(ms llm.Object, depth int) (llm.Object, error) {
	if depth > maxDepth {
		return nil, errLossy
	}
	if ref := ms.Get("$ref"); ref != nil {
		target, ok := c.defs[llm.StringOf(ref)]
		if !ok {
			return nil, errLossy
		}
		if c.size += len(target); c.size > maxSchema {
			return nil, errLossy
		}
		inlined, err := split(target)
		if err != nil {
			return nil, errLossy
		}
		for _, m := range ms { // what stands beside a reference (a description) comes first
			if m.Name != "$ref" {
				inlined = slices.DeleteFunc(inlined, func(n llm.Member) bool { return n.Name == m.Name })
				inlined = append(inlined, m)
			}
		}
		return c.convert(inlined, depth+1)
	}
	out := make(llm.Object, 0, len(ms))
	nullable := false
	for _, m := range ms {
		var err error
		if out, err = c.keyword(out, m, &nullable, depth); err != nil {
			return nil, err
		}
	}
	return finish(out, nullable)
}

func (c *schemaWriter) keyword(out llm.Object, m llm.Member, nullable *bool, depth int) (llm.Object, error) {
	switch m.Name {
	case "type":
		return upperType(out, m.Value, nullable)
	case "title", "description", "required", "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties",
		"pattern", "minimum", "maximum", "default", "example", "propertyOrdering":
		return append(out, m), nil
	case "nullable":
		*nullable = *nullable || m.Value.Kind() == 't'
		return out, nil
	case "format":
		// Other formats are refused, and say nothing that the model needs.
		if slices.Contains([]string{"float", "double", "int32", "int64", "enum", "date-time"}, llm.StringOf(m.Value)) {
			return append(out, m), nil
		}
		return out, nil
	case "enum":
		return textEnum(out, elements(m.Value), nullable)
	case "const":
		return textEnum(out, []llm.Raw{m.Value}, nullable)
	case "properties":
		props, err := split(m.Value)
		if err != nil {
			return nil, errLossy
		}
		for i := range props {
			if props[i].Value, err = c.child(props[i].Value, depth); err != nil {
				return nil, err
			}
		}
		return out.Add(m.Name, props.Raw()), nil
	case "items":
		v, err := c.child(m.Value, depth)
		return out.Add(m.Name, v), err
	case "anyOf", "oneOf":
		return c.anyOf(out, elements(m.Value), nullable, depth)
	case "allOf":
		vs := elements(m.Value)
		if len(vs) != 1 {
			return nil, errLossy
		}
		inner, err := split(vs[0])
		if err != nil {
			return nil, errLossy
		}
		if inner, err = c.convert(inner, depth+1); err != nil {
			return nil, err
		}
		return append(out, inner...), nil
	case "additionalProperties":
		if m.Value.Kind() == '{' && string(compact(m.Value)) != "{}" {
			return nil, errLossy
		}
		return out, nil
	case "prefixItems":
		return nil, errLossy
	}
	return out, nil // annotations and constraints that Google's JSON schema does not know either
}

func (c *schemaWriter) child(raw llm.Raw, depth int) (llm.Raw, error) {
	ms, err := split(raw)
	if err != nil {
		return nil, errLossy
	}
	out, err := c.convert(ms, depth+1)
	if err != nil {
		return nil, err
	}
	return out.Raw(), nil
}

// upperType writes a type or a list of types; several besides null become alternatives.
func upperType(out llm.Object, v llm.Raw, nullable *bool) (llm.Object, error) {
	if v.Kind() == '"' {
		return out.Add("type", llm.Quote(strings.ToUpper(llm.StringOf(v)))), nil
	}
	var rest []llm.Raw
	for _, t := range elements(v) {
		if llm.StringOf(t) == "null" {
			*nullable = true
		} else {
			rest = append(rest, llm.Quote(strings.ToUpper(llm.StringOf(t))))
		}
	}
	switch len(rest) {
	case 0:
		return nil, errLossy
	case 1:
		return out.Add("type", rest[0]), nil
	}
	for i, t := range rest {
		if s := llm.StringOf(t); s == "OBJECT" || s == "ARRAY" { // their properties stand outside the alternative
			return nil, errLossy
		}
		rest[i] = llm.Object{}.Add("type", t).Raw()
	}
	return out.Add("anyOf", joinList(rest)), nil
}

// textEnum writes an enumeration, which Google knows of strings only.
func textEnum(out llm.Object, vs []llm.Raw, nullable *bool) (llm.Object, error) {
	var texts []llm.Raw
	for _, v := range vs {
		switch v.Kind() {
		case '"':
			texts = append(texts, v)
		case 'n':
			*nullable = true
		default:
			return nil, errLossy
		}
	}
	if len(texts) == 0 {
		return nil, errLossy
	}
	return out.Add("enum", joinList(texts)), nil
}

// anyOf writes alternatives: null becomes nullable, and a single one left is the schema itself.
func (c *schemaWriter) anyOf(out llm.Object, vs []llm.Raw, nullable *bool, depth int) (llm.Object, error) {
	var rest []llm.Raw
	for _, v := range vs {
		ms, err := split(v)
		if err != nil {
			return nil, errLossy
		}
		if llm.StringOf(ms.Get("type")) == "null" {
			*nullable = true
			continue
		}
		conv, err := c.convert(ms, depth+1)
		if err != nil {
			return nil, err
		}
		rest = append(rest, conv.Raw())
	}
	switch len(rest) {
	case 0:
		return nil, errLossy
	case 1:
		inner, err := split(rest[0])
		for _, m := range inner {
			if out.Get(m.Name) == nil {
				out = append(out, m)
			}
		}
		return out, err
	}
	return out.Add("anyOf", joinList(rest)), nil
}

// finish adds the type that Google insists on, and refuses what it would refuse.
func finish(out llm.Object, nullable bool) (llm.Object, error) {
	seen := map[string]bool{}
	for _, m := range out {
		if seen[m.Name] {
			return nil, errLossy
		}
		seen[m.Name] = true
	}
	if !seen["type"] && !seen["anyOf"] {
		switch {
		case seen["properties"]:
			out = out.Add("type", llm.Raw(`"OBJECT"`))
		case seen["items"]:
			out = out.Add("type", llm.Raw(`"ARRAY"`))
		case seen["enum"]:
			out = out.Add("type", llm.Raw(`"STRING"`))
		default:
			return nil, errLossy
		}
	}
	t, props := out.Get("type"), out.Get("properties")
	switch kind := llm.StringOf(t); {
	case kind == "OBJECT" && (props == nil || string(compact(props)) == "{}"),
		kind == "ARRAY" && !seen["items"],
		seen["enum"] && t != nil && kind != "STRING",
		seen["type"] && seen["anyOf"],
		t != nil && !slices.Contains(schemaTypes[1:7], kind):
		return nil, errLossy
	}
	if nullable {
		out = out.Add("nullable", llm.Raw("true"))
	}
	return out, nil
}

// plainSchema is a JSON schema for responseJsonSchema, without the two keywords that say nothing to Gemini: which dialect of JSON schema
// it is, and that no other properties may come (it never writes undeclared ones).
func plainSchema(raw llm.Raw) (llm.Raw, error) { return plainSchemaAt(raw, 0) }

func plainSchemaAt(raw llm.Raw, depth int) (llm.Raw, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deep")
	}
	if raw.Kind() != '{' {
		if k := raw.Kind(); k == 't' || k == 'f' {
			return raw, nil
		}
		return nil, errSchema
	}
	ms, err := split(raw)
	if err != nil {
		return nil, err
	}
	out := make(llm.Object, 0, len(ms))
	for _, m := range ms {
		switch {
		case m.Name == "$schema", m.Name == "additionalProperties" && m.Value.Kind() == 'f':
			continue
		case m.Name == "properties", m.Name == "$defs", m.Name == "definitions":
			props, err := split(m.Value)
			if err != nil {
				return nil, err
			}
			for i := range props {
				if props[i].Value, err = plainSchemaAt(props[i].Value, depth+1); err != nil {
					return nil, err
				}
			}
			m.Value = props.Raw()
		case m.Name == "items" && m.Value.Kind() == '{', m.Name == "additionalProperties" && m.Value.Kind() == '{':
			if m.Value, err = plainSchemaAt(m.Value, depth+1); err != nil {
				return nil, err
			}
		case (m.Name == "anyOf" || m.Name == "oneOf" || m.Name == "allOf" || m.Name == "prefixItems") && m.Value.Kind() == '[':
			vs := elements(m.Value)
			for i := range vs {
				if vs[i], err = plainSchemaAt(vs[i], depth+1); err != nil {
					return nil, err
				}
			}
			m.Value = joinList(vs)
		}
		out = append(out, m)
	}
	return out.Raw(), nil
}
