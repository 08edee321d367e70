package machine

import (
	"context"
	"fmt"
	"math"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/doctor"
)

// freeSpace returns how many bytes can be written below a folder.
func freeSpace(dir string) (bytes int64, known bool) {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0, false
	}
	return int64(min(s.Bavail*uint64(s.Bsize), math.MaxInt64)), true //nolint:gosec // it is in bounds
}

// clock asks the kernel whether the clock is kept in time (adjtimex(2)).
func (m *Machine) clock(context.Context) doctor.Finding {
	now := doctor.Moment(time.Now())
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return skipped("%s; the kernel does not say whether that is right", now)
	}
	if t.Status&unix.STA_UNSYNC != 0 {
		return warning("have it set by NTP:   timedatectl set-ntp true; certificates and tokens expire by it",
			"%s; nobody keeps it in time, as far as the kernel knows", now)
	}
	return ok("%s", fmt.Sprintf("%s, kept in time, within %s", now, doctor.Millis(time.Duration(t.Maxerror)*time.Microsecond)))
}
