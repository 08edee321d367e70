package server

import (
	"container/list"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/admission"
	"github.com/seed96252745/relay/internal/policy"
	"github.com/seed96252745/relay/internal/throttle"
)

// account is what one owner uses of its bounds on one public port. It outlives the
// port until the last user has ended, and its rates until they are as if nobody had
// used them: a relay client that registers anew finds what it has left.
type account struct {
	key   accountKey
	crowd crowd    // of users, by the relay's limits
	users userHold // whom a tunnel has let in

	// The rest is guarded by accounts.mu.

	rates  *admission.Rates // of users; nil until a tunnel has such a bound
	bytes  *rate.Limiter    // likewise
	leave  func()           // gives back the tunnel that is counted; nil while nobody holds the account
	forget *time.Timer      // runs meanwhile
	place  *list.Element    // in accounts.idle, meanwhile
}

// accountKey says whose account it is: see ownerOf.
type accountKey struct {
	owner string
	port  int
}

// userHold counts the users of an account, and whether its port is open. While either
// is so somebody holds the account.
type userHold struct{ n atomic.Int64 }

// openPort is counted for an open port: more than there can be users.
const openPort = 1 << 40

func (h *userHold) users() int64 { return h.n.Load() % openPort }
func (h *userHold) open() bool   { return h.n.Load() >= openPort }

// enter counts one more user, unless there are most, or nobody holds the account.
func (h *userHold) enter(most int64) (held, entered bool) {
	for {
		n := h.n.Load()
		if n == 0 || n%openPort >= most {
			return n != 0, false
		}
		if h.n.CompareAndSwap(n, n+1) {
			return true, true
		}
	}
}

// leaveBeyond counts one user less if there are more than most. It is for a user who
// is one of them: others hold the account then.
func (h *userHold) leaveBeyond(most int64) bool {
	for {
		n := h.n.Load()
		if n%openPort <= most {
			return false
		}
		if h.n.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// accounts are those that somebody holds, and those whose rates are not yet as if
// nobody had used them.
type accounts struct {
	limits admission.Limits

	mu   sync.Mutex // guards what follows
	of   map[accountKey]*account
	left map[string]map[int]*account // by owner and port: closed, with users
	idle list.List                   // of *account that nobody holds; the first has been so for longest
}

// maxIdleAccounts bounds the accounts that nobody holds. Each has cost its owner a
// registration, and most are forgotten after two seconds: who has more forgotten than
// that has registered so often that it gained next to nothing.
const maxIdleAccounts = 4096

func newAccounts(l admission.Limits) *accounts {
	return &accounts{limits: l, of: make(map[accountKey]*account), left: make(map[string]map[int]*account)}
}

// rejoin gives the account that the users of an earlier port hold, to a port that is
// being opened for the same owner in its place, or nil.
func (a *accounts) rejoin(owner string, port int) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	of := a.left[owner][port]
	if of != nil {
		of.users.n.Add(openPort)
		a.comeLocked(of)
	}
	return of
}

// leftBy gives the ports that an owner has lost and that have users of it still.
func (a *accounts) leftBy(owner string) []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.left[owner]))
}

// comeLocked notes that the port is open, or has no users.
func (a *accounts) comeLocked(of *account) {
	left := a.left[of.key.owner]
	delete(left, of.key.port)
	if len(left) == 0 {
		delete(a.left, of.key.owner)
	}
}

// open gives the account of a port that has been opened and counted. Leave undoes the
// counting: at once, if the account is counted already.
func (a *accounts) open(owner string, port int, leave func()) *account {
	a.mu.Lock()
	of := a.of[accountKey{owner, port}]
	if of == nil {
		of = &account{key: accountKey{owner, port}, crowd: newCrowd(a.limits)}
		a.of[of.key] = of
	}
	of.users.n.Add(openPort)
	a.comeLocked(of)
	if of.leave == nil {
		of.leave, leave = leave, nil
		a.wakeLocked(of)
	}
	a.mu.Unlock()
	if leave != nil {
		leave()
	}
	return of
}

// adopt has an account be an owner's who is known only now, and leave undo its
// counting.
func (a *accounts) adopt(of *account, owner string, leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.of, of.key)
	of.key.owner = owner // who has had nothing on this port, or it would not be known only now
	a.of[of.key] = of
	before := of.leave
	of.leave = func() { before(); leave() }
}

// close says that the port is not open any more.
func (a *accounts) close(of *account) {
	if of.users.n.Add(-openPort) == 0 {
		a.settle(of)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if of.leave == nil || of.users.open() {
		return // they have ended meanwhile, or the owner is back
	}
	if a.left[of.key.owner] == nil {
		a.left[of.key.owner] = make(map[int]*account)
	}
	a.left[of.key.owner][of.key.port] = of
}

// leaves says that a user has ended.
func (a *accounts) leaves(of *account) {
	if of.users.n.Add(-1) == 0 {
		a.settle(of)
	}
}

// settle gives back what is counted when nobody holds the account any more.
func (a *accounts) settle(of *account) {
	a.mu.Lock()
	leave := of.leave
	if leave == nil || of.users.n.Load() != 0 { // somebody was quicker
		a.mu.Unlock()
		return
	}
	of.leave = nil
	a.comeLocked(of)
	a.restLocked(of)
	a.mu.Unlock()
	leave()
}

// refilled is how long rates of users take until they are as if nobody had used
// them: their bursts are those of two seconds.
const refilled = 2 * time.Second

// restLocked has an account forgotten as soon as that takes nothing from it.
func (a *accounts) restLocked(of *account) {
	wait := refilled
	if b := of.bytes; b != nil {
		missing := float64(b.Burst()) - b.Tokens()
		wait = max(wait, time.Duration(missing/float64(b.Limit())*float64(time.Second)))
	}
	of.place = a.idle.PushBack(of)
	of.forget = time.AfterFunc(wait, func() { a.forget(of) })
	if a.idle.Len() > maxIdleAccounts {
		a.forgetLocked(a.idle.Front().Value.(*account))
	}
}

func (a *accounts) forget(of *account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgetLocked(of)
}

func (a *accounts) forgetLocked(of *account) {
	if of.place == nil {
		return // somebody holds it by now
	}
	a.wakeLocked(of)
	delete(a.of, of.key)
}

// wakeLocked has an account stay.
func (a *accounts) wakeLocked(of *account) {
	if of.place != nil {
		of.forget.Stop()
		a.idle.Remove(of.place)
		of.place, of.forget = nil, nil
	}
}

// stop ends what goes on.
func (a *accounts) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.idle.Len() > 0 {
		a.forgetLocked(a.idle.Front().Value.(*account))
	}
}

// bounds gives the guard rails of a tunnel, and has what an account has left of its
// rates be theirs: a new figure refills nothing.
func (a *accounts) bounds(of *account, r policy.Policy) *bounds {
	if r.None() {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b := &bounds{rails: r}
	if n := r.UsersPerSecond; n > 0 {
		if of.rates == nil {
			of.rates = admission.NewRates(float64(n), 2*n, rateSources)
		} else {
			of.rates.Set(float64(n), 2*n)
		}
		b.rates = of.rates
	}
	if n := r.BytesPerSecond; n > 0 {
		if of.bytes == nil {
			of.bytes = throttle.NewLimiter(n)
		} else {
			throttle.SetLimiter(of.bytes, n)
		}
		b.bytes = of.bytes
	}
	return b
}
