package sock

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// pair is a Conn and the plain connection at its other end.
func pair(t *testing.T) (*Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return New(near.(*net.TCPConn)), far.(*net.TCPConn)
}

// TestConn: more than any buffer holds, both ways at once, and the end of each.
func TestConn(t *testing.T) {
	c, far := pair(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		written <- errors.Join(err, c.CloseWrite())
	}()
	echoed := make(chan error, 1)
	go func() {
		_, err := io.Copy(far, far)
		echoed <- errors.Join(err, far.CloseWrite())
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d came back, %v", len(got), len(sent), err)
	}
	if err := errors.Join(<-written, <-echoed); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Errorf("a read of nothing at the end: %d, %v", n, err)
	}
}

// TestConn_errors: they are those of net, by type, operation and cause.
func TestConn_errors(t *testing.T) {
	check := func(name string, err error, op string, cause error) {
		t.Helper()
		oe, ok := errors.AsType[*net.OpError](err)
		if !ok || oe.Op != op || !errors.Is(err, cause) || oe.Addr == nil {
			t.Errorf("%s: %#v %v, want a %s error that is %v", name, err, err, op, cause)
		}
	}
	c, far := pair(t)
	if err := c.SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Read(make([]byte, 1))
	check("late read", err, "read", os.ErrDeadlineExceeded)
	_, err = c.Write([]byte("x"))
	check("late write", err, "write", os.ErrDeadlineExceeded)
	if err := errors.Join(far.SetReadBuffer(4<<10), c.SetWriteBuffer(4<<10), c.SetDeadline(time.Now().Add(200*time.Millisecond))); err != nil {
		t.Fatal(err)
	}
	n, err := c.Write(make([]byte, 4<<20))
	check("write that nobody reads", err, "write", os.ErrDeadlineExceeded)
	if n == 0 || n == 4<<20 {
		t.Errorf("%d bytes were accepted", n)
	}
	c, _ = pair(t)
	waiting := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		waiting <- err
	}()
	time.AfterFunc(20*time.Millisecond, func() { c.Close() })
	check("closed under a reader", <-waiting, "read", net.ErrClosed)
	c, far = pair(t)
	if err := errors.Join(far.SetLinger(0), far.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = c.Read(make([]byte, 1))
	check("reset", err, "read", syscall.ECONNRESET)
	_, err = c.Write([]byte("x"))
	check("write behind a reset", err, "write", syscall.EPIPE)
}

// TestConn_TryWrite: what it took and what it left are the whole, in order, however the pieces lie.
func TestConn_TryWrite(t *testing.T) {
	c, far := pair(t)
	var parts net.Buffers
	var want []byte
	for i := range 20 {
		p := bytes.Repeat([]byte{byte('a' + i)}, i*40<<10)
		parts, want = append(parts, p), append(want, p...)
	}
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(far) // what is missing fails below
		got <- b
	}()
	for len(parts) > 0 {
		rest, err := c.TryWrite(parts)
		if err != nil {
			t.Fatal(err)
		}
		if parts = rest; len(rest) > 0 { // the kernel is full, or this system can't try
			if _, err := c.Write(rest[0]); err != nil {
				t.Fatal(err)
			}
			parts = rest[1:]
		}
	}
	c.Close()
	if b := <-got; !bytes.Equal(b, want) {
		t.Errorf("%d bytes arrived, %d were written, or in another order", len(b), len(want))
	}
}

func TestConn_Silent(t *testing.T) {
	c, far := pair(t)
	if err := c.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if !c.Silent() {
		t.Error("not silent, and nobody has said a word")
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Write([]byte("xy")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if c.Silent() {
		t.Error("silent, and there is a byte to read")
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	far.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF || c.Silent() {
		t.Errorf("%v, and silent after the end", err)
	}
	c.Close()
	if c.Silent() {
		t.Error("silent when closed")
	}
}

// TestConn_allocations: a byte there and back allocates nothing.
func TestConn_allocations(t *testing.T) {
	c, far := pair(t)
	b := make([]byte, 1)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := far.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(b); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(b); err != nil {
			t.Fatal(err)
		}
		if !c.Silent() {
			t.Fatal("not silent")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
