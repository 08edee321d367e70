package transport

import (
	"context"
	"fmt"
	"net"

	"github.com/seed96252745/relay/internal/conn"
)

// Listener accepts connections that can be joined.
type Listener struct {
	addr     net.Addr
	acceptor *acceptor
}

// ListenRelayClients listens for relay clients on addr.
func ListenRelayClients(addr string) (*Listener, error) { return listen(addr) }

// ListenUsers listens for users on addr.
func ListenUsers(addr string) (*Listener, error) { return listen(addr) }

func listen(addr string) (*Listener, error) {
	config := net.ListenConfig{KeepAliveConfig: keepAlive(), Control: control}
	// What Conn promises, and what the kernel reports about a connection, holds for plain
	// TCP.
	config.SetMultipathTCP(false)
	// The context matters only for resolving a host name.
	listener, err := config.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		_ = listener.Close()
		return nil, fmt.Errorf("listening on %s returned a %T", addr, listener)
	}
	acceptor, err := newAcceptor(tcp)
	if err != nil {
		return nil, err
	}
	return &Listener{tcp.Addr(), acceptor}, nil
}

// Accept waits for the next connection. After Close its error is net.ErrClosed.
func (l *Listener) Accept() (conn.Conn, error) { return l.acceptor.accept() }

// Addr returns the address of the listener.
func (l *Listener) Addr() net.Addr { return l.addr }

// Close stops listening. The kernel resets connections that were not accepted yet.
func (l *Listener) Close() error { return l.acceptor.close() }
