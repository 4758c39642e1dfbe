package openai

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The wire form of chat completions, as a superset of what OpenAI and its imitators send. One chatMessage serves as a request's
// message, an answer's message and a stream's delta, since providers mix them.

type chatRequest struct {
	chatSampling
	Messages            []chatMessage             `json:"messages"`
	Tools               []jsontext.Value          `json:"tools"`
	ToolChoice          jsontext.Value            `json:"tool_choice"`
	ParallelToolCalls   *bool                     `json:"parallel_tool_calls"`
	MaxTokens           *number                   `json:"max_tokens"`
	MaxCompletionTokens *number                   `json:"max_completion_tokens"`
	Logprobs            *bool                     `json:"logprobs"`
	TopLogprobs         *number                   `json:"top_logprobs"`
	ReasoningEffort     jsontext.Value            `json:"reasoning_effort"`
	Reasoning           jsontext.Value            `json:"reasoning"`
	Thinking            jsontext.Value            `json:"thinking"`
	ResponseFormat      *chatFormat               `json:"response_format"`
	Verbosity           string                    `json:"verbosity"`
	Modalities          []string                  `json:"modalities"`
	Audio               *chatAudioOutput          `json:"audio"`
	ServiceTier         string                    `json:"service_tier"`
	SafetyIdentifier    string                    `json:"safety_identifier"`
	PromptCacheKey      string                    `json:"prompt_cache_key"`
	Metadata            jsontext.Value            `json:"metadata"`
	Store               *bool                     `json:"store"`
	Functions           []chatFunction            `json:"functions"`
	FunctionCall        jsontext.Value            `json:"function_call"`
	Extra               map[string]jsontext.Value `json:",embed"`
}

type chatMessage struct {
	Role             string                    `json:"role"`
	Content          content                   `json:"content"`
	Name             string                    `json:"name"`
	ToolCalls        []chatCall                `json:"tool_calls"`
	ToolCallID       string                    `json:"tool_call_id"`
	Refusal          string                    `json:"refusal"`
	Audio            *chatAudio                `json:"audio"`
	Images           []chatPart                `json:"images"`
	FunctionCall     *chatCallFunction         `json:"function_call"`
	ReasoningContent text                      `json:"reasoning_content"`
	Reasoning        text                      `json:"reasoning"`
	ReasoningDetails jsontext.Value            `json:"reasoning_details"`
	ThinkingBlocks   []chatThinking            `json:"thinking_blocks"`
	Annotations      jsontext.Value            `json:"annotations"`
	CacheControl     *cacheControl             `json:"cache_control"`
	ProviderFields   jsontext.Value            `json:"provider_specific_fields"`
	Extra            map[string]jsontext.Value `json:",embed"`
}

type chatPart struct {
	Type         string                    `json:"type"`
	Text         *string                   `json:"text"`
	Refusal      string                    `json:"refusal"`
	ImageURL     *chatURL                  `json:"image_url"`
	VideoURL     *chatURL                  `json:"video_url"`
	InputAudio   *chatInputAudio           `json:"input_audio"`
	File         *chatFile                 `json:"file"`
	Thinking     jsontext.Value            `json:"thinking"`
	Signature    string                    `json:"signature"`
	Data         string                    `json:"data"`
	CacheControl *cacheControl             `json:"cache_control"`
	Extra        map[string]jsontext.Value `json:",embed"`
}

// chatURL is {"url": ...} or, from lenient clients, the string alone.
type chatURL struct {
	URL    string `json:"url"`
	Detail string `json:"detail"`
	Format string `json:"format"`
}

func (u *chatURL) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type object chatURL
	switch d.PeekKind() {
	case '"':
		return json.UnmarshalDecode(d, &u.URL)
	case '{':
		return json.UnmarshalDecode(d, (*object)(u))
	}
	return want("an object with a url")
}

type chatInputAudio struct {
	Data   string `json:"data"`
	Format string `json:"format"`
}

type chatFile struct {
	FileData string `json:"file_data"`
	FileID   string `json:"file_id"`
	Filename string `json:"filename"`
	Format   string `json:"format"`
}

type chatAudio struct {
	ID         string `json:"id"`
	Data       string `json:"data"`
	Transcript string `json:"transcript"`
}

// chatThinking is LiteLLM's thinking block. The last three members are ours: they let a block come back to the provider that made it.
type chatThinking struct {
	Type      string `json:"type"`
	Thinking  string `json:"thinking"`
	Signature string `json:"signature"`
	Data      string `json:"data"`
	SignedBy  string `json:"signed_by"`
	ID        string `json:"id"`
	Summary   bool   `json:"summary"`
}

// reasoningDetail is OpenRouter's unit of reasoning.
type reasoningDetail struct {
	Type      string `json:"type"` // reasoning.text, reasoning.summary, reasoning.encrypted
	Text      string `json:"text"`
	Summary   string `json:"summary"`
	Data      string `json:"data"`
	Signature string `json:"signature"`
	ID        string `json:"id"`
	Format    string `json:"format"` // anthropic-claude-v1, openai-responses-v1, google-gemini-v1 ...
}

type chatCall struct {
	Index          *number                   `json:"index"`
	ID             string                    `json:"id"`
	Type           string                    `json:"type"`
	Function       *chatCallFunction         `json:"function"`
	Custom         *chatCallCustom           `json:"custom"`
	CacheControl   *cacheControl             `json:"cache_control"`
	ExtraContent   jsontext.Value            `json:"extra_content"`
	ProviderFields jsontext.Value            `json:"provider_specific_fields"`
	Extra          map[string]jsontext.Value `json:",embed"`
}

type chatCallFunction struct {
	Name      string `json:"name"`
	Arguments text   `json:"arguments"`
}

type chatCallCustom struct {
	Name  string `json:"name"`
	Input string `json:"input"`
}

type cacheControl struct {
	Type string `json:"type"`
	TTL  string `json:"ttl"`
}

type chatTool struct {
	Type         string                    `json:"type"`
	Function     *chatFunction             `json:"function"`
	Custom       *chatCustomTool           `json:"custom"`
	CacheControl *cacheControl             `json:"cache_control"`
	Name         string                    `json:"name"`
	Description  string                    `json:"description"`
	Extra        map[string]jsontext.Value `json:",embed"`
}

type chatFunction struct {
	Name         string                    `json:"name"`
	Description  string                    `json:"description"`
	Parameters   jsontext.Value            `json:"parameters"`
	Strict       *bool                     `json:"strict"`
	CacheControl *cacheControl             `json:"cache_control"`
	Extra        map[string]jsontext.Value `json:",embed"`
}

type chatCustomTool struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

type chatFormat struct {
	Type       string          `json:"type"`
	JSONSchema *chatJSONSchema `json:"json_schema"`
}

type chatJSONSchema struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Schema      jsontext.Value `json:"schema"`
	Strict      *bool          `json:"strict"`
}

type chatAudioOutput struct {
	Voice  string `json:"voice"`
	Format string `json:"format"`
}

// chatAnswer is a whole answer or one chunk of a stream.
type chatAnswer struct {
	ID                string                    `json:"id"`
	Object            string                    `json:"object"`
	Created           number                    `json:"created"`
	Model             string                    `json:"model"`
	Choices           []chatChoice              `json:"choices"`
	Usage             jsontext.Value            `json:"usage"`
	ServiceTier       string                    `json:"service_tier"`
	SystemFingerprint string                    `json:"system_fingerprint"`
	Error             jsontext.Value            `json:"error"`
	Citations         jsontext.Value            `json:"citations"`
	Groq              jsontext.Value            `json:"x_groq"`
	Extra             map[string]jsontext.Value `json:",embed"`
}

type chatChoice struct {
	Index        number                    `json:"index"`
	Message      *chatMessage              `json:"message"`
	Delta        *chatMessage              `json:"delta"`
	Text         *string                   `json:"text"` // legacy completions
	FinishReason string                    `json:"finish_reason"`
	StopReason   jsontext.Value            `json:"stop_reason"` // vLLM: the stop string or token that was hit
	Logprobs     jsontext.Value            `json:"logprobs"`
	Extra        map[string]jsontext.Value `json:",embed"`
}

type chatLogprobs struct {
	Content []chatLogprob `json:"content"`
	Refusal []chatLogprob `json:"refusal"`
}

type chatLogprob struct {
	Token       string        `json:"token"`
	Logprob     float64       `json:"logprob"`
	Bytes       []int64       `json:"bytes"`
	TopLogprobs []chatLogprob `json:"top_logprobs"`
}
