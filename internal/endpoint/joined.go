package endpoint

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/roster"
)

// joinedUser is what is held of a user for as long as it is joined.
type joinedUser struct {
	admission.Ticket
	addr   net.Addr
	turn   *turn
	tunnel *Tunnel
	waited time.Duration
	since  time.Time
	place  roster.Place[joinedUser]
}

// end tells what became of the user. Its line in the log has no budget, unlike others that
// strangers cause: each has cost a connection, and those are bounded.
func (j *joinedUser) end(r join.Result) {
	t := j.tunnel
	defer t.leave()
	t.endpoint.roster.Remove(&j.place, r.AToB, r.BToA)
	t.endpoint.release(&j.Ticket, j.turn)
	t.endpoint.group.Crashed(r.Err)
	done := observe.Event{
		Name: observe.UserDone, Source: j.Source.Prefix(), Tunnel: t.about(), User: j.addr,
		Waited: j.waited, Duration: time.Since(j.since), Received: r.AToB, Sent: r.BToA,
	}
	done.EndedBy, done.How = t.endedBy(r)
	if t.Group != "" && done.EndedBy == observe.ByServer && done.How == observe.Reset && r.BToA == 0 {
		t.health.suspect()
	}
	if done.EndedBy != observe.ByRelay { // which has said all, and tells of a panic with its stack
		done.Err = r.Err
	}
	t.endpoint.group.config.Events.Observe(done)
}

// endedBy returns who ended a joined connection, and how.
func (t *Tunnel) endedBy(r join.Result) (observe.Party, observe.How) {
	by, how := observe.Ending(r, observe.ByRelay, observe.ByRelayClient, t.alive.Err() != nil)
	switch {
	case how == observe.Drain:
		return by, t.stopped()
	case by == observe.ByServer && how == observe.Lost && t.Session.Ended().Err() != nil:
		return observe.ByRelayClient, how
	}
	return by, how
}

// stopped returns why the relay has ended a connection. The tunnel has no reason where the
// relay shuts down and nothing has moved.
func (t *Tunnel) stopped() observe.How {
	reason := context.Cause(t.alive)
	if reason == nil || t.endpoint.group.closed.Err() != nil || errors.Is(reason, context.Canceled) {
		return observe.Drain
	}
	return observe.How(observe.ReasonOf(reason))
}
