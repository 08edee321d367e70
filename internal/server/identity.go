package server

import (
	"errors"
	"fmt"
	"sync"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/port"
)

// Identity is who a relay client is. The zero value is nobody in particular.
type Identity struct {
	Name string
	// Ports are those that it may have, and may ask for by number. Nil means what
	// the relay chooses, from its own.
	Ports port.Set
	// Tunnels is how many it may have. Zero means 100.
	Tunnels int
	// Rails are on each of its public ports.
	Rails policy.Policy
	// Watch has ended called, once, when the identity no longer holds, and stop
	// ends that. Ended must not wait. Nil for an identity that holds for ever.
	Watch func(ended func(reason error)) (stop func())
}

// ErrUnauthorized is wrapped by what Config.Identify returns for a token that is
// nobody's. Who shows the same one again has to wait for the answer, and who shows very
// many different ones is shut out, as for wrong claims.
var ErrUnauthorized = errors.New("the relay does not know who this is")

// ErrIdentityChanged is wrapped by the reason for which an identity no longer holds
// that may come back as the same one, if with other rights: it keeps its leases, as
// far as Config.WatchOwner has it.
var ErrIdentityChanged = errors.New("the relay client has to register anew")

// identityTunnels is how many tunnels one who is known may have.
const identityTunnels = 100

var (
	errTooManyTunnels    = errors.New("this address has as many tunnels as the relay allows")
	errTooManyOfNetwork  = errors.New("the network of this address has as many tunnels as the relay allows")
	errTooManyOfIdentity = errors.New("this token has as many tunnels as it is good for")
	errNoDescriptors     = errors.New("no descriptors are left for another tunnel")
)

// takeDescriptors takes those of a public port.
func (s *Server) takeDescriptors() error {
	if !s.admission.descriptors.TakeForClient(tunnelDescriptors) {
		s.counters.Add(admission.Descriptors)
		return errNoDescriptors
	}
	return nil
}

// countFor is count for one who has come. What an address left alone longest gives
// way to what it opens anew, and to nothing that others of its network have; what an
// identity did, see reclaim.
func (s *Server) countFor(i Identity, source admission.Source) (leave func(), err error) {
	if leave, err = s.count(i, source); errors.Is(err, errTooManyTunnels) && s.evict(source) {
		return s.count(i, source)
	}
	return leave, err
}

// count counts a public port against an identity, or else against the source that it
// comes from, if there is one. What undoes it is for the port's account to call, once.
func (s *Server) count(i Identity, source admission.Source) (leave func(), err error) {
	switch {
	case i.Name != "":
		most := i.Tunnels
		if most == 0 {
			most = identityTunnels
		}
		if !s.admission.identities.enter(i.Name, most) {
			s.counters.Add(admission.TunnelsPerSource)
			return nil, fmt.Errorf("%w: %d", errTooManyOfIdentity, most)
		}
		return func() { s.admission.identities.leave(i.Name) }, nil
	case source != admission.Source{} && !source.StandsForMany():
		return s.countSource(source)
	}
	return func() {}, nil
}

// countSource counts a public port against a source, and the network that it is in.
func (s *Server) countSource(source admission.Source) (leave func(), err error) {
	if !s.admission.tunnels.Enter(source) {
		s.counters.Add(admission.TunnelsPerSource)
		return nil, fmt.Errorf("%w: %d", errTooManyTunnels, s.config.Limits.TunnelsPerSource)
	}
	if !s.admission.networks.Enter(source.Network()) {
		s.admission.tunnels.Leave(source)
		s.counters.Add(admission.TunnelsPerNetwork)
		return nil, fmt.Errorf("%w: %d", errTooManyOfNetwork, s.config.Limits.TunnelsPerNetwork)
	}
	return func() { s.discountSource(source) }, nil
}

// countBeyond is count for a public port that a source has already.
func (s *Server) countBeyond(source admission.Source) (leave func()) {
	if source.StandsForMany() {
		return func() {}
	}
	s.admission.tunnels.Add(source)
	s.admission.networks.Add(source.Network())
	return func() { s.discountSource(source) }
}

// discountSource undoes countSource.
func (s *Server) discountSource(source admission.Source) {
	s.admission.tunnels.Leave(source)
	s.admission.networks.Leave(source.Network())
}

// census counts what identities have.
type census struct {
	mu sync.Mutex // guards what follows
	of map[string]int
}

func newCensus() *census { return &census{of: make(map[string]int)} }

// enter counts one, and tells whether that is within most; it does not count beyond.
func (c *census) enter(name string, most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[name] >= most {
		return false
	}
	c.of[name]++
	return true
}

func (c *census) leave(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[name]--; c.of[name] == 0 {
		delete(c.of, name)
	}
}
