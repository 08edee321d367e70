package conformance_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// A user and what the library accepts for it are two ends of a net.Conn.
func TestNetConn(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		r := relaytest.Start(t)
		l, err := relay.Listen(t.Context(), r.Addr(), with(protocol, relay.Options{PoolSize: 1}))
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		nettest.TestConn(t, func() (user, accepted net.Conn, stop func(), err error) {
			user, err = net.Dial("tcp", l.Addr().String())
			if err != nil {
				return nil, nil, nil, err
			}
			accepted, err = l.Accept()
			if err != nil {
				return nil, nil, nil, err
			}
			// In the pool protocol the two are joined only once this has arrived.
			if err := errors.Join(send(user, newStream(9), 1), expect(accepted, newStream(9), 1)); err != nil {
				return nil, nil, nil, err
			}
			stop = func() {
				_ = user.Close()
				_ = accepted.Close()
			}
			return user, accepted, stop, nil
		})
	})
}

// CloseWrite and Reset of what the library accepts.
func TestConn(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		r := relaytest.Start(t)
		l, err := relay.Listen(t.Context(), r.Addr(), with(protocol, relay.Options{PoolSize: 1}))
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		pair := func() (*net.TCPConn, relay.Conn) {
			user := dial(t, l.Addr().String())
			accepted, err := l.Accept()
			must(t, err)
			must(t, accepted.SetDeadline(time.Now().Add(patience)))
			// Once this has arrived the two are joined in the pool too.
			must(t, send(user, newStream(9), 1), expect(accepted, newStream(9), 1))
			return user, accepted.(relay.Conn)
		}

		user, conn := pair()
		must(t, send(conn, newStream(1), 1000), conn.CloseWrite())
		must(t, receiveAll(user, newStream(1), 1000))
		must(t, send(user, newStream(2), 1<<20), user.CloseWrite())
		must(t, receiveAll(conn, newStream(2), 1<<20), conn.Close())

		user, conn = pair()
		must(t, send(user, newStream(3), 10), expect(conn, newStream(3), 10))
		must(t, conn.Reset())
		if _, err := user.Read(make([]byte, 1)); !isReset(err) {
			t.Errorf("the user read %v, want a reset", err)
		}

		// Close delivers what was written.
		user, conn = pair()
		must(t, send(conn, newStream(4), 1000), conn.Close())
		must(t, receiveAll(user, newStream(4), 1000))
	})
}
