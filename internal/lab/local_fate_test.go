//go:build lab && linux

package lab_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/checker"
	"github.com/seed96252745/relay/internal/conntest"
)

// A hundred relay clients lose their relay and come back at once.
func TestRow21Reconnect(t *testing.T) {
	eachLocal(t, "row21_reconnect", func(t *testing.T, protocol string) {
		const clients = 100
		p := newLocalPlay(t)
		first, addr := localRelay(t, "--maxTunnelsPerSource=0")
		registered := make(chan net.Addr, 10*clients)
		ctx, stop := context.WithCancel(context.Background())
		var forwarding sync.WaitGroup
		for range clients {
			forwarding.Go(func() {
				err := relay.Forward(ctx, addr, p.local, &relay.Options{
					Protocol: relay.Protocol(protocol), PoolSize: 2, Drain: -1,
					OnRegister: func(public net.Addr) { registered <- public },
				})
				if err != nil {
					t.Errorf("Forward: %v", err)
				}
			})
		}
		defer forwarding.Wait()
		defer stop()
		all := func() (took []time.Duration, public string) {
			begin := time.Now()
			for range clients {
				select {
				case at := <-registered:
					took, public = append(took, time.Since(begin)), at.String()
				case <-time.After(localPatience):
					t.Fatalf("only %d of %d relay clients have registered", len(took), clients)
				}
			}
			return took, public
		}
		all()
		first.signal(syscall.SIGKILL)
		<-first.exited
		second := localRelayAt(t, addr, "--maxTunnelsPerSource=0")
		took, public := all()
		p.used(public, "--users=10", "--modes=echo", "--up=1000")
		counters := nonZero(second.state().Counters)
		s := p.verify(checker.Rules{})
		record(t, "21", "100 relay clients reconnect at once", "SIGKILL of the relay, and a new one",
			fmt.Sprintf("back after p50 %s, p95 %s, max %s; %d of %d users after it complete; counters %v",
				ms(took[clients/2]), ms(took[clients*95/100]), ms(took[clients-1]), s.Complete, s.Users, counters))
	})
}

// There are fewer public ports than tunnels.
func TestRow35PortsExhausted(t *testing.T) {
	t.Run("row35_ports-exhausted/any", func(t *testing.T) {
		const ports = 10
		low := conntest.FreePorts(t, ports)
		_, addr := localRelay(t, "--maxTunnelsPerSource=0", fmt.Sprintf("--ports=%d-%d", low, low+ports-1))
		var held []*net.TCPConn
		for range ports {
			conn := rawRelay(t, addr, "event\nnew\n")
			if line := rawLine(t, conn); strings.HasPrefix(line, "-") {
				t.Fatalf("got %q for tunnel %d of %d", line, len(held)+1, ports)
			}
			held = append(held, conn)
		}
		refused := rawLine(t, rawRelay(t, addr, "event\nnew\n"))
		if !strings.HasPrefix(refused, "-no-port ") {
			t.Errorf("got %q for one more, want -no-port", refused)
		}
		begin := time.Now()
		rawReset(held[3])
		until(t, "there is a port again", func() bool {
			conn := rawRelay(t, addr, "event\nnew\n")
			return !strings.HasPrefix(rawLine(t, conn), "-")
		})
		record(t, "35", "public ports exhausted", "10 ports, 11 tunnels",
			fmt.Sprintf("the 11th refused with %q; a port that was given up is free after %s", refused, ms(time.Since(begin))))
	})
}

// The relay is told to stop while users download.
func TestRow37GracefulStop(t *testing.T) {
	eachLocal(t, "row37_graceful-stop", func(t *testing.T, protocol string) {
		t.Parallel() // it waits, mostly
		const users = 100
		r := newLocalRig(t, protocol, localSetup{relay: []string{"--drain=60s"}})
		downloads := r.use(r.public, fmt.Sprintf("--users=%d", users), fmt.Sprintf("--parallel=%d", users),
			"--modes=download", "--down=200000", "--linger="+shortOr("8s", "20s"))
		until(t, "all users are served", func() bool { return r.relay.state().Users == users })
		r.relay.signal(syscall.SIGTERM)
		begin := time.Now()
		// That it shuts down it says before it does; a newcomer may still get
		// a tunnel until those that there were are closed.
		r.relay.line(0, "the tunnel's end", func(line string) bool { return strings.Contains(line, "tunnel closed") })
		newcomer := "refused"
		if conn, err := rawTry(r.relayAddr, ""); err == nil {
			_, _ = io.WriteString(conn, "event\nnew\n") // the relay may have ended since
			newcomer, _ = rawEnd(conn)
			rawReset(conn)
			if newcomer != "" && !strings.HasPrefix(newcomer, "-draining") {
				t.Errorf("a new relay client got %q while the relay stops", newcomer)
			}
		}
		if !downloads.wait() {
			t.Error("users failed")
		}
		ended := time.Since(begin)
		if !r.relay.wait() {
			t.Error("the relay ended with an error")
		}
		after := time.Since(begin) - ended
		s := r.verify(checker.Rules{})

		idle, _ := localRelay(t)
		idle.signal(syscall.SIGTERM)
		begin = time.Now()
		if !idle.wait() {
			t.Error("an idle relay ended with an error")
		}
		record(t, "37", "SIGTERM of the relay during 100 downloads", "signal",
			fmt.Sprintf("%d of %d complete, exit %s after the last; when idle, exit after %s; new relay clients: %q",
				s.Complete, s.Users, ms(after), ms(time.Since(begin)), strings.TrimSpace(newcomer)))
	})
}

// Users and relay clients come over IPv4, IPv6, and IPv4 in the form of IPv6.
func TestRow41Families(t *testing.T) {
	eachLocal(t, "row41_families", func(t *testing.T, protocol string) {
		p := newLocalPlay(t)
		_, port, _ := net.SplitHostPort(localFree(t))
		all := localStart(t, binary(t, "relay"), "--logFormat=json", port)
		all.line(0, "being ready", func(line string) bool { return strings.Contains(line, "relay is ready") })
		seed := 0
		for _, host := range []string{"127.0.0.1", "::1"} {
			forwarder, public := localForwarder(t, net.JoinHostPort(host, port), p.local, protocol)
			_, publicPort, _ := net.SplitHostPort(public)
			for _, to := range []string{"127.0.0.1", "::1"} {
				seed++
				p.used(net.JoinHostPort(to, publicPort), "--users=12", "--parallel=4",
					"--modes=echo,both,half-close,server-half-close,user-reset,answer-reset", "--up=10000", "--down=10000", fmt.Sprintf("--seed=%d", seed))
			}
			forwarder.signal(syscall.SIGTERM)
			forwarder.wait()
		}
		s := p.verify(checker.Rules{})
		record(t, "41", "IPv4 and IPv6, at both sides", "loopback", fmt.Sprintf("%d of %d complete", s.Complete, s.Users))
	})
	t.Run("row41_families-mapped/any", func(t *testing.T) {
		_, port, _ := net.SplitHostPort(localFree(t))
		all := localStart(t, binary(t, "relay"), "--logFormat=json", "--maxTunnelsPerSource=2", "--controlProxies=127.0.0.1,::1", port)
		all.line(0, "being ready", func(line string) bool { return strings.Contains(line, "relay is ready") })
		mapped := mappedDial(t, port)
		// Loopback has no such limit, so that others are said to come by way of it.
		from := func(source string) string { return "PROXY " + source + " 1000 8080\r\nevent\nnew\n" }
		rawWrite(t, mapped, from("TCP6 ::ffff:192.0.2.1 2001:db8::1"))
		first := rawLine(t, mapped)
		second := rawLine(t, rawRelay(t, "127.0.0.1:"+port, from("TCP4 192.0.2.1 198.51.100.1")))
		third := rawLine(t, rawRelay(t, "127.0.0.1:"+port, from("TCP4 192.0.2.1 198.51.100.1")))
		sixth := rawLine(t, rawRelay(t, "[::1]:"+port, from("TCP6 2001:db8::9 2001:db8::1")))
		got := []bool{strings.HasPrefix(first, "-"), strings.HasPrefix(second, "-"), strings.HasPrefix(third, "-"), strings.HasPrefix(sixth, "-")}
		if want := []bool{false, false, true, false}; !slices.Equal(got, want) {
			t.Errorf("got %q, %q, %q, %q; want only the third refused", first, second, third, sixth)
		}
		record(t, "41", "limit of tunnels per address", "::ffff:192.0.2.1, twice 192.0.2.1, 2001:db8::9, as a load balancer says; limit of 2",
			fmt.Sprintf("the third refused with %q, as one address", third))
	})
}

// mappedDial connects to loopback with a socket of IPv6, by the address that
// stands for one of IPv4.
func mappedDial(t *testing.T, port string) net.Conn {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "mapped")
	defer file.Close()
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet6{Port: number, Addr: [16]byte(net.ParseIP("127.0.0.1").To16())}); err != nil {
		t.Fatal(err)
	}
	conn, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rawReset(conn.(*net.TCPConn)) })
	_ = conn.SetDeadline(time.Now().Add(localPatience))
	return conn
}
