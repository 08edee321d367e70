//go:build unix

package forwarder

import (
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// descriptors returns how many descriptors the process has, and how many it may have: -1
// where the system does not tell.
func descriptors() (used, most int64) {
	used, most = -1, -1
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		used = int64(len(open)) - 1 // without that of the folder
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil && uint64(limit.Cur) <= math.MaxInt32 { //nolint:unconvert // signed on some systems
		most = int64(limit.Cur) //nolint:gosec // checked above
	}
	return used, most
}
