package conformance_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/relaytest"
)

var resetAt = []int64{0, 1, 4 << 10, 1 << 20}

func TestReset(t *testing.T) {
	for _, by := range []string{"user", "server"} {
		for _, size := range resetAt {
			t.Run(fmt.Sprintf("by %s at %d", by, size), func(t *testing.T) {
				eachExactPairing(t, func(t *testing.T, p pairingTunnel) {
					from, to := p.pair(t)
					if by == "server" {
						from, to = to, from
					}
					testReset(t, from, to, size)
				})
			})
		}
	}
}

// testReset has from reset after size bytes have arrived at to.
func testReset(t *testing.T, from, to *net.TCPConn, size int64) {
	sent := make(chan error, 1)
	go func() { sent <- send(from, newStream(1), size) }()
	must(t, expect(to, newStream(1), size), <-sent)
	reset(from)
	if n, err := io.Copy(io.Discard, to); n != 0 || !isReset(err) {
		t.Fatalf("after the reset: %d bytes and %v, want a reset", n, err)
	}
}

// A reset right behind the bytes may destroy bytes, but never shows as an end,
// and what arrives is a prefix.
func TestResetAtOnce(t *testing.T) {
	for _, by := range []string{"user", "server"} {
		t.Run("by "+by, func(t *testing.T) {
			eachExactPairing(t, func(t *testing.T, p pairingTunnel) {
				for _, size := range resetAt {
					from, to := p.pair(t)
					if by == "server" {
						from, to = to, from
					}
					go func() {
						_ = send(from, newStream(2), size)
						reset(from)
					}()
					n, err := receive(to, newStream(2))
					if !isReset(err) || n > size {
						t.Errorf("reset after %d bytes: received %d and %v, want a reset", size, n, err)
					}
				}
			})
		})
	}
}

// One direction has ended already: a reset still goes through.
func TestResetAfterHalfClose(t *testing.T) {
	eachExactPairing(t, func(t *testing.T, p pairingTunnel) {
		user, server := p.pair(t)
		must(t, user.CloseWrite())
		must(t, receiveAll(server, newStream(1), 0))
		must(t, send(server, newStream(2), 1000), expect(user, newStream(2), 1000))
		reset(server)
		if _, err := user.Read(make([]byte, 1)); !isReset(err) {
			t.Fatalf("read: %v, want a reset", err)
		}
	})
}

// The server sees the reset of a user whom it only writes to.
func TestWriterSeesReset(t *testing.T) {
	eachExactPairing(t, func(t *testing.T, p pairingTunnel) {
		user, server := p.pair(t)
		reset(user)
		if err := send(server, newStream(1), 1<<30); !isReset(err) {
			t.Fatalf("write: %v, want a reset", err)
		}
	})
}

// A local server that answers and closes without having read all makes its
// kernel reset; the answer still arrives.
func TestAnswerBeforeReset(t *testing.T) {
	refuse := func(conn *net.TCPConn) {
		var first [1]byte
		if _, err := io.ReadFull(conn, first[:]); err == nil {
			_ = send(conn, newStream(3), 500)
		}
		_ = conn.Close() // with bytes that were not read
	}
	eachExactTunnel(t, refuse, func(t *testing.T, tun *tunnel) {
		user := dial(t, tun.public)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_ = send(user, newStream(4), 16<<20) // breaks off
		}()
		n, err := receive(user, newStream(3))
		if n != 500 || err != nil && !isReset(err) {
			t.Errorf("received %d bytes of the answer and %v, want 500", n, err)
		}
		_ = user.Close()
		<-sent
	})
}

// A local server that is not there resets the user, and comes into use as soon
// as it is there.
func TestLocalServerRefuses(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		local := net.JoinHostPort("127.0.0.1", conntest.FreePort(t))
		tun := forward(t, relaytest.Start(t).Addr(), local, protocol, nil)
		for range 3 {
			if err := readByte(tun.public); !isReset(err) {
				t.Fatalf("the user read %v, want a reset", err)
			}
		}

		serveLocalAt(t, local, echo)
		if err := untilServed(t, tun.public); err != nil {
			t.Fatal(err)
		}
	})
}

// readByte has a user wait for a byte. The reset may be faster than the connect.
func readByte(public string) error {
	conn, err := net.Dial("tcp", public)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = conn.Read(make([]byte, 1))
	return err
}

// untilServed has users come until one is served: the first may still be reset.
func untilServed(t *testing.T, public string) error {
	var errs []error
	for i := range 20 {
		err := echoOnce(t, public, uint32(i), 100)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
