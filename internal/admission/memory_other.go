//go:build !linux

package admission

import "runtime/debug"

// unknownMemory is what the machine is taken to have where it cannot be asked.
const unknownMemory = 4 << 30

// memory is how many bytes the process may use, if GOMEMLIMIT does not say less.
func memory() int64 {
	const all = -1 // changes nothing
	return min(debug.SetMemoryLimit(all), unknownMemory)
}
