package multiplex_test

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/wire"
)

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

// connect makes a session of one stream, and gives both of its ends.
func connect(t *testing.T) (user, server net.Conn, stop func(), err error) {
	relay, client := tcpPair(t)
	if err := client.SetDeadline(time.Time{}); err != nil {
		return nil, nil, nil, err
	}
	type registered struct {
		registration protocol.Registration
		err          error
	}
	registering := make(chan registered, 1)
	go func() {
		registration, err := multiplex.Client{}.Register(t.Context(), func(context.Context) (join.Conn, error) { return client, nil })
		registering <- registered{registration, err}
	}()
	if _, err := wire.ReadRequest(wire.NewReader(relay)); err != nil {
		return nil, nil, nil, err
	}
	tunnel, err := multiplex.Relay{}.Register(relay, 20001)
	if err != nil {
		return nil, nil, nil, err
	}
	r := <-registering
	if r.err != nil {
		return nil, nil, nil, r.err
	}
	if user, err = tunnel.Open(t.Context()); err != nil {
		return nil, nil, nil, err
	}
	if server, err = r.registration.Accept(); err != nil {
		return nil, nil, nil, err
	}
	return user, server, func() {
		_ = user.Close()
		_ = server.Close()
		_ = tunnel.Close()
		_ = r.registration.Close()
	}, nil
}
