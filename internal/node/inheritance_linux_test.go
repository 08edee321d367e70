package node_test

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/upgrade"
)

// A process whose predecessor has died before it has handed anything over says so.
func TestInheritFromTheDead(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	link, err := upgrade.Adopt(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() })
	upgrade.CloseFD(fds[1])
	if _, err := node.Inherit(link, "127.0.0.1:8080"); err == nil || !strings.Contains(err.Error(), "the process from which to take over has ended") {
		t.Errorf("Inherit: %v", err)
	}
}
