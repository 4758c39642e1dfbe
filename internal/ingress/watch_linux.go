package ingress

import (
	"fmt"
	"os"
	"sync"
	"syscall"
)

// watcher learns from the kernel, for all connections at once, which clients have closed their side. net/http keeps a goroutine reading
// on each connection for that while its handler runs, which costs every call a goroutine, two wake-ups and three system calls; here it
// costs every connection one system call.
type watcher struct {
	poll *os.File // an epoll instance, which the runtime's own poller watches
	fd   int      // the same; open as long as there are connections
	mu   sync.Mutex
	next uint64
	all  map[uint64]*conn
	done chan struct{}
}

func newWatcher() (*watcher, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	w := &watcher{poll: os.NewFile(uintptr(fd), "connections"), fd: fd, all: map[uint64]*conn{}, done: make(chan struct{})}
	raw, err := w.poll.SyscallConn()
	if err != nil {
		_ = w.poll.Close()
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	go w.run(raw)
	return w, nil
}

// add watches a connection until it is removed or closed. Only its end is waited for, not its data, and it is told once.
func (w *watcher) add(c *conn) error {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("watch a %T: %w", c.Conn, os.ErrInvalid)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.next++
	c.watched = w.next
	w.all[c.watched] = c
	w.mu.Unlock()
	// A number, not the descriptor: an event may come when the descriptor is another connection's.
	event := syscall.EpollEvent{Events: syscall.EPOLLRDHUP | syscall.EPOLLET&0xffffffff, Fd: int32(c.watched), Pad: int32(c.watched >> 32)}
	var added error
	err = raw.Control(func(fd uintptr) { added = syscall.EpollCtl(w.fd, syscall.EPOLL_CTL_ADD, int(fd), &event) })
	if err != nil {
		return err
	}
	return added
}

// remove forgets a connection. A closed one leaves the kernel's list by itself; one that lives on elsewhere is no longer known here.
func (w *watcher) remove(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, c.watched)
}

func (w *watcher) run(raw syscall.RawConn) {
	defer close(w.done)
	var events [64]syscall.EpollEvent
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			for {
				var err error
				n, err = syscall.EpollWait(int(fd), events[:], 0)
				if err != syscall.EINTR {
					return n > 0 || err != nil
				}
			}
		})
		if err != nil || n < 0 {
			return // closed
		}
		for i := range events[:n] {
			e := &events[i]
			w.mu.Lock()
			c := w.all[uint64(uint32(e.Fd))|uint64(uint32(e.Pad))<<32]
			w.mu.Unlock()
			if c != nil {
				c.left()
			}
		}
	}
}

// close ends the watching and waits for it.
func (w *watcher) close() {
	_ = w.poll.Close()
	<-w.done
}
