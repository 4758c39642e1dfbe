//go:build !amd64 || purego

package wire

import "encoding/binary"

// plain gives the length, in steps of 32, of the run of plain string bytes that b begins with (no quote, backslash or control), and whether
// there is one above ASCII among them.
func plain(b []byte) (n int, high bool) {
	n, seen := plainWords(b, 2*ones, '!'*ones, '\\'*ones, ones)
	return n, seen&highs != 0
}

// plainWords is special four times over, and all the words passed in one; the constants come as arguments so that they stay in registers.
//
//go:noinline
func plainWords(b []byte, two, bang, backslash, one uint64) (n int, seen uint64) {
	for rest := b; len(rest) >= 32; rest = rest[32:] {
		w0, w1 := binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
		m := (((w0 ^ two) - bang) | ((w0 ^ backslash) - one)) &^ w0
		m |= (((w1 ^ two) - bang) | ((w1 ^ backslash) - one)) &^ w1
		w2, w3 := binary.LittleEndian.Uint64(rest[16:]), binary.LittleEndian.Uint64(rest[24:])
		m |= (((w2 ^ two) - bang) | ((w2 ^ backslash) - one)) &^ w2
		m |= (((w3 ^ two) - bang) | ((w3 ^ backslash) - one)) &^ w3
		if m&highs != 0 {
			break
		}
		seen |= w0 | w1 | w2 | w3
		n += 32
	}
	return n, seen
}
