package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/limit"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// proxyWait is how long a load balancer may take to say who the user is: it sends
// that at once.
const proxyWait = 5 * time.Second

// comesFrom reports whether a connection comes from a load balancer of these networks,
// which may say who its user, or its relay client, is. Anybody else who sends a PROXY header
// sends payload.
func (s *Server) comesFrom(conn join.Conn, networks []netip.Prefix) bool {
	if len(networks) == 0 {
		return false
	}
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	return err == nil && slices.ContainsFunc(networks, func(p netip.Prefix) bool {
		return p.Contains(from.Addr().Unmap().WithZone(""))
	})
}

// startProxied answers a connection from a load balancer before the control port. Until
// that has said whose it is, it has a place among others of which that is not known, and
// then one among those of its owner's.
func (s *Server) startProxied(conn join.Conn) {
	source := limit.SourceOf(conn.RemoteAddr())
	pass, reason := s.admission.headers.EnterAlone(func() { _ = conn.Reset() })
	s.crowded(conn, source, reason)
	go func() {
		defer s.handshakes.Done()
		defer s.admission.headers.Leave(pass)
		defer s.resetOnPanic(conn)
		conn, err := s.relayClientOf(conn)
		if !s.admission.headers.Leave(pass) {
			return // it was reset
		}
		if err != nil {
			s.unknown(conn, err)
			return
		}
		if pass, shutOut := s.enter(conn); pass != nil {
			s.answer(conn, pass, shutOut)
		}
	}()
}

// relayClientOf gives the connection as one of the relay client's. After an error it is
// what it was.
func (s *Server) relayClientOf(conn join.Conn) (join.Conn, error) {
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
func (s *Server) unknown(conn join.Conn, err error) {
	kind, level := notRequest(err), slog.LevelDebug
	if kind == limit.NotRequests {
		level = slog.LevelWarn
	}
	s.counters.Add(kind)
	s.logAbout(limit.SourceOf(conn.RemoteAddr()), level, "connection closed: a trusted proxy does not say whose it is",
		"proxy", inLog{conn.RemoteAddr()}, "error", err)
	_ = conn.Close()
}

// introduced reads the header that a load balancer sends, and gives the connection
// as one of the user's.
func (s *Server) introduced(conn join.Conn) (join.Conn, error) {
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
