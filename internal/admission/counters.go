package admission

import (
	"iter"
	"sync/atomic"
)

// Kind is a limit that was met, or another event that an operator may want to count.
type Kind int

// The kinds of events.
const (
	_                   Kind = iota // none
	Handshakes                      // connections turned away because of Limits.Handshakes
	HandshakesPerSource             // connections that were evicted because of Limits.HandshakesPerSource
	HandshakeTimeouts               // connections whose request did not come in time
	HandshakeEnds                   // connections that ended before it came: health checks and scanners
	NotRequests                     // connections that sent something else, or too much
	WrongClaims                     // claims with an id that never was
	WrongTokens                     // tokens that the relay does not know, and none where it wants one
	LateClaims                      // claims of a user that was gone
	SourcesShutOut                  // bans of a source
	ShutOut                         // connections of a banned source
	TunnelsPerSource
	TunnelsPerNetwork
	NoPort
	Users
	UsersPerSource
	UsersPerSecond
	DeniedAddresses // users whose address the policy of the tunnel does not admit
	UsersOfTunnel   // users beyond what that policy admits at a time
	UsersPerSecondOfTunnel
	UserWaits       // users that no relay client served in time
	UsersGone       // users that reset while they waited
	Waiting         // times that the next user had to stay in the kernel's queue
	Streams         // users for which no stream was left
	NotAcknowledged // users that waited in vain for other streams to be acknowledged
	Pending         // users for whose id no room was left
	Idle            // pool connections, also those over Limits.IdleInAll, and sessions of a tunnel
	Descriptors     // users and tunnels over the budget of descriptors
	Shortages       // accepts that failed, or were undone, for want of descriptors or memory
	LogLines        // lines that were left out of the log
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

// String returns the name for logs and metrics.
func (k Kind) String() string { return names[k] }

// Counters count the events since the start of the relay. The zero value is ready, and
// may be used concurrently.
type Counters struct{ n [kinds]atomic.Int64 }

// Add counts one event.
func (c *Counters) Add(k Kind) { c.n[k].Add(1) }

// Of returns the count of one kind.
func (c *Counters) Of(k Kind) int64 { return c.n[k].Load() }

// All returns every count.
func (c *Counters) All() iter.Seq2[Kind, int64] {
	return func(yield func(Kind, int64) bool) {
		for k := Kind(1); k < kinds; k++ {
			if !yield(k, c.Of(k)) {
				return
			}
		}
	}
}
