// Package systemdtest boots systemd as the first process of a machine of its own, for tests of
// units and packages. The machine has this machine's programs and libraries, and none of its
// services. What happens on it stays on it, and is gone when the test ends: its files are in
// memory, over those of this machine, and it has its own processes, network and control groups.
//
// It needs Linux, root, and the programs of [Packages].
package systemdtest

// Packages are the Debian packages with the programs that a machine needs.
const Packages = "systemd util-linux"
