// Package config reads LiteLLM's config.yaml, with Weir's own keys beside it, into Config: os.environ/ references resolved, values
// coerced, every complaint with its line. It imports none of ours and is not on the hot path.
package config

import "time"

// Secret is a credential that prints as stars, so that no log, error or dump can show it. Reveal gives the text.
type Secret string

// Reveal is the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "********"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Model is one entry of model_list: a deployment that can answer for the public name. Several entries with one name are a group.
type Model struct {
	Name   string    `yaml:"model_name" doc:"public name; may hold * (openai/*), which stands for the same text in litellm_params.model"`
	Params Params    `yaml:"litellm_params" doc:"how to reach the provider, and request parameters for calls that don't set them"`
	Info   ModelInfo `yaml:"model_info" doc:"what is known about the model"`
	TPM    int64     `yaml:"tpm" later:"true" doc:"tokens a minute; looked up here, then in litellm_params, then in model_info; 0: unlimited"`
	RPM    int64     `yaml:"rpm" later:"true" doc:"requests a minute, looked up like tpm"`
	Line   int       `yaml:"-"` // in its file, for messages
	File   string    `yaml:"-"`
}

// Params is litellm_params: how to reach the provider and what to send by default (contract litellm.md 1.2).
type Params struct {
	Model          string            `yaml:"model" doc:"provider/model, or a bare model whose provider is guessed; required"`
	Provider       string            `yaml:"custom_llm_provider" doc:"provider, when the model's prefix does not say"`
	APIKey         Secret            `yaml:"api_key" doc:"the provider's key; empty: the provider's usual variable"`
	APIBase        string            `yaml:"api_base" alias:"base_url" doc:"address, as the provider's own SDK would be given it, with or without /v1"`
	APIVersion     string            `yaml:"api_version" doc:"Azure's api-version"`
	Organization   string            `yaml:"organization" doc:"OpenAI organization; a list makes a deployment of each"`
	Timeout        time.Duration     `yaml:"timeout" doc:"longest time a call may take; 0: router_settings.timeout"`
	StreamTimeout  time.Duration     `yaml:"stream_timeout" doc:"longest wait for the first byte of a stream"`
	MaxRetries     *int64            `yaml:"max_retries" alias:"num_retries" later:"true" doc:"further attempts after a failure"`
	Headers        map[string]string `yaml:"extra_headers" alias:"headers" doc:"headers added to upstream calls"`
	DropParams     *bool             `yaml:"drop_params" doc:"overrides litellm_settings.drop_params"`
	CredentialName string            `yaml:"litellm_credential_name" doc:"entry of credential_list whose values fill in what is left out here"`
	MockResponse   string            `yaml:"mock_response" doc:"answer with this text, without any upstream"`
	Weight         *float64          `yaml:"weight" doc:"share of the group's calls; 1 when absent"`
	Order          int64             `yaml:"order" later:"true" doc:"lowest order of a group is tried first"`
	MaxParallel    int64             `yaml:"max_parallel_requests" later:"true" doc:"calls at a time"`
	Tags           []string          `yaml:"tags" later:"true" doc:"tags for tag routing"`
	RegionName     string            `yaml:"region_name" doc:"region, for allowed_model_region and providers that have regions"`
	MergeReasoning bool              `yaml:"merge_reasoning_content_in_choices" doc:"write reasoning into the answer's text between <think> tags"`

	AWS    AWS    `yaml:",inline"`
	Vertex Vertex `yaml:",inline"`
	Azure  Azure  `yaml:",inline"`

	// Cost overrides in the price map's own keys (input_cost_per_token ...), USD per unit.
	Cost map[string]float64 `yaml:"-"`
	// Defaults are request parameters for calls that don't set them (temperature, top_p, seed ...), in OpenAI's words; a client's own
	// value wins. Values are nil, string, bool, int64, float64, []any or map[string]any.
	Defaults map[string]any `yaml:"-"`
}

// AWS holds the credentials and addresses of Bedrock and SageMaker deployments; empty fields fall back to the SDK's default chain.
type AWS struct {
	Region           string `yaml:"aws_region_name" doc:"AWS region"`
	AccessKeyID      Secret `yaml:"aws_access_key_id" doc:"static AWS key id"`
	SecretAccessKey  Secret `yaml:"aws_secret_access_key" doc:"static AWS secret key"`
	SessionToken     Secret `yaml:"aws_session_token" doc:"token of temporary AWS credentials"`
	SessionName      string `yaml:"aws_session_name" doc:"session name for an assumed role"`
	Profile          string `yaml:"aws_profile_name" doc:"profile of the shared AWS files"`
	RoleARN          string `yaml:"aws_role_name" doc:"ARN of a role to assume"`
	ExternalID       string `yaml:"aws_external_id" doc:"external id for an assumed role"`
	WebIdentityToken Secret `yaml:"aws_web_identity_token" doc:"web identity token, or a path to a file that holds it"`
	STSEndpoint      string `yaml:"aws_sts_endpoint" doc:"address of STS"`
	RuntimeEndpoint  string `yaml:"aws_bedrock_runtime_endpoint" doc:"address of the Bedrock or SageMaker runtime"`
	// BearerToken is the api_key of a bedrock deployment, or AWS_BEARER_TOKEN_BEDROCK.
	BearerToken Secret `yaml:"-"`
}

// Vertex holds Google Cloud's.
type Vertex struct {
	Project     string `yaml:"vertex_project" alias:"vertex_ai_project" doc:"Google Cloud project"`
	Location    string `yaml:"vertex_location" alias:"vertex_ai_location" doc:"Google Cloud region"`
	Credentials Secret `yaml:"vertex_credentials" alias:"vertex_ai_credentials" form:"json" doc:"service account JSON (text or mapping), or a path to it; empty: application default credentials"`
}

// Azure holds Entra ID's.
type Azure struct {
	ADToken      Secret `yaml:"azure_ad_token" doc:"Entra ID token"`
	TenantID     string `yaml:"tenant_id" doc:"Entra ID tenant"`
	ClientID     string `yaml:"client_id" doc:"Entra ID application"`
	ClientSecret Secret `yaml:"client_secret" doc:"its secret"`
	Scope        string `yaml:"azure_scope" doc:"scope to ask a token for"`
}

// ModelInfo is model_info: what is known about the model, and keys of the user's own that are echoed.
type ModelInfo struct {
	ID              string         `yaml:"id" doc:"stable id of the deployment; empty: a hash of its parameters"`
	Mode            string         `yaml:"mode" doc:"chat, completion, embedding, responses ...; empty: what the price map says"`
	BaseModel       string         `yaml:"base_model" doc:"name to look prices and limits up by"`
	AccessGroups    []string       `yaml:"access_groups" doc:"groups by which keys may be given the model"`
	TeamID          string         `yaml:"team_id" doc:"team whose keys alone may call the model"`
	MaxTokens       int64          `yaml:"max_tokens" doc:"output limit in tokens, where max_output_tokens is not given"`
	MaxInputTokens  int64          `yaml:"max_input_tokens" doc:"context window in tokens"`
	MaxOutputTokens int64          `yaml:"max_output_tokens" doc:"output limit in tokens"`
	Extra           map[string]any `yaml:"-"`
}
