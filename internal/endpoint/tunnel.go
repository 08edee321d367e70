package endpoint

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/protocol"
)

// Client is the relay client of a tunnel, as it has registered.
type Client struct {
	Session   protocol.Session
	Protocol  string // the verb
	Addr      net.Addr
	Source    admission.Source
	Identity  string        // empty is nobody in particular
	Instance  string        // which process it is, of those that have the lease
	Name      string        // of the tunnel: that of the group, if it is in one
	Policy    policy.Policy // of its users
	Proxy     bool          // each user's bytes come behind a PROXY protocol header
	Probe     bool          // it answers probes
	Encrypted bool          // its control connection is
	Control   bool          // it has a control channel
	// Down has the tunnel be given no users before the relay client has said on the control
	// channel that it can serve them.
	Down bool
	// Group is what others may serve the endpoint with, or empty. Key is by what the relay
	// client is known there, Terms what it has in common with the others, and Member what
	// people call it.
	Group  string
	Key    lease.Key
	Terms  Terms
	Member string
	// Watch has revoked called, once, when the identity no longer holds, and stop ends
	// that. Revoked must not wait. Nil is an identity that holds for ever.
	Watch func(revoked func(reason error)) (stop func())
}

// Tunnel is a relay client that serves an endpoint. It is bound until it ends, and lives
// on until its users have ended.
type Tunnel struct {
	Client
	Since    time.Time // when it was bound
	endpoint *Endpoint
	policy   *admission.TunnelPolicy // Client.Policy, and what is left of its rates

	// alive is done when users of the tunnel have to end.
	alive context.Context
	kill  context.CancelCauseFunc // or nil, if only the end of the group ends it
	// staying is done when the relay client has said that it is about to end.
	staying     context.Context
	stopStaying context.CancelFunc

	users   sync.WaitGroup // that are counted; none is added once the tunnel is not bound
	load    atomic.Int64   // of users, those included whose connections are yet to come
	absent  protocol.Absenter
	ending  sync.Once
	parks   bool // users who start to wait; guarded by starts.mu
	health  health
	control control

	// Guarded by Endpoint.mu.
	bound   bool
	down    bool          // the relay client wants no users
	leaving bool          // it is about to end, and wants none any more
	ailing  bool          // a probe has shown that it cannot serve any
	slot    uint8         // among the members of its group
	late    time.Duration // after Since, when a user has waited for it in vain; or 0
}

// Bind has a relay client serve the endpoint, in place of the one that does, or beside the
// others of its group. It fails if the endpoint is closed, or the others have other terms, and
// leaves the session to its caller then.
func (e *Endpoint) Bind(c Client) error {
	g := e.group
	t := &Tunnel{Client: c, Since: time.Now(), endpoint: e, alive: g.closed}
	t.absent, _ = c.Session.(protocol.Absenter)
	t.health.tunnel, t.health.now = t, Health{State: observe.Unknown, Since: t.Since}
	t.health.found, t.health.down = observe.Unknown, c.Down
	t.control.tunnel, t.down = t, c.Down
	t.staying, t.stopStaying = context.WithCancel(context.Background())
	if c.Watch != nil {
		t.alive, t.kill = context.WithCancelCause(g.closed)
	}
	if err := e.addAndBind(t); err != nil {
		t.unwatch()
		return err
	}
	g.config.Events.Observe(observe.Event{Name: observe.TunnelOpened, Source: t.Source.Prefix(), Tunnel: t.about()})
	t.watch()
	t.startControl()
	t.startHealth()
	context.AfterFunc(t.Session.Ended(), func() { t.end(context.Cause(t.Session.Ended())) }) // with c it would keep a second Client
	if t.isBanned() {
		t.endBanned() // since a moment ago, when EndBanned did not find it
	}
	return nil
}

// addAndBind adds t to the group of endpoints, and binds it. A member of a group takes a
// descriptor, which the port has for one relay client only.
func (e *Endpoint) addAndBind(t *Tunnel) error {
	g := e.group
	if t.Group != "" && !g.config.Admission.AcquireClientDescriptor() {
		return admission.ErrNoDescriptors
	}
	err := g.add(t)
	if err == nil {
		if err = e.bind(t); err == nil {
			return nil
		}
		g.remove(t)
		g.drained(t)
		g.running.Done()
	}
	t.releaseDescriptor()
	return err
}

func (t *Tunnel) releaseDescriptor() {
	if t.Group != "" {
		t.endpoint.group.config.Admission.ReleaseClientDescriptor()
	}
}

// about identifies the tunnel in events.
func (t *Tunnel) about() observe.Tunnel {
	return observe.Tunnel{ID: t.endpoint.ID, Port: t.endpoint.Port, Protocol: t.Protocol, RelayClient: t.Addr, Identity: t.Identity, Name: t.Name, Group: t.Group}
}

// watch has the tunnel end when its identity no longer holds. It may have ended already,
// for another reason.
func (t *Tunnel) watch() {
	if t.kill != nil {
		stop := t.Watch(func(reason error) {
			t.endpoint.group.Go(func() { t.revoke(reason) })
		})
		context.AfterFunc(t.alive, stop)
	}
}

func (t *Tunnel) unwatch() {
	if t.kill != nil {
		t.kill(nil)
	}
}

// end has t take no more users, and drain when those who are joined have ended. A user
// who waits goes on waiting, if the relay client is there, and sees when the session ends.
func (t *Tunnel) end(reason error) {
	t.ending.Do(func() {
		g := t.endpoint.group
		t.endpoint.unbind(t, reason)
		g.remove(t)
		g.starts.end(t)
		t.endControl()
		t.endHealth()
		g.Crashed(reason)
		closed := observe.Event{Name: observe.TunnelClosed, Source: t.Source.Prefix(), Tunnel: t.about()}
		if closed.Because(reason); closed.Reason == observe.Other {
			closed.Reason = observe.RelayClientLost // and the error says how
		}
		g.config.Events.Observe(closed)
		go t.drain()
	})
}

// drain waits for the users. A user who waits for a relay client that reads nothing is
// freed only by closing the session.
func (t *Tunnel) drain() {
	g := t.endpoint.group
	defer g.running.Done()
	defer t.releaseDescriptor()
	defer t.unwatch()
	defer func() {
		if c := crash.Caught(recover()); c != nil {
			g.Crashed(c)
			_ = t.Session.Close()
		}
	}()
	defer context.AfterFunc(g.closed, func() { _ = t.Session.Close() })()
	t.users.Wait()
	g.drained(t)
	drained := make(chan struct{})
	defer close(drained)
	defer context.AfterFunc(g.draining, func() {
		select {
		case <-time.After(stillQueued): // what was written last has arrived, or nobody is there
			_ = t.Session.Close()
		case <-drained:
		}
	})()
	protocol.Drain(t.Session)
}

// revoke ends the tunnel of an identity that no longer holds, its users, and its lease if
// the identity is gone.
func (t *Tunnel) revoke(reason error) {
	t.kill(reason)
	if !errors.Is(reason, auth.ErrIdentityChanged) {
		t.endpoint.closeWith(lease.Revoke(reason), t)
	}
	t.end(reason)
	_ = t.Session.Close()
}
