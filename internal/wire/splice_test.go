package wire

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func TestSplice(t *testing.T) {
	f := func(body, want string, edits ...Edit) {
		t.Helper()
		var d Doc
		if err := Scan(&d, []byte(body), Limits{}); err != nil {
			t.Fatal(err)
		}
		if got := string(d.Splice([]byte("-"), edits...)); got != "-"+want {
			t.Errorf("%s\n got %s\nwant %s", body, got[1:], want)
		}
	}
	v := func(s string) []byte { return []byte(s) }
	const abc = ` { "a" : 1 ,  "b":2,"c": [3] } `
	f(abc, abc)
	f(abc, ` { "a" : 9 ,  "b":2,"c": [3] } `, Edit{Name: "a", Value: v("9")})
	f(abc, ` { "b":2,"c": [3] } `, Edit{Name: "a"})
	f(abc, ` { "a" : 1,"c": [3] } `, Edit{Name: "b"})
	f(abc, ` { "a" : 1 ,  "b":2 } `, Edit{Name: "c"})
	f(abc, ` { "b":2 } `, Edit{Name: "a"}, Edit{Name: "c"})
	f(abc, ` {  } `, Edit{Name: "a"}, Edit{Name: "c"}, Edit{Name: "b"})
	f(abc, ` { "d":4 } `, Edit{Name: "a"}, Edit{Name: "c"}, Edit{Name: "b"}, Edit{Name: "d", Value: v("4")})
	f(abc, ` { "a" : 1 ,  "b":2,"c": [3],"d":4,"e\"":5 } `, Edit{Name: "d", Value: v("4")}, Edit{Name: `e"`, Value: v("5")})
	f(abc, ` { "z" : 1 ,  "b":2,"c": [3] } `, Edit{Name: "a", Rename: "z"})
	f(abc, ` { "z" : 0 ,  "b":2,"c": [3] } `, Edit{Name: "a", Rename: "z", Value: v("0")})
	f(abc, ` { "b":2,"c": [3] } `, Edit{Name: "a", Rename: "b"})
	f(abc, ` { "b" : 1,"c": [3] } `, Edit{Name: "a", Rename: "b"}, Edit{Name: "b"})
	f(abc, ` { "b" : 1 ,  "a":2,"c": [3] } `, Edit{Name: "a", Rename: "b"}, Edit{Name: "b", Rename: "a"})
	f(abc, ` { "z" : 1 ,  "b":2 } `, Edit{Name: "a", Rename: "z"}, Edit{Name: "c", Rename: "z"})
	f(abc, abc, Edit{Name: "x"}, Edit{Name: "y", Rename: "a"}, Edit{Name: "a", Value: v("5"), Default: true})
	f(abc, ` { "a" : 1 ,  "b":2,"c": [3],"d":5 } `, Edit{Name: "d", Value: v("5"), Default: true})
	f(abc, ` { "a" : 1 ,  "b":2,"c": [3],"d":5 } `, Edit{Name: "d"}, Edit{Name: "d", Value: v("5"), Default: true})
	f(abc, ` { "a" : 1 ,  "b":2,"c": [3],"d":5 } `, Edit{Name: "d", Value: v("5")}, Edit{Name: "d", Value: v("6")})
	f(abc, ` { "a" : 6 ,  "b":2,"c": [3] } `, Edit{Name: "a", Value: v("5"), Default: true}, Edit{Name: "a", Value: v("6")})
	f(abc, ` { "a" : 1 ,  "b":2,"c": [3],"y":7 } `, Edit{Name: "x", Rename: "y", Value: v("7")})
	f(abc, abc, Edit{Name: "x", Rename: "a", Value: v("7")})
	f(`{"max_t\u006fkens":5}`, `{"max_completion_tokens":5}`, Edit{Name: "max_tokens", Rename: "max_completion_tokens"})
	f("\n{ }\n", "\n{\"a\":1,\"b\":2 }\n", Edit{Name: "a", Value: v("1")}, Edit{Name: "b", Value: v("2")})
	f(`{}`, `{}`, Edit{Name: "a"})
}

// FuzzSplice checks what Splice promises for any body and any three edits: the result is valid, has no name twice, keeps every field that
// no edit names as it was, and obeys the edits.
func FuzzSplice(f *testing.F) {
	for _, s := range scanSeeds {
		f.Add([]byte(s), "model", "max", uint8(0), "stream", "", uint8(1), "x", "a", uint8(2))
	}
	for _, b := range requestBodies(f) {
		f.Add(b, "model", "", uint8(1), "messages", "input", uint8(2), "contents", "", uint8(0))
	}
	f.Fuzz(func(t *testing.T, body []byte, n1, r1 string, k1 uint8, n2, r2 string, k2 uint8, n3, r3 string, k3 uint8) {
		var d Doc
		if Scan(&d, body, Limits{}) != nil {
			return
		}
		edit := func(name, rename string, kind uint8) Edit {
			e := Edit{Name: strings.ToValidUTF8(name, ""), Rename: strings.ToValidUTF8(rename, ""), Default: kind&2 != 0}
			if kind&1 != 0 {
				e.Value = []byte("[ 1]")
			}
			return e
		}
		edits := []Edit{edit(n1, r1, k1), edit(n2, r2, k2), edit(n3, r3, k3)}
		out := d.Splice(nil, edits...)
		if v := jsontext.Value(out); !v.IsValid() || v.Kind() != '{' {
			t.Fatalf("%q with %+v gives %q", body, edits, out)
		}
		var after Doc
		if err := Scan(&after, out, Limits{}); err != nil {
			if strings.Contains(err.Error(), "must be written") {
				return
			}
			t.Fatal(err)
		}
		named := func(name string) bool {
			for _, e := range edits {
				if e.Name == name || e.Rename == name {
					return true
				}
			}
			return false
		}
		for i := range d.Fields {
			name := string(d.Fields[i].Name)
			if named(name) {
				continue
			}
			was, _ := d.Get(name)
			if is, ok := after.Get(name); !ok || string(is) != string(was) {
				t.Fatalf("%q with %+v gives %q: %q changed", body, edits, out, name)
			}
		}
		if e := edits[0]; e.Rename == "" && !e.Default && n2 != n1 && n3 != n1 && r2 != n1 && r3 != n1 {
			if is, ok := after.Get(e.Name); ok != (e.Value != nil) || string(is) != string(e.Value) {
				t.Fatalf("%q with %+v gives %q: first edit not made", body, edits, out)
			}
		}
	})
}

// TestPieces holds that an edited body is not copied: its runs are parts of it, as long as they can be.
func TestPieces(t *testing.T) {
	f := func(body string, want []string, edits ...Edit) {
		t.Helper()
		var d Doc
		if err := Scan(&d, []byte(body), Limits{}); err != nil {
			t.Fatal(err)
		}
		pieces := d.Pieces(nil, edits...)
		got := make([]string, len(pieces))
		for i, p := range pieces {
			got[i] = string(p)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", body, diff)
		}
		if &pieces[0][0] != &d.Body[0] {
			t.Errorf("%s: the first run is a copy", body)
		}
	}
	const abc = ` {"a":1, "b":2,"c":[3]} `
	f(abc, []string{abc})
	f(abc, []string{` {"a":1, "b":`, `9`, `,"c":[3]} `}, Edit{Name: "b", Value: []byte("9")})
	f(abc, []string{` {`, `"b":2,"c":[3]} `}, Edit{Name: "a"})
	f(abc, []string{` {"a":1, "b":2,"c":[3]`, `,`, `"d"`, `:`, `4`, `} `}, Edit{Name: "d", Value: []byte("4")})
	f(`{}`, []string{`{`, `"d"`, `:`, `4`, `}`}, Edit{Name: "d", Value: []byte("4")})
}
