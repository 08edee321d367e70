// Package join copies bytes between two connections, both ways, until both
// directions have ended. It is the one place in Relay where that is done.
//
// It promises that a join looks like a plain TCP connection to both
// ends: a FIN goes through as a FIN and leaves the other direction alone, a
// reset goes through as a reset, bytes arrive in order and complete before
// the end that follows them, and a receiver that stops reading stops the
// sender.
//
// It does so in two ways. On Linux sockets and streams are served by event
// loops (loopjoin_linux.go): a join at rest is a few hundred bytes and no
// goroutine, short messages cost one read and one write, long runs stay in the
// kernel. Everything else is copied by two goroutines (copyjoin.go). Both obey
// the same rules, and pass the same tests.
//
// It knows connections, and nothing about whose they are. It opens none, and does not log:
// the [Result] says what happened.
package join

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed96252745/relay/internal/crash"
	"github.com/seed96252745/relay/internal/memory"
	"github.com/seed96252745/relay/internal/sockerr"
)

// Side names one of the two connections of a join.
type Side uint8

// The two connections, in the order of Join's parameters.
const (
	A Side = iota
	B
)

func (s Side) other() Side { return 1 - s }

// Result is what a join has done.
type Result struct {
	AToB, BToA int64 // bytes written to B, and to A
	// First is the connection that ended first, by FIN or by failing.
	First Side
	// Err is nil if both directions ended by FIN. Otherwise it is the first
	// failure of either connection.
	Err error
}

// Ending is a way in which a join ends, for logs and metrics.
type Ending uint8

// The ways in which a join ends. Result.First is the side that caused it, except
// for Stopped.
const (
	Finished Ending = iota // both peers had ended
	WasReset               // one of them reset its connection
	Lost                   // one of the connections failed
	Stalled                // half-closed, and nothing moved: ErrNoProgress
	Stopped                // the context was done, or Stop called
	Crashed                // there was a panic, and Result.Err wraps a *crash.Error
)

// String returns the word for logs.
func (e Ending) String() string {
	return [...]string{"finished", "reset", "lost", "stalled", "stopped", "crashed"}[e]
}

// Ending returns how the join ended.
func (r Result) Ending() Ending {
	switch {
	case r.Err == nil:
		return Finished
	case errors.As(r.Err, new(*crash.Error)):
		return Crashed
	case errors.As(r.Err, new(stopped)):
		return Stopped
	case errors.Is(r.Err, ErrNoProgress):
		return Stalled
	case errors.Is(r.Err, ErrReset), sockerr.Is(r.Err, syscall.ECONNRESET, syscall.EPIPE):
		return WasReset
	}
	return Lost
}

// stopped is the error of a join whose context was done, or that was stopped.
type stopped struct{ cause error }

func (s stopped) Error() string { return s.cause.Error() }
func (s stopped) Unwrap() error { return s.cause }

// Errors that Result.Err may hold, beside what a connection returned.
var (
	// ErrNoProgress means that one direction had ended, and on the other nothing moved
	// for noProgress.
	ErrNoProgress = errors.New("half-closed, and no byte moved for 10 minutes")
	// ErrReset means that a connection looked ended, but had been reset.
	ErrReset = errors.New("connection reset by peer")
	// ErrDead means that a peer had data to acknowledge, and neither acknowledged it nor
	// sent anything for half a minute. A peer that merely does not read answers the
	// kernel's probes, and may take its time.
	ErrDead = errors.New("the peer acknowledges nothing")
)

// noProgress is how long a half-closed join may stand still. A peer that never
// reads again cannot be told from a slow one, and would hold two connections
// for ever; 10 minutes is beyond any pause of a transfer that is alive.
const noProgress = 10 * time.Minute

// periods are when the kernel is asked about unacknowledged data, and how long that may
// stay where it is when both directions have ended.
type periods struct{ checkInterval, silence, standstill time.Duration }

const (
	// checkInterval is how often it is asked about a socket with unacknowledged data.
	// While there are none, nothing is asked, and nobody woken.
	checkInterval = 2 * time.Second
	// silence is how long nothing may have come from a peer. Two checks have to see it,
	// since a machine that was suspended wakes up with a long silence, which the peer had
	// no time to break. With both, and abortWait, a join is over 30 to 32 s after its peer
	// has vanished.
	silence = 27 * time.Second
)

// Engine is what joins run on: event loops, and a budget of what stalled joins may have the
// kernel hold. Owners that know nothing of each other may share one, each with a [Set] of its
// own. Its methods may be called concurrently.
type Engine struct {
	// Reserve helps when a connection takes a descriptor for a moment to be handed
	// to a loop, and there are none. Nil is no help. It is set before the first Join.
	Reserve Reserve

	loops   loops
	periods periods
	crowd   *crowd

	mu     sync.Mutex // guards what follows
	sets   map[*Set]struct{}
	closed bool
}

// Reserve has descriptors for when there are none left.
type Reserve interface {
	// Lend frees one, and returns false if it has none.
	Lend() bool
	// Fill takes back what was lent, as far as there are descriptors.
	Fill()
}

// NewEngine starts an engine, which has to be closed.
func NewEngine() (*Engine, error) {
	return newEngine(periods{checkInterval, silence, noProgress})
}

func newEngine(p periods) (*Engine, error) {
	e := &Engine{periods: p, crowd: newCrowd(memory.TCP()), sets: make(map[*Set]struct{})}
	return e, e.loops.start(p)
}

// Close closes the sets that are left, and stops. No set may be made after that.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	left := slices.Collect(maps.Keys(e.sets))
	e.mu.Unlock()
	for _, s := range left {
		s.Close()
	}
	e.loops.stop()
}

// Options are what else there may be to a join.
type Options struct {
	// Limiter bounds the bytes that both directions move together, with those of all
	// joins that share it. Its burst must not be 0. Nil is no bound. A join that has one
	// is copied by goroutines, since the event loops never wait.
	Limiter *rate.Limiter
	// Prefix is how many bytes of A the caller has read and written to B already. They
	// count as moved, and the Limiter is not asked about them.
	Prefix int64
}

// Handle is a join in progress. Its methods may be called concurrently, also after the
// join has ended.
type Handle interface {
	// Moved returns how many bytes have been written to B and to A so far.
	Moved() (aToB, bToA int64)
	// Stop resets both connections at once. Result.Err wraps the reason.
	Stop(reason error)
}

// verdict is how a join ends, as its two directions find out.
type verdict struct {
	ended bool // by either direction
	first Side
	err   error
}

// record keeps how the first direction ended, and the first failure of
// either: further failures follow from it.
func (v *verdict) record(side Side, err error) {
	if !v.ended {
		v.ended, v.first = true, side
	}
	if v.err == nil {
		v.err = err
	}
}

// crash has the join end with a panic, whatever else has happened: the panic is to be
// reported.
func (v *verdict) crash(c *crash.Error) { v.ended, v.err = true, c }
