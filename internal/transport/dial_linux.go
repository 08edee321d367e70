package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/join"
)

// dialAddr connects to addr. When that is near, the kernel has connected by the
// time that the system call returns, and only otherwise there is something to
// wait for.
func dialAddr(ctx context.Context, addr netip.AddrPort, l leg) (join.Conn, error) {
	s, err := startDial(addr, l)
	if err == nil {
		if err = connected(s.fd, s.remote); errors.Is(err, syscall.EALREADY) {
			err = s.waitConnected(ctx)
		}
		if err == nil {
			_ = s.Control(func(fd uintptr) { err = checkSelf(int(fd), addr) })
		}
		if err == nil {
			return s, nil
		}
		_ = s.Reset()
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(addr), Err: err}
}

// startDial makes a socket and has it connect.
func startDial(addr netip.AddrPort, l leg) (*socket, error) {
	family, remote := syscall.AF_INET6, syscall.Sockaddr(&syscall.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()})
	if addr.Addr().Is4() {
		family, remote = syscall.AF_INET, &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, syscall.IPPROTO_TCP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{leg: l, remote: remote, fd: fd}
	if err := prepare(fd, l); err != nil {
		_ = s.Reset()
		return nil, err
	}
	err = syscall.Connect(fd, remote)
	if err != nil && !errors.Is(err, syscall.EINPROGRESS) && !errors.Is(err, syscall.EINTR) {
		_ = s.Reset()
		return nil, os.NewSyscallError("connect", err)
	}
	return s, nil
}

// connected asks how connecting goes: it gives EALREADY while that goes on.
func connected(fd int, remote syscall.Sockaddr) error {
	for {
		switch err := syscall.Connect(fd, remote); err {
		case syscall.EINTR:
		case syscall.EISCONN:
			return nil
		default:
			return os.NewSyscallError("connect", err)
		}
	}
}

// waitConnected waits until the socket has connected.
func (s *socket) waitConnected(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := s.known()
	if err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Unix(1, 0)) }) // long past
	waitErr := raw.Write(func(fd uintptr) bool {
		err = connected(int(fd), s.remote)
		return !errors.Is(err, syscall.EALREADY)
	})
	switch {
	case !stop():
		return ctx.Err()
	case waitErr != nil:
		return waitErr
	}
	return err
}

// checkSelf gives an error if the kernel has chosen, as the connection's own
// port, the one that it connects to: it then talks to itself.
func checkSelf(fd int, remote netip.AddrPort) error {
	local, err := syscall.Getsockname(fd)
	if err == nil && tcpAddr(local).AddrPort() == remote {
		err = syscall.ECONNREFUSED // since nobody listens there
	}
	return os.NewSyscallError("connect", err)
}
