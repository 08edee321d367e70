package event_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/internal/wire"
)

// registered is a tunnel at the relay.
type registered struct {
	tunnel protocol.Tunnel
	err    error
}

// serveRelay runs the relay's half for whoever connects to l, until l is
// closed. It gives the tunnels.
func serveRelay(t *testing.T, l *transport.Listener, tunnels chan<- registered) {
	relay := event.NewRelay()
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
			if err := relay.Claim(conn, req.ID); err != nil {
				t.Error(err)
			}
			continue
		}
		tunnel, err := relay.Register(conn, 20001)
		tunnels <- registered{tunnel, err}
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

// connect makes a tunnel, and gives both ends of a user's connection.
func connect(t *testing.T) (user, server net.Conn, stop func(), err error) {
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		return nil, nil, nil, err
	}
	tunnels, served := make(chan registered, 1), make(chan struct{})
	go func() {
		defer close(served)
		serveRelay(t, l, tunnels)
	}()
	raw := &rawRelay{t, l}
	registration, err := event.Client{}.Register(t.Context(), raw.dial)
	if err != nil {
		return nil, nil, nil, err
	}
	at := <-tunnels
	if at.err != nil {
		return nil, nil, nil, at.err
	}
	user, err = at.tunnel.Open(t.Context())
	if err != nil {
		return nil, nil, nil, err
	}
	server, err = registration.Accept()
	if err != nil {
		return nil, nil, nil, err
	}
	return user, server, func() {
		_ = user.Close()
		_ = server.Close()
		_ = l.Close()
		<-served
		_ = registration.Close()
		_ = at.tunnel.Close()
	}, nil
}
