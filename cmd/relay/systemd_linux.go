package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// monotonicNow returns the assignment that systemd wants beside RELOADING=1, so that it knows
// which of two reloads is meant.
func monotonicNow() []string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return nil
	}
	return []string{fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond))}
}
