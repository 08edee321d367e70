package conformance_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/seed96252745/relay"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/conntest"
)

// nameServer answers for every name, until the test ends, with addresses that the test
// sets. Only this process asks it, so a test with one may not run beside
// others.
type nameServer struct{ addrs atomic.Pointer[[]string] }

func (n *nameServer) set(addrs ...string) { n.addrs.Store(&addrs) }

func startNameServer(t *testing.T, addrs ...string) *nameServer {
	t.Helper()
	n := new(nameServer)
	n.set(addrs...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(n.answer)}
	var running sync.WaitGroup
	running.Go(func() { _ = server.ActivateAndServe() })
	before := net.DefaultResolver
	// A lookup that nobody waits for any more may still dial when the test ends, and a
	// Dialer without a Resolver reads the variable.
	dialer := net.Dialer{Resolver: new(net.Resolver)}
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", l.Addr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		_ = l.Close()
		running.Wait()
	})
	return n
}

func (n *nameServer) answer(w dns.ResponseWriter, asked *dns.Msg) {
	answer := new(dns.Msg).SetReply(asked)
	if question := asked.Question[0]; question.Qtype == dns.TypeA {
		for _, addr := range *n.addrs.Load() {
			header := dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}
			answer.Answer = append(answer.Answer, &dns.A{Hdr: header, A: net.ParseIP(addr)})
		}
	}
	_ = w.WriteMsg(answer)
}

const (
	oneAddr     = "127.0.0.1"
	anotherAddr = "127.0.0.2"
)

// twoRelays runs relays with the same port at both addresses.
func twoRelays(t *testing.T) (port string, one, another *process) {
	t.Helper()
	port = conntest.FreePort(t)
	return port, startRelay(t, net.JoinHostPort(oneAddr, port)), startRelay(t, net.JoinHostPort(anotherAddr, port))
}

// publicAt returns where users find a tunnel at the relay with this address: the public
// address has the name.
func publicAt(t *testing.T, addr, public string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(public)
	must(t, err)
	return net.JoinHostPort(addr, port)
}

// The relay's name leads to another relay while a forwarder is registered. It stays
// with the one that it has registered at, until that is gone.
func TestRelayNameMoves(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol relay.Protocol) {
		names := startNameServer(t, oneAddr)
		port, one, _ := twoRelays(t)
		tun := forward(t, "relay.test:"+port, serveLocal(t, echo), protocol, nil)
		names.set(anotherAddr)
		for round := range uint32(relay.DefaultPoolSize + 2) { // more than were made before the name moved
			must(t, echoOnce(t, publicAt(t, oneAddr, tun.public), round, 100))
		}
		one.kill()
		moved := within(t, tun.registered, "the forwarder to register at the other relay")
		must(t, echoOnce(t, publicAt(t, anotherAddr, moved), 1, 100))
	})
}

// A forwarder tries all addresses of a name, for whatever reason the first ones fail.
func TestRelayNameHasSeveralAddresses(t *testing.T) {
	for name, atFirst := range map[string]func(*net.TCPConn){
		"nobody":              nil,
		"somebody who resets": reset,
		"somebody who ends":   func(conn *net.TCPConn) { _ = conn.Close() },
		"a web server": func(conn *net.TCPConn) {
			_, _ = conn.Read(make([]byte, 1000))
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
			_ = conn.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			startNameServer(t, oneAddr, anotherAddr)
			port := conntest.FreePort(t)
			if atFirst != nil {
				serveLocalAt(t, net.JoinHostPort(oneAddr, port), atFirst)
			}
			startRelay(t, net.JoinHostPort(anotherAddr, port))
			tun := forward(t, "relay.test:"+port, serveLocal(t, echo), relay.Multiplex, nil)
			must(t, echoOnce(t, publicAt(t, anotherAddr, tun.public), 1, 100))
		})
	}
}

// A relay that refuses is alive. A forwarder tries another address of the name only if the
// relay there may have what this one lacks, as it would get another public port there.
func TestRelayNameAfterARefusal(t *testing.T) {
	for refusal, next := range map[string]string{
		"draining":   anotherAddr,
		"no-port":    anotherAddr,
		"superseded": oneAddr,
		"in-use":     oneAddr,
		"not-open":   oneAddr,
		"limit":      oneAddr,
		"shut-out":   oneAddr,
	} {
		t.Run(refusal, func(t *testing.T) {
			startNameServer(t, oneAddr, anotherAddr)
			port := conntest.FreePort(t)
			asked := make(chan string, 100)
			for _, addr := range []string{oneAddr, anotherAddr} {
				serveLocalAt(t, net.JoinHostPort(addr, port), func(conn *net.TCPConn) {
					_, _ = bufio.NewReader(conn).ReadString('\n')
					asked <- addr
					_, _ = io.WriteString(conn, "-"+refusal+" not now\n")
					_ = conn.CloseWrite()
					_, _ = io.Copy(io.Discard, conn)
				})
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- relay.Forward(ctx, "relay.test:"+port, "127.0.0.1:1", nil) }()
			if first := within(t, asked, "the forwarder to register"); first != oneAddr {
				t.Errorf("it asks %s first", first)
			}
			if got := within(t, asked, "the forwarder to try again"); got != next {
				t.Errorf("after the refusal it asks %s, want %s", got, next)
			}
			cancel()
			must(t, <-done)
		})
	}
}

// Claims reach another relay than the one with the control connection, as behind a load
// balancer whose relays were exchanged. The log says so once, and soon after its last user
// the forwarder registers anew.
func TestClaimsGoToAnotherRelay(t *testing.T) {
	own, encrypt := newCertificate(t)
	asRelay := certificate.ServerConfig{GetCertificate: certificate.Fixed(own)}.TLS()
	ends := func(conn *net.TCPConn) { _, _ = conn.Read(make([]byte, 1000)); _ = conn.Close() }
	for name, c := range map[string]struct {
		exchanged func(*net.TCPConn)
		encrypt   *tls.Config
	}{
		"which resets": {reset, nil},
		"which ends":   {ends, nil},
		"which ends after the handshake": {func(conn *net.TCPConn) {
			_, _ = tls.Server(conn, asRelay).Read(make([]byte, 1000))
			_ = conn.Close()
		}, encrypt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relayAddr := startPatientRelay(t, own)
			balancer := startBalancer(t, relayAddr)
			logged := new(logBuffer)
			registered := make(chan string, 100)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- relay.Forward(ctx, balancer.addr, serveLocal(t, echo), &relay.Options{
					Protocol: relay.Event, TLS: c.encrypt, Drain: -1, Logger: slog.New(slog.NewTextHandler(logged, nil)),
					OnRegister: func(public net.Addr) { registered <- public.String() },
				})
			}()
			public := within(t, registered, "the forwarder to register")
			must(t, echoOnce(t, public, 1, 100))
			balancer.handle.Store(&c.exchanged)
			for deadline := time.Now().Add(patience); !strings.Contains(logged.String(), "trying again"); {
				if time.Now().After(deadline) {
					t.Fatal("the forwarder does not give up the registration")
				}
				dial(t, public)
				within(t, balancer.handled, "a claim")
				<-time.After(50 * time.Millisecond) // users come one by one
			}
			balancer.handle.Store(nil)
			public = within(t, registered, "the forwarder to register anew")
			must(t, echoOnce(t, public, 2, 100))
			cancel()
			must(t, <-done)
			if n := strings.Count(logged.String(), "a connection to the relay for a user failed"); n != 1 {
				t.Errorf("the log says %d times that a connection for a user has failed, want once:\n%s", n, logged)
			}
		})
	}
}

// balancer hands connections on to a relay, or handles them itself.
type balancer struct {
	addr    string
	handle  atomic.Pointer[func(*net.TCPConn)]
	handled chan struct{}
}

func startBalancer(t *testing.T, relayAddr string) *balancer {
	t.Helper()
	b := &balancer{handled: make(chan struct{}, 100)}
	b.addr = serveLocal(t, func(conn *net.TCPConn) {
		if handle := b.handle.Load(); handle != nil {
			(*handle)(conn)
			b.handled <- struct{}{}
			return
		}
		handOn(conn, relayAddr)
	})
	return b
}

// handOn is a TCP proxy for one connection.
func handOn(conn *net.TCPConn, addr string) {
	defer conn.Close()
	up, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer up.Close()
	var running sync.WaitGroup
	pipe := func(to, from *net.TCPConn) {
		if _, err := io.Copy(to, from); err == nil && to.CloseWrite() == nil {
			return
		}
		reset(to)
		reset(from)
	}
	running.Go(func() { pipe(up.(*net.TCPConn), conn) })
	pipe(conn, up.(*net.TCPConn))
	running.Wait()
}

// logBuffer keeps a log.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
