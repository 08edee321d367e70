// Package event implements both halves of the protocol in which the relay client keeps one
// control connection, receives an id for each user on it, and opens a new data connection
// with that id (docs/protocol.md, "event").
package event

import "github.com/seed96252745/relay/internal/wire"

// Name is the protocol's.
const Name = "event"

var verb = wire.Verb{Name: Name, Claims: true}
