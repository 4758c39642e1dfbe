// Package llm is the vocabulary that every other package speaks: requests, messages, parts, tools, events, usage, errors and money.
//
// It is pure data and imports nothing of ours, so that anyone may import it. A Request or Response is a superset of what the five
// dialects can say; what it can't name travels in an Extra (see Request.From). Nothing here is safe for concurrent mutation.
package llm

import "github.com/go-json-experiment/json/jsontext"

// Raw is a JSON value kept as the bytes somebody sent.
type Raw = jsontext.Value

// Dialect names a wire language. Each is served to clients and spoken to providers by one package.
type Dialect string

// The five dialects. Embeddings and legacy completions belong to OpenAI's; they are operations (Op), not dialects.
const (
	OpenAI    Dialect = "openai"    // chat completions
	Responses Dialect = "responses" // OpenAI's Responses API
	Anthropic Dialect = "anthropic" // Messages
	Converse  Dialect = "converse"  // Bedrock Converse and ConverseStream
	Gemini    Dialect = "gemini"    // generateContent and streamGenerateContent
)

// Dialects lists all of them in a stable order, for tests and tables.
var Dialects = []Dialect{OpenAI, Responses, Anthropic, Converse, Gemini}

// Op is what a call asks of a model. Chat is any of the five dialects; the others are single endpoints.
type Op string

// Operations a deployment may support.
const (
	OpChat        Op = "chat"
	OpCompletion  Op = "completion" // OpenAI's legacy text completions
	OpEmbed       Op = "embedding"
	OpCount       Op = "count_tokens"
	OpRerank      Op = "rerank"
	OpModerate    Op = "moderation"
	OpImage       Op = "image_generation"
	OpSpeech      Op = "audio_speech"
	OpTranscribe  Op = "audio_transcription"
	OpImageEdit   Op = "image_edit"
	OpTranslation Op = "audio_translation"
)

// Role says who speaks in a Message.
type Role string

// Roles. System and developer text stays where the client put it; a dialect that knows only one leading system text hoists it
// (SplitSystem). RoleTool holds tool results alone, as OpenAI's does; a tool result may also stand in a user message.
const (
	RoleSystem    Role = "system"
	RoleDeveloper Role = "developer"
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool"
)

// Request is one call for a chat-like answer, in no dialect.
//
// Optional scalars are pointers: nil means that the client did not say, and the encoder must not either.
type Request struct {
	// From is the dialect the request was decoded from; every Extra in it is in that dialect's words, and an encoder of another
	// dialect drops it and says so.
	From Dialect
	// Model is the name the client asked for; an encoder writes Target.Model instead.
	Model    string
	Messages []Message

	Tools         []Tool
	ToolChoice    *ToolChoice
	ParallelTools *bool // false: at most one call a turn

	Stream bool
	// StreamUsage is OpenAI's stream_options.include_usage: the client wants the extra usage chunk. Encoders that speak upstream always
	// ask for usage, whatever this says.
	StreamUsage bool

	MaxTokens        *int64
	Temperature      *float64
	TopP             *float64
	TopK             *int64
	MinP             *float64
	PresencePenalty  *float64
	FrequencyPenalty *float64
	Seed             *int64
	N                *int64 // candidates
	Stop             []string
	LogitBias        map[string]float64
	Logprobs         *bool
	TopLogprobs      *int64

	Reasoning *Reasoning
	Format    *Format
	Verbosity string // low, medium, high

	Modalities []string // text, image, audio: what may come back
	Audio      *AudioOutput

	ServiceTier      string // as the client wrote it: auto, default, flex, priority, standard_only ...
	User             string // end user id
	SafetyIdentifier string
	PromptCacheKey   string
	Metadata         map[string]string
	Store            *bool

	Extra map[string]Raw
}

// Message is one turn or part of one.
type Message struct {
	Role  Role
	Name  string // OpenAI's optional participant name
	Parts []Part
	// Instructions says that the text came in Responses' own instructions field, not as an item of the conversation. Only that dialect
	// tells the two apart; it is the first message then.
	Instructions bool
	Extra        map[string]Raw
}

// Kind says what a Part is.
type Kind string

// Kinds of parts.
const (
	KindText       Kind = "text"
	KindImage      Kind = "image"
	KindAudio      Kind = "audio"
	KindVideo      Kind = "video"
	KindDocument   Kind = "document" // PDF, text or office file
	KindToolCall   Kind = "tool_call"
	KindToolResult Kind = "tool_result"
	KindReasoning  Kind = "reasoning" // Text is what may be shown; Signature proves it to its provider
	KindRedacted   Kind = "redacted"  // reasoning that only its provider can read; Data holds it
	KindRefusal    Kind = "refusal"
	KindJSON       Kind = "json"   // a JSON value as the content of a tool result; Raw holds it
	KindNative     Kind = "native" // a block only its own dialect knows (server tool use, search results); Raw holds it whole
)

// Part is a piece of a message's content. Kind says which fields count.
type Part struct {
	Kind Kind
	// Text of a text, reasoning or refusal part.
	Text string
	// ID is the provider's id of the item this part came from (Responses: rs_..., msg_...), empty elsewhere. Several reasoning parts
	// with one ID are the summary paragraphs of one item.
	ID string
	// Signature is what a provider wants back unchanged to trust a reasoning part or a tool call: Anthropic's and Bedrock's thinking
	// signature, Gemini's thoughtSignature, Responses' encrypted_content.
	Signature string
	// SignedBy is the dialect that issued Signature or Data; an encoder of another dialect must not send them on.
	SignedBy Dialect
	// Data is the opaque body of a redacted part, as the provider encoded it.
	Data      string
	Media     *Media
	Call      *ToolCall
	Result    *ToolResult
	Raw       Raw
	Citations []Citation
	// Cache marks the end of a prefix worth caching (Anthropic's cache_control, Converse's cachePoint).
	Cache *CacheMark
	// Summary says that a reasoning part is a summary of the reasoning, not its text (Responses' summary_text).
	Summary bool
	Extra   map[string]Raw
}

// Media is an image, sound, video or document. Exactly one of Data, URL, FileID and Text is set.
type Media struct {
	MIME   string // image/png, application/pdf ...; empty when only the provider knows (a URL)
	Data   string // standard base64, as in all five dialects
	URL    string // http, https, gs or s3
	FileID string // a file kept by the provider
	Text   string // a plain-text document given in the clear
	Name   string // file name or title
	Detail string // OpenAI image detail: low, high, auto
	// Context is a note for the model about a document (Anthropic, Converse).
	Context string
	// Cited asks for citations into a document.
	Cited bool
	// Transcript and ID are what an assistant's audio part carries beside its sound (OpenAI).
	Transcript string
	ID         string
}

// ToolCall is a model's wish to have a tool run.
type ToolCall struct {
	ID   string
	Name string
	// Arguments is the JSON text the model wrote. It is usually an object but models do write broken JSON; encoders that need an
	// object use ArgumentsObject.
	Arguments string
	// Type is empty for function calls, else the native kind (OpenAI's "custom"), whose Arguments are free text.
	Type string
}

// ToolResult answers a ToolCall.
type ToolResult struct {
	CallID  string
	Name    string // Gemini names the function instead of the call; ToolNames finds it
	Parts   []Part // text, json, image, document
	IsError bool
	Type    string // as the call's
}

// Citation points from generated text to its source.
type Citation struct {
	Kind       string // url, char, page, block, search_result, file
	URL        string
	Title      string
	CitedText  string
	FileID     string
	Document   int64 // index of the cited document
	Start, End int64 // in the cited source (char, page, block) or, for url, in the generated text
	Raw        Raw   // as its own dialect wrote it
	From       Dialect
}

// CacheMark asks for a prompt prefix to be cached. TTL is empty, "5m" or "1h".
type CacheMark struct{ TTL string }

// Tool is something the model may call.
type Tool struct {
	// Type is empty for a function; otherwise the native name of a provider's own tool (web_search_20250305, code_interpreter,
	// google_search, custom), and Raw holds the whole native object, which only its own dialect (Request.From) understands.
	Type        string
	Name        string
	Description string
	Schema      Raw // JSON schema of the arguments; nil: none given
	Strict      *bool
	Cache       *CacheMark
	Raw         Raw
	Extra       map[string]Raw
}

// ToolChoice says whether the model must call.
type ToolChoice struct {
	Mode    string   // auto, none, required, tool, allowed
	Name    string   // with tool
	Allowed []string // with allowed
	Raw     Raw      // a native choice that the modes can't say
}

// Modes of ToolChoice.
const (
	ChoiceAuto     = "auto"
	ChoiceNone     = "none"
	ChoiceRequired = "required" // any tool, but one
	ChoiceTool     = "tool"     // this tool
	ChoiceAllowed  = "allowed"  // any of these, required or not by ToolChoice.Name == "required"
)

// Reasoning asks the model to think, and how much of it to show.
type Reasoning struct {
	// Effort is none, minimal, low, medium, high, xhigh or max; empty when only a budget was given.
	Effort string
	// Budget is the token allowance: nil not given, -1 the model decides (Gemini's dynamic, Anthropic's adaptive), 0 off.
	Budget *int64
	// Summary is auto, concise or detailed (Responses), "omitted" or "summarized" (Anthropic's display); empty: not asked.
	Summary string
	// Include says that thoughts should be returned (Gemini's includeThoughts); nil: the provider's default.
	Include *bool
}

// Format constrains the form of the answer.
type Format struct {
	Type        string // text, json_object, json_schema
	Name        string
	Description string
	Schema      Raw
	Strict      *bool
}

// AudioOutput says how spoken output should sound.
type AudioOutput struct {
	Voice  string
	Format string
}

// Response is a whole answer, in no dialect.
type Response struct {
	From              Dialect
	ID                string
	Model             string // as the upstream named it
	Created           int64  // Unix seconds, 0 unknown
	Choices           []Choice
	Usage             *Usage
	ServiceTier       string
	SystemFingerprint string
	Extra             map[string]Raw
}

// Choice is one candidate answer.
type Choice struct {
	Index int
	Parts []Part
	Stop
	Logprobs []TokenLogprob
	Extra    map[string]Raw
}

// Stop says why an answer ended.
type Stop struct {
	Reason FinishReason
	// Raw is the provider's own word.
	Raw string
	// Sequence is the stop sequence that was hit, where the provider says.
	Sequence string
	// Details is what the provider says beside the reason (a refusal's category), as it wrote it.
	Details Raw
}

// FinishReason is the common set of reasons.
type FinishReason string

// Finish reasons.
const (
	FinishStop       FinishReason = "stop"
	FinishSequence   FinishReason = "stop_sequence"
	FinishLength     FinishReason = "length"
	FinishToolCalls  FinishReason = "tool_calls"
	FinishFilter     FinishReason = "content_filter" // safety system, guardrail, recitation
	FinishRefusal    FinishReason = "refusal"        // the model itself declined
	FinishPause      FinishReason = "pause"          // Anthropic's pause_turn
	FinishContext    FinishReason = "context_window" // no room left in the window
	FinishMalformed  FinishReason = "malformed"      // the model wrote a tool call nobody can read
	FinishError      FinishReason = "error"
	FinishIncomplete FinishReason = "incomplete" // the stream broke off; set by the gateway
)

// TokenLogprob is one generated token with its alternatives.
type TokenLogprob struct {
	Token   string
	Logprob float64
	Bytes   []int64 // nil: not given
	Top     []TokenLogprob
}

// Usage counts tokens. Input includes cached and cache-written tokens, Output includes reasoning: the counts nest, as OpenAI's do.
// Dialects that count apart (Anthropic, Converse, Gemini) add and subtract in their own packages.
type Usage struct {
	Input        int64
	Output       int64
	Total        int64 // as reported; 0: Input+Output
	CacheRead    int64
	CacheWrite   int64 // all of it, whatever the time to live
	CacheWrite1h int64 // the part of CacheWrite kept for an hour
	Reasoning    int64
	InputAudio   int64
	OutputAudio  int64
	InputImage   int64
	OutputImage  int64
	ToolInput    int64 // prompt tokens spent on a provider's own tools (Gemini toolUsePromptTokenCount), included in Input
	WebSearches  int64 // billed calls of the provider's search tool
	Accepted     int64 // predicted output that was used
	Rejected     int64
	// Estimated says that the gateway counted, because the upstream reported nothing.
	Estimated bool
	// ReasoningKnown and CacheKnown tell a reported zero from silence, so that an encoder writes the field or leaves it out.
	ReasoningKnown bool
	CacheKnown     bool
	Extra          map[string]Raw
}

// Sum is the total as reported, or input plus output.
func (u *Usage) Sum() int64 {
	if u.Total != 0 {
		return u.Total
	}
	return u.Input + u.Output
}

// Nanos is money: USD times 1e9.
type Nanos int64

// USD is the amount as a float, for JSON and logs.
func (n Nanos) USD() float64 { return float64(n) / 1e9 }
