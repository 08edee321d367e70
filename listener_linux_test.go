package relay_test

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/relaytest"
)

// Keep-alive is on a connection that Accept returns, before any call on it has waited: an
// application may write a little now and then, and never read.
func TestAcceptedConnectionsHaveKeepAlive(t *testing.T) {
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	dialed, err := transport.DialRelay(t.Context(), far.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t, relaytest.Start(t).Addr(), nil)
	go l.HandOver(t.Context(), proxyproto.NewConn(dialed, new(net.TCPAddr), l.Addr()))
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	var alive, idle int
	socket := conn.Innermost(accepted.(conn.Conn)).(conn.Controller)
	if err := socket.Control(func(fd uintptr) {
		alive, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		idle, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
	}); err != nil {
		t.Fatal(err)
	}
	if alive != 1 || idle != 15 {
		t.Errorf("SO_KEEPALIVE is %d, TCP_KEEPIDLE is %d; want 1 and 15", alive, idle)
	}
}
