package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// checkOwnPorts refuses what would listen at one port twice: the relay of this process with its
// control port, its admin page, and the public ports that services ask for at this same relay.
// Ports that the relay chooses are no clash: it passes over those that it cannot have.
func (p *parser) checkOwnPorts() {
	f := p.file
	if f.Server == nil || f.Server.Port == nil {
		return
	}
	control := *f.Server.Port
	adminHost, admin := hostAndPort(f.AdminListen)
	adminClashes := clash(f.Server.Bind, adminHost)
	if admin == control && adminClashes {
		p.fault(f.At("adminListen"), "adminListen", fmt.Sprintf("server.port is %d already, in line %d", control, f.At("server.port").Line),
			"give one of them another port")
	}
	if !f.usesOwnRelay() {
		return
	}
	for _, s := range f.Services {
		name := join("services", s.Name) + ".port"
		refuse := func(key string) {
			p.fault(f.At(name), name, fmt.Sprintf("the relay of this file has the port %d already, as %s in line %d", *s.Port, key, f.At(key).Line),
				"give the service another port")
		}
		switch {
		case s.Port == nil:
		case *s.Port == control:
			refuse("server.port")
		case *s.Port == admin && adminClashes:
			refuse("adminListen")
		}
	}
}

// usesOwnRelay reports whether the services register at the relay of this file, as far as its
// address shows.
func (f *File) usesOwnRelay() bool {
	if f.Relay == nil {
		return false
	}
	host, number := hostAndPort(f.Relay.Address)
	if number != *f.Server.Port {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback() || host == f.Server.Bind
}

// clash reports whether a socket at one address takes a port from a socket at the other.
func clash(a, b string) bool { return a == b || isEverywhere(a) || isEverywhere(b) }

func isEverywhere(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}

// hostAndPort returns 0 for what is no address: that is somebody else's fault.
func hostAndPort(text string) (host string, number int) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0
	}
	number, _ = strconv.Atoi(port)
	return host, number
}
