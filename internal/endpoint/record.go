package endpoint

import (
	"context"
	"errors"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/observe"
)

// observeEnd tells what became of a user who was joined, once. Its lines in the log have
// no budget, unlike others that strangers cause: each has cost a connection, and those are
// bounded.
func (t *Tunnel) observeEnd(u *user, joined time.Time, r join.Result) {
	done := observe.Event{
		Name: observe.UserDone, Source: u.Source.Prefix(), Tunnel: t.about(), User: u.addr,
		Waited: joined.Sub(u.came), Duration: time.Since(joined), Received: r.AToB, Sent: r.BToA,
	}
	done.EndedBy, done.How = t.endedBy(r)
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
