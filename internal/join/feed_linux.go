package join

import (
	"time"

	"golang.org/x/sys/unix"
)

// A receiver that does not read makes each kernel on the way hold what it has room for,
// and room grows while bytes move: to 32 MiB for a socket that is read, and 4 MiB for one
// that is written to (tcp_rmem, tcp_wmem). A thousand of those use up what all sockets of
// a machine may hold, and then the kernel drops what comes for others, such as a session.
//
// So what is not sent yet is bounded for every socket to which much is written. While there is
// a crowd, a source that is near also keeps the receive buffer that it has. That has to be early:
// the kernel fills what it has promised, however small the buffer is made then
// (TCP_WINDOW_CLAMP bounds what is promised at a time, and not what it adds up to).
const (
	// maxUnsent is what a socket takes that it cannot send yet (TCP_NOTSENT_LOWAT), as
	// for a session: enough to send while the process wakes up.
	maxUnsent     = 128 << 10
	crowdedUnsent = 32 << 10
	// near is a round trip for which 128 KiB are enough (tcp_rmem): half of it is window,
	// which is half a Gbit/s.
	near = time.Millisecond
	// largestFrame is more than any network carries. Only a peer on the same machine has a
	// larger path MTU, and is near even when the machine is too busy for a short round trip.
	largestFrame = 16 << 10
	// trustAfter is how much a join has to move before the buffer of its source grows as if
	// there had been no crowd. One that stalls at once has moved less: 256 KiB of a stream's
	// window or a pipe, and three or four sockets' buffers. While there is a crowd it
	// has to be so much that few can afford it.
	trustAfter        = 2 << 20
	crowdedTrustAfter = 32 << 20
	// trustedBuffer is what it grows to at once: the kernel looks for more than it
	// has seen come at a time.
	trustedBuffer = 512 << 10
	// crowdedSegment is what a segment of a local server's connection carries at most while
	// there is a crowd. With what the kernel adds it fills 8 KiB, in which it counts.
	crowdedSegment = 7500
)

type feedState struct {
	bounds bounds
	held   bool // src's receive buffer does not grow
	locked int  // SO_BUF_LOCK of src, before it was held
}

// bounds are those of a direction.
type bounds uint8

const (
	unsettled bounds = iota
	plain
	crowded
)

// moved adjusts what the sockets of a direction may hold, when it has written as much as
// due says. A socket is -1 if there is none.
func (f *feed) moved(written int64, src, dst int, c *crowd) {
	over := c.over()
	f.due = written + settleAfter // when it is asked again
	switch {
	case f.bounds == crowded:
		if written >= trustAfter && !over || written >= crowdedTrustAfter {
			f.trust(src, dst)
		}
	case over && written < trustAfter:
		f.bound(src, dst)
	case f.bounds == unsettled:
		f.bounds = plain
		setOption(dst, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
	case written >= trustAfter:
		f.due = never
	}
}

// bound bounds a direction that has begun in a crowd.
func (f *feed) bound(src, dst int) {
	f.bounds = crowded
	setOption(dst, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, crowdedUnsent)
	if isNear(src) {
		f.locked, f.held = lockReceiveBuffer(src)
	}
}

// trust gives a direction what it had without a crowd.
func (f *feed) trust(src, dst int) {
	f.bounds, f.due = plain, never
	setOption(dst, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
	if !f.held {
		return
	}
	f.held = false
	if now, err := unix.GetsockoptInt(src, unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil && now < trustedBuffer {
		setOption(src, unix.SOL_SOCKET, unix.SO_RCVBUF, trustedBuffer/2) // the kernel doubles it
	}
	setOption(src, unix.SOL_SOCKET, unix.SO_BUF_LOCK, f.locked)
}

// PrepareLocal is called with a socket that is about to connect to a local server. Linux
// makes a send buffer for twice as many segments as may be on their way, and at first for
// 20. On loopback they are so large that a server writes megabytes that nobody reads. But
// they are also a sixth faster, so they are bounded only while many joins are stalled.
func (e *Engine) PrepareLocal(fd int) {
	if e.crowd.over() {
		setOption(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, crowdedSegment)
	}
}

// isNear reports whether a round trip to the peer of a socket is short.
func isNear(fd int) bool {
	if fd < 0 {
		return false
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && (info.Pmtu > largestFrame || time.Duration(info.Min_rtt)*time.Microsecond <= near)
}

// lockReceiveBuffer has a socket keep the receive buffer that it has, and returns what was
// locked before. It does nothing if somebody else has chosen the buffer, or the kernel is
// older than Linux 5.14, which cannot do it.
func lockReceiveBuffer(fd int) (before int, ok bool) {
	const receive = 2 // SOCK_RCVBUF_LOCK of the kernel's include/uapi/linux/socket.h
	before, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BUF_LOCK)
	if err != nil || before&receive != 0 {
		return before, false
	}
	return before, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BUF_LOCK, before|receive) == nil
}

// setOption sets an option that changes how much is held, and nothing else: without it a
// join works too.
func setOption(fd, level, option, value int) {
	if fd >= 0 {
		_ = unix.SetsockoptInt(fd, level, option, value)
	}
}
