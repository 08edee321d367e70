package conformance_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/auth"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/lease"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/transport"
)

// mostUsers is the limit of concurrent users that the forwarders of a home ask for.
const mostUsers = 2

// home is a relay that can be started again, with its files, and its visitors.
type home struct {
	*testing.T
	who           whoComesBack
	protocol      relay.Protocol
	dir, addr     string
	ports, others port.Range // others are those of a mistake
	own, client   tls.Certificate
	encrypt       *tls.Config  // of forwarders; nil is plain text
	secret        atomic.Value // string
	tokens        *auth.File
	stop          func()
	since         time.Time // the last thing that was done to relay or forwarder
	names         byte
}

func newHome(t *testing.T, who whoComesBack, protocol relay.Protocol) *home {
	t.Helper()
	h := &home{
		T: t, who: who, protocol: protocol, dir: t.TempDir(),
		addr: net.JoinHostPort("127.0.0.1", conntest.FreePort(t)), ports: freeRange(t, 4), others: freeRange(t, 2),
	}
	if who.certificate {
		var err error
		h.own, err = certificate.New()
		must(t, err)
		h.encrypt, err = relay.PinnedTLS(certificate.Pin(h.own.Leaf))
		must(t, err)
		h.client = clientCertificate(t)
		h.encrypt.Certificates = []tls.Certificate{h.client}
	}
	h.secret.Store("")
	if who.token {
		h.newSecret()
	}
	h.start(h.ports, true)
	t.Cleanup(func() { h.stop() })
	return h
}

func freeRange(t *testing.T, n int) port.Range {
	t.Helper()
	first := conntest.FreePorts(t, n)
	return port.Range{First: first, Last: first + n - 1}
}

// clientCertificate makes a self-signed certificate.
func clientCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "owner"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// newSecret writes a tokens file in which the name has a secret that is new.
func (h *home) newSecret() {
	h.Helper()
	secret := auth.NewSecret()
	line := "owner " + auth.Hash(secret)
	if h.who.onePort {
		line += " ports=" + strconv.Itoa(h.ports.First)
	}
	must(h.T, os.WriteFile(filepath.Join(h.dir, "tokens"), []byte(line+"\n"), 0o600))
	h.secret.Store(secret)
}

// changeSecret puts another secret into force.
func (h *home) changeSecret() {
	h.Helper()
	h.newSecret()
	h.since = time.Now()
	must(h.T, h.tokens.Reload())
}

// start starts the relay with these ports, and with all identities that it knows, or
// by mistake without.
func (h *home) start(ports port.Range, identities bool) {
	h.Helper()
	config := node.Config{
		Bind: "127.0.0.1", Ports: ports,
		Logger: slog.New(slog.NewTextHandler(h.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	var err error
	h.tokens = nil
	if h.who.token && identities {
		h.tokens, err = auth.Open(filepath.Join(h.dir, "tokens"), config.Logger)
		must(h.T, err)
		config.Tokens = h.tokens
	}
	if h.who.certificate {
		server := certificate.ServerConfig{GetCertificate: certificate.Fixed(h.own)}
		if identities {
			server.ClientCAs = x509.NewCertPool()
			server.ClientCAs.AddCert(h.client.Leaf)
		}
		config.TLS = server.TLS()
	}
	leases, err := lease.Open(filepath.Join(h.dir, "leases"))
	must(h.T, err)
	config.Leases = leases
	s, err := node.Relay(config)
	must(h.T, err)
	l, err := transport.ListenRelayClients(h.addr)
	must(h.T, err)
	served, tokens := make(chan error, 1), h.tokens
	h.since = time.Now()
	go func() { served <- s.Serve(l) }()
	h.stop = func() {
		s.Close()
		<-served // its error says only that it was closed
		if tokens != nil {
			tokens.Close()
		}
		_ = leases.Close()
		h.stop = func() {}
	}
}

// mistake starts the relay with other ports, and perhaps without its identities,
// lets the forwarder register there, and starts it as before.
func (h *home) mistake(forwarder *served, identities bool) {
	h.Helper()
	h.stop()
	h.start(h.others, identities)
	within(h.T, forwarder.registered, "the forwarder to register at a mistaken relay")
	h.stop()
	h.start(h.ports, true)
}

// registerByHand registers without a lease. A port that was closed may be taken for a
// moment.
func (h *home) registerByHand(t *testing.T) (public string, conn net.Conn) {
	t.Helper()
	lines := map[relay.Protocol]string{relay.Multiplex: "multiplex\n", severalSessions: "multiplex\n", relay.Pool: "pool\nnew\n", relay.Event: "event\nnew\n"}[h.protocol]
	if secret := h.secret.Load().(string); secret != "" {
		lines = "+token " + secret + "\n" + lines
	}
	for since := time.Now(); ; {
		conn, err := net.Dial("tcp", h.addr)
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, lines)
		must(t, err)
		answer, err := bufio.NewReader(conn).ReadString('\n')
		must(t, err)
		if !strings.HasPrefix(answer, "-") {
			return net.JoinHostPort("127.0.0.1", strings.TrimSpace(answer)), conn
		}
		if time.Since(since) > soon {
			t.Fatalf("the answer is %q", answer)
		}
	}
}

// served is a forwarder before a server of its own, which sends each user its name, and then
// echoes.
type served struct {
	name       byte
	public     string
	registered chan string
	refused    refusals
	stop       func()
}

// oneKey is a KeyStore with one key for all.
type oneKey string

func (k oneKey) Key(string) (string, error) { return string(k) + strings.Repeat("-", 22), nil }

// serve starts a forwarder, and waits until it has registered.
func (h *home) serve(key, name string) *served {
	h.Helper()
	h.names++
	s := &served{name: h.names, registered: make(chan string, 100), refused: make(refusals, 100)}
	local := serveLocal(h.T, func(conn *net.TCPConn) {
		_, _ = conn.Write([]byte{s.name})
		_, _ = io.Copy(conn, conn)
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	h.since = time.Now()
	go func() {
		ended <- relay.Forward(ctx, h.addr, local, with(h.protocol, relay.Options{
			Keys: oneKey(key), Name: name, TLS: h.encrypt, Users: mostUsers, Drain: -1,
			KeepTrying:  true, // at a mistaken relay, too
			TokenSource: h.token(), Logger: slog.New(s.refused),
			OnRegister: func(public net.Addr) { s.registered <- public.String() },
		}))
	}()
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			h.Errorf("Forward: %v", err)
		}
		s.stop = func() {}
	}
	h.Cleanup(func() { s.stop() })
	s.public = within(h.T, s.registered, "the forwarder to register")
	return s
}

// token returns the secret of the moment, if this one has any.
func (h *home) token() func() (string, error) {
	if !h.who.token {
		return nil
	}
	return func() (string, error) { return h.secret.Load().(string), nil }
}

// use connects a user, whom this forwarder has to serve. Earlier users may count for a
// moment.
func (s *served) use(t *testing.T, public string) *net.TCPConn {
	t.Helper()
	for since := time.Now(); ; {
		user, err := s.greet(t, public)
		if err == nil {
			s.wantEcho(t, user)
			return user
		}
		if !isReset(err) || time.Since(since) > soon {
			t.Fatalf("a user of %s: %v", public, err)
		}
	}
}

// greet connects a user, who may be reset.
func (s *served) greet(t *testing.T, public string) (*net.TCPConn, error) {
	t.Helper()
	conn, err := net.Dial("tcp", public)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn), s.greets(conn.(*net.TCPConn))
}

// wantServed expects that a user who waited is served by this forwarder.
func (s *served) wantServed(t *testing.T, user *net.TCPConn) {
	t.Helper()
	if err := s.greets(user); err != nil {
		t.Fatalf("a user who waited: %v", err)
	}
	s.wantEcho(t, user)
}

func (s *served) greets(user *net.TCPConn) error {
	name := make([]byte, 1)
	if _, err := io.ReadFull(user, name); err != nil {
		return err
	}
	if name[0] != s.name {
		return fmt.Errorf("it is served by forwarder %d, want %d", name[0], s.name)
	}
	return nil
}

func (s *served) wantEcho(t *testing.T, user *net.TCPConn) {
	t.Helper()
	_, err := user.Write([]byte("echo"))
	must(t, err)
	got := make([]byte, 4)
	if _, err := io.ReadFull(user, got); err != nil || string(got) != "echo" {
		t.Fatalf("got %q, %v", got, err)
	}
}

// refusals has the codes of the refusals that a forwarder logs.
type refusals chan string

func (r refusals) Enabled(context.Context, slog.Level) bool { return true }
func (r refusals) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r refusals) WithGroup(string) slog.Handler            { return r }

func (r refusals) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(a slog.Attr) bool {
		err, _ := a.Value.Any().(error)
		if refused := new(relay.RefusedError); errors.As(err, &refused) {
			select {
			case r <- refused.Code:
			default: // no caller waits
			}
		}
		return true
	})
	return nil
}

// wait waits for a refusal with a code.
func (r refusals) wait(t *testing.T, code string) {
	t.Helper()
	for within(t, r, "a refusal with "+code) != code {
	}
}
