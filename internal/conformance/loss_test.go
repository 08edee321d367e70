package conformance_test

import (
	"io"
	"net"
	"testing"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/relaytest"
)

// A process that is killed sends nothing any more; its kernel closes its sockets. Users must see that as a failure, whether bytes were on their way
// or not.
func TestRelayClientKilled(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		p := &pairing{wants: make(map[[tokenSize]byte]chan *net.TCPConn)}
		local := serveLocal(t, p.handle)
		r := relaytest.Start(t)
		forwarder := startForwarder(t, r.Addr(), local, protocol)
		pt := pairingTunnel{&tunnel{public: forwarder.nextPublic(t)}, p}

		idle, _ := pt.pair(t)
		loading, server := pt.pair(t)
		go func() { _ = send(server, newStream(1), 1<<40) }() // until it fails
		must(t, expect(loading, newStream(1), 1<<20))

		forwarder.kill()
		if n, err := io.Copy(io.Discard, loading); !isReset(err) {
			t.Errorf("the user in a download: %d bytes and %v, want a reset", n, err)
		}
		if n, err := idle.Read(make([]byte, 1)); n != 0 || !isReset(err) {
			t.Errorf("the user who was idle: %d bytes and %v, want a reset", n, err)
		}

		// A new one needs nothing of the old one.
		again := startForwarder(t, r.Addr(), serveLocal(t, echo), protocol)
		must(t, echoOnce(t, again.nextPublic(t), 1, 100))
	})
}

// A relay that is killed resets users and servers, and when it is back
// forwarders come back by themselves.
func TestRelayKilledAndRestarted(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		p := &pairing{wants: make(map[[tokenSize]byte]chan *net.TCPConn)}
		local := serveLocal(t, p.handle)
		addr := "127.0.0.1:" + conntest.FreePort(t)
		killed := startRelay(t, addr)
		pt := pairingTunnel{forward(t, addr, local, protocol, nil), p}
		user, server := pt.pair(t)
		loading, sender := pt.pair(t)
		go func() { _ = send(sender, newStream(1), 1<<40) }() // until it fails
		must(t, expect(loading, newStream(1), 1<<20))

		for range 2 {
			killed.kill()
			if n, err := io.Copy(io.Discard, loading); !isReset(err) {
				t.Errorf("the user in a download: %d bytes and %v, want a reset", n, err)
			}
			if n, err := user.Read(make([]byte, 1)); n != 0 || !isReset(err) {
				t.Errorf("the user: %d bytes and %v, want a reset", n, err)
			}
			if n, err := server.Read(make([]byte, 1)); n != 0 || !isReset(err) {
				t.Errorf("the server: %d bytes and %v, want a reset", n, err)
			}

			killed = startRelay(t, addr)
			pt.public = within(t, pt.registered, "the forwarder to register again")
			user, server = pt.pair(t)
			loading, sender = pt.pair(t)
			go func() { _ = send(sender, newStream(1), 1<<40) }()
			must(t, expect(loading, newStream(1), 1<<20))
		}
	})
}
