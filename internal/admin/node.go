// Package admin serves the admin API, the page and the metrics of a relay or of a
// forwarder, on a unix socket for its owner, and on TCP where the operator asks for it.
package admin

import (
	"errors"
	"net/netip"
	"time"

	"github.com/seed96252745/relay/internal/api"
)

// Node is the relay or the forwarder that is looked at. Its methods may be called
// concurrently, and do not wait for users or relay clients.
type Node interface {
	// Status returns how the node does. Handlers add what is theirs.
	Status() api.Status
	// Tunnels returns all tunnels and leases, by port.
	Tunnels() []api.Tunnel
	// Users returns users who are joined, of one tunnel or of all if tunnel is "": at most
	// limit, the oldest first.
	Users(tunnel string, limit int) []api.User
	// Ended returns the last connections that are over, the latest first, of one tunnel or
	// of all: at most limit, of the 10,000 that are kept.
	Ended(tunnel string, limit int) []api.Ended
	// Refusals returns the last refusals, the latest first, at most limit.
	Refusals(limit int) []api.Refusal
	Limits() []api.Limit
	Causes() api.Causes

	// EndUser resets a user's connection.
	EndUser(id string) error
	// CloseTunnel ends a tunnel, its lease and its users. Its relay client may register
	// again.
	CloseTunnel(id string) error
	// Pause has a tunnel take no new users, who are reset, until Resume. Joined users go
	// on.
	Pause(id string) error
	Resume(id string) error
	// Ban shuts a source out: it is served neither as a user nor as a relay client.
	Ban(source netip.Prefix, d time.Duration) error
	Unban(source netip.Prefix) error
	Bans() []api.Ban
	// NewToken adds a token of that name to the tokens file, and returns its secret, which
	// is not kept, and the command line that uses it.
	NewToken(name string) (secret, line string, err error)
	// Reload reads again what is read again with SIGHUP.
	Reload() error
	// Drain begins a graceful end, as the first SIGTERM does.
	Drain()
}

// Errors of a Node, which handlers turn into statuses.
var (
	ErrUnknown     = errors.New("there is none with this id")
	ErrUnsupported = errors.New("this node cannot do that")
)
