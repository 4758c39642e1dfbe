package provider

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
)

// split finds the provider of an entry and the model's name without it: as the entry says, as the name's first word says, or guessed from
// the name.
func split(p config.Params) (provider, model string, err error) {
	if strings.TrimSpace(p.Model) == "" {
		return "", "", fmt.Errorf("model missing: set litellm_params.model to provider/model")
	}
	if p.Provider != "" {
		name := canonical(p.Provider)
		head, rest, ok := strings.Cut(p.Model, "/")
		if ok && canonical(head) == name {
			return name, rest, nil
		}
		return name, p.Model, nil
	}
	if head, rest, ok := strings.Cut(p.Model, "/"); ok && known(head) {
		if rest == "" {
			return "", "", fmt.Errorf("model %q names no model after the provider: set litellm_params.model to provider/model", p.Model)
		}
		return canonical(head), rest, nil
	}
	if name := guessProvider(p.Model, p.Vertex.Project != "" || p.Vertex.Credentials != ""); name != "" {
		return name, p.Model, nil
	}
	if p.APIBase != "" {
		return "openai", p.Model, nil
	}
	return "", "", fmt.Errorf("model %q names no provider: write provider/%s, or set litellm_params.custom_llm_provider", p.Model, p.Model)
}

// bedrockID matches the ids of Bedrock's own models, with or without the prefix of a cross-region profile.
var bedrockID = regexp.MustCompile(`^(?:(?:us|eu|apac|ap|jp|au|ca|global|us-gov)\.)?` +
	`(?:ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen|stability|twelvelabs|writer|zai)\.[a-z0-9]`)

// guesses maps the beginning of a bare model name to its provider, the first that fits.
var guesses = []struct{ prefix, provider string }{
	{"gpt-", "openai"}, {"chatgpt", "openai"}, {"o1", "openai"}, {"o3", "openai"}, {"o4", "openai"}, {"codex-", "openai"},
	{"ft:", "openai"}, {"text-embedding-3", "openai"}, {"text-embedding-ada", "openai"}, {"dall-e", "openai"}, {"whisper", "openai"},
	{"tts-", "openai"}, {"omni-moderation", "openai"}, {"text-moderation", "openai"}, {"sora-", "openai"}, {"computer-use-preview", "openai"},
	{"davinci-002", "openai"}, {"babbage-002", "openai"},
	{"claude", "anthropic"},
	{"text-embedding-00", "vertex_ai"}, {"text-multilingual-embedding", "vertex_ai"}, {"textembedding-gecko", "vertex_ai"},
	{"command", "cohere"}, {"c4ai-", "cohere"}, {"embed-english", "cohere"}, {"embed-multilingual", "cohere"}, {"embed-v4", "cohere"}, {"rerank-", "cohere"},
	{"mistral-", "mistral"}, {"ministral", "mistral"}, {"magistral", "mistral"}, {"devstral", "mistral"}, {"open-mistral", "mistral"},
	{"open-mixtral", "mistral"}, {"pixtral", "mistral"}, {"voxtral", "mistral"}, {"codestral-", "codestral"},
	{"deepseek-", "deepseek"}, {"grok-", "xai"}, {"sonar", "perplexity"}, {"jamba", "ai21_chat"},
	{"voyage-", "voyage"}, {"jina-", "jina_ai"}, {"kimi-", "moonshot"}, {"moonshot-", "moonshot"}, {"glm-", "zai"}, {"abab", "minimax"},
	{"qwen", "dashscope"},
}

// Guess names the provider of a model whose name does not say it, as an entry of the model list without a prefix has it; empty: not known.
func Guess(model string) string { return guessProvider(model, false) }

// guessProvider is the provider of a bare model name, empty if nothing is known. LiteLLM takes a bare Gemini for Vertex AI's; with an
// AI Studio key and no project that can only fail, so Gemini goes where the entry has credentials for.
func guessProvider(model string, vertex bool) string {
	m := strings.ToLower(model)
	if strings.HasPrefix(m, "arn:aws") && strings.Contains(m, ":bedrock:") || bedrockID.MatchString(m) {
		return "bedrock"
	}
	if strings.HasPrefix(m, "gemini") || strings.HasPrefix(m, "gemma-") {
		if vertex {
			return "vertex_ai"
		}
		return "gemini"
	}
	for _, g := range guesses {
		if strings.HasPrefix(m, g.prefix) {
			return g.provider
		}
	}
	return ""
}
