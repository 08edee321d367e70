package tcpstate

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
)

// States of the kernel's include/net/tcp_states.h that matter here.
const (
	tcpEstablished = 1
	tcpFinWait1    = 4
	tcpFinWait2    = 5
	tcpClose       = 7
)

func stateOf(s conn.Controller) State {
	state := Dead
	_ = s.Control(func(fd uintptr) { state = stateOfSocket(fd) }) // fails only when closed: Dead
	return state
}

func stateOfSocket(fd uintptr) State {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return Dead
	}
	switch info.State {
	case tcpEstablished, tcpFinWait1, tcpFinWait2:
		if info.Probes > 1 { // one may be in flight
			return Silent
		}
		return Open
	case tcpClose:
		return Dead
	}
	return Ended
}

func unacknowledgedBy(s conn.Controller) (ago time.Duration) {
	_ = s.Control(func(fd uintptr) { // fails only when closed: zero
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && info.Unacked > 0 {
			ago = time.Duration(info.Last_ack_recv) * time.Millisecond
		}
	})
	return ago
}
