// Package netlab makes a network on one machine, to break it: hosts that are
// network namespaces, cables between them, a wire with a delay of its own, and
// processes on the hosts.
//
// A [Lab] is the path from a user to a server behind NAT:
//
//	user --- relay --- nat --- client --- local
//
// Its faults are those of networks: packets are lost, come late, twice, in
// another order or not at all; a link goes down; a NAT forgets; a middlebox resets
// everything; an uplink is slow and queues for seconds. Real processes run in it, with
// real sockets, and the kernel's TCP between them.
//
// All names begin with relay-lab-<pid>-. Close removes everything, and the next run
// removes what is left of one that was killed. The package needs Linux, root, and the
// programs of [Packages]. It knows nothing of Relay: the tests of internal/lab say what
// is started and what must hold. make bench takes its wire from here.
package netlab

// Packages are the Debian packages with the programs that a lab runs.
const Packages = "iproute2 iptables conntrack"
