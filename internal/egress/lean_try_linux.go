package egress

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// tryWrite writes what the kernel takes without waiting, and gives the rest.
func (c *conn) tryWrite(parts net.Buffers) (net.Buffers, error) {
	if c.raw == nil {
		return parts, nil
	}
	var n int
	var failed error
	err := c.raw.Write(func(fd uintptr) bool {
		n, failed = unix.Writev(int(fd), parts)
		return true
	})
	switch {
	case err != nil:
		return nil, err
	case failed == syscall.EAGAIN || failed == syscall.EINTR:
		return parts, nil
	case failed != nil:
		return nil, failed
	}
	for len(parts) > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	if n > 0 {
		parts[0] = parts[0][n:]
	}
	return parts, nil
}
