package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxFileBytes = 8 << 20
	// maxNodes bounds a document after its aliases are expanded, so that a small file can't stand for a huge one.
	maxNodes = 1 << 20
	maxDepth = 200
)

type kind uint8

const (
	scalar kind = iota
	sequence
	mapping
)

// node is a YAML value with its position. Aliases share nodes, so a node is never changed once built.
type node struct {
	kind  kind
	value any // of a scalar: nil, bool, int64, float64 or string
	text  string
	items []*node
	keys  []entry
	file  string
	line  int
	size  int // nodes in it, aliases expanded
}

type entry struct {
	key  string
	line int
	file string
	val  *node
}

func (n *node) null() bool {
	return n == nil || n.kind == scalar && (n.value == nil || n.value == "None")
}

// get is the value of a mapping's key, nil if absent.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for i := range n.keys {
		if n.keys[i].key == key {
			return n.keys[i].val
		}
	}
	return nil
}

func (n *node) what() string {
	switch n.kind {
	case sequence:
		return "a list"
	case mapping:
		return "a mapping"
	}
	switch n.value.(type) {
	case nil:
		return "nothing"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	}
	return "a number"
}

// builder turns one parsed file into nodes.
type builder struct {
	file    string
	anchors map[string]*node
	report  func(Problem)
}

// posError is a mistake in the YAML itself.
type posError struct {
	line int
	msg  string
}

func (e *posError) Error() string { return e.msg }

// parse reads YAML text. An empty document is an empty mapping.
func parse(file string, text []byte, report func(Problem)) (n *node, err error) {
	if len(text) > maxFileBytes {
		return nil, &posError{msg: fmt.Sprintf("the file is larger than %d MiB", maxFileBytes>>20)}
	}
	if line := tooDeep(text); line > 0 {
		return nil, &posError{line: line, msg: fmt.Sprintf("nested more than %d deep", maxDepth)}
	}
	// The YAML library is the one thing here that is not ours; a panic in it must not take the process down on reload.
	defer func() {
		if p := recover(); p != nil {
			n, err = nil, &posError{msg: fmt.Sprintf("not readable as YAML: %v", p)}
		}
	}()
	f, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil && ye.GetToken().Position != nil {
			return nil, &posError{line: ye.GetToken().Position.Line, msg: ye.GetMessage()}
		}
		return nil, &posError{msg: err.Error()}
	}
	b := &builder{file: file, anchors: map[string]*node{}, report: report}
	root := &node{kind: mapping, file: file, line: 1, size: 1}
	read := false
	for _, doc := range f.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if read {
			report(Problem{Severity: Warning, File: file, Line: lineOf(doc.Body), Message: "only the first YAML document of the file is read"})
			break
		}
		read = true
		if root, err = b.build(doc.Body, 0); err != nil {
			return nil, err
		}
	}
	if root.null() {
		return &node{kind: mapping, file: file, line: 1, size: 1}, nil
	}
	if root.kind != mapping {
		return nil, &posError{line: root.line, msg: "the file must be a mapping, not " + root.what()}
	}
	return root, nil
}

// tooDeep finds, before the recursive parser sees it, text that opens more brackets or dashes in a row than any configuration would.
func tooDeep(text []byte) int {
	open, line, dashes := 0, 1, 0
	for i, c := range text {
		switch c {
		case '\n':
			line++
			dashes = 0
		case '[', '{':
			open++
		case ']', '}':
			open = max(open-1, 0)
		case '-', '?', ':', '!', '&':
			if i+1 < len(text) && text[i+1] == ' ' {
				dashes++
			}
		}
		if open > 10*maxDepth || dashes > 10*maxDepth {
			return line
		}
	}
	return 0
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func tokenLine(t *token.Token) int {
	if t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func (b *builder) scalar(line int, v any, text string) *node {
	return &node{kind: scalar, value: v, text: text, file: b.file, line: line, size: 1}
}

func (b *builder) build(n ast.Node, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, &posError{line: lineOf(n), msg: fmt.Sprintf("nested more than %d deep", maxDepth)}
	}
	if n == nil {
		return b.scalar(0, nil, ""), nil
	}
	line := lineOf(n)
	switch n := n.(type) {
	case *ast.NullNode:
		return b.scalar(line, nil, ""), nil
	case *ast.BoolNode:
		return b.scalar(line, n.Value, n.Token.Value), nil
	case *ast.IntegerNode:
		switch v := n.Value.(type) {
		case int64:
			return b.scalar(line, v, n.Token.Value), nil
		case uint64:
			if v <= math.MaxInt64 {
				return b.scalar(line, int64(v), n.Token.Value), nil
			}
			return b.scalar(line, float64(v), n.Token.Value), nil
		}
		return b.scalar(line, n.Token.Value, n.Token.Value), nil
	case *ast.FloatNode:
		return b.scalar(line, n.Value, n.Token.Value), nil
	case *ast.InfinityNode, *ast.NanNode:
		return nil, &posError{line: line, msg: "not a finite number"}
	case *ast.StringNode:
		// The library leaves numbers like 1e-6 (no point) to be strings, as YAML 1.1 does; people mean the number.
		if n.Token.Type == token.StringType && looksNumeric(n.Value) {
			if f, err := strconv.ParseFloat(n.Value, 64); err == nil && !math.IsInf(f, 0) {
				return b.scalar(line, f, n.Value), nil
			}
		}
		return b.scalar(line, n.Value, n.Value), nil
	case *ast.LiteralNode:
		return b.scalar(line, n.Value.Value, n.Value.Value), nil
	case *ast.TagNode:
		return b.tag(n, depth)
	case *ast.AnchorNode:
		v, err := b.build(n.Value, depth+1)
		if err != nil {
			return nil, err
		}
		b.anchors[n.Name.String()] = v
		return v, nil
	case *ast.AliasNode:
		v, ok := b.anchors[n.Value.String()]
		if !ok {
			return nil, &posError{line: line, msg: fmt.Sprintf("alias *%s has no anchor before it", n.Value.String())}
		}
		return v, nil
	case *ast.SequenceNode:
		return b.sequence(n, line, depth)
	case *ast.MappingNode:
		return b.mapping(n.Values, line, depth)
	case *ast.MappingValueNode:
		return b.mapping([]*ast.MappingValueNode{n}, line, depth)
	}
	return nil, &posError{line: line, msg: "unexpected " + n.Type().String()}
}

// tag honours !!str, on which people rely for ids made of digits; other tags change nothing.
func (b *builder) tag(n *ast.TagNode, depth int) (*node, error) {
	v, err := b.build(n.Value, depth+1)
	if err != nil {
		return nil, err
	}
	if n.Start != nil && n.Start.Value == "!!str" && v.kind == scalar {
		return b.scalar(v.line, v.text, v.text), nil
	}
	return v, nil
}

func looksNumeric(s string) bool {
	if s == "" || !strings.ContainsAny(s, "eE") {
		return false
	}
	digits := false
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			digits = true
		case strings.ContainsRune("+-.eE", c):
		default:
			return false
		}
	}
	return digits
}

func (b *builder) sequence(s *ast.SequenceNode, line, depth int) (*node, error) {
	out := &node{kind: sequence, file: b.file, line: line, size: 1}
	for _, item := range s.Values {
		v, err := b.build(item, depth+1)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, v)
		if out.size += v.size; out.size > maxNodes {
			return nil, &posError{line: line, msg: "aliases expand to too much"}
		}
	}
	return out, nil
}

func (b *builder) mapping(values []*ast.MappingValueNode, line, depth int) (*node, error) {
	out := &node{kind: mapping, file: b.file, line: line, size: 1}
	if len(values) > 0 {
		out.line = lineOf(values[0].Key)
	}
	at := map[string]int{}
	var merged []*node
	for _, mv := range values {
		v, err := b.build(mv.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if out.size += v.size; out.size > maxNodes {
			return nil, &posError{line: line, msg: "aliases expand to too much"}
		}
		if mv.Key.IsMergeKey() {
			merged = append(merged, v)
			continue
		}
		key, err := b.key(mv.Key, depth)
		if err != nil {
			return nil, err
		}
		e := entry{key: key, line: tokenLine(mv.Key.GetToken()), file: b.file, val: v}
		if v.line == 0 {
			v.line = e.line
		}
		if i, dup := at[key]; dup {
			b.report(Problem{Severity: Warning, File: b.file, Line: e.line, Path: key,
				Message: fmt.Sprintf("key %q stands here and on line %d; this one counts", key, out.keys[i].line)})
			out.keys[i] = e
			continue
		}
		at[key] = len(out.keys)
		out.keys = append(out.keys, e)
	}
	for _, m := range merged {
		if err := mergeKeys(out, m, at); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (b *builder) key(k ast.MapKeyNode, depth int) (string, error) {
	n, ok := k.(ast.Node)
	if !ok {
		return "", &posError{line: lineOf(k), msg: "unexpected kind of key"}
	}
	if mk, ok := k.(*ast.MappingKeyNode); ok {
		n = mk.Value
	}
	v, err := b.build(n, depth+1)
	if err != nil {
		return "", err
	}
	if v.kind != scalar {
		return "", &posError{line: lineOf(k), msg: "a key must be text, not " + v.what()}
	}
	return v.text, nil
}

// mergeKeys carries out YAML's << for one mapping or a list of them: keys already there win.
func mergeKeys(out, from *node, at map[string]int) error {
	switch {
	case from.kind == mapping:
		for _, e := range from.keys {
			if _, have := at[e.key]; !have {
				at[e.key] = len(out.keys)
				out.keys = append(out.keys, e)
			}
		}
	case from.kind == sequence:
		for _, item := range from.items {
			if item.kind != mapping {
				return &posError{line: item.line, msg: "<< takes mappings, not " + item.what()}
			}
			if err := mergeKeys(out, item, at); err != nil {
				return err
			}
		}
	case !from.null():
		return &posError{line: from.line, msg: "<< takes a mapping, not " + from.what()}
	}
	return nil
}
