//go:build wine

package wine_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/checker"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/relaytest"
)

// eachProtocol runs the test for every protocol.
func eachProtocol(t *testing.T, test func(t *testing.T, protocol relay.Protocol)) {
	for _, protocol := range []relay.Protocol{relay.Multiplex, relay.Pool, relay.Event} {
		t.Run(string(protocol), func(t *testing.T) { test(t, protocol) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Every byte of every user is compared, with a relay of Windows' and a forwarder of
// Windows'.
func TestUsers(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Run("relay", func(t *testing.T) {
			_, addr := startRelay(t, "--maxUsersPerSource=0")
			testUsers(t, func(local string) (public string) { return forward(t, addr, local, protocol) })
		})
		t.Run("forwarder", func(t *testing.T) {
			r := relaytest.Start(t)
			testUsers(t, func(local string) (public string) {
				return startForwarder(t, r.Addr(), local, string(protocol)).nextPublic()
			})
		})
	})
}

func testUsers(t *testing.T, tunnel func(local string) (public string)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, end := context.WithCancel(context.Background())
	defer end()
	var served, used bytes.Buffer
	var server sync.WaitGroup
	server.Go(func() {
		if err := checker.Serve(ctx, l, checker.ServeConfig{Records: &served}); err != nil {
			t.Error(err)
		}
	})
	public := tunnel(l.Addr().String())
	for run, users := range []checker.UseConfig{
		{
			Users: 40, Parallel: 8, Up: 1 << 20, Down: 1 << 20, Vary: true,
			Modes: []checker.Mode{
				checker.Echo, checker.Both, checker.HalfClose, checker.ServerHalfClose, checker.ServerFirst,
			},
		},
		{Users: 1, Up: 20 << 20, Down: 20 << 20, Modes: []checker.Mode{checker.HalfClose}},
		{Users: 1, Up: 20 << 20, Down: 20 << 20, Modes: []checker.Mode{checker.ServerHalfClose}},
	} {
		users.To, users.Run, users.Seed, users.Records = public, uint64(run), 1, &used
		must(t, checker.Use(t.Context(), users))
	}
	end()
	server.Wait()
	report, err := checker.Verify(checker.Rules{}, &used, &served)
	must(t, err)
	for _, v := range report.Violations {
		t.Error(v)
	}
	if s := report.Summary; s.Users != 42 || s.Complete != s.Users {
		t.Errorf("%d of %d users are complete, want 42", s.Complete, s.Users)
	}
}

// forward runs a forwarder of this system's until the end of the test.
func forward(t *testing.T, relayAddr, local string, protocol relay.Protocol) (public string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	registered := make(chan string, 1)
	var running sync.WaitGroup
	running.Go(func() {
		err := relay.Forward(ctx, relayAddr, local, &relay.Options{
			Protocol: protocol, Drain: -1, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
			OnRegister: func(public net.Addr) {
				select {
				case registered <- public.String():
				default: // again
				}
			},
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	select {
	case public = <-registered:
		return public
	case <-time.After(patience):
		t.Fatal("the forwarder does not register")
		return ""
	}
}

// Users of a process that is killed are reset, be they at rest or in a download.
func TestKilled(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Run("relay", func(t *testing.T) {
			p, addr := startRelay(t)
			testKilled(t, p, forward(t, addr, serve(t), protocol))
		})
		t.Run("forwarder", func(t *testing.T) {
			r := relaytest.Start(t)
			p := startForwarder(t, r.Addr(), serve(t), string(protocol))
			testKilled(t, p, p.nextPublic())
		})
	})
}

func testKilled(t *testing.T, p *program, public string) {
	idle, loading := user(t, public, "idle"), user(t, public, "load")
	conntest.Read(t, loading, 1<<20)
	p.kill()
	conntest.WantReset(t, idle)
	if n, err := io.Copy(io.Discard, loading); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the user in a download: %d bytes and %v, want a reset", n, err)
	}
}

// user connects, says which server it wants, and waits until it is served.
func user(t *testing.T, public, says string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", public)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	conntest.Write(t, conn, says)
	conntest.WantRead(t, conn, says)
	return conn
}

// serve is a local server, which says what it is told, and to who wants a load gives it
// without end.
func serve(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			serving.Go(func() {
				defer conn.Close()
				said := make([]byte, len("idle"))
				_, err := io.ReadFull(conn, said)
				if err == nil {
					_, err = conn.Write(said)
				}
				for load := make([]byte, 32<<10); err == nil && string(said) == "load"; {
					_, err = conn.Write(load)
				}
				_, _ = io.Copy(io.Discard, conn) // until the other one has ended
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// A forwarder notices that the relay is gone, and registers at the one that comes in
// its place: with pool nobody tells it but by resets.
func TestRelayComesBack(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		r := relaytest.Start(t)
		p := startForwarder(t, r.Addr(), serve(t), string(protocol))
		user(t, p.nextPublic(), "idle")
		must(t, r.Restart())
		user(t, p.nextPublic(), "idle")
	})
}

// A port of another program is passed over, and is refused to who wants that one.
func TestPortsOfOtherPrograms(t *testing.T) {
	first := conntest.FreePorts(t, 2)
	for _, host := range []string{"127.0.0.1", "0.0.0.0"} {
		t.Run(host, func(t *testing.T) {
			l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(first)))
			must(t, err)
			defer l.Close()
			_, addr := startRelay(t, "--ports="+strconv.Itoa(first)+"-"+strconv.Itoa(first+1))
			_, err = relay.Listen(t.Context(), addr, &relay.Options{Port: first})
			var refused *relay.RefusedError
			if !errors.As(err, &refused) || refused.Code != "port-taken" {
				t.Errorf("who wants the port gets %v, want port-taken", err)
			}
			if public, want := forward(t, addr, serve(t), relay.Multiplex), ":"+strconv.Itoa(first+1); !strings.HasSuffix(public, want) {
				t.Errorf("got %s, want the other port, %s", public, want)
			}
		})
	}
}

// What Winsock returns is what internal/sockerr says. Of resets Wine 8.0 does not tell
// for sure.
func TestSockerr(t *testing.T) {
	tests := filepath.Join(t.TempDir(), "sockerr.exe")
	must(t, windows(exec.Command("go", "test", "-c", "-o", tests, "../sockerr")))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, wine.loader, tests, "-test.v", "-test.skip=Reset")
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestIsOfSockets")) {
		t.Error(err)
	}
}
