//go:build !linux

package transport

import (
	"context"
	"net/netip"

	"github.com/seed96252745/relay/internal/join"
)

// startAddrs leaves everything to wait: only Linux knows a cheaper way.
func startAddrs(addrs []netip.AddrPort, l leg) (conn join.Conn, wait func(context.Context) (join.Conn, error)) {
	return nil, func(ctx context.Context) (join.Conn, error) {
		var err error
		for _, addr := range addrs {
			if conn, err = dialName(ctx, addr.String(), l); err == nil {
				break
			}
		}
		return conn, err
	}
}
