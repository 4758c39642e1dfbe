//go:build !race && linux && (amd64 || arm64)

package sock

func sending([]byte)  {}
func received([]byte) {}
