package protocol

import "errors"

var (
	// ErrUnknownID is why a claim was refused: the id never was.
	ErrUnknownID = errors.New("this id has never been given out")
	// ErrLate is why a claim was refused: the id's user has been served, has gone
	// or has waited too long, or its tunnel has ended.
	ErrLate = errors.New("nobody waits for this id any more")
	// ErrFull is why a connection was turned away although its id is right, or a
	// user although the tunnel is alive: too much waits already.
	ErrFull = errors.New("too many connections wait already")
	// ErrTunnelEnded is returned by Session.Open when the relay client is gone.
	ErrTunnelEnded = errors.New("the relay client is gone")
	// ErrLeft is why a tunnel has ended whose relay client has said that it takes no
	// more users.
	ErrLeft = errors.New("the relay client has shut down")
	// ErrNoClaims is returned by protocols that have no data connections.
	ErrNoClaims = errors.New("this protocol has no data connections")
	// ErrTooLong is the cause of Session.Open's context when a user has waited for as
	// long as users may.
	ErrTooLong = errors.New("the relay client did not come for the user in time")
	// ErrNotAcknowledged is returned by Session.Open in place of ErrTooLong if the
	// user has waited for the relay client to acknowledge the streams of others.
	ErrNotAcknowledged = errors.New("not acknowledged: too many users before this one wait for the relay client to accept them")
	// ErrNoStream is returned by Session.Open when the connection to the relay
	// client has as many streams as it may have.
	ErrNoStream = errors.New("the relay client has too many users")
)

// EndedAll tells whether err, of one connection to the other half, has ended all of
// them, as it does where they share one. Such an error says so with this method.
func EndedAll(err error) bool {
	var all interface{ EndedAll() }
	return errors.As(err, &all)
}
