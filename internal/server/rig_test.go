package server_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/server"
	"github.com/seed96252745/relay/internal/transport"
)

const (
	// patience bounds every wait that is over long before, unless the code is
	// wrong.
	patience = 10 * time.Second
	// grace is how long what must not happen is given to happen.
	grace = 30 * time.Millisecond

	loopback = "127.0.0.1"
)

// relay is a server that runs, and its protocol, which is the test's.
type relay struct {
	*testing.T
	*server.Server
	fake   *fakeProtocol
	addr   string
	served chan error
	// panics is set by a test that has the relay's own code panic.
	panics bool
}

// start starts a relay. The test may change its configuration before.
func start(t *testing.T, changes ...func(*server.Config)) *relay {
	t.Helper()
	r := &relay{T: t, fake: newFakeProtocol(), served: make(chan error, 1)}
	config := server.Config{
		Protocols: under(verbs, r.fake),
		Ports:     freePorts(t, 3),
		Listen:    listen,
		Logger:    slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, change := range changes {
		change(&config)
	}
	var err error
	if r.Server, err = server.New(config); err != nil {
		t.Fatal(err)
	}
	l, err := transport.ListenRelayClients(loopback + ":0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	go func() { r.served <- r.Serve(relayClients{l}) }()
	t.Cleanup(func() {
		r.Close()
		if n := r.State().Counters.Of(admission.Panics); n > 0 && !r.panics {
			t.Errorf("the relay has caught %d panics of its own", n)
		}
	})
	return r
}

// listenFor has the relay take relay clients at another port, too, who come from where
// they come from. It gives the relay at that port.
func (r *relay) listenFor() *relay {
	return r.listenAs(func(l conn.Listener) conn.Listener { return l })
}

func (r *relay) listenAs(who func(conn.Listener) conn.Listener) *relay {
	r.Helper()
	l, err := transport.ListenRelayClients(loopback + ":0")
	if err != nil {
		r.Fatal(err)
	}
	here := *r
	here.addr, here.served = l.Addr().String(), make(chan error, 1)
	go func() { here.served <- r.Serve(who(l)) }()
	return &here
}

// relayClients has those from 127.0.0.n seem to come from 192.0.2.n: limits for each
// source do not hold for loopback.
type relayClients struct{ conn.Listener }

func (l relayClients) Accept() (conn.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		conn.(interface{ SetRemoteAddr(*net.TCPAddr) }).SetRemoteAddr(outside(conn.RemoteAddr()))
	}
	return conn, err
}

func outside(addr net.Addr) *net.TCPAddr {
	from := addr.(*net.TCPAddr)
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, from.IP.To4()[3]), Port: from.Port}
}

// seen is where a relay client seems to come from.
func seen(conn net.Conn) string { return outside(conn.LocalAddr()).String() }

func listen(port int) (conn.Listener, error) {
	return transport.ListenUsers(net.JoinHostPort(loopback, strconv.Itoa(port)))
}

// freePorts finds a range of ports that nobody has.
func freePorts(t *testing.T, n int) port.Range {
	t.Helper()
	first := conntest.FreePorts(t, n)
	return port.Range{First: first, Last: first + n - 1}
}

// dial connects to an address on loopback.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// request connects to the relay, and sends this much.
func (r *relay) request(lines string) *net.TCPConn {
	r.Helper()
	conn := dial(r.T, r.addr)
	conntest.Write(r.T, conn, lines)
	return conn
}

// refusal sends a request and gives the one line of the answer.
func (r *relay) refusal(lines string) string {
	r.Helper()
	got, err := io.ReadAll(r.request(lines))
	if err != nil || strings.Count(string(got), "\n") != 1 {
		r.Fatalf("%q is answered by %q, %v; want one line and the end", lines, got, err)
	}
	return strings.TrimSuffix(string(got), "\n")
}

// register opens a tunnel. It gives the relay client's end of the connection.
func (r *relay) register() (*fakeTunnel, *net.TCPConn) {
	r.Helper()
	conn := r.request("multiplex\n")
	var line []byte
	for b := []byte{0}; b[0] != '\n'; line = append(line, b[0]) {
		if _, err := io.ReadFull(conn, b); err != nil {
			r.Fatalf("the answer is %q, %v", line, err)
		}
	}
	if line[0] == '-' {
		r.Fatalf("refused: %q", line)
	}
	tunnel := <-r.fake.tunnels
	if got := string(line); got != strconv.Itoa(tunnel.port)+"\n" {
		r.Fatalf("the answer is %q, and the port is %d", got, tunnel.port)
	}
	return tunnel, conn
}

// user connects to the public port of a tunnel.
func user(t *testing.T, tunnel *fakeTunnel) *net.TCPConn {
	t.Helper()
	return dial(t, net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)))
}

// next gives the next user who waits.
func (t *fakeTunnel) next(tb testing.TB) *opening {
	tb.Helper()
	select {
	case o := <-t.opens:
		return o
	case <-time.After(patience):
		tb.Fatal("no user comes")
		panic("unreachable")
	}
}

// serve gives the user a connection to the relay client, whose end it returns.
func (o *opening) serve(t *testing.T) *transport.Conn {
	t.Helper()
	l, err := transport.ListenRelayClients(loopback + ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := transport.NewConn(dial(t, l.Addr().String()))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Reset() })
	o.answer <- opened{conn: conn}
	return client
}

// join makes a user and the relay client's end of its connection.
func (r *relay) join(tunnel *fakeTunnel) (*net.TCPConn, *transport.Conn) {
	r.Helper()
	u := user(r.T, tunnel)
	client := tunnel.next(r).serve(r.T)
	conntest.WantPair(r.T, u, client)
	return u, client
}

// wantRefused expects that nobody listens on a port.
func wantRefused(t *testing.T, port int) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)), patience)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("port %d: got %v, want that the connection is refused", port, err)
	}
}

// wantClosed expects that a channel is closed.
func wantClosed(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
	}
}
