package relay

import (
	"context"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// MaxPending bounds the connections that NewHeaderReader lets wait.
const MaxPending = maxPending

// NewHeaderReader returns an acceptor that reads headers, and a function that waits for
// it. Connections are watched with watch, if it is not nil.
func NewHeaderReader(
	accept protocol.Acceptor, watch func(conn.Conn, func()) (stop func()), log *slog.Logger,
) (_ protocol.Acceptor, wait func()) {
	r := newHeaderReader(acceptorHandler{accept, watch}, log, &observe.Log{Logger: log}, new(serving), func() {})
	return r.accept, r.wait
}

type acceptorHandler struct {
	accept protocol.Acceptor
	watch  func(conn.Conn, func()) (stop func())
}

func (a acceptorHandler) handleUser(ctx context.Context, conn conn.Conn) { a.accept(ctx, conn) }

func (acceptorHandler) tryHandleUser(conn.Conn) bool { return false }

func (a acceptorHandler) whenReadable(conn conn.Conn, f func()) (stop func()) {
	if a.watch == nil {
		return nil
	}
	return a.watch(conn, f)
}

func (acceptorHandler) answerProbe(context.Context) wire.ProbeAnswer {
	return wire.ProbeAnswer{Took: time.Millisecond}
}

func (acceptorHandler) loop() *join.Loop { return nil }

// LocalHeader makes the PROXY header for local servers.
var LocalHeader = localHeader

// Backoff chooses the pauses between registrations of a listener.
type Backoff struct{ b backoff }

// NewBackoff returns the Backoff of a listener that has not registered yet.
func NewBackoff() *Backoff { return new(Backoff) }

// Next returns the pause before the next try.
func (b *Backoff) Next() time.Duration { return b.b.next() }

// Served notes how long a session stood, and whether it served a user.
func (b *Backoff) Served(held time.Duration, user bool) { b.b.served(held, user) }

// Failed notes how a try has failed, or a session has ended.
func (b *Backoff) Failed(err error) { b.b.failed(err) }

// HandOver has an Accept return conn.
func (l *Listener) HandOver(registered context.Context, conn conn.Conn) {
	l.handleUser(registered, conn)
}

// Prober answers probes with what a function finds.
type Prober struct {
	p    prober
	dial func(context.Context) wire.ProbeAnswer
}

// NewProber returns a Prober.
func NewProber(dial func(context.Context) wire.ProbeAnswer) *Prober { return &Prober{dial: dial} }

// Answer answers a probe.
func (p *Prober) Answer(ctx context.Context) wire.ProbeAnswer { return p.p.answer(ctx, p.dial) }

// Forget has the next probe ask anew.
func (p *Prober) Forget() { p.p.forget() }

// ProbeFailure is what the relay is told of an error.
var ProbeFailure = probeFailure

// CheckHealth checks the local server of a forwarder once.
func (f *Forwarder) CheckHealth(ctx context.Context) error {
	return f.listener.wanted().backend.checker.check(ctx)
}

// HealthFailure is what the relay is told of a check that has failed.
var HealthFailure = healthFailure
