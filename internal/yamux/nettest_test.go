package yamux_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/seed96252745/relay/internal/yamux"
)

// A stream is a net.Conn like any other, whichever side opened it.
func TestConn(t *testing.T) {
	for name, roles := range map[string]func(client, server *yamux.Session) (opener, acceptor *yamux.Session){
		"client opens": func(c, s *yamux.Session) (opener, acceptor *yamux.Session) { return c, s },
		"server opens": func(c, s *yamux.Session) (opener, acceptor *yamux.Session) { return s, c },
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				near, far := tcpPair(t)
				client, server := yamux.Client(near, accepting), yamux.Server(far, accepting)
				stop = func() { client.Close(); server.Close() }
				opener, acceptor := roles(client, server)
				if c1, err = opener.Open(t.Context()); err == nil {
					c2, err = acceptor.Accept(background)
				}
				return c1, c2, stop, err
			})
		})
	}
}
