// Package protocol holds the two seams of Relay. Its subpackages multiplex,
// pool and event each implement both, and nothing above them asks which one it
// has.
//
//   - At the relay, a [Tunnel] opens a connection to its relay client for a
//     user. A [Relay] makes tunnels out of registrations.
//   - At the relay client, a [Registration] hands those connections to an
//     [Acceptor]. A [Client] makes registrations.
//
// Users, public ports and reconnecting are above the seams: internal/server
// and the root package.
package protocol

import (
	"context"

	"github.com/seed96252745/relay/internal/join"
)

// Relay is the relay's half of a protocol. Its methods may be called
// concurrently.
type Relay interface {
	// Register answers the registration that arrived on conn with the public
	// port, and gives the tunnel. It takes conn over, and has closed it if it
	// returns an error.
	Register(conn join.Conn, port int) (Tunnel, error)

	// Claim gives conn, a data connection, to whom it was opened for. It takes
	// conn over. For an id that nothing waits for it resets conn and returns
	// ErrUnknownID.
	Claim(conn join.Conn, id string) error
}

// Tunnel is the way to one relay client. Its methods may be called
// concurrently.
type Tunnel interface {
	// Open gives a connection to the relay client for one user. It waits for
	// it until ctx is done, and then returns ctx's cause. The caller closes
	// the connection.
	Open(ctx context.Context) (join.Conn, error)

	// Done is closed when the relay client takes no more users. Connections
	// that were opened may live on until Close.
	Done() <-chan struct{}

	// Close ends the tunnel at once, waits for its goroutines, and closes
	// whatever waits or is multiplexed. It may be called any number of times.
	Close() error

	// Finish is Close for a tunnel whose connections have all been closed: what
	// was written to them still arrives. It takes up to half a minute; Close
	// cuts it short.
	Finish()
}

// Quick is a Tunnel that may have a connection at hand.
type Quick interface {
	// OpenNow is Open for a caller who cannot wait. It gives nil if there is no
	// connection at the moment.
	OpenNow() join.Conn
}

// Client is the relay client's half of a protocol.
type Client interface {
	// Register registers at the relay that dial connects to. It returns a
	// *wire.Refusal if the relay refuses. ctx is for this call only.
	Register(ctx context.Context, dial Dialer) (Registration, error)
}

// Dialer connects to the relay.
type Dialer func(ctx context.Context) (join.Conn, error)

// Registration is one tunnel, seen from its relay client. Its methods may be
// called concurrently.
type Registration interface {
	// Port is the public port.
	Port() int

	// Serve hands every connection to accepted, in the pool protocol before its
	// user has come. It returns when the registration has been lost or closed,
	// with the reason. It has to be called once, and frees what the registration
	// holds even after Close.
	Serve(accepted Acceptor) error

	// Close ends the registration: nothing is handed over after it. Connections
	// that were handed over for a user live on until they end. It may be called
	// any number of times.
	Close() error

	// Wait returns, after Serve has, when the connections have ended and what was
	// written to them has arrived. If ctx is done before, it ends them.
	Wait(ctx context.Context)
}

// Acceptor takes over a connection. It may be called several times at once. It
// may wait, while further users may wait with it, but not for longer than ctx,
// which is done when the registration has ended.
type Acceptor func(ctx context.Context, conn join.Conn)
