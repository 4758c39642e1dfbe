package api

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/llm"
)

type sample struct {
	Name    string            `json:"name" need:"true"`
	Budget  opt[money]        `json:"budget" min:"0"`
	Limit   *int64            `json:"limit" min:"0"`
	Blocked opt[bool]         `json:"blocked"`
	Models  []string          `json:"models"`
	Per     map[string]int64  `json:"per"`
	Meta    map[string]any    `json:"meta"`
	Kind    string            `json:"kind" oneof:"a,b,c"`
	Windows []sampleWindow    `json:"windows"`
	Aliases map[string]string `json:"aliases"`
	Page    int64             `query:"page" default:"1" min:"1" max:"100"`
	IDs     []string          `query:"ids"`
}

type sampleWindow struct {
	Budget money `json:"budget" need:"true"`
}

func decodeSample(t *testing.T, url, body string) (*sample, error) {
	t.Helper()
	in := new(sample)
	a := New(Options{})
	err := a.decode(httptest.NewRequest(http.MethodPost, url, strings.NewReader(body)), in)
	return in, err
}

func TestDecode(t *testing.T) {
	f := func(url, body string, check func(*sample) bool) {
		t.Helper()
		in, err := decodeSample(t, url, body)
		if err != nil {
			t.Errorf("%s: %v", body, err)
		} else if !check(in) {
			t.Errorf("%s: got %+v", body, in)
		}
	}
	f("/", `{"name":"x","unknown":[1]}`, func(s *sample) bool { return s.Name == "x" && !s.Budget.Set && s.Page == 1 })
	f("/", `{"name":"x","budget":null}`, func(s *sample) bool { return s.Budget.Set && s.Budget.Value == nil })
	f("/", `{"name":"x","budget":""}`, func(s *sample) bool { return s.Budget.Set && s.Budget.Value == nil })
	f("/", `{"name":"x","budget":"1.5"}`, func(s *sample) bool { return *s.Budget.Value == 1_500_000_000 })
	f("/", `{"name":"x","budget":0.1}`, func(s *sample) bool { return *s.Budget.Value == 100_000_000 })
	f("/", `{"name":"x","budget":1e9}`, func(s *sample) bool { return *s.Budget.Value == 1e18 })
	f("/", `{"name":"x","limit":"7","blocked":"true"}`, func(s *sample) bool { return *s.Limit == 7 && *s.Blocked.Value })
	f("/", `{"name":"x","models":["a","b"],"per":{"m":3},"meta":{"a":{"b":[1]}}}`,
		func(s *sample) bool { return len(s.Models) == 2 && s.Per["m"] == 3 && s.Meta["a"] != nil })
	f("/", `{"name":"x","windows":[{"budget":2}]}`, func(s *sample) bool { return s.Windows[0].Budget == 2e9 })
	f("/?page=3&ids=a,b&ids=c", `{"name":"x"}`, func(s *sample) bool { return s.Page == 3 && len(s.IDs) == 3 })
}

func TestDecode_wrong(t *testing.T) {
	f := func(url, body string, status int, field, says string) {
		t.Helper()
		_, err := decodeSample(t, url, body)
		if err == nil {
			t.Errorf("%s: taken", body)
			return
		}
		w := httptest.NewRecorder()
		New(Options{}).fail(w, httptest.NewRequest(http.MethodPost, "/", nil), err)
		if w.Code != status || !strings.Contains(w.Body.String(), says) || !strings.Contains(w.Body.String(), field) {
			t.Errorf("%s: got %d %s, want %d with %q and %q", body, w.Code, w.Body, status, field, says)
		}
	}
	f("/", ``, 422, `["body"]`, "missing")
	f("/", `[]`, 422, `["body"]`, "model_attributes_type")
	f("/", `{}`, 422, `["body","name"]`, "missing")
	f("/", `{"name":null}`, 422, `["body","name"]`, "string_type")
	f("/", `{"name":1}`, 422, `["body","name"]`, "string_type")
	f("/", `{"name":"x","budget":"abc"}`, 422, `["body","budget"]`, "float_parsing")
	f("/", `{"name":"x","budget":{}}`, 422, `["body","budget"]`, "float_type")
	f("/", `{"name":"x","budget":1e300}`, 422, `["body","budget"]`, "finite_number")
	f("/", `{"name":"x","budget":-1}`, 400, `"param":"budget"`, "non-negative")
	f("/", `{"name":"x","limit":-1}`, 400, `"param":"limit"`, "non-negative")
	f("/", `{"name":"x","limit":1.5}`, 422, `["body","limit"]`, "int_from_float")
	f("/", `{"name":"x","limit":99999999999999999999}`, 422, `["body","limit"]`, "int_from_float")
	f("/", `{"name":"x","blocked":"perhaps"}`, 422, `["body","blocked"]`, "bool_parsing")
	f("/", `{"name":"x","models":"m1"}`, 422, `["body","models"]`, "list_type")
	f("/", `{"name":"x","models":["a",1]}`, 422, `["body","models",1]`, "string_type")
	f("/", `{"name":"x","models":[null]}`, 422, `["body","models",0]`, "string_type")
	f("/", `{"name":"x","meta":[1]}`, 422, `["body","meta"]`, "dict_type")
	f("/", `{"name":"x","per":{"m":null}}`, 422, `["body","per","m"]`, "int_type")
	f("/", `{"name":"x","kind":"z"}`, 422, `["body","kind"]`, "Input should be 'a', 'b' or 'c'")
	f("/", `{"name":"x","windows":[{}]}`, 422, `["body","windows",0,"budget"]`, "missing")
	f("/?page=0", `{"name":"x"}`, 422, `["query","page"]`, "greater_than_equal")
	f("/?page=101", `{"name":"x"}`, 422, `["query","page"]`, "less_than_equal")
	f("/?page=x", `{"name":"x"}`, 422, `["query","page"]`, "int_parsing")
	f("/", `{"name":`, 400, `json_invalid`, "line 1, column 9")
	f("/", "{\n \"name\": \"x\"\n \"limit\": 1\n}", 400, `json_invalid`, "line 3, column 2: a comma is missing")
	f("/", "{\n \"name\": \"x\",\n}", 400, `json_invalid`, "line 2, column 13: a comma with nothing after it")
	f("/", `{"name":"x"} trailing`, 400, `json_invalid`, "line 1, column 14")
	f("/", `{"name":"x","name":"y"}`, 400, `json_invalid`, "duplicate")
}

// Both faults of one body are told at once.
func TestDecode_all(t *testing.T) {
	_, err := decodeSample(t, "/", `{"models":1,"per":2}`)
	if fs, ok := err.(faults); !ok || len(fs) != 3 {
		t.Errorf("got %v, want 3 faults", err)
	}
}

func TestMoney(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		m, ok := parseMoney(in)
		if !ok {
			t.Errorf("%s: refused", in)
			return
		}
		if got, err := json.Marshal(m); err != nil || string(got) != want {
			t.Errorf("%s: got %s %v, want %s", in, got, err, want)
		}
	}
	f("0", "0.0")
	f("10.5", "10.5")
	f("0.1", "0.1")
	f("1e9", "1000000000.0")
	f("0.000000001", "0.000000001")
	f("1.0501711", "1.0501711")
	f("-2.25", "-2.25")
	f("123456.789", "123456.789")
	for _, bad := range []string{"", "x", "NaN", "inf", "1e11"} {
		if _, ok := parseMoney(bad); ok {
			t.Errorf("%q: taken", bad)
		}
	}
}

// TestTags: every tag that decode reads is one it can read, on every route.
func TestTags(t *testing.T) {
	var walk func(reflect.Type)
	walk = func(ty reflect.Type) {
		for i := range ty.NumField() {
			f := ty.Field(i)
			for _, name := range []string{"min", "max"} {
				if tag := f.Tag.Get(name); tag != "" {
					bound(tag)
				}
			}
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type)
			}
		}
	}
	for _, rt := range New(Options{}).routes() {
		walk(rt.handle.in)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"name":"x","budget":1}`, `{"a":`, `[]`, `{"windows":[{"budget":null}]}`, `{"per":{"":1e400}}`, "{\"name\":\"\\ud800\"}"} {
		f.Add(s)
	}
	a := New(Options{})
	f.Fuzz(func(t *testing.T, body string) {
		in := new(sample)
		err := a.decode(httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)), in)
		if err != nil {
			w := httptest.NewRecorder()
			a.fail(w, httptest.NewRequest(http.MethodPost, "/", nil), err)
			if w.Code < 400 || w.Code > 499 {
				t.Errorf("%q: %d", body, w.Code)
			}
			return
		}
		if m := in.Budget.or(0); m < 0 || m > money(maxMoney*llm.Nanos(1e9)) {
			t.Errorf("%q: budget %d", body, m)
		}
	})
}

// TestBody_nul: PostgreSQL takes no NUL, so nobody's request has one, wherever it stands.
func TestBody_nul(t *testing.T) {
	f := func(raw string, want bool) {
		t.Helper()
		if got := escapesNUL([]byte(raw)); got != want {
			t.Errorf("%s: %v", raw, got)
		}
	}
	f(`"a"`, false)
	f(`"a\u0000b"`, true)
	f(`"\u0000"`, true)
	f(`"a\\u0000b"`, false)
	f(`"a\\\u0000b"`, true)
	f(`{"a":["\\u0000","\u0000"]}`, true)
	f(`"\u00000"`, true)
	f(`"\u000"`, false)
	o := newOffice(t)
	for path, body := range map[string]string{
		"GET /user/info?user_id=a%00b":     "",
		"POST /team/new":                   `{"team_alias":"a\u0000b"}`,
		"POST /customer/new":               `{"user_id":"a\u0000b"}`,
		"POST /key/generate":               `{"metadata":{"a":"\u0000"}}`,
		"GET /key/list?key_alias=%00":      "",
		"DELETE /access_group/a%00/delete": "",
	} {
		if status, reply := o.call(officeMaster, path, body); status != 400 && status != 404 {
			t.Errorf("%s %s: %d %v", path, body, status, reply)
		}
	}
}
