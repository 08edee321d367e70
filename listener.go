package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/port"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/wire"
)

// Conn is what every connection that a [Listener] accepts is, beside a
// net.Conn.
type Conn interface {
	net.Conn
	// CloseWrite ends the direction to the user, as FIN does, and leaves the
	// other direction open.
	CloseWrite() error
	// Reset ends both directions at once and closes the connection; the user
	// sees a connection reset.
	Reset() error
}

// Listener accepts users who connect to a public port of a relay. It is a
// net.Listener. Its methods may be called concurrently.
type Listener struct {
	relay   string // address of the relay
	host    string // the relay's host, as the caller named it
	client  protocol.Client
	options Options
	// said goes before each registration. The goroutine that registers has it.
	said wire.Preamble
	// failed is the relay's address where the last registration has failed, and another
	// one of the name may do better; or "".
	// The goroutine that registers has it.
	failed string
	// next takes the connections that the relay client is given.
	next taker

	conns  chan conn.Conn // for Accept; never closed
	closed context.Context
	close  context.CancelFunc
	ended  chan struct{}
	// lingering are registrations that are closed, but whose connections live.
	lingering sync.WaitGroup
	cut       context.Context // done when those are to end
	cutNow    context.CancelFunc

	mu     sync.Mutex // guards what follows
	public Addr
}

var _ net.Listener = (*Listener)(nil)

// Listen registers at the relay with address relayAddr ("host:port") and gives
// the listener on the public port that the relay opens. It tries once, until
// ctx is done; its error is a *RefusedError if the relay refuses. Nil options
// stand for the defaults.
//
// Once it has succeeded the listener stands until Close: when the relay is
// lost, it registers again, for ever: within a quarter of a second, and with a pause
// that grows to half a minute while that fails. The public address stays the same,
// as long as the relay remembers whose it is; see Options.Keys.
func Listen(ctx context.Context, relayAddr string, options *Options) (*Listener, error) {
	l, err := newListener(relayAddr, "", options)
	if err != nil {
		return nil, err
	}
	l.next = l
	registration, err := l.register(ctx)
	if err != nil {
		l.close()
		return nil, err
	}
	go func() { _ = l.run(registration) }() // which fails only before the first one
	return l, nil
}

// newListener gives a listener without a taker, for what is called serves.
func newListener(relayAddr, serves string, options *Options) (*Listener, error) {
	host, err := splitAddr(relayAddr)
	if err != nil {
		return nil, fmt.Errorf("relay: address of the relay: %w", err)
	}
	o := options.withDefaults()
	client, err := o.client()
	if err != nil {
		return nil, err
	}
	if o.TLS != nil && o.TLS.ServerName == "" {
		o.TLS = o.TLS.Clone()
		o.TLS.ServerName = host
	}
	said, err := o.wishes(relayAddr, serves)
	if err != nil {
		return nil, err
	}
	l := &Listener{
		relay:   relayAddr,
		host:    host,
		client:  client,
		options: o,
		said:    said,
		conns:   make(chan conn.Conn),
		ended:   make(chan struct{}),
	}
	l.closed, l.close = context.WithCancel(context.Background())
	l.cut, l.cutNow = context.WithCancel(context.Background())
	return l, nil
}

// splitAddr gives the host of an address whose port is a number.
func splitAddr(addr string) (host string, err error) {
	host, number, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	_, err = port.Parse(number)
	return host, err
}

// Accept waits for the next user. Its error after Close is net.ErrClosed;
// there is no other. The connection implements [Conn].
//
// Its RemoteAddr is the user's address, and its LocalAddr the public one. Users of one
// address are accepted in the order in which they came, unless one is late by more
// than a tenth of a second.
func (l *Listener) Accept() (net.Conn, error) {
	if l.closed.Err() == nil {
		select {
		case conn := <-l.conns:
			return conn, nil
		case <-l.closed.Done():
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
}

// take gives conn to Accept.
func (l *Listener) take(registered context.Context, conn conn.Conn) {
	select {
	case l.conns <- conn:
	case <-l.closed.Done():
		_ = conn.Reset()
	case <-registered.Done():
		_ = conn.Reset()
	}
}

// takeNow gives conn to an Accept that waits.
func (l *Listener) takeNow(conn conn.Conn) bool {
	select {
	case l.conns <- conn:
		return true
	default:
		return false
	}
}

// whenReadable watches nothing: whoever accepts a connection waits for it himself.
func (*Listener) whenReadable(conn.Conn, func()) (stop func()) { return nil }

// Addr is the public address that users connect to, an [Addr]: the latest one,
// while the relay is lost.
func (l *Listener) Addr() net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.public
}

// Close ends accepting. Connections that were accepted live on. The relay keeps the
// public port for some minutes, for the owner of the key of Options.Keys; users who
// come meanwhile wait for up to 10 seconds, and are reset. After the first call it
// returns net.ErrClosed.
//
// It must not be called from OnRegister.
func (l *Listener) Close() error {
	if l.closed.Err() != nil {
		return net.ErrClosed
	}
	l.close()
	<-l.ended
	return nil
}

// Addr is a public address: the relay's host, by the name under which it was
// given, and the public port.
type Addr struct {
	Host string
	Port int
}

// Network is "tcp".
func (Addr) Network() string { return "tcp" }

// String gives the form host:port.
func (a Addr) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// run hands on what registration accepts, and whenever that is lost, or nil,
// registers anew, until Close. It returns an error if the relay has never granted
// anything, and refuses it for a reason that lasts.
func (l *Listener) run(registration protocol.Registration) error {
	defer close(l.ended)
	var retry backoff
	granted := registration != nil
	for {
		var err error
		if registration == nil {
			registration, err = l.register(l.closed)
		}
		if err == nil {
			granted = true
			var user bool
			since := time.Now()
			user, err = l.serve(registration)
			retry.served(time.Since(since), user)
		}
		if l.closed.Err() != nil {
			return nil
		}
		if refused := new(RefusedError); errors.As(err, &refused) && refused.lasts() && !granted && !l.options.KeepTrying {
			return refused
		}
		level := slog.LevelWarn
		if before := retry.standby; retry.failed(err) && before {
			level = slog.LevelDebug // it has said so, and may stand by for days
		}
		pause := retry.next()
		l.options.Logger.Log(l.closed, level, "not registered at the relay; trying again",
			"relay", l.relay, "error", err, "in", pause.Round(time.Millisecond).String())
		sleep(l.closed, pause)
		registration = nil
	}
}

// serve hands on what registration accepts until it is lost, whose reason it
// returns, or the listener is closed. It reports whether a user was among that.
func (l *Listener) serve(registration protocol.Registration) (user bool, err error) {
	stop := context.AfterFunc(l.closed, func() { _ = registration.Close() })
	defer stop()
	users := newUserAddrs(l.next, l.options.Logger)
	err = registration.Serve(users.accepted)
	_ = registration.Close()
	users.wait()
	l.lingering.Go(func() { registration.Wait(l.cut) })
	return users.came.Load(), err
}
