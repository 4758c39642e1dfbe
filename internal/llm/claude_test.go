package llm

import "testing"

func TestClaudeOf(t *testing.T) {
	f := func(model string, want Claude) {
		t.Helper()
		if got := ClaudeOf(model); got != want {
			t.Errorf("%s: %d", model, got)
		}
	}
	f("claude-3-7-sonnet-20250219", 37)
	f("claude-3-haiku-20240307", 30)
	f("claude-sonnet-4-20250514", 40)
	f("claude-sonnet-4@20250514", 40)
	f("claude-opus-4-1-20250805", 41)
	f("us.anthropic.claude-haiku-4-5-20251001-v1:0", 45)
	f("anthropic/claude-opus-4.6", 46)
	f("claude-sonnet-5", 50)
	f("anthropic.claude-v2:1", 21)
	f("claude-instant", 0)
	f("MiniMax-M2", 0)
}
