package endpoint

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// memberWait is how long a user waits for a connection to one member of a group while another
// one may do better: longer than a healthy one needs, also by satellite with TLS. A member
// that hangs is known as such only when a probe has shown it.
const memberWait = 2 * time.Second

// memberShare has a user whose wait is short try several members: each has a share of it, one
// of so many.
const memberShare = 4

// errPassedOn is why a user does not wait any longer for one member.
var errPassedOn = errors.New("another member of the group serves the user")

// unusedError is the error of a write that has failed before a byte of the user's was part of
// it.
type unusedError struct{ error }

func (e *unusedError) Unwrap() error { return e.error }

// openWithPatience has the user's tunnel open a connection, or goes on to wait for one that was
// asked for. It does not wait until ctx is done if the relay client is about to end, or in a
// group if another member may do better.
func (u *user) openWithPatience(ctx context.Context) (err error) {
	wait, passOn := context.WithCancelCause(ctx)
	defer passOn(nil)
	defer context.AfterFunc(u.tunnel.staying, func() { passOn(errLeaving) })()
	if u.tunnel.Group != "" {
		defer u.impatient(passOn)()
	}
	if u.opening != nil {
		u.reached, err = u.opening.Wait(wait)
		u.opening = nil
	} else {
		u.reached, err = u.tunnel.Session.Open(wait, conn.AddrPort(u.addr))
	}
	if err != nil && !errors.Is(err, protocol.ErrTunnelEnded) && ctx.Err() == nil && wait.Err() != nil {
		return context.Cause(wait)
	}
	return err
}

// impatient calls passOn as soon as another member of the group may do better, after a while.
func (u *user) impatient(passOn func(error)) (stop func()) {
	e, soFar := u.endpoint, u.tried|u.tunnel.bit()
	patience := min(memberWait, time.Duration(e.group.userWait.Load())/memberShare)
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		if e.hasBetter(soFar) {
			passOn(errPassedOn)
			return
		}
		timer.Reset(patience)
	})
	timer.Reset(patience) // by now there is a timer to reset
	return func() { timer.Stop() }
}

// goesOn reports whether another tunnel may serve a user for whom a step has failed: the next
// one of a lease, or another one of a group that was not tried.
func (u *user) goesOn(err error) bool {
	e, t := u.endpoint, u.tunnel
	switch {
	case t != nil && (errors.Is(err, errDown) || errors.Is(err, errLeaving)): // and the user waits for it, or another one
		return true
	case e.Lease == nil:
		return false
	case errors.Is(err, protocol.ErrTunnelEnded):
		return true
	case t == nil || t.Group == "":
		return false
	}
	u.tried |= t.bit()
	switch {
	case errors.Is(err, errPassedOn):
		t.noteLate()
		return true
	case errors.Is(err, protocol.ErrFull), errors.Is(err, protocol.ErrNoStream), errors.As(err, new(*unusedError)):
		return e.hasUntried(u.tried)
	}
	return false
}

// noteLate has the tunnel come after others for a while.
func (t *Tunnel) noteLate() {
	t.endpoint.mu.Lock()
	defer t.endpoint.mu.Unlock()
	t.late = time.Since(t.Since)
}

// hasUntried reports whether the group has a member for a user that was not tried.
func (e *Endpoint) hasUntried(triedBefore uint64) bool {
	return e.hasReady(func(t *Tunnel) bool { return t.bit()&triedBefore == 0 })
}

// hasBetter reports whether it has one with nothing against it.
func (e *Endpoint) hasBetter(triedBefore uint64) bool {
	return e.hasReady(func(t *Tunnel) bool { return t.against(triedBefore) == 0 })
}

func (e *Endpoint) hasReady(match func(*Tunnel) bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.members.ready, match)
}
