//go:build linux

package eventloop

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// timeSlice is how often a loop that is busy goes through the runtime's scheduler. Its
// monitor takes the processor away, after 10 ms, from a goroutine that makes system calls
// and never does, and then looks after it every 20 us.
const timeSlice = 8 * time.Millisecond

// reschedule goes through the scheduler once in each timeSlice.
func (l *Loop) reschedule() {
	if now := time.Now(); now.Sub(l.scheduled) >= timeSlice {
		l.scheduled = now
		runtime.Gosched()
	}
}

// yields is how often a crowded loop lets others run before it sleeps. Something comes
// within microseconds then, from a process that waits for this very processor. To let it
// run costs less than to sleep and be woken, and more events come at a time. A loop that
// is not crowded must not yield: Linux counts that as time used up, and has the loop wait
// for its turn when the next event comes.
const yields = 3

// wait returns the number of events. With a negative timeout it waits until there are
// some, or the loop is woken.
func (l *Loop) wait(timeout int) (n int) {
	if n = l.poll(0); n > 0 {
		l.crowded = true
	}
	if n > 0 || timeout >= 0 {
		return n
	}
	for i := 0; i < yields && l.crowded; i++ {
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // it cannot fail
		if n = l.poll(0); n > 0 {
			return n
		}
	}
	l.crowded = false
	return l.poll(timeout)
}

func (l *Loop) poll(timeout int) (n int) {
	n, err := unix.EpollWait(l.epoll, l.events[:], timeout)
	if err != nil && !errors.Is(err, unix.EINTR) {
		panic(fmt.Sprintf("event loop: epoll_wait: %v", err)) // it has no other errors for these arguments
	}
	return max(n, 0)
}
