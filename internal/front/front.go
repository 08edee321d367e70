// Package front is the seam between a server and other ways in for relay clients, which speak a
// protocol of their own in place of lines, as SSH.
package front

import (
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// Front is another way in for relay clients. Its methods may be called concurrently.
type Front interface {
	// Speaks reports whether a connection whose first byte this is comes to the front. No
	// verb, no option line and no TLS begins with such a byte.
	Speaks(first byte) bool
	// Serve serves a connection from its first byte until it has ended. It takes c over,
	// whose deadline is that of the handshake until a.Identified is called. When the server
	// is closed, c is reset.
	Serve(c conn.Conn, a Arrival)
}

// Arrival is what a server does for one connection to a front, which may have several tunnels.
// Its methods are for the goroutine that Serve has, one call at a time.
type Arrival interface {
	// Identify returns the identity of a token. One that is nobody's is penalized, and the
	// answer to it is late.
	Identify(token string) (auth.Identity, error)
	// Identified ends the handshake, with its deadline: until then the connection gives way to
	// newer ones when there are many. It reports false if it has had to, or its address is
	// banned: the front closes it.
	Identified() bool
	// Failed counts and tells of a connection that has failed before Identified.
	Failed(err error)
	// Register gives the relay client a public port. If the one that it asks for is none that
	// this relay opens it may be any: programs which speak SSH ask for 80. An error wraps a
	// *wire.Refusal if the relay client may be told more than that it is refused.
	Register(r Registration) error
}

// Registration is what a relay client asks for.
type Registration struct {
	Protocol string // for people: what Tunnel.Protocol is in events
	Identity auth.Identity
	Wish     wire.Preamble
	// Start tells the relay client of its port, and returns the session.
	Start func(wire.Answer) (protocol.Session, error)
}
