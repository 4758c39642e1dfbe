// Package recordings replays recorded provider traffic through a whole gateway. In the same dialect every byte must survive, both ways; in
// each of the other four the client must read the same text, reasoning, tool calls, finish and usage as the provider's own client would.
//
// It holds tests only. What a dialect truly can't hold is listed, with its reason, in exceptions_test.go and argued in docs/dialects.md.
package recordings
