package server

import (
	"math"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/entry"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/policy"
)

// Estate is what one process of the relay leaves to the next.
type Estate struct {
	Ports       []EstatePort
	Older       []Predecessor // in the order of their handovers, the last one at the end
	Quarantined []lease.Quarantined
	Bans        []admission.Ban
}

// EstatePort is a public port of an estate.
type EstatePort struct {
	Number int
	// Listener is at the port. Nil is that it is not open, or is somebody's without a lease
	// and stays where it is.
	Listener conn.Listener
	Lease    *lease.Passed // or nil
	Owner    string
	Paused   bool
	// Served says that somebody serves the port: Holder, or, if that is nil in an estate that
	// Server.Estate returns, this process.
	Served bool
	Holder Predecessor
}

// listeners are those of the open public ports.
type listeners struct {
	mu sync.Mutex // guards at
	at map[int]portListener
}

// portListener is the listener of a port.
type portListener struct {
	port *entry.Port
	conn.Listener
}

func (l *listeners) set(number int, is portListener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = make(map[int]portListener)
	}
	l.at[number] = is
}

func (l *listeners) remove(number int, was *entry.Port) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at[number].port == was {
		delete(l.at, number)
	}
}

// get returns the listener of a port that is open, or nil.
func (l *listeners) get(number int) conn.Listener {
	l.mu.Lock()
	defer l.mu.Unlock()
	if is := l.at[number]; is.port != nil {
		return lease.Opened(is.Listener)
	}
	return nil
}

// Estate returns what another process needs to take over. It is for a server that is frozen.
func (s *Server) Estate() Estate {
	e := Estate{Older: s.succession.predecessors(), Quarantined: s.registrar.ports.Quarantined(), Bans: s.admission.Bans.All()}
	s.succession.mu.Lock()
	holders := make(map[int]Predecessor)
	for number, f := range s.succession.foreign {
		if f.lease == nil {
			e.Ports = append(e.Ports, EstatePort{Number: number, Owner: f.owner, Served: true, Holder: f.holder})
		} else if f.lease.IsHeld() {
			holders[number] = f.holder
		}
	}
	s.succession.mu.Unlock()
	for _, of := range s.endpoints.All() {
		e.Ports = append(e.Ports, s.estateOf(of, holders[of.Port]))
	}
	return e
}

// estateOf returns one port of the estate.
func (s *Server) estateOf(e *endpoint.Endpoint, holder Predecessor) EstatePort {
	p := EstatePort{
		Number: e.Port, Owner: e.OwnerNow(), Paused: e.IsPaused(), Served: holder != nil || len(e.Tunnels()) > 0, Holder: holder,
	}
	if e.Lease != nil {
		passed := e.Lease.Passed()
		p.Lease, p.Listener = &passed, s.registrar.listeners.get(e.Port)
	}
	return p
}

// inherit opens what another process has left, and returns the leases.
func (s *Server) inherit(estate *Estate) (leases []*lease.Handle) {
	if estate == nil {
		return nil
	}
	s.succession.mu.Lock()
	s.succession.older, s.succession.foreign = estate.Older, make(map[int]*foreignPort)
	s.succession.noteLocked()
	s.succession.mu.Unlock()
	for _, b := range estate.Bans {
		_ = s.admission.Bans.Add(b.Source, time.Until(b.Until)) // fails if it is over by now
	}
	for _, p := range estate.Ports {
		if h := s.inheritPort(p); h != nil {
			leases = append(leases, h)
		}
	}
	for _, q := range estate.Quarantined {
		s.registrar.ports.Keep(q)
	}
	return leases
}

// inheritPort opens, or reserves, one port. One that the server may not open stays with whom it
// is until Begin.
func (s *Server) inheritPort(p EstatePort) *lease.Handle {
	f := &foreignPort{holder: p.Holder, owner: p.Owner}
	if p.Lease == nil {
		s.registrar.ports.Reserve(p.Number)
	} else {
		var err error
		if f.lease, f.port, err = s.registrar.inherit(p); err != nil {
			s.log.Warn("a leased port cannot be taken over", "port", p.Number, "error", err)
			f.lease, f.port, f.rejected = nil, nil, true
		}
	}
	s.succession.mu.Lock()
	s.succession.foreign[p.Number] = f
	s.succession.mu.Unlock()
	if f.lease == nil {
		return nil
	}
	return f.lease.Lease
}

// inherit opens the endpoint of a lease as another process has it, which takes nobody yet.
func (r *registrar) inherit(p EstatePort) (e *endpoint.Endpoint, port *entry.Port, err error) {
	l := p.Lease.Lease
	if err := r.mayRestore(l); err != nil {
		closeListener(p.Listener)
		return nil, nil, err
	}
	if policy.CheckName(l.Name) != nil || r.leases.MayName(l.Key, l.Identity, l.Name) != nil {
		l.Name = "" // there are two, which cannot be
	}
	o, err := r.openInherited(p, l)
	if err != nil {
		return nil, nil, err
	}
	e = r.lease(o, l)
	e.Lease.Inherit(*p.Lease)
	if _, err := r.leases.Acquire(e.Lease); err != nil {
		e.Discard()
		return nil, nil, err
	}
	if p.Paused {
		e.Pause()
	}
	if p.Served {
		e.Hold()
		return e, o.port, r.start(e, o)
	}
	until := l.Until
	if until.IsZero() {
		until = time.Now().Add(e.Lease.TTL())
	}
	if err := e.Lease.AwayUntil(until); err != nil {
		e.Close(err)
		return nil, nil, err
	}
	return e, o.port, r.start(e, o)
}

func closeListener(l conn.Listener) {
	if l != nil {
		_ = l.Close()
	}
}

// openInherited opens the port of a lease at the listener of another process. Without one the
// port is not open there, either.
func (r *registrar) openInherited(p EstatePort, l lease.Lease) (*opened, error) {
	var listener conn.Listener
	var err error
	late := p.Listener == nil
	if late {
		listener, err = r.ports.OpenLate(p.Number, r.log)
	} else {
		listener, err = r.ports.Adopt(p.Number, p.Listener)
	}
	if err != nil {
		return nil, err
	}
	if err := r.admission.AcquireTunnelDescriptors(); err != nil {
		_ = listener.Close()
		r.ports.Free(p.Number)
		return nil, err
	}
	owner, release := endpoint.Unbound, func() {}
	if l.Identity != "" {
		owner = ownerOf(l.Identity)
		release, _ = r.admission.AdmitTunnel(l.Identity, math.MaxInt, admission.Source{}) // cannot be too many
	}
	account := r.admission.Accounts.Open(owner, p.Number, release)
	o := r.newOpenedAt(entry.NewHeldPort(r.entries, p.Number, listener), p.Number, listener, account, admission.Source{}, owner)
	if late {
		o.Ready = func() bool { return lease.IsOpen(listener) }
	}
	return o, nil
}
