package transport

import (
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
)

// unwatched is a socket that the runtime's poller does not know any more. Its methods may
// be called concurrently.
type unwatched struct {
	mu sync.RWMutex // read-locked while the socket is used, so that its number stays its own
	fd int          // or -1 once it is closed
}

func newUnwatched(fd int) *unwatched { return &unwatched{fd: fd} }

func (u *unwatched) control(f func(fd uintptr)) error {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if u.fd < 0 {
		return net.ErrClosed
	}
	f(uintptr(u.fd))
	return nil
}

func (u *unwatched) closeWrite() (err error) {
	closed := u.control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) })
	if closed != nil {
		return closed
	}
	return os.NewSyscallError("shutdown", err)
}

// close closes the socket, with a reset if linger is 0, as it is set from the beginning.
func (u *unwatched) close(linger int) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.fd < 0 {
		return net.ErrClosed
	}
	if linger < 0 {
		conn.PrepareClose(u.fd)
	}
	fd := u.fd
	u.fd = -1
	return os.NewSyscallError("close", unix.Close(fd))
}
