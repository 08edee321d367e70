package server

import (
	"math"
	"net"
	"net/netip"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/guard"
	"github.com/seed96252745/relay/internal/join"
	"github.com/seed96252745/relay/internal/limit"
	"github.com/seed96252745/relay/internal/throttle"
)

// bounds are the guard rails of a tunnel, and what they count. Nil is none.
type bounds struct {
	rails guard.Rails
	rates *limit.Rates  // nil is no bound
	bytes *rate.Limiter // nil is no bound
}

func newBounds(r guard.Rails) *bounds {
	if r.None() {
		return nil
	}
	b := &bounds{rails: r}
	if r.UsersPerSecond > 0 {
		b.rates = limit.NewRates(float64(r.UsersPerSecond), 2*r.UsersPerSecond, rateSources)
	}
	if r.BytesPerSecond > 0 {
		b.bytes = throttle.NewLimiter(r.BytesPerSecond)
	}
	return b
}

// admits tells whether users may come from an address.
func (b *bounds) admits(from net.Addr) bool {
	if b == nil {
		return true
	}
	addr, _ := netip.ParseAddrPort(from.String())
	return b.rails.Admits(addr.Addr())
}

// most is how many users there may be at a time.
func (b *bounds) most() int {
	if b == nil || b.rails.Users <= 0 {
		return math.MaxInt
	}
	return b.rails.Users
}

// allows counts a new user of a source, and tells whether that is not too soon.
func (b *bounds) allows(source limit.Source) bool {
	return b == nil || b.rates == nil || b.rates.Allow(source)
}

func (b *bounds) countsBytes() bool { return b != nil && b.bytes != nil }

// slow gives a connection of the tunnel's that moves no more bytes than that may.
func (b *bounds) slow(conn join.Conn) join.Conn {
	if b.countsBytes() {
		return throttle.New(conn, b.bytes)
	}
	return conn
}

// refuse says what of the tunnel's bounds is in the way of a user who has entered,
// or 0, and counts one who is let in: one who came when there was another tunnel, or
// none, has not been asked, and takes no place from those who may come.
func (t *tunnel) refuse(u *user) limit.Kind {
	asked, most := u.passed == t.bounds, t.bounds.most()
	switch {
	case asked && u.in:
		return 0
	case !asked && !t.bounds.admits(u.addr):
		return limit.DeniedAddresses
	case u.in && u.port.here.leaveBeyond(most), !u.in && !u.port.here.enter(most):
		u.in = false
		return limit.UsersOfTunnel
	}
	u.in = true
	if !asked && !t.bounds.allows(u.source) {
		return limit.UsersPerSecondOfTunnel
	}
	u.passed = t.bounds
	return 0
}
