package admission

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// How long a source is shut out: OpenSSH's PerSourcePenalties has the same order
// of magnitude, and the same bound on how many sources are remembered.
const (
	firstPenalty    = time.Second
	longestPenalty  = 10 * time.Minute
	penaltySources  = 65536
	penaltyForgiven = 2 * longestPenalty // without another one
)

// Right after the start of a relay, claims come with the ids that the relay before
// it gave out, and nobody can tell them from wrong ones: for a minute so many times
// as much is forgiven. A hundred pools behind one address make it about five.
const (
	beginning         = time.Minute
	forgivenAtTheTime = 50
)

// Penalties shut sources out that do wrong again and again. Make it with
// NewPenalties. Its methods may be called concurrently.
type Penalties struct {
	perMinute int
	began     time.Time
	any       atomic.Bool // somebody has done wrong; spares everybody the look-up

	mu sync.Mutex // guards what follows
	of *lru.Cache[Source, *offender]
}

// offender is a source that has done wrong.
type offender struct {
	wrongs *rate.Limiter
	until  time.Time
	last   time.Duration
}

// NewPenalties forgives so many wrongs a minute.
func NewPenalties(perMinute int) *Penalties {
	return &Penalties{perMinute: perMinute, began: time.Now(), of: newLRU[Source, *offender](penaltySources)}
}

// Offense is something wrong, by how much it weighs.
type Offense int

// What is wrong. A wrong id is a guess, or an attack. A token that has not been seen
// yet may be one too, but is more often one that somebody has replaced at the relay and
// not everywhere: many who know it may stand behind the same address.
const (
	WrongToken Offense = 1
	WrongID    Offense = 10
)

// Wrong counts an offense. If there are too many it shuts the source out, each time for
// twice as long, and gives for how long. Zero is that nothing has changed.
func (p *Penalties) Wrong(from Source, what Offense) time.Duration {
	p.any.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	o, known := p.of.Get(from)
	if !known {
		o = &offender{wrongs: rate.NewLimiter(rate.Limit(p.perMinute)/60*rate.Limit(WrongID), p.burst())}
		p.of.Add(from, o)
	}
	now := time.Now()
	if now.Sub(p.began) > beginning {
		o.wrongs.SetBurstAt(now, weighed(p.perMinute))
	}
	if o.wrongs.AllowN(now, int(what)) || now.Before(o.until) {
		return 0 // within what is forgiven, or punished already
	}
	if now.Sub(o.until) > penaltyForgiven {
		o.last = 0
	}
	o.last = min(max(2*o.last, firstPenalty), longestPenalty)
	o.until = now.Add(o.last)
	return o.last
}

// burst is how much is forgiven at once.
func (p *Penalties) burst() int {
	if time.Since(p.began) > beginning || p.perMinute > math.MaxInt/forgivenAtTheTime {
		return weighed(p.perMinute)
	}
	return weighed(forgivenAtTheTime * p.perMinute)
}

// weighed is what so many wrong ids weigh.
func weighed(ids int) int {
	if ids > math.MaxInt/int(WrongID) {
		return math.MaxInt
	}
	return ids * int(WrongID)
}

// Any tells whether a source may be shut out at all.
func (p *Penalties) Any() bool { return p.any.Load() }

// ShutOut gives for how much longer a source is shut out, and zero if it is not.
func (p *Penalties) ShutOut(source Source) time.Duration {
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
