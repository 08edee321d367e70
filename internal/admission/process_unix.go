//go:build unix

package admission

import (
	"math"

	"golang.org/x/sys/unix"
)

// processDescriptors returns how many descriptors the process may have. The runtime
// raises the limit as far as possible before main begins.
func processDescriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || uint64(limit.Cur) > math.MaxInt32 { //nolint:unconvert // signed on some systems
		return -1
	}
	return int(limit.Cur) //nolint:gosec // checked above
}
