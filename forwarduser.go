package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/roster"
)

// handleUser joins one user with the local server. While too many connections to that are
// being opened, later users wait.
func (b *backend) handleUser(registered context.Context, conn conn.Conn) {
	switch {
	case b.tryHandleUser(conn):
	case b.waitToDial(registered):
		b.connect(conn)
	default:
		_ = conn.Reset()
	}
}

// tryHandleUser is handleUser unless that would wait.
func (b *backend) tryHandleUser(conn conn.Conn) bool {
	if b.paused.Load() != nil {
		b.reset(conn, observe.Paused, nil)
		return true
	}
	select {
	case b.dials <- struct{}{}:
		b.connect(conn)
		return true
	default:
		return false
	}
}

func (b *backend) whenReadable(conn conn.Conn, g func()) (stop func()) {
	return b.joins.WhenReadable(conn, g)
}

// connect joins one user, who holds one of the dials, with the local server. It does not
// wait: a server on the same machine, as most are, is connected at once, and for others
// there is a goroutine.
func (b *backend) connect(conn conn.Conn) {
	defer b.resetOnPanic(conn)
	began := time.Now()
	local, wait := b.local.addr.Start(b.prepareLocal)
	if local != nil {
		<-b.dials
		took := time.Since(began)
		b.tried(took, nil)
		b.join(conn, local, took)
		return
	}
	b.running.Go(func() {
		defer b.resetOnPanic(conn)
		b.dial(conn, began, wait)
	})
}

// waitToDial waits until another connection may be opened. It returns false if the
// registration ends before, or nothing may go on.
func (b *backend) waitToDial(registered context.Context) bool {
	b.waits.Add(1)
	b.slow.Do(func() {
		b.log.Warn("the local server takes long to answer; users have to wait", "local", b.local.addr.String(), "connecting", maxLocalDials)
	})
	select {
	case b.dials <- struct{}{}:
		return true
	case <-registered.Done():
	case <-b.closed.Done():
	}
	return false
}

// dial waits for the local server, on behalf of a user who holds one of the dials.
func (b *backend) dial(conn conn.Conn, began time.Time, wait func(context.Context) (conn.Conn, error)) {
	local, err := wait(b.closed)
	<-b.dials
	took := time.Since(began)
	if err == nil {
		b.tried(took, nil)
		b.join(conn, local, took)
		return
	}
	cut := b.closed.Err() != nil // and it might have been reached
	if !cut {
		b.tried(took, err)
		b.prober.forget()
	}
	b.reset(conn, observe.DialFailed, err)
	if cut {
		return
	}
	b.unreachable.Do(func() {
		if advice := b.local.addr.Advice(err); advice != "" {
			err = fmt.Errorf("%w; %s", err, advice)
		}
		b.log.Error("the local server cannot be reached; users are reset", "local", b.local.addr.String(), "error", withAdvice(err))
	})
}

// tried notes how an attempt to connect to the local server has ended. If there are health
// checks, they alone say how it does, and there is one soon after a failure.
func (b *backend) tried(took time.Duration, err error) {
	switch {
	case b.checker == nil:
		b.noteLocal(took, err)
	case err != nil:
		b.checker.noteRefused()
	}
}

// noteLocal notes how the local server does.
func (b *backend) noteLocal(took time.Duration, err error) {
	from, to := b.local.tried(took, err)
	if from == to {
		return
	}
	changed := observe.Event{Name: observe.TunnelStateChanged, From: from, To: to, Err: err}
	switch {
	case to != observe.Up:
		changed.Level = slog.LevelWarn
	case from == observe.Unknown: // as is expected
		changed.Level = slog.LevelDebug
	}
	defer func() {
		if c := crash.Caught(recover()); c != nil { // in a sink, and no user's
			b.logPanic(c)
		}
	}()
	b.events.Observe(changed)
}

// reset resets a user who is not joined.
func (f *Forwarder) reset(conn conn.Conn, reason observe.Reason, err error) {
	_ = conn.Reset()
	f.events.Observe(observe.Event{
		Name: observe.UserReset, Level: slog.LevelDebug, User: conn.RemoteAddr(), Reason: reason, Err: err,
	})
}

// joinedUser is what is held of a user for as long as it is joined.
type joinedUser struct {
	roster.Place[joinedUser]
	forwarder *Forwarder
	addr      net.Addr
	dialTime  time.Duration
	since     time.Time
}

// join joins a user with the local server, which took dialTime to accept.
func (b *backend) join(conn, local conn.Conn, dialTime time.Duration) {
	if !b.writeHeader(conn, local) {
		return
	}
	u := &joinedUser{forwarder: b.Forwarder, addr: conn.RemoteAddr(), dialTime: dialTime, since: time.Now()}
	b.running.Add(1)
	b.users.Add(&u.Place, b.engine.lastUser.Add(1), u)
	b.users.Joined(&u.Place, b.joins.Join(b.closed, conn, local, join.Options{}, u.end))
}

// end reports the end of a user, once. An end by the relay looks like one by the user where
// the connection to the relay is that user's alone.
func (u *joinedUser) end(r join.Result) {
	f := u.forwarder
	defer f.running.Done()
	f.users.Remove(&u.Place, r.AToB, r.BToA)
	var c *crash.Error
	if errors.As(r.Err, &c) {
		f.logPanic(c)
	}
	done := observe.Event{
		Name: observe.UserDone, User: u.addr, Duration: time.Since(u.since), Received: r.AToB, Sent: r.BToA,
		DialTime: max(u.dialTime, 1), // a clock may be too coarse for it, and zero is none
	}
	done.EndedBy, done.How = observe.Ending(r, observe.ByRelayClient, observe.ByRelay, f.closed.Err() != nil)
	if done.How == observe.Drain {
		f.aborted.Add(1)
	}
	if done.EndedBy != observe.ByRelayClient { // then How says all, and a panic has an event of its own
		done.Err = r.Err
	}
	f.events.Observe(done)
}

// writeHeader writes the PROXY header to the local server, if the options want one. Its few
// bytes fit into the socket's buffer. If that fails it resets both connections and returns
// false.
func (b *backend) writeHeader(conn, local conn.Conn) bool {
	if b.proxyProtocol == 0 {
		return true
	}
	header, err := localHeader(b.proxyProtocol, conn)
	if err == nil {
		_, err = local.Write(header)
	}
	if err != nil {
		b.reset(conn, observe.HeaderFailed, err)
		_ = local.Reset()
	}
	return err == nil
}

// resetOnPanic is deferred where a panic is to end one user's connection, and not the
// forwarder.
func (f *Forwarder) resetOnPanic(conn conn.Conn) {
	if c := crash.Caught(recover()); c != nil {
		_ = conn.Reset()
		f.logPanic(c)
	}
}

func (f *Forwarder) logPanic(c *crash.Error) {
	if c.First() {
		f.events.Observe(observe.Event{Name: observe.Panicked, Level: slog.LevelError, Err: c})
	}
}
