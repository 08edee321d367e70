package relay_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/relaytest"
)

// startEcho returns the address of an echo server that ends with the benchmark.
func startEcho(b testing.TB) string {
	b.Helper()
	server := exec.Command(os.Args[0]) //nolint:gosec // this very program
	server.Env = append(os.Environ(), echoServer+"=1")
	in, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = server.Wait()
	})
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(line[:n]))
}

// forwardTo runs a forwarder and returns the public address.
func forwardTo(b testing.TB, relayAddr, local string, protocol relay.Protocol) net.Addr {
	b.Helper()
	public, ended := make(chan net.Addr, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		ended <- relay.Forward(ctx, relayAddr, local, &relay.Options{
			Protocol: protocol, Drain: -1, OnRegister: func(addr net.Addr) { public <- addr },
		})
	}()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return <-public
}

// user connects and bounces a byte. A bare descriptor costs the process no memory.
func user(b *testing.B, public net.Addr) {
	b.Helper()
	addr := unix.SockaddrInet4{Port: public.(relay.Addr).Port, Addr: [4]byte{127, 0, 0, 1}}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		b.Cleanup(func() { _ = unix.Close(fd) })
		err = unix.Connect(fd, &addr)
	}
	if err == nil {
		_, err = unix.Write(fd, []byte{1})
	}
	if err == nil {
		_, err = unix.Read(fd, make([]byte, 1))
	}
	if err != nil {
		b.Fatal(err)
	}
}

// inUse is the memory that is reachable, and the stacks of goroutines.
func inUse() float64 {
	var m runtime.MemStats
	for range 3 { // pools are emptied by the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkIdleConnection measures what one of many idle connections costs relay and
// forwarder together. The cost must not depend on their number.
func BenchmarkIdleConnection(b *testing.B) {
	for _, protocol := range []relay.Protocol{relay.Multiplex, relay.Pool, relay.Event} {
		for _, n := range []int{100, 1000, 3000} {
			b.Run(fmt.Sprintf("%s/%d", protocol, n), func(b *testing.B) {
				r := relaytest.Start(b)
				public := forwardTo(b, r.Addr(), startEcho(b), protocol)
				user(b, public) // which allocates what is needed only once
				for b.Loop() {
					before := inUse()
					for range n {
						user(b, public)
					}
					b.ReportMetric((inUse()-before)/float64(n), "B/conn")
				}
			})
		}
	}
}

// BenchmarkTunnel measures what one of many idle tunnels costs relay and relay client
// together. The cost must not depend on their number.
func BenchmarkTunnel(b *testing.B) {
	for _, protocol := range []relay.Protocol{relay.Multiplex, relay.Pool, relay.Event} {
		for _, n := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", protocol, n), func(b *testing.B) {
				r := relaytest.Start(b)
				open := func() {
					l, err := relay.Listen(b.Context(), r.Addr(), &relay.Options{Protocol: protocol, PoolSize: 1})
					if err != nil {
						b.Fatal(err)
					}
					b.Cleanup(func() { _ = l.Close() })
				}
				open() // which allocates what is needed only once
				for b.Loop() {
					before := inUse()
					for range n {
						open()
					}
					b.ReportMetric((inUse()-before)/float64(n), "B/tunnel")
				}
			})
		}
	}
}
