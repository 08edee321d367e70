package relay

import (
	"context"
	"crypto/rand"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/port"
)

// Conn is implemented by every connection that a [Listener] accepts. The caller closes
// it. Its methods may be called concurrently.
type Conn interface {
	net.Conn
	// CloseWrite ends the direction to the user, as FIN does, and leaves the other
	// direction open.
	CloseWrite() error
	// Reset ends both directions at once and closes the connection. The user sees a
	// connection reset.
	Reset() error
}

// Listener accepts users who connect to a public port of a relay. It is a
// net.Listener. Its methods may be called concurrently.
type Listener struct {
	service  atomic.Pointer[service] // that is to be online
	replaced chan struct{}           // holds one item if service has changed; never closed
	keys     memoryKeys              // if the options have none
	instance string                  // identifies the listener to relays

	serving    serving        // whether users can be served
	acceptance acceptance     // of users
	conns      chan conn.Conn // for Accept; never closed
	closed     context.Context
	close      context.CancelFunc
	done       chan struct{}  // closed when run has returned
	tunnels    sync.WaitGroup // those that serve, and tries to register
	// draining counts the registrations that are closed, and whose connections live.
	draining   sync.WaitGroup
	forced     context.Context // done when those are to end
	forceClose context.CancelFunc

	status status
	tokens sync.Mutex // held while Options.TokenSource is called
	// soon holds one item if the pause before the next registration is to end; never closed.
	soon chan struct{}
}

var _ net.Listener = (*Listener)(nil)

// Listen registers at the relay at relayAddr ("host:port") and returns the listener on the
// public port that the relay opens. It tries once, until ctx is done, and returns a
// *RefusedError if the relay refuses. Nil options stand for the defaults.
//
// After that the listener works until Close, whatever becomes of ctx. When the relay is
// lost the listener registers again, for ever: within a quarter of a second at first, and
// while that fails with a pause that grows to half a minute. The public address stays the
// same for as long as the relay remembers its owner; see Options.Keys.
func Listen(ctx context.Context, relayAddr string, options *Options) (*Listener, error) {
	l := newListener()
	o := options.withDefaults(&l.keys)
	service, err := newService(relayAddr, "", l.instance, o)
	if err != nil {
		return nil, err
	}
	service.end = l
	l.replace(service)
	registration, err := l.register(ctx, service)
	if err != nil {
		l.close()
		return nil, err
	}
	l.opened(registration)
	go func() { _ = l.run(registration) }() // which fails only before the first one
	return l, nil
}

// newListener returns a listener without a service.
func newListener() *Listener {
	l := &Listener{
		instance: rand.Text(),
		replaced: make(chan struct{}, 1),
		conns:    make(chan conn.Conn),
		done:     make(chan struct{}),
		status:   status{since: time.Now()},
		soon:     make(chan struct{}, 1),
	}
	l.closed, l.close = context.WithCancel(context.Background())
	l.forced, l.forceClose = context.WithCancel(context.Background())
	return l
}

// wanted returns the service that is to be online.
func (l *Listener) wanted() *service { return l.service.Load() }

// replace has a service be online in place of the one that is.
func (l *Listener) replace(s *service) {
	l.service.Store(s)
	notify(l.replaced)
}

// retrySoon ends the pause before the next registration.
func (l *Listener) retrySoon() { notify(l.soon) }

// notify puts an item into a channel that holds one.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // there is one
	}
}

// splitAddr returns the host of an address whose port is a number.
func splitAddr(addr string) (host string, err error) {
	host, number, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	_, err = port.Parse(number)
	return host, err
}

// Accept waits for the next user and returns the connection, a [Conn] that the caller
// closes. After Close it returns net.ErrClosed, and never any other error.
//
// The connection's RemoteAddr is the user's address, and its LocalAddr the public one.
// Users of one address are accepted in the order in which they came, unless one is late by
// more than a tenth of a second.
func (l *Listener) Accept() (net.Conn, error) {
	if l.closed.Err() == nil {
		select {
		case c := <-l.conns:
			conn.SettleNow(c) // perhaps nothing that the caller does will wait
			return c, nil
		case <-l.closed.Done():
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
}

// handleUser hands conn to Accept.
func (l *Listener) handleUser(registered context.Context, conn conn.Conn) {
	l.acceptance.wait()
	defer l.acceptance.done()
	select {
	case l.conns <- conn:
	case <-l.closed.Done():
		_ = conn.Reset()
	case <-registered.Done():
		_ = conn.Reset()
	}
}

// tryHandleUser hands conn to an Accept that waits.
func (l *Listener) tryHandleUser(conn conn.Conn) bool {
	select {
	case l.conns <- conn:
		return true
	default:
		return false
	}
}

// whenReadable returns nil: without an engine nothing can be watched.
func (*Listener) whenReadable(conn.Conn, func()) (stop func()) { return nil }

func (*Listener) loop() *join.Loop { return nil }

func (l *Listener) said() *serving { return &l.serving }

func (*Listener) start() {}

func (*Listener) stop() {}

// Addr returns the public address that users connect to, an [Addr]. While the relay is
// lost it is the latest one.
func (l *Listener) Addr() net.Addr { return l.status.addr() }

// Close stops accepting, and waits until that is done: unless Options.Drain is negative the
// relay is told first, and users who are on their way then are accepted still, for at most two
// seconds. Connections that were accepted live on. The relay keeps the public port for some minutes, for the owner of the key of
// Options.Keys; users who come meanwhile wait for up to 10 seconds, and are reset then.
// Further calls return net.ErrClosed.
//
// Close must not be called from Options.OnRegister.
func (l *Listener) Close() error {
	if l.closed.Err() != nil {
		return net.ErrClosed
	}
	l.leave()
	l.close()
	<-l.done
	return nil
}

// Addr is a public address: the relay's host, as Listen or Forward was given it, and the
// public port.
type Addr struct {
	Host string
	Port int
}

// Network returns "tcp".
func (Addr) Network() string { return "tcp" }

// String returns the form host:port.
func (a Addr) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }
