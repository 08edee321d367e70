package admin

import (
	"log/slog"
	"net/http"
	"net/netip"
	"slices"

	"github.com/seed96252745/relay/internal/api"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/observe"
)

// eventParameter is the parameter that may come several times.
const eventParameter = "event"

// maxEvents bounds the names that a filter has. There are fewer events.
const maxEvents = 32

// filter selects events of the stream.
type filter struct {
	names    []string // any of these; none is all
	level    slog.Level
	tunnel   uint64 // its number, or 0 for all
	port     int    // of that tunnel
	identity string
	user     netip.AddrPort // with port 0 for any; zero is all
}

// filter reads the filter of a request.
func (s *Server) filter(r *http.Request) (f filter, err error) {
	values, err := parameters(r, eventParameter, "level", "tunnel", "identity", "user")
	if err != nil {
		return f, err
	}
	f = filter{names: values[eventParameter], level: slog.LevelDebug, identity: values.Get("identity")}
	if len(f.names) > maxEvents {
		return f, badRequest("there are more than %d events", maxEvents)
	}
	if text := values.Get("level"); text != "" && f.level.UnmarshalText([]byte(text)) != nil {
		return f, badRequest("level is debug, info, warn or error")
	}
	if text := values.Get("user"); text != "" {
		if f.user, err = parseUser(text); err != nil {
			return f, err
		}
	}
	if id := values.Get("tunnel"); id != "" {
		tunnels := s.Node.Tunnels()
		i := slices.IndexFunc(tunnels, func(t api.Tunnel) bool { return t.ID == id })
		if i < 0 {
			return f, unknownTunnel()
		}
		f.port = tunnels[i].Port
		f.tunnel, _ = api.ParseTunnelID(id) // a node has no other IDs
	}
	return f, nil
}

// parseUser reads an address, with or without a port.
func parseUser(text string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr.Unmap(), 0), nil
	}
	user, err := netip.ParseAddrPort(text)
	if err != nil {
		return user, badRequest("user is an address, with or without a port: 192.0.2.7 or [2001:db8::1]:40000")
	}
	return netip.AddrPortFrom(user.Addr().Unmap(), user.Port()), nil
}

// wants reports whether the filter lets an event through.
func (f *filter) wants(e *observe.Event) bool {
	switch {
	case e.Level < f.level,
		len(f.names) > 0 && !slices.Contains(f.names, string(e.Name)),
		f.tunnel != 0 && !f.isOf(&e.Tunnel),
		f.identity != "" && f.identity != e.Tunnel.Identity:
		return false
	case !f.user.IsValid():
		return true
	case e.User == nil:
		return false
	}
	user := conn.AddrPort(e.User)
	return user.Addr() == f.user.Addr() && (f.user.Port() == 0 || f.user.Port() == user.Port())
}

// isOf reports whether an event is of the tunnel. That of a lease knows its port alone.
func (f *filter) isOf(t *observe.Tunnel) bool {
	return t.ID == f.tunnel || t.ID == 0 && t.Port != 0 && t.Port == f.port
}
