package llm

import (
	"net/http"
	"time"
)

// Target is what an encoder must know of the deployment it writes for.
type Target struct {
	// Model is the upstream's own name for the model; it goes into the body where the dialect has it there.
	Model string
	// Provider is the upstream kind (openai, azure, groq, bedrock ...), for the few places where one dialect has provinces.
	Provider string
	// MaxOutput is the model's output limit in tokens, 0 unknown. Anthropic's max_tokens is required and defaults to it.
	MaxOutput int64
	// Reasons says that the model is known to think; nil: unknown.
	Reasons *bool
}

// Spoken is the upstream half of a dialect: it writes requests and reads what comes back. Implementations are stateless values, safe
// for concurrent use; the state of a stream lives in its StreamDecoder and Tap.
type Spoken interface {
	// EncodeRequest appends the body for the target to dst. dropped names, in the OpenAI chat parameter's word where there is one
	// ("seed", "logprobs", "tools.web_search_preview"), what the dialect cannot express; the caller warns or refuses.
	// A request that can't be said at all gives an *Error of kind ErrInvalid.
	EncodeRequest(dst []byte, req *Request, t *Target) (body []byte, dropped []string, err error)
	// DecodeResponse reads a whole 2xx answer. An error object inside a 200, or a body that isn't the dialect's, is an *Error.
	DecodeResponse(body []byte) (*Response, error)
	// DecodeError reads a non-2xx answer; it never fails: what it can't read becomes the message, cut to a sane length.
	DecodeError(status int, header http.Header, body []byte) *Error
	// NewStreamDecoder starts reading one stream.
	NewStreamDecoder() StreamDecoder
	// NewTap starts watching one spliced answer, streamed or whole.
	NewTap() Tap
}

// StreamDecoder turns frames into events. Not safe for concurrent use.
type StreamDecoder interface {
	// Decode appends the events of one frame to dst. A frame that can't be read gives an *Error of kind ErrUpstream and ends the
	// stream; an error sent by the upstream is an EventError, not an error.
	Decode(dst []Event, f Frame) ([]Event, error)
	// Finish is called once when the upstream closed. It appends what was held back, with EventEnd if the dialect has no terminal
	// event of its own and the answer was whole; complete is false if the stream stopped short.
	Finish(dst []Event) (events []Event, complete bool)
}

// Tap watches an answer that is passed on byte for byte, and knows just what the record needs. Not safe for concurrent use. It does
// as little as it can: no frame is decoded unless its bytes promise something.
type Tap interface {
	// Frame looks at one frame of a stream before it is forwarded.
	Frame(f Frame) Mark
	// Body looks at a whole 2xx answer instead. An error object inside it, or a body that isn't an answer, is returned.
	Body(body []byte) *Error
	// Seen is what is known so far; its Usage is nil until reported.
	Seen() *Seen
}

// Mark is what a Tap noticed in one frame.
type Mark uint8

// Marks.
const (
	MarkContent   Mark = 1 << iota // generated content: the first one stops the time-to-first-token clock
	MarkUsageOnly                  // carries usage and nothing else (OpenAI's extra chunk): kept from a client that did not ask
	MarkEnd                        // the terminal event
	MarkError                      // an error object; Seen().Err has it
	MarkBad                        // not the dialect's: malformed
)

// Seen is what a Tap gathered.
type Seen struct {
	Model  string // as the upstream named it
	ID     string
	Usage  *Usage
	Finish FinishReason
	Err    *Error
	// ToolCalls counts tool calls begun.
	ToolCalls int
	// Tools are the tools that the answer calls, by name, with those that a provider calls itself over MCP; Use fills it.
	Tools []ToolUse
	// Retrieved says that the provider searched files for context (OpenAI's file_search).
	Retrieved bool
	// Chars is the length of generated text in bytes, for an estimate when no usage comes.
	Chars int64
}

// Served is the client half of a dialect: it reads requests and writes answers. Stateless, safe for concurrent use.
type Served interface {
	// DecodeRequest reads a client's body. Model and Stream are left to the caller where the dialect has them in the path. A body
	// that isn't the dialect's gives an *Error of kind ErrInvalid that names the field (Param).
	DecodeRequest(body []byte) (*Request, error)
	// EncodeResponse appends a whole answer to dst.
	EncodeResponse(dst []byte, resp *Response, x *Exchange) []byte
	// NewStreamEncoder starts writing one stream.
	NewStreamEncoder(x *Exchange) StreamEncoder
	// EncodeError appends the body of a non-2xx answer and sets the dialect's own headers (x-amzn-ErrorType). The status is e.Status.
	EncodeError(dst []byte, h http.Header, e *Error) []byte
	// EncodeStreamError appends, framed, the event that ends a broken stream whose earlier frames were spliced.
	EncodeStreamError(dst []byte, e *Error) []byte
	// ContentType of a whole answer or a stream.
	ContentType(stream bool) string
}

// StreamEncoder writes events as framed bytes. It emits the events in the exact order the dialect's clients expect and closes what
// is open. Not safe for concurrent use.
type StreamEncoder interface {
	// Encode appends the bytes for one event; nothing for events its dialect has no word for. EventEnd and EventError close the stream.
	Encode(dst []byte, e *Event) []byte
}

// Exchange is what an encoder of answers must know of the call.
type Exchange struct {
	// Request as decoded, nil when the call was spliced.
	Request *Request
	// Model is the name to show: what the client asked for.
	Model string
	// ID is the gateway's id of the call: used where the answer has none of its own.
	ID string
	// Started is when the call came in; Now tells the time (Bedrock reports its latency, OpenAI its creation time).
	Started time.Time
	Now     func() time.Time
	// StreamUsage says that an OpenAI stream ends with a usage chunk.
	StreamUsage bool
	// Array asks for Gemini's stream as one JSON array instead of server-sent events.
	Array bool
}

// EmbedRequest asks for vectors.
type EmbedRequest struct {
	From       Dialect
	Model      string
	Inputs     []EmbedInput
	Dimensions *int64
	Base64     bool   // OpenAI's encoding_format: base64
	TaskType   string // retrieval_query, retrieval_document ... (Gemini, Cohere)
	Title      string
	User       string
	Extra      map[string]Raw
	// Single says that the client gave one input, not a list (Gemini's embedContent).
	Single bool
}

// EmbedInput is text or, from clients that tokenize themselves, token ids.
type EmbedInput struct {
	Text   string
	Tokens []int64
}

// EmbedResponse holds vectors in the order of the inputs.
type EmbedResponse struct {
	Model   string
	Vectors [][]float32
	Usage   *Usage
}

// SpokenEmbed and ServedEmbed are the halves of a dialect's embeddings; OpenAI's and Gemini's have both.
type SpokenEmbed interface {
	EncodeEmbed(dst []byte, req *EmbedRequest, t *Target) (body []byte, dropped []string, err error)
	DecodeEmbed(body []byte) (*EmbedResponse, error)
}

// ServedEmbed is the client half, see SpokenEmbed.
type ServedEmbed interface {
	DecodeEmbedRequest(body []byte) (*EmbedRequest, error)
	EncodeEmbedResponse(dst []byte, resp *EmbedResponse, req *EmbedRequest, model string) []byte
}
