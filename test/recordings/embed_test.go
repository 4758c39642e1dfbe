package recordings

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/llm"
)

// checkEmbed asks for vectors in the other of the two dialects that have them, and compares the numbers.
func checkEmbed(t *testing.T, l *lane, in llm.Dialect, x *exchange, p problem) {
	t.Helper()
	want := vectors(t, x.Dialect, x.Reply)
	var inputs, requests []any
	for range max(len(want), 1) {
		inputs = append(inputs, "some words")
		requests = append(requests, m{"model": "models/" + x.Model, "content": m{"parts": []any{m{"text": "some words"}}}})
	}
	v := m{"model": x.Model, "input": inputs}
	if in == llm.Gemini {
		v = m{"requests": requests}
	}
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	a, seen := l.call(t, p, x, route(in, opEmbed, x.Model, false, true), body)
	switch {
	case seen == nil:
	case x.Status != 200:
		checkForeignError(t, in, x, a.Status, a.Body, p)
	case a.Status != 200:
		p("status %d: %.300s", a.Status, a.Body)
	default:
		if diff := cmp.Diff(want, vectors(t, in, a.Body)); diff != "" {
			p("vectors (-recorded +read):\n%.500s", diff)
		}
	}
}

// vectors reads embeddings as numbers or as base64 of little-endian float32.
func vectors(t *testing.T, d llm.Dialect, body []byte) (out [][]float32) {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	lists := []any{}
	for _, e := range append(array(at(v, "data")), array(at(v, "embeddings"))...) {
		if d == llm.Gemini {
			lists = append(lists, at(e, "values"))
		} else {
			lists = append(lists, at(e, "embedding"))
		}
	}
	for _, list := range lists {
		var vector []float32
		if s := text(list); s != "" {
			raw, err := base64.StdEncoding.DecodeString(s)
			if err != nil {
				t.Fatal(err)
			}
			for ; len(raw) >= 4; raw = raw[4:] {
				vector = append(vector, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
			}
		}
		for _, n := range array(list) {
			f, _ := n.(float64)
			vector = append(vector, float32(f))
		}
		out = append(out, vector)
	}
	return out
}
