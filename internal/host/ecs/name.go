package ecs

import (
	"encoding/base32"
	"strconv"
	"strings"
	"unicode"

	"github.com/weir-gateway/weir/internal/host/stock"
)

// The tags of everything that is made.
const (
	tagModel      = "weir:model"
	tagGeneration = "weir:generation"
	tagOwner      = "weir:owner"
	tagReplicas   = "weir:replicas" // of a service: what was last asked for
)

const (
	maxPrefix = 10
	maxName   = 32 // of load balancers and target groups; all others may be longer
)

func validPrefix(p string) bool {
	if p == "" || len(p) > maxPrefix || p[0] < 'a' || p[0] > 'z' || strings.HasPrefix(p, "aws") || strings.HasPrefix(p, "ecs") || strings.HasPrefix(p, "fargate") || strings.HasPrefix(p, "internal") {
		return false
	}
	return strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// nameOf is the name of everything of a model.
func (h *Host) nameOf(id string) string { return stock.Name(h.o.NamePrefix, id, maxName) }

// packed are ids that a tag can't hold as they are.
const packed = "b32:"

var tagAlphabet = base32.HexEncoding.WithPadding(base32.NoPadding)

// maxTag is how long a tag's value may be.
const maxTag = 256

func tagOf(id string) string {
	plain := len(id) <= maxTag && !strings.HasPrefix(id, packed) && strings.TrimSpace(id) == id && strings.IndexFunc(id, func(r rune) bool {
		return !(r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune(" +-=._:/@", r))
	}) < 0
	if plain {
		return id
	}
	return packed + tagAlphabet.EncodeToString([]byte(id))
}

func idOf(tag string) string {
	if text, ok := strings.CutPrefix(tag, packed); ok {
		if id, err := tagAlphabet.DecodeString(text); err == nil {
			return string(id)
		}
	}
	return tag
}

// tags are a model's own.
func (w *work) tags() map[string]string {
	return map[string]string{tagModel: tagOf(w.id), tagOwner: w.o.NamePrefix}
}

// tag is one of ECS's. All other services spell it differently.
type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (w *work) ecsTags(generation int64) []params {
	out := []params{tagECS(tagModel, tagOf(w.id)), tagECS(tagOwner, w.o.NamePrefix)}
	if generation > 0 {
		out = append(out, tagECS(tagGeneration, strconv.FormatInt(generation, 10)))
	}
	return out
}

func tagECS(key, value string) params { return params{"key": key, "value": value} }

func ecsTag(tags []tag, key string) string {
	for _, t := range tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

func (w *work) elbTags() []params {
	return []params{{"Key": tagModel, "Value": tagOf(w.id)}, {"Key": tagOwner, "Value": w.o.NamePrefix}}
}
