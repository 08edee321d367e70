// Package wire is the text part of Relay's protocol: the lines with which a relay
// client and a relay begin every connection. docs/protocol.md is its specification.
//
// It reads and writes verbs, ids, ports, option lines and refusals, and enforces their
// limits. It never reads a byte beyond the line that it was asked for. So a connection
// can be handed on as it is, without a buffer that somebody could forget.
//
// It does not know what the verbs mean, sets no deadlines and closes nothing.
package wire
