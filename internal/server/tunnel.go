package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/protocol"
)

// tunnel is the way from a public port to a relay client.
type tunnel struct {
	port     *publicPort
	session  protocol.Session
	source   admission.Source // of the relay client
	verb     string
	client   net.Addr
	identity Identity
	since    time.Time // when it registered
	instance string    // which process it is, of those that have the lease
	name     string
	asked    policy.Policy           // that is to hold
	policy   *admission.TunnelPolicy // it, as soon as the tunnel is behind its port
	proxy    bool                    // each user's bytes come behind a PROXY protocol header

	// alive is done when users of the tunnel have to end.
	alive context.Context
	kill  context.CancelCauseFunc // or nil, if only the end of the server ends it

	users  sync.WaitGroup // who have entered; nobody does once the port has let go of the tunnel
	ending sync.Once
}

// Why a tunnel ends, besides what its protocol says.
var (
	errTakenOver = observe.WithReason(errors.New("another relay client has shown the same lease key, and has taken over"), observe.TakenOver)
	errAgain     = observe.WithReason(errors.New("the relay client has registered anew, and goes on so"), observe.RegisteredAnew)
)

// about identifies the tunnel in events.
func (t *tunnel) about() observe.Tunnel {
	return observe.Tunnel{Port: t.port.number, Protocol: t.verb, RelayClient: t.client, Identity: t.identity.Name, Name: t.name}
}

// startTunnel puts t behind its port, and in place of the tunnel that is there.
func (s *Server) startTunnel(t *tunnel) error {
	s.mu.Lock()
	if s.draining.Err() != nil {
		s.mu.Unlock()
		return errDraining
	}
	s.running.Add(1)
	if s.tunnels[t.source] == nil {
		s.tunnels[t.source] = make(map[*tunnel]struct{})
	}
	s.tunnels[t.source][t] = struct{}{}
	s.mu.Unlock()
	if err := t.port.attach(t); err != nil {
		s.forgetTunnel(t)
		s.running.Done()
		return err
	}
	s.events.Observe(observe.Event{Name: observe.TunnelOpened, Source: t.source.Prefix(), Tunnel: t.about()})
	t.watchIdentity()
	context.AfterFunc(t.session.Ended(), func() { t.end(context.Cause(t.session.Ended())) })
	return nil
}

// watchIdentity has the tunnel end when its identity no longer holds. It may have
// ended already, for another reason.
func (t *tunnel) watchIdentity() {
	if t.kill != nil {
		unwatch := t.identity.Watch(func(reason error) {
			t.port.server.aside(func() { t.revoke(reason) })
		})
		context.AfterFunc(t.alive, unwatch)
	}
}

func (t *tunnel) unwatchIdentity() {
	if t.kill != nil {
		t.kill(nil)
	}
}

// forgetTunnel takes t from those that take users.
func (s *Server) forgetTunnel(t *tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tunnels[t.source], t)
	if len(s.tunnels[t.source]) == 0 {
		delete(s.tunnels, t.source)
	}
}

// end has t take no more users, and finish when those who are joined have. One who
// waits goes on waiting, if the relay client is there.
func (t *tunnel) end(reason error) {
	t.ending.Do(func() {
		s := t.port.server
		t.port.detach(t, reason)
		s.forgetTunnel(t)
		s.crashed(reason)
		closed := observe.Event{Name: observe.TunnelClosed, Source: t.source.Prefix(), Tunnel: t.about(), Reason: observe.ReasonOf(reason)}
		if closed.Reason == observe.Other { // what its connection has met
			closed.Reason, closed.Err = observe.RelayClientLost, reason
		}
		s.events.Observe(closed)
		go t.finish()
	})
}

// finish waits for the users. One who waits for a relay client that reads nothing
// is freed only by closing that.
func (t *tunnel) finish() {
	s := t.port.server
	defer s.running.Done()
	defer t.unwatchIdentity()
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			s.crashed(e)
			_ = t.session.Close()
		}
	}()
	defer context.AfterFunc(s.closed, func() { _ = t.session.Close() })()
	t.users.Wait()
	finished := make(chan struct{})
	defer close(finished)
	defer context.AfterFunc(s.draining, func() {
		select {
		case <-time.After(stillQueued): // what was said last has arrived, or there is nobody
			_ = t.session.Close()
		case <-finished:
		}
	})()
	protocol.Drain(t.session)
}

// revoke ends the tunnel of an identity that no longer holds, its users, and its
// lease if the identity is gone.
func (t *tunnel) revoke(reason error) {
	t.kill(reason)
	if !errors.Is(reason, ErrIdentityChanged) {
		t.port.endBehind(t, lease.Revoke(reason))
	}
	t.end(reason)
	_ = t.session.Close()
}
