package checker

import (
	"context"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// awaitAcked waits until the peer's kernel has acknowledged all that was sent,
// or ctx is done. A reset discards what has not been.
func awaitAcked(ctx context.Context, conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	for ctx.Err() == nil {
		unsent := 0
		err := raw.Control(func(fd uintptr) { unsent, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		if err != nil || unsent == 0 {
			return
		}
		wait(ctx, time.Millisecond) // the kernel tells nobody when the queue is empty
	}
}
