package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// user is an admitted user on the way to the relay client. The way has three steps:
// to count as one of a tunnel's users, to have the tunnel's session open a connection,
// and to write on that connection who the user is. What is done is noted in the user,
// so that a step which has to wait goes on where one that could not had stopped. Only
// one goroutine uses a user at a time.
type user struct {
	admission.Ticket
	conn     conn.Conn
	addr     net.Addr
	endpoint *Endpoint
	turn     *turn // or nil, before the user is admitted
	came     time.Time

	tunnel  *Tunnel          // that counts the user, or nil
	tried   uint64           // members of the group that did not serve the user, by their slots
	opening protocol.Opening // by which reached is to come, or nil
	reached conn.Conn        // to the relay client, or nil
	first   []byte           // what has been read of the user before being joined
	header  []byte           // what is yet to be written on reached
}

// admit admits the user, perhaps after a delay, or returns the limit in the way.
func (u *user) admit() (err error) {
	e, admission := u.endpoint, u.endpoint.group.config.Admission
	u.Ticket, err = admission.AdmitUser(e.Account, e.policy.Load(), u.addr, admission.SourceOf(u.addr, conn.Named(u.conn)))
	return err
}

// admitUnder admits the user under the policy of its tunnel, perhaps after a delay of at
// most maxDelay.
func (u *user) admitUnder(maxDelay time.Duration) (delay time.Duration, err error) {
	delay, err = u.AdmitUnder(u.tunnel.policy, u.addr, maxDelay)
	if errors.Is(err, admission.ErrAccountReleased) {
		err = protocol.ErrTunnelEnded // with its endpoint, a moment ago
	}
	return delay, err
}

// connectNow takes as many steps as can be taken without waiting, and reports whether
// those were all.
func (u *user) connectNow() bool {
	if u.tunnel, _ = u.endpoint.enterTunnel(u); u.tunnel == nil {
		return false
	}
	opener, ok := u.tunnel.Session.(protocol.TryOpener)
	if !ok {
		return false
	}
	if _, err := u.admitUnder(0); err != nil {
		return false // connect finds out why, or waits
	}
	if u.reached = opener.TryOpen(); u.reached == nil {
		return false
	}
	return u.introduceNow()
}

// introduceNow is writeHeader if that takes no waiting, and reports whether it did.
func (u *user) introduceNow() bool {
	if err := u.prepareHeader(); err != nil {
		return false
	}
	if len(u.header) == 0 {
		conn.Flush(u.reached)
		return true
	}
	return conn.TryWrite(u.reached, u.header)
}

// connect takes the steps that are left, and waits for each until ctx is done. It
// returns an error with which goesOn reports true if another tunnel may do better.
func (u *user) connect(ctx context.Context) error {
	if u.tunnel == nil {
		var err error
		if u.tunnel, err = u.awaitTunnel(ctx); err != nil {
			return err
		}
	}
	if u.reached == nil {
		if err := u.open(ctx); err != nil {
			return err
		}
	}
	return u.writeHeader()
}

// open has the user's tunnel open a connection, once the tunnel's limits allow it.
func (u *user) open(ctx context.Context) (err error) {
	if u.opening == nil {
		if err := u.admitSoon(ctx); err != nil {
			return err
		}
	}
	err = u.openWithPatience(ctx)
	if errors.Is(err, protocol.ErrTunnelEnded) {
		reason := context.Cause(u.tunnel.Session.Ended())
		if reason == nil {
			reason = err // the session is about to end
		}
		u.tunnel.end(reason) // or else it would be bound still
		if closed := context.Cause(u.endpoint.group.closed); closed != nil {
			return closed // which is why the session has ended
		}
	}
	return err
}

// admitSoon is admitUnder, and waits for as long as the user is delayed.
func (u *user) admitSoon(ctx context.Context) error {
	delay, err := u.admitUnder(admission.MaxUserDelay)
	if err == nil && delay > 0 {
		u.turn.holdUp(delay)
		u.endpoint.limited(admission.UsersPerSecondOfTunnel, false)
		if err = pause(ctx, delay); err == nil {
			err = u.tunnel.Down() // since it was chosen
		}
	}
	return err
}

// headerTimeout is how long a header may wait to be sent. Only in a session that is
// full of other users' bytes does it wait at all, and such a session is dead after as
// long. On a session that is just slow a user is better late than reset.
const headerTimeout = 30 * time.Second

// writeHeader tells the relay client who the user is, if it wants to know.
func (u *user) writeHeader() error {
	err := u.prepareHeader()
	if err == nil && len(u.header) > 0 {
		_ = u.reached.SetWriteDeadline(time.Now().Add(headerTimeout)) // fails as the write does
		var n int
		n, err = u.reached.Write(u.header)
		_ = u.reached.SetWriteDeadline(time.Time{})
		if err != nil && (len(u.first) == 0 || n < len(u.header)-len(u.first)) {
			err = &unusedError{err}
		}
	}
	if err != nil {
		return fmt.Errorf("telling the relay client who the user is: %w", err)
	}
	return nil
}

// prepareHeader makes, once, what is to be written to the relay client before the user
// is joined: a header, and in one piece with it what the user has sent already. Two
// pieces would cost twice, here and there.
func (u *user) prepareHeader() error {
	if u.header != nil {
		return nil
	}
	if !u.tunnel.Proxy {
		u.header = u.first // of a user who was to be joined by another tunnel before
		return nil
	}
	header, err := proxyproto.HeaderWithDetails(u.conn.RemoteAddr(), u.conn.LocalAddr(), proxyproto.Details{
		Notice: u.endpoint.notice(), Sequence: u.turn.tell(u.tunnel),
	})
	if err != nil {
		return err
	}
	if u.tunnel.policy.Bytes() == nil {
		u.readFirst()
	}
	u.header = append(header, u.first...)
	return nil
}

// pause waits, unless ctx is done before.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// mostFirst is how much is read of a user before being joined: together with a
// header one packet.
const mostFirst = 1 << 10

// readFirst reads what the user has sent already.
func (u *user) readFirst() {
	if u.first != nil {
		return
	}
	buf := make([]byte, mostFirst)
	n, _ := conn.TryRead(u.conn, buf) // an error comes again
	if n > 0 {
		u.first = buf[:n]
	}
}

// join joins the user with the relay client, unless the operator has the user refused since
// it came.
func (u *user) join() {
	if err := u.endpoint.refusal(u.addr); err != nil {
		u.fail(err)
		return
	}
	t, g := u.tunnel, u.endpoint.group
	waited := time.Since(u.came)
	g.config.Events.Observe(observe.Event{
		Name: observe.UserJoined, Level: slog.LevelDebug, Source: u.Source.Prefix(), Tunnel: t.about(), User: u.addr, Waited: waited,
	})
	j := &joinedUser{Ticket: u.Ticket, addr: u.addr, turn: u.turn, tunnel: t, waited: waited, since: time.Now()}
	r := &u.endpoint.roster
	r.Add(&j.place, g.lastUser.Add(1), j)
	reached := u.reached
	u.tunnel, u.reached = nil, nil // which are the join's now
	options := join.Options{Limiter: t.policy.Bytes(), Prefix: int64(len(u.first))}
	h := g.joins.Join(t.alive, u.conn, reached, options, j.end)
	r.Joined(&j.place, h)
	if g.config.Admission.Bans.Has(u.addr) || t.isBanned() {
		h.Stop(errBanned) // since a moment ago, when the user was not in the roster
	}
}

// release gives back what a user took when it was admitted.
func (e *Endpoint) release(t *admission.Ticket, turn *turn) {
	e.order.leave(t.Source, turn)
	e.group.config.Admission.ReleaseUser(t)
}

// leaveTunnel undoes the steps that were taken.
func (u *user) leaveTunnel() {
	if u.reached != nil {
		_ = u.reached.Reset()
		u.reached = nil
	}
	u.header = nil
	if u.tunnel != nil {
		u.tunnel.leave()
		u.tunnel = nil
	}
}

// fail resets an admitted user who cannot be joined.
func (u *user) fail(reason error) {
	u.leaveTunnel()
	u.endpoint.release(&u.Ticket, u.turn)
	u.reset(reason)
}

// failOnPanic is deferred where a panic would end more than one user.
func (u *user) failOnPanic() {
	if e := crash.Caught(recover()); e != nil {
		u.endpoint.group.Crashed(e)
		u.leaveTunnel()
		_ = u.conn.Reset()
		u.endpoint.release(&u.Ticket, u.turn)
	}
}
