//go:build (amd64 || arm64) && !purego

package sock

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestConn_TryWrite_tries: what there is room for goes at once, what there is none for comes back, and its errors are those of Write.
func TestConn_TryWrite_tries(t *testing.T) {
	c, _ := pair(t)
	if rest, err := c.TryWrite(net.Buffers{[]byte("ab"), nil, []byte("c")}); err != nil || len(rest) != 0 {
		t.Errorf("%q was left of three bytes, %v", rest, err)
	}
	big := make([]byte, 16<<20)
	rest, err := c.TryWrite(net.Buffers{big})
	if err != nil || len(rest) != 1 || len(rest[0]) == 0 || len(rest[0]) == len(big) {
		t.Errorf("%d pieces were left of what no buffer holds, %v", len(rest), err)
	}
	check := func(cause error) {
		t.Helper()
		_, err := c.TryWrite(net.Buffers{[]byte("x")})
		if e, ok := errors.AsType[*net.OpError](err); !ok || e.Op != "write" || !errors.Is(err, cause) {
			t.Errorf("%v, want a write error that is %v", err, cause)
		}
	}
	if err := c.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	check(os.ErrDeadlineExceeded)
	var far *net.TCPConn
	c, far = pair(t)
	if err := errors.Join(far.SetLinger(0), far.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	check(syscall.EPIPE)
}
