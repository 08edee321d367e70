package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
)

// accept lets a user in. While too many wait it leaves further ones in the
// kernel's queue, where they cost nothing and lose nothing.
func (p *publicPort) accept(conn conn.Conn) {
	if s := p.server; !s.comesFrom(conn, s.config.TrustedProxies) {
		p.enterUser(conn)
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
			p.server.logAbout(p.server.sourceOf(conn), slog.LevelWarn, "user reset", "port", p.number,
				"proxy", inLog{conn.RemoteAddr()}, "reason", err)
			return
		}
		p.enterUser(user)
	})
}

// enterUser lets a user in whose address is known.
func (p *publicPort) enterUser(conn conn.Conn) {
	defer p.server.resetOnPanic(conn)
	u, reason, ok := p.admit(conn)
	if !ok {
		p.reset(u, limitError(reason))
		return
	}
	u.turn = p.order.take(u.source)
	if u.wait > 0 {
		p.holdUp(u)
		return
	}
	p.letIn(u)
}

// letIn has a user joined who has been admitted.
func (p *publicPort) letIn(u user) {
	defer p.leaveOnPanic(&u)
	t, _ := p.enter()
	var reached conn.Conn
	if t != nil {
		introduced := false
		if reached, introduced = t.openNow(&u); introduced {
			t.join(u, reached)
			return
		}
	}
	p.wait(u, t, reached)
}

// wait has a user served who has to wait for that, and has entered t and is to get
// conn if there are such.
func (p *publicPort) wait(u user, t *tunnel, conn conn.Conn) {
	select {
	case p.waiting <- struct{}{}:
		p.server.running.Go(func() { p.serve(u, t, conn) })
		return
	default:
		p.server.counters.Add(admission.Waiting)
	}
	select {
	case p.waiting <- struct{}{}:
		p.server.running.Go(func() { p.serve(u, t, conn) })
	case <-p.done:
		if conn != nil {
			_ = conn.Reset()
		}
		if t != nil {
			t.users.Done()
		}
		p.reset(u, p.ended())
		u.leave()
	}
}

// serve joins a user who has to wait for that.
func (p *publicPort) serve(u user, t *tunnel, conn conn.Conn) {
	defer p.leaveOnPanic(&u)
	var err error
	if conn == nil {
		t, conn, err = p.open(&u, t)
	} else {
		err = p.introduce(&u, t, conn)
	}
	if err != nil {
		u.leave()
		p.reset(u, err)
		return
	}
	t.join(u, conn)
}

// introduce says on conn who the user is who has entered t, or has the user leave.
func (p *publicPort) introduce(u *user, t *tunnel, conn conn.Conn) error {
	defer func() { <-p.waiting }()
	ok := false
	defer t.leaveUnless(&ok)
	err := t.introduce(u, conn)
	ok = err == nil
	return err
}

// open gets the user a connection to the relay client, which may have to come
// first. Until it has, what the user sends stays where it is. It gives up if the
// user resets.
func (p *publicPort) open(u *user, t *tunnel) (*tunnel, conn.Conn, error) {
	ctx, giveUp := context.WithCancelCause(p.server.impatient)
	defer giveUp(nil)
	defer time.AfterFunc(p.server.config.Limits.UserWait, func() { giveUp(protocol.ErrTooLong) }).Stop()
	watch := p.server.watcher.Start(u.conn, tcpstate.Dead, func() { giveUp(errUserGone) })
	defer watch.Stop()
	defer func() { <-p.waiting }()
	for {
		var err error
		if t == nil {
			if t, err = p.await(ctx); err != nil {
				return nil, nil, err
			}
		}
		conn, err := t.open(ctx, u)
		if err == nil {
			return t, conn, nil
		}
		if !errors.Is(err, protocol.ErrTunnelEnded) || p.lease == nil {
			return nil, nil, err
		}
		t = nil
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
	errUserGone = errors.New("the user went away while waiting")
	errDraining = errors.New("the relay is shutting down")
)

// limitError is why a user is reset who is one too many.
type limitError admission.Kind

func (e limitError) Error() string { return "limit: " + admission.Kind(e).String() }

// reset resets a user for a reason.
func (p *publicPort) reset(u user, reason error) {
	_ = u.conn.Reset()
	if kind, counted := kindOf(reason); counted {
		p.server.counters.Add(kind)
	}
	if l := limitError(0); errors.As(reason, &l) && admission.Kind(l) != admission.DeniedAddresses { // which is as its owner wishes
		p.exceeded(admission.Kind(l), true)
	}
	p.server.logAbout(u.source, slog.LevelWarn, "user reset", "port", p.number, "user", inLog{u.addr}, "reason", reason)
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
	var l limitError
	return admission.Kind(l), errors.As(reason, &l)
}

// leaveOnPanic is deferred where a panic would end more than one user.
func (p *publicPort) leaveOnPanic(u *user) {
	if e := crash.Caught(recover()); e != nil {
		p.server.crashed(e)
		_ = u.conn.Reset()
		u.leave()
	}
}
