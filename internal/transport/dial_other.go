//go:build !linux

package transport

import (
	"context"
	"net/netip"

	"github.com/seed96252745/relay/internal/join"
)

// dialAddr is dialName: only Linux knows a cheaper way.
func dialAddr(ctx context.Context, addr netip.AddrPort, l leg) (join.Conn, error) {
	return dialName(ctx, addr.String(), l)
}
