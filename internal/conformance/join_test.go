package conformance_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/relaytest"
)

// echo sends back what arrives, and ends when the user ends.
func echo(conn *net.TCPConn) {
	_, _ = io.Copy(struct{ io.Writer }{conn}, conn)
	_ = conn.CloseWrite()
	_ = conn.Close()
}

func TestEcho(t *testing.T) {
	eachTunnel(t, echo, func(t *testing.T, tun *tunnel) {
		for _, size := range []int64{0, 1, 100, 4 << 10, 64<<10 + 1, 4 << 20} {
			user := dial(t, tun.public)
			sent := make(chan error, 1)
			go func() {
				err := send(user, newStream(1), size)
				if err == nil {
					err = user.CloseWrite()
				}
				sent <- err
			}()
			if err := receiveAll(user, newStream(1), size); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
			must(t, <-sent)
		}
	})
}

// Small messages must not wait for more to come.
func TestPingPong(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairingTunnel) {
		user, server := p.pair(t)
		there, back := newStream(1), newStream(2)
		thereWant, backWant := newStream(1), newStream(2)
		for size := range int64(200) {
			must(t,
				send(user, there, size), expect(server, thereWant, size),
				send(server, back, size), expect(user, backWant, size))
		}
	})
}

// All users come at once, each with bytes of its own.
func TestThousandUsers(t *testing.T) {
	const users, size = 1000, 16 << 10
	eachPatientTunnel(t, echo, func(t *testing.T, tun *tunnel) {
		var all sync.WaitGroup
		together := make(chan struct{})
		for i := range users {
			all.Go(func() {
				<-together
				if err := echoOnce(t, tun.public, uint32(i), size); err != nil {
					t.Errorf("user %d: %v", i, err)
				}
			})
		}
		close(together)
		all.Wait()
	})
}

func echoOnce(t *testing.T, public string, seed uint32, size int64) error {
	conn, err := net.Dial("tcp", public)
	if err != nil {
		return err
	}
	defer conn.Close()
	about := binary.BigEndian.AppendUint32(nil, seed)
	if err := send(conn, newStream(3, about...), size); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	return receiveAll(conn, newStream(3, about...), size)
}

// A server that speaks first is heard by users who never say anything, and
// once they have one they are not given another's.
func TestServerFirst(t *testing.T) {
	greet := func(conn *net.TCPConn) {
		_ = send(conn, newStream(4), 1000)
		echo(conn)
	}
	eachTunnel(t, greet, func(t *testing.T, tun *tunnel) {
		for range 40 { // more than a pool has
			user := dial(t, tun.public)
			must(t, expect(user, newStream(4), 1000))
			must(t, user.CloseWrite())
			if n, err := io.Copy(io.Discard, user); n != 0 || err != nil {
				t.Fatalf("%d bytes and %v after the greeting, want the end", n, err)
			}
		}
	})
}

// A server that speaks first and ends at once, as daytime does.
func TestServerSpeaksAndEnds(t *testing.T) {
	daytime := func(conn *net.TCPConn) {
		_ = send(conn, newStream(5), 1000)
		_ = conn.Close()
	}
	eachTunnel(t, daytime, func(t *testing.T, tun *tunnel) {
		for range 5 {
			user := dial(t, tun.public)
			must(t, receiveAll(user, newStream(5), 1000))
		}
	})
}

// No protocol connects to the local server before a user has come: not even pool,
// which has connections to the relay waiting.
func TestServerIsNotDialledAhead(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		var served atomic.Int32
		local := serveLocal(t, func(conn *net.TCPConn) {
			served.Add(1)
			_ = send(conn, newStream(6), 10)
			echo(conn)
		})
		tun := forward(t, relaytest.Start(t).Addr(), local, protocol, nil)
		const users = 20
		for n := range int32(users) {
			user := dial(t, tun.public)
			must(t, expect(user, newStream(6), 10))
			if got := served.Load(); got != n+1 {
				t.Fatalf("%d connections to the local server for %d users", got, n+1)
			}
			must(t, send(user, newStream(7), 10), expect(user, newStream(7), 10))
		}
	})
}

// A user may be there before the relay client has read the port's line.
func TestUserInTheSameMillisecond(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		r := relaytest.Start(t)
		local := serveLocal(t, echo)
		for i := range 20 {
			tun := forward(t, r.Addr(), local, protocol, nil)
			if err := echoOnce(t, tun.public, uint32(i), 100); err != nil {
				t.Fatal(fmt.Errorf("round %d: %w", i, err))
			}
		}
	})
}

// Without --bind relay clients and users come over IPv4 and IPv6 alike.
func TestBothAddressFamilies(t *testing.T) {
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6: give its loopback interface the address ::1")
	} else {
		_ = l.Close()
	}
	port := conntest.FreePort(t)
	startRelay(t, ":"+port)
	local := serveLocal(t, echo)
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		for _, host := range []string{"127.0.0.1", "::1"} {
			tun := forward(t, net.JoinHostPort(host, port), local, protocol, nil)
			_, public, err := net.SplitHostPort(tun.public)
			must(t, err)
			for i, userHost := range []string{"127.0.0.1", "::1"} {
				must(t, echoOnce(t, net.JoinHostPort(userHost, public), uint32(i), 100))
			}
		}
	})
}

// What a receiver does not read, its sender cannot send.
func TestBackPressure(t *testing.T) {
	// Three pairs of sockets are on the way, and Linux lets each grow to the
	// limits of tcp_rmem and tcp_wmem: 36 MiB where they are set high.
	const most = 3 * 36 << 20
	eachPairing(t, func(t *testing.T, p pairingTunnel) {
		user, server := p.pair(t)
		// As long as anything moves the next part is accepted soon.
		part := make([]byte, 1<<20)
		source, total := newStream(8), int64(0)
		for total < 2*most {
			_, _ = source.Read(part)
			must(t, server.SetWriteDeadline(deadlineSoon()))
			n, err := server.Write(part)
			total += int64(n)
			if err != nil {
				break
			}
		}
		if total > most {
			t.Errorf("the server could send %d bytes that nobody read", total)
		}
		must(t, server.CloseWrite())
		must(t, receiveAll(user, newStream(8), total))
	})
}
