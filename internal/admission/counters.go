package admission

import (
	"iter"
	"sync/atomic"
)

// Kind is a limit that was met, or another event that an operator may want to
// count.
type Kind int

// What is counted.
const (
	_                   Kind = iota // none
	Handshakes                      // connections turned away because of Limits.Handshakes
	HandshakesPerSource             // connections that made room, or had to, because of Limits.HandshakesPerSource
	HandshakeTimeouts               // connections that did not say in time what they want
	HandshakeEnds                   // connections that ended before: health checks and scanners
	NotRequests                     // connections that said something else, or too much
	WrongClaims                     // claims with an id that never was
	WrongTokens                     // tokens that nobody has here, and none where one is wanted
	LateClaims                      // claims of a user who was not there any more
	SourcesShutOut                  // times that a source was shut out
	ShutOut                         // connections of such a source
	TunnelsPerSource
	TunnelsPerNetwork
	NoPort
	Users
	UsersPerSource
	UsersPerSecond
	DeniedAddresses // users whose address the tunnel does not want
	UsersOfTunnel   // users over what the tunnel wants at a time
	UsersPerSecondOfTunnel
	UserWaits       // users whom nobody served in time
	UsersGone       // users who reset while waiting
	Waiting         // times that the next user had to stay in the kernel's queue
	Streams         // users for whom there was no stream
	NotAcknowledged // users who waited in vain for other streams to be acknowledged
	Pending         // users for whose id there was no room
	Idle            // pool connections, also those over Limits.IdleInAll
	Descriptors     // users and tunnels over the budget of descriptors
	Shortages       // accepts that failed, or were undone, for want of descriptors or memory
	LogLines        // lines that were left out
	Panics          // that ended a connection or a tunnel
	kinds
)

var names = [kinds]string{
	"none",
	"handshakes", "handshakesPerSource", "handshakeTimeouts", "handshakeEnds", "notRequests",
	"wrongClaims", "wrongTokens", "lateClaims", "sourcesShutOut", "shutOut",
	"tunnelsPerSource", "tunnelsPerNetwork", "noPort", "users", "usersPerSource", "usersPerSecond",
	"deniedAddresses", "usersOfTunnel", "usersPerSecondOfTunnel", "userWaits", "usersGone",
	"waiting", "streams", "notAcknowledged", "pending", "idle", "descriptors", "shortages", "logLines", "panics",
}

// String gives the name for logs and metrics.
func (k Kind) String() string { return names[k] }

// Counters count since the start. The zero value is ready, and may be used
// concurrently.
type Counters struct{ n [kinds]atomic.Int64 }

// Add counts one.
func (c *Counters) Add(k Kind) { c.n[k].Add(1) }

// Of gives a count.
func (c *Counters) Of(k Kind) int64 { return c.n[k].Load() }

// All gives every count.
func (c *Counters) All() iter.Seq2[Kind, int64] {
	return func(yield func(Kind, int64) bool) {
		for k := Kind(1); k < kinds; k++ {
			if !yield(k, c.Of(k)) {
				return
			}
		}
	}
}
