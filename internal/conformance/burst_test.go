package conformance_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
)

// burstLog is a log that may be read while it is written.
type burstLog struct {
	mu  sync.Mutex
	log bytes.Buffer
}

func (l *burstLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(b)
}

// with returns the lines that contain text.
func (l *burstLog) with(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.log.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// A load test from one address, 20 connections at a time, loses none of them: those beyond
// the rate wait. Both logs say so, once in a while. The rate is one that a busy machine
// exceeds, too.
func TestBurstOfOneAddress(t *testing.T) {
	const all, atOnce, perSecond = 150, 20, 25
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		relayLog, clientLog := new(burstLog), new(burstLog)
		addr := loggingRelay(t, relayLog, admission.Limits{UsersPerSecond: perSecond})
		local := serveLocal(t, func(conn *net.TCPConn) {
			defer conn.Close()
			_, _ = io.Copy(conn, conn) // ends with the user
		})
		public := forwardLogging(t, addr, local, protocol, clientLog)
		since := time.Now()
		var users sync.WaitGroup
		numbers := make(chan int)
		for range atOnce {
			users.Go(func() {
				for n := range numbers {
					if err := echoFrom("192.0.2.7", public, n); err != nil {
						t.Errorf("user %d of %d: %v", n, all, err)
					}
				}
			})
		}
		for n := range all {
			numbers <- n
		}
		close(numbers)
		users.Wait()
		if took, least := time.Since(since), (all-2*perSecond-atOnce)*time.Second/perSecond; took < least {
			t.Errorf("%d users took %v, want %v", all, took, least)
		}
		for name, log := range map[string]*burstLog{"relay": relayLog, "forwarder": clientLog} {
			told := log.with("limit=users_per_second")
			if n := len(told); n == 0 || n > 1+int(time.Since(since)/(5*time.Second)) {
				t.Errorf("the %s's log has %d lines about the limit: %q", name, n, told)
			}
		}
	})
}

// loggingRelay returns the address of a relay that trusts the PROXY headers of its users.
func loggingRelay(t *testing.T, log io.Writer, limits admission.Limits) string {
	s, err := node.Relay(node.Config{
		Bind: "127.0.0.1", Ports: port.Range{First: 20000, Last: 29999},
		Limits:         limits,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Logger:         slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	must(t, err)
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		s.Close()
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // its error says only that it was closed
	t.Cleanup(func() {
		s.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

func forwardLogging(t *testing.T, addr, local string, protocol relay.Protocol, log io.Writer) (public string) {
	registered := make(chan string, 10)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- relay.Forward(ctx, addr, local, with(protocol, relay.Options{
			Drain:      -1,
			Logger:     slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
			OnRegister: func(public net.Addr) { registered <- public.String() },
		}))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Forward: %v", err)
		}
	})
	return within(t, registered, "the forwarder to register")
}

// echoFrom has a user come from an address, through a load balancer, and expect an echo.
func echoFrom(ip, public string, n int) error {
	conn, err := net.Dial("tcp", public)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	said := fmt.Sprintf("user %d", n)
	if _, err := fmt.Fprintf(conn, "PROXY TCP4 %s 198.51.100.1 %d 80\r\n%s", ip, 1024+n, said); err != nil {
		return err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != said {
		return fmt.Errorf("got %q, %w", got, err)
	}
	return nil
}
