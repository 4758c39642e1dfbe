package provider

import "github.com/weir-gateway/weir/internal/llm"

// Row is an OpenAI-compatible provider. Its zero values mean: a key is needed and goes into Authorization, chat is spoken, and every
// parameter of OpenAI's is understood.
type Row struct {
	Name    string
	Aliases []string
	// BaseURL is the address as the vendor documents it, version path included. {NAME} in it stands for a variable. Empty: there is no
	// usual one, the deployment or a variable must say.
	BaseURL string
	// Keys and Bases are variables, the first that is set counts.
	Keys  []string
	Bases []string
	// NoKey says that the server usually asks for none (those that run on one's own machine).
	NoKey bool
	// KeyHeader is where the key goes if not into "Authorization: Bearer".
	KeyHeader string
	// Responses says that the Responses API is spoken as well.
	Responses bool
	// Only limits what the provider offers; 0 is everything that OpenAI's paths can say, completions excepted.
	Only Ops
	// Completions says that legacy text completions are served for the chat models too.
	Completions bool
	// ModelPrefix is put before model names that have no slash.
	ModelPrefix string
	Quirks      Quirks
}

// KeyVariable is the variable that people set for the key, empty if there is none.
func (r Row) KeyVariable() string {
	if len(r.Keys) == 0 {
		return ""
	}
	return r.Keys[0]
}

// oldMaxTokens is the quirk of providers that only know the older name of the token limit.
var oldMaxTokens = Quirks{Rename: map[string]string{"max_completion_tokens": "max_tokens"}}

// mistralQuirks: Mistral's API refuses what it does not know (422, extra_forbidden), stream_options among it, and always reports usage.
var mistralQuirks = Quirks{
	Rename:        map[string]string{"max_completion_tokens": "max_tokens", "seed": "random_seed"},
	Drop:          []string{"user", "logit_bias", "logprobs", "top_logprobs", "service_tier", "store", "verbosity", "safety_identifier", "prompt_cache_key", "modalities", "audio"},
	NoStreamUsage: true,
}

var (
	embedOnly  = OpsOf(llm.OpEmbed)
	rankers    = OpsOf(llm.OpEmbed, llm.OpRerank)
	chatOnly   = OpsOf(llm.OpChat)
	textOnly   = OpsOf(llm.OpCompletion)
	chatEmbed  = OpsOf(llm.OpChat, llm.OpEmbed)
	compatible = OpsOf(llm.OpChat, llm.OpEmbed, llm.OpRerank, llm.OpModerate, llm.OpImage, llm.OpSpeech, llm.OpTranscribe, llm.OpImageEdit, llm.OpTranslation)
)

// rows is the table: one line makes a provider. Hosted ones first, then gateways to others, then servers of one's own.
var rows = []Row{
	{Name: "openai", Aliases: []string{"custom_openai", "openai_like", "aiohttp_openai"}, BaseURL: "https://api.openai.com/v1", Keys: []string{"OPENAI_API_KEY"}, Bases: []string{"OPENAI_BASE_URL", "OPENAI_API_BASE"}, Responses: true},
	{Name: "text-completion-openai", BaseURL: "https://api.openai.com/v1", Keys: []string{"OPENAI_API_KEY"}, Bases: []string{"OPENAI_BASE_URL", "OPENAI_API_BASE"}, Only: textOnly, Completions: true},
	{Name: "groq", BaseURL: "https://api.groq.com/openai/v1", Keys: []string{"GROQ_API_KEY"}, Bases: []string{"GROQ_API_BASE"}, Quirks: Quirks{Drop: []string{"logprobs", "top_logprobs", "logit_bias"}}},
	{Name: "mistral", BaseURL: "https://api.mistral.ai/v1", Keys: []string{"MISTRAL_API_KEY"}, Bases: []string{"MISTRAL_API_BASE", "MISTRAL_AZURE_API_BASE"}, Quirks: mistralQuirks},
	{Name: "codestral", BaseURL: "https://codestral.mistral.ai/v1", Keys: []string{"CODESTRAL_API_KEY"}, Bases: []string{"CODESTRAL_API_BASE"}, Quirks: mistralQuirks},
	{Name: "text-completion-codestral", BaseURL: "https://codestral.mistral.ai/v1/fim", Keys: []string{"CODESTRAL_API_KEY"}, Bases: []string{"CODESTRAL_API_BASE"}, Only: textOnly, Completions: true, Quirks: mistralQuirks},
	{Name: "deepseek", BaseURL: "https://api.deepseek.com/v1", Keys: []string{"DEEPSEEK_API_KEY"}, Bases: []string{"DEEPSEEK_API_BASE"}, Only: chatOnly, Quirks: oldMaxTokens},
	{Name: "xai", BaseURL: "https://api.x.ai/v1", Keys: []string{"XAI_API_KEY"}, Bases: []string{"XAI_API_BASE"}, Responses: true},
	{Name: "together_ai", Aliases: []string{"together", "togetherai"}, BaseURL: "https://api.together.xyz/v1", Keys: []string{"TOGETHERAI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHER_AI_TOKEN"}, Bases: []string{"TOGETHER_AI_API_BASE"}, Completions: true, Quirks: oldMaxTokens},
	{Name: "fireworks_ai", Aliases: []string{"fireworks"}, BaseURL: "https://api.fireworks.ai/inference/v1", Keys: []string{"FIREWORKS_AI_API_KEY", "FIREWORKS_API_KEY", "FIREWORKSAI_API_KEY", "FIREWORKS_AI_TOKEN"}, Bases: []string{"FIREWORKS_API_BASE", "FIREWORKS_AI_API_BASE"}, Completions: true, ModelPrefix: "accounts/fireworks/models/", Quirks: oldMaxTokens},
	{Name: "perplexity", BaseURL: "https://api.perplexity.ai", Keys: []string{"PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"}, Bases: []string{"PERPLEXITY_API_BASE"}, Only: chatEmbed, Quirks: oldMaxTokens},
	{Name: "cerebras", BaseURL: "https://api.cerebras.ai/v1", Keys: []string{"CEREBRAS_API_KEY"}, Bases: []string{"CEREBRAS_API_BASE"}, Only: chatOnly, Quirks: Quirks{Drop: []string{"logit_bias", "frequency_penalty", "presence_penalty"}}},
	{Name: "nvidia_nim", Aliases: []string{"nvidia"}, BaseURL: "https://integrate.api.nvidia.com/v1", Keys: []string{"NVIDIA_NIM_API_KEY", "NVIDIA_API_KEY"}, Bases: []string{"NVIDIA_NIM_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "sambanova", BaseURL: "https://api.sambanova.ai/v1", Keys: []string{"SAMBANOVA_API_KEY"}, Bases: []string{"SAMBANOVA_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "deepinfra", BaseURL: "https://api.deepinfra.com/v1/openai", Keys: []string{"DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"}, Bases: []string{"DEEPINFRA_API_BASE"}, Completions: true, Quirks: oldMaxTokens},
	{Name: "github", BaseURL: "https://models.github.ai/inference", Keys: []string{"GITHUB_API_KEY"}, Bases: []string{"GITHUB_API_BASE"}, Only: chatEmbed},
	{Name: "ai21_chat", Aliases: []string{"ai21"}, BaseURL: "https://api.ai21.com/studio/v1", Keys: []string{"AI21_API_KEY"}, Bases: []string{"AI21_API_BASE"}, Only: chatOnly, Quirks: oldMaxTokens},
	{Name: "moonshot", BaseURL: "https://api.moonshot.ai/v1", Keys: []string{"MOONSHOT_API_KEY"}, Bases: []string{"MOONSHOT_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "dashscope", BaseURL: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", Keys: []string{"DASHSCOPE_API_KEY"}, Bases: []string{"DASHSCOPE_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "volcengine", BaseURL: "https://ark.cn-beijing.volces.com/api/v3", Keys: []string{"VOLCENGINE_API_KEY", "ARK_API_KEY"}, Bases: []string{"VOLCENGINE_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "zai", BaseURL: "https://api.z.ai/api/paas/v4", Keys: []string{"ZAI_API_KEY"}, Bases: []string{"ZAI_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "minimax", BaseURL: "https://api.minimax.io/v1", Keys: []string{"MINIMAX_API_KEY"}, Bases: []string{"MINIMAX_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "nebius", BaseURL: "https://api.tokenfactory.nebius.com/v1", Keys: []string{"NEBIUS_API_KEY"}, Bases: []string{"NEBIUS_API_BASE"}, Completions: true, Quirks: oldMaxTokens},
	{Name: "novita", BaseURL: "https://api.novita.ai/openai/v1", Keys: []string{"NOVITA_API_KEY"}, Bases: []string{"NOVITA_API_BASE"}, Completions: true, Quirks: oldMaxTokens},
	{Name: "hyperbolic", BaseURL: "https://api.hyperbolic.xyz/v1", Keys: []string{"HYPERBOLIC_API_KEY"}, Bases: []string{"HYPERBOLIC_API_BASE"}, Completions: true, Quirks: oldMaxTokens},
	{Name: "featherless_ai", BaseURL: "https://api.featherless.ai/v1", Keys: []string{"FEATHERLESS_AI_API_KEY", "FEATHERLESS_API_KEY"}, Bases: []string{"FEATHERLESS_API_BASE"}, Completions: true, Quirks: oldMaxTokens},
	{Name: "friendliai", BaseURL: "https://api.friendli.ai/serverless/v1", Keys: []string{"FRIENDLIAI_API_KEY", "FRIENDLI_TOKEN"}, Bases: []string{"FRIENDLI_API_BASE"}, Completions: true, Quirks: oldMaxTokens},
	{Name: "scaleway", BaseURL: "https://api.scaleway.ai/v1", Keys: []string{"SCW_SECRET_KEY"}, Bases: []string{"SCALEWAY_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "anyscale", BaseURL: "https://api.endpoints.anyscale.com/v1", Keys: []string{"ANYSCALE_API_KEY"}, Bases: []string{"ANYSCALE_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "meta_llama", BaseURL: "https://api.llama.com/compat/v1", Keys: []string{"LLAMA_API_KEY"}, Bases: []string{"LLAMA_API_BASE"}, Only: chatOnly},
	{Name: "lambda_ai", BaseURL: "https://api.lambda.ai/v1", Keys: []string{"LAMBDA_API_KEY"}, Bases: []string{"LAMBDA_API_BASE"}, Completions: true, Quirks: oldMaxTokens},
	{Name: "nscale", BaseURL: "https://inference.api.nscale.com/v1", Keys: []string{"NSCALE_API_KEY"}, Bases: []string{"NSCALE_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "baseten", BaseURL: "https://inference.baseten.co/v1", Keys: []string{"BASETEN_API_KEY"}, Bases: []string{"BASETEN_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "wandb", BaseURL: "https://api.inference.wandb.ai/v1", Keys: []string{"WANDB_API_KEY"}, Bases: []string{"WANDB_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "ovhcloud", BaseURL: "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", Keys: []string{"OVHCLOUD_API_KEY"}, Bases: []string{"OVHCLOUD_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "gradient_ai", BaseURL: "https://inference.do-ai.run/v1", Keys: []string{"GRADIENT_AI_API_KEY", "DIGITALOCEAN_INFERENCE_KEY"}, Bases: []string{"GRADIENT_AI_AGENT_ENDPOINT"}, Quirks: oldMaxTokens},
	{Name: "heroku", BaseURL: "https://us.inference.heroku.com/v1", Keys: []string{"HEROKU_API_KEY", "INFERENCE_KEY"}, Bases: []string{"HEROKU_API_BASE", "INFERENCE_URL"}, Only: chatEmbed, Quirks: oldMaxTokens},
	{Name: "cloudflare", BaseURL: "https://api.cloudflare.com/client/v4/accounts/{CLOUDFLARE_ACCOUNT_ID}/ai/v1", Keys: []string{"CLOUDFLARE_API_KEY", "CLOUDFLARE_API_TOKEN"}, Bases: []string{"CLOUDFLARE_API_BASE"}, Only: chatEmbed, Quirks: oldMaxTokens},
	{Name: "morph", BaseURL: "https://api.morphllm.com/v1", Keys: []string{"MORPH_API_KEY"}, Bases: []string{"MORPH_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "inception", BaseURL: "https://api.inceptionlabs.ai/v1", Keys: []string{"INCEPTION_API_KEY"}, Bases: []string{"INCEPTION_API_BASE"}, Only: chatOnly, Quirks: oldMaxTokens},
	{Name: "v0", BaseURL: "https://api.v0.dev/v1", Keys: []string{"V0_API_KEY"}, Bases: []string{"V0_API_BASE"}, Only: chatOnly},
	{Name: "amazon_nova", BaseURL: "https://api.nova.amazon.com/v1", Keys: []string{"AMAZON_NOVA_API_KEY"}, Bases: []string{"AMAZON_NOVA_API_BASE"}, Only: chatOnly, Quirks: oldMaxTokens},
	{Name: "clarifai", BaseURL: "https://api.clarifai.com/v2/ext/openai/v1", Keys: []string{"CLARIFAI_API_KEY", "CLARIFAI_PAT"}, Bases: []string{"CLARIFAI_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "publicai", BaseURL: "https://api.publicai.co/v1", Keys: []string{"PUBLICAI_API_KEY"}, Bases: []string{"PUBLICAI_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "veniceai", Aliases: []string{"venice"}, BaseURL: "https://api.venice.ai/api/v1", Keys: []string{"VENICE_AI_API_KEY", "VENICE_API_KEY"}, Bases: []string{"VENICE_AI_API_BASE"}},
	{Name: "xiaomi_mimo", BaseURL: "https://api.xiaomimimo.com/v1", Keys: []string{"XIAOMI_MIMO_API_KEY"}, Bases: []string{"XIAOMI_MIMO_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "synthetic", BaseURL: "https://api.synthetic.new/openai/v1", Keys: []string{"SYNTHETIC_API_KEY"}, Bases: []string{"SYNTHETIC_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "chutes", BaseURL: "https://llm.chutes.ai/v1", Keys: []string{"CHUTES_API_KEY"}, Bases: []string{"CHUTES_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "gmi", BaseURL: "https://api.gmi-serving.com/v1", Keys: []string{"GMI_API_KEY"}, Bases: []string{"GMI_API_BASE"}},
	{Name: "crusoe", BaseURL: "https://managed-inference-api-proxy.crusoecloud.com/v1", Keys: []string{"CRUSOE_API_KEY"}, Bases: []string{"CRUSOE_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "abliteration", BaseURL: "https://api.abliteration.ai/v1", Keys: []string{"ABLITERATION_API_KEY"}, Bases: []string{"ABLITERATION_API_BASE"}},
	{Name: "llamagate", BaseURL: "https://api.llamagate.dev/v1", Keys: []string{"LLAMAGATE_API_KEY"}, Bases: []string{"LLAMAGATE_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "sarvam", BaseURL: "https://api.sarvam.ai/v1", Keys: []string{"SARVAM_API_KEY"}, Bases: []string{"SARVAM_API_BASE"}, KeyHeader: "Api-Subscription-Key", Only: chatOnly, Quirks: oldMaxTokens},
	{Name: "siliconflow", BaseURL: "https://api.siliconflow.com/v1", Keys: []string{"SILICONFLOW_API_KEY"}, Bases: []string{"SILICONFLOW_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "voyage", BaseURL: "https://api.voyageai.com/v1", Keys: []string{"VOYAGE_API_KEY"}, Bases: []string{"VOYAGE_API_BASE"}, Only: rankers, Quirks: Quirks{Rename: map[string]string{"dimensions": "output_dimension", "top_n": "top_k"}, Drop: []string{"user"}}},
	{Name: "jina_ai", Aliases: []string{"jina"}, BaseURL: "https://api.jina.ai/v1", Keys: []string{"JINA_AI_API_KEY", "JINA_API_KEY"}, Bases: []string{"JINA_AI_API_BASE"}, Only: rankers, Quirks: Quirks{Rename: map[string]string{"encoding_format": "embedding_type"}, Drop: []string{"user"}}},

	{Name: "openrouter", BaseURL: "https://openrouter.ai/api/v1", Keys: []string{"OPENROUTER_API_KEY", "OR_API_KEY"}, Bases: []string{"OPENROUTER_API_BASE"}, Completions: true},
	{Name: "vercel_ai_gateway", Aliases: []string{"vercel"}, BaseURL: "https://ai-gateway.vercel.sh/v1", Keys: []string{"VERCEL_AI_GATEWAY_API_KEY", "AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN"}, Bases: []string{"VERCEL_AI_GATEWAY_API_BASE"}},
	{Name: "helicone", BaseURL: "https://ai-gateway.helicone.ai/v1", Keys: []string{"HELICONE_API_KEY"}, Bases: []string{"HELICONE_API_BASE"}},
	{Name: "aihubmix", BaseURL: "https://aihubmix.com/v1", Keys: []string{"AIHUBMIX_API_KEY"}, Bases: []string{"AIHUBMIX_API_BASE"}},
	{Name: "aiml", BaseURL: "https://api.aimlapi.com/v1", Keys: []string{"AIML_API_KEY"}, Bases: []string{"AIML_API_BASE"}},
	{Name: "cometapi", BaseURL: "https://api.cometapi.com/v1", Keys: []string{"COMETAPI_KEY", "COMETAPI_API_KEY"}, Bases: []string{"COMETAPI_API_BASE"}},
	{Name: "poe", BaseURL: "https://api.poe.com/v1", Keys: []string{"POE_API_KEY"}, Bases: []string{"POE_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "nano-gpt", BaseURL: "https://nano-gpt.com/api/v1", Keys: []string{"NANOGPT_API_KEY"}, Bases: []string{"NANOGPT_API_BASE"}, Quirks: oldMaxTokens},
	{Name: "litellm_proxy", Keys: []string{"LITELLM_PROXY_API_KEY"}, Bases: []string{"LITELLM_PROXY_API_BASE"}, NoKey: true, Responses: true, Completions: true},

	{Name: "hosted_vllm", Aliases: []string{"vllm"}, BaseURL: "http://localhost:8000/v1", Keys: []string{"HOSTED_VLLM_API_KEY"}, Bases: []string{"HOSTED_VLLM_API_BASE"}, NoKey: true, Completions: true},
	{Name: "lm_studio", BaseURL: "http://localhost:1234/v1", Keys: []string{"LM_STUDIO_API_KEY"}, Bases: []string{"LM_STUDIO_API_BASE"}, NoKey: true, Completions: true},
	{Name: "ollama", Aliases: []string{"ollama_chat"}, BaseURL: "http://localhost:11434/v1", Keys: []string{"OLLAMA_API_KEY"}, Bases: []string{"OLLAMA_API_BASE", "OLLAMA_HOST"}, NoKey: true, Completions: true, Quirks: oldMaxTokens},
	{Name: "llamafile", BaseURL: "http://127.0.0.1:8080/v1", Keys: []string{"LLAMAFILE_API_KEY"}, Bases: []string{"LLAMAFILE_API_BASE"}, NoKey: true, Completions: true, Quirks: oldMaxTokens},
	{Name: "llama_cpp", Aliases: []string{"llamacpp", "llama.cpp"}, BaseURL: "http://127.0.0.1:8080/v1", Keys: []string{"LLAMA_CPP_API_KEY"}, Bases: []string{"LLAMA_CPP_API_BASE"}, NoKey: true, Completions: true},
	{Name: "xinference", BaseURL: "http://127.0.0.1:9997/v1", Keys: []string{"XINFERENCE_API_KEY"}, Bases: []string{"XINFERENCE_API_BASE"}, NoKey: true, Completions: true, Quirks: oldMaxTokens},
	{Name: "docker_model_runner", BaseURL: "http://localhost:12434/engines/v1", Keys: []string{"DOCKER_MODEL_RUNNER_API_KEY"}, Bases: []string{"DOCKER_MODEL_RUNNER_API_BASE"}, NoKey: true, Completions: true, Quirks: oldMaxTokens},
	{Name: "lemonade", BaseURL: "http://localhost:8000/api/v1", Keys: []string{"LEMONADE_API_KEY"}, Bases: []string{"LEMONADE_API_BASE"}, NoKey: true, Completions: true},
	{Name: "infinity", BaseURL: "http://localhost:7997", Keys: []string{"INFINITY_API_KEY"}, Bases: []string{"INFINITY_API_BASE"}, NoKey: true, Only: rankers},
}
