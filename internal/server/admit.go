package server

import (
	"errors"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/protocol"
)

// admitHandshake admits a connection that has yet to send its request, or resets it and
// returns nil. A banned one is to be told so.
func (s *Server) admitHandshake(conn conn.Conn) (slot *admission.Slot, banned bool) {
	source := s.sourceOf(conn)
	slot, banned = s.admission.AdmitHandshake(conn.RemoteAddr(), source, s.expected(source), func() { _ = conn.Reset() })
	if slot == nil {
		_ = conn.Reset()
	}
	return slot, banned
}

// expected is how many connections the tunnels of a source expect, if the source is not
// shared.
func (s *Server) expected(source admission.Source) (n int) {
	if source.IsShared() {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.tunnels[source] {
		if e, ok := t.session.(protocol.Claimable); ok {
			n += e.ExpectedClaims()
		}
	}
	return n
}

// admit admits a user, perhaps after a delay, or returns the limit in the way.
func (p *publicPort) admit(conn conn.Conn) (u *user, err error) {
	u = &user{conn: conn, addr: conn.RemoteAddr(), port: p, came: time.Now()}
	u.Ticket, err = p.server.admission.AdmitUser(p.account, p.policy.Load(), u.addr, p.server.sourceAt(conn, u.addr))
	return u, err
}

// leave gives back what the user took.
func (u *user) leave() {
	u.port.order.leave(u.Source, u.turn)
	u.port.server.admission.ReleaseUser(&u.Ticket)
}

// admit admits a user under the policy of the tunnel, perhaps after a delay of at most
// maxDelay.
func (t *tunnel) admit(u *user, maxDelay time.Duration) (delay time.Duration, err error) {
	delay, err = u.AdmitUnder(t.policy, u.addr, maxDelay)
	if errors.Is(err, admission.ErrAccountReleased) {
		err = protocol.ErrTunnelEnded // with its port, a moment ago
	}
	return delay, err
}
