// Package yamux carries many streams over one connection. It speaks yamux,
// version 0, and works with every other implementation of it:
// https://github.com/hashicorp/yamux/blob/master/spec.md, "spec" below.
//
// It differs from them in what a stream promises. A stream ends as a TCP
// connection does: each direction by itself with FIN, both at once with RST,
// and what came before a FIN or RST is read before it. The end of the session
// is never the end of a stream: reading and writing then fail with
// ErrSessionEnded.
//
// A session has three goroutines, however many streams it has: one reads, one
// writes what could not be written at once, one watches that the peer lives.
// The reader never waits for a writer or for whoever uses a stream, so no
// stream can stop another, and two sessions cannot stop each other. A writer
// waits for the connection: while the peer reads nothing at all, Write and Close
// of a stream do not return before Session.Close.
//
// Nothing is logged. What ended a session is its Err.
package yamux
