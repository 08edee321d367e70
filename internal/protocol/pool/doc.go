// Package pool is both halves of the protocol in which the relay client keeps
// connections waiting at the relay, one of which each user gets
// (docs/protocol.md, "pool").
package pool
