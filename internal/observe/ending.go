package observe

import (
	"errors"
	"net"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
)

// Party is who ends a connection.
type Party string

// Who ends a connection. At the relay, ByServer may be the relay client, where its
// connection is that user's alone.
const (
	ByUser        Party = "user"
	ByServer      Party = "server" // the local server
	ByRelayClient Party = "relay_client"
	ByRelay       Party = "relay"
)

// How is how a connection ends. Where an identity no longer holds, or the operator wants it
// so, it is the [Reason] for that.
type How string

// How a connection ends.
const (
	Fin              How = "fin"
	Reset            How = "reset"
	Lost             How = "lost"
	HalfCloseTimeout How = "half_close_timeout"
	Drain            How = How(Draining)
	ByPanic          How = How(Panic)
)

// Ending returns who ended a connection of which A is the user's side and B the server's,
// and how. Self is the one that asks, peer is the other one of relay and relay client, and
// cut is whether self ends connections by now: a connection that shares the one between
// the two with others may meet the end of that before its own.
func Ending(r join.Result, self, peer Party, cut bool) (Party, How) {
	by := ByUser
	if r.First == join.B {
		by = ByServer
	}
	switch r.Ending() {
	case join.Finished:
		return by, Fin
	case join.Stalled:
		return by, HalfCloseTimeout
	case join.Stopped:
		switch reason := ReasonOf(r.Err); reason {
		case EndedByOperator, ClosedByOperator, BannedByOperator:
			return self, How(reason)
		}
		return self, Drain
	case join.Crashed:
		return self, ByPanic
	}
	switch {
	case !protocol.EndedAll(r.Err):
	case cut && errors.Is(r.Err, net.ErrClosed):
		return self, Drain
	default:
		return peer, Lost
	}
	if r.Ending() == join.WasReset {
		return by, Reset
	}
	return by, Lost
}
