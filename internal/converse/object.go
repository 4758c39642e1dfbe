package converse

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// badField names the field that the JSON decoder could not read.
func badField(err error, base string) *llm.Error {
	return llm.BadField(err, base, func(jsonType string) string {
		if jsonType == "integer" || jsonType == "object" {
			return "the value must be an " + jsonType
		}
		return "the value must be a " + jsonType
	})
}

func at(base string, i int) string { return base + "." + strconv.Itoa(i) }

// compact is raw without its white space, as a string of its own.
func compact(raw llm.Raw) string {
	v := raw.Clone()
	if v.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return string(raw)
	}
	return string(v)
}

// writer writes what requests and answers share.
type writer struct{ wire.Writer }

func newWriter(dst []byte) writer { return writer{wire.NewWriter(dst)} }
