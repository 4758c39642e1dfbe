package converse

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/wire"
)

// model is AWS's own description of Bedrock's bodies.
type model struct {
	Shapes map[string]*shape
}

type shape struct {
	Type    string
	Members map[string]struct{ Shape, Location string }
	Member  struct{ Shape string }
	Value   struct{ Shape string }
	Need    []string `json:"required"`
	Enum    []string
	Union   bool
	Doc     bool `json:"document"`
	Min     *float64
	Max     *float64
	Pattern string
}

func loadModel(t testing.TB) *model {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "bedrock-runtime.json"))
	if err != nil {
		t.Fatal(err)
	}
	m := &model{}
	if err := json.Unmarshal(b, m, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	return m
}

// body checks a JSON body against a shape.
func (m *model) body(name string, body []byte) error {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	if err := m.check(name, v, name); err != nil {
		return fmt.Errorf("%w in %s", err, body)
	}
	return nil
}

// check walks a value strictly: unknown members, missing ones, wrong types, enums, lengths, patterns and unions of other than one.
func (m *model) check(name string, v any, path string) error {
	s := m.Shapes[name]
	if s == nil {
		return fmt.Errorf("%s: no shape %s", path, name)
	}
	bad := func(what string) error { return fmt.Errorf("%s: %v is no %s: %s", path, v, name, what) }
	switch s.Type {
	case "structure":
		if s.Doc {
			return nil
		}
		o, ok := v.(map[string]any)
		if !ok {
			return bad("not an object")
		}
		for k, inner := range o {
			member, ok := s.Members[k]
			if !ok || member.Location != "" {
				return bad("unknown member " + k)
			}
			if err := m.check(member.Shape, inner, path+"."+k); err != nil {
				return err
			}
		}
		for _, k := range s.Need {
			if _, ok := o[k]; !ok && s.Members[k].Location == "" {
				return bad("no " + k)
			}
		}
		if s.Union && len(o) != 1 {
			return bad("a union of other than one")
		}
	case "list":
		list, ok := v.([]any)
		if !ok || !s.fits(float64(len(list))) {
			return bad("not such a list")
		}
		for i, inner := range list {
			if err := m.check(s.Member.Shape, inner, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	case "map":
		o, ok := v.(map[string]any)
		if !ok || !s.fits(float64(len(o))) {
			return bad("not such a map")
		}
		for k, inner := range o {
			if err := m.check(s.Value.Shape, inner, path+"."+k); err != nil {
				return err
			}
		}
	case "string":
		return s.text(v, bad)
	case "blob":
		text, _ := v.(string)
		if b, err := base64.StdEncoding.DecodeString(text); err != nil || !s.fits(float64(len(b))) {
			return bad("not such base64")
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return bad("not a boolean")
		}
	case "integer", "long", "float", "double":
		n, ok := v.(float64)
		if !ok || !s.fits(n) || n != float64(int64(n)) && (s.Type == "integer" || s.Type == "long") {
			return bad("not such a number")
		}
	default:
		return bad("unknown type " + s.Type)
	}
	return nil
}

func (s *shape) text(v any, bad func(string) error) error {
	text, ok := v.(string)
	if !ok || !s.fits(float64(len([]rune(text)))) {
		return bad("not such a string")
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
		return bad("not in the enum")
	}
	if s.Pattern != "" && !regexp.MustCompile(`^(?:`+s.Pattern+`)$`).MatchString(text) {
		return bad("does not match " + s.Pattern)
	}
	return nil
}

func (s *shape) fits(n float64) bool {
	return (s.Min == nil || n >= *s.Min) && (s.Max == nil || n <= *s.Max)
}

// stream checks frames: each a member of ConverseStream's output, in Bedrock's order, with blocks one after another.
func (m *model) stream(b []byte) error {
	frames := wire.NewEventStreamReader(bytes.NewReader(b), 0)
	members := m.Shapes["ConverseStreamOutput"].Members
	open, next := -1.0, 0.0
	state := "begin"
	for {
		f, err := frames.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		member, ok := members[f.Type]
		if !ok {
			return fmt.Errorf("no event %s", f.Type)
		}
		if err := m.body(member.Shape, f.Data); err != nil {
			return err
		}
		var v map[string]any
		if err := json.Unmarshal(f.Data, &v); err != nil {
			return err
		}
		index, _ := v["contentBlockIndex"].(float64)
		wrong := fmt.Errorf("%s out of order after %s: %s", f.Type, state, f.Data)
		switch f.Type {
		case "messageStart":
			if state != "begin" {
				return wrong
			}
		case "contentBlockStart", "contentBlockDelta":
			if open < 0 && index == next {
				open = index
			} else if index != open || f.Type == "contentBlockStart" {
				return wrong
			}
		case "contentBlockStop":
			if index != open {
				return wrong
			}
			open, next = -1, next+1
		case "messageStop":
			if open >= 0 {
				return wrong
			}
		case "metadata":
			if state != "messageStop" {
				return wrong
			}
		}
		if f.Type != "messageStart" && state == "begin" || state == "metadata" || state == "messageStop" && f.Type != "metadata" && !f.Exception {
			return wrong
		}
		state = f.Type
		if f.Exception {
			return nil
		}
	}
	if state != "metadata" {
		return errors.New("the stream ends with " + state)
	}
	return nil
}
