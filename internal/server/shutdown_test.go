package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
)

// shutdown starts Shutdown, and waits until it has closed the public port.
func (r *relay) shutdown(ctx context.Context, tunnel *fakeTunnel) <-chan error {
	r.Helper()
	done := make(chan error, 1)
	go func() { done <- r.Shutdown(ctx) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for since := time.Now(); time.Since(since) < patience; <-tick.C {
		conn, err := net.Dial("tcp", net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)))
		if err != nil {
			return done
		}
		_ = conn.(*net.TCPConn).SetLinger(0) // a user who is gone need not be served
		_ = conn.Close()
	}
	r.Fatal("Shutdown does not close the public port")
	return nil
}

// wantServed expects what Serve returns in the end.
func (r *relay) wantServed(want error) {
	r.Helper()
	select {
	case err := <-r.served:
		if !errors.Is(err, want) {
			r.Errorf("Serve returned %v, want %v", err, want)
		}
	case <-time.After(patience):
		r.Fatal("Serve does not return")
	}
}

// Who is connected may finish; who comes is told to come back.
func TestShutdown(t *testing.T) {
	r := start(t)
	tunnel, _ := r.register()
	u, client := r.join(tunnel)
	done := r.shutdown(t.Context(), tunnel)
	if got := r.refusal("multiplex\n"); !strings.HasPrefix(got, "-draining ") {
		t.Errorf("a registration is answered by %q", got)
	}
	conntest.WantPair(t, u, client)
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned %v while a user was connected", err)
	case <-tunnel.closed:
		t.Fatal("the tunnel was closed while it had a user")
	case <-time.After(grace):
	}
	_ = u.CloseWrite()
	_ = client.CloseWrite()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	wantClosed(t, "the end of the tunnel", tunnel.closed)
	r.wantServed(server.ErrServerClosed)
}

func TestShutdownWithoutUsers(t *testing.T) {
	r := start(t)
	tunnel, _ := r.register()
	if err := r.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	wantClosed(t, "the end of the tunnel", tunnel.closed)
	wantRefused(t, tunnel.port)
	r.wantServed(server.ErrServerClosed)
	if err := r.Shutdown(t.Context()); err != nil {
		t.Errorf("a second Shutdown: %v", err)
	}
}

// A user who waits has connected before; it is served, by a claim that comes
// while the relay drains.
func TestShutdownServesWhoWaits(t *testing.T) {
	r := start(t)
	tunnel, _ := r.register()
	u := user(t, tunnel)
	waiting := tunnel.next(t)
	done := r.shutdown(t.Context(), tunnel)
	r.request("event\nTHEID\n")
	c := <-r.fake.claims
	_ = c.conn.Close()
	client := waiting.serve(t)
	conntest.WantPair(t, u, client)
	_ = u.CloseWrite()
	_ = client.CloseWrite()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// When its time is up Shutdown resets the users that are left, in whatever state, and
// returns the error of its context.
func TestShutdownIsOver(t *testing.T) {
	log := new(lockedBuffer)
	r := start(t, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	tunnel, _ := r.register()
	silent, _ := r.join(tunnel)
	halfClosed, client := r.join(tunnel)
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := halfClosed.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want the end", err)
	}
	fill(t, halfClosed) // and nobody reads it
	waits := user(t, tunnel)
	tunnel.next(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := r.shutdown(ctx, tunnel)
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v, want the context's error", err)
		}
	case <-time.After(patience):
		t.Fatal("Shutdown does not return")
	}
	conntest.WantReset(t, silent)
	conntest.WantReset(t, waits)
	if _, err := halfClosed.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the half-closed user writes with %v, want a reset", err)
	}
	r.wantServed(server.ErrServerClosed)
	wantDrainingLogged(t, log, waits)
}

// wantDrainingLogged expects the log to say that a user was reset as the relay shut down.
func wantDrainingLogged(t *testing.T, log *lockedBuffer, u net.Conn) {
	t.Helper()
	if line := fmt.Sprintf(`user=%s reason=drain`, u.LocalAddr()); log.count(line) != 1 {
		t.Errorf("the log has not %q:\n%s", line, log)
	}
}

// fill writes until nothing more is taken.
func fill(t *testing.T, conn net.Conn) {
	t.Helper()
	var err error
	for chunk := make([]byte, 64<<10); err == nil; {
		if e := conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); e != nil {
			t.Fatal(e)
		}
		_, err = conn.Write(chunk)
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatal(err)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
}

// Close may be called by anybody, any number of times, also beside Shutdown.
func TestClose(t *testing.T) {
	r := start(t)
	tunnel, _ := r.register()
	u, _ := r.join(tunnel)
	var running sync.WaitGroup
	for range 3 {
		running.Go(r.Close)
		running.Go(func() { _ = r.Shutdown(t.Context()) })
	}
	running.Wait()
	r.Close()
	conntest.WantReset(t, u)
	wantClosed(t, "the end of the tunnel", tunnel.closed)
	wantRefused(t, tunnel.port)
	r.wantServed(server.ErrServerClosed)
}

// A relay that is closed serves no more, and closes what it is given.
func TestServeAfterClose(t *testing.T) {
	r := start(t)
	r.Close()
	l, err := transport.ListenRelayClients(loopback + ":0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Serve(l); !errors.Is(err, server.ErrServerClosed) {
		t.Errorf("Serve: %v, want %v", err, server.ErrServerClosed)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("its listener accepts: %v", err)
	}
}

// Nobody waits for those who are silent, nor for a relay client that does not come for
// its user. One who says something every second and a half is waited for.
func TestShutdownDoesNotWaitForTheSilent(t *testing.T) {
	log := new(lockedBuffer)
	r := start(t, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	tunnel, _ := r.register()
	silent, silentClient := r.join(tunnel)
	slow, slowClient := r.join(tunnel)
	waits := user(t, tunnel)
	tunnel.next(t)
	done := r.shutdown(t.Context(), tunnel)
	said := make(chan struct{})
	go func() {
		defer close(said)
		every := time.NewTicker(1500 * time.Millisecond)
		defer every.Stop()
		for range 3 {
			<-every.C
			conntest.Write(t, slow, "x")
			conntest.WantRead(t, slowClient, "x")
		}
	}()
	conntest.WantReset(t, silent)
	conntest.WantReset(t, silentClient)
	conntest.WantReset(t, waits)
	<-said
	conntest.WantPair(t, slow, slowClient)
	_ = slow.CloseWrite()
	_ = slowClient.CloseWrite()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	wantDrainingLogged(t, log, waits)
}
