package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// proxyWait is how long a load balancer may take to say who the user is: it sends
// that at once.
const proxyWait = 5 * time.Second

// comesFrom reports whether a connection comes from a load balancer of these networks,
// which may say who its user, or its relay client, is. Anybody else who sends a PROXY header
// sends payload.
func (s *Server) comesFrom(c conn.Conn, networks []netip.Prefix) bool {
	if len(networks) == 0 {
		return false
	}
	from := conn.AddrPort(c.RemoteAddr()).Addr()
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(from) })
}

// sourceOf gives who a connection comes from. Limits for each source do not hold for a
// peer that is a proxy: what one of those behind it does is not the others' fault. They
// hold for whomever a load balancer has named.
func (s *Server) sourceOf(conn conn.Conn) admission.Source {
	return s.sourceAt(conn, conn.RemoteAddr())
}

// sourceAt is sourceOf for a connection whose remote address is known.
func (s *Server) sourceAt(conn conn.Conn, addr net.Addr) admission.Source {
	return s.admission.SourceOf(addr, isNamed(conn))
}

// isNamed reports whether a load balancer has said whose a connection is.
func isNamed(c conn.Conn) bool {
	n, ok := conn.As[interface{ Named() bool }](c)
	return ok && n.Named()
}

// startProxied answers a connection from a load balancer before the control port. Until
// that has said whose it is, it has a place among others of which that is not known, and
// then one among those of its owner's.
func (s *Server) startProxied(conn conn.Conn) {
	slot := s.admission.AdmitHeader(conn.RemoteAddr(), s.sourceOf(conn), func() { _ = conn.Reset() })
	go func() {
		defer s.handshakes.Done()
		defer s.admission.ReleaseHeader(slot)
		defer s.resetOnPanic(conn)
		conn, err := s.relayClientOf(conn)
		if !s.admission.ReleaseHeader(slot) {
			return // it was reset
		}
		if err != nil {
			s.unknown(conn, err)
			return
		}
		if slot, banned := s.admitHandshake(conn); slot != nil {
			s.answer(conn, slot, banned)
		}
	}()
}

// relayClientOf gives the connection as one of the relay client's. After an error it is
// what it was.
func (s *Server) relayClientOf(conn conn.Conn) (conn.Conn, error) {
	defer context.AfterFunc(s.closed, func() { _ = conn.Reset() })()
	_ = conn.SetReadDeadline(time.Now().Add(s.config.Limits.HandshakeTimeout)) // fails as the read does
	introduced, err := s.config.Introduce(conn)
	if err != nil {
		return conn, err
	}
	return introduced, nil
}

// unknown closes a connection of which a load balancer has not said whose it is. Most
// are its own, with which it looks whether the relay lives.
func (s *Server) unknown(conn conn.Conn, err error) {
	kind, reason := notRequest(err)
	level := slog.LevelDebug
	if kind == admission.NotRequests {
		level, reason = slog.LevelWarn, observe.NoProxyHeader
	}
	s.admission.Counters.Add(kind)
	s.events.Observe(observe.Event{
		Name: observe.ProxyHeaderFailed, Level: level, Source: s.sourceOf(conn).Prefix(), Proxy: conn.RemoteAddr(), Reason: reason, Err: err,
	})
	_ = conn.Close()
}

// introduced reads the header that a load balancer sends, and gives the connection
// as one of the user's.
func (s *Server) introduced(conn conn.Conn) (conn.Conn, error) {
	defer context.AfterFunc(s.draining, func() { _ = conn.Reset() })()
	_ = conn.SetReadDeadline(time.Now().Add(proxyWait)) // fails as the read does
	user, public, err := proxyproto.ReadEither(conn)
	if err != nil {
		return nil, fmt.Errorf("a trusted proxy does not say who the user is: %w", err)
	}
	if err := conn.SetReadDeadline(noDeadline); err != nil {
		return nil, err
	}
	if user == nil {
		return conn, nil // it is the proxy itself, which looks whether we live
	}
	return proxyproto.NewConn(conn, user, public), nil
}
