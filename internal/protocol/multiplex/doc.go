// Package multiplex is both halves of the protocol in which one connection
// carries all users, each on a yamux stream (docs/protocol.md, "multiplex").
//
// The relay is yamux client and opens the streams; the relay client is yamux
// server.
package multiplex
