//go:build lab

package netlab_test

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// maxSegment is what the kernel sends at most in one segment.
func maxSegment(t *testing.T, raw syscall.RawConn) int {
	t.Helper()
	var size int
	var err error
	if rawErr := raw.Control(func(fd uintptr) {
		size, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
	}); rawErr != nil || err != nil {
		t.Fatal(rawErr, err)
	}
	return size
}
