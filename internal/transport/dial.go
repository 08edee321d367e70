package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// dialTimeout bounds connecting: three SYNs are sent in that time.
const dialTimeout = 10 * time.Second

// DialRelay connects a relay client to the relay at addr, within 10 seconds.
func DialRelay(ctx context.Context, addr string) (conn.Conn, error) {
	return dial(ctx, addr)
}

// DialRelayElsewhere is DialRelay, without the address not ("ip:port") of those that the
// name in addr has. It fails if there is no other.
func DialRelayElsewhere(ctx context.Context, addr, not string) (conn.Conn, error) {
	known := knownAddrs(addr)
	if len(known) == 0 {
		return dialName(ctx, addr, func(network, address string, raw syscall.RawConn) error {
			if address == not {
				return errElsewhere
			}
			return control(network, address, raw)
		})
	}
	others := slices.DeleteFunc(known, func(a netip.AddrPort) bool { return a.String() == not })
	if len(others) == 0 {
		return nil, errElsewhere
	}
	conn, wait := startAddrs(others, nil)
	if conn != nil {
		return conn, nil
	}
	return wait(ctx)
}

// errElsewhere is why an address is not tried.
var errElsewhere = errors.New("another address than this one is wanted")

// StartRelay is DialRelay as LocalAddr.Start is for the local server. The caller has to call
// wait here, too.
func StartRelay(addr string) (conn conn.Conn, wait func(context.Context) (conn.Conn, error)) {
	return start(addr, nil)
}

func dial(ctx context.Context, addr string) (conn.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, wait := start(addr, nil)
	if conn != nil {
		return conn, nil
	}
	return wait(ctx)
}

func start(addr string, prepared func(fd int)) (c conn.Conn, wait func(context.Context) (conn.Conn, error)) {
	if known := knownAddrs(addr); len(known) > 0 {
		return startAddrs(known, prepared)
	}
	return nil, func(ctx context.Context) (conn.Conn, error) { return dialName(ctx, addr, control) }
}

// knownAddrs returns the addresses to try, one after the other, if they are known without
// a resolver. Other names, and the unspecified addresses, are left to the net package.
func knownAddrs(addr string) []netip.AddrPort {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil
	}
	var ips []netip.Addr
	if host == "localhost" { // RFC 6761, section 6.3: it is always loopback
		ips = []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	} else if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() && ip.Zone() == "" {
		ips = []netip.Addr{ip.Unmap()}
	}
	var known []netip.AddrPort
	for _, ip := range ips {
		known = append(known, netip.AddrPortFrom(ip, uint16(port)))
	}
	return known
}

// dialName connects to one of the addresses of a name, as dialAddrs does. It calls prepare for
// each that it tries.
func dialName(ctx context.Context, addr string, prepare prepareFunc) (conn.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, service, err := net.SplitHostPort(addr)
	port, numberErr := strconv.ParseUint(service, 10, 16)
	if err != nil || numberErr != nil || host == "" {
		return dialOne(ctx, addr, prepare) // which has an error for it, or another idea
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	addrs := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		addrs[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return dialAddrs(ctx, addrs, prepare)
}

// prepareFunc prepares a socket before it connects, as net.Dialer.Control does.
type prepareFunc func(network, address string, raw syscall.RawConn) error

// dialAddrs connects to one of several addresses.
func dialAddrs(ctx context.Context, addrs []netip.AddrPort, prepare prepareFunc) (conn.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return race(ctx, interleave(addrs), func(ctx context.Context, addr netip.AddrPort) (conn.Conn, error) {
		return dialOne(ctx, addr.String(), prepare)
	})
}

// dialOne connects to an address.
func dialOne(ctx context.Context, addr string, prepare prepareFunc) (conn.Conn, error) {
	dialer := net.Dialer{KeepAliveConfig: keepAlive(), Control: prepare}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("connecting to %s returned a %T", addr, conn)
	}
	return unpolled(NewConn(tcp)), nil
}
