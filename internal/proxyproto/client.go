package proxyproto

import (
	"errors"
	"fmt"
	"net"

	"github.com/seed96252745/relay/internal/conn"
)

// errNoHeader is why a load balancer's connection is closed.
var errNoHeader = errors.New("it sends no PROXY protocol header")

// ReadClient reads the header that a load balancer puts before what a relay client says,
// and returns the connection as one of the relay client's: no verb, no option and no TLS
// begins like a header. From loopback there may be none: relay clients are on the same
// machine as a load balancer there, too. Elsewhere none means that the load balancer sends
// none, and would pass on one of a stranger's. It keeps to the deadline of c.
func ReadClient(c conn.Conn) (conn.Conn, error) {
	c, first, err := conn.PeekByte(c)
	if err != nil {
		return nil, fmt.Errorf("no byte came: %w", err)
	}
	if first != 'P' && first != '\r' {
		if !conn.AddrPort(c.RemoteAddr()).Addr().IsLoopback() {
			return nil, errNoHeader
		}
		return c, nil
	}
	client, control, err := ReadEither(c)
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
	return NewConn(c, client, control), nil
}
