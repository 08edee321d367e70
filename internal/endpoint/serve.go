package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/tcpstate"
)

// Serve admits the user of c, and joins it with the relay client. First is what the entry
// has read of the user's bytes to find the endpoint. Serve does not wait. While as many users
// wait for the relay client as may, it returns a function that waits for a place. The
// caller calls that before it accepts another user: the others stay in the kernel's queue
// meanwhile, where they cost nothing and lose nothing.
func (e *Endpoint) Serve(c conn.Conn, first []byte) (wait func()) {
	defer e.resetOnPanic(c)
	u := &user{conn: c, addr: c.RemoteAddr(), endpoint: e, came: time.Now(), first: first}
	if err := e.refusal(u.addr); err != nil {
		u.Source = admission.SourceOf(u.addr)
		u.reset(err)
		return nil
	}
	if err := u.admit(); err != nil {
		u.reset(err)
		return nil
	}
	u.turn = e.order.take(u.Source)
	if u.Delay > 0 {
		u.delay()
		return nil
	}
	return u.route()
}

// maxDelayed bounds the users of one endpoint who are delayed, as Limits.Waiting does by
// default for users who wait: each is a goroutine.
const maxDelayed = 128

// delay has a user wait who comes too fast. Its bytes stay in the kernel meanwhile.
func (u *user) delay() {
	e := u.endpoint
	if !e.delayed.Acquire(maxDelayed) {
		u.fail(admission.LimitError(u.DelayedBy))
		return
	}
	u.turn.holdUp(u.Delay)
	e.limited(u.DelayedBy, false)
	e.group.running.Go(func() {
		defer e.delayed.Release()
		timer := time.NewTimer(u.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			if wait := u.route(); wait != nil {
				wait()
			}
		case <-e.done:
			u.fail(e.Reason())
		}
	})
}

// route joins an admitted user: at once if nothing has to be waited for, and otherwise
// when the connection to the relay client has come. Of users who wait there is a bounded
// number: if that is reached, route returns queue.
func (u *user) route() (wait func()) {
	defer u.failOnPanic()
	if u.connectNow() {
		u.join()
		return nil
	}
	select {
	case u.endpoint.waiting <- struct{}{}:
		u.wait()
		return nil
	default:
		u.endpoint.group.config.Admission.Counters.Add(admission.Waiting)
		return u.queue
	}
}

// queue waits for a place among the users who wait.
func (u *user) queue() {
	defer u.failOnPanic()
	e := u.endpoint
	select {
	case e.waiting <- struct{}{}:
		u.leaveTunnel() // which may be down by now, or another one the better
		u.tunnel, _ = e.enterTunnel(u)
		u.wait()
	case <-e.done:
		u.fail(e.Reason())
	}
}

// wait has a user wait who has a place.
func (u *user) wait() {
	if g := u.endpoint.group; !g.starts.start(u) {
		g.running.Go(u.park)
	}
}

// park has a user wait until it is connected to the relay client, which may have to
// come first. Until then the user's bytes stay in the kernel. The user has a place among
// those who wait.
func (u *user) park() {
	defer u.failOnPanic()
	if err := u.await(); err != nil {
		u.fail(err)
		return
	}
	u.join()
}

// errUserGone is why a user is reset, besides what the protocol returns.
var errUserGone = observe.WithReason(errors.New("the user went away while waiting"), observe.UserGone)

// await connects a user while it has a place among those who wait. A user who resets is
// let go.
func (u *user) await() error {
	e := u.endpoint
	ctx, giveUp := context.WithCancelCause(e.group.impatient)
	defer giveUp(nil)
	defer time.AfterFunc(time.Duration(e.group.userWait.Load()), func() { giveUp(protocol.ErrTooLong) }).Stop()
	watch := e.group.watcher.Start(u.conn, tcpstate.Dead, func() { giveUp(errUserGone) })
	defer watch.Stop()
	defer func() { <-e.waiting }()
	for {
		err := u.connect(ctx)
		if err == nil || !u.goesOn(err) {
			return err
		}
		u.leaveTunnel()
	}
}

// awaitTunnel returns the tunnel for the user, as soon as one is given users, and counts the
// user in.
func (u *user) awaitTunnel(ctx context.Context) (*Tunnel, error) {
	e := u.endpoint
	for {
		t, bound := e.enterTunnel(u)
		if t != nil {
			return t, nil
		}
		select {
		case <-bound:
		case <-e.done:
			return nil, e.Reason()
		case <-ctx.Done():
			return nil, e.tooLong(context.Cause(ctx))
		}
	}
}

// resetOnPanic is deferred where a panic would end more than one connection.
func (e *Endpoint) resetOnPanic(c conn.Conn) {
	if p := crash.Caught(recover()); p != nil {
		e.group.Crashed(p)
		_ = c.Reset()
	}
}

// reset resets a user who is not joined, unless another process takes the user.
func (u *user) reset(reason error) {
	e := u.endpoint
	if e.passOn(u) {
		return
	}
	_ = u.conn.Reset()
	u.tellReset(reason)
}

// tellReset tells of a user who was reset before being joined.
func (u *user) tellReset(reason error) {
	e := u.endpoint
	reset := observe.Event{
		Name: observe.UserReset, Level: slog.LevelWarn, Source: u.Source.Prefix(),
		Tunnel: observe.Tunnel{ID: e.ID, Port: e.Port}, User: u.addr, Waited: time.Since(u.came),
	}
	kind := resetKind(reason)
	switch {
	case !errors.As(reason, new(admission.LimitError)):
		reset.Because(reason)
	case kind == admission.DeniedAddresses: // which is as the owner wishes
		reset.Reason = observe.AddressDenied
	default:
		e.limited(kind, true)
		reset.Reason, reset.Limit = observe.LimitMet, kind.String()
	}
	if kind != 0 {
		e.group.config.Admission.Counters.Add(kind)
	}
	e.group.config.Events.Observe(reset)
}

// resetKind returns what is counted for a user who is reset, or zero.
func resetKind(reason error) admission.Kind {
	var l admission.LimitError
	if errors.As(reason, &l) {
		return admission.Kind(l)
	}
	for _, k := range []struct {
		err  error
		kind admission.Kind
	}{
		{protocol.ErrTooLong, admission.UserWaits},
		{errDown, admission.UserWaits},
		{protocol.ErrNotAcknowledged, admission.NotAcknowledged},
		{errUserGone, admission.UsersGone},
		{protocol.ErrFull, admission.Pending},
		{protocol.ErrNoStream, admission.Streams},
	} {
		if errors.Is(reason, k.err) {
			return k.kind
		}
	}
	return 0
}
