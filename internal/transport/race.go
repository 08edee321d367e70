package transport

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/seed96252745/relay/internal/conn"
)

// attemptDelay is how long an address has before the next one is tried beside it: the
// Connection Attempt Delay that RFC 8305 recommends (section 5).
const attemptDelay = 250 * time.Millisecond

// interleave returns addresses in the order in which they are tried: that of the resolver,
// which is the one of RFC 6724, but of both families in turns (RFC 8305, section 4). So a
// family that does not work here costs one delay.
func interleave(addrs []netip.AddrPort) []netip.AddrPort {
	if len(addrs) == 0 {
		return nil
	}
	var same, other []netip.AddrPort // as the first one's family
	for _, a := range addrs {
		if a.Addr().Is4() == addrs[0].Addr().Is4() {
			same = append(same, a)
		} else {
			other = append(other, a)
		}
	}
	all := make([]netip.AddrPort, 0, len(addrs))
	for i := range addrs {
		if i < len(same) {
			all = append(all, same[i])
		}
		if i < len(other) {
			all = append(all, other[i])
		}
	}
	return all
}

// race connects to one of several addresses, as Happy Eyeballs does (RFC 8305, section 5): it
// tries the next one when one has failed, or has not answered for attemptDelay, and goes on
// waiting for that. The first connection counts, and the others are given up. Dial has to
// return when its context is done. The error is that of the address that failed first.
//
// A name has been resolved by then, its IPv4 and its IPv6 addresses: what the RFC says of
// answers that come apart (section 3) does not apply.
func race(ctx context.Context, addrs []netip.AddrPort, dial func(context.Context, netip.AddrPort) (conn.Conn, error)) (conn.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn conn.Conn
		err  error
	}
	results := make(chan result, len(addrs)) // so that no attempt waits
	pending := 0
	timer := time.NewTimer(attemptDelay)
	defer timer.Stop()
	next := func() {
		if len(addrs) == 0 || ctx.Err() != nil {
			return
		}
		addr := addrs[0]
		addrs = addrs[1:]
		pending++
		timer.Reset(attemptDelay)
		go func() {
			conn, err := dial(ctx, addr)
			results <- result{conn, err}
		}()
	}
	failure := ctx.Err()
	for next(); pending > 0; {
		select {
		case <-timer.C:
			next()
		case r := <-results:
			pending--
			if r.err != nil {
				failure = cmp.Or(failure, r.err)
				next()
				continue
			}
			cancel()
			for range pending {
				if late := <-results; late.conn != nil {
					_ = late.conn.Reset()
				}
			}
			return r.conn, nil
		}
	}
	return nil, cmp.Or(failure, errNoAddress)
}

var errNoAddress = errors.New("there is no address to connect to")
