package machine

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/doctor"
	"github.com/seed96252745/relay/internal/memory"
)

const (
	// eachUser is how many descriptors a user takes, and reserve those that are not for
	// users; see admission.Limits.
	eachUser = 2
	reserve  = 256
	// fewUsers is below what a relay that others rely on is asked for sooner or later.
	fewUsers = 2000
	// shortQueue is a queue of new connections that a burst of users overflows: the
	// kernel's own figure is 4096 since Linux 5.4.
	shortQueue = 1024
	// littleMemory is below what a relay of a few thousand users takes.
	littleMemory = 256 << 20
)

// descriptors compares what the process may have with the users that are wanted.
func (m *Machine) descriptors(context.Context) doctor.Finding {
	n := admission.Limits{}.WithDefaults().Descriptors
	if n == math.MaxInt {
		return unreadable()
	}
	users := max(n-min(reserve, n/4), 0) / eachUser
	found := fmt.Sprintf("%d for a process started like this one: %d users", n, users)
	const raise = "LimitNOFILE=1048576 in its systemd unit, or ulimit -n 1048576 before it; a unit has a limit of its own, whatever is shown here"
	all := m.figure("fs/file-max")
	switch {
	case m.Users > users:
		return problem(raise, "%s, and --maxUsers=%d", found, m.Users)
	case users < fewUsers:
		return warning(raise, "%s", found)
	case all > 0 && all < int64(n):
		return warning(fmt.Sprintf("sysctl fs.file-max=%d", 2*n), "%s; all processes together have %d", found, all)
	}
	return ok("%s", found)
}

// queues looks at the settings of the kernel for new connections.
func (m *Machine) queues(context.Context) doctor.Finding {
	var shown, short, raise []string
	for _, s := range []struct{ path, name string }{
		{"net/core/somaxconn", "net.core.somaxconn"},
		{"net/ipv4/tcp_max_syn_backlog", "net.ipv4.tcp_max_syn_backlog"},
	} {
		n := m.figure(s.path)
		if n < 0 {
			continue
		}
		shown = append(shown, fmt.Sprintf("%s=%d", s.name, n))
		if n < shortQueue {
			short, raise = append(short, s.name), append(raise, s.name+"=4096")
		}
	}
	found := strings.Join(shown, ", ")
	switch {
	case found == "":
		return unreadable()
	case len(short) > 0:
		return warning("sysctl "+strings.Join(raise, " "), "%s: users who come all at once wait for a second or more", found)
	}
	return ok("%s", found)
}

// conntrack looks at the table of a firewall that follows connections.
func (m *Machine) conntrack(context.Context) doctor.Finding {
	used, most := m.figure("net/netfilter/nf_conntrack_count"), m.figure("net/netfilter/nf_conntrack_max")
	if most < 0 {
		return ok("connections are not followed here, or not for this process to see")
	}
	const full, small = 0.8, 65536
	found := fmt.Sprintf("%d of %d connections", max(used, 0), most)
	raise := fmt.Sprintf("sysctl net.netfilter.nf_conntrack_max=%d; when the table is full, packets of new users are dropped without a word", max(4*most, 4*small))
	switch {
	case float64(used) > full*float64(most):
		return problem(raise, "%s: the table is nearly full", found)
	case most < small:
		return warning(raise, "%s", found)
	}
	return ok("%s", found)
}

// memory looks at what the process may have, and the kernel's sockets.
func (m *Machine) memory(context.Context) doctor.Finding {
	limit, sockets := memory.Limit(), memory.TCP()
	if limit == math.MaxInt64 {
		return unreadable()
	}
	found := fmt.Sprintf("%s for a process started like this one, by the machine and its control groups", doctor.Amount(limit))
	if sockets < limit {
		found += fmt.Sprintf("; %s for the buffers of all sockets (tcp_mem)", doctor.Amount(sockets))
	}
	const littleForSockets = 64 << 20
	switch {
	case limit < littleMemory:
		return warning("raise MemoryMax= of its unit, or the limit of the container", "%s", found)
	case sockets < littleForSockets:
		return warning(fmt.Sprintf("raise the three figures of sysctl net.ipv4.tcp_mem, in pages of %d bytes; beyond the second one the kernel drops what comes", os.Getpagesize()),
			"%s", found)
	}
	return ok("%s", found)
}
