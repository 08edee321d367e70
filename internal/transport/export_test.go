package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"

	"github.com/seed96252745/relay/internal/conn"
)

// DialLocal is ParseLocalAddr and LocalAddr.Dial.
func DialLocal(ctx context.Context, addr string) (conn.Conn, error) {
	local, err := ParseLocalAddr(addr)
	if err != nil {
		return nil, err
	}
	return local.Dial(ctx)
}

// StartLocal is LocalAddr.Start for an address that is one.
func StartLocal(addr string, prepared func(fd int)) (conn.Conn, func(context.Context) (conn.Conn, error)) {
	local, err := ParseLocalAddr(addr)
	if err != nil {
		panic(err)
	}
	return local.Start(prepared)
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

// What tries several addresses.
var (
	Race       = race
	Interleave = interleave
)

// DialAddrs is dialAddrs as dialName calls it.
func DialAddrs(ctx context.Context, addrs []netip.AddrPort) (conn.Conn, error) {
	return dialAddrs(ctx, addrs, control)
}

// AttemptDelay is attemptDelay.
const AttemptDelay = attemptDelay
