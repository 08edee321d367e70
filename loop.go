package relay

import (
	"context"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/protocol"
)

// loop is the protocol.Loop of one registration.
type loop struct {
	*join.Loop
	dialer  *relayDialer
	headers *headerReader
}

var _ protocol.Loop = loop{}

// Dial begins to connect to the relay.
func (l loop) Dial() (c conn.Conn, wait protocol.Dialer) { return l.dialer.start() }

// TryAccept is the headerReader's accept, unless that would wait.
func (l loop) TryAccept(registered context.Context, c conn.Conn) bool {
	return l.headers.tryAccept(registered, c)
}

// serveRegistration has the registration hand its connections to headers, on a loop if
// there is one.
func (l *Listener) serveRegistration(registration protocol.Registration, headers *headerReader) error {
	server, ok := registration.(protocol.LoopServer)
	if at := l.users.loop(); ok && at != nil {
		return server.ServeLoop(headers.accept, loop{at, l.dialer, headers})
	}
	return registration.Serve(headers.accept)
}
