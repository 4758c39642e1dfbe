//go:build unix

package egress

import "syscall"

// usable tells whether an idle connection is open and has sent nothing since its last answer. It looks without waiting: an upstream
// that closed is found before the request is written, and one that sends what nobody asked for can't pass it off as an answer.
func (c *conn) usable() bool {
	if c.raw == nil {
		return true
	}
	if c.peek == nil {
		c.peek = func(fd uintptr) {
			var b [1]byte
			_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			c.alive = err == syscall.EAGAIN || err == syscall.EINTR
		}
	}
	c.alive = false
	return c.raw.Control(c.peek) == nil && c.alive // Read would mind a deadline of the last call
}
