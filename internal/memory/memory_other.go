//go:build !linux

package memory

import "runtime/debug"

// unknownMemory is what the machine is taken to have where it cannot be asked.
const unknownMemory = 4 << 30

// Limit returns how many bytes the process may use, if GOMEMLIMIT does not say less.
func Limit() int64 {
	const all = -1 // changes nothing
	return min(debug.SetMemoryLimit(all), unknownMemory)
}

// TCP returns what sockets may hold, as on a Linux machine of that size.
func TCP() int64 { return unknownMemory / tcpShare }
