package conformance_test

import (
	"io"
	"net"
	"testing"
	"time"
)

// afterFIN is what is sent in one direction after the other has ended.
const afterFIN = 64 << 20

// deadlineSoon is when a write that makes no progress is taken for blocked.
func deadlineSoon() time.Time { return time.Now().Add(500 * time.Millisecond) }

func TestHalfClose(t *testing.T) {
	for _, by := range []string{"user", "server"} {
		t.Run("by "+by, func(t *testing.T) {
			eachPairing(t, func(t *testing.T, p pairingTunnel) {
				first, second := p.pair(t)
				if by == "server" {
					first, second = second, first
				}
				testHalfClose(t, first, second)
			})
		})
	}
}

// testHalfClose has first send a little and end, and second send a lot after
// it has seen that end.
func testHalfClose(t *testing.T, first, second *net.TCPConn) {
	must(t, send(first, newStream(1), 1000), first.CloseWrite())
	must(t, receiveAll(second, newStream(1), 1000))

	sent := make(chan error, 1)
	go func() {
		err := send(second, newStream(2), afterFIN)
		if err == nil {
			err = second.CloseWrite()
		}
		sent <- err
	}()
	must(t, receiveAll(first, newStream(2), afterFIN))
	must(t, <-sent)
}

// Both directions may end without a byte, in any order.
func TestEmpty(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairingTunnel) {
		user, server := p.pair(t)
		must(t, user.CloseWrite())
		must(t, receiveAll(server, newStream(1), 0))
		must(t, server.CloseWrite())
		must(t, receiveAll(user, newStream(1), 0))
	})
}

// A request whose end is the FIN: the answer can be reckoned only after it,
// and comes in pieces with turns in between.
func TestAnswerAfterEnd(t *testing.T) {
	count := func(conn *net.TCPConn) {
		n, err := io.Copy(io.Discard, conn)
		if err == nil {
			_ = send(conn, newStream(9), n/2)
			_ = send(conn, newStream(10), n/2)
		}
		_ = conn.Close()
	}
	eachTunnel(t, count, func(t *testing.T, tun *tunnel) {
		user := dial(t, tun.public)
		must(t, send(user, newStream(1), 1<<20), user.CloseWrite())
		must(t, expect(user, newStream(9), 1<<19))
		must(t, receiveAll(user, newStream(10), 1<<19))
	})
}
