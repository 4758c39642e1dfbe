// DELETE THIS FILE (git rm) when landing the real package: it only keeps the tree building until then.

package converse

import (
	"github.com/weir-gateway/weir/internal/gemini"
	"github.com/weir-gateway/weir/internal/llm"
)

var Converse = gemini.Generate
var DecodeCount = gemini.DecodeCount
var AppendCount = gemini.AppendCount
var EncodeCount = gemini.EncodeCount
var DecodeCountResponse = gemini.DecodeCountResponse

func NeedsInline(p *llm.Part) bool { return gemini.NeedsInline(p) }
