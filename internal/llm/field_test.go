package llm

import (
	"errors"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestBadField(t *testing.T) {
	type inner struct {
		Role *string  `json:"role"`
		Top  *float64 `json:"top"`
		List []string `json:"list"`
	}
	f := func(body, base, param, message string) {
		t.Helper()
		var v struct {
			N        int64   `json:"n"`
			Messages []inner `json:"messages"`
			Odd      uint8   `json:"odd"`
		}
		err := json.Unmarshal([]byte(body), &v)
		e := BadField(err, base, func(jsonType string) string { return "want " + jsonType })
		if e.Param != param || e.Message != message || e.Cause == nil {
			t.Errorf("%s: %q %q", body, e.Param, e.Message)
		}
	}
	f(`{"n":"1"}`, "", "n", "want integer")
	f(`{"messages":[{},{"role":5}]}`, "body", "body.messages.1.role", "want string")
	f(`{"messages":[{"top":"x"}]}`, "", "messages.0.top", "want number")
	f(`{"messages":[{"list":{}}]}`, "", "messages.0.list", "want list")
	f(`{"messages":[7]}`, "", "messages.0", "want object")
	f(`[]`, "body", "body", "want object")
	f(`{"odd":"x"}`, "", "odd", "the value has the wrong type")
	f(`{"n":1,"n":2}`, "a", "a.n", `the body is not valid JSON: duplicate object member name`)
	if e := BadField(errors.New("other"), "a", nil); e.Param != "a" || e.Message != "the value can't be read" {
		t.Errorf("%+v", e)
	}
}
