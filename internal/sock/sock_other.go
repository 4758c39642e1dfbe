//go:build !linux || !(amd64 || arm64) || purego

package sock

import (
	"net"
	"syscall"
)

// fast is nothing here: the connection inside does it all.
type fast struct{}

func (fast) init(*net.TCPConn) {}

// TryWrite writes nothing here.
func (c *Conn) TryWrite(parts net.Buffers) (rest net.Buffers, err error) { return parts, nil }

// Silent tells whether the other side has neither closed the connection nor sent anything that is not read yet. It does not wait, and
// minds no deadline.
func (c *Conn) Silent() (silent bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = err == syscall.EAGAIN || err == syscall.EINTR
	})
	return err == nil && silent
}
