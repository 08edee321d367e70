package sockerr_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/seed96252745/relay/internal/sockerr"
)

// names are the errors that Relay compares with, and what Winsock returns for them, by
// winsock2.h.
var names = map[syscall.Errno][]syscall.Errno{
	syscall.EACCES:        {10013},
	syscall.EMFILE:        {10024},
	syscall.EADDRINUSE:    {10048},
	syscall.EADDRNOTAVAIL: {10049},
	syscall.ENETUNREACH:   {10051},
	syscall.ECONNABORTED:  {10053},
	syscall.ECONNRESET:    {10054},
	syscall.ENOBUFS:       {10055},
	syscall.ENOTCONN:      {10057},
	syscall.ESHUTDOWN:     {10058},
	syscall.EPIPE:         {10058, 10053},
	syscall.ETIMEDOUT:     {10060},
	syscall.ECONNREFUSED:  {10061},
	syscall.EHOSTUNREACH:  {10065},
	syscall.ENFILE:        nil, // Winsock has none
	syscall.ENOMEM:        nil,
}

// wrapped returns e as package net returns the error of a system call.
func wrapped(e syscall.Errno) error {
	return fmt.Errorf("relay: %w", &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("wsarecv", e)})
}

func TestIs(t *testing.T) {
	for name, winsock := range names {
		for _, same := range append(winsock, name) {
			if !sockerr.Is(wrapped(same), name) || !sockerr.Is(same, syscall.EBADF, name) {
				t.Errorf("%d is not taken for %v", same, name)
			}
		}
		for other, numbers := range names {
			for _, e := range append(numbers, other) {
				if want := e == name || contains(winsock, e); sockerr.Is(wrapped(e), name) != want {
					t.Errorf("%d is taken for %v: %v, want %v", e, name, !want, want)
				}
			}
		}
	}
	for _, err := range []error{nil, io.EOF, net.ErrClosed, os.ErrDeadlineExceeded, errors.New("anything else")} {
		for name := range names {
			if sockerr.Is(err, name) {
				t.Errorf("%v is taken for %v", err, name)
			}
		}
	}
	if sockerr.Is(syscall.ECONNRESET) {
		t.Error("an error is taken for one of no names")
	}
}

func contains(numbers []syscall.Errno, e syscall.Errno) bool {
	for _, n := range numbers {
		if n == e {
			return true
		}
	}
	return false
}

// The errors of sockets on the system that this runs on.
func TestIsOfSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want(t, listenError("127.0.0.1", l.Addr()), syscall.EADDRINUSE)
	want(t, listenError("192.0.2.1", l.Addr()), syscall.EADDRNOTAVAIL) // RFC 5737: nobody's

	ended, _ := pair(t, l)
	if err := ended.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, err = ended.Write([]byte("x"))
	want(t, err, syscall.EPIPE)

	_ = l.Close()
	_, err = net.Dial("tcp", l.Addr().String())
	want(t, err, syscall.ECONNREFUSED)
}

// The error of a reset, which Wine 8.0 returns only to a read that waits for it.
func TestIsOfReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, far := pair(t, l)
	_ = far.SetLinger(0)
	_ = far.Close()
	_, err = near.Read(make([]byte, 1))
	want(t, err, syscall.ECONNRESET)
	// One call has returned the reset. Winsock may repeat it.
	_, err = near.Write([]byte("x"))
	want(t, err, syscall.EPIPE, syscall.ECONNRESET)
}

// pair returns both ends of a connection.
func pair(t *testing.T, l net.Listener) (near, far *net.TCPConn) {
	t.Helper()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = dialled.Close(), accepted.Close() })
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

// listenError listens at host, on the port of addr, and returns the error.
func listenError(host string, addr net.Addr) error {
	port := addr.String()[strings.LastIndexByte(addr.String(), ':')+1:]
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err == nil {
		_ = l.Close()
	}
	return err
}

func want(t *testing.T, err error, names ...syscall.Errno) {
	t.Helper()
	if !sockerr.Is(err, names...) {
		t.Errorf("got %v, want one of %v", err, names)
	}
}

func TestIsShortage(t *testing.T) {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM, 10024, 10049, 10055} {
		if !sockerr.IsShortage(wrapped(e)) {
			t.Errorf("%d is none", int(e))
		}
	}
	for _, err := range []error{nil, io.EOF, wrapped(syscall.ECONNREFUSED), wrapped(syscall.ECONNRESET), wrapped(syscall.ETIMEDOUT), wrapped(10061)} {
		if sockerr.IsShortage(err) {
			t.Errorf("%v is one", err)
		}
	}
}
