package conntest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// FreePorts gives the first of n ports in a row that nobody listens on, at any
// address. They are below those that Linux hands out by itself, so that neither a
// connection nor a listener without a port of its own takes one before the test
// does, and below those that relays open. Until the test ends they are given to no
// other test, in whatever process.
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

// FreePort gives one port as FreePorts does, as an address has it.
func FreePort(tb testing.TB) string {
	tb.Helper()
	return strconv.Itoa(FreePorts(tb, 1))
}

// mark takes the UDP ports of the same numbers, for which nobody has any use, as a sign
// that the others are somebody's. It gives nil if any of those is taken, which it finds
// out by connecting: a listener of its own would outlive its end by as long as a process
// that is started meanwhile takes to get rid of what it inherits.
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
