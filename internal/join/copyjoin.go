package join

import (
	"context"
	"sync"
)

// copyJoin joins any two connections, with two goroutines, and returns when the
// join has ended.
func copyJoin(ctx context.Context, a, b Conn) Result {
	j := &joined{}
	defer context.AfterFunc(ctx, func() {
		j.end(A, stopped{context.Cause(ctx)})
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
	mu      sync.Mutex // guards what follows
	verdict verdict
}

func (j *joined) end(side Side, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.verdict.end(side, err)
}

func (j *joined) result() (first Side, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.verdict.first, j.verdict.err
}
