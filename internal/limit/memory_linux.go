package limit

import (
	"math"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// memory is how many bytes the process may use: what the machine has, or less
// if GOMEMLIMIT says so.
func memory() int64 {
	const all = -1 // changes nothing
	limit := debug.SetMemoryLimit(all)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return limit
	}
	total := uint64(info.Totalram) * uint64(info.Unit) //nolint:unconvert // 32 bits on some systems
	if total < math.MaxInt64 {
		return min(limit, int64(total))
	}
	return limit
}
