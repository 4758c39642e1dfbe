package wire

import (
	"testing"

	"github.com/go-json-experiment/json"
)

func TestTextLength(t *testing.T) {
	f := func(b string, n int64, end int) {
		t.Helper()
		gotN, gotEnd := TextLength([]byte(b))
		if gotN != n || gotEnd != end {
			t.Errorf("%s: %d bytes, end %d", b, gotN, gotEnd)
		}
	}
	f(`abc"`, 3, 3)
	f(`a\"\\b\n" "`, 5, 8)
	f(`é\u00e9\u0061\u20ac"`, 2+2+1+3, 20)
	f(`\ud83d\ude00"`, 4, 12)
	f(`abc`, 3, -1)
	f(`ab\`, 3, -1)
	f(`\u00`, 3, -1)
	f(`\uzzzz"`, 1, 6)
	f(``, 0, -1)
}

func FuzzTextLength(f *testing.F) {
	f.Add("a\"\\b\n\x01€\U0001F600")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := json.Marshal(s)
		if err != nil {
			return // not UTF-8
		}
		if n, end := TextLength(b[1:]); n != int64(len(s)) || end != len(b)-2 {
			t.Errorf("%s: %d bytes, end %d", b, n, end)
		}
	})
}

func TestTextIn(t *testing.T) {
	f := func(data string, want int64) {
		t.Helper()
		if got := TextIn([]byte(data), `"text":`, `"input":`); got != want {
			t.Errorf("%s: %d", data, got)
		}
	}
	f(`{"delta":{"text":"a\"b"},"p":"abcdef"}`, 3)
	f(`{"delta":{"input": "abcd"}}`, 4)
	f(`{"text":null,"input":"ab"}`, 2)
	f(`{"text":""}`, 0)
	f(`{"other":"text"}`, 0)
	f(`{"text":`, 0)
	data := []byte(`{"delta":{"text":"hello"}}`)
	if n := testing.AllocsPerRun(100, func() { TextIn(data, `"none":`, `"text":`) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
