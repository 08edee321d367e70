package acme_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/certificate/acme"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/transport"
)

const (
	patience = time.Minute
	domain   = "relay.example.com"
)

func TestMain(m *testing.M) {
	// The test's own authority cannot be stopped.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),
		// Certmagic has one for each authority, for as long as the process lives.
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
		// Certmagic keeps its locks fresh for 5 seconds more.
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
}

// authority starts a certificate authority on loopback, which finds every domain there,
// and connects to ports of the test's choice.
func authority(t *testing.T, httpPort, tlsPort int) (directory *httptest.Server, clientRoots, issued *x509.CertPool) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	logger := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	issuer := ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 3600 * 24 * 90}})
	validator := va.New(logger, httpPort, tlsPort, true, resolver(t), store)
	front := wfe.New(logger, store, validator, issuer, []string{"pebble.test"}, true, false, 1, 1)
	server := httptest.NewTLSServer(front.Handler())
	t.Cleanup(server.Close)
	clientRoots, issued = x509.NewCertPool(), x509.NewCertPool()
	clientRoots.AddCert(server.Certificate())
	issued.AppendCertsFromPEM(issuer.GetRootCert(0).PEM())
	return server, clientRoots, issued
}

// resolver starts a name server that resolves every name to this machine.
func resolver(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, asked *dns.Msg) {
		answer := new(dns.Msg).SetReply(asked)
		if question := asked.Question[0]; question.Qtype == dns.TypeA {
			header := dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}
			answer.Answer = []dns.RR{&dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(answer)
	})}
	var running sync.WaitGroup
	running.Go(func() { _ = server.ActivateAndServe() })
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	return l.Addr().String()
}

// relay is a control port whose certificate comes later.
type relay struct {
	port    int
	addr    string
	config  chan *tls.Config
	stopped sync.WaitGroup
}

// dial connects to it as a relay client does.
func (r *relay) dial(ctx context.Context, config *tls.Config) (conn.Conn, error) {
	conn, err := transport.DialRelay(ctx, r.addr)
	if err != nil {
		return nil, err
	}
	return transport.SecureRelay(ctx, conn, config)
}

// startRelay listens.
func startRelay(t *testing.T) *relay {
	t.Helper()
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{port: l.Addr().(*net.TCPAddr).Port, addr: l.Addr().String(), config: make(chan *tls.Config, 1)}
	r.stopped.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.stopped.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				config := <-r.config
				r.config <- config
				if safe, err := transport.Secure(conn, config); err == nil {
					_, _ = io.Copy(safe, safe)
					_ = safe.Close()
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); r.stopped.Wait() })
	return r
}

// start starts a manager for the relay, which asks its clients for certificates.
func (r *relay) start(t *testing.T, c acme.Config) *acme.Manager {
	t.Helper()
	manager, err := acme.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(manager.Close)
	r.config <- certificate.ServerConfig{
		GetCertificate: manager.GetCertificate, ClientCAs: x509.NewCertPool(), RequireClient: true, Authority: true,
	}.TLS()
	return manager
}

// wantCertificate expects a good certificate before long.
func (r *relay) wantCertificate(t *testing.T, manager *acme.Manager, issued *x509.CertPool) (pin string) {
	t.Helper()
	select {
	case <-manager.Obtained():
	case <-time.After(patience):
		t.Fatal("there is no certificate")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := r.dial(ctx, &tls.Config{RootCAs: issued, ServerName: domain})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Reset()
	return certificate.Pin(conn.(*transport.TLSConn).ConnectionState().PeerCertificates[0])
}

// The relay answers the authority on the control port, even where clients need
// certificates, and stores the certificate.
func TestTLSALPN(t *testing.T) {
	r := startRelay(t)
	directory, roots, issued := authority(t, 1, r.port)
	config := acme.Config{
		Domain: domain, Email: "somebody@example.com", Dir: t.TempDir(),
		Directory: directory.URL + wfe.DirectoryPath, Roots: roots, Bind: "127.0.0.1", TLSPort: r.port, HTTPPort: -1,
	}
	pin := r.wantCertificate(t, r.start(t, config), issued)

	again := startRelay(t)
	directory.Close()
	if got := again.wantCertificate(t, again.start(t, config), issued); got != pin {
		t.Error("after a restart it is another certificate")
	}
}

// Without port 443 the authority is answered on port 80, or on its substitute.
func TestHTTP(t *testing.T) {
	port := conntest.FreePorts(t, 1) // certmagic listens there when needed
	r := startRelay(t)
	directory, roots, issued := authority(t, port, 1)
	r.wantCertificate(t, r.start(t, acme.Config{
		Domain: domain, Dir: t.TempDir(), Bind: "127.0.0.1",
		Directory: directory.URL + wfe.DirectoryPath, Roots: roots, TLSPort: -1, HTTPPort: port,
	}), issued)
}

// Errors are in the log, and nobody waits for them.
func TestUnreachable(t *testing.T) {
	var out locked
	r := startRelay(t)
	r.start(t, acme.Config{
		Domain: domain, Dir: t.TempDir(), Directory: "https://127.0.0.1:1/nobody", TLSPort: 1, HTTPPort: -1,
		Logger: slog.New(slog.NewTextHandler(&out, nil)),
	})
	if conn, err := r.dial(t.Context(), &tls.Config{ServerName: domain}); err == nil {
		_ = conn.Reset()
		t.Error("there is a certificate")
	}
	for limit := time.Now().Add(patience); !strings.Contains(out.String(), "refused"); <-time.After(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("the log says %q", out.String())
		}
	}
}

func TestConfigIsRefused(t *testing.T) {
	for name, config := range map[string]acme.Config{
		"no domain":    {Dir: t.TempDir()},
		"localhost":    {Dir: t.TempDir(), Domain: "localhost"},
		"no directory": {Domain: domain},
	} {
		if manager, err := acme.Start(config); err == nil {
			manager.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

// locked is a buffer for several goroutines.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
