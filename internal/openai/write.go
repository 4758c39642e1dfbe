package openai

import (
	"bytes"
	"math"
	"slices"
	"strconv"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// writer appends JSON without reflection. Commas are put where the byte before does not open a list or an object, so that optional
// members need no bookkeeping; a value therefore never ends in an opening bracket.
type writer struct{ b []byte }

func (w *writer) comma() {
	if n := len(w.b); n > 0 {
		switch w.b[n-1] {
		case '{', '[', ':':
		default:
			w.b = append(w.b, ',')
		}
	}
}

// key starts a member whose name needs no escaping.
func (w *writer) key(name string) {
	w.comma()
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) raw(s string) { w.b = append(w.b, s...) }

func (w *writer) quote(s string) { w.b = wire.AppendString(w.b, s) }

// open starts an object or list that is an element of a list.
func (w *writer) open(bracket byte) {
	w.comma()
	w.b = append(w.b, bracket)
}

func (w *writer) str(name, v string) {
	w.key(name)
	w.quote(v)
}

// text is str unless v is empty.
func (w *writer) text(name, v string) {
	if v != "" {
		w.str(name, v)
	}
}

func (w *writer) int(name string, v int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, v, 10)
}

func (w *writer) intPtr(name string, v *int64) {
	if v != nil {
		w.int(name, *v)
	}
}

func (w *writer) floatPtr(name string, v *float64) {
	if v != nil {
		w.key(name)
		w.float(*v)
	}
}

func (w *writer) boolPtr(name string, v *bool) {
	if v != nil {
		w.key(name)
		w.b = strconv.AppendBool(w.b, *v)
	}
}

// float appends a number. JSON has no infinities: they become the largest number, as in OpenAI's own logprobs.
func (w *writer) float(v float64) {
	switch {
	case math.IsNaN(v):
		v = 0
	case math.IsInf(v, 1):
		v = math.MaxFloat64
	case math.IsInf(v, -1):
		v = -math.MaxFloat64
	}
	format := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	w.b = strconv.AppendFloat(w.b, v, format, -1, 64)
}

func (w *writer) value(name string, v llm.Raw) {
	w.key(name)
	w.rawValue(v)
}

// rawValue appends somebody's JSON, or null where it is none: a caller's mistake must not break the document around it. Line breaks go,
// since the document may be a server-sent event.
func (w *writer) rawValue(v llm.Raw) {
	if len(v) == 0 || !v.IsValid(wire.Loose) {
		w.raw("null")
		return
	}
	if bytes.ContainsAny(v, "\r\n") {
		v = v.Clone()
		_ = v.Compact(wire.Loose) // valid, so it can't fail
	}
	w.b = append(w.b, v...)
}

func (w *writer) strings(name string, v []string) {
	w.key(name)
	w.begin('[')
	for _, s := range v {
		w.comma()
		w.quote(s)
	}
	w.raw("]")
}

// begin opens a bracket right after a key.
func (w *writer) begin(bracket byte) { w.b = append(w.b, bracket) }

// extra appends the members of an Extra in a stable order, except those the caller has written itself.
func (w *writer) extra(m map[string]llm.Raw, except ...string) {
	for _, k := range sortedKeys(m) {
		if slices.Contains(except, k) {
			continue
		}
		w.comma()
		w.quote(k)
		w.raw(":")
		w.rawValue(m[k])
	}
}

func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
