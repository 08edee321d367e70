package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
)

// accept lets a user in. While too many wait it leaves further ones in the
// kernel's queue, where they cost nothing and lose nothing.
func (p *publicPort) accept(conn conn.Conn) {
	if s := p.server; !s.comesFrom(conn, s.config.TrustedProxies) {
		p.serveUser(conn)
		return
	}
	select {
	case p.waiting <- struct{}{}:
	case <-p.done:
		_ = conn.Reset()
		return
	}
	p.server.running.Go(func() {
		user, err := p.server.introduced(conn)
		<-p.waiting
		if err != nil {
			_ = conn.Reset()
			p.server.events.Observe(observe.Event{
				Name: observe.UserReset, Level: slog.LevelWarn, Source: p.server.sourceOf(conn).Prefix(),
				Tunnel: observe.Tunnel{Port: p.number}, Proxy: conn.RemoteAddr(), Reason: observe.NoProxyHeader, Err: err,
			})
			return
		}
		p.serveUser(user)
	})
}

// serveUser admits a user whose address is known, and joins it with the relay client.
func (p *publicPort) serveUser(c conn.Conn) {
	defer p.server.resetOnPanic(c)
	u, err := p.admit(c)
	if err != nil {
		p.reset(u, err)
		return
	}
	u.turn = p.order.take(u.Source)
	if u.Delay > 0 {
		p.delay(u)
		return
	}
	p.route(u)
}

// route joins an admitted user: at once if nothing has to be waited for, and otherwise
// from a goroutine, of which there is a bounded number.
func (p *publicPort) route(u *user) {
	defer u.failOnPanic()
	if u.connectNow() {
		u.join()
		return
	}
	select {
	case p.waiting <- struct{}{}:
	default:
		p.server.admission.Counters.Add(admission.Waiting)
		select {
		case p.waiting <- struct{}{}:
		case <-p.done:
			u.fail(p.ended())
			return
		}
	}
	p.server.running.Go(func() { p.park(u) })
}

// park has a user wait until it is connected to the relay client, which may have to
// come first. Until then the user's bytes stay in the kernel. A user who resets is let
// go.
func (p *publicPort) park(u *user) {
	defer u.failOnPanic()
	if err := p.connect(u); err != nil {
		u.fail(err)
		return
	}
	u.join()
}

// connect connects a user while it has a place among those who wait.
func (p *publicPort) connect(u *user) error {
	ctx, giveUp := context.WithCancelCause(p.server.impatient)
	defer giveUp(nil)
	defer time.AfterFunc(p.server.config.Limits.UserWait, func() { giveUp(protocol.ErrTooLong) }).Stop()
	watch := p.server.watcher.Start(u.conn, tcpstate.Dead, func() { giveUp(errUserGone) })
	defer watch.Stop()
	defer func() { <-p.waiting }()
	for {
		err := u.connect(ctx)
		if err == nil || !errors.Is(err, protocol.ErrTunnelEnded) || p.lease == nil {
			return err
		}
		u.leaveTunnel()
	}
}

// await enters the tunnel, as soon as there is one.
func (p *publicPort) await(ctx context.Context) (*tunnel, error) {
	for {
		t, behind := p.enter()
		if t != nil {
			return t, nil
		}
		select {
		case <-behind:
		case <-p.done:
			return nil, p.ended()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// enter gives the tunnel that is behind the port, and counts a user in. If there
// is none it gives what is closed when there is.
func (p *publicPort) enter() (*tunnel, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tunnel != nil {
		p.tunnel.users.Add(1)
	}
	return p.tunnel, p.behind
}

// ended gives the reason for which the port has ended.
func (p *publicPort) ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason
}

// Why a user was reset before being joined; besides these, what the protocol
// returns.
var (
	errUserGone = observe.WithReason(errors.New("the user went away while waiting"), observe.UserGone)
	errDraining = observe.WithReason(errors.New("the relay is shutting down"), observe.Draining)
)

// reset resets a user for a reason.
func (p *publicPort) reset(u *user, reason error) {
	_ = u.conn.Reset()
	if kind, counted := kindOf(reason); counted {
		p.server.admission.Counters.Add(kind)
	}
	reset := observe.Event{
		Name: observe.UserReset, Level: slog.LevelWarn, Source: u.Source.Prefix(),
		Tunnel: observe.Tunnel{Port: p.number}, User: u.addr, Reason: observe.ReasonOf(reason),
	}
	switch l := admission.LimitError(0); {
	case !errors.As(reason, &l):
	case admission.Kind(l) == admission.DeniedAddresses: // which is as its owner wishes
		reset.Reason = observe.AddressDenied
	default:
		p.exceeded(admission.Kind(l), true)
		reset.Reason, reset.Limit = observe.LimitMet, admission.Kind(l).String()
	}
	if reset.Reason == observe.Other {
		reset.Err = reason
	}
	p.server.events.Observe(reset)
}

// kindOf gives what is counted for a user who is reset.
func kindOf(reason error) (kind admission.Kind, counted bool) {
	for _, k := range []struct {
		err  error
		kind admission.Kind
	}{
		{protocol.ErrTooLong, admission.UserWaits},
		{protocol.ErrNotAcknowledged, admission.NotAcknowledged},
		{errUserGone, admission.UsersGone},
		{protocol.ErrFull, admission.Pending},
		{protocol.ErrNoStream, admission.Streams},
	} {
		if errors.Is(reason, k.err) {
			return k.kind, true
		}
	}
	var l admission.LimitError
	return admission.Kind(l), errors.As(reason, &l)
}
