package protocol

import "errors"

var (
	// ErrUnknownID is why a claim was refused: the id never was, or its user
	// has been served, has gone or has waited too long.
	ErrUnknownID = errors.New("nothing waits for this id")
	// ErrFull is why a connection was turned away although its id is right.
	ErrFull = errors.New("too many connections wait already")
	// ErrTunnelEnded is returned by Tunnel.Open when the relay client is gone.
	ErrTunnelEnded = errors.New("the relay client is gone")
	// ErrNoClaims is returned by protocols that have no data connections.
	ErrNoClaims = errors.New("this protocol has no data connections")
)
