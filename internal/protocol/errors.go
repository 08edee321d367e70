package protocol

import "errors"

var (
	// ErrUnknownID refuses a claim whose id has never been given out.
	ErrUnknownID = errors.New("this id has never been given out")
	// ErrLate refuses a claim whose user has been served, has left or has waited too
	// long, or whose tunnel has ended.
	ErrLate = errors.New("nobody waits for this id any more")
	// ErrFull refuses a claim although its id is right, or a user although the tunnel
	// is alive: too many wait already.
	ErrFull = errors.New("too many connections wait already")
	// ErrTunnelEnded is the error of Session.Open when the relay client is gone.
	ErrTunnelEnded = errors.New("the relay client is gone")
	// ErrLeft is why a session has ended whose relay client has announced that it takes
	// no more users.
	ErrLeft = errors.New("the relay client has shut down")
	// ErrNoClaims refuses a claim of a protocol that has no data connections.
	ErrNoClaims = errors.New("this protocol has no data connections")
	// ErrTooLong is the cause of Session.Open's context when a user has waited for as
	// long as users may.
	ErrTooLong = errors.New("the relay client did not come for the user in time")
	// ErrNotAcknowledged is the error of Session.Open in place of ErrTooLong if the user
	// has waited for the relay client to acknowledge the streams of others.
	ErrNotAcknowledged = errors.New("not acknowledged: too many users before this one wait for the relay client to accept them")
	// ErrNoStream is the error of Session.Open when the connection to the relay client
	// has as many streams as it may have.
	ErrNoStream = errors.New("the relay client has too many users")
)

// EndedAll reports whether err, of one user's connection, has ended those of all users of
// the session, as they share a TCP connection. Such an error has a method EndedAll.
func EndedAll(err error) bool {
	var all interface{ EndedAll() }
	return errors.As(err, &all)
}
