package transport

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/seed96252745/relay/internal/join"
)

// leg holds the kernel's settings for the connections between two kinds of
// peers.
type leg struct{ keepAlive net.KeepAliveConfig }

// toRelay is the leg between relay client and relay. A relay client that
// vanished holds its users up until it is noticed, so that takes at most 35 s.
func toRelay() leg {
	return leg{
		keepAlive: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
}

// toUser is the leg between user and relay. Users may be far away, idle for
// days and asleep for a while.
func toUser() leg {
	return leg{
		keepAlive: net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 15 * time.Second, Count: 4},
	}
}

// toLocal is the leg between relay client and local server, which are close to
// each other. The figures are those of the net package.
func toLocal() leg {
	return leg{
		keepAlive: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 9},
	}
}

// Listener accepts connections. It is like a net.Listener, but what it gives
// can be joined.
type Listener struct {
	addr     net.Addr
	acceptor acceptor
}

// ListenRelayClients listens for relay clients on addr.
func ListenRelayClients(addr string) (*Listener, error) { return listen(addr, toRelay()) }

// ListenUsers listens for users on addr.
func ListenUsers(addr string) (*Listener, error) { return listen(addr, toUser()) }

func listen(addr string, l leg) (*Listener, error) {
	config := net.ListenConfig{KeepAliveConfig: l.keepAlive, Control: l.control}
	// What Conn promises, and what the kernel tells about a connection, holds
	// for plain TCP.
	config.SetMultipathTCP(false)
	// The context matters only for resolving a host name.
	listener, err := config.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		_ = listener.Close()
		return nil, fmt.Errorf("listening on %s gave a %T", addr, listener)
	}
	acceptor, err := newAcceptor(tcp, l)
	if err != nil {
		return nil, err
	}
	return &Listener{tcp.Addr(), acceptor}, nil
}

// Accept waits for the next connection. After Close its error is net.ErrClosed.
func (l *Listener) Accept() (join.Conn, error) { return l.acceptor.accept() }

// Addr is the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.addr }

// Close stops listening. Connections that nobody has accepted yet are reset by
// the kernel.
func (l *Listener) Close() error { return l.acceptor.close() }
