// Package netlab makes a network on one machine, to break it: hosts that are
// network namespaces, cables between them, a wire with a delay of its own, and
// processes on the hosts.
//
// A [Lab] is the way of a user to a server behind NAT:
//
//	user --- relay --- nat --- client --- local
//
// Its faults are what networks do: packets are lost, come late, twice, in
// another order or not at all; a link goes down; a NAT forgets; somebody resets
// everything; an uplink is slow and queues for seconds. What runs in it are real
// processes with real sockets, and the kernel's TCP between them.
//
// Everything has the name relay-lab-<pid>- in front, and is removed by Close;
// what a run that was killed has left behind, the next one removes. The package
// needs Linux, root, and the programs of [Packages]. It knows nothing of Relay:
// what is started and what must hold is said by the tests of internal/lab, and
// make bench has its wire from here.
package netlab

// Packages are the Debian packages with the programs that a lab runs.
const Packages = "iproute2 iptables conntrack"
