package admission

import (
	"container/list"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Account is what one owner uses on one public port. It outlives the port until the last
// user has ended, and its rates until they are as if nobody had used them: a relay client
// that registers again finds what it has left.
type Account struct {
	key accountKey

	// By the relay's own limits.
	perSource QuotaTable[Source]
	rate      RateLimiter // of new users

	users accountUsers // whom a tunnel has admitted

	// The rest is guarded by Accounts.mu.

	policyUsers *RateLimiter  // of new users, by the tunnel's policy; nil until one has such a bound
	policyBytes *rate.Limiter // likewise
	release     func()        // uncounts the tunnel; nil while nobody holds the account
	forget      *time.Timer   // runs meanwhile
	place       *list.Element // in Accounts.idle, meanwhile
}

// accountKey is an owner, as an identity or an address, and a port.
type accountKey struct {
	owner string
	port  int
}

// Users returns how many users the account has.
func (a *Account) Users() int64 { return a.users.len() }

// accountUsers counts the users of an account, and whether its port is open. While
// either is so, somebody holds the account.
type accountUsers struct{ n atomic.Int64 }

// portOpen is counted for an open port: more than there can be users.
const portOpen = 1 << 40

func (u *accountUsers) len() int64   { return u.n.Load() % portOpen }
func (u *accountUsers) isOpen() bool { return u.n.Load() >= portOpen }

// acquire counts one more user, unless there are as many as limit, or nobody holds the
// account.
func (u *accountUsers) acquire(limit int64) (held, acquired bool) {
	for {
		n := u.n.Load()
		if n == 0 || n%portOpen >= limit {
			return n != 0, false
		}
		if u.n.CompareAndSwap(n, n+1) {
			return true, true
		}
	}
}

// releaseBeyond counts one user less if there are more than limit. It is for a user that
// is one of them: others hold the account then.
func (u *accountUsers) releaseBeyond(limit int64) bool {
	for {
		n := u.n.Load()
		if n%portOpen <= limit {
			return false
		}
		if u.n.CompareAndSwap(n, n-1) {
			return true
		}
	}
}
