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

// dialling goes through addresses until one of them answers. An address that
// is near has answered by the time that the system call returns; only otherwise
// there is something to wait for.
type dialling struct {
	leg     leg
	addrs   []netip.AddrPort // to be tried, the first one perhaps by pending
	pending *socket          // connects, and has not answered
	err     error            // why the last one failed
}

// startAddrs tries addrs without waiting. If conn is nil, wait does the rest.
func startAddrs(addrs []netip.AddrPort, l leg) (conn join.Conn, wait func(context.Context) (join.Conn, error)) {
	d := &dialling{leg: l, addrs: addrs}
	if conn := d.now(); conn != nil {
		return conn, nil
	}
	return nil, d.wait
}

// now gives a connection if one is there. If not, one may be pending.
func (d *dialling) now() join.Conn {
	for d.pending == nil && len(d.addrs) > 0 {
		s, err := startDial(d.addrs[0], d.leg)
		if err == nil {
			err = connected(s.fd, s.remote)
		}
		if errors.Is(err, syscall.EALREADY) {
			d.pending = s
		} else if conn := d.answered(s, err); conn != nil {
			return conn
		}
	}
	return nil
}

// wait waits for a connection.
func (d *dialling) wait(ctx context.Context) (join.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	for d.pending != nil {
		s := d.pending
		d.pending = nil
		if conn := d.answered(s, s.waitConnected(ctx)); conn != nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			break
		}
		if conn := d.now(); conn != nil {
			return conn, nil
		}
	}
	return nil, d.err
}

// answered gives s as connected, or takes note that the first of the addresses
// has failed.
func (d *dialling) answered(s *socket, err error) join.Conn {
	addr := d.addrs[0]
	if err == nil {
		_ = s.Control(func(fd uintptr) { err = checkSelf(int(fd), addr) })
	}
	if err == nil {
		return s
	}
	if s != nil {
		_ = s.Reset()
	}
	d.addrs = d.addrs[1:]
	d.err = &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(addr), Err: err}
	return nil
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
