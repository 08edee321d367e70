// Package multiplex implements both halves of the protocol in which one connection, or a
// few, carry all users, each on a yamux stream (docs/protocol.md, "multiplex").
//
// The relay is the yamux client and opens the streams; the relay client is the yamux
// server.
package multiplex

import "github.com/seed96252745/relay/internal/wire"

// Name is the protocol's.
const Name = "multiplex"

var verb = wire.Verb{Name: Name}
