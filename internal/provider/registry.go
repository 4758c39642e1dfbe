package provider

import "slices"

// registry lists the providers that need code; the others are rows of table.go.
func registry() map[string]func(*setup) (driver, string, error) {
	return map[string]func(*setup) (driver, string, error){
		"anthropic":      newAnthropic,
		"azure":          newAzure,
		"azure_ai":       newAzureAI,
		"bedrock":        newBedrock,
		"cohere":         newCohere,
		"databricks":     newDatabricks,
		"demo":           newDemo,
		"gemini":         newGemini,
		"huggingface":    newHugging,
		"sagemaker":      newSageMaker,
		"sagemaker_chat": newSageMaker,
		"vertex_ai":      newVertex,
	}
}

// aliases are other names of providers, LiteLLM's own among them, that mean the same here.
var aliases = map[string]string{
	"bedrock_converse": "bedrock", "vertex_ai_beta": "vertex_ai", "vertex": "vertex_ai", "anthropic_text": "anthropic",
	"google": "gemini", "google_ai_studio": "gemini", "azure_openai": "azure", "azure_text": "azure",
	"cohere_chat": "cohere", "hugging_face": "huggingface", "hf": "huggingface",
}

// canonical is the one name of a provider.
func canonical(name string) string {
	if to, ok := aliases[name]; ok {
		return to
	}
	if row, ok := find(name); ok {
		return row.Name
	}
	return name
}

// known tells whether there is a provider of this name.
func known(name string) bool {
	name = canonical(name)
	if _, ok := find(name); ok {
		return true
	}
	_, ok := registry()[name]
	return ok
}

// Registry lists the providers with code of their own, sorted.
func Registry() []string {
	var names []string
	for name := range registry() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Table lists the rows of the OpenAI-compatible providers in their order.
func Table() []Row { return slices.Clone(rows) }

func find(name string) (*Row, bool) {
	for i := range rows {
		if rows[i].Name == name || slices.Contains(rows[i].Aliases, name) {
			return &rows[i], true
		}
	}
	return nil, false
}
