package node_test

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/node"
)

// A relay client that has connected before its address is banned, and registers after, is
// refused.
func TestBanHoldsForWhoHasConnected(t *testing.T) {
	a, addr := startAdmin(t, node.Config{}, node.AdminConfig{})
	early, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	if _, err := io.WriteString(early, "multiplex"); err != nil { // so that it has been accepted
		t.Fatal(err)
	}
	wait(t, func() bool { return handshakes(a) == 1 }, func() any { return handshakes(a) })
	if err := a.Ban(netip.MustParsePrefix("127.0.0.1/32"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(early, "\n"); err != nil {
		t.Fatal(err)
	}
	if err := early.SetDeadline(time.Now().Add(adminPatience)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(early).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "-shut-out ") {
		t.Errorf("it is told %q, %v", line, err)
	}
}

func handshakes(a *node.Admin) int64 {
	for _, l := range a.Limits() {
		if l.Name == "handshakes" {
			return l.Used
		}
	}
	return -1
}
