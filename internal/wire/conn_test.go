package wire_test

import (
	"net"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/transport"
)

// patience bounds every wait. Each ends long before, unless the code is wrong.
const patience = 10 * time.Second

// Connections of every kind that a Reader distinguishes: one that it can peek at, a TCP
// connection that does not say so, and one that is not TCP.
var connKinds = map[string]func(*testing.T) (ours, peer net.Conn){
	"peek": func(t *testing.T) (ours, peer net.Conn) {
		tcp, peer := tcpPair(t)
		return transport.NewConn(tcp), peer
	},
	"tcp": func(t *testing.T) (ours, peer net.Conn) { return tcpPair(t) },
	"pipe": func(t *testing.T) (ours, peer net.Conn) {
		ours, peer = net.Pipe()
		closeAtEnd(t, ours, peer)
		return ours, peer
	},
}

func tcpPair(t *testing.T) (ours *net.TCPConn, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, conn, peer)
	return conn.(*net.TCPConn), peer
}

func closeAtEnd(t *testing.T, conns ...net.Conn) {
	for _, conn := range conns {
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
}
