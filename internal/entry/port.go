// Package entry is where users enter. An entry accepts their connections, finds out whose
// each is, and hands it to the endpoint that it is for. It knows listeners, and nothing of
// tunnels.
package entry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/endpoint"
	"github.com/seed96252745/relay/internal/observe"
	"github.com/seed96252745/relay/internal/proxyproto"
	"github.com/seed96252745/relay/internal/sockerr"
)

// Find returns the endpoint that a user's connection is for, and what it has read of the
// user's bytes to find it. After an error the connection is reset.
type Find func(conn.Conn) (e *endpoint.Endpoint, first []byte, err error)

// Always returns a Find that reads nothing: all users are for one endpoint.
func Always(e *endpoint.Endpoint) Find {
	return func(conn.Conn) (*endpoint.Endpoint, []byte, error) { return e, nil, nil }
}

// Config is what all entries of a relay share. TrustedProxies may be empty.
type Config struct {
	Acceptor
	Events observe.Sink
	// TrustedProxies are networks of load balancers, which put a PROXY protocol header of
	// version 1 or 2 before each user's bytes. Anybody else who sends one sends payload.
	TrustedProxies []netip.Prefix
	// MaxHeaders bounds the connections of one entry that wait for such a header. Further
	// ones are not accepted until there is room.
	MaxHeaders int

	trusted atomic.Pointer[[]netip.Prefix] // in place of TrustedProxies, once Trust is called
	headers atomic.Int64
}

// Trust has other load balancers be believed from now on.
func (c *Config) Trust(proxies []netip.Prefix) { c.trusted.Store(&proxies) }

func (c *Config) trustedProxies() []netip.Prefix {
	if changed := c.trusted.Load(); changed != nil {
		return *changed
	}
	return c.TrustedProxies
}

// Headers returns how many connections wait for a header now.
func (c *Config) Headers() int { return int(c.headers.Load()) }

// Port is a public TCP port. Make it with NewPort, and close it.
type Port struct {
	config   *Config
	number   int
	listener conn.Listener
	find     Find
	// headers holds one for each connection whose header is being read, or that waits at
	// its endpoint since.
	headers chan struct{}
	closed  chan struct{} // closed by Close
	reading sync.WaitGroup
	held    chan struct{} // closed by Release; nil unless the port is made by NewHeldPort
	release sync.Once
}

// mostHeaders is the most that Config.MaxHeaders can be: each connection is a goroutine.
const mostHeaders = 1 << 20

// NewPort returns the port with this number, whose users arrive at l.
func NewPort(c *Config, number int, l conn.Listener) *Port {
	return &Port{
		config: c, number: number, listener: l,
		headers: make(chan struct{}, min(c.MaxHeaders, mostHeaders)), closed: make(chan struct{}),
	}
}

// NewHeldPort is NewPort for a listener at whose socket another process accepts for now: nobody
// is taken before Release.
func NewHeldPort(c *Config, number int, l conn.Listener) *Port {
	p := NewPort(c, number, l)
	p.held = make(chan struct{})
	return p
}

// Release has a port take users that is held.
func (p *Port) Release() { p.release.Do(func() { close(p.held) }) }

// Close closes the port, and has Serve return. It may be called once.
func (p *Port) Close() {
	_ = p.listener.Close()
	close(p.closed)
}

// Serve takes users until Close, or until ctx is done, and waits for the connections whose
// headers are being read. It may be called once.
func (p *Port) Serve(ctx context.Context, find Find) error {
	p.find = find
	if p.held != nil && !p.awaitRelease(ctx) {
		return net.ErrClosed
	}
	defer p.reading.Wait()
	return p.config.Serve(ctx, p.listener, func(c conn.Conn) (wait func()) { return p.handle(ctx, c) },
		Shortage{p.config.Admission.Reserve.Lend, p.turnAway})
}

// awaitRelease reports whether a port that was held may take users.
func (p *Port) awaitRelease(ctx context.Context) bool {
	select {
	case <-p.held:
		return true
	case <-p.closed:
	case <-ctx.Done():
	}
	return false
}

// turnAway resets a user for whom there are no descriptors.
func (p *Port) turnAway(c conn.Conn) {
	p.config.Admission.Counters.Add(admission.Users)
	_ = c.Reset()
}

// handle hands a connection on, once it is known whose it is.
func (p *Port) handle(ctx context.Context, c conn.Conn) (wait func()) {
	if !conn.ComesFrom(c, p.config.trustedProxies()) {
		return p.hand(c)
	}
	select {
	case p.headers <- struct{}{}:
		p.startReading(ctx, c)
		return nil
	default:
		return func() { p.queue(ctx, c) }
	}
}

// queue waits until the header of a connection may be read.
func (p *Port) queue(ctx context.Context, c conn.Conn) {
	select {
	case p.headers <- struct{}{}:
		p.startReading(ctx, c)
	case <-p.closed:
		_ = c.Reset()
	case <-ctx.Done():
		_ = c.Reset()
	}
}

// startReading reads the header of a connection, and hands it on.
func (p *Port) startReading(ctx context.Context, c conn.Conn) {
	p.config.headers.Add(1)
	p.reading.Go(func() {
		defer func() { <-p.headers }()
		user, err := readHeader(ctx, c)
		p.config.headers.Add(-1)
		if err != nil {
			p.reset(c, err)
			return
		}
		if wait := p.hand(user); wait != nil {
			wait()
		}
	})
}

// hand hands a user to its endpoint.
func (p *Port) hand(c conn.Conn) (wait func()) {
	e, first, err := p.find(c)
	if err != nil {
		p.reset(c, err)
		return nil
	}
	return e.Serve(c, first)
}

// reset resets a connection of which it is not known whose it is.
func (p *Port) reset(c conn.Conn, err error) {
	_ = c.Reset()
	level := slog.LevelWarn
	if errors.Is(err, errNobody) {
		level = slog.LevelDebug
	}
	p.config.Events.Observe(observe.Event{
		Name: observe.UserReset, Level: level, Source: p.config.Admission.SourceOf(c.RemoteAddr(), conn.Named(c)).Prefix(),
		Tunnel: observe.Tunnel{Port: p.number}, Proxy: c.RemoteAddr(), Reason: observe.NoProxyHeader, Err: err,
	})
}

// headerTimeout is how long a load balancer may take to say who the user is: it sends
// that at once.
const headerTimeout = 5 * time.Second

// errNobody is the error of a connection that has ended without a byte: a load balancer that
// looks whether the port is open does so, for each of its checks.
var errNobody = errors.New("a trusted proxy has connected and gone, and there was no user")

// counter counts what is read.
type counter struct {
	io.Reader
	n int
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += n
	return n, err
}

// readHeader reads the header that a load balancer sends, and returns the connection as
// one of the user's.
func readHeader(ctx context.Context, c conn.Conn) (conn.Conn, error) {
	defer context.AfterFunc(ctx, func() { _ = c.Reset() })()
	_ = c.SetReadDeadline(time.Now().Add(headerTimeout)) // fails as the read does
	counted := &counter{Reader: c}
	user, public, err := proxyproto.ReadEither(counted)
	if counted.n == 0 && (errors.Is(err, io.EOF) || sockerr.Is(err, syscall.ECONNRESET)) {
		return nil, errNobody
	}
	if err != nil {
		return nil, fmt.Errorf("a trusted proxy does not say who the user is: %w", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if user == nil {
		return c, nil // it is the proxy itself, which looks whether the relay lives
	}
	return proxyproto.NewConn(c, user, public), nil
}
