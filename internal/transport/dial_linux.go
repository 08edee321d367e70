package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// dialling tries addresses. One that is near has answered when the system call returns;
// only when none has, there is something to wait for.
type dialling struct {
	pending []attempt // connect, and have not answered
	err     error     // why the last one failed
}

// attempt is an attempt to connect to one address.
type attempt struct {
	addr   netip.AddrPort
	socket *socket
}

// startAddrs tries addrs without waiting. If conn is nil, wait does the rest.
func startAddrs(addrs []netip.AddrPort, prepared func(fd int)) (conn conn.Conn, wait func(context.Context) (conn.Conn, error)) {
	var d dialling
	for _, addr := range addrs {
		s, err := startDial(addr, prepared)
		if err == nil {
			err = connected(s.fd, s.remote)
		}
		tried := attempt{addr, s}
		if errors.Is(err, syscall.EALREADY) {
			d.pending = append(d.pending, tried)
		} else if conn := d.answered(tried, err); conn != nil {
			d.giveUp()
			return conn, nil
		}
	}
	begun := d // most calls have returned by now, and need none on the heap
	return nil, begun.wait
}

// wait waits for a connection: for each address an equal share of the time left. The
// addresses behind it go on connecting meanwhile.
func (d *dialling) wait(ctx context.Context) (conn.Conn, error) {
	end := time.Now().Add(dialTimeout)
	defer d.giveUp()
	for len(d.pending) > 0 {
		first := d.pending[0]
		share, cancel := context.WithTimeout(ctx, time.Until(end)/time.Duration(len(d.pending)))
		err := first.socket.waitConnected(share)
		cancel()
		d.pending = d.pending[1:]
		if conn := d.answered(first, err); conn != nil {
			return conn, nil
		}
	}
	return nil, d.err
}

// giveUp ends what is pending.
func (d *dialling) giveUp() {
	for _, a := range d.pending {
		_ = a.socket.Reset()
	}
	d.pending = nil
}

// answered returns the connection that an attempt has led to, or notes why it has failed.
func (d *dialling) answered(a attempt, err error) conn.Conn {
	if err == nil {
		_ = a.socket.Control(func(fd uintptr) { err = checkSelf(int(fd), a.addr) })
	}
	if err == nil {
		return a.socket
	}
	if a.socket != nil {
		_ = a.socket.Reset()
	}
	d.err = &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(a.addr), Err: err}
	return nil
}

// startDial makes a socket and has it connect.
func startDial(addr netip.AddrPort, prepared func(fd int)) (*socket, error) {
	family, remote := syscall.AF_INET6, syscall.Sockaddr(&syscall.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()})
	if addr.Addr().Is4() {
		family, remote = syscall.AF_INET, &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, syscall.IPPROTO_TCP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{remote: remote, fd: fd}
	s.young.Store(true)
	if err := prepareDial(fd); err != nil {
		_ = s.Reset()
		return nil, err
	}
	if prepared != nil {
		prepared(fd)
	}
	err = syscall.Connect(fd, remote)
	if err != nil && !errors.Is(err, syscall.EINPROGRESS) && !errors.Is(err, syscall.EINTR) {
		_ = s.Reset()
		return nil, os.NewSyscallError("connect", err)
	}
	return s, nil
}

// connected returns the result of connecting: EALREADY while that goes on.
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
	stop := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Now()) }) // past by then
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

// checkSelf returns an error if the kernel has chosen, as the connection's own port, the
// one that it connects to: it then talks to itself.
func checkSelf(fd int, remote netip.AddrPort) error {
	local, err := syscall.Getsockname(fd)
	if err == nil && tcpAddr(local).AddrPort() == remote {
		err = syscall.ECONNREFUSED // since no program listens there
	}
	return os.NewSyscallError("connect", err)
}

// unpolled returns c as a connection that the runtime's poller does not know, as those to
// addresses are. If descriptors are short it returns c.
func unpolled(c *Conn) conn.Conn {
	fd, err := c.Detach(func() {})
	if err != nil {
		return c
	}
	remote, err := syscall.Getpeername(fd)
	if err != nil { // the peer has reset it
		remote = sockaddr(c.TCPConn.RemoteAddr().(*net.TCPAddr))
	}
	return &socket{fd: fd, remote: remote}
}
