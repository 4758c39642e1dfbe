//go:build race && linux && (amd64 || arm64) && !purego

package sock

import "syscall"

// null is where the race detector is told what it learns of in package syscall only: that what is read was written before, and which bytes
// the kernel touches. Without this it would take what goes over a connection for a race, and would miss a buffer that is given away too soon.
var null = func() int {
	fd, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	return fd
}()

func sending(p []byte) { _, _ = syscall.Write(null, p) } // it takes everything

func received(p []byte) {
	_, _ = syscall.Read(null, nil) // it has nothing
	copy(p, p)                     // written, as the detector sees it
}
