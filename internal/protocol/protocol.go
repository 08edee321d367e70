// Package protocol holds the two seams of Relay. Each of its subpackages multiplex, pool
// and event implements both, and nothing above them asks which one it has.
//
//   - At the relay, a [Session] opens a connection to its relay client for a
//     user. A [Relay] makes sessions out of registrations.
//   - At the relay client, a [Registration] hands those connections to an
//     [Acceptor]. A [Client] makes registrations.
//
// A protocol knows connections and the lines on them, and nothing of users, public ports
// and reconnecting: those are above the seams, in packages endpoint and server and in the
// root package.
package protocol

import (
	"context"
	"net/netip"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/wire"
)

// Relay is the relay's half of a protocol. Its methods may be called
// concurrently.
type Relay interface {
	// Verb returns what its requests begin with.
	Verb() wire.Verb

	// Register answers the registration that arrived on conn, and returns the
	// session. It takes conn over, and has closed it if it returns an error.
	Register(conn conn.Conn, g Grant) (Session, error)

	// Claim hands conn, a data connection of owner's, to the user it was opened for. It
	// takes conn over. If nothing of owner's waits for id it resets conn and returns
	// ErrUnknownID.
	Claim(conn conn.Conn, owner, id string) error
}

// Knower is a Relay that can look for an id without a connection.
type Knower interface {
	// Knows reports whether Claim would find something for the id of an owner, or have found
	// it a moment ago. It does not wait.
	Knows(key wire.Key) bool
}

// Usage is what a Relay holds at a moment, beside the tunnels.
type Usage struct {
	Sessions int   // connections that carry many users each
	Further  int   // of them, that are not the first of their tunnels, or are about to come
	Idle     int   // connections that wait for users
	Buffered int64 // bytes that sessions hold for users who do not read
	// MaxBuffered is what they may hold, or 0 if they hold nothing.
	MaxBuffered int64
	// Shed is how many users were reset since the start because it was more.
	Shed int64
}

// Plus returns the sums of both.
func (u Usage) Plus(o Usage) Usage {
	return Usage{
		Sessions: u.Sessions + o.Sessions, Further: u.Further + o.Further, Idle: u.Idle + o.Idle,
		Buffered: u.Buffered + o.Buffered, MaxBuffered: u.MaxBuffered + o.MaxBuffered, Shed: u.Shed + o.Shed,
	}
}

// Measured is a Relay that tells what it holds.
type Measured interface {
	// Usage returns what it holds. It does not wait.
	Usage() Usage
}

// Grant is what a registering relay client gets.
type Grant struct {
	// Answer is what the relay sends back.
	Answer wire.Answer
	// Owner is the relay client's identity. Only connections of the same owner may
	// claim an id.
	Owner string
	// Holder is who has the relay client's share of what all tunnels share: its identity, or
	// the address that it comes from. It is empty if strangers share that address.
	Holder string
	// Sessions is how many sessions the relay client has asked for, or 0. It matters to
	// a protocol that carries all users over one connection.
	Sessions int
}

// Session is the relay's way to one relay client. Its methods may be called concurrently.
type Session interface {
	// Open returns a connection to the relay client for one user, whose address is user: the
	// zero AddrPort if there is no user, or it is not known. Open waits for it until
	// ctx is done, and then returns the cause of ctx, or a more precise error in place of
	// ErrTooLong. The caller closes the connection.
	Open(ctx context.Context, user netip.AddrPort) (conn.Conn, error)

	// Ended returns a context that is done when the relay client takes no more users.
	// Its cause says why: after Close it wraps net.ErrClosed, unless the session had
	// ended before. Connections that were opened may live on until Close.
	Ended() context.Context

	// Close ends the session, waits for its goroutines, and resets whatever waits or is
	// multiplexed. It takes half a second at most, and may be called any number of
	// times.
	Close() error
}

// TryOpener is a Session that may have a connection at hand.
type TryOpener interface {
	// TryOpen is Open for a caller that cannot wait. It returns nil if there is no
	// connection at the moment. The relay client may hear of the user with the first
	// bytes only; a caller that has none calls conn.Flush.
	TryOpen() conn.Conn
}

// Starter is a Session that can be asked for a connection without a goroutine that waits
// for it.
type Starter interface {
	// Start begins what Open does. Opened is called once, when the connection has come,
	// and must not wait. If Start fails, it is not called.
	Start(opened func(conn.Conn)) (Opening, error)
}

// Opening is a connection that Start has asked for.
type Opening interface {
	// Hold has opened not called any more: Wait has to follow. It reports false if
	// opened has been called.
	Hold() bool
	// Wait returns the connection as Session.Open does.
	Wait(ctx context.Context) (conn.Conn, error)
}

// Drainer is a Session that carries the connections of its users, and so has to outlive
// them. Others have nothing to drain: Close leaves their users alone.
type Drainer interface {
	// StopAccepting has the session take no more users. Connections that were opened
	// live on until Close. It does not wait.
	StopAccepting()

	// Drain is Close for a session whose connections have all been closed: what was
	// written to them still arrives. It takes up to half a minute; Close cuts it short.
	Drain()
}

// StopAccepting has s take no more users, and leaves those alone that it has.
func StopAccepting(s Session) {
	if d, ok := s.(Drainer); ok {
		d.StopAccepting()
		return
	}
	_ = s.Close()
}

// Drain closes s when its last user has been served: what was written last arrives.
func Drain(s Session) {
	if d, ok := s.(Drainer); ok {
		d.Drain()
		return
	}
	_ = s.Close()
}

// Claimable is a Session whose relay client makes data connections.
type Claimable interface {
	// ExpectedClaims returns how many the session would take at the moment.
	ExpectedClaims() int
}

// Reacher is a Session that may know whether the machine of its relay client answers.
type Reacher interface {
	// Unreachable reports whether what was sent to the relay client has been
	// unacknowledged for so long. Where the system cannot tell it reports false.
	Unreachable(limit time.Duration) bool
}

// Absenter is a Session that may know sooner than it ends that its relay client may be gone.
type Absenter interface {
	// Absent reports whether a user would have to wait for the relay client to show that it
	// is there. It does not wait.
	Absent() bool
}

// Timed is a Session that may know the round trip to its relay client.
type Timed interface {
	// RoundTrip returns the round trip, or 0 if it is not known. It does not wait.
	RoundTrip() time.Duration
}

// Recent remembers the keys of ids that were in use lately, so that a late claim is not
// taken for a wrong one. It forgets the oldest. Its methods may be called concurrently.
type Recent interface {
	Add(wire.Key)
	Contains(wire.Key) bool
}

// Forget is a Recent that remembers nothing.
type Forget struct{}

// Add forgets the key.
func (Forget) Add(wire.Key) {}

// Contains returns false.
func (Forget) Contains(wire.Key) bool { return false }

// Client is the relay client's half of a protocol.
type Client interface {
	// Verb returns what its requests begin with.
	Verb() wire.Verb

	// Register registers at the relay that dial connects to. It returns a *wire.Refusal
	// if the relay refuses. ctx is for this call only.
	Register(ctx context.Context, dial Dialer, p Preamble) (Registration, error)
}

// Preamble holds the options before the verb of each connection.
type Preamble struct {
	Registration []wire.Option
	Claim        []wire.Option
}

// Dialer connects to the relay.
type Dialer func(ctx context.Context) (conn.Conn, error)

// Registration is one tunnel, seen from its relay client. Its methods may be called
// concurrently.
type Registration interface {
	// Answer returns what the relay has answered.
	Answer() wire.Answer

	// Serve hands every connection to accepted, in the pool protocol before its user
	// has come. When the registration has been lost or closed it returns the reason.
	// The caller has to call it once, even after Close: it frees what the registration
	// holds.
	Serve(accepted Acceptor) error

	// Close ends the registration, which hands nothing over any more. Connections that
	// were handed over for a user live on until they end. It may be called any number
	// of times.
	Close() error

	// Wait returns, after Serve has, when the connections have ended and what was
	// written to them has arrived. If ctx is done before, it ends them.
	Wait(ctx context.Context)
}

// Acceptor takes over a connection. It may be called several times at once. It may block,
// and further users with it, but not for longer than ctx, which is done when the
// registration has ended.
type Acceptor func(ctx context.Context, conn conn.Conn)
