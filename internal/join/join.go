// Package join copies bytes between two connections, both ways, until both
// directions have ended. It is the one place in Relay where that is done.
//
// What it promises is that a join looks like a plain TCP connection to both
// ends: a FIN goes through as a FIN and leaves the other direction alone, a
// reset goes through as a reset, bytes arrive in order and complete before
// the end that follows them, and a receiver that stops reading stops the
// sender.
//
// It does not open connections and it does not log. What happened is in the
// [Result].
package join

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Side names one of the two connections of a join.
type Side uint8

// The two connections, in the order of Join's parameters.
const (
	A Side = iota
	B
)

// Result is what a join has done.
type Result struct {
	AToB, BToA int64 // bytes written to B, and to A
	// First is the connection that ended first, by FIN or by failing.
	First Side
	// Err is nil if both directions ended by FIN. Otherwise it is the first
	// failure of either connection.
	Err error
}

// Errors that Result.Err may hold, beside what a connection returned.
var (
	// ErrNoProgress: one direction had ended, and on the other nothing moved
	// for noProgress.
	ErrNoProgress = errors.New("half-closed, and no byte moved for 10 minutes")
	// ErrReset: a connection looked ended, but had been reset.
	ErrReset = errors.New("connection reset by peer")
)

// noProgress is how long a half-closed join may stand still. A peer that never
// reads again cannot be told from a slow one and would hold two connections
// for ever; 10 minutes is beyond any pause of a transfer that is alive.
const noProgress = 10 * time.Minute

// Join copies between a and b until both directions have ended, one of the two
// has failed, or ctx is done, whose cause is then the error. It closes both, in
// every case, before it returns.
func Join(ctx context.Context, a, b Conn) Result {
	j := &joined{}
	defer context.AfterFunc(ctx, func() {
		j.end(A, context.Cause(ctx))
		_ = a.Reset()
		_ = b.Reset()
	})()
	ab := &direction{j: j, src: a, dst: b, side: A}
	ba := &direction{j: j, src: b, dst: a, side: B}
	ab.opposite, ba.opposite = ba, ab

	var back sync.WaitGroup
	back.Go(ba.run)
	ab.run()
	back.Wait()
	first, err := j.result()
	if err == nil {
		_ = a.Close() // both peers know already that all is said
		_ = b.Close()
	} else {
		abort(a)
		abort(b)
	}
	return Result{AToB: ab.written, BToA: ba.written, First: first, Err: err}
}

// joined is what the two directions of a join share.
type joined struct {
	mu    sync.Mutex // guards what follows
	ended bool       // by either direction
	first Side
	err   error
}

// end remembers how the first direction ended, and the first failure of
// either: further failures follow from it.
func (j *joined) end(side Side, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.ended {
		j.ended, j.first = true, side
	}
	if j.err == nil {
		j.err = err
	}
}

func (j *joined) result() (first Side, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.first, j.err
}

func (s Side) other() Side { return 1 - s }
