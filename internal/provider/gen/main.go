// Command gen writes docs/providers.md from the table of providers.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/weir-gateway/weir/internal/provider"
)

const head = `# Providers

Generated from ` + "`internal/provider`" + ` by ` + "`make generate`" + `; don't edit. A model is written ` + "`provider/model`" + `; the key comes from ` + "`litellm_params.api_key`" + ` or from the first of
the variables that is set, the address from ` + "`litellm_params.api_base`" + `, a variable, or the provider's own. ` + "`api_base`" + ` is what the provider's own SDK would be given, with or
without its version path. With no configuration file, every provider whose variable is set serves as ` + "`provider/*`" + `.

## With code of their own

| prefix | speaks | credentials | example |
|---|---|---|---|
| ` + "`openai/`" + ` | chat, responses, embeddings and the rest | ` + "`OPENAI_API_KEY`" + `; ` + "`openai/responses/MODEL`" + ` speaks Responses alone | ` + "`model: openai/gpt-4o-mini`" + ` |
| ` + "`azure/`" + ` | chat, responses, embeddings | ` + "`AZURE_API_KEY`" + `, ` + "`AZURE_API_BASE`" + `, ` + "`AZURE_API_VERSION`" + `; or Entra ID: ` + "`azure_ad_token`" + `, ` + "`tenant_id`" + ` + ` + "`client_id`" + ` + ` + "`client_secret`" + `, workload identity | ` + "`model: azure/my-deployment`" + `, ` + "`api_base: https://NAME.openai.azure.com`" + ` |
| ` + "`anthropic/`" + ` | Messages | ` + "`ANTHROPIC_API_KEY`" + ` | ` + "`model: anthropic/claude-sonnet-4-5`" + ` |
| ` + "`bedrock/`" + ` | Converse; InvokeModel for embeddings and, as ` + "`bedrock/invoke/MODEL`" + `, for Claude's Messages | AWS's credential chain, ` + "`aws_access_key_id`" + ` + ` + "`aws_secret_access_key`" + `, ` + "`aws_profile_name`" + `, ` + "`aws_role_name`" + `, ` + "`aws_web_identity_token`" + `, ` + "`AWS_BEARER_TOKEN_BEDROCK`" + ` or ` + "`api_key`" + ` | ` + "`model: bedrock/us.amazon.nova-lite-v1:0`" + `, ` + "`aws_region_name: us-east-1`" + ` |
| ` + "`gemini/`" + ` | generateContent | ` + "`GEMINI_API_KEY`" + ` | ` + "`model: gemini/gemini-2.5-flash`" + ` |
| ` + "`vertex_ai/`" + ` | generateContent; Messages for Claude | ` + "`vertex_credentials`" + ` (service account) or application default credentials, ` + "`vertex_project`" + `, ` + "`vertex_location`" + ` | ` + "`model: vertex_ai/gemini-2.5-pro`" + ` |
| ` + "`azure_ai/`" + ` | OpenAI's chat; Messages for Claude | ` + "`AZURE_AI_API_KEY`" + `, ` + "`AZURE_AI_API_BASE`" + `; Entra ID as for ` + "`azure/`" + ` | ` + "`model: azure_ai/mistral-large`" + `, ` + "`api_base: https://NAME.services.ai.azure.com`" + ` |
| ` + "`sagemaker/`" + `, ` + "`sagemaker_chat/`" + ` | text generation; OpenAI's chat | AWS's, as for ` + "`bedrock/`" + ` | ` + "`model: sagemaker_chat/my-endpoint`" + ` |
| ` + "`cohere/`" + ` | Cohere's chat, embed and rerank, version 2 | ` + "`COHERE_API_KEY`" + ` | ` + "`model: cohere/command-a-03-2025`" + ` |
| ` + "`huggingface/`" + ` | OpenAI's chat through the router or on a server of one's own; text generation (TGI) where ` + "`api_base`" + ` ends in ` + "`/generate`" + `; TEI's embeddings | ` + "`HUGGINGFACE_API_KEY`" + `, ` + "`HF_TOKEN`" + ` | ` + "`model: huggingface/meta-llama/Llama-3.3-70B-Instruct`" + ` |
| ` + "`databricks/`" + ` | OpenAI's chat, embeddings | ` + "`DATABRICKS_API_KEY`" + `, ` + "`DATABRICKS_API_BASE`" + `; or ` + "`DATABRICKS_CLIENT_ID`" + ` + ` + "`DATABRICKS_CLIENT_SECRET`" + ` | ` + "`model: databricks/databricks-claude-sonnet-4`" + ` |
| ` + "`demo/`" + ` | all five | none: it answers without any provider | ` + "`model: demo/demo`" + ` |

Registered: %s.

## OpenAI-compatible

| prefix | also | address | key variables | address variables |
|---|---|---|---|---|
`

func main() {
	names := provider.Registry()
	for i := range names {
		names[i] = "`" + names[i] + "`"
	}
	var b strings.Builder
	fmt.Fprintf(&b, head, strings.Join(names, ", "))
	for _, r := range provider.Table() {
		key := code(r.Keys)
		if r.NoKey {
			key += " (usually none)"
		}
		fmt.Fprintf(&b, "| `%s/` | %s | %s | %s | %s |\n", r.Name, code(r.Aliases), r.BaseURL, key, code(r.Bases))
	}
	if err := os.WriteFile("../../docs/providers.md", []byte(b.String()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func code(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "`" + strings.Join(list, "`, `") + "`"
}
