package server

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/proxyproto"
)

// proxyWait is how long a load balancer may take to say who the user is: it sends
// that at once.
const proxyWait = 5 * time.Second

// isProxy tells whether a connection comes from a load balancer that may say who the
// user is. Whoever else sends a PROXY header sends payload.
func (s *Server) isProxy(conn join.Conn) bool {
	if len(s.config.TrustedProxies) == 0 {
		return false
	}
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	return err == nil && slices.ContainsFunc(s.config.TrustedProxies, func(p netip.Prefix) bool {
		return p.Contains(from.Addr().Unmap().WithZone(""))
	})
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
