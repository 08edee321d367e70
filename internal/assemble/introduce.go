package assemble

import (
	"fmt"
	"net"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/transport"
)

// introduce reads the PROXY header that a load balancer has put before what a relay
// client says, if it has: no verb, no option and no TLS begins like one. It keeps to the
// deadline of conn.
func introduce(conn join.Conn) (join.Conn, error) {
	conn, first, err := transport.FirstByte(conn)
	if err != nil {
		return nil, fmt.Errorf("nothing came: %w", err)
	}
	if first != 'P' && first != '\r' {
		return conn, nil
	}
	client, control, err := proxyproto.ReadEither(conn)
	if err != nil {
		return nil, err
	}
	from, ok := client.(*net.TCPAddr)
	if !ok {
		return conn, nil // it is the load balancer itself, or it does not know
	}
	if c, ok := conn.(interface{ SetRemoteAddr(peer *net.TCPAddr) }); ok {
		c.SetRemoteAddr(from) // which leaves it what it is: a socket
		return conn, nil
	}
	return proxyproto.NewConn(conn, client, control), nil
}
