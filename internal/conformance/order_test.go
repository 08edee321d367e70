package conformance_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

const (
	// pairs is how many there are to be in order. One in six to one in thirty was not,
	// where each user came on a connection of its own and nothing was done about it.
	pairs = 150
	// longestTurn is how long a user waits for the previous one, by docs/protocol.md. A
	// pair that took longer proves nothing.
	longestTurn = 100 * time.Millisecond
)

// Of two connections in a row the local server sees the first one first. Some of its
// clients rely on that: iperf3, FTP.
func TestOrder(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		tun := forward(t, relaytest.Start(t).Addr(), l.Addr().String(), protocol, nil)
		wantOrder(t, tun.public, l)
	})
}

// So does a program that uses the library.
func TestOrderOfAccept(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		l, err := relay.Listen(t.Context(), relaytest.Start(t).Addr(), with(protocol, relay.Options{}))
		must(t, err)
		defer l.Close()
		wantOrder(t, l.Addr().String(), l)
	})
}

// wantOrder expects that l accepts users in the order in which they come to public.
func wantOrder(t *testing.T, public string, l net.Listener) {
	t.Helper()
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	swapped := 0
	for tried := 0; tried < pairs; {
		began := time.Now()
		users := []*net.TCPConn{dial(t, public), dial(t, public)}
		for n, user := range users {
			_, err := user.Write([]byte{byte(n)})
			must(t, err)
		}
		conns := []net.Conn{within(t, accepted, "the first one"), within(t, accepted, "the second one")}
		quick := time.Since(began) < longestTurn
		first := make([]byte, 1)
		_ = conns[0].SetReadDeadline(time.Now().Add(patience))
		_, err := io.ReadFull(conns[0], first)
		must(t, err)
		if quick {
			tried++
			swapped += int(first[0])
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
		for _, user := range users {
			_ = user.Close()
		}
	}
	_ = l.Close()
	if _, more := <-accepted; more {
		t.Error("more users were accepted than came")
	}
	if swapped > 0 {
		t.Errorf("%d of %d pairs were accepted in the other order", swapped, pairs)
	}
}
