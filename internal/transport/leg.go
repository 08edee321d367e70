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

// Listener accepts connections. It is like a net.Listener, but what it gives
// can be joined.
type Listener struct{ tcp *net.TCPListener }

// ListenRelayClients listens for relay clients on addr.
func ListenRelayClients(addr string) (*Listener, error) { return listen(addr, toRelay()) }

// ListenUsers listens for users on addr.
func ListenUsers(addr string) (*Listener, error) { return listen(addr, toUser()) }

func listen(addr string, l leg) (*Listener, error) {
	config := net.ListenConfig{KeepAliveConfig: l.keepAlive}
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
	return &Listener{tcp}, nil
}

// Accept waits for the next connection. After Close its error is net.ErrClosed.
func (l *Listener) Accept() (join.Conn, error) {
	tcp, err := l.tcp.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return NewConn(tcp), nil
}

// Addr is the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.tcp.Addr() }

// Close stops listening. Connections that nobody has accepted yet are reset by
// the kernel.
func (l *Listener) Close() error { return l.tcp.Close() }

// DialRelay connects a relay client to the relay at addr.
func DialRelay(ctx context.Context, addr string) (join.Conn, error) {
	return dial(ctx, addr, toRelay())
}

// DialLocal connects to the local server at addr. Both ends of that leg are
// close to each other, so the system's settings will do.
func DialLocal(ctx context.Context, addr string) (join.Conn, error) {
	return dial(ctx, addr, leg{keepAlive: net.KeepAliveConfig{Enable: true}})
}

func dial(ctx context.Context, addr string, l leg) (join.Conn, error) {
	dialer := net.Dialer{KeepAliveConfig: l.keepAlive}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("connecting to %s gave a %T", addr, conn)
	}
	return NewConn(tcp), nil
}
