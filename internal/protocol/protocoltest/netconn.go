package protocoltest

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// NetConn tests both ends of one connection, the user's and the relay client's: each has to
// be a net.Conn in every respect.
func NetConn(t *testing.T, newRelay func() protocol.Relay, client protocol.Client) {
	for _, turned := range []bool{false, true} {
		t.Run(map[bool]string{false: "from the user", true: "from the server"}[turned], func(t *testing.T) {
			nettest.TestConn(t, func() (a, b net.Conn, stop func(), err error) {
				a, b, stop, err = connect(t, newRelay(), client)
				if turned {
					a, b = b, a
				}
				return a, b, stop, err
			})
		})
	}
}

// connect makes a tunnel, and returns both ends of a user's connection.
func connect(t *testing.T, relay protocol.Relay, client protocol.Client) (user, server net.Conn, stop func(), err error) {
	r := NewRelay(t)
	tunnels, served := make(chan registered, 1), make(chan struct{})
	go func() {
		defer close(served)
		r.serve(relay, tunnels)
	}()
	registration, err := Register(t.Context(), client, r.Dial)
	if err != nil {
		return nil, nil, nil, err
	}
	at := <-tunnels
	if at.err != nil {
		return nil, nil, nil, at.err
	}
	user, err = at.tunnel.Open(t.Context(), netip.AddrPort{})
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
		_ = r.Listener.Close()
		<-served
		_ = at.tunnel.Close() // first: a client of multiplex waits for it
		_ = registration.Close()
	}, nil
}

// registered is a tunnel at the relay.
type registered struct {
	tunnel protocol.Session
	err    error
}

// serve serves each connection as the relay does until the listener is closed, and sends
// the tunnels to a channel.
func (r *Relay) serve(relay protocol.Relay, tunnels chan<- registered) {
	for {
		conn, err := r.Listener.Accept()
		if err != nil {
			return // closed
		}
		answer(r.T, relay, conn, tunnels)
	}
}

// answer is the relay's side of a connection. It sends a tunnel to a channel.
func answer(t *testing.T, relay protocol.Relay, conn conn.Conn, tunnels chan<- registered) {
	req, err := wire.ReadRequest(wire.NewReader(conn), []wire.Verb{relay.Verb()})
	switch {
	case errors.Is(err, io.EOF): // it was given up before
	case err != nil:
		t.Error(err)
	case req.IsClaim():
		_ = relay.Claim(conn, "", req.ID) // the user's end shows it
	default:
		tunnel, err := relay.Register(conn, protocol.Grant{Answer: wire.Answer{Port: 20001}})
		tunnels <- registered{tunnel, err}
	}
}
