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

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/wire"
)

// Relay is the relay's half of a protocol. Its methods may be called
// concurrently.
type Relay interface {
	// Register answers the registration that arrived on conn, and gives the
	// tunnel. It takes conn over, and has closed it if it returns an error.
	Register(conn conn.Conn, g Grant) (Tunnel, error)

	// Claim gives conn, a data connection of owner's, to whom it was opened for.
	// It takes conn over. For an id that nothing of owner's waits for it resets
	// conn and returns ErrUnknownID.
	Claim(conn conn.Conn, owner, id string) error
}

// Grant is what a relay client gets that registers.
type Grant struct {
	// Answer is what it is told.
	Answer wire.Answer
	// Owner is who it is. Ids are good for connections of the same owner only.
	Owner string
}

// Tunnel is the way to one relay client. Its methods may be called
// concurrently.
type Tunnel interface {
	// Open gives a connection to the relay client for one user. It waits for
	// it until ctx is done, and then returns ctx's cause, or what is known
	// better in place of ErrTooLong. The caller closes the connection.
	Open(ctx context.Context) (conn.Conn, error)

	// Done is closed when the relay client takes no more users. Connections
	// that were opened may live on until Close.
	Done() <-chan struct{}

	// Err says why, and is nil before Done is closed. After Close it wraps
	// net.ErrClosed, if nothing else came before.
	Err() error

	// AfterDone has f called, on a goroutine of its own, when Done is closed. It
	// costs no goroutine before. Stop prevents that, and tells whether it has.
	AfterDone(f func()) (stop func() bool)

	// Retire has the tunnel take no more users, and no more claims for those who
	// wait. Connections that were opened live on until Close. It does not wait.
	Retire()

	// Close ends the tunnel, waits for its goroutines, and resets whatever waits
	// or is multiplexed. It takes half a second at most, and may be called any
	// number of times.
	Close() error

	// Finish is Close for a tunnel whose connections have all been closed: what
	// was written to them still arrives. It takes up to half a minute; Close
	// cuts it short.
	Finish()
}

// Quick is a Tunnel that may have a connection at hand.
type Quick interface {
	// OpenNow is Open for a caller who cannot wait. It gives nil if there is no
	// connection at the moment. The relay client may learn of it with the first
	// bytes only; whoever has none calls conn.Flush.
	OpenNow() conn.Conn
}

// Expecting is a Tunnel whose relay client makes data connections.
type Expecting interface {
	// Expected is how many would be taken at the moment.
	Expected() int
}

// Recent remembers the ids that were in use of late, by their keys, so that a
// claim that comes late is not taken for a wrong one. It may be used
// concurrently, and forgets what is old.
type Recent interface {
	Add(wire.Key)
	Contains(wire.Key) bool
}

// Forget is a Recent that remembers nothing.
type Forget struct{}

// Add forgets the key.
func (Forget) Add(wire.Key) {}

// Contains gives false.
func (Forget) Contains(wire.Key) bool { return false }

// Client is the relay client's half of a protocol.
type Client interface {
	// Register registers at the relay that dial connects to. It returns a
	// *wire.Refusal if the relay refuses. ctx is for this call only.
	Register(ctx context.Context, dial Dialer, p Preamble) (Registration, error)
}

// Preamble is what stands before the verb of each connection.
type Preamble struct {
	Registration []wire.Option
	Claim        []wire.Option
}

// Dialer connects to the relay.
type Dialer func(ctx context.Context) (conn.Conn, error)

// Registration is one tunnel, seen from its relay client. Its methods may be
// called concurrently.
type Registration interface {
	// Answer is what the relay has answered.
	Answer() wire.Answer

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
type Acceptor func(ctx context.Context, conn conn.Conn)
