// Package machine looks at a machine that runs a relay, or is going to: its ports, its limits,
// the settings of its kernel, and what the relay keeps. It changes nothing.
package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/sockerr"
)

// Machine looks at this machine, as one that runs a relay.
type Machine struct {
	// Control is the relay's control port, or 0 if it is not known.
	Control int
	// Bind is the address of its ports, or "" for all.
	Bind string
	// Ports are its public ports. Those of the relay that runs at Control replace them
	// unless PortsGiven is set.
	Ports      port.Range
	PortsGiven bool
	// Users is how many users it shall have, or 0 for what descriptors allow.
	Users int
	// StateDir is where it keeps leases, keys and certificates.
	StateDir string
	// Cert and Key are the files of its certificate, or "".
	Cert, Key string
	// Tokens is the file that says who may use it, or "".
	Tokens string
	// Running asks the processes that run with this state directory how they do. Nil asks
	// none.
	Running func(context.Context) ([]Process, error)
	// Root is the file system with /proc: that of the machine by default.
	Root fs.FS

	running bool // a relay answers at Control
	knows   bool // that one lets in only whom it knows
}

// Checks lists the checks.
func (m *Machine) Checks() []doctor.Check {
	if m.Root == nil {
		m.Root = os.DirFS("/")
	}
	const quick = 5 * time.Second
	var checks []doctor.Check
	for _, c := range []struct {
		name    string
		timeout time.Duration
		run     func(context.Context) doctor.Finding
	}{
		{"control port", 30 * time.Second, m.controlPort},
		{"running", runningTimeout, m.processes},
		{"public ports", time.Minute, m.publicPorts},
		{"outgoing ports", quick, m.outgoingPorts},
		{"firewall", 4 * firewallWait, m.firewall},
		{"descriptors", quick, m.descriptors},
		{"connections", quick, m.queues},
		{"conntrack", quick, m.conntrack},
		{"memory", quick, m.memory},
		{"state directory", quick, m.stateDir},
		{"leases", quick, m.leases},
		{"certificate", quick, m.certificate},
		{"tokens", quick, m.tokens},
		{"clock", quick, m.clock},
	} {
		checks = append(checks, doctor.Check{Name: c.name, Timeout: c.timeout, Run: c.run})
	}
	return checks
}

// host is where ports are looked at from here.
func (m *Machine) host() string {
	if m.Bind == "" {
		return "127.0.0.1"
	}
	return m.Bind
}

// controlPort finds out whether a relay runs, or could.
func (m *Machine) controlPort(ctx context.Context) doctor.Finding {
	if m.Control == 0 {
		return skipped("no port is given: relay doctor 8080 has it looked at")
	}
	l, err := net.Listen("tcp", net.JoinHostPort(m.Bind, strconv.Itoa(m.Control)))
	switch {
	case err == nil:
		_ = l.Close()
		return ok("%d is free: no relay runs, and one could be started", m.Control)
	case sockerr.Is(err, syscall.EACCES):
		return problem("choose a port above 1023, or give the process the right: AmbientCapabilities=CAP_NET_BIND_SERVICE in its unit",
			"%d needs privileges, as all ports below 1024 do", m.Control)
	case sockerr.Is(err, syscall.EADDRNOTAVAIL):
		return problem("give an address that this machine has: ip addr", "--bind: this machine does not have %s", m.Bind)
	case !sockerr.Is(err, syscall.EADDRINUSE):
		return problem("", "%d cannot be opened: %s", m.Control, doctor.Plain(err.Error()))
	}
	found, running := doctor.Identify(ctx, m.host(), m.Control)
	m.running = running
	if m.running {
		found.Found = fmt.Sprintf("%d: %s", m.Control, found.Found)
		return found
	}
	return problem("stop that program, or choose another port:   ss -ltnp 'sport = :"+strconv.Itoa(m.Control)+"'",
		"%d is taken by something else: %s", m.Control, found.Found)
}

// publicPorts finds out which ports the relay cannot open. While a relay runs it opens none,
// as the relay may want one at the same moment: it reads who listens.
func (m *Machine) publicPorts(ctx context.Context) doctor.Finding {
	all := m.Ports.Last - m.Ports.First + 1
	if m.running {
		taken, known := m.listening()
		if !known {
			return skipped("this system does not say who listens, and a relay runs")
		}
		if len(taken) == all {
			return warning("stop forwarders that nobody needs, or widen --ports", "all %d of %s are taken, by the relay or by others", all, m.Ports)
		}
		return ok("%d of %s are taken, by the relay or by others, and %d are free", len(taken), m.Ports, all-len(taken))
	}
	var taken []string
	var reason error
	for p := m.Ports.First; p <= m.Ports.Last && ctx.Err() == nil; p++ {
		l, err := net.Listen("tcp", net.JoinHostPort(m.Bind, strconv.Itoa(p)))
		if err != nil {
			taken, reason = append(taken, strconv.Itoa(p)), err
			continue
		}
		_ = l.Close()
	}
	const most = 8
	switch {
	case len(taken) == 0:
		return ok("all %d of %s can be opened", all, m.Ports)
	case len(taken) == all && sockerr.Is(reason, syscall.EACCES):
		return problem("choose --ports above 1023", "%s need privileges", m.Ports)
	case len(taken) == all:
		return problem("choose other --ports, or stop what has them:   ss -ltnp", "none of %s can be opened: %s", m.Ports, doctor.Plain(reason.Error()))
	}
	return warning("the relay gives the others out; to know who has them:   ss -ltnp", "%d of %s cannot be opened: %s", len(taken), m.Ports, doctor.Some(taken, most))
}

// listening returns the public ports on which somebody listens.
func (m *Machine) listening() (ports map[int]struct{}, known bool) {
	ports = make(map[int]struct{})
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := fs.ReadFile(m.Root, path.Join("proc/net", table))
		if err != nil {
			continue
		}
		known = true
		for line := range strings.Lines(string(text)) {
			const local, state, listen = 1, 3, "0A" // of proc_net_tcp
			fields := strings.Fields(line)
			if len(fields) <= state || fields[state] != listen {
				continue
			}
			_, number, _ := strings.Cut(fields[local], ":")
			if p, err := strconv.ParseUint(number, 16, 16); err == nil && m.Ports.Contains(int(p)) {
				ports[int(p)] = struct{}{}
			}
		}
	}
	return ports, known
}

// outgoingPorts finds out whether connections of this machine take public ports.
func (m *Machine) outgoingPorts(context.Context) doctor.Finding {
	figures := m.figures("net/ipv4/ip_local_port_range")
	const both = 2
	if len(figures) != both {
		return unreadable()
	}
	outgoing := port.Range{First: int(figures[0]), Last: int(figures[1])}
	if outgoing.Last < m.Ports.First || m.Ports.Last < outgoing.First {
		return ok("%s, apart from the public ports %s", outgoing, m.Ports)
	}
	reserved, err := port.ParseSet(m.setting("net/ipv4/ip_local_reserved_ports"))
	overlap := port.Range{First: max(outgoing.First, m.Ports.First), Last: min(outgoing.Last, m.Ports.Last)}
	if err == nil && reserved.Contains(overlap.First) && reserved.Contains(overlap.Last) {
		return ok("%s, of which %s are kept for the relay", outgoing, overlap)
	}
	return warning(fmt.Sprintf("sysctl net.ipv4.ip_local_reserved_ports=%s", overlap),
		"connections that this machine makes take %s, and %s are public ports: one that is in use when its owner comes back is refused", outgoing, overlap)
}

// unreadable returns the finding about a setting that this system does not show.
func unreadable() doctor.Finding { return skipped("this system does not show it") }

// setting returns what is in a file below /proc/sys, or "".
func (m *Machine) setting(name string) string {
	text, err := fs.ReadFile(m.Root, path.Join("proc/sys", name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// figures returns the numbers of a setting, or nil.
func (m *Machine) figures(name string) (figures []int64) {
	for _, word := range strings.Fields(m.setting(name)) {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil
		}
		figures = append(figures, n)
	}
	return figures
}

// figure returns the number of a setting, or -1.
func (m *Machine) figure(name string) int64 {
	figures := m.figures(name)
	if len(figures) != 1 {
		return -1
	}
	return figures[0]
}

// isAbsent reports whether a file is not there.
func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
