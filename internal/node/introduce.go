package node

import (
	"errors"
	"fmt"
	"net"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// errNoHeader is why a load balancer's connection is closed.
var errNoHeader = errors.New("it sends no PROXY protocol header")

// introduce reads the PROXY header that a load balancer puts before what a relay client
// says: no verb, no option and no TLS begins like one. From loopback there may be none:
// relay clients are on the same machine as a load balancer there, too. Elsewhere none
// means that the proxy sends none, and would pass on one of a stranger's. It keeps to the
// deadline of c.
func introduce(c conn.Conn) (conn.Conn, error) {
	c, first, err := conn.PeekByte(c)
	if err != nil {
		return nil, fmt.Errorf("no byte came: %w", err)
	}
	if first != 'P' && first != '\r' {
		if !admission.SourceOf(c.RemoteAddr()).IsLoopback() {
			return nil, errNoHeader
		}
		return c, nil
	}
	client, control, err := proxyproto.ReadEither(c)
	if err != nil {
		return nil, err
	}
	from, ok := client.(*net.TCPAddr)
	if !ok {
		return c, nil // it is the load balancer itself, or it does not know
	}
	if s, ok := c.(interface{ SetRemoteAddr(peer *net.TCPAddr) }); ok {
		s.SetRemoteAddr(from) // which leaves it what it is: a socket
		return c, nil
	}
	return proxyproto.NewConn(c, client, control), nil
}
