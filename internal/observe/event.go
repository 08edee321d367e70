// Package observe has the events of a relay and of a forwarder: what happens to tunnels,
// users, leases and the sources of connections. Each event goes to a [Sink]; the log is
// one, [Log]. It knows how joins and sessions end, and nothing of what others do about it.
//
// The names of events and the values of their fields are identifiers that do not change.
// docs/operating.md lists them, and a test compares the two.
package observe

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Name is the name of an event.
type Name string

// The events.
const (
	TunnelOpened Name = "tunnel_opened"
	TunnelClosed Name = "tunnel_closed"
	// RegistrationFailed is the forwarder's.
	RegistrationFailed Name = "registration_failed"

	TunnelPaused       Name = "tunnel_paused" // by the operator: users are reset
	TunnelResumed      Name = "tunnel_resumed"
	TunnelStateChanged Name = "tunnel_state_changed" // as probes show

	LeaseEnded  Name = "lease_ended"  // the owner will not get its port again
	LeasePassed Name = "lease_passed" // to another key of the same token

	UserJoined   Name = "user_joined"
	UserDone     Name = "user_done"     // a user who was joined has ended
	UserReset    Name = "user_reset"    // before being joined
	UsersLimited Name = "users_limited" // users of one port met a limit

	RequestRefused    Name = "request_refused" // a registration or a claim
	HandshakeFailed   Name = "handshake_failed"
	HandshakesLimited Name = "handshakes_limited"
	ProxyHeaderFailed Name = "proxy_header_failed" // at the control port
	SourceBanned      Name = "source_banned"
	SourceUnbanned    Name = "source_unbanned" // by the operator

	Panicked Name = "panic"
)

// Names returns the names of all events.
func Names() []Name {
	return []Name{
		TunnelOpened, TunnelClosed, RegistrationFailed, TunnelPaused, TunnelResumed, TunnelStateChanged, LeaseEnded, LeasePassed, UserJoined, UserDone, UserReset, UsersLimited,
		RequestRefused, HandshakeFailed, HandshakesLimited, ProxyHeaderFailed, SourceBanned, SourceUnbanned, Panicked,
	}
}

// sentence returns what the log says of the event to people.
func (e *Event) sentence() string {
	switch e.Name {
	case LeasePassed:
		return "lease passed to another key of its token"
	case UsersLimited:
		return "users exceed a limit"
	case HandshakeFailed:
		return "connection closed: not a request"
	case HandshakesLimited:
		return "too many connections have sent no request yet"
	case ProxyHeaderFailed:
		return "connection closed: a trusted proxy does not say whose it is"
	case TunnelPaused:
		return "tunnel paused: its users are reset"
	case SourceBanned:
		if e.Reason == BannedByOperator {
			return "source banned by the operator"
		}
		return "source banned: too many wrong ids or tokens"
	case Panicked:
		return "panic, a bug in Relay: it ended one connection or tunnel, and no other"
	}
	return strings.ReplaceAll(string(e.Name), "_", " ")
}

// Tunnel identifies a tunnel. A lease has no protocol and no relay client, and a port
// without a tunnel has nothing but its number.
type Tunnel struct {
	ID             uint64 // of the port while it is open, and not in the log; 0 is none
	Port           int
	Protocol       string
	RelayClient    net.Addr
	Identity, Name string
	Service, Local string // at a forwarder: its key in the file, or empty, and the address of the local server, which is not in the log
	Group          string // that it is of, or empty; the name is the group's then
}

// Event is something that has happened. A field that does not apply is zero.
type Event struct {
	Name  Name
	Level slog.Level // in the log

	// Source is the address, or the network, that caused the event.
	Source netip.Prefix

	Tunnel Tunnel
	User   net.Addr
	Proxy  net.Addr // the load balancer that made the connection
	Claim  bool     // the request is a claim

	Waited   time.Duration // of a user, from accept to join
	DialTime time.Duration // how long the local server took to accept
	Duration time.Duration // of a join, of a ban, of an owner's absence
	Received int64         // bytes from the user
	Sent     int64         // bytes to the user

	Delayed, Reset int64 // users that met Limit

	From, To State // of a tunnel

	EndedBy Party
	How     How
	Reason  Reason
	Limit   string // as the relay's counters call it
	Code    string // of a refusal, as docs/protocol.md has it
	Err     error
}

// Because sets the reason that err stands for, or else Other and the error.
func (e *Event) Because(err error) {
	if e.Reason = ReasonOf(err); e.Reason == Other {
		e.Err = err
	}
}

// Sink gets events. Observe may be called concurrently, and must not wait: it is called
// on the goroutines that serve users.
type Sink interface{ Observe(e Event) }
