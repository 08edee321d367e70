package server

import (
	"math"
	"net"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/protocol"
	"github.com/seed96252745/relay/internal/throttle"
)

// bounds are the guard rails of a tunnel, and what its account has left of their
// rates. Nil is none.
type bounds struct {
	rails policy.Policy
	rates *admission.Rates // nil is no bound
	bytes *rate.Limiter    // nil is no bound
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
func (b *bounds) most() int64 {
	if b == nil || b.rails.Users <= 0 {
		return math.MaxInt64
	}
	return int64(b.rails.Users)
}

// take counts a new user of a source, and gives how long it has to wait, or false if
// that is longer than most.
func (b *bounds) take(source admission.Source, most time.Duration) (wait time.Duration, ok bool) {
	if b == nil || b.rates == nil {
		return 0, true
	}
	return b.rates.Take(source, most)
}

func (b *bounds) countsBytes() bool { return b != nil && b.bytes != nil }

// slow gives a connection of the tunnel's that moves no more bytes than that may.
func (b *bounds) slow(conn conn.Conn) conn.Conn {
	if b.countsBytes() {
		return throttle.New(conn, b.bytes)
	}
	return conn
}

// refuse says why a user who has entered may not come, by the tunnel's bounds, or
// counts one who may: one who came when there was another tunnel, or none, has not
// been asked, and takes no place from those who may come. One who may comes after a
// wait, of most at most.
func (t *tunnel) refuse(u *user, most time.Duration) (wait time.Duration, err error) {
	asked := u.passed == t.bounds
	if asked && u.in {
		return 0, nil
	}
	if !asked && !t.bounds.admits(u.addr) {
		return 0, limitError(admission.DeniedAddresses)
	}
	if err := u.count(t.bounds.most()); err != nil {
		return 0, err
	}
	if !asked {
		ok := false
		if wait, ok = t.bounds.take(u.source, most); !ok {
			return 0, limitError(admission.UsersPerSecondOfTunnel)
		}
	}
	u.passed = t.bounds
	return wait, nil
}

// count counts a user among those of its port, unless there are most.
func (u *user) count(most int64) error {
	users := &u.port.account.users
	if u.in {
		if users.leaveBeyond(most) {
			u.in = false
			return limitError(admission.UsersOfTunnel)
		}
		return nil
	}
	var held bool
	if held, u.in = users.enter(most); !held {
		return protocol.ErrTunnelEnded // with its port, a moment ago
	}
	if !u.in {
		return limitError(admission.UsersOfTunnel)
	}
	return nil
}
