package relay_test

import (
	"net"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

const (
	smallMessage = 64
	// largeMessage is several frames of multiplex, and less than the buffers on its way
	// hold: the user writes all of it before reading.
	largeMessage = 256 << 10
)

// bareUser is a user who is a descriptor, and allocates nothing: what is allocated
// meanwhile is by relay and forwarder.
type bareUser struct{ fd int }

func connectBare(tb testing.TB, public net.Addr) bareUser {
	tb.Helper()
	addr := unix.SockaddrInet4{Port: public.(relay.Addr).Port, Addr: [4]byte{127, 0, 0, 1}}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	if err := unix.Connect(fd, &addr); err != nil {
		_ = unix.Close(fd)
		tb.Fatal(err)
	}
	return bareUser{fd}
}

func (u bareUser) close() { _ = unix.Close(u.fd) }

// bounce sends a message and waits until all of it has come back.
func (u bareUser) bounce(tb testing.TB, message []byte) {
	for rest := message; len(rest) > 0; {
		n, err := unix.Write(u.fd, rest)
		if err != nil {
			tb.Fatal(err)
		}
		rest = rest[n:]
	}
	for left := len(message); left > 0; {
		n, err := unix.Read(u.fd, message[:left])
		if err != nil || n == 0 {
			tb.Fatalf("%d bytes did not come back: %v", left, err)
		}
		left -= n
	}
}

// mallocs is how often the process has allocated.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// quietTunnel returns the public address of a forwarder to an echo server in a process of
// its own, at a relay that logs nothing.
func quietTunnel(tb testing.TB, protocol relay.Protocol) net.Addr {
	tb.Helper()
	r, err := relaytest.New()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.Close)
	return forwardTo(tb, r.Addr(), startEcho(tb), protocol)
}

// BenchmarkAllocations counts how often relay and forwarder together allocate for a user's
// connection, for a small message there and back, and for a large one.
func BenchmarkAllocations(b *testing.B) {
	for _, protocol := range []relay.Protocol{relay.Multiplex, relay.Pool, relay.Event} {
		count := func(b *testing.B, op func()) {
			for range 100 { // buffers that are kept are made by the first ones
				op()
			}
			before := mallocs()
			for b.Loop() {
				op()
			}
			b.ReportMetric(float64(mallocs()-before)/float64(b.N), "mallocs/op")
		}
		b.Run(string(protocol)+"/connection", func(b *testing.B) {
			public := quietTunnel(b, protocol)
			message := make([]byte, smallMessage)
			count(b, func() {
				u := connectBare(b, public)
				u.bounce(b, message)
				u.close()
			})
		})
		for name, size := range map[string]int{"small": smallMessage, "large": largeMessage} {
			b.Run(string(protocol)+"/"+name, func(b *testing.B) {
				u := connectBare(b, quietTunnel(b, protocol))
				defer u.close()
				message := make([]byte, size)
				count(b, func() { u.bounce(b, message) })
			})
		}
	}
}
