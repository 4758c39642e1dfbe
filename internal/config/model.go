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
	Name   string // model_name; may hold one or more * (openai/*)
	Params Params
	Info   ModelInfo
	TPM    int64 // 0: unlimited; looked up at the item, then litellm_params, then model_info
	RPM    int64
	Line   int // in its file, for messages
	File   string
}

// Params is litellm_params: how to reach the provider and what to send by default (contract litellm.md 1.2).
type Params struct {
	Model          string // provider/model, or a bare model whose provider is guessed
	Provider       string // custom_llm_provider
	APIKey         Secret
	APIBase        string // api_base or base_url
	APIVersion     string
	Organization   string
	Timeout        time.Duration // 0: not set
	StreamTimeout  time.Duration
	MaxRetries     *int64
	Headers        map[string]string // headers and extra_headers, merged
	DropParams     *bool
	CredentialName string
	MockResponse   string
	Weight         *float64
	Order          int64
	MaxParallel    int64
	Tags           []string
	RegionName     string
	MergeReasoning bool // merge_reasoning_content_in_choices

	AWS    AWS
	Vertex Vertex
	Azure  Azure

	// Cost overrides in the price map's own keys (input_cost_per_token ...), USD per unit.
	Cost map[string]float64
	// Defaults are request parameters for calls that don't set them (temperature, top_p, seed ...), in OpenAI's words; a client's own
	// value wins. Values are string, bool, int64, float64, []any or map[string]any.
	Defaults map[string]any
}

// AWS holds the credentials and addresses of Bedrock and SageMaker deployments; empty fields fall back to the SDK's default chain.
type AWS struct {
	Region           string // aws_region_name
	AccessKeyID      Secret
	SecretAccessKey  Secret
	SessionToken     Secret
	SessionName      string
	Profile          string
	RoleARN          string // aws_role_name
	ExternalID       string
	WebIdentityToken Secret // the token, or a path to a file that holds it
	STSEndpoint      string
	RuntimeEndpoint  string // aws_bedrock_runtime_endpoint
	BearerToken      Secret // api_key of a bedrock deployment, or AWS_BEARER_TOKEN_BEDROCK
}

// Vertex holds Google Cloud's.
type Vertex struct {
	Project     string
	Location    string
	Credentials Secret // service account JSON, or a path to it; empty: application default credentials
}

// Azure holds Entra ID's.
type Azure struct {
	ADToken      Secret
	TenantID     string
	ClientID     string
	ClientSecret Secret
	Scope        string
}

// ModelInfo is model_info: what is known about the model, and keys of the user's own that are echoed.
type ModelInfo struct {
	ID              string // stable id; generated from the parameters when absent
	Mode            string // chat, completion, embedding, responses ...
	BaseModel       string // name to look prices and limits up by
	AccessGroups    []string
	MaxTokens       int64
	MaxInputTokens  int64
	MaxOutputTokens int64
	Extra           map[string]any
}
