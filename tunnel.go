package relay

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// granted is a registration that a relay has granted for a service.
type granted struct {
	protocol.Registration
	service *service
	dialer  *relayDialer // to the relay that has granted it
	public  Addr
}

// tunnel hands the users of a registration to a service, until the registration ends.
type tunnel struct {
	*granted
	listener *Listener
	since    time.Time
	headers  *headerReader
	end      atomic.Pointer[localEnd] // of the service
	moved    chan struct{}            // closed when the relay has said to register anew
	moving   sync.Once

	// introducing is done when connections whose header has not come have to end.
	introducing     context.Context
	stopIntroducing context.CancelFunc

	ended chan struct{} // closed when the registration has ended, and why is set
	why   error
}

const (
	// letGoAfter is for how long a registration serves on after another one has taken its
	// place. The relay may still have users for it: that is how long they wait for a relay
	// client.
	letGoAfter = 10 * time.Second
	// introduceLimit is for how long connections that have come before a registration ended may
	// wait for the header. It is on its way, or the relay is gone.
	introduceLimit = 5 * time.Second
)

// serve returns a tunnel, which the listener waits for.
func (l *Listener) serve(g *granted) *tunnel {
	t := &tunnel{granted: g, listener: l, since: time.Now(), moved: make(chan struct{}), ended: make(chan struct{})}
	t.introducing, t.stopIntroducing = context.WithCancel(context.Background())
	t.end.Store(&g.service.end)
	o := &g.service.options
	t.headers = newHeaderReader(t, o.Logger, o.sink(), g.service.end.said(), func() { t.moving.Do(func() { close(t.moved) }) })
	l.tunnels.Go(t.run)
	return t
}

// run serves users until the registration ends.
func (t *tunnel) run() {
	l := t.listener
	defer context.AfterFunc(l.closed, func() { _ = t.Close() })()
	t.why = t.serveUsers()
	_ = t.Close()
	if l.closed.Err() != nil {
		t.stopIntroducing()
		t.headers.wait()
	}
	l.draining.Go(t.drain)
	close(t.ended)
}

// serveUsers has the registration hand over its connections, on a loop if there is one. They
// live as long as the tunnel introduces users, and not as long as the registration: users who
// came just before another one took its place are served.
func (t *tunnel) serveUsers() error {
	accept := func(_ context.Context, c conn.Conn) { t.headers.accept(t.introducing, c) }
	server, ok := t.Registration.(protocol.LoopServer)
	if at := t.loop(); ok && at != nil {
		return server.ServeLoop(accept, loop{at, t})
	}
	return t.Serve(accept)
}

// drain waits for the users of a registration that has ended.
func (t *tunnel) drain() {
	defer t.stopIntroducing()
	late := time.AfterFunc(introduceLimit, t.stopIntroducing)
	defer late.Stop()
	defer context.AfterFunc(t.listener.closed, t.stopIntroducing)()
	t.headers.wait()
	t.Wait(t.listener.forced)
}

// letGo ends the registration, in whose place there is another one. The users whom the relay
// gives it until it knows are served.
func (t *tunnel) letGo() { time.AfterFunc(letGoAfter, func() { _ = t.Close() }) }

// use has the users go to another service, with the same request.
func (t *tunnel) use(s *service) {
	t.service = s
	t.end.Store(&s.end)
	t.headers.controls.use(s.end.said())
}

func (t *tunnel) localEnd() localEnd { return *t.end.Load() }

func (t *tunnel) handleUser(registered context.Context, c conn.Conn) {
	t.localEnd().handleUser(registered, c)
}

func (t *tunnel) tryHandleUser(c conn.Conn) bool { return t.localEnd().tryHandleUser(c) }

func (t *tunnel) whenReadable(c conn.Conn, f func()) (stop func()) {
	return t.localEnd().whenReadable(c, f)
}

func (t *tunnel) answerProbe(ctx context.Context) wire.ProbeAnswer {
	return t.localEnd().answerProbe(ctx)
}

func (t *tunnel) loop() *join.Loop { return t.localEnd().loop() }

// closedEvent returns the event of the tunnel's end.
func (t *tunnel) closedEvent() *TunnelEvent {
	e := &TunnelEvent{Name: string(observe.TunnelClosed), Level: slog.LevelWarn, Public: t.public, Reason: string(observe.RelayLost)}
	select {
	case <-t.ended:
		e.Err = t.why
	default:
	}
	return e
}
