package gemini

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// Google's Schema is a subset of OpenAPI 3.0's with upper-case types. Tools are sent in it, as Google's own clients do, wherever that
// loses nothing; where it would, the JSON schema goes as it is into parametersJsonSchema.

// member is one name and value of an object, whose order the model sees and which therefore is kept.
type member struct {
	name  string
	value llm.Raw
}

var errSchema = errors.New("want a schema object; send {\"type\": \"OBJECT\", \"properties\": {...}}")

// maxDepth bounds recursion into schemas.
const maxDepth = 64

func split(raw llm.Raw) ([]member, error) {
	if raw.Kind() != '{' {
		return nil, errSchema
	}
	dec := jsontext.NewDecoder(strings.NewReader(string(raw)), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var out []member
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		v, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		out = append(out, member{key, v.Clone()})
	}
	_, err := dec.ReadToken()
	return out, err
}

func join(ms []member) llm.Raw {
	b := []byte{'{'}
	for i, m := range ms {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, quoteLoose(m.name)...)
		b = append(append(b, ':'), m.value...)
	}
	return append(b, '}')
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

func unquote(v llm.Raw) string {
	if v.Kind() != '"' {
		return ""
	}
	s, _ := jsontext.AppendUnquote(nil, v) // mangled UTF-8 is replaced
	return string(s)
}

func quoted(s string) llm.Raw { return quoteLoose(s) }

func find(ms []member, name string) (llm.Raw, bool) {
	for _, m := range ms {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
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
	nullable, out := false, make([]member, 0, len(ms))
	for _, m := range ms {
		switch name := camel(m.name); name {
		case "nullable":
			nullable = m.value.Kind() == 't'
		case "type":
			out = append(out, member{name, lowerType(m.value)})
		case "properties", "defs", "$defs":
			props, err := split(m.value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			for i := range props {
				if props[i].value, err = fromSchemaAt(props[i].value, depth+1); err != nil {
					return nil, fmt.Errorf("%s.%s: %w", name, props[i].name, err)
				}
			}
			out = append(out, member{name, join(props)})
		case "items", "additionalProperties":
			v := m.value
			if v.Kind() == '{' {
				if v, err = fromSchemaAt(v, depth+1); err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
			}
			out = append(out, member{name, v})
		case "anyOf", "oneOf", "allOf", "prefixItems":
			vs := elements(m.value)
			for i := range vs {
				if vs[i], err = fromSchemaAt(vs[i], depth+1); err != nil {
					return nil, fmt.Errorf("%s[%d]: %w", name, i, err)
				}
			}
			out = append(out, member{name, joinList(vs)})
		case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
			v := m.value
			if n, err := strconv.ParseInt(unquote(v), 10, 64); err == nil { // protobuf writes 64-bit integers as strings
				v = llm.Raw(strconv.FormatInt(n, 10))
			}
			out = append(out, member{name, v})
		default:
			out = append(out, member{name, m.value})
		}
	}
	if nullable {
		out = allowNull(out)
	}
	return join(out), nil
}

// lowerType is the JSON schema's word for a type given by name in either case, by number, or as a list of names.
func lowerType(v llm.Raw) llm.Raw {
	switch v.Kind() {
	case '"':
		return quoted(strings.ToLower(unquote(v)))
	case '0':
		return quoted(strings.ToLower(enum(v).in(schemaTypes)))
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
func allowNull(ms []member) []member {
	for i, m := range ms {
		switch m.name {
		case "type":
			if m.value.Kind() == '"' {
				ms[i].value = joinList([]llm.Raw{m.value, quoted("null")})
			}
			return ms
		case "anyOf":
			ms[i].value = joinList(append(elements(m.value), llm.Raw(`{"type":"null"}`)))
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
	if props, has := find(ms, "properties"); !has || string(compact(props)) == "{}" {
		if t, _ := find(ms, "type"); t == nil || unquote(t) == "object" {
			_, composed := find(ms, "anyOf")
			_, ref := find(ms, "$ref")
			if !composed && !ref {
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
	return join(out), true
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

func (c *schemaWriter) define(ms []member) {
	for _, group := range [...]string{"$defs", "definitions"} {
		if raw, ok := find(ms, group); ok {
			defs, err := split(raw)
			if err != nil {
				continue
			}
			for _, d := range defs {
				c.defs["#/"+group+"/"+d.name] = d.value
			}
		}
	}
}

func (c *schemaWriter) convert(ms []member, depth int) ([]member, error) {
	if depth > maxDepth {
		return nil, errLossy
	}
	if ref, ok := find(ms, "$ref"); ok {
		target, ok := c.defs[unquote(ref)]
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
			if m.name != "$ref" {
				inlined = slices.DeleteFunc(inlined, func(n member) bool { return n.name == m.name })
				inlined = append(inlined, m)
			}
		}
		return c.convert(inlined, depth+1)
	}
	out := make([]member, 0, len(ms))
	nullable := false
	for _, m := range ms {
		var err error
		if out, err = c.keyword(out, m, &nullable, depth); err != nil {
			return nil, err
		}
	}
	return finish(out, nullable)
}

func (c *schemaWriter) keyword(out []member, m member, nullable *bool, depth int) ([]member, error) {
	switch m.name {
	case "type":
		return upperType(out, m.value, nullable)
	case "title", "description", "required", "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties",
		"pattern", "minimum", "maximum", "default", "example", "propertyOrdering":
		return append(out, m), nil
	case "nullable":
		*nullable = *nullable || m.value.Kind() == 't'
		return out, nil
	case "format":
		// Other formats are refused, and say nothing that the model needs.
		if slices.Contains([]string{"float", "double", "int32", "int64", "enum", "date-time"}, unquote(m.value)) {
			return append(out, m), nil
		}
		return out, nil
	case "enum":
		return textEnum(out, elements(m.value), nullable)
	case "const":
		return textEnum(out, []llm.Raw{m.value}, nullable)
	case "properties":
		props, err := split(m.value)
		if err != nil {
			return nil, errLossy
		}
		for i := range props {
			if props[i].value, err = c.child(props[i].value, depth); err != nil {
				return nil, err
			}
		}
		return append(out, member{m.name, join(props)}), nil
	case "items":
		v, err := c.child(m.value, depth)
		return append(out, member{m.name, v}), err
	case "anyOf", "oneOf":
		return c.anyOf(out, elements(m.value), nullable, depth)
	case "allOf":
		vs := elements(m.value)
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
		if m.value.Kind() == '{' && string(compact(m.value)) != "{}" {
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
	return join(out), nil
}

// upperType writes a type or a list of types; several besides null become alternatives.
func upperType(out []member, v llm.Raw, nullable *bool) ([]member, error) {
	if v.Kind() == '"' {
		return append(out, member{"type", quoted(strings.ToUpper(unquote(v)))}), nil
	}
	var rest []llm.Raw
	for _, t := range elements(v) {
		if unquote(t) == "null" {
			*nullable = true
		} else {
			rest = append(rest, quoted(strings.ToUpper(unquote(t))))
		}
	}
	switch len(rest) {
	case 0:
		return nil, errLossy
	case 1:
		return append(out, member{"type", rest[0]}), nil
	}
	for i, t := range rest {
		if s := unquote(t); s == "OBJECT" || s == "ARRAY" { // their properties stand outside the alternative
			return nil, errLossy
		}
		rest[i] = join([]member{{"type", t}})
	}
	return append(out, member{"anyOf", joinList(rest)}), nil
}

// textEnum writes an enumeration, which Google knows of strings only.
func textEnum(out []member, vs []llm.Raw, nullable *bool) ([]member, error) {
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
	return append(out, member{"enum", joinList(texts)}), nil
}

// anyOf writes alternatives: null becomes nullable, and a single one left is the schema itself.
func (c *schemaWriter) anyOf(out []member, vs []llm.Raw, nullable *bool, depth int) ([]member, error) {
	var rest []llm.Raw
	for _, v := range vs {
		ms, err := split(v)
		if err != nil {
			return nil, errLossy
		}
		if t, ok := find(ms, "type"); ok && unquote(t) == "null" {
			*nullable = true
			continue
		}
		conv, err := c.convert(ms, depth+1)
		if err != nil {
			return nil, err
		}
		rest = append(rest, join(conv))
	}
	switch len(rest) {
	case 0:
		return nil, errLossy
	case 1:
		inner, err := split(rest[0])
		for _, m := range inner {
			if _, ok := find(out, m.name); !ok {
				out = append(out, m)
			}
		}
		return out, err
	}
	return append(out, member{"anyOf", joinList(rest)}), nil
}

// finish adds the type that Google insists on, and refuses what it would refuse.
func finish(out []member, nullable bool) ([]member, error) {
	seen := map[string]bool{}
	for _, m := range out {
		if seen[m.name] {
			return nil, errLossy
		}
		seen[m.name] = true
	}
	if !seen["type"] && !seen["anyOf"] {
		switch {
		case seen["properties"]:
			out = append(out, member{"type", llm.Raw(`"OBJECT"`)})
		case seen["items"]:
			out = append(out, member{"type", llm.Raw(`"ARRAY"`)})
		case seen["enum"]:
			out = append(out, member{"type", llm.Raw(`"STRING"`)})
		default:
			return nil, errLossy
		}
	}
	t, _ := find(out, "type")
	props, _ := find(out, "properties")
	switch kind := unquote(t); {
	case kind == "OBJECT" && (props == nil || string(compact(props)) == "{}"),
		kind == "ARRAY" && !seen["items"],
		seen["enum"] && t != nil && kind != "STRING",
		seen["type"] && seen["anyOf"],
		t != nil && !slices.Contains(schemaTypes[1:7], kind):
		return nil, errLossy
	}
	if nullable {
		out = append(out, member{"nullable", llm.Raw("true")})
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
	out := make([]member, 0, len(ms))
	for _, m := range ms {
		switch {
		case m.name == "$schema", m.name == "additionalProperties" && m.value.Kind() == 'f':
			continue
		case m.name == "properties", m.name == "$defs", m.name == "definitions":
			props, err := split(m.value)
			if err != nil {
				return nil, err
			}
			for i := range props {
				if props[i].value, err = plainSchemaAt(props[i].value, depth+1); err != nil {
					return nil, err
				}
			}
			m.value = join(props)
		case m.name == "items" && m.value.Kind() == '{', m.name == "additionalProperties" && m.value.Kind() == '{':
			if m.value, err = plainSchemaAt(m.value, depth+1); err != nil {
				return nil, err
			}
		case (m.name == "anyOf" || m.name == "oneOf" || m.name == "allOf" || m.name == "prefixItems") && m.value.Kind() == '[':
			vs := elements(m.value)
			for i := range vs {
				if vs[i], err = plainSchemaAt(vs[i], depth+1); err != nil {
					return nil, err
				}
			}
			m.value = joinList(vs)
		}
		out = append(out, m)
	}
	return join(out), nil
}
