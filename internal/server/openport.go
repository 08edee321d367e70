package server

import (
	"errors"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/port"
)

// openPort opens a public port, and returns it before it takes users. Owners are those
// whose ports it may be, as ownersOf returns them.
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
	// The lease of an address that is away longest gives way to what the address opens now,
	// and to nothing that others of its network have. For identities see reclaim.
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
