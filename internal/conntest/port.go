package conntest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// FreePorts returns the first of n consecutive ports that nobody listens on, at any
// address. They are below the ephemeral ports of Linux, so that neither a connection
// nor a listener on port 0 takes one before the test does, and below those that relays
// open. Until the test ends no other test gets them, in this process or another.
func FreePorts(tb testing.TB, n int) (first int) {
	tb.Helper()
	for range 1000 {
		first = 3000 + rand.IntN(7000)
		if marks := mark(first, n); marks != nil {
			tb.Cleanup(func() { unmark(marks) })
			return first
		}
	}
	tb.Fatal("no ports are free")
	return 0
}

// FreePort returns one port as FreePorts does, in the form that addresses have.
func FreePort(tb testing.TB) string {
	tb.Helper()
	return strconv.Itoa(FreePorts(tb, 1))
}

// mark takes the UDP ports of the same numbers, which no test uses, as a sign that the
// TCP ports are taken. It returns nil if anything listens on one of those, which it finds
// out by connecting. It does not listen on them itself: a process that is started
// meanwhile inherits the listener, and keeps it open for a moment after mark closes it.
func mark(first, n int) (marks []net.PacketConn) {
	for port := first; port < first+n; port++ {
		number := strconv.Itoa(port)
		sign, err := net.ListenPacket("udp", net.JoinHostPort("127.0.0.1", number))
		if err != nil {
			unmark(marks)
			return nil
		}
		marks = append(marks, sign)
		if listensAt("127.0.0.1", number) || listensAt("::1", number) {
			unmark(marks)
			return nil
		}
	}
	return marks
}

func listensAt(host, port string) bool {
	conn, err := net.Dial("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return false // refused, or there is no IPv6
	}
	_ = conn.Close()
	return true
}

func unmark(marks []net.PacketConn) {
	for _, sign := range marks {
		_ = sign.Close()
	}
}
