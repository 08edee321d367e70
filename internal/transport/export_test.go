package transport

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/seed96252745/relay/internal/conn"
)

// DialLocal is StartLocal and the wait.
func DialLocal(ctx context.Context, addr string) (conn.Conn, error) {
	return dial(ctx, addr)
}

// DialRelayTLS is DialRelay and SecureRelay. The server's name is the host of addr,
// unless config names another one.
func DialRelayTLS(ctx context.Context, addr string, config *tls.Config) (conn.Conn, error) {
	conn, err := DialRelay(ctx, addr)
	if err != nil {
		return nil, err
	}
	if config = config.Clone(); config == nil {
		config = new(tls.Config)
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	return SecureRelay(ctx, conn, config)
}
