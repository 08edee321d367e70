package server

import (
	"errors"
	"fmt"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/wire"
)

// findPort gives the port of the relay client's lease, or opens one.
func (s *Server) findPort(identity Identity, source admission.Source, wish wire.Preamble) (*publicPort, error) {
	if wish.Port != 0 && !s.mayAskFor(identity, wish.Port) {
		if identity.Name == "" {
			return nil, fmt.Errorf("you %w %d: it is none of %s", errForbiddenPort, wish.Port, s.config.Ports)
		}
		if identity.Ports != nil {
			return nil, fmt.Errorf("your token or certificate %w %d: it is none of %s, which its line has", errForbiddenPort, wish.Port, identity.Ports)
		}
		return nil, fmt.Errorf("your token or certificate %w %d: leave out --port, or have ports= added to its line", errForbiddenPort, wish.Port)
	}
	if wish.Lease == "" {
		p, err := s.openPort(identity, source, wish.Port, ownersOf(identity, source))
		if err != nil {
			return nil, err
		}
		return p, s.startPort(p)
	}
	key := lease.KeyOf(identity.Name, wish.Lease)
	old := s.leases.find(key)
	if old != nil && old.superseded(wish.Instance) {
		return nil, errSuperseded
	}
	if old != nil && (wish.Port == 0 || wish.Port == old.number) && s.mayHave(identity, old.number) {
		if !lease.IsOpen(old.listener) {
			return nil, errNotOpen
		}
		err := s.welcome(old, source, wish.Name)
		if err == nil || old.ended() == nil {
			return old, err
		}
		old = nil // its lease is over, since a moment ago
	}
	if err := s.leases.mayName(key, identity.Name, wish.Name); err != nil {
		return nil, err
	}
	return s.openLeased(identity, source, wish, key, old)
}

// welcome gives the owner of a lease its port, which attach or endIfUnserved has to
// follow. An error is that it may not have it, or that the lease is over.
func (s *Server) welcome(p *publicPort, source admission.Source, name string) error {
	if err := p.expect(); err != nil {
		return err
	}
	err := s.adopt(p, source)
	if err == nil {
		err = s.leases.rename(p, name)
	}
	if err != nil {
		p.endIfUnserved()
	}
	return err
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
	p.lease = &holding{
		Lease:  is.At(lease.Place{Port: p.number}, s.leases.before(key, p.number)),
		keep:   s.keep(identity.Name),
		unkept: !s.keepLease(identity, source),
	}
	if old != nil { // it wants, or has to have, another one
		p.lease.superseded = old.successor(wish.Instance)
		old.owned(source)
		old.end(errMoved)
	}
	winner, err := s.leases.enter(p)
	if err != nil || winner != p {
		p.release()
		return winner, err
	}
	if err := s.startPort(p); err != nil {
		return nil, err
	}
	s.leases.save(p)
	return p, nil
}

// mayHave reports whether an identity may have a port, asked for or not.
func (s *Server) mayHave(i Identity, number int) bool {
	if i.Ports == nil {
		return s.config.Ports.Contains(number)
	}
	return i.Ports.Contains(number)
}

// mayAskFor reports whether an identity may name the port that it wants. A relay that
// is open to everybody gives anybody what is free.
func (s *Server) mayAskFor(i Identity, number int) bool {
	if i.Name == "" {
		return s.config.Ports.Contains(number)
	}
	return i.Ports.Contains(number)
}

// openPort opens a public port, and gives it before it takes users. Owners are those
// whose ports it may be, as ownersOf has them.
func (s *Server) openPort(i Identity, source admission.Source, wanted int, owners []string) (*publicPort, error) {
	if err := s.admission.AcquireTunnelDescriptors(); err != nil {
		return nil, err
	}
	p, err := s.openAgain(i, source, wanted, owners)
	if p == nil && err == nil {
		p, err = s.openCounted(i, source, wanted, owners)
	}
	if err != nil {
		s.admission.ReleaseTunnelDescriptors()
	}
	return p, err
}

// openAgain opens a port that users of an earlier tunnel of the same owner hold, if
// there is one that it may have: it counts already.
func (s *Server) openAgain(i Identity, source admission.Source, wanted int, owners []string) (*publicPort, error) {
	numbers := []int{wanted}
	if wanted == 0 {
		if i.Name == "" {
			return nil, nil // which port it gets is nobody's to guess
		}
		numbers = s.admission.Accounts.ClosedPorts(owners[0])
	}
	for _, number := range numbers {
		if !s.mayHave(i, number) {
			continue
		}
		account := s.admission.Accounts.Resume(owners[0], number)
		if account == nil {
			continue
		}
		listener, err := s.ports.OpenOne(number, owners...)
		if err == nil {
			return newPublicPort(s, number, listener, account, source, owners[0]), nil
		}
		s.admission.Accounts.Close(account)
		if wanted != 0 {
			s.admission.Counters.Add(admission.NoPort)
			return nil, err
		}
	}
	return nil, nil
}

// openCounted opens a port that is counted now.
func (s *Server) openCounted(i Identity, source admission.Source, wanted int, owners []string) (*publicPort, error) {
	release, err := s.admission.AdmitTunnel(i.Name, i.Tunnels, source)
	// What an address left alone longest gives way to what it opens anew, and to nothing
	// that others of its network have; what an identity did, see reclaim.
	if errors.Is(err, admission.ErrTunnelsPerSource) && s.evict(source) {
		release, err = s.admission.AdmitTunnel(i.Name, i.Tunnels, source)
	}
	if err != nil {
		return nil, err
	}
	var listener Listener
	number := wanted
	switch {
	case wanted != 0:
		listener, err = s.ports.OpenOne(wanted, owners...)
	case i.Ports != nil:
		listener, number, err = s.ports.Open(i.Ports, owners...)
	default:
		listener, number, err = s.ports.Open(port.Set{s.config.Ports}, owners...)
	}
	if err != nil {
		release()
		s.admission.Counters.Add(admission.NoPort)
		return nil, err
	}
	return newPublicPort(s, number, listener, s.admission.Accounts.Open(owners[0], number, release), source, owners[0]), nil
}

// ownersOf gives whose ports somebody may have: its own first, and if the operator has
// given it certain ones, those that nobody may have back.
func ownersOf(i Identity, source admission.Source) []string {
	owners := []string{ownerOf(i.Name, source)}
	if i.Ports != nil {
		owners = append(owners, lease.NoOwner)
	}
	return owners
}
