// Package pool implements both halves of the protocol in which the relay client keeps idle
// connections at the relay, one of which each user gets (docs/protocol.md, "pool").
package pool

import "github.com/seed96252745/relay/internal/wire"

// Name is the protocol's.
const Name = "pool"

var verb = wire.Verb{Name: Name, Claims: true}
