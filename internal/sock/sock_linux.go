//go:build (amd64 || arm64) && !purego

package sock

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// fast is how the bytes go here.
type fast struct {
	raw     syscall.RawConn
	in, out transfer
	look    func(fd uintptr) // made once, like the transfers' steps, so that no call allocates it
	byte    [1]byte
	silent  bool
}

// most is how much one system call moves: the scheduler can't have the thread back before it is done.
const most = 256 << 10

// transfer is one direction, at work on p.
type transfer struct {
	p    []byte
	n    int
	err  syscall.Errno
	step func(fd uintptr) (done bool)
}

func (f *fast) init(tcp *net.TCPConn) {
	f.raw, _ = tcp.SyscallConn() // an error would mean that there is no connection at all
	f.in.step, f.out.step, f.look = f.in.read, f.out.write, f.peek
}

func (t *transfer) begin(p []byte) { t.p, t.n, t.err = p, 0, 0 }

// end tells how it went; err is what the waiting gave.
func (t *transfer) end(op string, c *Conn, err error) (int, error) {
	t.p = nil
	if err == nil && t.err != 0 {
		return t.n, failed(op, c, t.err)
	}
	return t.n, waited(op, err)
}

// waited names the operation in an error of waiting for it, which says raw-read.
func waited(op string, err error) error {
	if e, ok := err.(*net.OpError); ok {
		e.Op = op
	}
	return err
}

func failed(op string, c *Conn, err syscall.Errno) error {
	return &net.OpError{Op: op, Net: c.RemoteAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}

func (t *transfer) read(fd uintptr) (done bool) {
	for {
		n, _, err := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(t.p))), uintptr(min(len(t.p), most)))
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		case 0:
			t.n = int(n)
			received(t.p[:n])
		}
		t.err = err
		return true
	}
}

func (t *transfer) write(fd uintptr) (done bool) {
	for t.n < len(t.p) {
		rest := t.p[t.n:]
		n, _, err := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(rest))), uintptr(min(len(rest), most)))
		switch err {
		case 0:
			t.n += int(n)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			t.err = err
			return true
		}
	}
	return true
}

// Read implements io.Reader.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.in.begin(p)
	n, err := c.in.end("read", c, c.raw.Read(c.in.step))
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write implements io.Writer.
func (c *Conn) Write(p []byte) (int, error) {
	sending(p)
	c.out.begin(p)
	return c.out.end("write", c, c.raw.Write(c.out.step))
}

// TryWrite writes what the kernel takes without waiting, and gives the rest. It is not for use beside Write.
func (c *Conn) TryWrite(parts net.Buffers) (rest net.Buffers, err error) {
	const pieces = 8 // more wait for the next write
	iov := make([]syscall.Iovec, 0, pieces)
	for _, p := range parts[:min(len(parts), pieces)] {
		if len(p) > 0 {
			sending(p)
			v := syscall.Iovec{Base: unsafe.SliceData(p)}
			v.SetLen(len(p))
			iov = append(iov, v)
		}
	}
	if len(iov) == 0 {
		return parts, nil
	}
	var n uintptr
	var errno syscall.Errno
	err = c.raw.Write(func(fd uintptr) bool {
		n, _, errno = syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(iov)))
		return true
	})
	switch {
	case err != nil:
		return nil, waited("write", err)
	case errno == syscall.EAGAIN || errno == syscall.EINTR:
		return parts, nil
	case errno != 0:
		return nil, failed("write", c, errno)
	}
	for left := int(n); len(parts) > 0; parts = parts[1:] {
		if left < len(parts[0]) {
			parts[0] = parts[0][left:]
			break
		}
		left -= len(parts[0])
	}
	return parts, nil
}

// Silent tells whether the other side has neither closed the connection nor sent anything that is not read yet. It does not wait, and
// minds no deadline.
func (c *Conn) Silent() bool {
	c.silent = false
	return c.raw.Control(c.look) == nil && c.silent
}

func (f *fast) peek(fd uintptr) {
	_, _, err := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&f.byte)), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	f.silent = err == syscall.EAGAIN || err == syscall.EINTR
}
