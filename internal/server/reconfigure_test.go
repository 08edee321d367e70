package server_test

import (
	"errors"
	"testing"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/server"
)

// A relay client whose connection was let in under earlier settings, such as one in plain text
// before TLS was required, and that sends its request after a change, has no tunnel for longer
// than the change lets it have one: it registers anew, under the settings in force.
func TestRequestThatCrossesReconfigure(t *testing.T) {
	secured, ports := make(chan struct{}, 1), freePorts(t, 1)
	r := start(t, func(c *server.Config) {
		c.Ports = ports
		c.Secure = func(c conn.Conn) (conn.Conn, error) {
			secured <- struct{}{}
			return c, nil
		}
	})
	client := r.request("multi")
	next(t, "connection", secured)
	r.Reconfigure(server.Settings{
		Ports: ports, Encrypted: true,
		Secure: func(conn.Conn) (conn.Conn, error) { return nil, errors.New("it is not encrypted") },
	})
	conntest.Write(t, client, "plex\n")
	tunnel := next(t, "tunnel", r.fake.tunnels)
	wantClosed(t, "the end of the tunnel", tunnel.closed)
}
