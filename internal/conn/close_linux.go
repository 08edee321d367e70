package conn

import (
	"time"

	"golang.org/x/sys/unix"
)

// kernelRTOMax is the kernel's own TCP_RTO_MAX_MS.
const kernelRTOMax = 2 * time.Minute

// PrepareClose prepares a socket for being closed with an end. From then on the kernel
// delivers what was written, and it gives up a socket that no process has any more as
// soon as the pauses between its attempts are as long as they get. Package transport
// bounds them to a few seconds, for noticing dead peers, so that a peer which does not
// read for a few seconds would be given up.
func PrepareClose(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{})                        // cannot fail
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, int(kernelRTOMax/time.Millisecond)) // where it could not be bounded either
}
