// Package conntest makes connections for tests: over TCP with [Pair], or with
// [Sockets] where descriptors are wanted, and in memory with [Memory].
package conntest

import (
	"net"
	"testing"

	"github.com/seed96252745/relay/internal/transport"
)

// Pair makes a connection over loopback, and resets it at the end of the test: near has
// accepted it, far has dialled it.
func Pair(tb testing.TB) (near, far *transport.Conn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	accepted := acceptFrom(tb, l, dialed.LocalAddr())
	near, far = transport.NewConn(accepted), transport.NewConn(dialed.(*net.TCPConn))
	tb.Cleanup(func() { _ = near.Reset(); _ = far.Reset() })
	return near, far
}

// acceptFrom accepts the connection from an address. Others are from clients of a test
// that had the port before.
func acceptFrom(tb testing.TB, l net.Listener, from net.Addr) *net.TCPConn {
	tb.Helper()
	for {
		conn, err := l.Accept()
		if err != nil {
			tb.Fatal(err)
		}
		if conn.RemoteAddr().String() == from.String() {
			return conn.(*net.TCPConn)
		}
		_ = conn.Close()
	}
}
