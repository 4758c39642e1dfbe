package llm

import (
	"slices"
	"strings"
)

// SplitSignature takes a signature that JoinSignature wrote apart; without a signer's name it is own's. Signatures are base64 and so never
// hold a '#' themselves.
func SplitSignature(s string, own Dialect) (signature string, by Dialect) {
	if name, rest, ok := strings.Cut(s, "#"); ok && slices.Contains(Dialects, Dialect(name)) {
		return rest, Dialect(name)
	}
	return s, own
}

// JoinSignature writes a signature for a client of the dialect own, which knows one opaque string and gives it back unread: where another
// dialect's provider signed, its name stands before ("gemini#...").
func JoinSignature(s string, by, own Dialect) string {
	if s == "" || by == "" || by == own {
		return s
	}
	return string(by) + "#" + s
}
