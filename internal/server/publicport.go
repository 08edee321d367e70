package server

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

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
	lease *holding
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

// startPort has p take users, unless the server takes none any more.
func (s *Server) startPort(p *publicPort) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Err() != nil {
		p.release()
		return errDraining
	}
	s.open[p] = struct{}{}
	s.running.Go(p.run)
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
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, p)
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
		if errors.Is(reason, errLeaseOver) {
			p.server.ports.Free(p.number)
		} else {
			p.server.ports.Release(p.number, owner)
		}
		p.server.admission.ReleaseTunnelDescriptors()
		p.server.admission.Accounts.Close(p.account)
	})
}

// unboundOwner has a port that was restored: see publicPort.unbound.
const unboundOwner = "unbound"

// ownerOf is who has a port: an identity, or else an address, the same one for all
// who share it.
func ownerOf(identity string, source admission.Source) string {
	if identity != "" {
		return "identity " + identity
	}
	return "address " + source.String()
}

// end closes the port for the given reason, and with it the tunnel.
func (p *publicPort) end(reason error) { p.endWhen(reason, func() bool { return true }) }

// endIfAway is end if nobody serves the port, and no owner has come who is about to. It
// reports whether that was so.
func (p *publicPort) endIfAway(reason error) bool {
	return p.endWhen(reason, func() bool {
		return p.tunnel == nil && (p.lease == nil || !p.lease.Until.IsZero())
	})
}

// disown is end if t is behind the port, or nothing is and t is nil, because its owner
// may not have it any more.
func (p *publicPort) disown(t *tunnel, reason error) {
	p.endWhen(reason, func() bool { return p.tunnel == t && p.disownLocked() })
}

func (p *publicPort) disownLocked() bool {
	p.owner = lease.NoOwner
	return true
}

// endWhen ends the port if it has not ended, and may says so, which is asked with the
// lock held. It reports whether it did.
func (p *publicPort) endWhen(reason error, may func() bool) bool {
	p.mu.Lock()
	t, first := p.tunnel, p.reason == nil && may()
	if first {
		p.reason = reason
	}
	p.mu.Unlock()
	if first {
		p.close(t, reason)
	}
	return first
}

// close does what the end of a port, behind which t is or nothing, leads to.
func (p *publicPort) close(t *tunnel, reason error) {
	p.server.leases.forget(p, reason) // first, or an owner who sees the end would find this port
	p.logLeaseEnd(reason)
	p.endExcess()
	close(p.done)
	p.release() // before the tunnel is seen to end: it may be wanted at once
	if t != nil {
		t.end(reason)
	}
}

// logLeaseEnd logs that the lease has ended, if there was one, and that its owner will
// not find the port again. While the relay shuts down it does not end.
func (p *publicPort) logLeaseEnd(reason error) {
	if p.lease == nil || errors.Is(reason, errDraining) {
		return
	}
	p.mu.Lock()
	is, away, source := p.lease.Lease, p.lease.away, p.source
	p.mu.Unlock()
	about := append(aboutLease(is), "reason", reason)
	if !is.Until.IsZero() {
		about = append(about, "awayFor", time.Since(away).Round(time.Second).String())
	}
	s := p.server
	s.admission.Logs.Tunnels.Log(source, slog.LevelInfo, "lease ended", about...)
}

// hasUsers reports whether it would go on to count if it were closed.
func (p *publicPort) hasUsers() bool { return p.account.Users() > 0 }

// aboutLease gives what logs say of a lease.
func aboutLease(l lease.Lease) []any {
	about := []any{"port", l.Port}
	if l.Identity != "" {
		about = append(about, "identity", l.Identity)
	}
	if l.Name != "" {
		about = append(about, "name", l.Name)
	}
	return about
}

// expect keeps the lease from ending between the moment its owner comes and the one
// in which it is served, or is not: it would be told a port that it loses.
func (p *publicPort) expect() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason == nil && p.tunnel == nil {
		p.lease.rest()
		p.lease.Until = time.Time{}
	}
	return p.reason
}

// attach puts t behind the port. A tunnel that was there is taken over from: it
// gets no more users, and those it has may finish. It fails if the port has ended.
func (p *publicPort) attach(t *tunnel) error {
	p.mu.Lock()
	if p.reason != nil {
		defer p.mu.Unlock()
		return p.reason
	}
	old := p.tunnel
	p.tunnel = t
	if old == nil {
		close(p.behind)
	}
	p.lease.served(t, old)
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
		p.server.leases.save(p) // it has no end any more, and may have another name
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
	stays := p.reason == nil && p.lease != nil
	var gone error
	if stays {
		gone = p.awayLocked(time.Now().Add(p.lease.keep))
	}
	p.mu.Unlock()
	switch {
	case gone != nil:
		p.disown(nil, gone)
	case stays:
		p.server.leases.save(p)
	default:
		p.end(reason)
	}
}

// awayLocked has the lease end if nobody serves the port until then, or its owner may
// not have it any more. An error is that it may not by now.
func (p *publicPort) awayLocked(until time.Time) error {
	h, s := p.lease, p.server
	h.rest()
	h.Until, h.away = until, time.Now()
	// What runs already when it is stopped may be late: the owner has come, and gone.
	still := func() bool { return p.tunnel == nil && h.Until.Equal(until) }
	h.timer = time.AfterFunc(time.Until(until), func() { p.endWhen(errLeaseOver, still) })
	if h.Identity == "" {
		return nil
	}
	var err error
	h.unwatch, err = s.config.WatchOwner(h.Identity, p.number, func(reason error) {
		s.aside(func() { p.endWhen(reason, func() bool { return still() && p.disownLocked() }) })
	})
	return err
}
