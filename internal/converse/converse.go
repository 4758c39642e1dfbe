// Package converse speaks and serves Amazon Bedrock's Converse and ConverseStream, with count-tokens.
//
// It is on the hot path: streams are written without reflection, and taps decode only the frames that carry a stop reason, usage or an
// error. Everything exported is a stateless value or function, safe for concurrent use; decoders, encoders and taps of a single stream
// hold that stream's state and are not. It imports llm and wire alone and is imported by provider and proxy.
//
// Where the conversation says other things than Converse can:
//   - System and developer messages of other dialects are hoisted into system, wherever they stood.
//   - A conversation of another dialect that does not begin with the user gets an opening user turn, and a turn with a document but no
//     text gets a line of text: Bedrock refuses both otherwise.
//   - Calls and results in the history need a toolConfig. Where the request offers no tools, one is made up from the calls.
//   - Tool names and ids that Bedrock refuses are cleaned, with a piece of their hash to tell them apart (ToolName).
//   - A JSON schema for the answer goes into outputConfig; for Claude and Nova models that don't know it, into a tool that the model must
//     call (AnswerTool), whose arguments are read back as the answer's text.
//   - Reasoning goes upstream only if Bedrock or Anthropic signed it. To clients, what another provider signed is sent with the signer's
//     name before the signature ("gemini#..."), so that it finds its way back.
//   - additionalModelRequestFields of a Converse client stay whole in Request.Extra; what of them has a meaning elsewhere (top_k, thinking,
//     reasoning_effort ...) is understood as well. session_id and enable_history in it are the gateway's own and never go upstream.
package converse

import (
	"github.com/weir-gateway/weir/internal/llm"
)

// Converse is the dialect, both halves: llm.Spoken and llm.Served. One body serves both of Bedrock's operations, the path tells them
// apart.
var Converse dialect

type dialect struct{}

var (
	_ llm.Spoken = Converse
	_ llm.Served = Converse
)

// ContentType is JSON for whole answers and AWS's event stream for streams.
func (dialect) ContentType(stream bool) string {
	if stream {
		return "application/vnd.amazon.eventstream"
	}
	return "application/json"
}
