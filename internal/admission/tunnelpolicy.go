package admission

import (
	"math"
	"net"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/conn"
	"github.com/seed96252745/relay/internal/policy"
)

// TunnelPolicy is the policy of a tunnel, and what its account has left of the rates.
// Nil is none.
type TunnelPolicy struct {
	policy.Policy
	users *RateLimiter  // nil is no bound
	bytes *rate.Limiter // nil is no bound
}

// admitsAddr reports whether users may come from an address.
func (p *TunnelPolicy) admitsAddr(from net.Addr) bool {
	if p == nil {
		return true
	}
	return p.Admits(conn.AddrPort(from).Addr())
}

// maxUsers is how many users there may be at a time.
func (p *TunnelPolicy) maxUsers() int64 {
	if p == nil || p.Users <= 0 {
		return math.MaxInt64
	}
	return int64(p.Users)
}

// reserveUser counts a new user of a source, and returns the delay until it may be
// served, or false if that is longer than maxDelay.
func (p *TunnelPolicy) reserveUser(source Source, maxDelay time.Duration) (delay time.Duration, ok bool) {
	if p == nil || p.users == nil {
		return 0, true
	}
	return p.users.Reserve(source, maxDelay)
}

// Bytes returns the limiter of what the users of the tunnel move together, or nil.
func (p *TunnelPolicy) Bytes() *rate.Limiter {
	if p == nil {
		return nil
	}
	return p.bytes
}

const (
	// minByteBurst goes at once in any case: less than a packet is not worth a wake-up.
	minByteBurst = 16 << 10
	// maxByteBurst is the most that goes at once, so that connections take turns.
	maxByteBurst = 256 << 10
)

// byteBurst is a tenth of what goes in a second, within these bounds.
func byteBurst(bytesPerSecond int64) int {
	return int(min(max(bytesPerSecond/10, minByteBurst), maxByteBurst))
}

// setByteRate has a limiter, or a new one if it is nil, allow so many bytes a second. The
// limiter may be in use, and its burst is not refilled.
func setByteRate(l *rate.Limiter, bytesPerSecond int64) *rate.Limiter {
	if l == nil {
		return rate.NewLimiter(rate.Limit(bytesPerSecond), byteBurst(bytesPerSecond))
	}
	l.SetLimit(rate.Limit(bytesPerSecond))
	l.SetBurst(byteBurst(bytesPerSecond))
	return l
}
