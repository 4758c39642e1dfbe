package wire

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func items(array []byte) (forward, backward []string) {
	for from, to := NextItem(array, 1); from >= 0; from, to = NextItem(array, to) {
		forward = append(forward, string(array[from:to]))
	}
	for from, to := ItemBefore(array, len(array)-1); from >= 0; from, to = ItemBefore(array, from) {
		backward = append(backward, string(array[from:to]))
	}
	slices.Reverse(backward)
	return forward, backward
}

func TestItems(t *testing.T) {
	f := func(array string, want ...string) {
		t.Helper()
		forward, backward := items([]byte(array))
		if !slices.Equal(forward, want) || !slices.Equal(backward, want) {
			t.Errorf("%s: %q and %q, want %q", array, forward, backward, want)
		}
	}
	f(`[]`)
	f(`[ ]`)
	f(`[1]`, `1`)
	f(`[-1.5e3 , true,null]`, `-1.5e3`, `true`, `null`)
	f(`["a","b\"c\\" , "",""]`, `"a"`, `"b\"c\\"`, `""`, `""`)
	f("[\n{\"a\":[1,\"]\"]},\t[[],{}] ]", `{"a":[1,"]"]}`, `[[],{}]`)
	f(`["`+strings.Repeat(`\"`, 20)+`","`+strings.Repeat("x", 37)+`"]`, `"`+strings.Repeat(`\"`, 20)+`"`, `"`+strings.Repeat("x", 37)+`"`)
}

// FuzzItems holds both directions against a decoder where the bytes are JSON; where they are not, it holds that nothing panics and that
// both come to an end.
func FuzzItems(f *testing.F) {
	for _, seed := range []string{`[]`, `[1,"a",{"b":[2]}]`, `["\"",{"\\":"}"},[[]]]`, `[`, `"`, `[1]]`, `[}{]`, `[",]`, ``, `[ 1 , 2 ]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.TrimSpace(b)
		forward, backward := items(b)
		var want []jsontext.Value
		if len(b) == 0 || b[0] != '[' || json.Unmarshal(b, &want) != nil {
			return
		}
		list := make([]string, 0, len(want))
		for _, v := range want {
			list = append(list, string(v))
		}
		if !slices.Equal(forward, list) || !slices.Equal(backward, list) {
			t.Errorf("%q: %q and %q, want %q", b, forward, backward, list)
		}
	})
}

func BenchmarkItemBefore(b *testing.B) {
	array := []byte(`[{"role":"user","content":"` + strings.Repeat("some words of a long text, ", 8000) + `"}]`)
	b.SetBytes(int64(len(array)))
	b.ReportAllocs()
	for b.Loop() {
		if from, _ := ItemBefore(array, len(array)-1); from != 1 {
			b.Fatal(from)
		}
	}
}
