//go:build !purego

package wire

// plain gives the length, in steps of 64, of the run of plain string bytes that b begins with (no quote, backslash or control), and whether
// there is one above ASCII among them.
//
//go:noescape
func plain(b []byte) (n int, high bool)
