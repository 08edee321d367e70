package protocol

import (
	"context"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/wire"
)

// Loop is an event loop that serves a relay client: its users cost no goroutine while
// nothing has to be waited for. Its methods may be called concurrently and do not wait.
type Loop interface {
	// Post calls f, soon. F must not wait.
	Post(f func())
	// Watch calls f each time that something comes on c, until stop is called. F must not
	// wait, and reads until there is nothing left; what would take long it leaves to a
	// later turn, with Post. Stop is nil if c cannot be watched.
	Watch(c conn.Conn, f func()) (stop func())
	// Dial begins to connect to the relay. If that takes waiting c is nil, and the caller
	// has to call wait, which does the rest, or gives up if its context is done.
	Dial() (c conn.Conn, wait Dialer)
	// TryAccept is an Acceptor for a caller that cannot wait. It returns false, and has
	// done nothing, if an Acceptor would wait.
	TryAccept(ctx context.Context, c conn.Conn) bool
}

// LoopServer is a Registration that a Loop can serve.
type LoopServer interface {
	// ServeLoop is Serve, with all that takes no waiting done on the loop. The loop
	// outlives it. Accepted takes the other connections over.
	ServeLoop(accepted Acceptor, loop Loop) error
}

// TrySend is Send for a caller that cannot wait. If it takes waiting c is nil, and the
// caller has to call wait: it does the rest, or returns the error. If its context is done
// wait gives up, and closes what has been opened.
func TrySend(loop Loop, req wire.Request) (c conn.Conn, wait Dialer) {
	dialed, connect := loop.Dial()
	if dialed == nil {
		return nil, func(ctx context.Context) (conn.Conn, error) { return Send(ctx, connect, req) }
	}
	if err := sendOn(dialed, req); err != nil {
		return nil, func(context.Context) (conn.Conn, error) { return nil, err }
	}
	return dialed, nil
}
