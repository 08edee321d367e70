//go:build unix

package conformance_test

import (
	"context"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/roster"
)

// forwardChecked runs a forwarder that checks its local server, until the test ends, and
// returns the public address.
func forwardChecked(t *testing.T, relayAddr, local string, protocol relay.Protocol) (public string) {
	t.Helper()
	registered := make(chan string, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- relay.Forward(ctx, relayAddr, local, with(protocol, relay.Options{
			Drain: -1, HealthCheck: &relay.HealthCheck{Interval: time.Second},
			OnRegister: func(public net.Addr) { registered <- public.String() },
		}))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Forward: %v", err)
		}
	})
	return within(t, registered, "the registration")
}

// The users of a local server that is not there wait until it is, also before it has ever
// been, and a relay knows that without a probe.
func TestUsersWaitForUnhealthyServer(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		p := startProbing(t, 0)
		at := "127.0.0.1:" + conntest.FreePort(t)
		public := forwardChecked(t, p.addr, at, protocol)
		if s := p.awaitState(t, observe.LocalServerDown); s.Health.Failure != "connection refused" || s.Health.Probe != nil {
			t.Errorf("down: %+v", s.Health)
		}
		user, err := net.Dial("tcp", public)
		must(t, err)
		defer user.Close()
		_, err = io.WriteString(user, "hello")
		must(t, err)
		if totals := p.Totals(); totals != (roster.Totals{}) {
			t.Errorf("the channel counts as a user: %+v", totals)
		}
		serveLocalAt(t, at, func(c *net.TCPConn) {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		})
		p.awaitState(t, observe.Up)
		must(t, user.SetReadDeadline(time.Now().Add(patience)))
		got := make([]byte, 5)
		if _, err := io.ReadFull(user, got); err != nil || string(got) != "hello" {
			t.Errorf("the user gets %q, %v", got, err)
		}
	})
}

// A server that is killed is known to be down without a probe, and up again when it is back.
func TestCheckedServerIsKilled(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		p := startProbing(t, 0)
		at := "127.0.0.1:" + conntest.FreePort(t)
		local := startRelay(t, at) // any server that can be killed
		forwardChecked(t, p.addr, at, protocol)
		p.awaitState(t, observe.Up)
		local.kill()
		p.awaitState(t, observe.LocalServerDown)
		startRelay(t, at)
		p.awaitState(t, observe.Up)
	})
}

// A forwarder that was frozen says what it has found meanwhile, when it goes on.
func TestCheckingForwarderIsFrozen(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Parallel()
		p := startProbing(t, 0)
		at := "127.0.0.1:" + conntest.FreePort(t)
		local := startRelay(t, at)
		host, port, err := net.SplitHostPort(p.addr)
		must(t, err)
		_, localPort, err := net.SplitHostPort(at)
		must(t, err)
		f := startCommand(t, append(flagsOf(protocol), "--healthCheck=tcp interval=1s", "--localForwardPort="+localPort, "--localForwardHost=127.0.0.1", host, port)...)
		go drainLog(f.logged)
		p.awaitState(t, observe.Up)
		must(t, f.Process.Signal(syscall.SIGSTOP))
		local.kill()
		must(t, f.Process.Signal(syscall.SIGCONT))
		p.awaitState(t, observe.LocalServerDown)
		startRelay(t, at)
		p.awaitState(t, observe.Up)
	})
}
