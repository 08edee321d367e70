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
	tunnel *tunnel
}

var _ protocol.Loop = loop{}

// Dial begins to connect to the relay.
func (l loop) Dial() (c conn.Conn, wait protocol.Dialer) { return l.tunnel.dialer.start() }

// TryAccept is the headerReader's accept, unless that would wait.
func (l loop) TryAccept(_ context.Context, c conn.Conn) bool {
	return l.tunnel.headers.tryAccept(l.tunnel.introducing, c)
}
