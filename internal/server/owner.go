package server

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/wire"
)

// How long a port is kept while nobody serves it, unless Config says otherwise: an
// owner who is known gets over a weekend's repair, anybody over a restart.
const (
	defaultLease         = 5 * time.Minute
	defaultIdentityLease = 24 * time.Hour
)

// unboundOwner has a port that was restored: see publicPort.unbound.
const unboundOwner = "unbound"

// ownerOf returns who has a port: an identity, or else an address, the same one for all
// who share it.
func ownerOf(identity string, source admission.Source) string {
	if identity != "" {
		return "identity " + identity
	}
	return "address " + source.String()
}

// ownersOf returns whose ports a relay client may have: its own first, and if the
// operator has given it certain ones, those that nobody may have back.
func ownersOf(i Identity, source admission.Source) []string {
	owners := []string{ownerOf(i.Name, source)}
	if i.Ports != nil {
		owners = append(owners, lease.NoOwner)
	}
	return owners
}

// mayHave reports whether an identity may have a port, asked for or not.
func (s *Server) mayHave(i Identity, number int) bool {
	if i.Ports == nil {
		return s.config.Ports.Contains(number)
	}
	return i.Ports.Contains(number)
}

// mayAskFor returns an error if an identity may not name the port that it wants. A relay
// that is open to everybody gives anybody what is free.
func (s *Server) mayAskFor(i Identity, wanted int) error {
	switch {
	case wanted == 0, i.Name == "" && s.config.Ports.Contains(wanted), i.Name != "" && i.Ports.Contains(wanted):
		return nil
	case i.Name == "":
		return fmt.Errorf("you %w %d: it is none of %s", errForbiddenPort, wanted, s.config.Ports)
	case i.Ports != nil:
		return fmt.Errorf("your token or certificate %w %d: it is none of %s, which its line has", errForbiddenPort, wanted, i.Ports)
	}
	return fmt.Errorf("your token or certificate %w %d: leave out --port, or have ports= added to its line", errForbiddenPort, wanted)
}

// findPort returns the port of the relay client's lease, or opens one.
func (s *Server) findPort(identity Identity, source admission.Source, wish wire.Preamble) (*publicPort, error) {
	if err := s.mayAskFor(identity, wish.Port); err != nil {
		return nil, err
	}
	if wish.Lease == "" {
		p, err := s.openPort(identity, source, wish.Port, ownersOf(identity, source))
		if err != nil {
			return nil, err
		}
		s.trackPort(p)
		return p, s.startPort(p)
	}
	key := lease.KeyOf(identity.Name, wish.Lease)
	old := s.leasedPort(s.leases.Find(key))
	if old != nil && old.lease.Superseded(wish.Instance) {
		return nil, errSuperseded
	}
	if old != nil && (wish.Port == 0 || wish.Port == old.number) && s.mayHave(identity, old.number) {
		if !lease.IsOpen(old.listener) {
			return nil, errNotOpen
		}
		err := s.resume(old, source, wish.Name)
		if err == nil || errors.Is(err, lease.ErrNameTaken) {
			return old, err
		}
		old = nil // its lease is over, since a moment ago
	}
	if err := s.leases.MayName(key, identity.Name, wish.Name); err != nil {
		return nil, err
	}
	return s.openLeased(identity, source, wish, key, old)
}

// leasedPort returns the port of a lease, or nil if there is no lease or its port has
// just closed.
func (s *Server) leasedPort(h *lease.Handle) *publicPort {
	if h == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.open[h.Port()]; p != nil && p.lease == h {
		return p
	}
	return nil
}

// resume gives the owner of a lease its port, which attach or endIfUnserved has to
// follow. It fails if the owner may not have the name, or the lease is over.
func (s *Server) resume(p *publicPort, source admission.Source, name string) error {
	if err := p.lease.Resume(); err != nil {
		return err
	}
	err := s.bind(p, source)
	if err == nil {
		err = p.lease.Rename(name)
	}
	if err != nil {
		p.endIfUnserved(err)
	}
	return err
}

// bind has a port that was restored count against the source of its owner, who has
// come, even beyond what that may have: the port is open, and what others of the network
// have opened meanwhile does not keep its owner out. It fails if the port has ended.
func (s *Server) bind(p *publicPort, source admission.Source) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason == nil && p.unbound {
		p.unbound, p.source, p.owner = false, source, ownerOf("", source)
		p.lease.Bind(p.owner)
		s.admission.Accounts.Bind(p.account, p.owner, s.admission.CountTunnel(source))
	}
	return p.reason
}

// bindEnding has a port that ends be kept for its owner, who has come for another one.
func (p *publicPort) bindEnding(source admission.Source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unbound {
		p.owner = ownerOf("", source)
	}
}

// openLeased opens a port for the owner of a lease key, in place of the old one if
// there is such.
func (s *Server) openLeased(
	identity Identity, source admission.Source, wish wire.Preamble, key lease.Key, old *publicPort,
) (*publicPort, error) {
	p := s.openShelved(identity, source, wish.Port, key)
	if p == nil {
		var err error
		if p, err = s.openPort(identity, source, wish.Port, ownersOf(identity, source)); err != nil {
			return nil, err
		}
	}
	is := lease.Lease{Key: key, Name: wish.Name, Identity: identity.Name}
	p.lease = s.leases.New(is.At(lease.Place{Port: p.number}, s.leases.Before(key, p.number)), p.owner, p.end)
	p.lease.Ephemeral = identity.Name == "" && !s.admission.AllowSavedLease(source)
	if old != nil { // the owner wants, or has to have, another port
		p.lease.Succeed(old.lease, wish.Instance)
		old.bindEnding(source)
		old.end(errMoved)
	}
	s.trackPort(p)
	winner, err := s.leases.Acquire(p.lease)
	if err != nil || winner != p.lease {
		p.release()
		if p = s.leasedPort(winner); p == nil && err == nil {
			err = lease.ErrExpired // since a moment ago
		}
		return p, err
	}
	if err := s.startPort(p); err != nil {
		return nil, err
	}
	p.lease.Save()
	return p, nil
}

// openShelved opens a port that a key has a right to, if one that was in the way when
// the relay was started is not any more, and it is the one that is wanted, if there is
// such.
func (s *Server) openShelved(i Identity, source admission.Source, wanted int, key lease.Key) *publicPort {
	for _, place := range s.leases.Before(key, 0) {
		if !s.mayHave(i, place.Port) || wanted != 0 && wanted != place.Port {
			continue
		}
		// The port is withheld for NoOwner, and stays so if it cannot be opened now.
		owners := append(ownersOf(i, source), lease.NoOwner)
		if p, err := s.openPort(i, source, place.Port, owners); err == nil {
			return p
		}
	}
	return nil
}
