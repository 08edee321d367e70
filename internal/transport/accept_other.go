//go:build !linux

package transport

import (
	"net"

	"github.com/seed96252745/relay/internal/conn"
)

// acceptor accepts for a listener, which sets keep-alive.
type acceptor struct{ tcp *net.TCPListener }

func newAcceptor(tcp *net.TCPListener) (*acceptor, error) { return &acceptor{tcp}, nil }

func (a *acceptor) close() error { return a.tcp.Close() }

func (a *acceptor) accept() (conn.Conn, error) {
	tcp, err := a.tcp.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return NewConn(tcp), nil
}
