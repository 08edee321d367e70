package server_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
)

// startOn starts a relay on a listener of the test, and returns its log.
func startOn(t *testing.T, l conn.Listener) (r *relay, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	r = start(t, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	go func() { r.served <- r.Serve(l) }()
	return r, log
}

// connection returns one for a fake listener to accept.
func connection(t *testing.T) (accepted conn.Conn, peer *net.TCPConn) {
	t.Helper()
	l, err := transport.ListenRelayClients(loopback + ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer = dial(t, l.Addr().String())
	accepted, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return accepted, peer
}

// Errors of accept pass: they come when descriptors or memory run out. A relay that gave up
// then would have to be restarted by hand.
func TestAcceptErrors(t *testing.T) {
	l := newFakeListener()
	for range 6 { // each is tried again with the reserve
		l.results <- result{err: &net.OpError{Op: "accept", Err: syscall.EMFILE}}
	}
	conn, peer := connection(t)
	l.results <- result{conn: conn}
	l.results <- result{err: syscall.ECONNABORTED}
	second, secondPeer := connection(t)
	l.results <- result{conn: second}
	r, log := startOn(t, l)
	for _, p := range []*net.TCPConn{peer, secondPeer} {
		conntest.Write(t, p, "multiplex\n")
		tunnel := <-r.fake.tunnels
		r.join(tunnel)
	}
	r.Close()
	wantClosed(t, "closing the listener", l.closed)
	for range 2 {
		r.wantServed(server.ErrServerClosed)
	}
	// One line each time that it begins, and not one for each try.
	if n := strings.Count(log.String(), "cannot accept"); n != 2 {
		t.Errorf("%d lines about it in the log, want 2:\n%s", n, log)
	}
	if !strings.Contains(log.String(), "127.0.0.1:8080") {
		t.Errorf("the log does not say where:\n%s", log)
	}
}

// The same holds at a public port: its users come when the shortage is over.
func TestAcceptErrorsOfPublicPort(t *testing.T) {
	public := newFakeListener()
	r := start(t, func(c *server.Config) {
		c.Listen = func(int) (conn.Listener, error) { return public, nil }
	})
	tunnel, _ := r.register()
	for range 4 { // each is tried again with the reserve
		public.results <- result{err: syscall.EMFILE}
	}
	conn, peer := connection(t)
	public.results <- result{conn: conn}
	client := tunnel.next(t).serve(t)
	conntest.WantPair(t, peer, client)
}

// While descriptors are short there are some in reserve: for relay clients, which are
// served, and for users, which are reset instead of being left in a queue.
func TestAcceptWithReserve(t *testing.T) {
	public, l := newFakeListener(), newFakeListener()
	r := start(t, func(c *server.Config) {
		c.Listen = func(int) (conn.Listener, error) { return public, nil }
	})
	go func() { r.served <- r.Serve(l) }()
	l.results <- result{err: syscall.EMFILE}
	conn, client := connection(t)
	l.results <- result{conn: conn}
	conntest.Write(t, client, "multiplex\n")
	tunnel := <-r.fake.tunnels
	for range 3 {
		public.results <- result{err: syscall.ENFILE}
		shed, u := connection(t)
		public.results <- result{conn: shed}
		conntest.WantReset(t, u)
	}
	served, u := connection(t)
	public.results <- result{conn: served}
	conntest.WantPair(t, u, tunnel.next(t).serve(t))
	state := r.State()
	if n := state.Counters.Of(admission.Shortages); n != 4 {
		t.Errorf("%d shortages are counted, want 4", n)
	}
	if n := state.Counters.Of(admission.Users); n != 3 {
		t.Errorf("%d users are counted as turned away, want 3", n)
	}
	r.Close()
	for range 2 {
		r.wantServed(server.ErrServerClosed)
	}
}

// A relay that waits for the end of a shortage can be closed.
func TestCloseDuringAcceptErrors(t *testing.T) {
	l := newFakeListener()
	for range cap(l.results) {
		l.results <- result{err: syscall.ENFILE}
	}
	r, _ := startOn(t, l)
	<-time.After(grace)
	r.Close()
	for range 2 {
		r.wantServed(server.ErrServerClosed)
	}
}

// A listener that is closed by others ends Serve, with a reason.
func TestListenerIsClosed(t *testing.T) {
	l := newFakeListener()
	r, _ := startOn(t, l)
	_ = l.Close()
	if err := <-r.served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v, want %v", err, net.ErrClosed)
	}
}
