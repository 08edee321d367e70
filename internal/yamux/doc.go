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
// A session has one goroutine, however many streams it has, which reads, and
// another one while something waits to be written that a socket would not take
// at once. A timer sees to it that the peer lives.
// A stream at rest has neither a goroutine nor a timer nor a buffer. The reader
// never waits for a writer or for whoever uses a stream, so no stream can stop
// another, and two sessions cannot stop each other.
//
// Streams are used like any net.Conn, or, by whoever joins them with sockets,
// without ever waiting: see Attach, FillFrom and PourTo. Payload then stays in
// the kernel.
//
// Nothing is logged. What ended a session is its Err.
package yamux
