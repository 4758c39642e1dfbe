package converse

import (
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// family is what a model's id says of its abilities. Ids may have a region before (us., global.), be an ARN that ends in one, or an
// opaque profile's ARN, which says nothing: such a model is asked for what the request says.
type family struct {
	maker   string     // claude, nova, gpt-oss, llama, mistral, deepseek, titan, cohere, ai21; empty: unknown
	version llm.Claude // 0 of other makers'
	older   bool       // of a maker that has newer models with more abilities
}

var makers = []struct{ mark, maker string }{
	{"anthropic.", "claude"}, {"claude-", "claude"}, {"amazon.nova", "nova"}, {"nova-", "nova"}, {"gpt-oss", "gpt-oss"}, {"meta.llama", "llama"},
	{"mistral.", "mistral"}, {"deepseek.", "deepseek"}, {"amazon.titan", "titan"}, {"cohere.", "cohere"}, {"ai21.", "ai21"},
}

func familyOf(model string) family {
	model = strings.ToLower(model)
	for _, m := range makers {
		if !strings.Contains(model, m.mark) {
			continue
		}
		f := family{maker: m.maker}
		switch m.maker {
		case "claude":
			f.version = llm.ClaudeOf(model)
		case "nova":
			f.older = !strings.Contains(model, "nova-2") && !strings.Contains(model, "-v2")
		case "mistral":
			f.older = strings.Contains(model, "-7b") || strings.Contains(model, "mixtral") || strings.Contains(model, "-240")
		case "deepseek":
			f.older = strings.Contains(model, ".r1")
		}
		return f
	}
	return family{}
}

func (f family) claude() bool { return f.maker == "claude" }
func (f family) nova() bool   { return f.maker == "nova" }

// thinks says that the model may be asked to reason through additionalModelRequestFields.
func (f family) thinks() bool {
	switch f.maker {
	case "claude":
		return f.version.Thinks()
	case "nova":
		return !f.older
	}
	return f.maker == "gpt-oss"
}

// caches says that the model takes cache points.
func (f family) caches() bool { return f.claude() || f.nova() || f.maker == "" }

// cachesLong says that it takes those of an hour.
func (f family) cachesLong() bool { return f.claude() && f.version >= 45 || f.maker == "" }

// structured says that a JSON schema in outputConfig is enforced.
func (f family) structured() bool {
	switch f.maker {
	case "claude":
		return f.version.Structured()
	case "nova", "llama", "titan", "cohere", "ai21":
		return false
	}
	return !f.older
}

// chooses says which words of toolChoice besides auto the model takes.
func (f family) chooses() (required, named bool) {
	switch f.maker {
	case "llama", "titan", "cohere", "ai21":
		return false, false
	case "mistral":
		return true, false
	}
	return true, true
}

// serial says that a Claude model can be told to call one tool at a time.
func (f family) serial() bool { return f.claude() && f.version >= 45 }

// topK is where the model's own parameter for it stands; empty: it has none.
func (f family) topK() string {
	switch f.maker {
	case "claude", "mistral", "":
		return "top_k"
	case "nova":
		return "topK"
	case "cohere":
		return "k"
	}
	return ""
}
