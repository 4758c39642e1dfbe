package stock

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
)

// Name is what everything of a model is called, in at most longest characters of a-z, 0-9 and -: readable as far as there is room behind the
// prefix, and different for different ids.
func Name(prefix, id string, longest int) string {
	sum := sha256.Sum256([]byte(id))
	hash := hex.EncodeToString(sum[:4])
	readable := strings.Map(func(r rune) rune {
		switch r = unicode.ToLower(r); {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, id)
	room := longest - len(prefix) - len(hash) - 2
	readable = strings.Trim(readable[:min(len(readable), room)], "-")
	if readable == "" {
		readable = "model"
	}
	return prefix + "-" + readable + "-" + hash
}
