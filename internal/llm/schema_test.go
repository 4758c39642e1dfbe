package llm

import "testing"

func TestObject(t *testing.T) {
	f := func(raw, want string) {
		t.Helper()
		o := ObjectOf(Raw(raw))
		if got := string(o.Raw()); o != nil && got != want || o == nil && want != "" {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
	f(`{"b": [1, 2],"a":null,"b":"\"é"}`, `{"b":[1, 2],"a":null,"b":"\"é"}`)
	f(`{}`, `{}`)
	for _, none := range []string{``, `null`, `[]`, `{`, `{"a"`, `{"a":1`, `{"a":1]`, `{1:2}`} {
		f(none, "")
	}
	o := ObjectOf(Raw(`{"a":1,"b":2,"c":3}`)).With("b", Raw("4")).With("d", nil).Without("a", "c")
	if got := string(o.Raw()); got != `{"b":4,"d":null}` || o.Get("a") != nil || string(o.Get("b")) != "4" {
		t.Error(got)
	}
	if got := StringOf(Raw(`"a\n\ud83d"`)); got != "a\n\uFFFD" {
		t.Errorf("%q", got)
	}
}

func TestObjectSchema(t *testing.T) {
	f := func(schema, want string) {
		t.Helper()
		if got := string(ObjectSchema(Raw(schema))); got != want {
			t.Errorf("%s: %s, want %s", schema, got, want)
		}
	}
	f(``, `{"type":"object","properties":{}}`)
	f(`{}`, `{"type":"object","properties":{}}`)
	f(`{"type":"string"}`, `{"type":"string"}`)
	f(`{"properties":{},"type":null}`, `{"type":"object","properties":{}}`)
}

func TestClosedSchema(t *testing.T) {
	f := func(schema, want string) {
		t.Helper()
		if got := string(ClosedSchema(Raw(schema))); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", schema, got, want)
		}
	}
	f(`true`, `true`)
	f(`{"$schema":"x","type":"object","additionalProperties":true,"properties":{"b":{"properties":{}},"a":{"type":"integer","minimum":1,"maximum":2,"description":"d"}}}`,
		`{"type":"object","properties":{"b":{"properties":{},"additionalProperties":false},`+
			`"a":{"type":"integer","description":"d\n\n{\"minimum\":1,\"maximum\":2}"}},"additionalProperties":false}`)
	f(`{"oneOf":[{"type":"object"},false],"items":{"minItems":1},"additionalItems":{"type":"object"},"minItems":2}`,
		`{"anyOf":[{"type":"object","additionalProperties":false},false],"items":{"minItems":1},"additionalItems":{"type":"object","additionalProperties":false},`+
			`"description":"{\"minItems\":2}"}`)
	f(`{"$defs":{"minimum":{"maximum":3}},"patternProperties":{"x":{}}}`, `{"$defs":{"minimum":{"description":"{\"maximum\":3}"}},"patternProperties":{"x":{}}}`)
}
