//go:build !linux

package transport

import (
	"errors"
	"net"

	"github.com/seed96252745/relay/internal/conn"
)

// Share returns errors.ErrUnsupported: only on Linux are sockets handed over.
func (*Listener) Share() (fd int, err error) { return -1, errors.ErrUnsupported }

// AdoptListener returns errors.ErrUnsupported.
func AdoptListener(int) (*Listener, error) { return nil, errors.ErrUnsupported }

// Give reports false.
func Give(conn.Conn) (fd int, ok bool) { return -1, false }

// Adopt returns errors.ErrUnsupported.
func Adopt(int, *net.TCPAddr) (conn.Conn, error) { return nil, errors.ErrUnsupported }

// Pair returns errors.ErrUnsupported.
func Pair() (a, b conn.Conn, err error) { return nil, nil, errors.ErrUnsupported }
