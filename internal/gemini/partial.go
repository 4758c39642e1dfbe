package gemini

import (
	"errors"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// partialArg is one piece of a function call's arguments that Vertex streams: a value, or more of a text, at a place.
type partialArg struct {
	JSONPath     string   `json:"jsonPath"`
	StringValue  *string  `json:"stringValue,omitzero"`
	NumberValue  llm.Raw  `json:"numberValue,omitzero"`
	BoolValue    *bool    `json:"boolValue,omitzero"`
	NullValue    *llm.Raw `json:"nullValue,omitzero"`
	WillContinue bool     `json:"willContinue,omitzero"`
}

// argTree gathers streamed arguments. Members keep the order in which they came.
type argTree struct {
	names  []string // of an object
	kids   []*argTree
	array  bool
	leaf   bool
	text   []byte // of a string
	isText bool
	value  llm.Raw // of any other leaf
}

var errPath = errors.New("unreadable path in streamed arguments")

// maxPath bounds the depth of a path.
const maxPath = 128

func (t *argTree) add(a *partialArg) error {
	steps, err := parsePath(a.JSONPath)
	if err != nil {
		return err
	}
	at := t
	for _, s := range steps {
		if at, err = at.step(s); err != nil {
			return err
		}
	}
	if len(at.kids) > 0 || at == t {
		return errPath
	}
	at.leaf = true
	switch {
	case a.StringValue != nil:
		at.isText = true
		at.text = append(at.text, *a.StringValue...)
	case a.NumberValue.Kind() == '0':
		at.value = a.NumberValue
	case a.BoolValue != nil:
		at.value = llm.Raw(strconv.FormatBool(*a.BoolValue))
	default:
		at.value = llm.Raw("null")
	}
	return nil
}

type pathStep struct {
	name  string
	index int // of an element, -1 for a member
}

func (t *argTree) step(s pathStep) (*argTree, error) {
	if t.leaf {
		return nil, errPath
	}
	if s.index >= 0 {
		if !t.array && len(t.kids) > 0 || s.index > len(t.kids) { // elements come in order
			return nil, errPath
		}
		t.array = true
		if s.index == len(t.kids) {
			t.kids = append(t.kids, &argTree{})
		}
		return t.kids[s.index], nil
	}
	if t.array {
		return nil, errPath
	}
	for i, n := range t.names {
		if n == s.name {
			return t.kids[i], nil
		}
	}
	t.names = append(t.names, s.name)
	t.kids = append(t.kids, &argTree{})
	return t.kids[len(t.kids)-1], nil
}

// parsePath reads $.recipe.steps[0] and $['a name'].
func parsePath(s string) ([]pathStep, error) {
	rest, ok := strings.CutPrefix(s, "$")
	if !ok {
		return nil, errPath
	}
	var out []pathStep
	for rest != "" {
		if len(out) == maxPath {
			return nil, errPath
		}
		switch {
		case rest[0] == '.':
			rest = rest[1:]
			n := strings.IndexAny(rest, ".[")
			if n < 0 {
				n = len(rest)
			}
			if n == 0 {
				return nil, errPath
			}
			out, rest = append(out, pathStep{rest[:n], -1}), rest[n:]
		case strings.HasPrefix(rest, "['"), strings.HasPrefix(rest, `["`):
			n := strings.Index(rest[2:], rest[1:2]+"]")
			if n < 0 {
				return nil, errPath
			}
			out, rest = append(out, pathStep{rest[2 : 2+n], -1}), rest[n+4:]
		case rest[0] == '[':
			n := strings.IndexByte(rest, ']')
			if n < 0 {
				return nil, errPath
			}
			i, err := strconv.Atoi(rest[1:n])
			if err != nil || i < 0 {
				return nil, errPath
			}
			out, rest = append(out, pathStep{"", i}), rest[n+1:]
		default:
			return nil, errPath
		}
	}
	return out, nil
}

func (t *argTree) appendTo(b []byte) []byte {
	switch {
	case t.isText:
		return append(b, llm.Quote(string(t.text))...)
	case t.leaf:
		return append(b, t.value...)
	case t.array:
		b = append(b, '[')
		for i, k := range t.kids {
			if i > 0 {
				b = append(b, ',')
			}
			b = k.appendTo(b)
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for i, k := range t.kids {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, llm.Quote(t.names[i])...), ':')
		b = k.appendTo(b)
	}
	return append(b, '}')
}
