package pool_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// pooled is a pool at the relay.
type pooled struct {
	tunnel protocol.Tunnel
	err    error
}

// serveRelay runs the relay's half for whoever connects to l, until l is
// closed. It gives the tunnels.
func serveRelay(t *testing.T, l *transport.Listener, tunnels chan<- pooled) {
	relay := pool.NewRelay()
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed
		}
		req, err := wire.ReadRequest(wire.NewReader(conn))
		if err != nil {
			t.Error(err)
			continue
		}
		if req.IsClaim() {
			_ = relay.Claim(conn, req.ID) // of a pool that may have ended
			continue
		}
		tunnel, err := relay.Register(conn, 20001)
		tunnels <- pooled{tunnel, err}
	}
}

// What a user and a relay client get of one connection has to be a net.Conn in
// every respect, in either role.
func TestNetConn(t *testing.T) {
	for _, turned := range []bool{false, true} {
		t.Run(map[bool]string{false: "from the user", true: "from the server"}[turned], func(t *testing.T) {
			nettest.TestConn(t, func() (a, b net.Conn, stop func(), err error) {
				a, b, stop, err = connect(t)
				if turned {
					a, b = b, a
				}
				return a, b, stop, err
			})
		})
	}
}

// connect makes a pool of one connection, and gives both of its ends.
func connect(t *testing.T) (user, server net.Conn, stop func(), err error) {
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		return nil, nil, nil, err
	}
	tunnels, served := make(chan pooled, 1), make(chan struct{})
	go func() {
		defer close(served)
		serveRelay(t, l, tunnels)
	}()
	raw := &rawRelay{t, l}
	registration, err := pool.Client{Size: 1}.Register(t.Context(), raw.dial)
	if err != nil {
		return nil, nil, nil, err
	}
	p := <-tunnels
	if p.err != nil {
		return nil, nil, nil, p.err
	}
	server, err = registration.Accept()
	if err != nil {
		return nil, nil, nil, err
	}
	user, err = p.tunnel.Open(t.Context())
	if err != nil {
		return nil, nil, nil, err
	}
	return user, server, func() {
		_ = user.Close()
		_ = server.Close()
		_ = l.Close()
		<-served
		_ = registration.Close()
		_ = p.tunnel.Close()
	}, nil
}
