package tcpstate

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// States of the kernel's include/net/tcp_states.h that matter here.
const (
	tcpEstablished = 1
	tcpFinWait1    = 4
	tcpFinWait2    = 5
	tcpClose       = 7
)

func stateOf(tcp *net.TCPConn) State {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return Dead
	}
	state := Dead
	_ = raw.Control(func(fd uintptr) { state = stateOfSocket(fd) }) // fails only when closed: Dead
	return state
}

func stateOfSocket(fd uintptr) State {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return Dead
	}
	switch info.State {
	case tcpEstablished, tcpFinWait1, tcpFinWait2:
		return Open
	case tcpClose:
		return Dead
	}
	return Ended
}

// start runs one goroutine that sits in the runtime's poller. The poller is
// edge-triggered: a FIN behind unread bytes wakes it again, and so does RST.
func start(tcp *net.TCPConn, until State, fire func()) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		watch(tcp, until, fire)
	}()
	return func() {
		_ = tcp.SetReadDeadline(time.Unix(1, 0)) // long past: wakes the goroutine
		<-done
		_ = tcp.SetReadDeadline(time.Time{})
	}
}

func watch(tcp *net.TCPConn, until State, fire func()) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		fire()
		return
	}
	reached := false
	_ = raw.Read(func(fd uintptr) bool { // fails when stopped or closed
		reached = stateOfSocket(fd) >= until
		return reached
	})
	if reached {
		fire()
	}
}
