package tcpstate_test

import (
	"net"
	"testing"

	"github.com/seed96252745/relay/internal/tcpstate"
)

func TestRoundTrip(t *testing.T) {
	conn, _ := pair(t)
	if got := tcpstate.RoundTrip(conn); got <= 0 || got > patience {
		t.Errorf("over loopback it takes %v", got)
	}
	_ = conn.Reset()
	if got := tcpstate.RoundTrip(conn); got != 0 {
		t.Errorf("over a closed connection it takes %v", got)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got := tcpstate.RoundTrip(a); got != 0 {
		t.Errorf("in memory it takes %v", got)
	}
}
