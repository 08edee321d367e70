package eventloop_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/eventloop"
)

type nop struct{}

func (nop) Ready(eventloop.Events) bool { return false }

// After Close the loop's descriptors belong to others.
func TestPostAfterCloseTouchesNoDescriptor(t *testing.T) {
	l, err := eventloop.Start()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	// Take the numbers that have become free.
	var others []int
	for range 8 {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Close(fd) }()
		others = append(others, fd)
	}
	l.Post(nop{})
	for _, fd := range others {
		if n, err := unix.Read(fd, make([]byte, 8)); err != unix.EAGAIN {
			t.Errorf("descriptor %d was written to: a read of it returns %d, %v", fd, n, err)
		}
	}
}
