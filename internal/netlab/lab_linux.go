package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Addresses in a lab, from the ranges for documentation.
const (
	UserAddr   = "192.0.2.1"
	PublicAddr = "192.0.2.2" // the relay's, for users
	RelayAddr  = "198.51.100.1"
	NATAddr    = "198.51.100.2"
	ClientAddr = "203.0.113.2"
	LocalAddr  = "203.0.113.130"
)

// Devices of a lab's hosts, by where they lead: towards the user, who is near a
// relay, or towards the local server.
const (
	Near = "near"
	Far  = "far"
)

const prefix = "relay-lab-"

// labs counts the labs of this process, for their names.
var labs atomic.Int64

// Lab is the path from a user to a server behind NAT.
type Lab struct {
	// User, Relay, NAT, Client and Local are the hosts in their order on the path.
	// Local is the local server's. The NAT hides Client from Relay as ordinary ones
	// do, and drops packets of connections that it does not know. Relay has a route to
	// Client all the same, for programs that are compared with Relay.
	User, Relay, NAT, Client, Local *Host
	// Wire is between Relay and NAT, or nil if that is a cable too.
	Wire *Wire

	hosts []*Host
}

// New makes a lab. With conditions, a wire with them is between Relay and NAT. The
// caller closes the lab.
func New(ctx context.Context, c *Conditions) (*Lab, error) {
	sweep()
	l := new(Lab)
	if err := l.build(ctx, c); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) build(ctx context.Context, c *Conditions) error {
	name := prefix + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(labs.Add(1), 10) + "-"
	for _, h := range []struct {
		at   **Host
		name string
	}{{&l.User, "user"}, {&l.Relay, "relay"}, {&l.NAT, "nat"}, {&l.Client, "client"}, {&l.Local, "local"}} {
		made, err := NewHost(ctx, name+h.name)
		if err != nil {
			return err
		}
		*h.at = made
		l.hosts = append(l.hosts, made)
	}
	for i, link := range [][2]string{
		{UserAddr + "/24", PublicAddr + "/24"},
		{RelayAddr + "/24", NATAddr + "/24"},
		{"203.0.113.1/25", ClientAddr + "/25"},
		{"203.0.113.129/25", LocalAddr + "/25"},
	} {
		if err := l.connect(ctx, l.hosts[i], l.hosts[i+1], c); err != nil {
			return err
		}
		if err := l.hosts[i].IP(ctx, "addr", "add", link[0], "dev", Far); err != nil {
			return err
		}
		if err := l.hosts[i+1].IP(ctx, "addr", "add", link[1], "dev", Near); err != nil {
			return err
		}
	}
	return l.route(ctx)
}

// connect lays a cable or the wire between two neighbors.
func (l *Lab) connect(ctx context.Context, a, b *Host, c *Conditions) (err error) {
	if a == l.Relay && c != nil {
		l.Wire, err = NewWire(ctx, End{a, Far}, End{b, Near}, *c)
		return err
	}
	if err := a.IP(ctx, "link", "add", Far, "type", "veth", "peer", "name", Near, "netns", b.name); err != nil {
		return err
	}
	return errors.Join(raise(ctx, a, Far), raise(ctx, b, Near))
}

// raise sets a device up, with packets as large as on any cable. Otherwise the kernel
// would make one of forty, and a fault would drop all of them together.
func raise(ctx context.Context, h *Host, device string) error {
	return h.IP(ctx, "link", "set", device, "gso_max_segs", "1", "up")
}

// route makes the hosts reach each other, and the NAT a NAT.
func (l *Lab) route(ctx context.Context) error {
	const (
		local  = "203.0.113.128/25"
		inside = "203.0.113.0/24"
	)
	for _, r := range []struct {
		host *Host
		args []string
	}{
		{l.User, []string{"default", "via", PublicAddr}},
		{l.Relay, []string{inside, "via", NATAddr}},
		{l.NAT, []string{local, "via", ClientAddr}},
		{l.NAT, []string{"default", "via", RelayAddr}},
		{l.Client, []string{"default", "via", "203.0.113.1"}},
		{l.Local, []string{"default", "via", "203.0.113.129"}},
	} {
		if err := r.host.IP(ctx, append([]string{"route", "add"}, r.args...)...); err != nil {
			return err
		}
	}
	for _, h := range l.hosts {
		if err := h.Set("net/ipv4/ip_forward", "1"); err != nil {
			return err
		}
	}
	for _, rule := range [][]string{
		{"-t", "nat", "-A", "POSTROUTING", "-o", Near, "-j", "MASQUERADE"},
		{"-A", "FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"},
		{"-A", "INPUT", "-p", "tcp", "-j", "DROP"},
	} {
		if err := l.NAT.iptables(ctx, rule...); err != nil {
			return err
		}
	}
	return nil
}

// iptables runs iptables on the host. It waits if another process is changing rules.
func (h *Host) iptables(ctx context.Context, args ...string) error {
	return h.Run(ctx, "iptables", append([]string{"-w", "10"}, args...)...)
}

// Close removes the lab. The caller ends the processes on its hosts before that.
func (l *Lab) Close() error {
	var errs []error
	if l.Wire != nil {
		errs = append(errs, l.Wire.Close())
	}
	for _, h := range l.hosts {
		errs = append(errs, h.Close())
	}
	return errors.Join(errs...)
}

// Sockets returns, for each host, what its kernel knows of its TCP connections, or the
// error.
func (l *Lab) Sockets(ctx context.Context) string {
	var all strings.Builder
	for _, h := range l.hosts {
		lines, err := h.Sockets(ctx)
		if err != nil {
			lines += err.Error() + "\n"
		}
		fmt.Fprintf(&all, "%s:\n%s", h.name, lines)
	}
	return all.String()
}

// sweep removes the hosts of processes that have ended. It ignores errors: another
// process may be removing the same ones.
func sweep() {
	entries, err := os.ReadDir(namespaces)
	if err != nil {
		return // there are none yet
	}
	for _, entry := range entries {
		rest, ours := strings.CutPrefix(entry.Name(), prefix)
		number, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(number)
		if ours && err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = (&Host{entry.Name()}).Close()
		}
	}
}
