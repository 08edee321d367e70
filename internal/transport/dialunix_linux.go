package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
)

// maxUnixPause is the longest pause between two attempts to connect to a Unix socket whose
// queue is full. The kernel does not report when it has room.
const maxUnixPause = 50 * time.Millisecond

// startUnix connects to a Unix socket, which the kernel does at once, or not at all. If the
// server's queue is full wait tries again.
func startUnix(name string) (c conn.Conn, wait func(context.Context) (conn.Conn, error)) {
	s, err := dialUnix(name)
	if err == nil {
		return s, nil
	}
	return nil, func(ctx context.Context) (conn.Conn, error) {
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, err
		}
		return retryUnix(ctx, name)
	}
}

func retryUnix(ctx context.Context, name string) (conn.Conn, error) {
	end := time.NewTimer(dialTimeout)
	defer end.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, maxUnixPause) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-end.C:
			timer.Stop()
			return nil, fmt.Errorf("dial unix %s: its queue is full: %w", name, os.ErrDeadlineExceeded)
		}
		switch s, err := dialUnix(name); {
		case err == nil:
			return s, nil
		case !errors.Is(err, syscall.EAGAIN):
			return nil, err
		}
	}
}

// dialUnix makes a socket and connects it.
func dialUnix(name string) (*socket, error) {
	s, err := connectUnix(name)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: name, Net: "unix"}, Err: err}
	}
	return s, nil
}

func connectUnix(name string) (*socket, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{remote: &syscall.SockaddrUnix{Name: name}, fd: fd}
	for {
		if err = syscall.Connect(fd, s.remote); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		_ = s.Reset()
		return nil, os.NewSyscallError("connect", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1) // kernels since 5.15 have urgent data here, too
	return s, nil
}
