// Package sock reads and writes plain TCP connections with a system call and nothing around it. It is on the hot path, under ingress and
// egress alike.
//
// Package syscall tells the scheduler of every call that the thread may be away for long. A socket that never blocks is not, and telling
// costs more than it seems: on a machine with idle cores it wakes the runtime's watchman, a thread that then looks about for a while. That
// was a tenth of a stream's cost. Waiting stays with the runtime's poller, and so do deadlines. The watchman still wakes with every timer and
// every other system call, so that a goroutine which computes for long is interrupted as before, if a moment later.
package sock

import "net"

// Conn is a TCP connection. One goroutine may read while another one writes; deadlines, Close and errors are as those of the connection
// inside: errors are *net.OpError, and a write that runs out of time tells how much was accepted.
type Conn struct {
	*net.TCPConn
	fast
}

// New makes a Conn of a connection, which is then its.
func New(tcp *net.TCPConn) *Conn {
	c := &Conn{TCPConn: tcp}
	c.fast.init(tcp)
	return c
}
