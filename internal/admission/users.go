package admission

import (
	"errors"
	"net"
	"time"
)

// MaxUserDelay is how long a user that comes too fast is delayed at most: a burst is
// spread by that, and no user is kept that would have been better off with a reset.
const MaxUserDelay = time.Second

// LimitError is the limit for which a user is not admitted.
type LimitError Kind

// Error returns the name of the limit.
func (e LimitError) Error() string { return "limit: " + Kind(e).String() }

// ErrAccountReleased is returned for a user whose port has been closed, and whose account
// nobody holds any more.
var ErrAccountReleased = errors.New("the port of this account has been closed")

// Ticket is what an admitted user holds until ReleaseUser.
type Ticket struct {
	Source    Source
	Delay     time.Duration // before the user may be served
	DelayedBy Kind          // the limit behind Delay
	account   *Account
	passed    *TunnelPolicy // that has admitted the user
	counted   bool          // among the users of the account: see AdmitUnder
}

// AdmitUser admits a user to the port of an account that is under a policy, or returns
// a LimitError. The user may have to be delayed.
func (c *Controller) AdmitUser(a *Account, p *TunnelPolicy, from net.Addr, source Source) (t Ticket, err error) {
	t = Ticket{Source: source, DelayedBy: UsersPerSecondOfTunnel, account: a, passed: p}
	switch {
	case !p.admitsAddr(from):
		return t, LimitError(DeniedAddresses)
	case a.users.len() >= p.maxUsers():
		return t, LimitError(UsersOfTunnel) // as AdmitUnder would find
	}
	ok := false
	if t.Delay, ok = p.reserveUser(source, MaxUserDelay); !ok {
		return t, LimitError(UsersPerSecondOfTunnel)
	}
	if reason := c.acquireUser(&t); reason != 0 {
		return t, LimitError(reason)
	}
	return t, nil
}

// acquireUser takes what a user needs of what all tunnels share, or returns the limit in
// the way.
func (c *Controller) acquireUser(t *Ticket) (reason Kind) {
	limits := c.limits.Load()
	switch {
	case !c.users.Acquire(limits.Users):
		return Users
	case !c.descriptors.TakeForUser(userDescriptors):
		c.users.Release()
		return Descriptors
	case t.Source.IsShared():
		return 0
	}
	delay, ok := t.account.rate.Reserve(t.Source, MaxUserDelay)
	switch {
	case !ok:
		reason = UsersPerSecond
	case !t.account.perSource.Acquire(t.Source, limits.UsersPerSource):
		reason = UsersPerSource
	default:
		if delay > t.Delay {
			t.Delay, t.DelayedBy = delay, UsersPerSecond
		}
		return 0
	}
	c.descriptors.Give(userDescriptors)
	c.users.Release()
	return reason
}

// AdmitUnder counts a user among those of the account, under the policy of the tunnel that
// is to serve the user, or returns a LimitError. A user that came when there was another
// tunnel, or none, has not been asked by this policy yet, and takes no place from those
// that it admits. Delay is at most maxDelay.
func (t *Ticket) AdmitUnder(p *TunnelPolicy, from net.Addr, maxDelay time.Duration) (delay time.Duration, err error) {
	asked := t.passed == p
	if asked && t.counted {
		return 0, nil
	}
	if !asked && !p.admitsAddr(from) {
		return 0, LimitError(DeniedAddresses)
	}
	if err := t.count(p.maxUsers()); err != nil {
		return 0, err
	}
	if !asked {
		ok := false
		if delay, ok = p.reserveUser(t.Source, maxDelay); !ok {
			return 0, LimitError(UsersPerSecondOfTunnel)
		}
	}
	t.passed = p
	return delay, nil
}

// count counts a user among those of the account, which may be limit.
func (t *Ticket) count(limit int64) error {
	users := &t.account.users
	if t.counted {
		if users.releaseBeyond(limit) {
			t.counted = false
			return LimitError(UsersOfTunnel)
		}
		return nil
	}
	var held bool
	if held, t.counted = users.acquire(limit); !held {
		return ErrAccountReleased
	}
	if !t.counted {
		return LimitError(UsersOfTunnel)
	}
	return nil
}

// ReleaseUser gives back what a user holds.
func (c *Controller) ReleaseUser(t *Ticket) {
	if !t.Source.IsShared() {
		t.account.perSource.Release(t.Source)
	}
	if t.counted {
		c.Accounts.releaseUser(t.account)
	}
	c.descriptors.Give(userDescriptors)
	c.users.Release()
}
