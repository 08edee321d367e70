package server

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/protocol"
)

// publicPort is where users enter. Behind it is a tunnel, or none for a while: a
// port that is leased stays open while its owner is away, and who comes then
// waits for it.
type publicPort struct {
	server   *Server
	number   int
	listener Listener
	account  *admission.Account // what its users count against
	waiting  chan struct{}      // holds one for each user who waits for the relay client
	policy   atomic.Pointer[admission.TunnelPolicy]
	heldUp   admission.BoundedCounter // users who wait because they have come too fast
	order    order                    // in which users have come
	excess   atomic.Pointer[excess]   // nil until there is some
	done     chan struct{}            // closed when no more users are taken
	released sync.Once

	mu     sync.Mutex       // guards what follows
	source admission.Source // that it counts against, if it is not unbound
	owner  string           // who may have it back at once; see ownerOf
	reason error            // why done is closed
	tunnel *tunnel          // or nil
	behind chan struct{}    // closed while there is a tunnel
	// lease is nil if nobody may have the port back. It is set before the port is
	// started.
	lease *lease.Handle
	// unbound is set while the port stands open for a lease that was restored, of no
	// identity, whose owner has not come yet: it counts against nobody.
	unbound bool
}

// maxWaiting is the most that Limits.Waiting can be: each who waits is a goroutine.
const maxWaiting = 1 << 20

// newPublicPort gives a port without a tunnel, for which descriptors were taken.
func newPublicPort(s *Server, number int, l Listener, a *admission.Account, source admission.Source, owner string) *publicPort {
	return &publicPort{
		server:   s,
		number:   number,
		listener: l,
		account:  a,
		source:   source,
		owner:    owner,
		waiting:  make(chan struct{}, min(s.config.Limits.Waiting, maxWaiting)),
		done:     make(chan struct{}),
		behind:   make(chan struct{}),
	}
}

// trackPort notes p as the port of its number until it is released. A lease is set before
// that, and acquired and started after it.
func (s *Server) trackPort(p *publicPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[p.number] = p
}

// startPort has p take users, unless the server takes none any more.
func (s *Server) startPort(p *publicPort) error {
	s.mu.Lock()
	draining := s.draining.Err() != nil
	if !draining {
		s.running.Go(p.run)
	}
	s.mu.Unlock()
	if draining {
		p.end(errDraining)
		return errDraining
	}
	return nil
}

// run is where users enter, until the port ends.
func (p *publicPort) run() {
	s := p.server
	defer p.release()
	defer func() {
		if e := crash.Caught(recover()); e != nil {
			s.crashed(e)
			p.end(e)
		}
	}()
	_ = s.acceptAll(s.draining, p.listener, p.accept, shortage{s.admission.Reserve.Lend, func(conn conn.Conn) {
		s.admission.Counters.Add(admission.Users)
		_ = conn.Reset()
	}})
}

// release gives the port to whoever may have it next. Only the first call counts.
func (p *publicPort) release() {
	p.released.Do(func() {
		_ = p.listener.Close()
		p.mu.Lock()
		reason, owner := p.reason, p.owner
		p.mu.Unlock()
		s := p.server
		s.admission.ReleaseTunnelDescriptors()
		s.admission.Accounts.Close(p.account)
		s.mu.Lock()
		if s.open[p.number] == p {
			delete(s.open, p.number)
		}
		s.mu.Unlock()
		switch {
		case errors.Is(reason, lease.ErrExpired):
			s.ports.Free(p.number)
		case errors.As(reason, new(lease.Revoked)):
			s.ports.Release(p.number, lease.NoOwner)
		default:
			s.ports.Release(p.number, owner)
		}
	})
}

// end closes the port for the given reason, and with it the tunnel.
func (p *publicPort) end(reason error) {
	p.endIf(reason, func() bool { return true })
}

// endBehind is end if t is behind the port, or nothing is and t is nil.
func (p *publicPort) endBehind(t *tunnel, reason error) {
	p.endIf(reason, func() bool { return p.tunnel == t })
}

// endIf ends the port if it has not ended, and may says so, which is asked with the
// lock held.
func (p *publicPort) endIf(reason error, may func() bool) {
	p.mu.Lock()
	t, first := p.tunnel, p.reason == nil && may()
	if first {
		p.reason = reason
	}
	p.mu.Unlock()
	if first {
		p.close(t, reason)
	}
}

// close does what the end of a port, behind which t is or nothing, leads to.
func (p *publicPort) close(t *tunnel, reason error) {
	p.endLease(reason) // first, or an owner who sees the end would find this port
	p.endExcess()
	close(p.done)
	p.release() // before the tunnel is seen to end: it may be wanted at once
	if t != nil {
		t.end(reason)
	}
}

// endLease ends the lease, if there is one, and logs that its owner will not find the
// port again. While the relay shuts down the lease is kept for its next start.
func (p *publicPort) endLease(reason error) {
	switch {
	case p.lease == nil:
		return
	case errors.Is(reason, errDraining):
		p.lease.Suspend(reason)
		return
	}
	p.lease.Release(reason)
	p.mu.Lock()
	source := p.source
	p.mu.Unlock()
	is := p.lease.Lease()
	ended := is.EndEvent(reason)
	ended.Source = source.Prefix()
	if !is.Until.IsZero() {
		ended.Duration = p.lease.AwayFor()
	}
	p.server.events.Observe(ended)
}

// hasUsers reports whether it would go on to count if it were closed.
func (p *publicPort) hasUsers() bool { return p.account.Users() > 0 }

// attach puts t behind the port. A tunnel that was there is taken over from: it
// gets no more users, and those it has may finish. It fails if the port has ended.
func (p *publicPort) attach(t *tunnel) error {
	p.mu.Lock()
	err := p.reason
	if err == nil && p.lease != nil {
		err = p.lease.Activate(t.instance)
	}
	if err != nil {
		p.mu.Unlock()
		return err
	}
	old := p.tunnel
	p.tunnel = t
	if old == nil {
		close(p.behind)
	}
	if was := p.policy.Load(); was != nil && was.Equal(t.asked) {
		t.policy = was // and who has passed them is not asked again
	} else {
		t.policy = p.server.admission.Accounts.Apply(p.account, t.asked)
	}
	p.policy.Store(t.policy)
	p.mu.Unlock()
	if old != nil {
		reason := errTakenOver
		if old.instance != "" && old.instance == t.instance {
			reason = errAgain
		}
		old.end(reason) // first, or retiring would be the reason
		protocol.StopAccepting(old.session)
	}
	if p.lease != nil {
		p.lease.Save() // it has no end any more, and may have another name
	}
	return nil
}

// detach takes t from behind the port, which ends with it unless it is leased.
func (p *publicPort) detach(t *tunnel, reason error) {
	p.mu.Lock()
	if p.tunnel != t {
		p.mu.Unlock()
		return // it was taken over from
	}
	p.tunnel = nil
	p.behind = make(chan struct{})
	p.mu.Unlock()
	p.endIfUnserved(reason)
	if p.lease != nil {
		p.lease.Save()
	}
}

// endIfUnserved ends a port that has no tunnel for the given reason if it is not leased.
// A lease is away from now on.
func (p *publicPort) endIfUnserved(reason error) {
	p.mu.Lock()
	unserved := p.reason == nil && p.tunnel == nil
	if unserved && p.lease != nil {
		reason = p.lease.Away()
	}
	p.mu.Unlock()
	if unserved && reason != nil {
		p.endBehind(nil, reason)
	}
}
