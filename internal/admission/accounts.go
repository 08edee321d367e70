package admission

import (
	"container/list"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/seed96252745/relay/internal/policy"
)

// Accounts has the accounts that somebody holds, and those whose rates are not yet as if
// nobody had used them. Make it with NewAccounts. Its methods may be called concurrently.
type Accounts struct {
	mu                  sync.Mutex // guards what follows
	userRate, userBurst int        // of one source, by the relay's own limits
	byKey               map[accountKey]*Account
	closed              map[string]map[int]*Account // by owner and port: with users, and without a port
	idle                list.List                   // of *Account that nobody holds; the first has been so for longest
}

// maxIdleAccounts bounds the accounts that nobody holds. Each has cost its owner a
// registration, and most are forgotten after two seconds: an owner that has more of them
// forgotten has registered so often that it has gained next to nothing.
const maxIdleAccounts = 4096

// NewAccounts returns accounts under the relay's own limits.
func NewAccounts(l Limits) *Accounts {
	a := &Accounts{byKey: make(map[accountKey]*Account), closed: make(map[string]map[int]*Account)}
	a.setUserRate(l)
	return a
}

// setUserRate has another rate of users hold from now on, for all accounts. What a source
// has left stays, if it is not more than the new burst.
func (a *Accounts) setUserRate(l Limits) {
	burst := math.MaxInt
	if l.UsersPerSecond < math.MaxInt/2 {
		burst = 2 * l.UsersPerSecond
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.userRate, a.userBurst = l.UsersPerSecond, burst
	for _, account := range a.byKey {
		account.rate.Set(float64(a.userRate), a.userBurst)
	}
}

// Resume returns the account that the users of an earlier port hold, for a port that is
// being opened for the same owner in its place, or nil.
func (a *Accounts) Resume(owner string, port int) *Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	account := a.closed[owner][port]
	if account != nil {
		account.users.n.Add(portOpen)
		a.notClosedLocked(account)
	}
	return account
}

// ClosedPorts returns the ports of an owner that are closed and still have users.
func (a *Accounts) ClosedPorts(owner string) []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.closed[owner]))
}

// notClosedLocked notes that the port is open, or has no users.
func (a *Accounts) notClosedLocked(account *Account) {
	ports := a.closed[account.key.owner]
	delete(ports, account.key.port)
	if len(ports) == 0 {
		delete(a.closed, account.key.owner)
	}
}

// Open returns the account of a port that has been opened and counted. Release uncounts
// the port; Open calls it at once if the account is counted already.
func (a *Accounts) Open(owner string, port int, release func()) *Account {
	a.mu.Lock()
	account := a.byKey[accountKey{owner, port}]
	if account == nil {
		account = &Account{key: accountKey{owner, port}}
		account.rate.init(float64(a.userRate), a.userBurst, rateSources)
		a.byKey[account.key] = account
	}
	account.users.n.Add(portOpen)
	a.notClosedLocked(account)
	if account.release == nil {
		account.release, release = release, nil
		a.wakeLocked(account)
	}
	a.mu.Unlock()
	if release != nil {
		release()
	}
	return account
}

// Bind gives an account an owner who is known only now, and has release called beside
// what uncounts it already.
func (a *Accounts) Bind(account *Account, owner string, release func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.byKey, account.key)
	account.key.owner = owner // who has had nothing on this port, or would be known already
	a.byKey[account.key] = account
	before := account.release
	account.release = func() { before(); release() }
}

// Close notes that the port is not open any more.
func (a *Accounts) Close(account *Account) {
	if account.users.n.Add(-portOpen) == 0 {
		a.settle(account)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if account.release == nil || account.users.isOpen() {
		return // the users have ended meanwhile, or the owner is back
	}
	owner := account.key.owner
	if a.closed[owner] == nil {
		a.closed[owner] = make(map[int]*Account)
	}
	a.closed[owner][account.key.port] = account
}

// releaseUser notes that a user has ended.
func (a *Accounts) releaseUser(account *Account) {
	if account.users.n.Add(-1) == 0 {
		a.settle(account)
	}
}

// settle gives back what is counted when nobody holds the account any more.
func (a *Accounts) settle(account *Account) {
	a.mu.Lock()
	release := account.release
	if release == nil || account.users.n.Load() != 0 { // somebody was quicker
		a.mu.Unlock()
		return
	}
	account.release = nil
	a.notClosedLocked(account)
	a.restLocked(account)
	a.mu.Unlock()
	release()
}

// refilled is how long rates of users take until they are as if nobody had used
// them: their bursts are those of two seconds.
const refilled = 2 * time.Second

// restLocked has an account forgotten as soon as that takes nothing from it.
func (a *Accounts) restLocked(account *Account) {
	wait := refilled
	if b := account.policyBytes; b != nil {
		missing := float64(b.Burst()) - b.Tokens()
		wait = max(wait, time.Duration(missing/float64(b.Limit())*float64(time.Second)))
	}
	account.place = a.idle.PushBack(account)
	account.forget = time.AfterFunc(wait, func() { a.forget(account) })
	if a.idle.Len() > maxIdleAccounts {
		a.forgetLocked(a.idle.Front().Value.(*Account))
	}
}

func (a *Accounts) forget(account *Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgetLocked(account)
}

func (a *Accounts) forgetLocked(account *Account) {
	if account.place == nil {
		return // somebody holds it by now
	}
	a.wakeLocked(account)
	delete(a.byKey, account.key)
}

// wakeLocked has an account stay.
func (a *Accounts) wakeLocked(account *Account) {
	if account.place != nil {
		account.forget.Stop()
		a.idle.Remove(account.place)
		account.place, account.forget = nil, nil
	}
}

// Stop forgets the accounts that nobody holds, and stops their timers.
func (a *Accounts) Stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.idle.Len() > 0 {
		a.forgetLocked(a.idle.Front().Value.(*Account))
	}
}

// Apply returns the policy of a tunnel with what the account has left of its rates: a
// new figure refills nothing. It returns nil for a policy without bounds.
func (a *Accounts) Apply(account *Account, p policy.Policy) *TunnelPolicy {
	if p.None() {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	applied := &TunnelPolicy{Policy: p}
	if n := p.UsersPerSecond; n > 0 {
		if account.policyUsers == nil {
			account.policyUsers = NewRateLimiter(float64(n), 2*n, rateSources)
		} else {
			account.policyUsers.Set(float64(n), 2*n)
		}
		applied.users = account.policyUsers
	}
	if n := p.BytesPerSecond; n > 0 {
		account.policyBytes = setByteRate(account.policyBytes, n)
		applied.bytes = account.policyBytes
	}
	return applied
}
