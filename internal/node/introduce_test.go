package node_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/certificate"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/node"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/protocol/event"
	"github.com/seed96252745/relay/internal/protocol/multiplex"
	"github.com/seed96252745/relay/internal/protocol/pool"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
)

// proxied is a relay whose relay clients come through load balancers on 127.0.0.2.
type proxied struct {
	*testing.T
	*server.Server
	addr    string
	encrypt *tls.Config
	log     *log
}

// log is a log that is read while it is written.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

func startProxied(t *testing.T, limits admission.Limits) *proxied {
	t.Helper()
	own, err := certificate.New()
	if err != nil {
		t.Fatal(err)
	}
	p := &proxied{T: t, log: new(log)}
	if p.encrypt, err = (certificate.ClientConfig{Pins: []string{certificate.Pin(own.Leaf)}}.TLS()); err != nil {
		t.Fatal(err)
	}
	first := conntest.FreePorts(t, 4)
	p.Server, err = node.Relay(node.Config{
		Bind: "127.0.0.1", Ports: port.Range{First: first, Last: first + 3}, Limits: limits,
		ControlProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")},
		TLS:            certificate.ServerConfig{GetCertificate: certificate.Fixed(own)}.TLS(),
		Logger:         slog.New(slog.NewTextHandler(p.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { _ = p.Serve(l) }) // its error says only that it was closed
	t.Cleanup(func() { p.Close(); serving.Wait() })
	return p
}

// dial connects from an address of this machine, and says something first.
func (p *proxied) dial(from, header string) *transport.Conn {
	p.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.Dial("tcp", p.addr)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(tokensSoon))
	conntest.Write(p.T, conn, header)
	return transport.NewConn(conn.(*net.TCPConn))
}

// headerOf is what a load balancer says of a relay client.
func headerOf(t *testing.T, version int, client string) string {
	t.Helper()
	header, err := proxyproto.Header(version, &net.TCPAddr{IP: net.ParseIP(client), Port: 4321}, &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 8080})
	if err != nil {
		t.Fatal(err)
	}
	return string(header)
}

// A relay client behind a load balancer is served as any other one, in plain text and
// with TLS behind the header, and is who the header says.
func TestRelayClientsBehindALoadBalancer(t *testing.T) {
	for name, client := range map[string]protocol.Client{
		"multiplex": new(multiplex.Client), "pool": pool.Client{Size: 2}, "event": new(event.Client),
	} {
		for version, encrypted := range map[int]bool{1: false, 2: true} {
			t.Run(name+strconv.Itoa(version), func(t *testing.T) {
				p := startProxied(t, admission.Limits{})
				r, err := client.Register(t.Context(), func(context.Context) (conn.Conn, error) {
					conn := p.dial("127.0.0.2", headerOf(t, version, "192.0.2.7"))
					_ = conn.SetDeadline(time.Time{})
					if !encrypted {
						return conn, nil
					}
					return transport.SecureRelay(t.Context(), conn, p.encrypt)
				}, protocol.Preamble{})
				if err != nil {
					t.Fatal(err)
				}
				serving := make(chan struct{})
				go func() {
					defer close(serving)
					_ = r.Serve(func(_ context.Context, conn conn.Conn) { // its error says that it was closed
						go func() {
							_, _ = io.Copy(conn, conn)
							_ = conn.Close()
						}()
					})
				}()
				u, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Answer().Port)))
				if err != nil {
					t.Fatal(err)
				}
				_ = u.SetDeadline(time.Now().Add(tokensSoon))
				conntest.Write(t, u, "hello")
				_ = u.(*net.TCPConn).CloseWrite()
				if got, err := io.ReadAll(u); err != nil || string(got) != "hello" {
					t.Errorf("the user gets %q, %v", got, err)
				}
				_ = r.Close()
				<-serving
				if !p.log.has("relayClient=192.0.2.7:4321") || p.log.has("relayClient=127.0.0.2") {
					t.Errorf("the log has another relay client than 192.0.2.7:4321:\n%s", p.log.text.String())
				}
			})
		}
	}
}

// Limits for each source go by the address in the header.
func TestLimitsBehindALoadBalancer(t *testing.T) {
	p := startProxied(t, admission.Limits{TunnelsPerSource: 1, WrongClaims: 1, HandshakesPerSource: 2})
	answer := func(client string) string {
		conn := p.dial("127.0.0.2", headerOf(t, 1, client)+"multiplex\n")
		return string(conntest.Read(t, conn, 1))
	}
	if got := answer("192.0.2.7") + answer("192.0.2.7") + answer("192.0.2.8"); got[1] != '-' || got[0] == '-' || got[2] == '-' {
		t.Errorf("two of one address and one of another are answered by %q", got)
	}
	for range 51 { // as many as are forgiven at the beginning, and one
		conntest.WantReset(t, p.dial("127.0.0.2", headerOf(t, 2, "192.0.2.9")+"pool\nWRONG\n"))
	}
	for p.State().Counters.Of(admission.SourcesShutOut) == 0 { // it is counted after the peer has seen it
		runtime.Gosched()
	}
	const shutOut = "-shut-out "
	conntest.WantRead(t, p.dial("127.0.0.2", headerOf(t, 2, "192.0.2.9")+"multiplex\n"), shutOut)
	ends := make(chan error, 3)
	for range 3 {
		silent := p.dial("127.0.0.2", headerOf(t, 2, "192.0.2.10")+"m")
		go func() {
			_, err := silent.Read(make([]byte, 1))
			ends <- err
		}()
	}
	if err := <-ends; !errors.Is(err, syscall.ECONNRESET) { // of the one whose header came first, and of nobody else
		t.Errorf("the first of three that are silent ends with %v, want a reset", err)
	}
	if got := answer("192.0.2.11"); got == "-" {
		t.Error("one who comes after others of whom too many are silent is refused")
	}
}

// Whom a header names is one relay client, whatever the address: limits hold for private
// ones of the load balancers' networks, and for loopback.
func TestNamedRelayClientsAreCounted(t *testing.T) {
	for _, client := range []string{"10.1.2.3", "127.0.0.1"} {
		for _, encrypted := range []bool{false, true} {
			t.Run(client+"/"+strconv.FormatBool(encrypted), func(t *testing.T) {
				p := startProxied(t, admission.Limits{TunnelsPerSource: 1})
				answer := func() byte {
					var conn conn.Conn = p.dial("127.0.0.2", headerOf(t, 2, client))
					if encrypted {
						var err error
						if conn, err = transport.SecureRelay(t.Context(), conn, p.encrypt); err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() { _ = conn.Close() })
					}
					conntest.Write(t, conn, "multiplex\n")
					return conntest.Read(t, conn, 1)[0]
				}
				if first, second := answer(), answer(); first == '-' || second != '-' {
					t.Errorf("two of one address are answered by %q and %q", first, second)
				}
			})
		}
	}
}

// A load balancer elsewhere has to say whose a connection is, as a header or as its own.
func TestLoadBalancersElsewhere(t *testing.T) {
	p := startProxied(t, admission.Limits{})
	l, err := transport.ListenRelayClients("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- p.Serve(fromOutside{l}) }()
	t.Cleanup(func() { p.Close(); <-served })
	for _, header := range []string{headerOf(t, 1, "192.0.2.7"), "PROXY UNKNOWN\r\n"} {
		if got := conntest.Read(t, p.dial("127.0.0.1", header+"multiplex\n"), 1); got[0] == '-' {
			t.Errorf("a relay client behind %q is refused", header)
		}
	}
	if got, _ := io.ReadAll(p.dial("127.0.0.1", "multiplex\n")); len(got) > 0 {
		t.Errorf("one without a header is answered by %q", got)
	}
	if !p.log.has("a trusted proxy does not say whose it is") {
		t.Errorf("the log does not say why one was closed:\n%s", p.log.text.String())
	}
}

// What is no header, too long, too slow or from anybody else is closed without a word;
// a connection from loopback without a header is that peer's own.
func TestHeadersBeforeRelayClients(t *testing.T) {
	v2 := headerOf(t, 2, "192.0.2.7")
	for name, c := range map[string]struct {
		from, said string
		served     bool
	}{
		"none":             {"127.0.0.2", "multiplex\n", true},
		"of a check":       {"127.0.0.2", v2[:12] + "\x20\x00\x00\x00" + "multiplex\n", true},
		"unknown":          {"127.0.0.2", "PROXY UNKNOWN\r\nmultiplex\n", true},
		"nonsense":         {"127.0.0.2", "PROXY nonsense\r\nmultiplex\n", false},
		"two":              {"127.0.0.2", v2 + v2 + "multiplex\n", false},
		"too long, first":  {"127.0.0.2", "PROXY TCP4 " + strings.Repeat("1", 200), false},
		"too long, second": {"127.0.0.2", v2[:14] + "\xff\xff", false},
		"half":             {"127.0.0.2", v2[:20], false},
		"nothing":          {"127.0.0.2", "", false},
		"from a stranger":  {"127.0.0.3", v2 + "multiplex\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProxied(t, admission.Limits{HandshakeTimeout: time.Second})
			conn := p.dial(c.from, c.said)
			if c.served {
				if got := conntest.Read(t, conn, 1); got[0] == '-' {
					t.Error("it is refused")
				}
				return
			}
			if got, err := io.ReadAll(conn); len(got) > 0 {
				t.Errorf("it is answered by %q, %v", got, err)
			}
		})
	}
}
