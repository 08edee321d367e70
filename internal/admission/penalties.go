package admission

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// How long a source is banned: OpenSSH's PerSourcePenalties has the same order of
// magnitude, and the same bound on how many sources are remembered.
const (
	firstBan       = time.Second
	longestBan     = 10 * time.Minute
	penaltySources = 65536
	banForgiven    = 2 * longestBan // without another one
)

// Right after the start of a relay, claims come with the ids of the relay that ran before,
// and nobody can tell them from wrong ones: for a minute so many times as much is forgiven.
// A hundred pools behind one address make it about five.
const (
	startupTime       = time.Minute
	forgivenAtStartup = 50
)

// Penalties bans sources that offend again and again. Make it with NewPenalties. Its
// methods may be called concurrently.
type Penalties struct {
	perMinute int
	started   time.Time
	any       atomic.Bool // a source has offended; spares everybody the look-up

	mu sync.Mutex // guards what follows
	of *lru.Cache[Source, *offender]
}

// offender is a source that has offended.
type offender struct {
	offenses *rate.Limiter
	until    time.Time
	last     time.Duration
}

// NewPenalties returns penalties that forgive so many wrong ids a minute.
func NewPenalties(perMinute int) *Penalties {
	return &Penalties{perMinute: perMinute, started: time.Now(), of: newLRU[Source, *offender](penaltySources)}
}

// Offense is something wrong, by its weight.
type Offense int

// The offenses. A wrong id is a guess, or an attack. A token that has not been seen yet
// may be one too, but is more often one that somebody has replaced at the relay and not
// everywhere: many who know it may share an address.
const (
	WrongToken Offense = 1
	WrongID    Offense = 10
)

// Penalize counts an offense. At one too many it bans the source, each time for twice as
// long, and returns for how long. Zero is that nothing has changed.
func (p *Penalties) Penalize(source Source, offense Offense) (ban time.Duration) {
	p.any.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	o, known := p.of.Get(source)
	if !known {
		o = &offender{offenses: rate.NewLimiter(rate.Limit(p.perMinute)/60*rate.Limit(WrongID), p.burst())}
		p.of.Add(source, o)
	}
	now := time.Now()
	if now.Sub(p.started) > startupTime {
		o.offenses.SetBurstAt(now, weightOf(p.perMinute))
	}
	if o.offenses.AllowN(now, int(offense)) || now.Before(o.until) {
		return 0 // forgiven, or banned already
	}
	if now.Sub(o.until) > banForgiven {
		o.last = 0
	}
	o.last = min(max(2*o.last, firstBan), longestBan)
	o.until = now.Add(o.last)
	return o.last
}

// burst is the weight that is forgiven at once.
func (p *Penalties) burst() int {
	if time.Since(p.started) > startupTime || p.perMinute > math.MaxInt/forgivenAtStartup {
		return weightOf(p.perMinute)
	}
	return weightOf(forgivenAtStartup * p.perMinute)
}

// weightOf is the weight of so many wrong ids.
func weightOf(ids int) int {
	if ids > math.MaxInt/int(WrongID) {
		return math.MaxInt
	}
	return ids * int(WrongID)
}

// Any reports whether any source may be banned.
func (p *Penalties) Any() bool { return p.any.Load() }

// Banned returns for how much longer a source is banned, and zero if it is not.
func (p *Penalties) Banned(source Source) time.Duration {
	if !p.any.Load() {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o, known := p.of.Peek(source)
	if !known {
		return 0
	}
	return max(time.Until(o.until), 0)
}
