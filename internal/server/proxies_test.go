package server_test

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/server"
)

// A header of a trusted load balancer names the user, and the limits for addresses go by
// it. A header from anybody else is payload.
func TestTrustedProxies(t *testing.T) {
	trusted := func(c *server.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	}
	user := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4321}
	public := &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 443}
	for _, version := range []int{1, 2} {
		header, err := proxyproto.Header(version, user, public)
		if err != nil {
			t.Fatal(err)
		}
		r := start(t, trusted)
		r.request("+deny 192.0.2.8\n+proxy v2\nmultiplex\n")
		tunnel := <-r.fake.tunnels
		r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
		u := dialFrom(t, "127.0.0.2", net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)))
		conntest.Write(t, u, string(header)+"hello")
		client := tunnel.next(t).serve(t)
		told, at, err := proxyproto.Read(client)
		if err != nil || told.String() != user.String() || at.String() != public.String() {
			t.Errorf("version %d: the relay client is told %v at %v, %v; want %v at %v", version, told, at, err, user, public)
		}
		conntest.WantRead(t, client, "hello")
		denied, err := proxyproto.Header(version, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 8), Port: 1}, public)
		if err != nil {
			t.Fatal(err)
		}
		u = dialFrom(t, "127.0.0.2", net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)))
		conntest.Write(t, u, string(denied))
		conntest.WantReset(t, u)
		u = dialFrom(t, "127.0.0.2", net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)))
		conntest.Write(t, u, "GET / HTTP/1.1\r\n\r\n") // a trusted proxy has to send a header
		conntest.WantReset(t, u)
	}
}

// The user that a header names is one user: limits hold for private addresses of trusted
// networks, and for loopback.
func TestNamedUsersAreCounted(t *testing.T) {
	for _, ip := range []string{"10.1.2.3", "127.0.0.1"} {
		r := start(t, usersPerSource(1), func(c *server.Config) { c.TrustedProxies = prefixes("127.0.0.2/32", "10.0.0.0/8") })
		tunnel, _ := r.register()
		header := "PROXY TCP4 " + ip + " 198.51.100.1 4321 443\r\n"
		come := func() net.Conn {
			u := dialFrom(t, "127.0.0.2", net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)))
			conntest.Write(t, u, header)
			return u
		}
		come()
		tunnel.next(t).serve(t)
		conntest.WantReset(t, come())
		r.wantCounted(admission.UsersPerSource, 1)
	}
}

func TestUntrustedProxies(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	})
	tunnel, _ := r.register()
	u := dialFrom(t, "127.0.0.3", net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)))
	const forged = "PROXY TCP4 192.0.2.7 198.51.100.1 4321 443\r\nhello"
	conntest.Write(t, u, forged)
	client := tunnel.next(t).serve(t)
	conntest.WantRead(t, client, forged)
}

func prefixes(networks ...string) (of []netip.Prefix) {
	for _, n := range networks {
		of = append(of, netip.MustParsePrefix(n))
	}
	return of
}

// A load balancer looks whether the port is open by connecting, and goes, with FIN or with a
// reset. There was no user, so it is no warning; half a header, or another protocol, is.
func TestChecksOfTrustedProxies(t *testing.T) {
	var log logBuffer
	r := start(t, func(c *server.Config) {
		c.TrustedProxies = prefixes("127.0.0.2/32")
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	tunnel, _ := r.register()
	addr := net.JoinHostPort(loopback, strconv.Itoa(tunnel.port))
	for _, tt := range []struct {
		name, sent, level string
		reset             bool
	}{
		{"FIN", "", "DEBUG", false},
		{"a reset", "", "DEBUG", true},
		{"half a header", "PROXY TC", "WARN", false},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", "WARN", false},
	} {
		u := dialFrom(t, "127.0.0.2", addr)
		if tt.sent != "" {
			conntest.Write(t, u, tt.sent)
		}
		if tt.reset {
			_ = u.SetLinger(0)
		}
		from := u.LocalAddr().String()
		_ = u.Close()
		r.wantSoon(tt.name+" in the log", 1, func() int64 { return int64(strings.Count(log.String(), "proxy="+from)) })
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "proxy="+from) && !strings.Contains(line, "level="+tt.level) {
				t.Errorf("%s: %s", tt.name, line)
			}
		}
	}
}

// logBuffer is a log of several goroutines.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
