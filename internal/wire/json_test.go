package wire

import (
	"math"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestUnmarshal(t *testing.T) {
	var v struct {
		Text string         `json:"text"`
		Raw  jsontext.Value `json:"raw"`
	}
	if err := Unmarshal([]byte("{\"text\":\"a\",\"text\":\"b\\ud83d\xff\",\"raw\":[\"\xff\"]}"), &v); err != nil || v.Text != "b\uFFFD\uFFFD" || string(v.Raw) != "[\"\uFFFD\"]" {
		t.Errorf("%q %s: %v", v.Text, v.Raw, err)
	}
	if Unmarshal([]byte(`{"text":`), &v) == nil || Unmarshal([]byte(`{"text":5}`), &v) == nil {
		t.Error("what is not JSON, or of another type, was read")
	}
}

func TestFieldPath(t *testing.T) {
	f := func(path, pointer, want string) {
		t.Helper()
		if got := FieldPath(path, jsontext.Pointer(pointer)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f("", "", "")
	f("", "/messages/2/content", "messages[2].content")
	f("input[3]", "/0/a~1b/x9", "input[3][0].a/b.x9")
	f("input", "", "input")
}

func TestWriter(t *testing.T) {
	w := NewWriter([]byte("data: "))
	w.Object("")
	w.Str("s", "a\"\xff")
	w.Array("list")
	w.Int("", -1)
	w.Bool("", true)
	w.Null("")
	w.Float("", 0.5)
	w.Float("", math.NaN())
	w.Bytes("", []byte("b"))
	w.Object("")
	w.End("}]")
	w.Raw("raw", jsontext.Value("{\"a\" : \n\"\\ud83d\"}"))
	w.Raw("none", nil)
	w.Extra(map[string]jsontext.Value{"z\n": jsontext.Value("1"), "a": nil, "skipped": jsontext.Value("2")}, "skipped")
	w.End("}")
	want := `data: {"s":"a\"` + "\uFFFD" + `","list":[-1,true,null,0.5,"b",{}],"raw":{"a":"\ud83d"},"none":null,"a":null,"z\n":1}`
	if got := string(w.Buf); got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
	w.Buf = make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { w.Buf = w.Buf[:0]; w.Object(""); w.Str("a", "text"); w.Int("b", 7); w.End("}") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
