package gemini

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/llm"
)

func TestToSchema(t *testing.T) {
	t.Parallel()
	f := func(in, want string) {
		t.Helper()
		got, ok := toSchema(llm.Raw(in))
		if want == "lossy" {
			if ok {
				t.Errorf("%s: got %s, want none", in, got)
			}
			return
		}
		if !ok || string(got) != want {
			t.Errorf("%s:\ngot  %s %v\nwant %s", in, got, ok, want)
		}
	}
	wrap := func(s string) string { return `{"type":"object","properties":{"a":` + s + `}}` }
	g := func(in, want string) {
		t.Helper()
		if want != "lossy" {
			want = `{"type":"OBJECT","properties":{"a":` + want + `}}`
		}
		f(wrap(in), want)
	}
	f(``, ``)
	f(`{"type":"object"}`, ``)
	f(`{"type":"object","properties":{}}`, ``)
	f(`5`, "lossy")
	f(`{"$schema":"x","title":"T","type":"object","additionalProperties":false,"properties":{"a":{"type":"integer","format":"int32"}},"required":["a"]}`,
		`{"title":"T","type":"OBJECT","properties":{"a":{"type":"INTEGER","format":"int32"}},"required":["a"]}`)
	g(`{"type":"string","format":"email"}`, `{"type":"STRING"}`)
	g(`{"type":["string","null"],"default":null}`, `{"type":"STRING","default":null,"nullable":true}`)
	g(`{"type":["string","integer"]}`, `{"anyOf":[{"type":"STRING"},{"type":"INTEGER"}]}`)
	g(`{"anyOf":[{"type":"string"},{"type":"null"}],"description":"d"}`, `{"type":"STRING","description":"d","nullable":true}`)
	g(`{"oneOf":[{"type":"string"},{"type":"number"}]}`, `{"anyOf":[{"type":"STRING"},{"type":"NUMBER"}]}`)
	g(`{"const":"x"}`, `{"enum":["x"],"type":"STRING"}`)
	g(`{"enum":["x",null]}`, `{"enum":["x"],"type":"STRING","nullable":true}`)
	g(`{"allOf":[{"type":"string"}],"description":"d"}`, `{"type":"STRING","description":"d"}`)
	g(`{"type":"array","items":{"type":"object","properties":{"b":{"type":"boolean"}}},"minItems":1}`,
		`{"type":"ARRAY","items":{"type":"OBJECT","properties":{"b":{"type":"BOOLEAN"}}},"minItems":1}`)
	// What a Schema can't hold goes as a JSON schema.
	g(`{"enum":[1,2]}`, "lossy")
	g(`{"const":5}`, "lossy")
	g(`{}`, "lossy")
	g(`true`, "lossy")
	g(`{"type":"array"}`, "lossy")
	g(`{"type":"object"}`, "lossy")
	g(`{"type":"object","additionalProperties":{"type":"string"}}`, "lossy")
	g(`{"allOf":[{"type":"string"},{"minLength":2}]}`, "lossy")
	g(`{"prefixItems":[{"type":"string"}]}`, "lossy")
	f(`{"type":"object","properties":{"p":{"$ref":"#/$defs/P","description":"own"}},"$defs":{"P":{"type":"string","description":"theirs"}}}`,
		`{"type":"OBJECT","properties":{"p":{"type":"STRING","description":"own"}}}`)
	f(`{"type":"object","properties":{"p":{"$ref":"#/$defs/P"}},"$defs":{"P":{"type":"object","properties":{"next":{"$ref":"#/$defs/P"}}}}}`, "lossy")
	f(`{"type":"object","properties":{"p":{"$ref":"https://example.org"}}}`, "lossy")
	f(strings.Repeat(`{"type":"array","items":`, 200)+`{"type":"string"}`+strings.Repeat(`}`, 200), "lossy")
	// References that double at each step end before they fill the memory.
	var defs []string
	for _, c := range "abcdefghijklmnopqrstuvwxyz" {
		next := string(c + 1)
		defs = append(defs, `"`+string(c)+`":{"type":"object","properties":{"x":{"$ref":"#/$defs/`+next+`"},"y":{"$ref":"#/$defs/`+next+`"}}}`)
	}
	f(`{"type":"object","properties":{"r":{"$ref":"#/$defs/a"}},"$defs":{`+strings.Join(defs, ",")+`,"{":{"type":"string"}}}`, "lossy")
}

func TestFromSchema(t *testing.T) {
	t.Parallel()
	f := func(in, want string) {
		t.Helper()
		got, err := fromSchema(llm.Raw(in))
		if err != nil || string(got) != want {
			t.Errorf("%s:\ngot  %s %v\nwant %s", in, got, err, want)
		}
	}
	f(`{"type":"OBJECT","properties":{"max_items":{"type":"STRING","max_length":"5"}},"property_ordering":["max_items"]}`,
		`{"type":"object","properties":{"max_items":{"type":"string","maxLength":5}},"propertyOrdering":["max_items"]}`)
	f(`{"any_of":[{"type":"STRING"},{"type":"NUMBER"}],"nullable":true}`, `{"anyOf":[{"type":"string"},{"type":"number"},{"type":"null"}]}`)
	f(`{"type":5,"items":{"type":1}}`, `{"type":"array","items":{"type":"string"}}`)
	if _, err := fromSchema(llm.Raw(`{"properties":{"a":{"items":3,"properties":[]}}}`)); err == nil || !strings.Contains(err.Error(), "properties.a") {
		t.Errorf("got %v", err)
	}
}

func TestPlainSchema(t *testing.T) {
	t.Parallel()
	got, err := plainSchema(llm.Raw(`{"$schema":"s","type":"object","additionalProperties":false,"properties":{"additionalProperties":{"type":"string"},"l":{"type":"array","items":{"type":"object","additionalProperties":false,"properties":{"x":true}}},"u":{"anyOf":[{"type":"object","additionalProperties":false}]}}}`))
	want := `{"type":"object","properties":{"additionalProperties":{"type":"string"},"l":{"type":"array","items":{"type":"object","properties":{"x":true}}},"u":{"anyOf":[{"type":"object"}]}}}`
	if err != nil || string(got) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}
