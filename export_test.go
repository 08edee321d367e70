package relay

import (
	"context"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// MaxUnaccepted bounds what NewUserAddrs lets wait.
const MaxUnaccepted = maxUnaccepted

// NewUserAddrs gives an acceptor that reads headers, and what waits for it.
// Connections are watched with watch, if it is not nil.
func NewUserAddrs(
	accept protocol.Acceptor, watch func(conn.Conn, func()) (stop func()), log *slog.Logger,
) (_ protocol.Acceptor, wait func()) {
	u := newUserAddrs(acceptorTaker{accept, watch}, log)
	return u.accepted, u.wait
}

type acceptorTaker struct {
	accept protocol.Acceptor
	watch  func(conn.Conn, func()) (stop func())
}

func (a acceptorTaker) take(ctx context.Context, conn conn.Conn) { a.accept(ctx, conn) }

func (acceptorTaker) takeNow(conn.Conn) bool { return false }

func (a acceptorTaker) whenReadable(conn conn.Conn, f func()) (stop func()) {
	if a.watch == nil {
		return nil
	}
	return a.watch(conn, f)
}

// LocalHeader is what local servers are told.
var LocalHeader = localHeader

// Backoff is how long a listener waits before it registers again.
type Backoff struct{ b backoff }

// NewBackoff gives that of a listener that has not registered yet.
func NewBackoff() *Backoff { return new(Backoff) }

// Next gives the pause before the next try.
func (b *Backoff) Next() time.Duration { return b.b.next() }

// Served says how long a session stood, and whether it served a user.
func (b *Backoff) Served(held time.Duration, user bool) { b.b.served(held, user) }

// Failed says how a try has failed, or a session has ended.
func (b *Backoff) Failed(err error) { b.b.failed(err) }
