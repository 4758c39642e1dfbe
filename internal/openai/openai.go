// Package openai speaks and serves OpenAI's wire languages: chat completions (Chat), legacy text completions (Completions), embeddings
// (Embeddings) and, in the responses_ files, the Responses API.
//
// Most providers call themselves compatible with chat completions and each is so in its own way; what they add or bend is read here, in
// one place, so that nobody else needs to know. Every value of this package is stateless and safe for concurrent use; only decoders,
// encoders and taps of a single stream hold state. It is on the hot path: stream encoders append without reflection, and taps decode
// only the frames that carry usage, an end or an error. It imports llm and wire alone and is imported by provider and proxy.
package openai
