package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func TestScan_fields(t *testing.T) {
	body := []byte("\n { \"model\" : \"gpt\\u002d4\\n\" ,\t\"stream\":true,\"n\\u0061me\":[1,{\"a\":-0.5e+3}],\"x\":null}\r\n")
	var d Doc
	if err := Scan(&d, body, Limits{}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range d.Fields {
		got = append(got, string(f.Name)+"|"+string(body[f.NameStart:f.NameEnd])+"|"+string(body[f.Start:f.End]))
	}
	want := []string{
		`model|"model"|"gpt\u002d4\n"`, `stream|"stream"|true`, `name|"n\u0061me"|[1,{"a":-0.5e+3}]`, `x|"x"|null`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s, ok := d.Str("model"); s != "gpt-4\n" || !ok {
		t.Errorf("model = %q, %v", s, ok)
	}
	if _, ok := d.Str("stream"); ok {
		t.Error("a boolean read as a string")
	}
	if v, ok := d.Bool("stream"); !v || !ok {
		t.Errorf("stream = %v, %v", v, ok)
	}
	if _, ok := d.Bool("x"); ok {
		t.Error("null read as a boolean")
	}
	if v, ok := d.Get("absent"); v != nil || ok {
		t.Errorf("absent = %q, %v", v, ok)
	}
}

func TestScan_refuses(t *testing.T) {
	many := func(last string) string {
		var b strings.Builder
		for i := range 40 {
			b.WriteString(`"n` + strings.Repeat("x", i) + `":1,`)
		}
		return `{"o":{` + b.String() + last + `}}`
	}
	f := func(body string, offset, line, column int, message string) {
		t.Helper()
		var d Doc
		err := Scan(&d, []byte(body), Limits{MaxDepth: 4})
		if message == "" {
			if err != nil {
				t.Errorf("%.60s: %v", body, err)
			}
			return
		}
		var se *SyntaxError
		if !errors.As(err, &se) {
			t.Errorf("%.60s: error %v, want a *SyntaxError", body, err)
			return
		}
		if !strings.Contains(se.Message, message) || se.Offset != offset || se.Line != line || se.Column != column {
			t.Errorf("%.60s: %+v, want offset %d line %d column %d %q", body, *se, offset, line, column, message)
		}
	}
	f("", 0, 1, 1, "empty")
	f(" \n ", 3, 2, 2, "empty")
	f("[]", 0, 1, 1, "not a JSON object")
	f("\xef\xbb\xbf{}", 0, 1, 1, "not a JSON object")
	f("{}", 0, 0, 0, "")
	f("{} {}", 3, 1, 4, "unexpected data")
	f("{\"a\":1,\n\"a\":2}", 8, 2, 1, `duplicate name "a"`)
	f(`{"a":1,"\u0061":2}`, 7, 1, 8, `duplicate name "a"`)
	f(`{"o":[{"a":1,"a":2}]}`, 13, 1, 14, `duplicate name "a"`)
	f(`{"o":{"a":1},"p":{"a":2}}`, 0, 0, 0, "")
	f(`{"a":{"a":{}}}`, 0, 0, 0, "")
	f(many(`"nxx":2`), 1026, 1, 1027, `duplicate name "nxx"`)
	f(many(`"other":2`), 0, 0, 0, "")
	f(`{"Model":"a"}`, 1, 1, 2, `"Model" must be written "model"`)
	f(`{"model":"a","MODEL":"b"}`, 13, 1, 14, `"MODEL" must be written "model"`)
	f(`{"\u004dodel":"a"}`, 1, 1, 2, `"Model" must be written "model"`)
	f(`{"\u017ftream":true}`, 1, 1, 2, `must be written "stream"`)
	f(`{"meſſages":[]}`, 1, 1, 2, `must be written "messages"`)
	f(`{"Stream_Options":{}}`, 1, 1, 2, `must be written "stream_options"`)
	f(`{"o":{"Model":1},"Temperature":1,"models":1}`, 0, 0, 0, "")
	f(`{"a":[[[1]]]}`, 0, 0, 0, "")
	f(`{"a":[[[[1]]]]}`, 8, 1, 9, "deeper than 4")
	f(`{"a":{"b":{"c":{"d":{}}}}}`, 20, 1, 21, "deeper than 4")
	f(`{"a":NaN}`, 5, 1, 6, "expected a value")
	f(`{"a":Infinity}`, 5, 1, 6, "expected a value")
	f(`{"a":01}`, 6, 1, 7, "',' or '}'")
	f(`{"a":-}`, 6, 1, 7, "expected a digit")
	f(`{"a":1.}`, 7, 1, 8, "expected a digit")
	f(`{"a":1e}`, 7, 1, 8, "expected a digit")
	f(`{"a":tru}`, 5, 1, 6, "expected true")
	f(`{"a":1,}`, 7, 1, 8, "quoted name")
	f(`{"a":[1,]}`, 8, 1, 9, "expected a value")
	f(`{"a" 1}`, 5, 1, 6, "':'")
	f(`{"a":"`, 6, 1, 7, "end inside a string")
	f(`{"a":"\`, 6, 1, 7, "invalid escape")
	f(`{"a":"\x"}`, 6, 1, 7, "invalid escape")
	f(`{"a":"\u12g4"}`, 6, 1, 7, `invalid \u escape`)
	f(`{"a":"\ud800"}`, 6, 1, 7, "lone surrogate")
	f(`{"a":"\udc00\ud800"}`, 6, 1, 7, "lone surrogate")
	f(`{"a":"\ud83d\ude00"}`, 0, 0, 0, "")
	f("{\"a\":\"0123456789\x1f\"}", 16, 1, 17, "control character")
	f("{\"a\":\"012345678\xff9\"}", 15, 1, 16, "invalid UTF-8")
	f("{\"a\":\"\xed\xa0\x80\"}", 6, 1, 7, "invalid UTF-8")
	f(`{"a`, 3, 1, 4, "end inside a string")
	f(`{"a":1`, 6, 1, 7, "unexpected end")
}

// accepted is the oracle: an object that jsontext accepts and that has no case variant of a known name.
func accepted(t *testing.T, body []byte) bool {
	v := jsontext.Value(body)
	if v.Kind() != '{' || !v.IsValid() {
		return false
	}
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	if _, err := dec.ReadToken(); err != nil {
		t.Fatal(err)
	}
	for dec.PeekKind() == '"' {
		tok, err := dec.ReadToken()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range foldedKnown {
			if n := tok.String(); n != k && strings.EqualFold(n, k) {
				return false
			}
		}
		if err := dec.SkipValue(); err != nil {
			t.Fatal(err)
		}
	}
	return true
}

func checkScan(t *testing.T, d *Doc, body []byte) {
	t.Helper()
	err := Scan(d, body, Limits{MaxDepth: hardDepth})
	if want := accepted(t, body); (err == nil) != want {
		t.Fatalf("%q: error %v, jsontext accepts: %v", body, err, want)
	}
	if err != nil {
		return
	}
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	if _, err := dec.ReadToken(); err != nil {
		t.Fatal(err)
	}
	for i := range d.Fields {
		f := &d.Fields[i]
		name, err := dec.ReadToken()
		if err != nil {
			t.Fatal(err)
		}
		if name.String() != string(f.Name) {
			t.Fatalf("%q: field %d is %q, want %q", body, i, f.Name, name.String())
		}
		value, err := dec.ReadValue()
		if err != nil {
			t.Fatal(err)
		}
		if string(value) != string(body[f.Start:f.End]) {
			t.Fatalf("%q: value %q, want %q", body, body[f.Start:f.End], value)
		}
		if value.Kind() == '"' {
			want, err := jsontext.AppendUnquote(nil, value)
			if err != nil {
				t.Fatal(err)
			}
			if s, ok := d.Str(string(f.Name)); !ok || s != string(want) {
				t.Fatalf("%q: string %q, want %q", body, s, want)
			}
		}
	}
	if dec.PeekKind() != '}' {
		t.Fatalf("%q: fields are missing", body)
	}
}

var scanSeeds = []string{
	`{"model":"m","messages":[{"role":"user","content":"hé\n\u00e9\ud83d\ude00"}],"stream":true,"temperature":-1.5e-3}`,
	`{}`, ` { } `, `{"a":{"b":[{},[],null,true,false]},"c":0}`, `{"a":1,"a":2}`, `{"\u0061":1,"a":2}`, `{"Model":1}`,
	"{\"a\":\"\xff\"}", `{"a":"\ud800"}`, `{"a":1}x`, `{"a":01}`, "\t{\"long name with more than eight\":\"value\"}\r\n",
	`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"a":1}`,
}

func FuzzScan(f *testing.F) {
	for _, s := range scanSeeds {
		f.Add([]byte(s))
	}
	for _, b := range requestBodies(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var d Doc
		checkScan(t, &d, body)
	})
}

// TestScan_mutations changes single bytes of good bodies and compares with jsontext, so that the rule holds without a fuzzing run.
func TestScan_mutations(t *testing.T) {
	var d Doc
	for _, s := range scanSeeds {
		body := []byte(s)
		checkScan(t, &d, body)
		for i := range body {
			old := body[i]
			for _, c := range []byte("\"\\{}[],:0e.-u \n\x00\x7f\x80\xc3\xffmM") {
				body[i] = c
				checkScan(t, &d, body)
			}
			body[i] = old
			checkScan(t, &d, body[:i])
		}
	}
}

func TestScan_recordings(t *testing.T) {
	var d Doc
	for _, b := range requestBodies(t) {
		checkScan(t, &d, b)
		if len(d.Fields) == 0 {
			t.Errorf("no field in %.80s", b)
		}
	}
}

func TestScan_allocations(t *testing.T) {
	bodies := append(requestBodies(t), largeBody())
	var d Doc
	scan := func() {
		for _, b := range bodies {
			if err := Scan(&d, b, Limits{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	scan()
	if n := testing.AllocsPerRun(20, scan); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestScan_manyNamesAreNotSlow(t *testing.T) {
	// 200,000 names of one hash: sorted by bytes, not compared each with each, which would take minutes.
	var b bytes.Buffer
	b.WriteString(`{"o":{`)
	for i := range 200000 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"aaaaaaaa`)
		for j := range 18 {
			b.WriteByte('0' + byte(i>>j&1))
		}
		b.WriteString(`aaaaaaaa":1`)
	}
	b.WriteString("}}")
	var d Doc
	if err := Scan(&d, b.Bytes(), Limits{}); err != nil {
		t.Fatal(err)
	}
}

// TestPlain: every byte that ends a run is found wherever it stands, and no other; what stands behind it, or behind the last whole step,
// is not looked at.
func TestPlain(t *testing.T) {
	const size = 200
	for c := range 256 {
		ends := c < ' ' || c == '"' || c == '\\'
		for at := range size {
			b := bytes.Repeat([]byte("a"), size)
			b[at] = byte(c)
			n, high := plain(b)
			if n%32 != 0 || n > size || ends && n > at || ends && at-n >= 64 || !ends && size-n >= 64 || high != (c >= 0x80 && at < n) {
				t.Fatalf("%#x at %d: %d, %v", c, at, n, high)
			}
		}
	}
}
