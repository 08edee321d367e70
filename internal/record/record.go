// Package record has the words in which the relay and the forwarder log what became
// of a user: docs/operating.md promises that they are the same.
package record

import (
	"errors"
	"net"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
)

// Who ends a connection.
const (
	ByUser   = "user"
	ByServer = "server" // the local one; or who is between, and cannot be told from it
	ByClient = "relay client"
	ByRelay  = "relay"
)

// How it is ended.
const (
	Lost  = "lost"
	Drain = "drain" // whoever logs it has shut down
)

// Of says who ended a connection of which A is the user's side and B the server's,
// and how. Self is who asks, peer the other one of relay and relay client, and cut
// whether self has ended connections by now: one that shares the connection between
// the two with others may have met the end of that before its own.
func Of(r join.Result, self, peer string, cut bool) (by, how string) {
	by = ByUser
	if r.First == join.B {
		by = ByServer
	}
	switch r.Ending() {
	case join.Finished:
		return by, "fin"
	case join.Stalled:
		return by, "nothing moved after its end"
	case join.Stopped:
		return self, Drain
	case join.Crashed:
		return self, "panic"
	}
	switch {
	case !protocol.EndedAll(r.Err):
	case cut && errors.Is(r.Err, net.ErrClosed):
		return self, Drain
	default:
		return peer, Lost
	}
	if r.Ending() == join.WasReset {
		return by, "reset"
	}
	return by, Lost
}
