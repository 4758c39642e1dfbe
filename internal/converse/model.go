package converse

import (
	"strconv"
	"strings"
)

// family is what a model's id says of its abilities. Ids may have a region before (us., global.), be an ARN that ends in one, or an
// opaque profile's ARN, which says nothing: such a model is asked for what the request says.
type family struct {
	maker   string // claude, nova, gpt-oss, llama, mistral, deepseek, titan, cohere, ai21; empty: unknown
	version int    // Claude's and Nova's in tenths: 46 is Claude 4.6, 10 Nova 1
	older   bool   // of a maker that has newer models with more abilities
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
			f.version = versionIn(model[strings.Index(model, m.mark):])
		case "nova":
			f.version = 10
			if strings.Contains(model, "nova-2") || strings.Contains(model, "-v2") {
				f.version = 20
			}
		case "mistral":
			f.older = strings.Contains(model, "-7b") || strings.Contains(model, "mixtral") || strings.Contains(model, "-240")
		case "deepseek":
			f.older = strings.Contains(model, ".r1")
		}
		return f
	}
	return family{}
}

// versionIn reads names such as claude-3-7-sonnet-20250219, claude-opus-4-6-v1 and claude-sonnet-5; 0 if there is no number.
func versionIn(model string) int {
	words := strings.FieldsFunc(model, func(r rune) bool { return r == '-' || r == '.' || r == '@' || r == ':' || r == '/' })
	for i, w := range words {
		major, err := strconv.Atoi(strings.TrimPrefix(w, "v"))
		if err != nil || major > 99 {
			continue
		}
		minor := 0
		if i+1 < len(words) {
			if n, err := strconv.Atoi(words[i+1]); err == nil && n < 10 {
				minor = n
			}
		}
		return major*10 + minor
	}
	return 0
}

func (f family) claude() bool { return f.maker == "claude" }
func (f family) nova() bool   { return f.maker == "nova" }

// thinks says that the model may be asked to reason through additionalModelRequestFields.
func (f family) thinks() bool {
	switch f.maker {
	case "claude":
		return f.version == 0 || f.version >= 37
	case "nova":
		return f.version >= 20
	}
	return f.maker == "gpt-oss"
}

// adaptive says that a Claude model is asked by effort and decides itself; older ones want a budget in tokens.
func (f family) adaptive() bool { return f.claude() && f.version >= 46 }

// quiet says that a Claude model hides its thoughts unless asked to summarise them.
func (f family) quiet() bool { return f.claude() && f.version >= 47 }

// noSampling says that temperature, top_p and top_k are refused.
func (f family) noSampling() bool { return f.claude() && f.version >= 47 }

// oneSampling says that temperature and top_p are refused together.
func (f family) oneSampling() bool { return f.claude() && f.version >= 41 }

// caches says that the model takes cache points.
func (f family) caches() bool { return f.claude() || f.nova() || f.maker == "" }

// cachesLong says that it takes those of an hour.
func (f family) cachesLong() bool { return f.claude() && f.version >= 45 || f.maker == "" }

// structured says that a JSON schema in outputConfig is enforced.
func (f family) structured() bool {
	switch f.maker {
	case "claude":
		return f.version >= 45
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
