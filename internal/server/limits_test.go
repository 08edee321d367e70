package server_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/conntest"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/server"
)

// dialFrom connects from an address of this machine.
func dialFrom(t *testing.T, ip, addr string) *net.TCPConn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: patience}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// wantCounted waits until a limit was met so many times: it is counted after the peer has
// seen it.
func (r *relay) wantCounted(kind admission.Kind, want int64) {
	r.Helper()
	r.wantSoon("the count of "+kind.String(), want, func() int64 { return r.State().Counters.Of(kind) })
}

func (r *relay) wantSoon(what string, want int64, is func() int64) {
	r.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var got int64
	for since := time.Now(); time.Since(since) < patience; <-tick.C {
		if got = is(); got == want {
			return
		}
	}
	r.Fatalf("%s is %d, want %d", what, got, want)
}

// Two thousand connections that send next to nothing, from four sources, keep no other
// source away.
func TestSlowHandshakes(t *testing.T) {
	const sources, each = 4, 500
	r := start(t)
	var slow sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	for i := range sources {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(10+i))}}
		slow.Go(func() {
			for range each {
				conn, err := d.Dial("tcp", r.addr)
				if err != nil {
					continue // turned away already
				}
				_, _ = conn.Write([]byte("m"))
				mu.Lock()
				open = append(open, conn)
				mu.Unlock()
			}
		})
	}
	all := make(chan struct{})
	go func() { slow.Wait(); close(all) }()
	slowest, n := time.Duration(0), 0
	for over := false; !over || n < 20; n++ {
		select {
		case <-all:
			over = true
		default:
		}
		since := time.Now()
		tunnel, _ := r.register()
		slowest = max(slowest, time.Since(since))
		_ = tunnel.Close()
		wantClosed(t, "the end of the tunnel", tunnel.closed)
		r.wantSoon("tunnels", 0, func() int64 { return int64(r.State().Tunnels) })
	}
	t.Logf("%d registrations, the slowest took %v", n, slowest)
	if n := r.State().Handshakes; n < 128 || n > 256 {
		t.Errorf("%d handshakes at a time, want 128 to 256", n)
	}
	for _, conn := range open {
		_ = conn.Close()
	}
	r.wantSoon("handshakes", 0, func() int64 { return int64(r.State().Handshakes) })
}

// The newest connections of one source are served, however many send nothing.
func TestHandshakesPerSource(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Limits.HandshakesPerSource = 4 })
	var silent []*net.TCPConn
	for range 6 {
		silent = append(silent, r.request(""))
	}
	for _, conn := range silent[:2] {
		conntest.WantReset(t, conn)
	}
	r.wantCounted(admission.HandshakesPerSource, 2)
	r.register()
	conntest.WantReset(t, silent[2])
}

// expecting is a tunnel that expects connections.
type expecting struct {
	protocol.Relay
	n int
}

type expectingTunnel struct {
	protocol.Session
	n int
}

func (e expecting) Register(conn conn.Conn, g protocol.Grant) (protocol.Session, error) {
	tunnel, err := e.Relay.Register(conn, g)
	return expectingTunnel{tunnel, e.n}, err
}

func (e expectingTunnel) ExpectedClaims() int { return e.n }

// Connections that a tunnel expects are admitted beside the source's others.
func TestExpectedHandshakes(t *testing.T) {
	const n = 20
	r := start(t, func(c *server.Config) {
		c.Limits.HandshakesPerSource = n
		use(c, "event", expecting{fakeIn(c), 10 * n}) // of which no more than the limit count
	})
	conn := r.request("event\nnew\n")
	tunnel := <-r.fake.tunnels
	conntest.Read(t, conn, 1)
	r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
	var claims []*net.TCPConn
	for range 2 * n {
		claims = append(claims, r.request("event\n"))
	}
	for _, conn := range claims {
		conntest.Write(t, conn, "THEID\n")
		_ = (<-r.fake.claims).conn.Close()
	}
	first := r.request("event\n")
	for range 2 * n { // until the source's others are too many
		r.request("event\n")
	}
	r.wantCounted(admission.HandshakesPerSource, 1)
	_ = first.Close()
	tunnel.end()
}

// Relay clients without an IP address are counted, too: as one source.
func TestTunnelsWithoutAddress(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Limits.TunnelsPerSource = 1 })
	r = r.listenAs(func(l conn.Listener) conn.Listener { return &listenAs{l, nil} })
	r.register()
	if got := r.refusal("multiplex\n"); !strings.HasPrefix(got, "-limit ") {
		t.Errorf("one too many is answered by %q", got)
	}
}

func TestTunnelsPerSource(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Limits.TunnelsPerSource = 2 })
	first, _ := r.register()
	r.register()
	if got := r.refusal("pool\nnew\n"); !strings.HasPrefix(got, "-limit ") {
		t.Errorf("one too many is answered by %q", got)
	}
	r.wantCounted(admission.TunnelsPerSource, 1)
	other := dialFrom(t, "127.0.0.2", r.addr)
	conntest.Write(t, other, "multiplex\n")
	if got := string(conntest.Read(t, other, 1)); got == "-" {
		t.Fatal("a tunnel from another address is refused")
	}
	<-r.fake.tunnels
	r.wantSoon("tunnels", 3, func() int64 { return int64(r.State().Tunnels) })
	first.end()
	wantClosed(t, "the end of the tunnel", first.closed)
	r.register()
}

// guess sends a claim from 127.0.0.2 and returns all that comes back. The connection may be
// reset at any point, even before it is established.
func (r *relay) guess(claim string) string {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := d.Dial("tcp", r.addr)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, claim)
	got, _ := io.ReadAll(conn)
	return string(got)
}

// Ten thousand wrong claims get nothing, and their source is banned. A claim of another
// source is served meanwhile.
func TestWrongClaims(t *testing.T) {
	const n = 10_000
	r := start(t, func(c *server.Config) { use(c, "pool", brokenProtocol{}) })
	var guessing sync.WaitGroup
	for range 4 {
		guessing.Go(func() {
			for range n / 4 {
				if got := r.guess("pool\nAAAAAAAAAAAAAAAAAAAAAAAAAA\n"); got != "" {
					t.Errorf("a wrong claim gets %q", got)
				}
			}
		})
	}
	r.request("event\nTHEID\n")
	_ = (<-r.fake.claims).conn.Close()
	guessing.Wait()
	counters := r.State().Counters
	r.wantSoon("the count of all claims", n, func() int64 { return counters.Of(admission.WrongClaims) + counters.Of(admission.ShutOut) })
	wrong, times := counters.Of(admission.WrongClaims), counters.Of(admission.SourcesShutOut)
	if wrong > n/5 || times == 0 {
		t.Errorf("%d wrong claims of %d were looked at, and the source was banned %d times", wrong, n, times)
	}
	t.Logf("%d of %d were looked at", wrong, n)
	if r.isLookedAt("event\nTHEID\n") { // the ban was just over
		for counters.Of(admission.SourcesShutOut) == times {
			r.guess("pool\nAAAAAAAAAAAAAAAAAAAAAAAAAA\n")
		}
		if r.isLookedAt("event\nTHEID\n") {
			t.Error("a right claim is looked at while its source is banned")
		}
	}
}

// isLookedAt reports whether a claim comes to its protocol.
func (r *relay) isLookedAt(claim string) bool {
	ended := make(chan struct{})
	go func() { defer close(ended); r.guess(claim) }()
	select {
	case c := <-r.fake.claims:
		_ = c.conn.Close()
		<-ended
		return true
	case <-ended:
		return false
	}
}

// A banned source can still serve the users of its tunnels.
func TestShutOutSourceWithTunnel(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.Limits.WrongClaims = 1 // 50 at the start
		use(c, "event", expecting{fakeIn(c), 5})
		use(c, "pool", brokenProtocol{})
	})
	conntest.Read(t, r.request("event\nnew\n"), 1)
	tunnel := <-r.fake.tunnels
	r.wantSoon("tunnels", 1, func() int64 { return int64(r.State().Tunnels) })
	for range 51 {
		conntest.WantReset(t, r.request("pool\nWRONG\n"))
	}
	r.wantCounted(admission.SourcesShutOut, 1)
	r.request("event\nTHEID\n")
	_ = (<-r.fake.claims).conn.Close()
	tunnel.end()
}

// wantTurnedAway expects that a user is reset, perhaps before it knows that it is
// connected.
func wantTurnedAway(t *testing.T, tunnel *fakeTunnel) {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(loopback, strconv.Itoa(tunnel.port)))
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, err = io.ReadAll(conn)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one user too many gets %v, want a reset", err)
	}
}

// wantRate expects that users are turned away when two have been admitted since then, at
// one a second: another one may come after a delay of a second, and one more for each second
// that it took, on a busy machine.
func (r *relay) wantRate(tunnel *fakeTunnel, since time.Time, kind admission.Kind) {
	r.Helper()
	const crowd = 20
	var users sync.WaitGroup
	for range crowd {
		users.Go(func() { wantTurnedAway(r.T, tunnel) })
	}
	all := make(chan struct{})
	go func() { users.Wait(); close(all) }()
	in := 0
	for over := false; !over; {
		select {
		case <-all:
			over = true
		case o := <-tunnel.opens:
			in++
			o.answer <- opened{err: errors.New("one user too many")}
		}
	}
	if most := 1 + int(time.Since(since)/time.Second); in > most {
		r.Errorf("%d more users were admitted, want %d at most", in, most)
	}
	r.wantSoon("users who were turned away", crowd, func() int64 { return r.State().Counters.Of(kind) + int64(in) })
}

// One user too many is reset, and the next one after a user has left is not.
func TestUsers(t *testing.T) {
	for name, c := range map[string]struct {
		limits admission.Limits
		reason admission.Kind
	}{
		"at a time":   {admission.Limits{Users: 2}, admission.Users},
		"descriptors": {admission.Limits{Descriptors: 8}, admission.Descriptors},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(config *server.Config) { config.Limits = c.limits })
			tunnel, _ := r.register()
			first, client := r.join(tunnel)
			r.join(tunnel)
			wantTurnedAway(t, tunnel)
			r.wantCounted(c.reason, 1)
			_ = first.Close()
			_ = client.Close()
			r.wantSoon("users", 1, func() int64 { return int64(r.State().Users) })
			r.join(tunnel)
		})
	}
}

// listenAs is a public port whose users seem to come from another address.
type listenAs struct {
	conn.Listener
	ip net.IP
}

type connFrom struct {
	conn.Conn
	ip net.IP
}

func (l listenAs) Accept() (conn.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return connFrom{conn, l.ip}, nil
}

func (c connFrom) RemoteAddr() net.Addr { return &net.TCPAddr{IP: c.ip, Port: 1} }

// Unwrap returns the connection, so that it can be watched and joined.
func (c connFrom) Unwrap() (inner conn.Conn, sameBytes bool) { return c.Conn, true }

// usersFrom has all users come from ip.
func usersFrom(ip string) func(*server.Config) {
	return func(c *server.Config) {
		listen := c.Listen
		c.Listen = func(port int) (conn.Listener, error) {
			l, err := listen(port)
			return listenAs{l, net.ParseIP(ip)}, err
		}
	}
}

func TestUsersPerSource(t *testing.T) {
	r := start(t, usersFrom("192.0.2.1"), func(c *server.Config) { c.Limits.UsersPerSource = 2 })
	tunnel, _ := r.register()
	first, client := r.join(tunnel)
	r.join(tunnel)
	wantTurnedAway(t, tunnel)
	r.wantCounted(admission.UsersPerSource, 1)
	other, _ := r.register() // has users of its own
	r.join(other)
	_ = first.Close()
	_ = client.Close()
	r.wantSoon("users", 2, func() int64 { return int64(r.State().Users) })
	r.join(tunnel)
}

func TestUsersPerSecond(t *testing.T) {
	r := start(t, usersFrom("2001:db8::1"), func(c *server.Config) { c.Limits.UsersPerSecond = 1 })
	tunnel, _ := r.register()
	since := time.Now()
	r.join(tunnel)
	r.join(tunnel)
	r.wantRate(tunnel, since, admission.UsersPerSecond)
}

// Users from this machine come by a proxy: their source is shared.
func TestUsersFromLoopback(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Limits.UsersPerSecond, c.Limits.UsersPerSource = 1, 1 })
	tunnel, _ := r.register()
	for range 5 {
		r.join(tunnel)
	}
}

// A flood of refusals leaves ten lines in the log, and a number.
func TestLogLines(t *testing.T) {
	var log bytes.Buffer
	r := start(t, func(c *server.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		use(c, "pool", brokenProtocol{})
		c.Limits.WrongClaims = -1
	})
	for range 100 {
		conntest.WantReset(t, r.request("pool\n\x7eWRONG\n"))
	}
	r.wantCounted(admission.LogLines, 90)
	r.Close()
	if n := strings.Count(log.String(), "\n"); n != 10 {
		t.Errorf("%d lines in the log, want 10:\n%s", n, log.String())
	}
}

// The counters count what was sent.
func TestNotRequestsAreCounted(t *testing.T) {
	r := start(t)
	wantNoBytes(t, r.request("GET / HTTP/1.1\r\n\r\n"), "HTTP")
	r.wantCounted(admission.NotRequests, 1)
	_ = r.request("multi").Close()
	r.wantCounted(admission.HandshakeEnds, 1)
	r = start(t, func(c *server.Config) { c.Limits.HandshakeTimeout = 50 * time.Millisecond })
	wantNoBytes(t, r.request("multi"), "half a verb")
	r.wantCounted(admission.HandshakeTimeouts, 1)
}

// The state has how many there are of everything, in one line of a log.
func TestState(t *testing.T) {
	r := start(t)
	tunnel, _ := r.register()
	r.join(tunnel)
	user(t, tunnel)
	tunnel.next(t)
	state := r.State()
	if state.Tunnels != 1 || state.Users != 2 || state.Waiting != 1 || state.Descriptors != 6 {
		t.Errorf("got %+v", state)
	}
	var line bytes.Buffer
	slog.New(slog.NewTextHandler(&line, nil)).Info("state", "relay", state)
	for _, want := range []string{"relay.tunnels=1", "relay.users=2", "relay.waiting=1", "relay.counters.wrongClaims=0"} {
		if !strings.Contains(line.String(), want) {
			t.Errorf("the line lacks %s: %s", want, line.String())
		}
	}
}
