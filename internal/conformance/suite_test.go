package conformance_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
	"github.com/seed96252745/relay/relaytest"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "relay-conformance-")
	if err != nil {
		log.Fatal(err)
	}
	buildDir = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		_ = os.RemoveAll(dir)
		os.Exit(status)
	}))
}

// patience is how long anything may take before a test calls it a hang. It
// bounds failures and is never waited for otherwise.
const patience = 60 * time.Second

// severalSessions stands for multiplex with three sessions. With TLS multiplex has several
// of its own accord.
const severalSessions = relay.Multiplex + "-3"

// with returns options for a protocol of the suite.
func with(protocol relay.Protocol, options relay.Options) *relay.Options {
	options.Protocol = protocol
	if protocol == severalSessions {
		options.Protocol, options.Sessions = relay.Multiplex, 3
	}
	return &options
}

// flagsOf returns the same for the command.
func flagsOf(protocol relay.Protocol) []string {
	o := with(protocol, relay.Options{})
	flags := []string{"--protocol=" + string(o.Protocol)}
	if o.Sessions > 0 {
		flags = append(flags, fmt.Sprintf("--sessions=%d", o.Sessions))
	}
	return flags
}

// eachProtocol runs the test for every protocol, and for multiplex with several sessions.
func eachProtocol(t *testing.T, test func(t *testing.T, protocol relay.Protocol)) {
	for _, protocol := range append(relay.Protocols(), severalSessions) {
		t.Run(string(protocol), func(t *testing.T) { test(t, protocol) })
	}
}

// eachTunnel runs the test for every protocol over every transport, with a relay
// and a forwarder before a local server that runs handle for each connection, and with an SSH
// client.
func eachTunnel(t *testing.T, handle func(*net.TCPConn), test func(t *testing.T, tun *tunnel)) {
	eachExactTunnel(t, handle, test)
	t.Run(overSSH, func(t *testing.T) { test(t, forwardSSH(t, serveLocal(t, handle))) })
}

// eachExactTunnel leaves out SSH clients, as eachExactPairing does.
func eachExactTunnel(t *testing.T, handle func(*net.TCPConn), test func(t *testing.T, tun *tunnel)) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		eachTransport(t, func(t *testing.T, r *relaytest.Relay, encrypt *tls.Config) {
			test(t, forward(t, r.Addr(), serveLocal(t, handle), protocol, encrypt))
		})
	})
	t.Run(inProcessVerb.Name, func(t *testing.T) { test(t, forwardInProcess(t, serveLocal(t, handle))) })
}

// eachTransport runs the test with a relay of its own for each way to talk to it.
func eachTransport(t *testing.T, test func(t *testing.T, r *relaytest.Relay, encrypt *tls.Config)) {
	t.Run("plain", func(t *testing.T) { test(t, relaytest.Start(t), nil) })
	t.Run("tls", func(t *testing.T) {
		r := relaytest.Start(t)
		encrypt, err := r.TLS()
		if err != nil {
			t.Fatal(err)
		}
		test(t, r, encrypt)
	})
}

// eachPatientTunnel is eachTunnel where the relay for TLS gives users and relay clients
// all the time of the test. A busy machine does not do so many handshakes at once within
// their usual limit.
func eachPatientTunnel(t *testing.T, handle func(*net.TCPConn), test func(t *testing.T, tun *tunnel)) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		t.Run("plain", func(t *testing.T) {
			test(t, forward(t, relaytest.Start(t).Addr(), serveLocal(t, handle), protocol, nil))
		})
		t.Run("tls", func(t *testing.T) {
			addr, encrypt := patientRelay(t)
			test(t, forward(t, addr, serveLocal(t, handle), protocol, encrypt))
		})
	})
	t.Run(inProcessVerb.Name, func(t *testing.T) { test(t, forwardInProcess(t, serveLocal(t, handle))) })
	t.Run(overSSH, func(t *testing.T) { test(t, forwardSSH(t, serveLocal(t, handle))) })
}

func patientRelay(t *testing.T) (addr string, encrypt *tls.Config) {
	t.Helper()
	own, encrypt := newCertificate(t)
	return startPatientRelay(t, own), encrypt
}

// newCertificate makes a certificate for relays, and settings with which forwarders trust
// it.
func newCertificate(t *testing.T) (own tls.Certificate, encrypt *tls.Config) {
	t.Helper()
	own, err := certificate.New()
	must(t, err)
	encrypt, err = relay.PinnedTLS(certificate.Pin(own.Leaf))
	must(t, err)
	return own, encrypt
}

func startPatientRelay(t *testing.T, own tls.Certificate) (addr string) {
	t.Helper()
	s, err := node.Relay(node.Config{
		Bind: "127.0.0.1", Ports: port.Range{First: 20000, Last: 29999},
		Limits: admission.Limits{TunnelsPerSource: -1, HandshakeTimeout: patience, UserWait: patience},
		TLS:    certificate.ServerConfig{GetCertificate: certificate.Fixed(own)}.TLS(),
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
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

// tunnel is a forwarder that has registered.
type tunnel struct {
	registered chan string // each public address
	public     string      // the first of them
}

// forward runs a forwarder until the test ends.
func forward(t *testing.T, relayAddr, local string, protocol relay.Protocol, encrypt *tls.Config) *tunnel {
	tun := &tunnel{registered: make(chan string, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- relay.Forward(ctx, relayAddr, local, with(protocol, relay.Options{
			TLS:        encrypt,
			Drain:      -1,
			OnRegister: func(public net.Addr) { tun.registered <- public.String() },
		}))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Forward: %v", err)
		}
	})
	tun.public = within(t, tun.registered, "the forwarder to register")
	return tun
}

// serveLocal runs a TCP server until the test ends. It resets what handle
// leaves open.
func serveLocal(t *testing.T, handle func(*net.TCPConn)) (addr string) {
	return serveLocalAt(t, "127.0.0.1:0", handle)
}

func serveLocalAt(t *testing.T, at string, handle func(*net.TCPConn)) (addr string) {
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	conns := make(map[*net.TCPConn]struct{})
	closed := false
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[conn.(*net.TCPConn)] = struct{}{}
			if closed { // while this one came
				reset(conn.(*net.TCPConn))
			}
			mu.Unlock()
			running.Go(func() { handle(conn.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		closed = true
		for conn := range conns {
			reset(conn)
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// dial connects a user. The connection fails rather than hang.
func dial(t *testing.T, public string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", public)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

// within receives from c, and fails the test if that takes too long.
func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// pairing is a local server that knows which of its connections belongs to which user: each
// user begins with a token.
type pairing struct {
	mu    sync.Mutex
	wants map[[tokenSize]byte]chan *net.TCPConn
}

const tokenSize = 16

// pairingTunnel is a tunnel to a pairing server.
type pairingTunnel struct {
	*tunnel
	*pairing
}

func eachPairing(t *testing.T, test func(t *testing.T, p pairingTunnel)) {
	eachExactPairing(t, test)
	t.Run(overSSH, func(t *testing.T) {
		p := &pairing{wants: make(map[[tokenSize]byte]chan *net.TCPConn)}
		test(t, pairingTunnel{forwardSSH(t, serveLocal(t, p.handle)), p})
	})
}

// eachExactPairing leaves out SSH clients, which have no reset, and no urgent data: what package
// interop/ssh tries with real ones.
func eachExactPairing(t *testing.T, test func(t *testing.T, p pairingTunnel)) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) { test(t, newPairing(t, protocol)) })
	t.Run(inProcessVerb.Name, func(t *testing.T) {
		p := &pairing{wants: make(map[[tokenSize]byte]chan *net.TCPConn)}
		test(t, pairingTunnel{forwardInProcess(t, serveLocal(t, p.handle)), p})
	})
}

func newPairing(t *testing.T, protocol relay.Protocol) pairingTunnel {
	p := &pairing{wants: make(map[[tokenSize]byte]chan *net.TCPConn)}
	local := serveLocal(t, p.handle)
	return pairingTunnel{forward(t, relaytest.Start(t).Addr(), local, protocol, nil), p}
}

func (p *pairing) handle(conn *net.TCPConn) {
	var token [tokenSize]byte
	if _, err := io.ReadFull(conn, token[:]); err != nil {
		return
	}
	p.mu.Lock()
	want := p.wants[token]
	p.mu.Unlock()
	if want != nil {
		want <- conn
	}
}

// pair connects a user, and returns both ends.
func (p pairingTunnel) pair(t *testing.T) (user, server *net.TCPConn) {
	t.Helper()
	var token [tokenSize]byte
	_, _ = rand.Read(token[:])
	want := make(chan *net.TCPConn, 1)
	p.mu.Lock()
	p.wants[token] = want
	p.mu.Unlock()
	user = dial(t, p.public)
	if _, err := user.Write(token[:]); err != nil {
		t.Fatal(err)
	}
	server = within(t, want, "the user to reach the server")
	_ = server.SetDeadline(time.Now().Add(patience))
	return user, server
}

// reset closes conn with RST.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// isReset reports whether err is of a connection that was reset. A write returns EPIPE
// once the reset has been seen.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
