// Package yamux carries many streams over one connection. It speaks yamux, version 0,
// and works with every other implementation of it:
// https://github.com/hashicorp/yamux/blob/master/spec.md, "spec" below.
//
// It differs from them in what a stream promises. A stream ends as a TCP connection
// does: FIN ends one direction, RST ends both at once, and what was sent before either
// is read before it. The end of the session never passes for the end of a stream: reads
// and writes then fail with ErrSessionEnded.
//
// However many streams a session has, one goroutine reads, and another one writes while
// frames wait that the socket did not take at once. A timer checks that the peer is
// alive. An idle stream has neither a goroutine nor a timer nor a buffer. The reader
// never waits for a writer or for the user of a stream. So no stream can block another,
// and two sessions cannot block each other. On Linux an event loop can do the work of both:
// see ServeOn.
//
// A stream is a net.Conn. A join of a stream with a socket uses it without ever
// waiting: see Attach, FillFrom and PourTo. Payload then stays in the kernel.
//
// Nothing is logged. Session.Err says what ended a session.
package yamux
