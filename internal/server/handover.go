package server

import (
	"errors"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// Begin has a server that was made of an estate take users: at the ports that no predecessor
// serves. The other process has let go.
func (s *Server) Begin() {
	for number, f := range s.succession.begin() {
		switch {
		case f.rejected && f.holder != nil:
			f.holder.Served(number, "") // nobody may have it
		case !f.rejected && f.holder == nil && f.port != nil:
			f.port.Release()
		}
	}
}

// Succeed has another process serve in place of this one, which is frozen: it accepts nobody
// at the control port any more, and relay clients that can be told are told to register with
// the other one. Users who are joined go on. It returns how many relay clients are told, and
// how many cannot be.
func (s *Server) Succeed(next Successor) (told, untold int) {
	s.succession.mu.Lock()
	s.succession.next, s.succession.older = next, nil
	s.succession.noteLocked()
	s.succession.mu.Unlock()
	s.gate.open(true)
	s.mu.Lock()
	for l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	s.endpoints.Succeed(next)
	return s.endpoints.Move()
}

// Deserted is closed when, after Succeed, neither a public port nor a user is left here.
func (s *Server) Deserted() <-chan struct{} { return s.endpoints.Deserted() }

// HandOverPort has a port be the successor's, where an instance serves it: Predecessor.Served
// of the other process.
func (s *Server) HandOverPort(number int, instance string) {
	if e := s.endpoints.At(number); e != nil && s.succession.successor() != nil {
		e.HandOver(instance)
	}
}

// Knows reports whether a claim with that key is for a tunnel of this server.
func (s *Server) Knows(verb string, key wire.Key) bool {
	p := s.protocolOf(verb)
	return p != nil && knows(p, key)
}

// TakeClaim takes a claim from another process, which has identified its owner.
func (s *Server) TakeClaim(verb, owner, id string, c conn.Conn) {
	p := s.protocolOf(verb)
	if p == nil {
		_ = c.Reset()
		return
	}
	h := handshake{Server: s, conn: c, req: wire.Request{Verb: p.Verb(), ID: id}}
	defer s.resetOnPanic(c)
	if err := p.Claim(c, owner, id); err != nil {
		if errors.Is(err, protocol.ErrUnknownID) {
			err = protocol.ErrLate // it was known when the other process asked
		}
		h.refused(err)
	}
}

func (s *Server) protocolOf(verb string) protocol.Relay {
	for v, p := range s.protocols {
		if v.Name == verb {
			return p
		}
	}
	return nil
}

// PortLeft takes a port over that a predecessor does not serve any more: Successor.Left of the
// other process.
func (s *Server) PortLeft(from Predecessor, number int, owner string) {
	f := s.succession.left(from, number)
	switch {
	case f == nil:
	case f.lease == nil:
		s.registrar.ports.Release(number, owner)
	default:
		f.port.Release()
		f.lease.Unhold(errLeftBehind)
	}
}

// TakeUser takes a user from another process, and what has been read of it.
func (s *Server) TakeUser(number int, c conn.Conn, first []byte) {
	e := s.endpoints.At(number)
	if e == nil {
		_ = c.Reset()
		return
	}
	if wait := e.Serve(c, first); wait != nil {
		s.endpoints.Go(wait)
	}
}

// TakeControl takes a connection to the control port from another process, and what has been
// read of it.
func (s *Server) TakeControl(c conn.Conn, read []byte) { s.startHandshake(conn.Begun(c, read)) }

// Forget has a predecessor be gone. Its ports are left.
func (s *Server) Forget(p Predecessor) {
	for number, owner := range s.succession.forget(p) {
		s.PortLeft(p, number, owner)
	}
}

// errLeftBehind is why a lease is away that another process has served.
var errLeftBehind = observe.WithReason(errors.New("the process of the relay that served it has ended, or has lost its relay client"), observe.RelayClientLost)

// Bridge joins two connections of which neither is a user's.
func (s *Server) Bridge(a, b conn.Conn) { s.endpoints.Bridge(a, b) }
